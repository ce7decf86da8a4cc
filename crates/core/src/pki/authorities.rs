//! A bundle of authorities, and what they have revoked: `ca.crt` and `ca.crl` of a ConfigMap or Secret, or a ClusterTrustBundle.
//!
//! Invariant: the data plane can use whatever is let through here, because the library that it verifies with has read it. What that
//! library refuses is left out and told: a listener that did not come up for it would be the outage.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};
use webpki::{EndEntityCert, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;

use super::identity::hash;
use super::list::{self, ListUseless};
use super::{Validity, chain, subject, timestamp};
use crate::problem::AuthorityFlaw;
use crate::revocation::CrlFailure;
use crate::snapshot::ContentHash;

/// Authorities to believe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authorities {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// In the order of the certificates.
    pub(crate) validity: Vec<Validity>,
    pub(crate) lists: Vec<Arc<[u8]>>,
    /// Whose list is out of date when (RFC 5280 section 5.1.2.5).
    pub(crate) list_updates: Vec<(String, sealway_api::Timestamp)>,
    /// What is wrong with them, whenever they are used.
    pub(crate) flaws: Vec<AuthorityFlaw>,
}

/// Why nothing can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthoritiesFault {
    Missing,
    Pem,
    None,
    Unreadable,
}

impl fmt::Display for AuthoritiesFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "it has no `ca.crt`",
            Self::Pem => "its bundle is broken PEM",
            Self::None => "its bundle holds no certificate in PEM",
            Self::Unreadable => "none of the certificates of its bundle can be read",
        })
    }
}

impl Authorities {
    /// Reads a bundle, and the lists beside it. Of several certificates those that cannot be read are left out.
    pub(crate) fn read(bundle: Option<&[u8]>, lists: Option<&[u8]>) -> Result<Self, AuthoritiesFault> {
        let bundle = bundle.ok_or(AuthoritiesFault::Missing)?;
        let found = chain::read(bundle).ok_or(AuthoritiesFault::Pem)?;
        if found.is_empty() {
            return Err(AuthoritiesFault::None);
        }
        let mut authorities = Self::default();
        for (position, der) in found.iter().enumerate() {
            let Some(certificate) = chain::parse(der).filter(|certificate| can_be_used(der, certificate)) else {
                authorities.flaws.push(AuthorityFlaw::Unreadable { position: position + 1 });
                continue;
            };
            let validity = Validity {
                subject: subject(certificate.subject()),
                not_before: timestamp(certificate.validity().not_before),
                not_after: timestamp(certificate.validity().not_after),
            };
            if !chain::is_authority(&certificate) {
                authorities.flaws.push(AuthorityFlaw::NotAuthority {
                    subject: validity.subject.clone(),
                });
            }
            authorities.validity.push(validity);
            authorities.certificates.push(der.clone());
        }
        if authorities.certificates.is_empty() {
            return Err(AuthoritiesFault::Unreadable);
        }
        authorities.read_lists(lists.unwrap_or_default());
        Ok(authorities)
    }

    /// Those that may sign, by name and key.
    pub(crate) fn anchors(&self) -> Vec<TrustAnchor<'_>> {
        let signers = self
            .certificates
            .iter()
            .filter(|certificate| super::is_authority(certificate));
        signers
            .filter_map(|certificate| anchor_from_trusted_cert(certificate).ok())
            .collect()
    }

    fn read_lists(&mut self, pem: &[u8]) {
        let mut is_broken = false;
        let mut is_empty = true;
        for list in CertificateRevocationListDer::pem_slice_iter(pem) {
            is_empty = false;
            // What follows broken PEM may be anything.
            let Ok(list) = list else {
                is_broken = true;
                break;
            };
            if self.lists.iter().any(|known| **known == *list) {
                continue;
            }
            match list::examine(&list) {
                Ok(dates) => {
                    self.list_updates.push((dates.issuer, dates.next_update));
                    self.lists.push(list.as_ref().into());
                }
                Err(ListUseless::Unreadable) => is_broken = true,
                Err(ListUseless::Unusable { issuer, why }) => self.flaws.push(AuthorityFlaw::ListUnusable { issuer, why }),
            }
        }
        if is_broken || (is_empty && !pem.trim_ascii().is_empty()) {
            self.flaws.push(AuthorityFlaw::ListUnreadable);
        }
    }
}

/// As one who signs, or as the very certificate that a peer shows.
fn can_be_used(der: &CertificateDer<'_>, certificate: &X509Certificate<'_>) -> bool {
    if chain::is_authority(certificate) {
        anchor_from_trusted_cert(der).is_ok()
    } else {
        EndEntityCert::try_from(der).is_ok()
    }
}

/// Names everything in a bundle, and what is done when a list is missing.
pub(crate) fn content(certificates: &[CertificateDer<'_>], lists: &[Arc<[u8]>], failure: CrlFailure) -> ContentHash {
    // An empty part stands between the two lists, and another at the end of a strict one: no certificate and no list is empty.
    let certificates = certificates.iter().map(|certificate| &**certificate);
    let strict = (failure == CrlFailure::Hard).then_some(&[][..]);
    hash(
        certificates
            .chain([&[][..]])
            .chain(lists.iter().map(|list| &**list))
            .chain(strict),
    )
}
