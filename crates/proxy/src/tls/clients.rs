//! Client certificates: asked for, and judged.
//!
//! Who must be good is judged within the handshake and gets the alert that says why. Where anybody may come in, the handshake only
//! proves that the key is the certificate's, and the chain is judged afterwards. Sessions are judged before they go on: time has passed
//! since the chain was last looked at.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use sealway_core::ClientValidationMode;
use webpki::EndEntityCert;

use super::VerifiedClient;
use super::trust::{Purpose, Trust};

/// Judges the clients of one listener.
#[derive(Debug)]
pub(super) struct Clients {
    mode: ClientValidationMode,
    trust: Arc<Trust>,
    subjects: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    pub(super) fn new(mode: ClientValidationMode, trust: Arc<Trust>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self {
            mode,
            subjects: trust.subjects(),
            trust,
            algorithms,
        }
    }

    /// What a finished handshake proved. What to do about an error is for [`Self::must_be_good`] to say.
    pub(super) fn judge(&self, chain: Option<&[CertificateDer<'_>]>) -> Result<Option<Arc<VerifiedClient>>, CertificateError> {
        let Some((leaf, intermediates)) = chain.and_then(<[_]>::split_first) else {
            return Ok(None);
        };
        // The handshake has verified it, or the ticket was opened for it: what there is to learn is which intermediates were of use.
        let path = if self.must_be_good() && intermediates.is_empty() {
            Vec::new()
        } else {
            self.trust
                .verify(leaf, intermediates, Purpose::Client, UnixTime::now())?
                .intermediates
        };
        let chain = std::iter::once(leaf)
            .chain(&path)
            .map(|certificate| certificate.clone().into_owned());
        Ok(Some(Arc::new(VerifiedClient { chain: chain.collect() })))
    }

    /// Whether a session with this client goes on. Where anybody may come in, a client whose certificate is good no more is asked as
    /// well: it may have a new one.
    pub(super) fn may_resume(&self, chain: &[CertificateDer<'_>]) -> bool {
        match chain.split_first() {
            Some((leaf, intermediates)) => {
                let verdict = self.trust.verify(leaf, intermediates, Purpose::Client, UnixTime::now());
                verdict.is_ok()
            }
            None => !self.must_be_good(),
        }
    }

    /// Whether what a client proved to `before` holds here too: the same is asked of it, and its certificate leads to an authority that is
    /// believed now and has not taken it back. So authorities may come and go without a word to those whom they do not concern. Who has
    /// shown nothing, or nothing good, goes on as long as all are believed that were: else it may have something better to show.
    pub(super) fn go_on_with(&self, before: &Self, client: Option<&VerifiedClient>) -> bool {
        self.mode == before.mode
            && match client {
                Some(client) => self.may_resume(&client.chain),
                None => self.trust.believes_all_of(&before.trust),
            }
    }

    pub(super) fn must_be_good(&self) -> bool {
        self.mode == ClientValidationMode::AllowValidOnly
    }

    /// Whether to let a client in whose certificate the library cannot read, so that its key cannot be read either: where anybody may
    /// come in. It is nobody, because nothing that cannot be read is good.
    fn is_let_in_unread(&self, leaf: &CertificateDer<'_>) -> bool {
        !self.must_be_good() && EndEntityCert::try_from(leaf).is_err()
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.must_be_good()
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
        if self.must_be_good() {
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
        if self.is_let_in_unread(leaf) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.is_let_in_unread(leaf) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
