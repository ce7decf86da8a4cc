//! Client certificates: asked for, and judged.
//!
//! Who must be good is judged within the handshake and gets the alert that says why. Where anybody may come in, the handshake only
//! proves that the key is the certificate's, and the chain is judged afterwards. Resumed sessions are judged afterwards too: time has
//! passed since the chain was last looked at.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use sealway_core::{ClientValidation, ClientValidationMode};

use super::VerifiedClient;
use super::trust::{Purpose, Trust, TrustError};

/// Judges the clients of one listener.
#[derive(Debug)]
pub(super) struct Clients {
    mode: ClientValidationMode,
    trust: Trust,
    subjects: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    pub(super) fn new(validation: &ClientValidation, algorithms: WebPkiSupportedAlgorithms) -> Result<Self, TrustError> {
        let trust = Trust::of(&validation.authorities, algorithms)?;
        Ok(Self {
            mode: validation.mode,
            subjects: trust.subjects(),
            trust,
            algorithms,
        })
    }

    /// What a finished handshake proved. An error only where clients must be good.
    pub(super) fn judge(
        &self,
        chain: Option<&[CertificateDer<'static>]>,
        resumed: bool,
    ) -> Result<Option<Arc<VerifiedClient>>, CertificateError> {
        let Some((leaf, intermediates)) = chain.and_then(<[_]>::split_first) else {
            return Ok(None);
        };
        let must = self.mode == ClientValidationMode::AllowValidOnly;
        if resumed || !must {
            let verdict = self.trust.verify(leaf, intermediates, Purpose::Client, UnixTime::now());
            match verdict {
                Ok(()) => {}
                Err(error) if must => return Err(error),
                Err(_) => return Ok(None),
            }
        }
        let chain = chain.unwrap_or_default().to_vec();
        Ok(Some(Arc::new(VerifiedClient { chain })))
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.mode == ClientValidationMode::AllowValidOnly
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.mode == ClientValidationMode::AllowValidOnly {
            self.trust.verify(leaf, intermediates, Purpose::Client, now)?;
        }
        Ok(ClientCertVerified::assertion())
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
