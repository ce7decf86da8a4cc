//! The certificate of a CA as a person has to see it before they believe it.
//!
//! Input: the bytes of a file, and the time. Output: the one certificate in it, or a [`Fault`]. Invariants: pure and total; keys that
//! stand in the same file go nowhere; what is shown holds only characters that print.

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealway_api::Timestamp;
use sealway_core::is_authority;
use serde::Serialize;
use thiserror::Error;
use x509_parser::extensions::{GeneralName, GeneralSubtree};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

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

/// What a CA may vouch for (RFC 5280 section 4.2.1.10), each subtree as `KIND VALUE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct NameConstraints {
    pub(super) permitted: Vec<String>,
    pub(super) excluded: Vec<String>,
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
        let constraints = certificate.name_constraints().ok()?.map(|extension| NameConstraints {
            permitted: subtrees(extension.value.permitted_subtrees.as_deref()),
            excluded: subtrees(extension.value.excluded_subtrees.as_deref()),
        });
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
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for (position, letter) in STANDARD.encode(&self.der).chars().enumerate() {
            if position > 0 && position % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem + "\n-----END CERTIFICATE-----\n"
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

fn subtrees(list: Option<&[GeneralSubtree<'_>]>) -> Vec<String> {
    let bases = list.unwrap_or_default().iter();
    bases.map(|subtree| printable(&name(&subtree.base))).collect()
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS {name}"),
        GeneralName::RFC822Name(name) => format!("email {name}"),
        GeneralName::URI(name) => format!("URI {name}"),
        GeneralName::DirectoryName(name) => format!("directory {name}"),
        GeneralName::IPAddress(bytes) => match network(bytes) {
            Some(network) => format!("IP {network}"),
            None => "IP (cannot be read)".to_owned(),
        },
        _ => "another kind of name".to_owned(),
    }
}

/// An address and its mask, one after the other.
fn network(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 8]>::try_from(bytes) {
        let both = u64::from_be_bytes(bytes);
        // The halves, not a loss.
        let (address, mask) = ((both >> 32) as u32, both as u32);
        return Some(format!(
            "{}/{}",
            Ipv4Addr::from(address),
            length(u128::from(mask) << 96, mask.count_ones())?
        ));
    }
    let (address, mask) = bytes.split_at_checked(16)?;
    let address = <[u8; 16]>::try_from(address).ok()?;
    let mask = u128::from_be_bytes(mask.try_into().ok()?);
    Some(format!("{}/{}", Ipv6Addr::from(address), length(mask, mask.count_ones())?))
}

/// The length of a prefix, when the mask is one.
fn length(mask: u128, ones: u32) -> Option<u32> {
    (mask.leading_ones() == ones).then_some(ones)
}

/// A time past what a [`Timestamp`] can hold (RFC 5280 section 4.1.2.5: 99991231235959Z stands for no end) is its last moment.
fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
}

/// Short, and without what a terminal would obey.
fn printable(text: &str) -> String {
    const LONGEST: usize = 200;
    let text = if text.is_empty() { "(no name)" } else { text };
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests;
