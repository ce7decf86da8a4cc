//! Revocation lists that stand beside no authority in the manifests: where they are to be had, and what was had.
//!
//! In: what a distribution point or an issuer of our own gave. Out: a [`RevocationList`], which the compiler adds to the authorities that
//! answer for it. Invariant: a list that cannot be verified with does not come to be.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sealway_api::{ObjectRef, Timestamp};
use serde::{Deserialize, Serialize};

use crate::pki;
use crate::pki::list::{self, ListDates, ListUseless};
use crate::problem::ListFault;
use crate::snapshot::ContentHash;

/// Where a certificate that was verified says that its issuer's list is (RFC 5280 section 4.2.1.13).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DistributionPoint {
    /// `http://…`.
    pub url: String,
    /// Who has signed that certificate, and the certificates above that one, up to the authority that is believed.
    pub issuers: Vec<CertificateDer<'static>>,
}

impl DistributionPoint {
    /// Names it, for whoever keeps its list.
    #[must_use]
    pub fn content(&self) -> ContentHash {
        let issuers = self.issuers.iter().map(|issuer| &**issuer);
        pki::hash([self.url.as_bytes()].into_iter().chain(issuers))
    }
}

/// A list, and how it leads to authorities.
#[derive(Clone, PartialEq, Eq)]
pub struct RevocationList {
    der: Arc<[u8]>,
    source: ListSource,
    issuers: Vec<CertificateDer<'static>>,
    dates: ListDates,
}

/// Where a list came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListSource {
    /// An Issuer or ClusterIssuer of this process.
    Issuer(ObjectRef),
    /// A distribution point.
    Url(String),
}

/// Why a list is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListRefusal {
    /// It is no revocation list, neither in DER nor in PEM.
    Unreadable,
    /// Nothing can be verified with it.
    Unusable(ListFault),
    /// Somebody else has signed it.
    Unsigned,
}

impl RevocationList {
    /// What a distribution point gave, in DER or PEM. It must be signed by the point's issuer: what others sign must not take the place
    /// of a list that is known.
    pub fn fetched(point: &DistributionPoint, bytes: &[u8]) -> Result<Self, ListRefusal> {
        Self::read(
            ListSource::Url(point.url.clone()),
            point.issuers.clone(),
            &list::der_of(bytes),
        )
    }

    /// What an issuer of this process has signed. `issuers` are its own certificate and those above that are known.
    pub fn issued(issuer: ObjectRef, issuers: Vec<CertificateDer<'static>>, der: &[u8]) -> Result<Self, ListRefusal> {
        Self::read(ListSource::Issuer(issuer), issuers, der)
    }

    fn read(source: ListSource, issuers: Vec<CertificateDer<'static>>, der: &[u8]) -> Result<Self, ListRefusal> {
        let dates = list::examine(der).map_err(|useless| match useless {
            ListUseless::Unreadable => ListRefusal::Unreadable,
            ListUseless::Unusable { why, .. } => ListRefusal::Unusable(why),
        })?;
        if !issuers.first().is_some_and(|issuer| list::has_signed(issuer, der)) {
            return Err(ListRefusal::Unsigned);
        }
        Ok(Self {
            der: der.into(),
            source,
            issuers,
            dates,
        })
    }

    /// The distribution point that gave it, if one did.
    #[must_use]
    pub fn point(&self) -> Option<DistributionPoint> {
        match &self.source {
            ListSource::Issuer(_) => None,
            ListSource::Url(url) => Some(DistributionPoint {
                url: url.clone(),
                issuers: self.issuers.clone(),
            }),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn der(&self) -> &Arc<[u8]> {
        &self.der
    }

    /// Where it came from.
    #[must_use]
    pub fn source(&self) -> &ListSource {
        &self.source
    }

    /// Who has signed it, and the certificates above that one that are known.
    #[must_use]
    pub fn issuers(&self) -> &[CertificateDer<'static>] {
        &self.issuers
    }

    /// Whose it is, for people.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.dates.issuer
    }

    /// When it was made.
    #[must_use]
    pub fn this_update(&self) -> Timestamp {
        self.dates.this_update
    }

    /// When it is out of date.
    #[must_use]
    pub fn next_update(&self) -> Timestamp {
        self.dates.next_update
    }
}

/// Without the bytes.
impl fmt::Debug for RevocationList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RevocationList({:?}, {:?})", self.source, self.dates)
    }
}

impl fmt::Display for ListRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => formatter.write_str("it is no revocation list in DER or PEM"),
            Self::Unusable(why) => write!(formatter, "the revocation list {why}"),
            Self::Unsigned => {
                formatter.write_str("the revocation list is not signed by the issuer of the certificate that names it")
            }
        }
    }
}

/// What becomes of a peer whose certificate names a distribution point, when no current list of its issuer is known (`--crl-failure`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CrlFailure {
    /// It is let in: lists go stale when their publisher is down, and refusing everybody then would be the outage.
    #[default]
    Soft,
    /// It is refused.
    Hard,
}
