//! Certificates, each once, in the order of their fingerprints: what a Bundle writes.
//!
//! Input: PEM, from anybody. Output: certificates. Invariant: text that holds anything else than certificates adds nothing and is refused,
//! so that a private key in a source never gets into a target.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sealway_api::Timestamp;

use crate::facts::Facts;
use crate::keystore::subject_text;
use crate::pem;

/// Why PEM is not taken; prints in trust-manager's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolFault {
    /// Another kind of block, such as a key.
    #[error("invalid PEM block in bundle: only CERTIFICATE blocks are permitted but found '{0}'")]
    Kind(String),
    /// Lines such as `Proc-Type: 4,ENCRYPTED`.
    #[error("invalid PEM block in bundle; blocks are not permitted to have PEM headers")]
    Headers,
    /// What is in the block is none.
    #[error("invalid PEM block in bundle; invalid PEM certificate: x509: malformed certificate")]
    Certificate,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pool(BTreeMap<Vec<u8>, Authority>);

/// One certificate.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) certificate: Vec<u8>,
    pub(super) subject: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Pool {
    /// Adds all that there is, or nothing. Text between blocks is passed over, and so is what only looks like a block.
    pub(super) fn add(&mut self, text: &[u8]) -> Result<(), PoolFault> {
        let blocks = blocks(&String::from_utf8_lossy(text));
        let mut added = blocks.into_iter().map(read).collect::<Result<BTreeMap<_, _>, _>>()?;
        self.0.append(&mut added);
        Ok(())
    }

    /// Adds what can be read.
    pub(super) fn add_readable(&mut self, text: &[u8]) {
        self.0.extend(
            blocks(&String::from_utf8_lossy(text))
                .into_iter()
                .filter_map(|block| read(block).ok()),
        );
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn authorities(&self) -> impl Iterator<Item = &Authority> {
        self.0.values()
    }

    /// All of them, without an end of line at the end.
    pub(super) fn pem(&self) -> String {
        let text: String = self
            .authorities()
            .map(|authority| pem::write("CERTIFICATE", &authority.certificate))
            .collect();
        text.trim_end().to_owned()
    }
}

/// Whether there is anything in PEM, of whatever kind.
pub(super) fn has_blocks(text: &str) -> bool {
    !blocks(text).is_empty()
}

/// Fingerprint and certificate.
fn read(block: Block) -> Result<(Vec<u8>, Authority), PoolFault> {
    if block.kind != "CERTIFICATE" {
        return Err(PoolFault::Kind(block.kind));
    }
    if block.has_headers {
        return Err(PoolFault::Headers);
    }
    let facts = Facts::of(&block.content).map_err(|_| PoolFault::Certificate)?;
    let subject = subject_text(&block.content).map_err(|_| PoolFault::Certificate)?;
    let authority = Authority {
        subject,
        not_before: facts.not_before,
        not_after: facts.not_after,
        certificate: block.content,
    };
    Ok((digest(&SHA256, &authority.certificate).as_ref().to_vec(), authority))
}

struct Block {
    kind: String,
    has_headers: bool,
    content: Vec<u8>,
}

/// Every block, of whatever kind: a reader that passes over kinds that it does not know would pass over keys.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, bool, String)> = None;
    for line in text.lines().map(str::trim_end) {
        if let Some(kind) = boundary(line, "BEGIN") {
            open = Some((kind.to_owned(), false, String::new()));
        } else if let Some(kind) = boundary(line, "END") {
            if let Some((opened, has_headers, body)) = open.take().filter(|(opened, ..)| opened == kind)
                && let Ok(content) = BASE64_STANDARD.decode(body)
            {
                blocks.push(Block {
                    kind: opened,
                    has_headers,
                    content,
                });
            }
        } else if let Some((_, has_headers, body)) = &mut open {
            if line.contains(':') {
                *has_headers = true;
            } else {
                body.extend(line.split_ascii_whitespace());
            }
        }
    }
    blocks
}

fn boundary<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?
        .strip_suffix("-----")?
        .strip_prefix(word)?
        .strip_prefix(' ')
}
