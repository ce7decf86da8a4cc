//! PEM, as Go's encoding/pem writes it, and as rustls-pki-types reads it: text around blocks is passed over, and so are blocks of kinds
//! that it does not know.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::pem::{PemObject, SectionKind};

/// Blocks, with their kinds.
pub(crate) fn blocks(text: &[u8]) -> impl Iterator<Item = Result<(SectionKind, Vec<u8>), rustls_pki_types::pem::Error>> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text)
}

/// One block, in lines of 64 (RFC 7468).
#[must_use]
pub fn write(label: &str, content: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(content);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
