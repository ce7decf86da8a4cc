//! Chains of certificates: read from PEM, put in order, and split into what goes into `tls.crt` and what into `ca.crt`.
//!
//! Input: PEM or DER in any order. Output: PEM in order. Invariant: the outcome is that of cert-manager's `ParseSingleCertificateChain`.

/// `tls.crt` and `ca.crt`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainBundle {
    /// From the leaf to the highest certificate that is not self-signed: PEM.
    pub chain_pem: String,
    /// The highest certificate: PEM. `None` when there is only a leaf whose issuer is not at hand.
    pub ca_pem: Option<String>,
}

/// Why there is no chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// They do not make one chain.
    #[error("certificate chain is malformed or broken")]
    Broken,
}

/// Makes one chain of certificates (DER) that come in any order, perhaps more than once.
pub fn bundle(_certificates: Vec<Vec<u8>>) -> Result<ChainBundle, ChainFault> {
    Err(ChainFault::Broken)
}

/// What the selfSigned issuer makes of its certificate (DER): both are the certificate.
#[must_use]
pub fn self_signed(_certificate: &[u8]) -> ChainBundle {
    ChainBundle::default()
}

/// The certificates (DER) of a chain, as it stands in a CA's Secret.
pub fn read_chain(_pem: &[u8]) -> Result<Vec<Vec<u8>>, ChainFault> {
    Err(ChainFault::Broken)
}

/// A CA's chain: that of its Secret's `tls.crt`, and the first certificate of its `ca.crt`, when it has one. To be handed to
/// [`bundle`] together with what the CA has signed; the first signs.
pub fn read_authority(_tls_crt: &[u8], _ca_crt: Option<&[u8]>) -> Result<Vec<Vec<u8>>, ChainFault> {
    Err(ChainFault::Broken)
}
