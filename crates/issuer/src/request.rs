//! What a Certificate asks for, with every default filled in.
//!
//! It stands in the place of cert-manager's CertificateRequest: it is kept with the Secret, and an issued certificate is out of date
//! when its request differs from the one that the Certificate comes to now.

use std::time::Duration;

use sealway_api::{CertificateSpec, KeyAlgorithm, KeyEncoding, KeyUsage, NameConstraints, SignatureAlgorithm};
use serde::{Deserialize, Serialize};

/// What a certificate is to be, with every default filled in: what cert-manager would keep as a CertificateRequest. Two that are equal
/// need no new certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// The subject: DER of a Name (RFC 5280 section 4.1.2.6).
    pub subject: Vec<u8>,
    /// Whether it was written as `literalSubject`: then it is compared as a whole.
    pub literal_subject: bool,
    /// SAN: DNS names, in the order of the manifest, as cert-manager has them.
    pub dns_names: Vec<String>,
    /// SAN.
    pub ip_addresses: Vec<String>,
    /// SAN.
    pub uris: Vec<String>,
    /// SAN.
    pub email_addresses: Vec<String>,
    /// SAN: object identifier and UTF-8 value.
    pub other_names: Vec<(String, String)>,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// Usages as written; empty: digital signature and key encipherment. cert-manager compares them as written.
    pub usages: Vec<KeyUsage>,
    /// Whether the request carries them.
    pub encode_usages: bool,
    /// In seconds.
    pub duration: u64,
    /// Whether the manifest says how long; cert-manager compares durations only when both requests state one.
    pub duration_stated: bool,
    /// The key's algorithm; `None` only in a default value.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// In bits; 0 for Ed25519.
    pub key_size: u32,
    /// How the key is written.
    pub key_encoding: Option<KeyEncoding>,
    /// Signature algorithm of the request, when stated.
    pub signature_algorithm: Option<SignatureAlgorithm>,
    /// For CAs.
    pub name_constraints: Option<StoredConstraints>,
    /// Name, kind, group of the issuer.
    pub issuer: (String, String, String),
}

/// Name constraints in a [`Request`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoredConstraints {
    /// See [`NameConstraints::critical`].
    pub critical: bool,
    /// DNS domains, IP ranges, email addresses, URI domains that are permitted.
    pub permitted: [Vec<String>; 4],
    /// Those that are not.
    pub excluded: [Vec<String>; 4],
}

impl From<&NameConstraints> for StoredConstraints {
    fn from(constraints: &NameConstraints) -> Self {
        let lists = |item: &Option<sealway_api::NameConstraintItem>| {
            let item = item.clone().unwrap_or_default();
            [item.dns_domains, item.ip_ranges, item.email_addresses, item.uri_domains]
        };
        Self {
            critical: constraints.critical,
            permitted: lists(&constraints.permitted),
            excluded: lists(&constraints.excluded),
        }
    }
}

/// Why a Certificate cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// Nothing that it could be for.
    #[error(
        "at least one of commonName (from the commonName field or from a literalSubject), dnsNames, emailSANs, ipAddresses, otherNames, or uriSANs must be set"
    )]
    NoName,
}

impl Request {
    /// What a Certificate asks for.
    pub fn of(_spec: &CertificateSpec) -> Result<Self, RequestFault> {
        Err(RequestFault::NoName)
    }

    /// Fields of the Certificate in which `wanted` (what the Certificate asks for now) differs from this request (what was issued), named
    /// and ordered as in cert-manager's `RequestMatchesSpec`.
    #[must_use]
    pub fn differences(&self, _wanted: &Self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// A duration as Go writes it (`2160h`, `1h30m`, `1.5h`). `None` for what Go refuses, and for less than nothing.
#[must_use]
pub fn go_duration(_text: &str) -> Option<Duration> {
    None
}
