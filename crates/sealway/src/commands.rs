//! The commands, one file each: arguments in, [`Exit`] out.

use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::printer::Printer;

mod certs;
mod check;
mod completions;
mod controller;
mod demo;
mod man;
mod proxy;
mod run;

/// What a command has to say to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Yes: done, all is well.
    Yes,
    /// No: the answer to what was asked is negative.
    No,
    /// The question could not be put: usage, an unreadable path, a port that is taken.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Yes => Self::SUCCESS,
            Exit::No => Self::from(1),
            Exit::Failed => Self::from(2),
        }
    }
}

/// Runs one command to its end; an error is said with its causes.
pub(crate) fn run(cli: Cli) -> Exit {
    let printer = Printer::new(cli.talk);
    let done = match cli.command {
        Command::Run(args) => run::run(&args, cli.talk),
        Command::Controller(args) => controller::run(&args, cli.talk),
        Command::Proxy(args) => proxy::run(&args, cli.talk),
        Command::Check(args) => check::run(&args, &printer),
        Command::Demo(args) => demo::run(&args, cli.talk, &printer),
        Command::Certs(command) => certs::run(&command, &printer),
        Command::Completions(args) => completions::run(&args, &printer),
        Command::Man(args) => man::run(&args, &printer),
    };
    done.unwrap_or_else(|error| {
        // When even that cannot be said, the exit code is all that is left.
        let _ = printer.complain(format!("error: {error:#}"));
        Exit::Failed
    })
}
