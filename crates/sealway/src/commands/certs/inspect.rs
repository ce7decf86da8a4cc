//! `sealway certs inspect`: everything about one certificate, of a gateway or of a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context as _;

use super::Exit;
use super::source::{self, Found};
use crate::args::{CertsInspectArgs, OutputFormat};
use crate::certificates::{Inspection, chain, inspect, inspection_text};
use crate::document::Document;
use crate::printer::Printer;

pub(super) fn run(args: &CertsInspectArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let found = match file(&args.which)? {
        Some(pem) => of_file(&args.which, &pem),
        None => {
            let path = format!("/api/v1/certificates/{}", escaped(&args.which));
            source::find(&args.source, &path, printer, |scene| match inspect(scene, &args.which) {
                Ok(inspection) => Found::Yes(inspection),
                Err(not_found) => Found::No(not_found.to_string()),
            })?
        }
    };
    let inspection: Inspection = match found {
        Found::Yes(inspection) => inspection,
        Found::No(why) => {
            printer.complain(why)?;
            return Ok(Exit::No);
        }
    };
    if args.output.format == OutputFormat::Text {
        printer.data(inspection_text(&inspection))?;
    } else {
        printer.document(args.output.format, &Document::new("Certificate", inspection))?;
    }
    Ok(Exit::Yes)
}

/// The content of a file, when one is meant.
fn file(which: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let mut pem = Vec::new();
    if which == "-" {
        let read = io::stdin().take(LARGEST + 1).read_to_end(&mut pem);
        read.context("standard input cannot be read")?;
    } else if Path::new(which).is_file() {
        let read = File::open(which).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut pem));
        read.with_context(|| format!("{which} cannot be read"))?;
    } else {
        return Ok(None);
    }
    if pem.len() as u64 > LARGEST {
        anyhow::bail!("{which} is too large for a file of certificates");
    }
    Ok(Some(pem))
}

fn of_file(which: &str, pem: &[u8]) -> Found<Inspection> {
    match chain(pem) {
        chain if chain.is_empty() => Found::No(format!("{which} holds no certificate in PEM form")),
        chain => Found::Yes(Inspection {
            chain,
            ..Inspection::default()
        }),
    }
}

/// For a path of a URL; slashes stay.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// In bytes.
const LARGEST: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_a_path_cannot_have_is_escaped() {
        assert_eq!(escaped("payment/my cert?"), "payment/my%20cert%3F");
        assert_eq!(escaped("0A:0b"), "0A%3A0b");
    }
}
