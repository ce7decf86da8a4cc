//! A bundle of authorities, and what they have revoked: `ca.crt` and `ca.crl` of a ConfigMap or Secret, or a ClusterTrustBundle.
//!
//! Invariant: the data plane can use whatever is let through here, because the library that it verifies with has read it. What that
//! library refuses is left out and told: a listener that did not come up for it would be the outage.

use std::fmt;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::{EndEntityCert, OwnedCertRevocationList, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::identity::hash;
use super::{Validity, chain, subject, timestamp};
use crate::problem::{AuthorityFlaw, ListFault};
use crate::snapshot::ContentHash;

/// Authorities to believe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authorities {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// In the order of the certificates.
    pub(crate) validity: Vec<Validity>,
    pub(crate) lists: Vec<Vec<u8>>,
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
            let parsed = CertificateRevocationList::from_der(&list).ok();
            let Some((_, parsed)) = parsed.filter(|(rest, _)| rest.is_empty()) else {
                is_broken = true;
                continue;
            };
            if self.lists.iter().any(|known| **known == *list) {
                continue;
            }
            let issuer = subject(parsed.issuer());
            if let Err(error) = OwnedCertRevocationList::from_der(&list) {
                let why = list_fault(&parsed, &error);
                self.flaws.push(AuthorityFlaw::ListUnusable { issuer, why });
                continue;
            }
            if let Some(next) = parsed.next_update() {
                self.list_updates.push((issuer, timestamp(next)));
            }
            self.lists.push(list.to_vec());
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

/// Why a list that can be read cannot be used. The library says of what it does not expect only that it is there.
fn list_fault(list: &CertificateRevocationList<'_>, error: &webpki::Error) -> ListFault {
    if list.version().is_none() || list.extensions().is_empty() {
        ListFault::Version
    } else if list.next_update().is_none() {
        ListFault::NextUpdate
    } else {
        match error {
            webpki::Error::UnsupportedDeltaCrl => ListFault::Delta,
            webpki::Error::UnsupportedCriticalExtension => ListFault::CriticalExtension,
            webpki::Error::UnsupportedIndirectCrl
            | webpki::Error::UnsupportedRevocationReasonsPartitioning
            | webpki::Error::UnsupportedCrlIssuingDistributionPoint => ListFault::Scope,
            _ => ListFault::Malformed,
        }
    }
}

/// Names everything in a bundle.
pub(crate) fn content(certificates: &[CertificateDer<'_>], lists: &[Vec<u8>]) -> ContentHash {
    // An empty part stands between the two lists: no certificate is empty.
    let certificates = certificates.iter().map(|certificate| &**certificate);
    hash(certificates.chain([&[][..]]).chain(lists.iter().map(Vec::as_slice)))
}
