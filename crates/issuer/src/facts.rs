//! What stands in a certificate, for deciding and for annotations.
//!
//! Input: DER. Output: plain data. Invariant: a certificate that cannot be read is a fault, never half a value.

use sealway_api::Timestamp;

use crate::subject::SubjectParts;

/// What stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Serial number, as in [`crate::Issuance::serial`]: lower-case hexadecimal digits, two for each byte, no leading zero bytes.
    pub serial: String,
    /// Its subject by parts.
    pub subject: SubjectParts,
    /// DER of the subject.
    pub subject_der: Vec<u8>,
    /// DER of the issuer's name.
    pub issuer_der: Vec<u8>,
    /// First second.
    pub not_before: Timestamp,
    /// Last second.
    pub not_after: Timestamp,
    /// SAN, in the order of the certificate.
    pub dns_names: Vec<String>,
    /// SAN.
    pub ip_addresses: Vec<std::net::IpAddr>,
    /// SAN.
    pub uris: Vec<String>,
    /// SAN.
    pub email_addresses: Vec<String>,
    /// Whether basic constraints say so.
    pub is_ca: bool,
    /// Whether it may sign certificates: no key usage at all, or one with keyCertSign.
    pub may_sign: bool,
    /// DER of the SubjectPublicKeyInfo.
    pub public_key_info: Vec<u8>,
    /// SHA-256 of the certificate: 64 lower-case hexadecimal digits.
    pub fingerprint: String,
}

/// Why a certificate cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsFault {
    /// No certificate.
    #[error("error parsing X.509 certificate: it is no DER of a certificate")]
    Malformed,
}

impl Facts {
    /// Reads a certificate (DER).
    pub fn of(_der: &[u8]) -> Result<Self, FactsFault> {
        Err(FactsFault::Malformed)
    }
}
