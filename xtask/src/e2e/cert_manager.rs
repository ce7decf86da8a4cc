//! Sealway's issuer against cert-manager itself, both given `conformance/cert-manager/specs`.
//!
//! Job: let cert-manager's own controllers work in an API server of their own (etcd and kube-apiserver alone), let `sealway run
//! --issuer-behaviour cert-manager` do the same from the manifests, and have the judge, a Go program of ours around cert-manager's code,
//! list every fact that differs: Secrets down to the order of extensions and the algorithms of keystores, and statuses. Keys, numbers and
//! times are replaced by what must hold of them. What differs for good stands, with its reason, in `excused.txt` beside the specs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::context::Context;
use super::process::{command, run, run_within};
use programs::Programs;

pub(crate) mod programs;
pub(super) mod refusals;
mod sealway;

/// The judge's own test: what was issued twice does not differ, and each of many alterations is found.
pub(crate) async fn finds_alterations(context: &Context) -> anyhow::Result<String> {
    let programs = Programs::build(context).await?;
    let text = run(command(programs.judge_test(), ["-test.v"]), "").await?.success()?;
    Ok(format!("{} tests", text.matches("--- PASS").count()))
}

/// cert-manager's controllers and Sealway's issuer, given the same manifests.
pub(crate) async fn issues_the_same(context: &Context) -> anyhow::Result<String> {
    let programs = Programs::build(context).await?;
    let module = context.root.join(programs::MODULE);
    let (specs, excused) = (module.join("specs"), module.join("excused.txt"));
    let directory = context.directory("cert-manager")?;
    let (want, got, work) = (directory.join("want"), directory.join("got"), directory.join("servers"));
    fs::create_dir(&work)?;

    let mut apply = command(programs.judge(), ["apply", "-programs"]);
    apply.arg(programs.directory()).arg("-crds").arg(programs.crds());
    apply.arg("-specs").arg(&specs).arg("-work").arg(&work).arg("-out").arg(&want);
    run_within(APPLY, apply, "").await?.success()?;

    sealway::issue(context, &specs, &want, &got).await?;

    let mut compare = command(programs.judge(), ["compare", "-want"]);
    compare.arg(&want).arg("-got").arg(&got);
    compare.arg("-specs").arg(&specs).arg("-excused").arg(&excused);
    let verdict = run(compare, "").await?;
    if !verdict.succeeded {
        // All of it: the list is what is asked for.
        bail!("{}", verdict.text);
    }
    let issued = count(&want.join("secrets"))?;
    Ok(format!("{issued} Secrets, {}", verdict.text.trim()))
}

/// How many files lie below `directory`.
fn count(directory: &Path) -> anyhow::Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() {
            count(&entry.path())?
        } else {
            1
        };
    }
    Ok(files)
}

/// Longest that the servers may take to start and cert-manager to settle; the judge has deadlines of its own below it.
const APPLY: Duration = Duration::from_secs(240);
