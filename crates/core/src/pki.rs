//! Certificates, keys and revocation lists as they stand in Secrets and ConfigMaps.
//!
//! Job: bytes to what can be served or trusted. Input: the values of a Secret's or ConfigMap's keys. Output: an [`Identity`] or
//! [`Authorities`], or the reason why not. Invariant: pure and total; no reason holds a byte of what was read.

mod authorities;
mod chain;
mod der;
mod identity;
mod key;
pub(crate) mod list;
mod ocsp;
mod signature;

pub(crate) use authorities::{Authorities, AuthoritiesFault, content};
pub(crate) use identity::{Identity, IdentityFault, Unusable, Variant, hash};
pub use signature::is_signed_by;

use rustls_pki_types::CertificateDer;
use sealway_api::Timestamp;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

/// Whether a certificate may vouch for others. One that is trusted and may not is good for nothing but itself.
pub fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    chain::parse(certificate).is_some_and(|certificate| chain::is_authority(&certificate))
}

/// How long a certificate or a list holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    /// Whose.
    pub(crate) subject: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// A time past what a [`Timestamp`] can hold (RFC 5280 section 4.1.2.5: 99991231235959Z stands for no end) is its last moment.
fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
}

/// A name for people: short, and only of characters that print.
fn subject(name: &X509Name<'_>) -> String {
    const LONGEST: usize = 200;
    let text = name.to_string();
    let text = if text.is_empty() { "(no name)".to_owned() } else { text };
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests;
