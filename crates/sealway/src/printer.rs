//! The one place that writes to standard output and standard error.
//!
//! Data goes to standard output, talk to standard error. Invariant: a reader that goes away is no error; what is left is dropped, and
//! the command's answer stands.

use std::io::{self, ErrorKind, Write};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use crate::args::{Color, OutputFormat, TalkArgs};

/// Writes for a command.
#[derive(Debug)]
pub(crate) struct Printer {
    color: ColorChoice,
    quiet: bool,
}

impl Printer {
    /// A printer that looks and talks as asked.
    pub(crate) fn new(talk: TalkArgs) -> Self {
        Self {
            color: color_choice(talk.color),
            quiet: talk.quiet,
        }
    }

    /// Whether only what is wrong is to be said.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// A piece of the answer, as it stands; colours go where they are wanted.
    pub(crate) fn data(&self, text: impl AsRef<str>) -> io::Result<()> {
        let mut out = AutoStream::new(io::stdout(), self.color).lock();
        forgive(out.write_all(text.as_ref().as_bytes()).and_then(|()| out.flush()))
    }

    /// The whole answer as a document.
    pub(crate) fn document(&self, format: OutputFormat, document: &impl Serialize) -> anyhow::Result<()> {
        let text = match format {
            OutputFormat::Yaml => serde_saphyr::to_string(document)?,
            OutputFormat::Json | OutputFormat::Text => serde_json::to_string_pretty(document)? + "\n",
        };
        Ok(self.data(text)?)
    }

    /// A line to the person in front of it; nothing when quiet.
    pub(crate) fn talk(&self, line: impl AsRef<str>) -> io::Result<()> {
        if self.quiet { Ok(()) } else { self.complain(line) }
    }

    /// A line that is said even when quiet.
    pub(crate) fn complain(&self, line: impl AsRef<str>) -> io::Result<()> {
        let mut err = AutoStream::new(io::stderr(), self.color).lock();
        forgive(writeln!(err, "{}", line.as_ref()))
    }
}

/// What `--color` means to the streams; `auto` looks at the terminal and at NO_COLOR.
pub(crate) fn color_choice(color: Color) -> ColorChoice {
    match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    }
}

fn forgive(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
