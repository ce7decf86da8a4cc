//! What the library finds wrong with a certificate, in rustls' words, which decide the alert; and in words for the operator where rustls
//! has none.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use rustls::{CertificateError, Error, OtherError};

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
        | Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => CertificateError::UnknownIssuer,
        Error::CertRevoked => CertificateError::Revoked,
        // Its own word would be told to the peer as an authority that is not known. The certificate is good, and what is missing is ours.
        Error::UnknownRevocationStatus => CertificateError::ApplicationVerificationFailure,
        Error::CertNotValidForName(_) => CertificateError::NotValidForName,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => CertificateError::InvalidPurpose,
        Error::UnsupportedCriticalExtension => CertificateError::UnhandledCriticalExtension,
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => CertificateError::BadEncoding,
        other => CertificateError::Other(OtherError(Arc::new(Unfit(other)))),
    }
}

/// The text to an error of a handshake.
pub(super) fn text(error: &Error) -> String {
    match error {
        // Its own text would be Rust's, not English.
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => format!("invalid peer certificate: {inner}"),
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => NO_LIST.to_owned(),
        other => other.to_string(),
    }
}

const NO_LIST: &str = "invalid peer certificate: it, or one above it, names a distribution point, and no current revocation list of its issuer is known";

/// A certificate that can be read, and be used for nothing.
#[derive(Debug)]
struct Unfit(webpki::Error);

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use webpki::Error;
        formatter.write_str(match &self.0 {
            Error::UnsupportedCertVersion => {
                "it, or one above it, is not of X.509 version 3; issue it again, with extensions (`openssl x509 -req -extfile`)"
            }
            Error::CaUsedAsEndEntity => {
                "it is the certificate of an authority (CA:TRUE); issue one without, or put this very one into the bundle"
            }
            Error::EndEntityUsedAsCa => "one above it is not the certificate of an authority; sign with one that has CA:TRUE",
            Error::InvalidCertValidity => "it, or one above it, ends before it begins; issue it again",
            Error::SignatureAlgorithmMismatch => "it, or one above it, names two signature algorithms; issue it again",
            Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                "it, or one above it, is signed in a way that is not taken, such as with SHA-1; have it signed with SHA-256"
            }
            Error::CertDistrusted => "it, or one above it, has a key that is known to be lost",
            other => return write!(formatter, "it cannot be verified: {other}"),
        })
    }
}

impl StdError for Unfit {}
