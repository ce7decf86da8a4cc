//! The programs of a lab, built from Go modules, and the images that every node starts with.
//!
//! Output: `programs/MODULE/` and `images/` in the cache. Invariant: what is there was built from the sources that are there now; a
//! module that has not changed costs nothing, and Go's own cache makes the others short.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::Channel;
use super::place::Place;
use crate::go;
use crate::image::{self, Image};

/// All that was built.
#[derive(Debug)]
pub(crate) struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Builds what is not there. One build at a time, whoever asks.
    pub(crate) fn build(place: &Place) -> anyhow::Result<Self> {
        fs::create_dir_all(place.cache())?;
        let lock = File::create(place.cache().join("lock"))?;
        lock.lock().context("lock of the cache directory")?;
        let programs = Self {
            directory: place.programs(),
        };
        programs.module("runtime", &[&["build", OUTPUT, "tool", "./..."]])?;
        let version = version_flags(&go::module(CLUSTER))?;
        programs.module(CLUSTER, &[&["build", "-ldflags", &version, OUTPUT, "tool", "./..."]])?;
        let suite_is_new = programs.module(SUITE_MODULE, &[&["build", OUTPUT, "tool"], &["test", "-c", OUTPUT, "."]])?;
        if suite_is_new {
            programs.copy_definitions()?;
        }
        programs.images(place)?;
        Ok(programs)
    }

    /// The Gateway API's definitions, as its module has them.
    pub(crate) fn crds(&self, channel: Channel) -> PathBuf {
        self.directory.join(SUITE_MODULE).join(channel.name())
    }

    /// Runs `commands` of Go in a module of `conformance/`, unless nothing has changed since; tells whether they ran.
    fn module(&self, name: &str, commands: &[&[&str]]) -> anyhow::Result<bool> {
        let module = go::module(name);
        let into = self.directory.join(name);
        let stamp = into.join(".sources");
        let sources = format!("{} {commands:?}", go::fingerprint(&module)?);
        if fs::read_to_string(&stamp).is_ok_and(|built| built == sources) {
            return Ok(false);
        }
        let started = Instant::now();
        if into.exists() {
            fs::remove_dir_all(&into)?;
        }
        fs::create_dir_all(&into)?;
        for arguments in commands {
            let [verb, rest @ ..] = *arguments else { continue };
            let mut command = go::command(&module);
            command.args([*verb, "-mod=readonly", "-trimpath", "-buildvcs=false"]);
            for argument in rest {
                match *argument {
                    OUTPUT => command.arg("-o").arg(format!("{}/", into.display())),
                    other => command.arg(other),
                };
            }
            crate::finish(&mut command)?;
        }
        fs::write(&stamp, sources)?;
        eprintln_seconds(name, started);
        Ok(true)
    }

    fn copy_definitions(&self) -> anyhow::Result<()> {
        let mut list = go::command(&go::module(SUITE_MODULE));
        let output = list
            .args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api"])
            .output()?;
        ensure!(
            output.status.success(),
            "{list:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let source = PathBuf::from(String::from_utf8(output.stdout)?.trim()).join("config/crd");
        for channel in [Channel::Standard, Channel::Experimental] {
            let into = self.crds(channel);
            fs::create_dir_all(&into)?;
            for entry in fs::read_dir(source.join(channel.name()))? {
                let entry = entry?;
                // The module cache's files are read-only; these are not.
                if entry.file_name() != "kustomization.yaml" {
                    fs::write(into.join(entry.file_name()), fs::read(entry.path())?)?;
                }
            }
        }
        Ok(())
    }

    fn images(&self, place: &Place) -> anyhow::Result<()> {
        fs::create_dir_all(place.images())?;
        for (program, names) in [
            ("runtime/pause", &[image::PAUSE][..]),
            (&format!("{SUITE_MODULE}/echo-basic"), &ECHO),
        ] {
            let image = Image::of_program(&self.directory.join(program), names)?;
            image.write(&place.images().join(format!("{}.tar", image.program())))?;
        }
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "builds are long; standard output is the command's own")]
fn eprintln_seconds(module: &str, started: Instant) {
    eprintln!("built conformance/{module} in {:.0} s", started.elapsed().as_secs_f64());
}

/// Without these Kubernetes calls itself v0.0.0, and clients refuse it.
fn version_flags(module: &Path) -> anyhow::Result<String> {
    let requirements = fs::read_to_string(module.join("go.mod"))?;
    let version = requirements
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("go.mod requires no k8s.io/kubernetes")?;
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let package = "k8s.io/component-base/version";
    Ok(format!(
        "-s -w -X {package}.gitVersion=v{version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    ))
}

const CLUSTER: &str = "cluster";
/// The module of the suite, and of the programs that it tests with.
pub(crate) const SUITE_MODULE: &str = "gateway-api";
/// Stands for the directory that programs go to.
const OUTPUT: &str = "{output}";
/// One image under both of the names that the suite's manifests use.
const ECHO: [&str; 2] = [
    "registry.k8s.io/gateway-api/conformance/echo-basic:v0.1.0",
    "registry.k8s.io/gateway-api/conformance/echo-basic:v0.2.0",
];
