//! Other programs: run to their end under a deadline, or kept running until dropped.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sealway_testkit::wait_until;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// What a program said.
#[derive(Debug)]
pub(crate) struct Output {
    /// Whether it ended with status 0.
    pub(crate) succeeded: bool,
    /// Standard output and standard error, one after the other.
    pub(crate) text: String,
}

impl Output {
    /// The text of a program that must succeed.
    pub(crate) fn success(self) -> anyhow::Result<String> {
        if self.succeeded {
            Ok(self.text)
        } else {
            bail!("the program failed:\n{}", excerpt(&self.text))
        }
    }

    /// The text, which must hold `expected`.
    pub(crate) fn saying(self, expected: &str) -> anyhow::Result<Self> {
        if self.text.contains(expected) {
            Ok(self)
        } else {
            bail!("expected `{expected}`, got:\n{}", excerpt(&self.text))
        }
    }

    /// The text of a program that must fail and say why.
    pub(crate) fn failure(self, expected: &str) -> anyhow::Result<String> {
        if self.succeeded {
            bail!("the program succeeded:\n{}", excerpt(&self.text));
        }
        Ok(self.saying(expected)?.text)
    }
}

/// Runs a program to its end with `input` on standard input.
pub(crate) async fn run(command: Command, input: &str) -> anyhow::Result<Output> {
    run_within(DEADLINE, command, input).await
}

/// The same for a program that may take longer, or has to be quicker.
pub(crate) async fn run_within(deadline: Duration, mut command: Command, input: &str) -> anyhow::Result<Output> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not want its input may be gone already.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = tokio::time::timeout(deadline, child.wait_with_output())
        .await
        .with_context(|| format!("{name} did not end within {} s", deadline.as_secs()))??;
    let text = [output.stdout, output.stderr].concat();
    Ok(Output {
        succeeded: output.status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    })
}

/// Waits until what a serving program has said satisfies `is_said`; fails with that one's own reason.
pub(crate) async fn until_said(log: &Path, mut is_said: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut look = || is_said(&std::fs::read_to_string(log)?);
    if wait_until(START, || look().is_ok()).await {
        return Ok(());
    }
    look()
}

/// Starts a program that serves until the handle is dropped; what it says goes to the file `log`.
pub(crate) fn serve(mut command: Command, log: &Path) -> anyhow::Result<Child> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {name}"))
}

/// A program and its arguments.
pub(crate) fn command(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// The last lines: enough to see what went wrong.
pub(crate) fn excerpt(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(EXCERPT_LINES)..].join("\n")
}

const EXCERPT_LINES: usize = 25;
/// Longest that a program may take to serve.
pub(crate) const START: Duration = Duration::from_secs(20);
/// Longest that a client may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
