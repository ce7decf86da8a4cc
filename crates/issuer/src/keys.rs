//! Private keys: made, read, written and signed with.
//!
//! Input: an algorithm and a size, or PEM. Output: PEM and DER as cert-manager (Go) writes them, signatures. Invariant: key bytes are in no
//! message, and nothing here is Serialize or prints more than algorithm and size.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaKeyPair,
};
use der::asn1::{AnyRef, ObjectIdentifier, OctetString, Uint};
use der::{Decode, Reader, SliceReader};
use rustls_pki_types::pem::SectionKind;
use sealway_api::{KeyAlgorithm, KeyEncoding, SecretBytes};

use crate::pem;
use crate::request::Request;

/// cert-manager's cap for a key in PEM.
const LARGEST_PEM: usize = 13_000;

const CURVES: [(u32, &EcdsaSigningAlgorithm); 3] = [
    (256, &ECDSA_P256_SHA256_ASN1_SIGNING),
    (384, &ECDSA_P384_SHA384_ASN1_SIGNING),
    (521, &ECDSA_P521_SHA512_ASN1_SIGNING),
];

/// Bits of RSA keys that can be made: the library makes no others, though cert-manager would.
pub const RSA_SIZES: [u32; 4] = [2048, 3072, 4096, 8192];

/// A private key: RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519.
pub struct PrivateKey {
    pair: Pair,
    /// PKCS#1 or SEC1; PKCS#8 for Ed25519, which has no other form.
    traditional: SecretBytes,
    pkcs8: SecretBytes,
    public_key_info: Vec<u8>,
}

enum Pair {
    Rsa(RsaKeyPair, u32),
    Ecdsa(EcdsaKeyPair, u32),
    Ed25519(Ed25519KeyPair),
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// More than cert-manager reads.
    #[error("error decoding private key PEM block: provided PEM data was larger than the maximum {LARGEST_PEM}B")]
    TooLarge,
    /// No PEM.
    #[error("error decoding private key PEM block: no PEM data was found in given input")]
    NoPem,
    /// There is a block before it, or it is none of the three that keys stand in.
    #[error("unknown private key type: it must begin with a block PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY")]
    Label,
    /// The block of this form holds no such key, or one of a kind that we do not sign with.
    #[error(
        "error parsing {0} private key: it must be RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519, and not encrypted"
    )]
    Malformed(&'static str),
    /// A size that we cannot make.
    #[error("{algorithm} keys of {size} bits cannot be made here: choose {possible}")]
    Size {
        /// RSA or ECDSA.
        algorithm: &'static str,
        /// What was asked for.
        size: u32,
        /// What can be.
        possible: &'static str,
    },
    /// An algorithm that nobody knows.
    #[error("unsupported private key algorithm specified: {0}")]
    Algorithm(String),
    /// The library failed.
    #[error("the key could not be made: the cryptographic library failed")]
    Crypto,
}

impl From<Unspecified> for KeyFault {
    fn from(_: Unspecified) -> Self {
        Self::Crypto
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pair {
            Pair::Rsa(..) => write!(formatter, "PrivateKey(RSA, {} bits)", self.size()),
            Pair::Ecdsa(..) => write!(formatter, "PrivateKey(ECDSA, {} bits)", self.size()),
            Pair::Ed25519(_) => formatter.write_str("PrivateKey(Ed25519)"),
        }
    }
}

impl PrivateKey {
    /// Makes a key. `size` is in bits, and of no meaning for Ed25519.
    ///
    /// RSA: 2048, 3072, 4096 and 8192 bits; the library makes no others, though cert-manager would.
    pub fn generate(algorithm: &KeyAlgorithm, size: u32) -> Result<Self, KeyFault> {
        match algorithm {
            KeyAlgorithm::Rsa => {
                let key_size = match size {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    8192 => KeySize::Rsa8192,
                    _ => {
                        return Err(KeyFault::Size {
                            algorithm: "RSA",
                            size,
                            possible: "2048, 3072, 4096 or 8192",
                        });
                    }
                };
                Self::rsa(RsaKeyPair::generate(key_size)?)
            }
            KeyAlgorithm::Ecdsa => {
                let curve = CURVES.iter().find(|(bits, _)| *bits == size);
                let (bits, curve) = curve.ok_or(KeyFault::Size {
                    algorithm: "ECDSA",
                    size,
                    possible: "256, 384 or 521",
                })?;
                Self::ecdsa(EcdsaKeyPair::generate(curve)?, *bits)
            }
            KeyAlgorithm::Ed25519 => Self::ed25519(Ed25519KeyPair::generate()?),
            KeyAlgorithm::Other(text) => Err(KeyFault::Algorithm(text.clone())),
        }
    }

