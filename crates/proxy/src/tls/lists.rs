//! Revocation lists, ready to be asked.
//!
//! In: DER that the compiler let through. Out: what a list says of a certificate. Invariant: a list speaks for whoever has signed it, by
//! name and key, and only of the certificates in its scope; a signature is verified once for each key.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use rustls_pki_types::{TrustAnchor, UnixTime};
use sealway_core::is_signed_by;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::points::{Points, urls_of};
use crate::scope::lock;

pub(super) struct List {
    der: Arc<[u8]>,
    revoked: CertRevocationList<'static>,
    /// Seconds of UNIX time.
    next_update: i64,
    scope: Option<Scope>,
    /// Verdicts on the signature by the key (SubjectPublicKeyInfo).
    signers: Mutex<Vec<(Vec<u8>, bool)>>,
}

/// Of a list that is not about all certificates of its issuer (RFC 5280 section 5.2.5).
struct Scope {
    leaves: bool,
    authorities: bool,
    urls: Vec<String>,
}

impl List {
    fn read(der: &Arc<[u8]>) -> Option<Self> {
        let revoked = CertRevocationList::from(OwnedCertRevocationList::from_der(der).ok()?);
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        let mut extensions = list.extensions().iter();
        let scope = extensions.find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::IssuingDistributionPoint(scope) => Some(Scope {
                leaves: !scope.only_contains_ca_certs,
                authorities: !scope.only_contains_user_certs,
                urls: urls_of(scope.distribution_point.as_ref()),
            }),
            _ => None,
        });
        // Without its scope the list would say more than it does.
        if scope.is_none() && revoked.issuing_distribution_point().is_some() {
            return None;
        }
        Some(Self {
            next_update: list.next_update()?.timestamp(),
            scope,
            revoked,
            der: Arc::clone(der),
            signers: Mutex::default(),
        })
    }

    /// Whether this is `issuer`'s list.
    pub(super) fn is_of(&self, issuer: &TrustAnchor<'_>) -> bool {
        if self.revoked.issuer() != &*issuer.subject {
            return false;
        }
        let key = &*issuer.subject_public_key_info;
        let known = lock(&self.signers).iter().find(|(known, _)| known == key).map(|(_, is)| *is);
        known.unwrap_or_else(|| {
            let is = is_signed_by(&self.der, issuer);
            let mut signers = lock(&self.signers);
            if signers.len() >= MOST_SIGNERS {
                signers.clear();
            }
            signers.push((key.to_vec(), is));
            is
        })
    }

    /// Whether it is about a certificate of its issuer, a leaf or not, that names these points.
    pub(super) fn covers(&self, is_leaf: bool, points: &Points) -> bool {
        self.scope.as_ref().is_none_or(|scope| {
            let of_kind = if is_leaf { scope.leaves } else { scope.authorities };
            of_kind && (!points.are_named || points.urls.iter().any(|url| scope.urls.contains(url)))
        })
    }

    /// Content of the INTEGER.
    pub(super) fn revokes(&self, serial: &[u8]) -> bool {
        !matches!(self.revoked.find_serial(serial), Ok(None))
    }

    pub(super) fn is_current(&self, now: UnixTime) -> bool {
        i64::try_from(now.as_secs()).is_ok_and(|now| now < self.next_update)
    }

    /// Seconds of UNIX time.
    pub(super) fn next_update(&self) -> u64 {
        u64::try_from(self.next_update).unwrap_or(0)
    }
}

impl fmt::Debug for List {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "List({} bytes)", self.der.len())
    }
}

/// Lists by their bytes: each is read once for all who believe its issuer.
#[derive(Debug, Default)]
pub(super) struct Lists(Vec<Weak<List>>);

impl Lists {
    /// The compiler lets nothing through that cannot be read here.
    pub(super) fn of(&mut self, ders: &[Arc<[u8]>]) -> Vec<Arc<List>> {
        self.0.retain(|list| list.strong_count() > 0);
        let lists = ders.iter().filter_map(|der| {
            let known = self.0.iter().filter_map(Weak::upgrade).find(|list| list.der == *der);
            known.or_else(|| {
                let list = Arc::new(List::read(der)?);
                self.0.push(Arc::downgrade(&list));
                Some(list)
            })
        });
        lists.collect()
    }
}

/// Authorities of one name; more keys than that verify anew.
const MOST_SIGNERS: usize = 16;
