//! What may be wrong with certificates that are used all the same.
//!
//! Job: own code, severity, words and hint of every flaw. Refusing such a certificate would be the outage; saying nothing would be one
//! later.

use std::fmt;

use sealway_api::Timestamp;

use super::Severity;

/// A flaw of a certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateFlaw {
    /// It, or one above it in the chain, has expired.
    Expired {
        /// Whose.
        subject: String,
        /// Since when.
        since: Timestamp,
    },
    /// It, or one above it in the chain, is not valid yet.
    NotYetValid {
        /// Whose.
        subject: String,
        /// From when.
        from: Timestamp,
    },
    /// The chain is not in order; it is served sorted.
    ChainOrder,
    /// Certificates of the file belong to no chain of the leaf; they are sent all the same.
    ChainUnrelated {
        /// How many.
        count: usize,
    },
    /// The issuer of the chain's last certificate is missing.
    ChainIncomplete {
        /// Who signed the last one.
        issuer: String,
    },
    /// The leaf is signed with a hash that clients no longer take.
    WeakSignature,
    /// The leaf's extended key usage has no serverAuth.
    NotForServers,
    /// The leaf's extended key usage has no clientAuth.
    NotForClients,
    /// The leaf is a certificate of an authority.
    IsAuthority,
    /// The OCSP response cannot be stapled.
    OcspUnusable {
        /// Why.
        why: OcspFault,
    },
    /// The OCSP response says that the certificate has been revoked.
    Revoked,
}

/// Why an OCSP response is not stapled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OcspFault {
    /// It is not an OCSP response in DER.
    Malformed,
    /// The responder said that it could not answer.
    Unsuccessful,
    /// It is about another certificate.
    OtherCertificate,
    /// The responder does not know the certificate.
    Unknown,
    /// There is a newer one by now, or should be.
    Expired(Timestamp),
}

impl CertificateFlaw {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::IsAuthority => Severity::Note,
            _ => Severity::Warning,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "certificate-expired",
            Self::NotYetValid { .. } => "certificate-not-yet-valid",
            Self::ChainOrder => "certificate-chain-order",
            Self::ChainUnrelated { .. } => "certificate-chain-unrelated",
            Self::ChainIncomplete { .. } => "certificate-chain-incomplete",
            Self::WeakSignature => "certificate-weak-signature",
            Self::NotForServers => "certificate-not-for-servers",
            Self::NotForClients => "certificate-not-for-clients",
            Self::IsAuthority => "certificate-is-authority",
            Self::OcspUnusable { .. } => "ocsp-response-unusable",
            Self::Revoked => "certificate-revoked",
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Expired { subject, since } => {
                format!("the certificate of `{subject}` has expired at {since}; it is served all the same")
            }
            Self::NotYetValid { subject, from } => {
                format!("the certificate of `{subject}` is not valid before {from}; it is served all the same")
            }
            Self::ChainOrder => {
                "the certificates are not in order, leaf first and each followed by its issuer; they are served sorted".to_owned()
            }
            Self::ChainUnrelated { count } => {
                format!("{count} certificate(s) of `tls.crt` belong to no chain of its leaf; they are sent all the same")
            }
            Self::ChainIncomplete { issuer } => {
                format!(
                    "the chain is incomplete: `{issuer}`, who signed its last certificate, is missing; clients that do not have it will refuse it"
                )
            }
            Self::WeakSignature => "the certificate is signed with SHA-1 or MD5, which clients no longer take".to_owned(),
            Self::NotForServers => "the certificate's extended key usage has no serverAuth: clients will refuse it".to_owned(),
            Self::NotForClients => "the certificate's extended key usage has no clientAuth: backends will refuse it".to_owned(),
            Self::IsAuthority => "the certificate served is one of an authority (CA:TRUE): some clients refuse that".to_owned(),
            Self::OcspUnusable { why } => match why {
                OcspFault::Malformed => "`tls.ocsp-staple` is no OCSP response in DER; it is not stapled".to_owned(),
                OcspFault::Unsuccessful => {
                    "`tls.ocsp-staple` says only that the responder could not answer; it is not stapled".to_owned()
                }
                OcspFault::OtherCertificate => "`tls.ocsp-staple` is about another certificate; it is not stapled".to_owned(),
                OcspFault::Unknown => {
                    "`tls.ocsp-staple` says that the responder does not know the certificate; it is not stapled".to_owned()
                }
                OcspFault::Expired(at) => format!("`tls.ocsp-staple` was good until {at}; it is not stapled any more"),
            },
            Self::Revoked => "`tls.ocsp-staple` says that the certificate has been revoked; it is served all the same".to_owned(),
        }
    }

    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Expired { .. } | Self::Revoked => "renew it",
            Self::NotYetValid { .. } => "look at the clock of whoever issued it, and of this machine",
            Self::ChainOrder => "put the leaf first, then each certificate's issuer",
            Self::ChainUnrelated { .. } => "remove what does not belong",
            Self::ChainIncomplete { .. } => "append the intermediate certificates to `tls.crt`",
            Self::WeakSignature => "have it signed with SHA-256 or better",
            Self::NotForServers => "have it issued with the usage `server auth`",
            Self::NotForClients => "have it issued with the usage `client auth`",
            Self::IsAuthority => "serve a leaf that this authority signs",
            Self::OcspUnusable { .. } => "fetch a new response, or remove the key",
        }
    }
}

