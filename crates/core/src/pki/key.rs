//! Private keys: which public key belongs to one.

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::{Error, PemObject};

use super::IdentityFault;

/// The first private key of a PEM file: PKCS#8, PKCS#1 or SEC1.
pub(super) fn read(pem: &[u8]) -> Result<PrivateKeyDer<'static>, IdentityFault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        // Old and new ways to say that a passphrase is needed (RFC 1421 section 4.6.1.1, RFC 7468 section 11).
        let is_encrypted = pem.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
        match error {
            _ if is_encrypted => IdentityFault::KeyEncrypted,
            Error::NoItemsFound => IdentityFault::KeyNone,
            _ => IdentityFault::KeyPem,
        }
    })
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// The content of subjectPublicKey (RFC 5280 section 4.1.2.7) that belongs to a private key; `None` for keys that cannot be used.
pub(super) fn public_key(key: &PrivateKeyDer<'_>) -> Option<Vec<u8>> {
    match key {
        PrivateKeyDer::Pkcs1(key) => {
            let pair = rsa::KeyPair::from_der(key.secret_pkcs1_der()).ok()?;
            Some(pair.public_key().as_ref().to_vec())
        }
        PrivateKeyDer::Sec1(key) => elliptic(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(key) => {
            let der = key.secret_pkcs8_der();
            let rsa = || Some(rsa::KeyPair::from_pkcs8(der).ok()?.public_key().as_ref().to_vec());
            let edwards = || {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
                Some(pair.public_key().as_ref().to_vec())
            };
            rsa().or_else(|| elliptic(der)).or_else(edwards)
        }
        _ => None,
    }
}

fn elliptic(der: &[u8]) -> Option<Vec<u8>> {
    let curves = [
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
        &ECDSA_P521_SHA512_ASN1_SIGNING,
    ];
    let mut pairs = curves
        .into_iter()
        .filter_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok());
    pairs.next().map(|pair| pair.public_key().as_ref().to_vec())
}
