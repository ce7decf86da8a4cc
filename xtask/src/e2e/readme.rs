//! The README's console sessions, run and compared.
//!
//! In every ```console block, a line after `$ ` is a command (`> ` goes on with it), what follows is its output. A command that ends in
//! `&` serves until the end of the session; its output is waited for. `…` stands for any text. All blocks are one session.

use anyhow::{Context as _, ensure};

use super::context::Context;
use super::process::{command, run, serve, until_said};

/// One command of the README and what it must print.
struct Step {
    command: String,
    expected: Vec<String>,
}

/// Runs the session.
pub(crate) async fn session(context: &Context) -> anyhow::Result<String> {
    let readme = std::fs::read_to_string(context.root.join("README.md")).context("README.md")?;
    let steps = steps(&readme);
    ensure!(steps.len() >= 8, "only {} commands found", steps.len());
    let directory = context.directory("readme")?;
    let binaries = context.binary.parent().context("binary without directory")?;
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default());
    let mut serving = Vec::new();
    for (position, step) in steps.iter().enumerate() {
        // The binary under test is there already, and may be another profile's.
        if step.command.starts_with("cargo build") {
            continue;
        }
        let (text, serves) = match step.command.strip_suffix('&') {
            Some(text) => (format!("exec {}", text.trim()), true),
            None => (step.command.clone(), false),
        };
        let mut shell = command("bash", ["-c", &text]);
        shell.current_dir(&context.root).env("PATH", &path).env("NO_COLOR", "1");
        if serves {
            let log = directory.join(format!("{position}.log"));
            serving.push(serve(shell, &log)?);
            until_said(&log, |said| matches(said, &step.expected))
                .await
                .with_context(|| step.command.clone())?;
        } else {
            let output = run(shell, "").await?;
            matches(&output.text, &step.expected).with_context(|| step.command.clone())?;
        }
    }
    Ok(format!("{} commands", steps.len()))
}

fn steps(markdown: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if !inside {
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                expected: Vec::new(),
            });
        } else if let (Some(step), Some(more)) = (steps.last_mut(), line.strip_prefix("> ")) {
            step.command.push('\n');
            step.command.push_str(more);
        } else if let Some(step) = steps.last_mut() {
            step.expected.push(line.to_owned());
        }
    }
    steps
}

/// Whether every expected line is in the output, in order.
fn matches(output: &str, expected: &[String]) -> anyhow::Result<()> {
    let mut lines = output.lines();
    for wanted in expected {
        ensure!(
            lines.any(|line| fits(line, wanted)),
            "no line `{wanted}` (in order) in:\n{output}"
        );
    }
    Ok(())
}

fn fits(line: &str, wanted: &str) -> bool {
    let mut parts = wanted.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = true;
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
        open &= part.is_empty();
    }
    open || rest.is_empty()
}
