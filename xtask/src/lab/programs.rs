//! The programs of a lab, built from Go modules, and the images that nodes start with; the conformance suite, which is built apart.
//!
//! Output: `programs/MODULE/` and `images/` in the cache. Invariant: what is there was built from the sources that are there now; a
//! module that has not changed costs nothing, and Go's own cache makes the others short.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;

use super::Channel;
use super::place::Place;
use crate::go;
use crate::image::{self, Image};

/// Builds what a node needs and is not there.
pub(super) fn build(place: &Place) -> anyhow::Result<()> {
    let _lock = lock(place)?;
    module(place, RUNTIME, &[&["build", "-ldflags", STRIPPED, OUTPUT, "tool", "./..."]])?;
    let version = version_flags(&go::module(CLUSTER))?;
    module(place, CLUSTER, &[&["build", "-ldflags", &version, OUTPUT, "tool", "./..."]])?;
    image(place, &place.programs().join(RUNTIME).join("pause"), &[image::PAUSE])?;
    Ok(())
}

/// Builds the conformance suite, unless it is there, and the image of the backends that it tests with.
pub(crate) fn build_suite(place: &Place) -> anyhow::Result<Suite> {
    let _lock = lock(place)?;
    let commands: [&[&str]; 2] = [&["build", "-ldflags", STRIPPED, OUTPUT, "tool"], &["test", "-c", OUTPUT, "."]];
    module(place, SUITE_MODULE, &commands)?;
    let directory = place.programs().join(SUITE_MODULE);
    Ok(Suite {
        echo: image(place, &directory.join("echo-basic"), &ECHO)?,
        program: directory.join("gateway-api.test"),
    })
}

/// Builds Helm, unless it is there, and says where it is.
pub(crate) fn build_helm(place: &Place) -> anyhow::Result<PathBuf> {
    let _lock = lock(place)?;
    module(place, HELM, &[&["build", "-ldflags", STRIPPED, OUTPUT, "tool"]])?;
    Ok(place.programs().join(HELM).join("helm"))
}

/// The conformance suite.
#[derive(Debug)]
pub(crate) struct Suite {
    /// To be run in the lab's network.
    pub(crate) program: PathBuf,
    /// The image of its backends; nodes that start later have it already.
    pub(crate) echo: PathBuf,
}

/// The kustomization of a channel's CustomResourceDefinitions, in the Gateway API's own module.
pub(super) fn definitions(channel: Channel) -> anyhow::Result<PathBuf> {
    let mut download = go::command(&go::module(SUITE_MODULE));
    download.args(["mod", "download", "-json", "sigs.k8s.io/gateway-api"]);
    let output = download.output().with_context(|| format!("{download:?}"))?;
    let module: serde_json::Value =
        serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let directory = module["Dir"].as_str().with_context(|| format!("{download:?}: {module}"))?;
    let definitions = Path::new(directory).join("config/crd");
    Ok(match channel {
        Channel::Standard => definitions,
        Channel::Experimental => definitions.join("experimental"),
    })
}

/// One build at a time, whoever asks.
fn lock(place: &Place) -> anyhow::Result<File> {
    fs::create_dir_all(place.cache())?;
    let lock = File::create(place.cache().join("lock"))?;
    lock.lock().context("lock of the cache directory")?;
    Ok(lock)
}

/// Runs `commands` of Go in a module of `conformance/`, unless nothing has changed since.
fn module(place: &Place, name: &str, commands: &[&[&str]]) -> anyhow::Result<()> {
    let module = go::module(name);
    let into = place.programs().join(name);
    let stamp = into.join(".sources");
    let sources = format!("{} {commands:?}", go::fingerprint(&module)?);
    if fs::read_to_string(&stamp).is_ok_and(|built| built == sources) {
        return Ok(());
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
    Ok(())
}

/// Writes the image of a program to where nodes look for images.
fn image(place: &Place, program: &Path, names: &[&str]) -> anyhow::Result<PathBuf> {
    let image = Image::of_program(program, names)?;
    let archive = place.images().join(format!("{}.tar", image.program()));
    image.write(&archive)?;
    Ok(archive)
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
        "{STRIPPED} -X {package}.gitVersion=v{version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    ))
}

const RUNTIME: &str = "runtime";
const CLUSTER: &str = "cluster";
const HELM: &str = "helm";
/// Without symbols.
const STRIPPED: &str = "-s -w";
/// The module of the suite, and of the programs that it tests with.
pub(crate) const SUITE_MODULE: &str = "gateway-api";
/// Stands for the directory that programs go to.
const OUTPUT: &str = "{output}";
/// One image under both of the names that the suite's manifests use.
const ECHO: [&str; 2] = [
    "registry.k8s.io/gateway-api/conformance/echo-basic:v0.1.0",
    "registry.k8s.io/gateway-api/conformance/echo-basic:v0.2.0",
];
