//! Whose certificates are believed, and what they have taken back.
//!
//! In: a bundle of authorities and revocation lists, or the machine's authorities. Out: the path from a certificate to one of them. Only
//! who may sign is an authority; every certificate of a bundle is believed when a peer shows that very one. What any list says is revoked
//! is revoked, even when the list is past its time. A certificate that names a distribution point, and of whose issuer no current list is
//! known, makes its list be asked for; only where the bundle is strict it is refused as well: lists go stale when their publisher is down,
//! and refusing everybody then would be the outage.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use rustls::CertificateError;
use rustls::DistinguishedName;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sealway_core::{ContentHash, CrlFailure, TrustBundle, is_authority};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};
use x509_parser::parse_x509_certificate;

use super::lists::{List, Lists};
use super::points::{Points, Wanted};
use super::unfit::certificate_error;
use crate::scope::lock;

/// Authorities, ready to verify with.
pub(super) struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    /// Everything in the bundle, for peers that show one of these.
    certificates: Vec<CertificateDer<'static>>,
    lists: Vec<Arc<List>>,
    /// Where lists are asked for, and what becomes of whoever lacks one; `None` where no list would come.
    wanted: Option<(Arc<Wanted>, CrlFailure)>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A path that was verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path<'a> {
    /// Of the certificates that were sent those that were of use.
    pub(super) intermediates: Vec<CertificateDer<'a>>,
    /// When the first list is out of date without which the path would be refused, in seconds of UNIX time.
    pub(super) lists_end: u64,
}

/// What the lists say of a path.
enum Standing {
    Revoked,
    /// What there is to say: the certificates without a current list of their issuer, and when the first of those ends that there are.
    Unrevoked {
        without_list: Vec<Lacking>,
        lists_end: u64,
    },
}

/// A certificate that names a distribution point, and of whose issuer no current list is known.
struct Lacking {
    points: Points,
    /// From its issuer up to the authority that is believed.
    issuers: Vec<CertificateDer<'static>>,
}

/// What a chain is to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Client,
    Server,
}

/// Trust by the content of its bundle: made once for all listeners and policies that believe the same.
#[derive(Debug, Default)]
pub(crate) struct Trusts {
    known: Mutex<Known>,
    wanted: Arc<Wanted>,
}

#[derive(Debug, Default)]
struct Known {
    trusts: HashMap<ContentHash, Weak<Trust>>,
    lists: Lists,
}

impl Trusts {
    pub(super) fn of(&self, bundle: &TrustBundle) -> Arc<Trust> {
        let mut known = lock(&self.known);
        if let Some(trust) = known.trusts.get(&bundle.content).and_then(Weak::upgrade) {
            return trust;
        }
        known.trusts.retain(|_, trust| trust.strong_count() > 0);
        // The compiler lets nothing through that cannot be read here: a bundle always comes to something.
        let trust = Arc::new(Trust {
            lists: known.lists.of(&bundle.revocation_lists),
            wanted: Some((Arc::clone(&self.wanted), bundle.crl_failure)),
            ..Trust::of_certificates(bundle.certificates.clone())
        });
        known.trusts.insert(bundle.content, Arc::downgrade(&trust));
        trust
    }

    /// Lists that are asked for.
    pub(crate) fn wanted(&self) -> &Wanted {
        &self.wanted
    }
}

impl Trust {
    /// Authorities without lists.
    pub(super) fn of_certificates(certificates: Vec<CertificateDer<'static>>) -> Self {
        let authorities = certificates.iter().filter(|certificate| is_authority(certificate));
        let anchors = authorities.filter_map(|certificate| Some(anchor_from_trusted_cert(certificate).ok()?.to_owned()));
        Self {
            anchors: anchors.collect(),
            certificates,
            lists: Vec::new(),
            wanted: None,
            algorithms: default_provider().signature_verification_algorithms,
        }
    }

    pub(super) fn has_authorities(&self) -> bool {
        !self.anchors.is_empty()
    }

    /// Whether both believe the same authorities.
    pub(super) fn same_authorities(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }

    /// Whether every authority that `other` believes is believed here.
    pub(super) fn believes_all_of(&self, other: &Self) -> bool {
        other
            .certificates
            .iter()
            .all(|certificate| self.certificates.contains(certificate))
    }

    /// The authorities' names, which a server tells its clients; none when they would not fit: clients then show what they have, and
    /// a handshake with more than 64 KiB of names (RFC 8446 section 4.2.4) would fail for everybody.
    pub(super) fn subjects(&self) -> Vec<DistinguishedName> {
        let subjects = self
            .anchors
            .iter()
            .map(|anchor| DistinguishedName::in_sequence(&anchor.subject));
        let subjects: Vec<_> = subjects.collect();
        let bytes: usize = subjects.iter().map(|subject| subject.as_ref().len()).sum();
        if bytes > MOST_BYTES_OF_SUBJECTS {
            Vec::new()
        } else {
            subjects
        }
    }

