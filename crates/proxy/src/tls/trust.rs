//! Whose certificates are believed, and what they have taken back.
//!
//! In: a bundle of authorities and revocation lists, or the machine's authorities. Out: the path from a certificate to one of them. Only
//! who may sign is an authority; every certificate of a bundle is believed when a peer shows that very one. What any list says is revoked
//! is revoked, even when the list is past its time; a certificate that no list speaks of, or only one that cannot be used, is not refused
//! for that: lists go stale when their publisher is down, and refusing everybody then would be the outage.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::CertificateError;
use rustls::DistinguishedName;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sealway_core::{ContentHash, TrustBundle, is_authority};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
    UnknownStatusPolicy, VerifiedPath, anchor_from_trusted_cert,
};
use x509_parser::parse_x509_certificate;

use super::unfit::certificate_error;

/// Authorities, ready to verify with.
pub(super) struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    /// Everything in the bundle, for peers that show one of these.
    certificates: Vec<CertificateDer<'static>>,
    revocation_lists: Vec<CertRevocationList<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What a chain is to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Client,
    Server,
}

/// Trust by the content of its bundle: made once for all listeners and policies that believe the same.
#[derive(Debug, Default)]
pub(crate) struct Trusts(Mutex<HashMap<ContentHash, Weak<Trust>>>);

impl Trusts {
    pub(super) fn of(&self, bundle: &TrustBundle) -> Arc<Trust> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trust) = known.get(&bundle.content).and_then(Weak::upgrade) {
            return trust;
        }
        known.retain(|_, trust| trust.strong_count() > 0);
        let trust = Arc::new(Trust::of(bundle));
        known.insert(bundle.content, Arc::downgrade(&trust));
        trust
    }
}

impl Trust {
    /// The compiler lets nothing through that cannot be read here: a bundle always comes to something.
    fn of(bundle: &TrustBundle) -> Self {
        let lists = bundle.revocation_lists.iter();
        let lists = lists.filter_map(|list| OwnedCertRevocationList::from_der(list).ok());
        Self {
            revocation_lists: lists.map(CertRevocationList::from).collect(),
            ..Self::of_certificates(bundle.certificates.clone())
        }
    }

    pub(super) fn of_certificates(certificates: Vec<CertificateDer<'static>>) -> Self {
        let authorities = certificates.iter().filter(|certificate| is_authority(certificate));
        let anchors = authorities.filter_map(|certificate| Some(anchor_from_trusted_cert(certificate).ok()?.to_owned()));
        Self {
            anchors: anchors.collect(),
            certificates,
            revocation_lists: Vec::new(),
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

    /// The certificates of `intermediates` by which `leaf` leads to one of the authorities at this time. Names are not its business.
    pub(super) fn verify<'a>(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &'a [CertificateDer<'a>],
        purpose: Purpose,
        now: UnixTime,
    ) -> Result<Vec<CertificateDer<'a>>, CertificateError> {
        let certificate = EndEntityCert::try_from(leaf).map_err(certificate_error)?;
        let is_revoked = |path: &VerifiedPath<'_>| {
            if self.is_revoked(path, purpose, now) {
                Err(webpki::Error::CertRevoked)
            } else {
                Ok(())
            }
        };
        let verified = certificate.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            intermediates,
            now,
            purpose.usage(),
            None,
            Some(&is_revoked),
        );
        match verified {
            Ok(path) => {
                let of_path = |of_path: &webpki::Cert<'_>| intermediates.iter().find(|sent| ***sent == *of_path.der());
                Ok(path.intermediate_certificates().filter_map(of_path).cloned().collect())
            }
            Err(error) if error != webpki::Error::CertRevoked && self.certificates.contains(leaf) => {
                verify_known(leaf, purpose, now).map(|()| Vec::new())
            }
            Err(error) => Err(certificate_error(error)),
        }
    }

    /// Whether a list has taken back a certificate of the path. Each certificate is asked about with its own issuer and each list by
    /// itself: of several lists the library asks only the first of an issuer's name, whoever signed it.
    fn is_revoked(&self, path: &VerifiedPath<'_>, purpose: Purpose, now: UnixTime) -> bool {
        let intermediates: Vec<CertificateDer<'_>> = path
            .intermediate_certificates()
            .map(|certificate| certificate.der())
            .collect();
        let issuers = path
            .intermediate_certificates()
            .filter_map(|issuer| Some(anchor_from_trusted_cert(&issuer.der()).ok()?.to_owned()))
            .chain([path.anchor().to_owned()]);
        issuers.enumerate().any(|(below, issuer)| {
            let of_issuer = |list: &&CertRevocationList<'_>| list.issuer() == &*issuer.subject;
            self.revocation_lists.iter().filter(of_issuer).any(|list| {
                let lists = [list];
                // An error would mean that there is none.
                let options = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
                    options
                        .with_status_policy(UnknownStatusPolicy::Allow)
                        .with_expiration_policy(ExpirationPolicy::Ignore)
                        .build()
                });
                let verdict = path.end_entity().verify_for_usage(
                    self.algorithms.all,
                    std::slice::from_ref(&issuer),
                    intermediates.get(..below).unwrap_or_default(),
                    now,
                    purpose.usage(),
                    options,
                    None,
                );
                // Other errors are about the list, such as one of a namesake with another key.
                matches!(verdict, Err(webpki::Error::CertRevoked))
            })
        })
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
            self.revocation_lists.len()
        )
    }
}

/// Each name has two bytes of length besides.
const MOST_BYTES_OF_SUBJECTS: usize = 16 * 1024;

#[cfg(test)]
mod tests;
