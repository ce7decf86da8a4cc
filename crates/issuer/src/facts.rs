//! What stands in a certificate, for deciding and for annotations.
//!
//! Input: DER. Output: plain data. Invariant: a certificate that cannot be read is a fault, never half a value.

use std::net::IpAddr;

use sealway_api::Timestamp;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::digits::{hexadecimal, serial_digits};
use crate::subject::SubjectParts;
use crate::x509::may_sign;

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
    pub ip_addresses: Vec<IpAddr>,
    /// SAN.
    pub uris: Vec<String>,
    /// SAN.
    pub email_addresses: Vec<String>,
    /// Whether basic constraints say so.
    pub is_ca: bool,
    /// Whether it may sign certificates: a CA with no key usage at all, or one with keyCertSign.
    pub may_sign: bool,
    /// Whether it may sign revocation lists: no key usage at all, or one with cRLSign.
    pub may_sign_lists: bool,
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
    /// An extension that is needed cannot be read, or stands there twice.
    #[error("error parsing X.509 certificate: its extensions cannot be read")]
    Extensions,
    /// Its validity is no time.
    #[error("error parsing X.509 certificate: its validity cannot be read")]
    Validity,
}

impl Facts {
    /// Reads a certificate (DER).
    pub fn of(der: &[u8]) -> Result<Self, FactsFault> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| FactsFault::Malformed)?;
        if !rest.is_empty() {
            return Err(FactsFault::Malformed);
        }
        let names = certificate.subject_alternative_name().map_err(|_| FactsFault::Extensions)?;
        let constraints = certificate.basic_constraints().map_err(|_| FactsFault::Extensions)?;
        let usage = certificate.key_usage().map_err(|_| FactsFault::Extensions)?;
        let mut facts = Self {
            serial: serial_digits(certificate.raw_serial()),
            subject: SubjectParts::of_name(certificate.subject()),
            subject_der: certificate.subject().as_raw().to_vec(),
            issuer_der: certificate.issuer().as_raw().to_vec(),
            not_before: timestamp(certificate.validity().not_before)?,
            not_after: timestamp(certificate.validity().not_after)?,
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            uris: Vec::new(),
            email_addresses: Vec::new(),
            is_ca: constraints.is_some_and(|constraints| constraints.value.ca),
            may_sign: may_sign(&certificate),
            may_sign_lists: usage.is_none_or(|usage| usage.value.crl_sign()),
            public_key_info: certificate.public_key().raw.to_vec(),
            fingerprint: hexadecimal(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref()),
        };
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => facts.dns_names.push((*name).to_owned()),
                GeneralName::URI(uri) => facts.uris.push((*uri).to_owned()),
                GeneralName::RFC822Name(address) => facts.email_addresses.push((*address).to_owned()),
                GeneralName::IPAddress(octets) => facts.ip_addresses.extend(ip_address(octets)),
                _ => {}
            }
        }
        Ok(facts)
    }
}

fn timestamp(time: ASN1Time) -> Result<Timestamp, FactsFault> {
    Timestamp::from_second(time.timestamp()).map_err(|_| FactsFault::Validity)
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    let short = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    short.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests;
