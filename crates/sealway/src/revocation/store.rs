//! Fetched lists on disk, so that a restart has them.
//!
//! One file for each distribution point: its URL in the first line, then the list and the certificates above it in PEM, so that `openssl
//! crl -in` reads it. Invariant: what is read here is verified as what is fetched is; a file that somebody changed does no more than one
//! that is not there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealway_core::{ContentHash, DistributionPoint, ListSource, RevocationList};
use sealway_demo::certificates::{create_private_dir, write_private};
use sealway_issuer::write_pem;

use super::MOST_POINTS;
use super::download::MOST_BYTES;

/// A directory of lists.
#[derive(Clone, Debug)]
pub(super) struct Store(PathBuf);

impl Store {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Every list that there is; nothing of what cannot be read.
    pub(super) fn load(&self) -> Vec<RevocationList> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!(directory = %self.0.display(), %error, "revocation lists of before cannot be read");
                return Vec::new();
            }
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|end| end == "pem"))
            .collect();
        paths.sort();
        let lists = paths.iter().take(MOST_POINTS).filter_map(|path| {
            let list = read(path).map(|bytes| parse(&bytes));
            if !matches!(list, Ok(Some(_))) {
                tracing::warn!(file = %path.display(), "a revocation list of before cannot be read; it will be fetched when it is needed");
            }
            list.ok().flatten()
        });
        lists.collect()
    }

    /// Keeps the list of a distribution point in the place of the one before.
    pub(super) fn keep(&self, name: ContentHash, list: &RevocationList) {
        let written = create_private_dir(&self.0).and_then(|()| write_private(&self.file(name), text(list).as_bytes()));
        if let Err(error) = written {
            tracing::warn!(directory = %self.0.display(), %error, "a revocation list cannot be kept; a restart will have to fetch it");
        }
    }

    fn file(&self, name: ContentHash) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES_OF_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn text(list: &RevocationList) -> String {
    let url = match list.source() {
        ListSource::Url(url) => url,
        ListSource::Issuer(_) => "",
    };
    let mut text = format!("{url}\n");
    text += &write_pem("X509 CRL", list.der());
    for issuer in list.issuers() {
        text += &write_pem("CERTIFICATE", issuer);
    }
    text
}

pub(super) fn parse(bytes: &[u8]) -> Option<RevocationList> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (url, rest) = bytes.split_at(end);
    let issuers = CertificateDer::pem_slice_iter(rest)
        .take(MOST_ISSUERS)
        .collect::<Result<_, _>>()
        .ok()?;
    let point = DistributionPoint {
        url: std::str::from_utf8(url).ok()?.to_owned(),
        issuers,
    };
    RevocationList::fetched(&point, rest).ok()
}

/// Base64 takes a third more, and the certificates have room.
const MOST_BYTES_OF_FILE: u64 = 2 * MOST_BYTES as u64;
/// The library follows no longer paths.
const MOST_ISSUERS: usize = 16;
