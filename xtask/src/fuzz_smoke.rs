//! `cargo xtask fuzz-smoke [--seconds N]`: fuzzes every target for a while, from the committed corpus.
//!
//! `fuzz/` builds on stable with coverage flags of its own (fuzz/.cargo/config.toml). New inputs go below the target directory and a
//! crash to `fuzz/artifacts`; the committed corpus is only read.
#![expect(clippy::print_stdout, reason = "the lines are what this command is for")]

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

/// Builds all targets, then runs each for N seconds (20 unless told).
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let seconds: u64 = match arguments {
        [] => 20,
        ["--seconds", seconds] => seconds.parse().context("--seconds")?,
        _ => bail!("usage: cargo xtask fuzz-smoke [--seconds N]"),
    };
    let fuzz = super::root().join("fuzz");
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| super::root().join("target"), PathBuf::from)
        .join("fuzz");
    let mut build = super::cargo();
    // These would replace the coverage flags.
    build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    super::finish(
        build
            .current_dir(&fuzz)
            .args(["build", "--release", "--locked", "--bins"])
            .env("CARGO_TARGET_DIR", &target),
    )?;

    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(fuzz.join("fuzz_targets")).context("fuzz/fuzz_targets")? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.sort();
    let artifacts = fuzz.join("artifacts");
    fs::create_dir_all(&artifacts)?;
    for name in &names {
        let found = target.join("corpus").join(name);
        fs::create_dir_all(&found)?;
        let binary = target.join(host()?).join("release").join(name);
        let mut fuzzing = std::process::Command::new(&binary);
        fuzzing.arg(&found).arg(fuzz.join("corpus").join(name));
        fuzzing.args([
            format!("-max_total_time={seconds}"),
            format!("-artifact_prefix={}/{name}-", artifacts.display()),
            "-timeout=10".to_owned(),
            "-rss_limit_mb=2048".to_owned(),
            "-print_final_stats=0".to_owned(),
            "-verbosity=0".to_owned(),
        ]);
        println!("fuzzing {name} for {seconds} s");
        super::finish(&mut fuzzing)?;
    }
    println!("{} targets held", names.len());
    Ok(())
}

/// The target triple that `host-tuple` stands for.
fn host() -> anyhow::Result<String> {
    let output = std::process::Command::new("rustc").arg("-vV").output().context("rustc -vV")?;
    let text = String::from_utf8(output.stdout).context("rustc -vV")?;
    let host = text
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?;
    Ok(host.to_owned())
}
