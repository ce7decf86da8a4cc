//! Headers that tell a backend which client certificate the gateway has verified.
//!
//! Job: X-Forwarded-Client-Cert as Envoy writes it (Hash, Cert, Subject, URI, DNS), Client-Cert and Client-Cert-Chain (RFC 9440). Input:
//! the verified chain, once per connection. Invariant: a backend never sees a header of these names that a client wrote, trusted proxies
//! included; nothing in a certificate, which is a stranger's text, can end a field and begin another; no value is larger than
//! [`LARGEST_VALUE`].

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls_pki_types::CertificateDer;
use sealway_core::ClientCertificateHeaders;

use super::forwarded::{remove_where, same_name};

mod names;
#[cfg(test)]
mod tests;

use names::Names;

const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// Servers commonly refuse lines of more than 8 KiB. What does not fit is left out: first the certificates, then single names.
pub(crate) const LARGEST_VALUE: usize = 7 * 1024;

/// Values for one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientCertificateValues {
    xfcc: Option<HeaderValue>,
    certificate: Option<HeaderValue>,
    chain: Option<HeaderValue>,
    principal: Option<String>,
}

impl ClientCertificateValues {
    /// Of a verified chain, leaf first; `None` for a client that has not proved itself.
    pub(crate) fn new(chain: Option<&[CertificateDer<'_>]>, headers: ClientCertificateHeaders) -> Self {
        let Some((leaf, issuers)) = chain.and_then(<[_]>::split_first) else {
            return Self::default();
        };
        let names = Names::of(leaf);
        Self {
            xfcc: headers.xfcc.then(|| xfcc(leaf, &names)).flatten(),
            certificate: headers.rfc9440.then(|| byte_sequences(std::slice::from_ref(leaf))).flatten(),
            chain: headers.rfc9440.then(|| byte_sequences(issuers)).flatten(),
            principal: names.principal(),
        }
    }

    /// Who the client is: its first URI, else its first DNS name, else its subject.
    pub(crate) fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }

    /// Strips what the client wrote and puts these.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        remove_where(headers, is_ours);
        for (name, value) in [
            (XFCC, &self.xfcc),
            (CLIENT_CERT, &self.certificate),
            (CLIENT_CERT_CHAIN, &self.chain),
        ] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// Whether a header is one of those that only the gateway writes; look-alikes with `_` included.
pub(super) fn is_ours(name: &str) -> bool {
    [XFCC, CLIENT_CERT, CLIENT_CERT_CHAIN]
        .iter()
        .any(|known| same_name(name, known.as_str()))
}

fn xfcc(leaf: &CertificateDer<'_>, names: &Names) -> Option<HeaderValue> {
    let hash: String = digest(&SHA256, leaf)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let hash = format!("Hash={hash}");
    let mut room = LARGEST_VALUE.saturating_sub(hash.len());
    let mut identity = String::new();
    for field in names.xfcc_fields() {
        if let Some(left) = room.checked_sub(field.len() + 1) {
            room = left;
            identity.push(';');
            identity.push_str(&field);
        }
    }
    let certificate = format!(";Cert=\"{}\"", url_encoded_pem(leaf));
    let certificate = if certificate.len() <= room {
        certificate
    } else {
        String::new()
    };
    HeaderValue::from_maybe_shared(Bytes::from(format!("{hash}{certificate}{identity}"))).ok()
}

/// PEM with everything but unreserved characters encoded, as in Envoy: `+`, `/`, `=`, spaces and line feeds.
fn url_encoded_pem(certificate: &CertificateDer<'_>) -> String {
    let mut pem = String::from("-----BEGIN%20CERTIFICATE-----%0A");
    for (position, character) in STANDARD.encode(certificate).chars().enumerate() {
        if position > 0 && position % 64 == 0 {
            pem.push_str("%0A");
        }
        match character {
            '+' => pem.push_str("%2B"),
            '/' => pem.push_str("%2F"),
            '=' => pem.push_str("%3D"),
            other => pem.push(other),
        }
    }
    pem.push_str("%0A-----END%20CERTIFICATE-----%0A");
    pem
}

/// A list of byte sequences (RFC 9651 sections 3.1 and 3.3.5); `None` when there are none or they are too large.
fn byte_sequences(certificates: &[CertificateDer<'_>]) -> Option<HeaderValue> {
    let length: usize = certificates
        .iter()
        .map(|certificate| certificate.len().div_ceil(3) * 4 + 4)
        .sum();
    if certificates.is_empty() || length > LARGEST_VALUE {
        return None;
    }
    let encoded: Vec<String> = certificates
        .iter()
        .map(|certificate| format!(":{}:", STANDARD.encode(certificate)))
        .collect();
    HeaderValue::from_maybe_shared(Bytes::from(encoded.join(", "))).ok()
}
