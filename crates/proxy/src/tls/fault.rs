//! Why a handshake failed, from what rustls says of it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, HandshakeType, InvalidMessage, PeerIncompatible};
use sealway_core::BackendTlsFault;

use super::unfit::text;

/// Why a handshake with a client failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeFault {
    /// The certificate for this name cannot be served.
    CertificateUnavailable,
    /// The client does not take the certificate that it was shown.
    CertificateRejected,
    /// The client gave up with another alert.
    ClientAlert,
    /// No version of TLS that both speak.
    NoSharedVersion,
    /// No cipher suite that both speak.
    NoSharedSuite,
    /// No key exchange group that both speak.
    NoSharedGroup,
    /// No signature scheme of the client's fits a key of ours.
    NoSharedSignatureScheme,
    /// No application protocol that both speak.
    NoSharedProtocol,
    /// The listener wants a client certificate, and there was none.
    ClientCertificateMissing,
    /// The client's certificate is of no authority that the listener names.
    ClientCertificateUnknownAuthority,
    /// The client's certificate, or one above it, has expired.
    ClientCertificateExpired,
    /// The client's certificate, or one above it, is not valid yet.
    ClientCertificateNotYetValid,
    /// The client's certificate, or one above it, has been revoked.
    ClientCertificateRevoked,
    /// No current list says whether the client's certificate, or one above it, has been revoked, and the gateway insists on one.
    ClientCertificateRevocationUnknown,
    /// The client's certificate is not fit for a client, cannot be read, or the client does not have its key.
    ClientCertificateBad,
    /// What came is not what TLS has at that place.
    Malformed,
    /// It took too long.
    Timeout,
    /// The client went away in the middle.
    Gone,
}

impl HandshakeFault {
    /// Stable label for metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::CertificateUnavailable => "certificate_unavailable",
            Self::CertificateRejected => "certificate_rejected",
            Self::ClientAlert => "client_alert",
            Self::NoSharedVersion => "no_shared_version",
            Self::NoSharedSuite => "no_shared_suite",
            Self::NoSharedGroup => "no_shared_group",
            Self::NoSharedSignatureScheme => "no_shared_signature_scheme",
            Self::NoSharedProtocol => "no_shared_protocol",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::ClientCertificateUnknownAuthority => "client_certificate_unknown_authority",
            Self::ClientCertificateExpired => "client_certificate_expired",
            Self::ClientCertificateNotYetValid => "client_certificate_not_yet_valid",
            Self::ClientCertificateRevoked => "client_certificate_revoked",
            Self::ClientCertificateRevocationUnknown => "client_certificate_revocation_unknown",
            Self::ClientCertificateBad => "client_certificate_bad",
            Self::Malformed => "handshake_malformed",
            Self::Timeout => "handshake_timeout",
            Self::Gone => "handshake_gone",
        }
    }

    /// What happened, in a sentence for the operator.
    pub fn explain(self) -> &'static str {
        match self {
            Self::CertificateUnavailable => "the certificate for this name cannot be served; see the listener's conditions",
            Self::CertificateRejected => "the client does not take the gateway's certificate",
            Self::ClientAlert => "the client gave up the handshake",
            Self::NoSharedVersion => "the client speaks no version of TLS that the listener takes",
            Self::NoSharedSuite => "the client offers no cipher suite that the listener takes",
            Self::NoSharedGroup => "the client offers no key exchange group that the listener takes",
            Self::NoSharedSignatureScheme => "the client can verify no signature that the listener's keys can make",
            Self::NoSharedProtocol => "the client offers no application protocol (ALPN) that the listener takes",
            Self::ClientCertificateMissing => "the client showed no certificate, and the listener wants one",
            Self::ClientCertificateUnknownAuthority => "the client's certificate is of no authority that the listener believes",
            Self::ClientCertificateExpired => "the client's certificate has expired",
            Self::ClientCertificateNotYetValid => "the client's certificate is not valid yet",
            Self::ClientCertificateRevoked => "the client's certificate has been revoked",
            Self::ClientCertificateRevocationUnknown => {
                "no current revocation list of the issuer of the client's certificate is known (--crl-failure hard); it has been asked for"
            }
            Self::ClientCertificateBad => "the client's certificate is not fit for a client, or the key is not its own",
            Self::Malformed => "the client sent what TLS does not have at that place of the handshake",
            Self::Timeout => "the handshake was not complete in time",
            Self::Gone => "the client went away in the middle of the handshake",
        }
    }

    /// Of a failed handshake, with the text to it.
    pub(super) fn of(error: &io::Error) -> (Self, String) {
        match tls_error(error) {
            Some(error) => (Self::of_tls(error), text(error)),
            None => (Self::Gone, error.to_string()),
        }
    }

    pub(super) fn of_tls(error: &Error) -> Self {
        match error {
            Error::AlertReceived(alert) if is_about_certificate(*alert) => Self::CertificateRejected,
            Error::AlertReceived(_) => Self::ClientAlert,
            Error::NoApplicationProtocol => Self::NoSharedProtocol,
            Error::NoCertificatesPresented => Self::ClientCertificateMissing,
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            // Such as no certificate to show: our side, whatever it is.
            Error::General(_) => Self::CertificateUnavailable,
            Error::PeerIncompatible(what) => match what {
                PeerIncompatible::NoCipherSuitesInCommon => Self::NoSharedSuite,
                PeerIncompatible::NoKxGroupsInCommon
                | PeerIncompatible::NamedGroupsExtensionRequired
                | PeerIncompatible::KeyShareExtensionRequired
                | PeerIncompatible::NoEcPointFormatsInCommon => Self::NoSharedGroup,
                PeerIncompatible::NoSignatureSchemesInCommon | PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
                    Self::NoSharedSignatureScheme
                }
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled => Self::NoSharedVersion,
                PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => Self::ClientCertificateBad,
                _ => Self::Malformed,
            },
            _ => Self::Malformed,
        }
    }

    pub(super) fn of_certificate(error: &CertificateError) -> Self {
        match CertificateFault::of(error) {
            CertificateFault::UnknownAuthority => Self::ClientCertificateUnknownAuthority,
            CertificateFault::Expired => Self::ClientCertificateExpired,
            CertificateFault::NotYetValid => Self::ClientCertificateNotYetValid,
            CertificateFault::Revoked => Self::ClientCertificateRevoked,
            CertificateFault::RevocationUnknown => Self::ClientCertificateRevocationUnknown,
            CertificateFault::Name | CertificateFault::Bad => Self::ClientCertificateBad,
        }
    }
}

