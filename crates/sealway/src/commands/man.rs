//! `sealway man DIR`: one page for the program and one for each command, at every depth.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory;
use clap_mangen::Man;

use super::Exit;
use crate::args::{Cli, ManArgs};
use crate::printer::Printer;

pub(crate) fn run(args: &ManArgs, printer: &Printer) -> anyhow::Result<Exit> {
    fs::create_dir_all(&args.directory).with_context(|| format!("cannot make {}", args.directory.display()))?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    write(&command, "sealway", &args.directory, printer)?;
    Ok(Exit::Yes)
}

fn write(command: &clap::Command, name: &str, directory: &Path, printer: &Printer) -> anyhow::Result<()> {
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    Man::new(command.clone().name(name.to_owned())).render(&mut page)?;
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    printer.data(format!("{}\n", path.display()))?;
    for below in command.get_subcommands() {
        write(below, &format!("{name}-{}", below.get_name()), directory, printer)?;
    }
    Ok(())
}
