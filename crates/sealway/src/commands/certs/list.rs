//! `sealway certs list`: every certificate, the one that ends soonest first.

use super::Exit;
use super::source::{self, Found};
use crate::args::{CertsListArgs, OutputFormat};
use crate::certificates::{Inventory, inventory, inventory_text};
use crate::document::Document;
use crate::printer::Printer;

pub(super) fn run(args: &CertsListArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let found = source::find(&args.source, "/api/v1/certificates", printer, |scene| {
        Found::Yes(inventory(scene))
    })?;
    let inventory: Inventory = match found {
        Found::Yes(inventory) => inventory,
        Found::No(why) => anyhow::bail!("the gateway has no list of certificates: {why}"),
    };
    if args.output.format == OutputFormat::Text {
        printer.data(inventory_text(&inventory))?;
    } else {
        printer.document(args.output.format, &Document::new("Certificates", inventory))?;
    }
    Ok(Exit::Yes)
}
