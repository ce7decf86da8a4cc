//! Revocation lists: which can be verified with, and whose they are.
//!
//! In: a list in DER, of the manifests or from elsewhere. Out: its dates, or why it is of no use; whether authorities answer for it.
//! Invariant: what is let through has been read by the library that the data plane asks.

use std::borrow::Cow;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};
use sealway_api::Timestamp;
use webpki::{OwnedCertRevocationList, anchor_from_trusted_cert};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::signature::is_signed_by;
use super::{subject, timestamp};
use crate::problem::ListFault;
use crate::revocation::RevocationList;

/// Of a list that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListDates {
    /// Whose it is, for people.
    pub(crate) issuer: String,
    pub(crate) this_update: Timestamp,
    /// When it is out of date (RFC 5280 section 5.1.2.5).
    pub(crate) next_update: Timestamp,
}

/// A list of which nothing can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListUseless {
    Unreadable,
    Unusable { issuer: String, why: ListFault },
}

/// Whether a list can be used.
pub(crate) fn examine(der: &[u8]) -> Result<ListDates, ListUseless> {
    let parsed = CertificateRevocationList::from_der(der).ok();
    let parsed = parsed.filter(|(rest, _)| rest.is_empty());
    let (_, parsed) = parsed.ok_or(ListUseless::Unreadable)?;
    let issuer = subject(parsed.issuer());
    let why = match (OwnedCertRevocationList::from_der(der), parsed.next_update()) {
        (Ok(_), Some(next)) => {
            return Ok(ListDates {
                issuer,
                this_update: timestamp(parsed.last_update()),
                next_update: timestamp(next),
            });
        }
        (Ok(_), None) => ListFault::NextUpdate,
        (Err(error), _) => fault(&parsed, &error),
    };
    Err(ListUseless::Unusable { issuer, why })
}

/// Why a list that can be read cannot be used. The library says of what it does not expect only that it is there.
fn fault(list: &CertificateRevocationList<'_>, error: &webpki::Error) -> ListFault {
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

/// The list in what may be PEM; RFC 5280 section 4.2.1.13 wants DER of a distribution point, and not all obey.
pub(crate) fn der_of(bytes: &[u8]) -> Cow<'_, [u8]> {
    match CertificateRevocationListDer::pem_slice_iter(bytes).next() {
        Some(Ok(list)) => Cow::Owned(list.to_vec()),
        Some(Err(_)) | None => Cow::Borrowed(bytes),
    }
}

/// Whether a certificate's name and key are those that something was signed with.
pub(crate) fn has_signed(issuer: &CertificateDer<'_>, signed: &[u8]) -> bool {
    anchor_from_trusted_cert(issuer).is_ok_and(|issuer| is_signed_by(signed, &issuer))
}

/// Whether one of `authorities` answers for a list: it has signed it, or certificates above the list lead to it.
pub(crate) fn leads_to(list: &RevocationList, authorities: &[TrustAnchor<'_>]) -> bool {
    let mut below: &[u8] = list.der();
    let mut above = list.issuers().iter();
    loop {
        if authorities.iter().any(|authority| is_signed_by(below, authority)) {
            return true;
        }
        match above.next() {
            Some(issuer) if has_signed(issuer, below) => below = issuer,
            _ => return false,
        }
    }
}