    /// Reads the first PEM block: PKCS#1, SEC1 or PKCS#8, not encrypted.
    pub fn read(text: &[u8]) -> Result<Self, KeyFault> {
        if text.len() > LARGEST_PEM {
            return Err(KeyFault::TooLarge);
        }
        let Some(Ok((kind, der))) = pem::blocks(text).next() else {
            return Err(KeyFault::NoPem);
        };
        match kind {
            SectionKind::PrivateKey => Self::read_pkcs8(&der),
            SectionKind::RsaPrivateKey => Self::rsa(RsaKeyPair::from_der(&der).map_err(|_| KeyFault::Malformed("rsa"))?),
            SectionKind::EcPrivateKey => Self::read_ecdsa(&der).unwrap_or(Err(KeyFault::Malformed("ecdsa"))),
            _ => Err(KeyFault::Label),
        }
    }

    fn read_pkcs8(der: &[u8]) -> Result<Self, KeyFault> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            return Self::rsa(pair);
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Self::ed25519(pair);
        }
        Self::read_ecdsa(der).unwrap_or(Err(KeyFault::Malformed("pkcs#8")))
    }

    fn read_ecdsa(der: &[u8]) -> Option<Result<Self, KeyFault>> {
        CURVES.iter().find_map(|(bits, curve)| {
            let pair = EcdsaKeyPair::from_private_key_der(curve, der).ok()?;
            Some(Self::ecdsa(pair, *bits))
        })
    }

    fn rsa(pair: RsaKeyPair) -> Result<Self, KeyFault> {
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der()?;
        let traditional = pkcs8_content(pkcs8.as_ref()).ok_or(KeyFault::Crypto)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
        let bits = modulus_bits(&traditional).ok_or(KeyFault::Crypto)?;
        Ok(Self {
            traditional: SecretBytes::new(traditional),
            pkcs8: SecretBytes::new(pkcs8.as_ref().to_vec()),
            public_key_info: public.as_ref().to_vec(),
            pair: Pair::Rsa(pair, bits),
        })
    }

    fn ecdsa(pair: EcdsaKeyPair, bits: u32) -> Result<Self, KeyFault> {
        let traditional: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der()?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
        Ok(Self {
            traditional: SecretBytes::new(traditional.as_ref().to_vec()),
            pkcs8: SecretBytes::new(pair.to_pkcs8v1()?.as_ref().to_vec()),
            public_key_info: public.as_ref().to_vec(),
            pair: Pair::Ecdsa(pair, bits),
        })
    }

    fn ed25519(pair: Ed25519KeyPair) -> Result<Self, KeyFault> {
        let pkcs8 = SecretBytes::new(pair.to_pkcs8v1()?.as_ref().to_vec());
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
        Ok(Self {
            traditional: pkcs8.clone(),
            pkcs8,
            public_key_info: public.as_ref().to_vec(),
            pair: Pair::Ed25519(pair),
        })
    }

    /// PEM as in `tls.key`.
    #[must_use]
    pub fn to_pem(&self, encoding: &KeyEncoding) -> SecretBytes {
        let label = match (encoding, &self.pair) {
            (KeyEncoding::Pkcs8, _) | (_, Pair::Ed25519(_)) => "PRIVATE KEY",
            (_, Pair::Rsa(..)) => "RSA PRIVATE KEY",
            (_, Pair::Ecdsa(..)) => "EC PRIVATE KEY",
        };
        SecretBytes::new(pem::write(label, self.to_der(encoding).expose()).into_bytes())
    }

    /// DER as in `key.der`: what [`Self::to_pem`] has between its lines.
    #[must_use]
    pub fn to_der(&self, encoding: &KeyEncoding) -> SecretBytes {
        match encoding {
            KeyEncoding::Pkcs8 => self.pkcs8.clone(),
            _ => self.traditional.clone(),
        }
    }

    /// PKCS#8.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> SecretBytes {
        self.pkcs8.clone()
    }

    /// DER of the SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    #[must_use]
    pub fn public_key_info(&self) -> Vec<u8> {
        self.public_key_info.clone()
    }

    /// Fields of the Certificate that this key is not what they ask for, as cert-manager's `PrivateKeyMatchesSpec` names them.
    #[must_use]
    pub fn mismatches(&self, request: &Request) -> Vec<&'static str> {
        let algorithm_fits = matches!(
            (&self.pair, &request.key_algorithm),
            (Pair::Rsa(..), None | Some(KeyAlgorithm::Rsa))
                | (Pair::Ecdsa(..), Some(KeyAlgorithm::Ecdsa))
                | (Pair::Ed25519(_), Some(KeyAlgorithm::Ed25519))
        );
        if !algorithm_fits {
            vec!["spec.privateKey.algorithm"]
        } else if self.size() != request.key_size {
            vec!["spec.privateKey.size"]
        } else {
            Vec::new()
        }
    }

    /// In bits; 0 for Ed25519.
    fn size(&self) -> u32 {
        match &self.pair {
            Pair::Rsa(_, bits) | Pair::Ecdsa(_, bits) => *bits,
            Pair::Ed25519(_) => 0,
        }
    }

    /// Object identifier of the algorithm that [`Self::sign`] uses, and whether it has parameters (NULL): cert-manager's choice by size.
    pub(crate) fn signature_algorithm(&self) -> (ObjectIdentifier, bool) {
        let (identifier, null) = match &self.pair {
            Pair::Rsa(pair, _) => match pair.public_modulus_len() {
                512.. => ("1.2.840.113549.1.1.13", true),
                384.. => ("1.2.840.113549.1.1.12", true),
                _ => ("1.2.840.113549.1.1.11", true),
            },
            Pair::Ecdsa(_, 256) => ("1.2.840.10045.4.3.2", false),
            Pair::Ecdsa(_, 384) => ("1.2.840.10045.4.3.3", false),
            Pair::Ecdsa(..) => ("1.2.840.10045.4.3.4", false),
            Pair::Ed25519(_) => ("1.3.101.112", false),
        };
        (ObjectIdentifier::new_unwrap(identifier), null)
    }

    /// Signs, with the algorithm of [`Self::signature_algorithm`].
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair, _) => {
                let encoding = match pair.public_modulus_len() {
                    512.. => &RSA_PKCS1_SHA512,
                    384.. => &RSA_PKCS1_SHA384,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair, _) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
        }
    }
}

/// The key within PKCS#8.
fn pkcs8_content(pkcs8: &[u8]) -> Option<Vec<u8>> {
    let content: Result<OctetString, der::Error> = SliceReader::new(pkcs8).ok()?.sequence(|fields| {
        let _version = u8::decode(fields)?;
        let _algorithm = AnyRef::decode(fields)?;
        OctetString::decode(fields)
    });
    content.ok().map(|content| content.as_bytes().to_vec())
}

/// Length of the modulus in PKCS#1.
fn modulus_bits(pkcs1: &[u8]) -> Option<u32> {
    let modulus: Result<Uint, der::Error> = SliceReader::new(pkcs1).ok()?.sequence(|fields| {
        let _version = u8::decode(fields)?;
        let modulus = Uint::decode(fields)?;
        // The rest is the key.
        while !fields.is_finished() {
            AnyRef::decode(fields)?;
        }
        Ok(modulus)
    });
    let modulus = modulus.ok()?;
    let unused = modulus.as_bytes().first()?.leading_zeros();
    Some(u32::try_from(modulus.as_bytes().len() * 8).ok()? - unused)
}

#[cfg(test)]
mod tests;
