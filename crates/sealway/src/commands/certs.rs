//! `sealway certs`: everything about certificates that is asked for by hand.

use super::Exit;
use crate::args::CertsCommand;
use crate::printer::Printer;

mod ask;
mod inspect;
mod list;
mod renew;
mod revoke;
mod source;
mod trust;

pub(crate) fn run(command: &CertsCommand, printer: &Printer) -> anyhow::Result<Exit> {
    match command {
        CertsCommand::List(args) => list::run(args, printer),
        CertsCommand::Inspect(args) => inspect::run(args, printer),
        CertsCommand::Renew(args) => renew::run(args, printer),
        CertsCommand::Revoke(args) => revoke::run(args, printer),
        CertsCommand::Trust(command) => trust::run(command, printer),
    }
}
