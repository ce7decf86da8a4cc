//! `sealway completions SHELL`: the completion script, on standard output.

use clap::CommandFactory;

use super::Exit;
use crate::args::{Cli, CompletionsArgs};
use crate::printer::Printer;

pub(crate) fn run(args: &CompletionsArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sealway", &mut script);
    printer.data(String::from_utf8(script)?)?;
    Ok(Exit::Yes)
}
