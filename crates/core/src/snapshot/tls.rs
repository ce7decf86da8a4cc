//! TLS as the data plane ends and begins it.
//!
//! Job: which certificate answers a name, whose client certificates are believed, how a backend proves itself. Invariant: certificates
//! are named by the hash of their content; the keys travel beside the snapshot in [`crate::Keys`].

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sealway_api::{ObjectKey, ObjectRef, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{as_text, text, unexpected};
use crate::hostname::HostnamePattern;
use crate::revocation::CrlFailure;

/// SHA-256 of what a name stands for; prints and serialises in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer)?;
        let digits = text.as_bytes();
        let mut hash = [0; 32];
        let digit = |byte: u8| {
            let value = char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
            value.and_then(|value| u8::try_from(value).ok())
        };
        let read = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
            _ => None,
        };
        let is_hash = digits.len() == 64
            && hash.iter_mut().zip(digits.chunks(2)).all(|(byte, pair)| {
                let value = read(pair);
                *byte = value.unwrap_or_default();
                value.is_some()
            });
        is_hash
            .then_some(Self(hash))
            .ok_or_else(|| unexpected(&text, "64 hexadecimal digits"))
    }
}

/// How a listener ends TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Termination {
    /// In the order of `certificateRefs`; at least one of them is good.
    pub certificates: Vec<CertificateSlot>,
    /// Whether clients must prove themselves.
    pub client_validation: Option<Arc<ClientValidation>>,
    /// Versions, suites and groups.
    pub options: TlsOptions,
}

/// One of the certificates of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateSlot {
    /// It is served.
    Served(Arc<ServedCertificate>),
    /// It cannot be: names that only it would serve are refused.
    Broken {
        /// The Secret.
        #[serde(serialize_with = "as_text")]
        secret: ObjectKey,
        /// Names of its certificate; `None` when nothing can be read.
        names: Option<Vec<HostnamePattern>>,
    },
}

/// A certificate with its chain, and the key that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServedCertificate {
    /// Where it came from.
    #[serde(serialize_with = "as_text")]
    pub secret: ObjectKey,
    /// Of chain, key and OCSP response together: its name in [`crate::Keys`].
    pub content: ContentHash,
    /// DNS names of the leaf; a wildcard stands for one label here (RFC 9525 section 6.3).
    pub names: Vec<HostnamePattern>,
    /// Of the leaf, in hexadecimal.
    pub serial: String,
    /// Of the leaf.
    pub not_before: Timestamp,
    /// Of the leaf.
    pub not_after: Timestamp,
}

/// Which certificates may answer a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateChoice<'a> {
    /// The best first; the client's signature algorithms decide which of them it is.
    Candidates(Vec<&'a Arc<ServedCertificate>>),
    /// The name belongs to a Secret that cannot be served: alert `internal_error`.
    Broken(&'a ObjectKey),
}

impl Termination {
    /// Certificates for a server name (lower case): those with that very name, then those with a wildcard for it, then the rest in
    /// order. A name that only a broken Secret could serve is refused; one that another covers as well is not, for else a bad renewal
    /// of the ECDSA certificate would take down the RSA one beside it.
    #[must_use]
    pub fn certificates(&self, name: Option<&str>) -> CertificateChoice<'_> {
        let mut served = Vec::new();
        let mut broken = Vec::new();
        for slot in &self.certificates {
            match slot {
                CertificateSlot::Served(certificate) => served.push((Fit::of(Some(&certificate.names), name), certificate)),
                CertificateSlot::Broken { secret, names } => broken.push((Fit::of(names.as_deref(), name), secret)),
            }
        }
        // Stable: the order of the listener decides among equals.
        served.sort_by_key(|(fit, _)| *fit);
        let is_covered = served.first().is_some_and(|(fit, _)| *fit < Fit::Unknown);
        match broken.into_iter().min_by_key(|(fit, _)| *fit) {
            Some((fit, secret)) if fit < Fit::Other && !is_covered => CertificateChoice::Broken(secret),
            _ => CertificateChoice::Candidates(served.into_iter().map(|(_, certificate)| certificate).collect()),
        }
    }
}

/// How well a certificate fits a server name, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It has the very name.
    Exact,
    /// It has a wildcard for it.
    Wildcard,
    /// It cannot be read, so it may be the one that has it.
    Unknown,
    /// It is for other names, or no name was asked for.
    Other,
}

impl Fit {
    fn of(names: Option<&[HostnamePattern]>, name: Option<&str>) -> Self {
        let Some(name) = name else { return Self::Other };
        let Some(names) = names else { return Self::Unknown };
        let fit = |pattern: &HostnamePattern| match pattern {
            HostnamePattern::Exact(exact) if **exact == *name => Self::Exact,
            HostnamePattern::Wildcard(suffix) if name.split_once('.').is_some_and(|(_, rest)| *rest == **suffix) => {
                Self::Wildcard
            }
            _ => Self::Other,
        };
        names.iter().map(fit).min().unwrap_or(Self::Other)
    }
}

/// What clients must show (`spec.tls.frontend`, GEP-91).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientValidation {
    /// Whether a connection without a good certificate is refused.
    pub mode: ClientValidationMode,
    /// Whom to believe.
    pub authorities: Arc<TrustBundle>,
}

