//! The Go programs of `conformance/cert-manager`: etcd, kube-apiserver, and the judge with cert-manager's controllers in it.
//!
//! All come from one module, so that what they share is compiled once. Invariant: what is in the cache was built from the sources that
//! are there now; it is used even when Go's own cache is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::e2e::context::Context;
use crate::e2e::process::{command, run, run_within};
use crate::go::fingerprint;

/// Where they are.
#[derive(Debug)]
pub(crate) struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Builds them, unless they are there.
    pub(crate) async fn build(context: &Context) -> anyhow::Result<Self> {
        let module = context.root.join(MODULE);
        let programs = Self {
            directory: context.cached("cert-manager"),
        };
        let (stamp, sources) = (programs.directory.join("sources"), fingerprint(&module)?);
        if fs::read_to_string(&stamp).is_ok_and(|built| built == sources) {
            return Ok(programs);
        }
        if programs.directory.exists() {
            fs::remove_dir_all(&programs.directory)?;
        }
        fs::create_dir_all(&programs.directory)?;
        let mut build = command("go", ["build", "-mod=readonly", "-trimpath", "-buildvcs=false"]);
        build
            .args(["-ldflags", "-s -w", "-o"])
            .arg(&programs.directory)
            .args(["./...", "tool"]);
        let mut test = command("go", ["test", "-mod=readonly", "-trimpath", "-c", "-o"]);
        test.arg(programs.judge_test()).arg("./compare");
        for mut compile in [build, test] {
            compile.current_dir(&module).env("CGO_ENABLED", "0");
            run_within(GO_BUILD, compile, "").await?.success()?;
        }
        programs.copy_definitions(&module).await?;
        fs::write(&stamp, sources)?;
        Ok(programs)
    }

    /// Directory of the servers.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The judge.
    pub(crate) fn judge(&self) -> PathBuf {
        self.directory.join("judge")
    }

    /// Its test.
    pub(crate) fn judge_test(&self) -> PathBuf {
        self.directory.join("compare.test")
    }

    /// Directory of `CustomResourceDefinition`s.
    pub(crate) fn crds(&self) -> PathBuf {
        self.directory.join("crds")
    }

    /// Those that the modules carry: cert-manager's own, and the Gateway API's as far as cert-manager knows it.
    async fn copy_definitions(&self, module: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(self.crds())?;
        for (name, below) in [
            ("github.com/cert-manager/cert-manager", "deploy/crds"),
            ("sigs.k8s.io/gateway-api", "config/crd/standard"),
        ] {
            let mut list = command("go", ["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", name]);
            list.current_dir(module);
            let directory = run(list, "").await?.success()?;
            let directory = Path::new(directory.trim()).join(below);
            for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
                let entry = entry?;
                // The module cache's files are read-only; these are not.
                fs::write(self.crds().join(entry.file_name()), fs::read(entry.path())?)?;
            }
        }
        Ok(())
    }
}

/// The Go module, and what is compared.
pub(crate) const MODULE: &str = "conformance/cert-manager";
/// Longest that everything may take to download and to build: kube-apiserver is large.
const GO_BUILD: Duration = Duration::from_secs(1200);
