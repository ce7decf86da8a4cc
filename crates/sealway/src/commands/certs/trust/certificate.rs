//! The certificate of a CA as a person has to see it before they believe it.
//!
//! Input: the bytes of a file, and the time. Output: the one certificate in it, or a [`Fault`]. Invariants: pure and total; keys that
//! stand in the same file go nowhere; what is shown holds only characters that print.

use std::fmt::{self, Write as _};

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealway_api::Timestamp;
use sealway_core::is_authority;
use sealway_issuer::write_pem;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificates::{NameConstraints, printable, timestamp};

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let digest = digest::digest(&digest::SHA256, certificate);
        bytes
            .iter_mut()
            .zip(digest.as_ref())
            .for_each(|(byte, digest)| *byte = *digest);
        Self(bytes)
    }

    /// From 64 hexadecimal digits of either case.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (position, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * position..2 * position + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// 64 small digits.
    pub(super) fn hex(self) -> String {
        self.written("", |text, byte| write!(text, "{byte:02x}"))
    }

    fn written(self, separator: &str, digits: impl Fn(&mut String, u8) -> fmt::Result) -> String {
        let mut text = String::new();
        for (position, byte) in self.0.into_iter().enumerate() {
            if position > 0 {
                text.push_str(separator);
            }
            // Writing to a String cannot fail.
            let _ = digits(&mut text, byte);
        }
        text
    }
}

/// As `openssl x509 -fingerprint -sha256` has it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written(":", |text, byte| write!(text, "{byte:02X}")))
    }
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    der: CertificateDer<'static>,
    pub(super) fingerprint: Fingerprint,
    pub(super) subject: String,
    issuer: String,
    is_self_issued: bool,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// `None`: any name at all.
    pub(super) constraints: Option<NameConstraints>,
}

/// Why a file does not hold a certificate that the system could be told to believe. Each reads after the file's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Fault {
    #[error("holds no certificate in PEM form (`openssl x509 -inform DER -in FILE -out ca.crt` converts one from DER)")]
    NoCertificate,
    #[error("holds a private key and no certificate: name the file with the CA's certificate, such as ca.crt")]
    KeyOnly,
    #[error("holds {0} certificates: name a file that holds the CA's alone")]
    Several(usize),
    #[error("holds a certificate that cannot be read: copy it again from where it was issued")]
    Broken,
    #[error("holds the certificate of {subject}, which is not a CA: name the certificate of the CA that issued it, {issuer}")]
    NotAuthority { subject: String, issuer: String },
    #[error(
        "holds the certificate of {subject}, a CA below {issuer}: systems believe roots, so name the certificate of {issuer}"
    )]
    NotRoot { subject: String, issuer: String },
    #[error("holds the certificate of {subject}, which expired at {at}: name the CA's present one")]
    Expired { subject: String, at: Timestamp },
}

impl Certificate {
    /// The one certificate of a PEM file.
    pub(super) fn read(pem: &[u8]) -> Result<Self, Fault> {
        let mut found: Vec<CertificateDer<'static>> = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| Fault::Broken)?;
            if !found.contains(&certificate) {
                found.push(certificate);
            }
        }
        match (found.pop(), found.len()) {
            (Some(certificate), 0) => Self::parse(certificate).ok_or(Fault::Broken),
            (Some(_), others) => Err(Fault::Several(others + 1)),
            (None, _) if holds_key(pem) => Err(Fault::KeyOnly),
            (None, _) => Err(Fault::NoCertificate),
        }
    }

    fn parse(der: CertificateDer<'static>) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(&der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        // Constraints that cannot be read are not shown as none: nobody could know what they say yes to.
        let constraints = certificate.name_constraints().ok()?;
        let constraints = constraints.map(|extension| NameConstraints::of(extension.value));
        Some(Self {
            fingerprint: Fingerprint::of(&der),
            subject: printable(&certificate.subject().to_string()),
            issuer: printable(&certificate.issuer().to_string()),
            is_self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            not_before: timestamp(certificate.validity().not_before),
            not_after: timestamp(certificate.validity().not_after),
            constraints,
            der: der.clone(),
        })
    }

    /// Whether the system can be told to believe it.
    pub(super) fn fits(&self, now: Timestamp) -> Result<(), Fault> {
        let (subject, issuer) = (self.subject.clone(), self.issuer.clone());
        if !is_authority(&self.der) {
            return Err(Fault::NotAuthority { subject, issuer });
        }
        if !self.is_self_issued {
            return Err(Fault::NotRoot { subject, issuer });
        }
        if self.not_after < now {
            return Err(Fault::Expired {
                subject,
                at: self.not_after,
            });
        }
        Ok(())
    }

    /// The certificate and nothing else, in lines of 64 characters (RFC 7468).
    pub(super) fn pem(&self) -> String {
        write_pem("CERTIFICATE", &self.der)
    }
}

/// Fingerprints of all certificates of a bundle; what cannot be read is passed over.
pub(super) fn fingerprints(pem: &[u8]) -> impl Iterator<Item = Fingerprint> {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .map(|certificate| Fingerprint::of(&certificate))
}

fn holds_key(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).contains("PRIVATE KEY-----")
}

#[cfg(test)]
mod tests;