/// A flaw of a bundle of authorities that is used all the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthorityFlaw {
    /// One of the certificates is not one of an authority.
    NotAuthority {
        /// Whose.
        subject: String,
    },
    /// One of them has expired.
    Expired {
        /// Whose.
        subject: String,
        /// Since when.
        since: Timestamp,
    },
    /// One of them is not valid yet.
    NotYetValid {
        /// Whose.
        subject: String,
        /// From when.
        from: Timestamp,
    },
    /// One of them cannot be read, and is left out.
    Unreadable {
        /// Counted from 1.
        position: usize,
    },
    /// A revocation list cannot be read, and is left out.
    ListUnreadable,
    /// A revocation list is of a form that nothing can be verified with, and is left out.
    ListUnusable {
        /// Whose list.
        issuer: String,
        /// Why.
        why: ListFault,
    },
    /// A revocation list is out of date.
    ListExpired {
        /// Whose list.
        issuer: String,
        /// Since when.
        since: Timestamp,
        /// The distribution point that it came from; `None` when it stands beside the authority, or is of an issuer of our own.
        url: Option<String>,
    },
}

/// Why a revocation list is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListFault {
    /// It is of version 1, or has no extensions (RFC 5280 section 5.1.2.1 wants both otherwise).
    Version,
    /// It does not say when the next one comes.
    NextUpdate,
    /// It has only what changed since another list.
    Delta,
    /// It has a critical extension that we do not know.
    CriticalExtension,
    /// It is about certificates of others, or only about some reasons for revoking.
    Scope,
    /// It is broken otherwise.
    Malformed,
}

impl fmt::Display for ListFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Version => "is of version 1 or has no extensions",
            Self::NextUpdate => "does not say when the next one comes",
            Self::Delta => "has only what changed since another one (delta)",
            Self::CriticalExtension => "has a critical extension that is not known here",
            Self::Scope => "is about other issuers or only about some reasons for revoking",
            Self::Malformed => "is broken",
        })
    }
}

impl AuthorityFlaw {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotAuthority { .. } => "ca-not-authority",
            Self::Expired { .. } => "ca-expired",
            Self::NotYetValid { .. } => "ca-not-yet-valid",
            Self::Unreadable { .. } => "ca-unreadable",
            Self::ListUnreadable => "crl-unreadable",
            Self::ListUnusable { .. } => "crl-unusable",
            Self::ListExpired { .. } => "crl-expired",
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::NotAuthority { subject } => {
                format!(
                    "the certificate of `{subject}` is not one of an authority (CA:TRUE, and a key usage that allows signing): it can vouch for nothing but itself"
                )
            }
            Self::Expired { subject, since } => format!("the authority `{subject}` has expired at {since}"),
            Self::NotYetValid { subject, from } => format!("the authority `{subject}` is not valid before {from}"),
            Self::Unreadable { position } => format!("certificate {position} of the bundle cannot be read; it is left out"),
            Self::ListUnreadable => "`ca.crl` is no revocation list in PEM; it is left out".to_owned(),
            Self::ListUnusable { issuer, why } => {
                format!("the revocation list of `{issuer}` {why}; it is left out: what it revokes is let in")
            }
            Self::ListExpired { issuer, since, url } => {
                let from = url.as_ref().map(|url| format!(", from {url},")).unwrap_or_default();
                format!(
                    "the revocation list of `{issuer}`{from} is out of date since {since}: what was revoked later is not known"
                )
            }
        }
    }

    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::NotAuthority { .. } => "put the certificate of the authority that signs here",
            Self::Expired { .. } | Self::NotYetValid { .. } => "replace it by the authority's current certificate",
            Self::Unreadable { .. } => "look at it with `openssl x509 -noout -text`",
            Self::ListUnreadable => "convert it with `openssl crl -inform DER -outform PEM`",
            Self::ListUnusable { why, .. } => match why {
                ListFault::Version => "write it as version 2: set `crlnumber` in the configuration of `openssl ca -gencrl`",
                ListFault::NextUpdate => "set `default_crl_days` in the configuration of `openssl ca -gencrl`",
                ListFault::Delta | ListFault::Scope => "put the authority's own, complete list here",
                ListFault::CriticalExtension | ListFault::Malformed => "look at it with `openssl crl -noout -text`",
            },
            Self::ListExpired { url: None, .. } => "fetch the current list",
            Self::ListExpired { .. } => {
                "see to it that the authority publishes a current list there, and that the gateway can fetch it"
            }
        }
    }
}