/// What is wrong with a peer's certificate.
enum CertificateFault {
    UnknownAuthority,
    Expired,
    NotYetValid,
    Revoked,
    RevocationUnknown,
    Name,
    Bad,
}

impl CertificateFault {
    fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::ApplicationVerificationFailure => Self::RevocationUnknown,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
            _ => Self::Bad,
        }
    }
}

/// Of a failed handshake with a backend.
pub(super) fn backend_fault(error: &io::Error) -> BackendTlsFault {
    match tls_error(error) {
        Some(Error::InvalidCertificate(error)) => match CertificateFault::of(error) {
            CertificateFault::UnknownAuthority => BackendTlsFault::UnknownAuthority,
            CertificateFault::Expired => BackendTlsFault::Expired,
            CertificateFault::NotYetValid => BackendTlsFault::NotYetValid,
            CertificateFault::Revoked => BackendTlsFault::Revoked,
            CertificateFault::RevocationUnknown => BackendTlsFault::RevocationUnknown,
            CertificateFault::Name => BackendTlsFault::NameMismatch,
            CertificateFault::Bad => BackendTlsFault::BadCertificate,
        },
        Some(Error::AlertReceived(alert)) if is_about_certificate(*alert) => BackendTlsFault::ClientCertificateRefused,
        Some(Error::AlertReceived(_) | Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => {
            BackendTlsFault::HandshakeRefused
        }
        // Not a record; or our own hello, echoed.
        Some(
            Error::InvalidMessage(InvalidMessage::InvalidContentType)
            | Error::InappropriateHandshakeMessage {
                got_type: HandshakeType::ClientHello,
                ..
            },
        ) => BackendTlsFault::NotTls,
        Some(Error::NoCertificatesPresented) => BackendTlsFault::BadCertificate,
        Some(_) | None => BackendTlsFault::Broken,
    }
}

/// Of a failed handshake with a backend, with the text to it. `asked_in_vain`: for a certificate of ours.
pub(super) fn backend_failure(error: &io::Error, asked_in_vain: bool) -> (BackendTlsFault, String) {
    let fault = match tls_error(error) {
        Some(Error::AlertReceived(AlertDescription::HandshakeFailure)) if asked_in_vain => {
            BackendTlsFault::ClientCertificateRefused
        }
        _ => backend_fault(error),
    };
    (fault, tls_error(error).map_or_else(|| error.to_string(), text))
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Alerts by which a peer refuses a certificate, or the want of one.
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::BadCertificateStatusResponse
            | AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            // Of the signature of a certificate, or by its key.
            | AlertDescription::DecryptError
    )
}
