//! What is longer than a cargo command. `cargo xtask` without a command lists them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

mod chart;
mod cluster;
mod conformance;
mod crds;
mod e2e;
mod edges;
mod fuzz_smoke;
mod go;
mod golden;
mod image;
mod lab;
mod report;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["e2e", rest @ ..] => return e2e::run(rest),
        // The load test starts these in processes of their own.
        ["e2e-idle-backend", rest @ ..] => return e2e::idle_backend(rest),
        ["e2e-idle-clients", rest @ ..] => return e2e::idle_clients(rest),
        ["cluster", rest @ ..] => return cluster::run(rest),
        ["conformance", rest @ ..] => return conformance::run(rest),
        ["lab", rest @ ..] => return lab::run(rest),
        ["image", rest @ ..] => image::run(rest),
        ["chart"] => chart::run(),
        ["crds", ..] => crds::run(arguments.get(1..).unwrap_or_default()),
        ["edges"] => edges::run(),
        ["golden"] => golden::run(),
        ["fuzz-smoke", rest @ ..] => fuzz_smoke::run(rest),
        _ => bail!("{USAGE}"),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The cargo that runs this.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// The built `sealway`: the one that `SEALWAY_E2E_BINARY` names, or one that is built now.
fn sealway(debug: bool) -> anyhow::Result<PathBuf> {
    if let Some(binary) = std::env::var_os("SEALWAY_E2E_BINARY") {
        return Ok(PathBuf::from(binary));
    }
    let (flags, profile): (&[&str], _) = if debug { (&[], "debug") } else { (&["--release"], "release") };
    finish(cargo().args(["build", "--quiet", "--package", "sealway"]).args(flags))?;
    Ok(target().join(profile).join("sealway"))
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Runs to the end and insists on success.
fn finish(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

const USAGE: &str = "usage: cargo xtask COMMAND
  chart                         make the templates of the Helm chart from deploy/
  cluster [OPTION...] [CASE...] the gateway in a lab, and what a cluster does to it; --help lists options
  conformance [OPTION...]       the Gateway API's own suite against this gateway in a lab; --help lists options
  crds GATEWAY_API CERT_MANAGER TRUST_MANAGER
                                rewrite the embedded CustomResourceDefinitions from these sources
  e2e [--debug] [WORD...]       real clients through the real binary; scenarios whose names hold a word
  edges                         prove which packages may use which
  image [--name NAME] [--output FILE]
                                write an OCI archive of the gateway, without a registry
  lab COMMAND                   a real Kubernetes of one node; without a command lists them
  golden                        rewrite the expected outcomes of compile
  fuzz-smoke [--seconds N]      fuzz every target for a while, from the committed corpus";
