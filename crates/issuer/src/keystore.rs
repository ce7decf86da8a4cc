//! Keystores for Java: JKS and PKCS#12, byte for byte as the libraries of cert-manager and trust-manager write them.
//!
//! Input: DER of key and certificates, a password, times, and where salts come from. Output: the file. Invariant: the same input with the
//! same salts gives the same bytes; a reader takes any bytes and never does more work than their number.
//!
//! Two differences, both so that Java opens the store: passwords beyond ASCII are UTF-16 in JKS too (keystore-go takes each byte of UTF-8
//! for a character), and characters beyond the basic plane are surrogate pairs (go-pkcs12 refuses them).

use sealway_api::{SecretBytes, Timestamp};

pub mod jks;
pub mod pkcs12;
mod subject_text;

pub use subject_text::subject_text;

/// A key with its certificates.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a> {
    /// PKCS#8, DER.
    pub key: &'a SecretBytes,
    /// Its certificate and those above it: DER, from the leaf up; at least the leaf.
    pub chain: &'a [Vec<u8>],
    /// Authorities that the store holds besides.
    pub authorities: &'a [Trusted],
    /// When the key was put in; JKS only.
    pub created: Timestamp,
}

/// A certificate that whoever opens the store is to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// Name of the entry, unique in the store: of two with one name JKS keeps the last, and so does Java.
    pub alias: String,
    /// DER.
    pub certificate: Vec<u8>,
    /// When it was put in; JKS only.
    pub created: Timestamp,
}

/// Where salts and initialisation vectors come from: it fills the bytes that it is given.
pub type Salts<'a> = dyn FnMut(&mut [u8]) -> Result<(), StoreFault> + 'a;

/// Why a keystore cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// More bytes than the format can count.
    #[error("the alias `{}…` is too long for a keystore: shorten it to 65535 bytes", .0.chars().take(32).collect::<String>())]
    Alias(String),
    /// Bytes that are no certificate.
    #[error("a certificate for the keystore cannot be read: give certificates as PEM blocks CERTIFICATE")]
    Certificate,
    /// More bytes than the format can count.
    #[error("key and certificates are too large for a keystore: leave out certificates that nothing needs")]
    TooLarge,
    /// No random bytes, or the library refused; neither is expected.
    #[error("the cryptographic library failed: try again, and look for what ails the machine")]
    Crypto,
}

impl From<aws_lc_rs::error::Unspecified> for StoreFault {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}

impl From<der::Error> for StoreFault {
    fn from(_: der::Error) -> Self {
        Self::TooLarge
    }
}

/// Salts for stores with keys.
pub fn random_salts(bytes: &mut [u8]) -> Result<(), StoreFault> {
    Ok(aws_lc_rs::rand::fill(bytes)?)
}

/// Salts for stores of public certificates only: the same for the same `content`, so that the store does not change when nothing did.
pub fn derived_salts(content: &[u8]) -> impl FnMut(&mut [u8]) -> Result<(), StoreFault> {
    let seed = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
    let mut count: u32 = 0;
    move |bytes| {
        for chunk in bytes.chunks_mut(seed.as_ref().len()) {
            let counted = [seed.as_ref(), &count.to_be_bytes()].concat();
            let block = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &counted);
            chunk.copy_from_slice(&block.as_ref()[..chunk.len()]);
            count += 1;
        }
        Ok(())
    }
}

/// Text as Java and PKCS#12 hash it: UTF-16, big-endian, no terminator.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests;
