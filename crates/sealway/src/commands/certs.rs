//! `sealway certs`: everything about certificates that is asked for by hand.

use super::Exit;
use crate::args::CertsCommand;
use crate::printer::Printer;

mod trust;

pub(crate) fn run(command: &CertsCommand, printer: &Printer) -> anyhow::Result<Exit> {
    match command {
        CertsCommand::Trust(command) => trust::run(command, printer),
    }
}
