//! Whether a backend is who the policy says (BackendTLSPolicy, GEP-1897).
//!
//! The chain is judged first, then the names: with `subjectAltNames` one of them must be in the certificate and the hostname is only the
//! SNI; without, it must be valid for the hostname. A session rests on what was judged when it began; so it is remembered when the first
//! certificate, or list that must be current, ends that any session rests on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sealway_core::{BackendName, HostnamePattern};
use webpki::EndEntityCert;

use super::trust::{Purpose, Trust};
use super::unfit::certificate_error;

/// Judges the backends of one policy.
#[derive(Debug)]
pub(super) struct Backends {
    pub(super) trust: Arc<Trust>,
    /// Empty: the server name that was asked for.
    names: Vec<BackendName>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Seconds of UNIX time.
    first_end: AtomicU64,
}

impl Backends {
    pub(super) fn new(trust: Arc<Trust>, names: Vec<BackendName>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self {
            trust,
            names,
            algorithms,
            first_end: AtomicU64::new(u64::MAX),
        }
    }

    /// Whether sessions may go on: all that they rest on is good still, and for long enough that a handshake ends before it does.
    pub(super) fn sessions_are_good(&self, now: UnixTime) -> bool {
        now.as_secs().saturating_add(LONGEST_HANDSHAKE) < self.first_end.load(Ordering::Relaxed)
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        let path = self.trust.verify(leaf, intermediates, Purpose::Server, now)?;
        let ends = path.intermediates.iter().chain([leaf]).map(end);
        let end = ends.min().unwrap_or(0).min(path.lists_end);
        self.first_end.fetch_min(end, Ordering::Relaxed);
        let certificate = EndEntityCert::try_from(leaf).map_err(certificate_error)?;
        let (is_named, wanted) = if self.names.is_empty() {
            let valid = certificate.verify_is_valid_for_subject_name(server_name).is_ok();
            (valid, server_name.to_str().into_owned())
        } else {
            let wanted: Vec<_> = self.names.iter().map(shown).collect();
            (self.names.iter().any(|name| has(&certificate, name)), wanted.join(", "))
        };
        if is_named {
            return Ok(());
        }
        let presented = certificate.valid_dns_names().chain(certificate.valid_uri_names());
        Err(CertificateError::NotValidForNameContext {
            // Only shown; what is no DNS name is shown as what was asked for.
            expected: ServerName::try_from(wanted).unwrap_or_else(|_| server_name.to_owned()),
            presented: presented.take(MOST_NAMES).map(str::to_owned).collect(),
        })
    }
}

/// When a certificate ends; at once if it cannot be read.
fn end(certificate: &CertificateDer<'_>) -> u64 {
    let certificate = x509_parser::parse_x509_certificate(certificate).ok();
    let end = certificate.map(|(_, certificate)| certificate.validity().not_after.timestamp());
    end.and_then(|end| u64::try_from(end).ok()).unwrap_or(0)
}

/// Whether a certificate has this very name; a wildcard of the certificate covers one label (RFC 9525 section 6.3).
fn has(certificate: &EndEntityCert<'_>, name: &BackendName) -> bool {
    match name {
        BackendName::Dns(HostnamePattern::Exact(name)) => {
            let name = ServerName::try_from(&**name);
            name.is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        }
        BackendName::Dns(HostnamePattern::Wildcard(suffix)) => {
            let mut entries = certificate.valid_dns_names();
            entries.any(|entry| entry.strip_prefix("*.").is_some_and(|rest| rest.eq_ignore_ascii_case(suffix)))
        }
        BackendName::Dns(HostnamePattern::Any) => false,
        BackendName::Uri(uri) => certificate.valid_uri_names().any(|entry| entry == uri),
    }
}

fn shown(name: &BackendName) -> String {
    match name {
        BackendName::Dns(pattern) => pattern.to_string(),
        BackendName::Uri(uri) => uri.clone(),
    }
}

impl ServerCertVerifier for Backends {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(leaf, intermediates, server_name, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Seconds; a handshake that takes longer has not the patience of any client behind it.
const LONGEST_HANDSHAKE: u64 = 60;

/// Of a certificate's names, so many are told.
const MOST_NAMES: usize = 8;
