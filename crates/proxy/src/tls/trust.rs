//! Whose certificates are believed, and what they have taken back.
//!
//! In: a bundle of authorities and revocation lists, or the machine's authorities. Out: whether a chain leads to one of them. What a
//! list says is revoked is revoked, even when the list is past its time; a certificate that no list speaks of, or only one that cannot be
//! used, is not refused for that: lists go stale when their publisher is down, and refusing everybody then would be the outage.

use std::fmt;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{CertificateError, DistinguishedName};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sealway_core::TrustBundle;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
    UnknownStatusPolicy, anchor_from_trusted_cert,
};

/// Authorities, ready to verify with.
pub(super) struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    revocation_lists: Vec<CertRevocationList<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What a chain is to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Client,
    Server,
}

/// Why nothing can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TrustError {
    #[error("there is no authority that can be read")]
    NoAuthority,
    #[error("a revocation list cannot be read")]
    RevocationList,
}

impl Trust {
    /// Authorities that cannot be read are passed over as long as one is left; a revocation list that cannot be read is an error, for
    /// without it revoked certificates would pass.
    pub(super) fn of(bundle: &TrustBundle, algorithms: WebPkiSupportedAlgorithms) -> Result<Self, TrustError> {
        let lists = bundle.revocation_lists.iter().map(|list| {
            let list = OwnedCertRevocationList::from_der(list).map_err(|_| TrustError::RevocationList)?;
            Ok(CertRevocationList::from(list))
        });
        Ok(Self {
            revocation_lists: lists.collect::<Result<_, _>>()?,
            ..Self::of_certificates(&bundle.certificates, algorithms)?
        })
    }

    pub(super) fn of_certificates(
        certificates: &[CertificateDer<'_>],
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, TrustError> {
        let anchors: Vec<_> = certificates
            .iter()
            .filter_map(|certificate| Some(anchor_from_trusted_cert(certificate).ok()?.to_owned()))
            .collect();
        if anchors.is_empty() {
            return Err(TrustError::NoAuthority);
        }
        Ok(Self {
            anchors,
            revocation_lists: Vec::new(),
            algorithms,
        })
    }

    /// Whether both believe the same authorities.
    pub(super) fn same_authorities(&self, other: &Self) -> bool {
        self.anchors == other.anchors
    }

    /// The authorities' names, which a server tells its clients.
    pub(super) fn subjects(&self) -> Vec<DistinguishedName> {
        self.anchors
            .iter()
            .map(|anchor| DistinguishedName::in_sequence(&anchor.subject))
            .collect()
    }

    /// Whether the chain leads to one of the authorities at this time. Names are not its business.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        purpose: Purpose,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        let leaf = EndEntityCert::try_from(leaf).map_err(certificate_error)?;
        let verify = |lists: &[&CertRevocationList<'_>]| self.verify_with(&leaf, intermediates, purpose, now, lists);
        let lists: Vec<_> = self.revocation_lists.iter().collect();
        let verdict = match verify(&lists) {
            // A list cannot be used, such as one of a namesake with another key. The others still count, each by itself.
            Err(error) if is_about_list(&error) => {
                let refused = lists
                    .iter()
                    .find_map(|list| verify(&[list]).err().filter(|error| !is_about_list(error)));
                refused.map_or_else(|| verify(&[]), Err)
            }
            verdict => verdict,
        };
        verdict.map_err(certificate_error)
    }

    fn verify_with(
        &self,
        leaf: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        purpose: Purpose,
        now: UnixTime,
        lists: &[&CertRevocationList<'_>],
    ) -> Result<(), webpki::Error> {
        let usage = match purpose {
            Purpose::Client => KeyUsage::client_auth(),
            Purpose::Server => KeyUsage::server_auth(),
        };
        // An error means that there are none.
        let revocation = RevocationOptionsBuilder::new(lists).ok().map(|options| {
            options
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Ignore)
                .build()
        });
        leaf.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            intermediates,
            now,
            usage,
            revocation,
            None,
        )
        .map(drop)
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

/// Whether it is a revocation list that is wrong, and not the chain.
fn is_about_list(error: &webpki::Error) -> bool {
    use webpki::Error;
    matches!(
        error,
        Error::InvalidCrlSignatureForPublicKey
            | Error::IssuerNotCrlSigner
            | Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_)
    )
}

/// In rustls' words, which decide the alert.
pub(super) fn certificate_error(error: webpki::Error) -> CertificateError {
    use webpki::Error;
    match error {
        Error::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Error::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        // An authority of the same name with another key is another authority.
        Error::UnknownIssuer
        | Error::InvalidSignatureForPublicKey
        | Error::PathLenConstraintViolated
        | Error::NameConstraintViolation
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => CertificateError::UnknownIssuer,
        Error::CertRevoked => CertificateError::Revoked,
        Error::CertNotValidForName(_) => CertificateError::NotValidForName,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => CertificateError::InvalidPurpose,
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            CertificateError::BadSignature
        }
        Error::UnsupportedCriticalExtension => CertificateError::UnhandledCriticalExtension,
        _ => CertificateError::BadEncoding,
    }
}
