//! Private keys: made, read, written and signed with.
//!
//! Input: an algorithm and a size, or PEM. Output: PEM and DER as cert-manager (Go) writes them. Invariant: key bytes are in no message,
//! and nothing here is Serialize or prints more than algorithm and size.

use std::fmt;

use sealway_api::{KeyAlgorithm, KeyEncoding, SecretBytes};

use crate::request::Request;

/// A private key.
pub struct PrivateKey {
    pkcs8: SecretBytes,
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// No PEM.
    #[error("error decoding private key PEM block: no PEM data was found in given input")]
    NoPem,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey(..)")
    }
}

impl PrivateKey {
    /// Makes a key. `size` is in bits, and of no meaning for Ed25519.
    pub fn generate(_algorithm: &KeyAlgorithm, _size: u32) -> Result<Self, KeyFault> {
        Err(KeyFault::NoPem)
    }

    /// Reads the first PEM block.
    pub fn read(_pem: &[u8]) -> Result<Self, KeyFault> {
        Err(KeyFault::NoPem)
    }

    /// PEM as in `tls.key`.
    #[must_use]
    pub fn to_pem(&self, _encoding: &KeyEncoding) -> SecretBytes {
        self.pkcs8.clone()
    }

    /// DER as in `key.der`: what [`Self::to_pem`] has between its lines.
    #[must_use]
    pub fn to_der(&self, _encoding: &KeyEncoding) -> SecretBytes {
        self.pkcs8.clone()
    }

    /// PKCS#8.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> SecretBytes {
        self.pkcs8.clone()
    }

    /// DER of the SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    #[must_use]
    pub fn public_key_info(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Fields of the Certificate that this key is not what they ask for, as cert-manager names them.
    #[must_use]
    pub fn mismatches(&self, _request: &Request) -> Vec<&'static str> {
        Vec::new()
    }
}