/// Whether a connection without a good client certificate is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientValidationMode {
    /// It is.
    AllowValidOnly,
    /// It is served all the same; backends hear only of certificates that are good.
    AllowInsecureFallback,
}

/// Certificates of authorities, and what they have revoked.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustBundle {
    /// Of everything in it.
    pub content: ContentHash,
    /// Where it came from, in order.
    pub sources: Vec<ObjectRef>,
    /// Each once.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Their subjects, for people.
    pub subjects: Vec<String>,
    /// Certificate revocation lists (RFC 5280 section 5), DER.
    pub revocation_lists: Vec<Arc<[u8]>>,
    /// What becomes of those who name a distribution point when there is no current list of their issuer.
    pub crl_failure: CrlFailure,
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TrustBundle({:?})", self.subjects)
    }
}

/// Without the bytes: who is believed, and how many lists there are.
impl Serialize for TrustBundle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Shown<'a> {
            content: &'a ContentHash,
            sources: &'a [ObjectRef],
            subjects: &'a [String],
            revocation_lists: usize,
            #[serde(skip_serializing_if = "is_soft")]
            crl_failure: CrlFailure,
        }
        let shown = Shown {
            content: &self.content,
            sources: &self.sources,
            subjects: &self.subjects,
            revocation_lists: self.revocation_lists.len(),
            crl_failure: self.crl_failure,
        };
        shown.serialize(serializer)
    }
}

fn is_soft(failure: &CrlFailure) -> bool {
    *failure == CrlFailure::Soft
}

/// Whether the gateway speaks TLS to a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum UpstreamTls {
    /// It does not.
    Plain,
    /// It does, and verifies the backend.
    Verified(Arc<BackendTls>),
    /// A BackendTLSPolicy asks for it in a way that cannot be honoured: connections are refused
    /// ([`super::BackendFault::TlsPolicyInvalid`]).
    Refused {
        /// The policy.
        #[serde(serialize_with = "as_text")]
        policy: ObjectKey,
    },
}

/// How a backend proves itself (BackendTLSPolicy, GEP-1897).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTls {
    /// The policy.
    #[serde(serialize_with = "as_text")]
    pub policy: ObjectKey,
    /// SNI.
    pub server_name: String,
    /// The certificate must have one of these; empty: `server_name`.
    pub names: Vec<BackendName>,
    /// Whom to believe.
    pub authorities: BackendAuthorities,
    /// Versions, suites and groups.
    pub options: TlsOptions,
}

/// A subject alternative name of a backend's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackendName {
    /// A DNS name; a wildcard is that very entry of the certificate.
    Dns(HostnamePattern),
    /// A URI, compared byte by byte.
    Uri(String),
}

/// Whose certificates of backends are believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BackendAuthorities {
    /// Those of the machine.
    System,
    /// These.
    Bundle(Arc<TrustBundle>),
}

/// Versions, cipher suites and key exchange groups; what is absent or empty is the data plane's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsOptions {
    /// Nothing older is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_version: Option<TlsVersion>,
    /// In order of preference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cipher_suites: Vec<CipherSuite>,
    /// In order of preference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<KeyExchangeGroup>,
}

macro_rules! names {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names are the standards' own")]
        pub enum $name { $($variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As rustls spells it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// From rustls' spelling.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = text(deserializer)?;
                Self::parse(&text).ok_or_else(|| unexpected(&text, stringify!($name)))
            }
        }
    };
}

pub(super) use names;

names! {
    /// Versions of TLS that may be spoken.
    TlsVersion { Tls12 = "TLSv1_2", Tls13 = "TLSv1_3", }
}

names! {
    /// Cipher suites that may be spoken.
    CipherSuite {
        Tls13Aes128GcmSha256 = "TLS13_AES_128_GCM_SHA256",
        Tls13Aes256GcmSha384 = "TLS13_AES_256_GCM_SHA384",
        Tls13Chacha20Poly1305Sha256 = "TLS13_CHACHA20_POLY1305_SHA256",
        EcdheEcdsaAes128GcmSha256 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        EcdheEcdsaAes256GcmSha384 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        EcdheEcdsaChacha20Poly1305Sha256 = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        EcdheRsaAes128GcmSha256 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        EcdheRsaAes256GcmSha384 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        EcdheRsaChacha20Poly1305Sha256 = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    }
}

names! {
    /// Key exchange groups that may be used.
    KeyExchangeGroup {
        X25519MlKem768 = "X25519MLKEM768",
        Secp256r1MlKem768 = "secp256r1MLKEM768",
        MlKem768 = "MLKEM768",
        X25519 = "X25519",
        Secp256r1 = "secp256r1",
        Secp384r1 = "secp384r1",
    }
}

/// Headers that tell a backend which client certificate the gateway has verified (annotation `sealway.dev/client-certificate-headers`).
/// Inbound headers of these names are stripped whatever stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificateHeaders {
    /// X-Forwarded-Client-Cert, as Envoy writes it.
    pub xfcc: bool,
    /// Client-Cert and Client-Cert-Chain (RFC 9440).
    pub rfc9440: bool,
}

impl Default for ClientCertificateHeaders {
    fn default() -> Self {
        Self {
            xfcc: true,
            rfc9440: false,
        }
    }
}

#[cfg(test)]
mod tests;