    /// How `leaf` leads to one of the authorities at this time by certificates of `intermediates`. Names are not its business.
    pub(super) fn verify<'a>(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &'a [CertificateDer<'a>],
        purpose: Purpose,
        now: UnixTime,
    ) -> Result<Path<'a>, CertificateError> {
        let certificate = EndEntityCert::try_from(leaf).map_err(certificate_error)?;
        let is_strict = matches!(self.wanted, Some((_, CrlFailure::Hard)));
        // Of the path that was looked at last.
        let standing = RefCell::new((Vec::new(), u64::MAX));
        let lists_permit = |path: &VerifiedPath<'_>| match self.standing(path, now) {
            Standing::Revoked => Err(webpki::Error::CertRevoked),
            Standing::Unrevoked { without_list, lists_end } => {
                let is_refused = is_strict && !without_list.is_empty();
                standing.replace((without_list, lists_end));
                if is_refused {
                    Err(webpki::Error::UnknownRevocationStatus)
                } else {
                    Ok(())
                }
            }
        };
        let verified = certificate.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            intermediates,
            now,
            purpose.usage(),
            None,
            Some(&lists_permit),
        );
        let (without_list, lists_end) = standing.take();
        if let Some((wanted, _)) = &self.wanted
            && matches!(verified, Ok(_) | Err(webpki::Error::UnknownRevocationStatus))
        {
            without_list
                .iter()
                .for_each(|lacking| wanted.ask(&lacking.points, &lacking.issuers));
        }
        match verified {
            Ok(path) => {
                let of_path = |of_path: &webpki::Cert<'_>| intermediates.iter().find(|sent| ***sent == *of_path.der());
                Ok(Path {
                    intermediates: path.intermediate_certificates().filter_map(of_path).cloned().collect(),
                    lists_end: if is_strict { lists_end } else { u64::MAX },
                })
            }
            // The lists have the last word, also of a certificate that stands in the bundle.
            Err(error @ (webpki::Error::CertRevoked | webpki::Error::UnknownRevocationStatus)) => Err(certificate_error(error)),
            Err(_) if self.certificates.contains(leaf) => verify_known(leaf, purpose, now).map(|()| Path {
                intermediates: Vec::new(),
                lists_end: u64::MAX,
            }),
            Err(error) => Err(certificate_error(error)),
        }
    }

    /// What the lists say of the certificates of a path. Each is asked about with its own issuer, in every list of that one.
    fn standing(&self, path: &VerifiedPath<'_>, now: UnixTime) -> Standing {
        let mut without_list = Vec::new();
        let mut lists_end = u64::MAX;
        if self.lists.is_empty() && self.wanted.is_none() {
            return Standing::Unrevoked { without_list, lists_end };
        }
        let intermediates: Vec<&webpki::Cert<'_>> = path.intermediate_certificates().collect();
        let leaf: &webpki::Cert<'_> = path.end_entity();
        let certificates = std::iter::once(leaf).chain(intermediates.iter().copied());
        for (above, certificate) in certificates.enumerate() {
            let der = intermediates.get(above).map(|issuer| issuer.der());
            let issuer = match &der {
                Some(der) => anchor_from_trusted_cert(der).ok(),
                None => Some(path.anchor().clone()),
            };
            // One that can sign can be read.
            let Some(issuer) = issuer else { continue };
            let points = Points::of(&certificate.der());
            // In seconds of UNIX time, of the one that lasts longest.
            let mut end = None;
            for list in &self.lists {
                if !list.covers(above == 0, &points) || !list.is_of(&issuer) {
                    continue;
                }
                if list.revokes(certificate.serial()) {
                    return Standing::Revoked;
                }
                if list.is_current(now) {
                    end = end.max(Some(list.next_update()));
                }
            }
            match end {
                _ if !points.are_named => {}
                Some(end) => lists_end = lists_end.min(end),
                None => without_list.push(Lacking {
                    points,
                    issuers: self.issuers(intermediates.get(above..).unwrap_or_default(), path.anchor()),
                }),
            }
        }
        Standing::Unrevoked { without_list, lists_end }
    }

    /// Certificates, and that of the authority above them.
    fn issuers(&self, certificates: &[&webpki::Cert<'_>], authority: &TrustAnchor<'_>) -> Vec<CertificateDer<'static>> {
        let is_authority = |certificate: &&CertificateDer<'static>| {
            anchor_from_trusted_cert(certificate).is_ok_and(|anchor| anchor == *authority)
        };
        let authority = self.certificates.iter().find(is_authority).cloned();
        let below = certificates.iter().map(|certificate| certificate.der().into_owned());
        below.chain(authority).collect()
    }
}

/// Judges a certificate that stands in the bundle itself: there is nobody above it to ask.
fn verify_known(certificate: &CertificateDer<'_>, purpose: Purpose, now: UnixTime) -> Result<(), CertificateError> {
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
        return Err(CertificateError::BadEncoding);
    };
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if seconds < certificate.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet);
    }
    if certificate.validity().not_after.timestamp() < seconds {
        return Err(CertificateError::Expired);
    }
    match certificate.extended_key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.value.any || purpose.is_in(usage.value) => Ok(()),
        Ok(Some(_)) => Err(CertificateError::InvalidPurpose),
        Err(_) => Err(CertificateError::BadEncoding),
    }
}

impl Purpose {
    fn usage(self) -> KeyUsage {
        match self {
            Self::Client => KeyUsage::client_auth(),
            Self::Server => KeyUsage::server_auth(),
        }
    }

    fn is_in(self, usage: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool {
        match self {
            Self::Client => usage.client_auth,
            Self::Server => usage.server_auth,
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Trust({} authorities, {} revocation lists)",
            self.anchors.len(),
            self.lists.len()
        )
    }
}

/// Each name has two bytes of length besides.
const MOST_BYTES_OF_SUBJECTS: usize = 16 * 1024;

#[cfg(test)]
mod missing_lists;
#[cfg(test)]
mod tests;
