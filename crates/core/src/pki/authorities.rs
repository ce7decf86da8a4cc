//! A bundle of authorities, and what they have revoked: `ca.crt` and `ca.crl` of a ConfigMap or Secret, or a ClusterTrustBundle.

use std::fmt;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::identity::hash;
use super::{Validity, chain, subject, timestamp};
use crate::problem::AuthorityFlaw;
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
            let Some(certificate) = chain::parse(der) else {
                authorities.flaws.push(AuthorityFlaw::Unreadable { position: position + 1 });
                continue;
            };
            let validity = Validity {
                subject: subject(certificate.subject()),
                not_before: timestamp(certificate.validity().not_before),
                not_after: timestamp(certificate.validity().not_after),
            };
            if !certificate.is_ca() {
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
            if let Some(next) = parsed.next_update() {
                self.list_updates.push((subject(parsed.issuer()), timestamp(next)));
            }
            self.lists.push(list.to_vec());
        }
        if is_broken || (is_empty && !pem.trim_ascii().is_empty()) {
            self.flaws.push(AuthorityFlaw::ListUnreadable);
        }
    }
}

/// Names everything in a bundle.
pub(crate) fn content(certificates: &[CertificateDer<'_>], lists: &[Vec<u8>]) -> ContentHash {
    // An empty part stands between the two lists: no certificate is empty.
    let certificates = certificates.iter().map(|certificate| &**certificate);
    hash(certificates.chain([&[][..]]).chain(lists.iter().map(Vec::as_slice)))
}
