//! What a Secret holds: read once in a plan, for every question about it.
//!
//! Input: a Secret, or none. Output: its certificate, and the first thing that is wrong with the pair, in cert-manager's words. Thousands are
//! read for every plan, so a key that is seen to be the certificate's by its bytes is not read further.

use rustls_pki_types::pem::SectionKind;
use sealway_api::{KeyAlgorithm, Secret};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::chain::read_chain;
use crate::facts::Facts;
use crate::keys::PrivateKey;
use crate::request::Request;

/// Reason and message of a condition (cert-manager's policy violation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Violation {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// What a Secret holds.
#[derive(Debug)]
pub(super) struct Held {
    /// The first certificate of `tls.crt`.
    pub(super) facts: Option<Facts>,
    /// No Secret, a part missing, or parts that do not belong together.
    pub(super) violation: Option<Violation>,
}

impl Held {
    /// cert-manager's `SecretDoesNotExist`, `SecretIsMissingData` and `SecretPublicKeysDiffer`.
    pub(super) fn of(secret: Option<&Secret>) -> Self {
        let Some(secret) = secret else {
            return Self {
                facts: None,
                violation: Some(Violation::new("DoesNotExist", "Issuing certificate as Secret does not exist")),
            };
        };
        let part = |key: &str| secret.data.get(key).map(|bytes| bytes.expose()).unwrap_or_default();
        let (chain, key) = (part("tls.crt"), part("tls.key"));
        let facts = first_certificate(chain);
        let violation = if secret.data.is_empty() {
            Some((
                "MissingData",
                "Issuing certificate as Secret does not contain any data".to_owned(),
            ))
        } else if key.is_empty() {
            Some((
                "MissingData",
                "Issuing certificate as Secret does not contain a private key".to_owned(),
            ))
        } else if chain.is_empty() {
            Some((
                "MissingData",
                "Issuing certificate as Secret does not contain a certificate".to_owned(),
            ))
        } else {
            pair_violation(key, facts.as_ref())
        };
        Self {
            facts: facts.ok(),
            violation: violation.map(|(reason, message)| Violation { reason, message }),
        }
    }

    /// Whether the key is one that the request asks for (cert-manager's `SecretPrivateKeyMismatchesSpec`). The key is the certificate's:
    /// that was looked at before.
    pub(super) fn key_violation(&self, wanted: &Request) -> Option<Violation> {
        let (algorithm, size) = self.facts.as_ref().and_then(|facts| key_kind(&facts.public_key_info))?;
        let field = if wanted.key_algorithm.as_ref() != Some(&algorithm) {
            "spec.privateKey.algorithm"
        } else if algorithm != KeyAlgorithm::Ed25519 && wanted.key_size != size {
            "spec.privateKey.size"
        } else {
            return None;
        };
        Some(Violation::new(
            "SecretMismatch",
            format!("Existing private key is not up to date for spec: [{field}]"),
        ))
    }
}

/// The first certificate of PEM, or why there is none, as cert-manager says it.
pub(super) fn first_certificate(pem: &[u8]) -> Result<Facts, String> {
    // Mostly there is one, and it need not be read twice.
    let mut blocks = crate::pem::blocks(pem);
    if let (Some(Ok((SectionKind::Certificate, der))), None) = (blocks.next(), blocks.next())
        && let Ok(facts) = Facts::of(&der)
    {
        return Ok(facts);
    }
    let chain = read_chain(pem).map_err(|fault| fault.to_string())?;
    let first = chain.first().map(Vec::as_slice).unwrap_or_default();
    Facts::of(first).map_err(|fault| fault.to_string())
}

fn pair_violation(key: &[u8], facts: Result<&Facts, &String>) -> Option<(&'static str, String)> {
    if let Ok(facts) = facts
        && shows(key, &facts.public_key_info)
    {
        return None;
    }
    let key = match PrivateKey::read(key) {
        Ok(key) => key,
        Err(fault) => {
            let message = format!("Issuing certificate as Secret contains invalid private key data: {fault}");
            return Some(("InvalidKeyPair", message));
        }
    };
    match facts {
        Err(fault) => Some((
            "InvalidCertificate",
            format!("Issuing certificate as Secret contains an invalid certificate: {fault}"),
        )),
        Ok(facts) if facts.public_key_info != key.public_key_info() => Some((
            "InvalidKeyPair",
            "Issuing certificate as Secret contains a private key that does not match the certificate".to_owned(),
        )),
        Ok(_) => None,
    }
}

/// Whether a private key in PEM shows the public key where its form has it: PKCS#1 begins with modulus and exponent, SEC1 ends with the
/// point. No is no answer: then the key has to be read, which takes ten times as long.
fn shows(key: &[u8], public_key_info: &[u8]) -> bool {
    let Some(Ok((_, der))) = crate::pem::blocks(key).next() else {
        return false;
    };
    let Ok((_, info)) = SubjectPublicKeyInfo::from_der(public_key_info) else {
        return false;
    };
    let public = &*info.subject_public_key.data;
    match info.parsed() {
        Ok(PublicKey::RSA(_)) => {
            // Version 0 and the content of the public key's SEQUENCE; a modulus of 2048 bits or more has a length of two bytes.
            let content = public.get(4..).unwrap_or_default();
            let beginning = [&[2, 1, 0], content].concat();
            !content.is_empty() && der.get(..beginning.len() + 64).is_some_and(|der| contains(der, &beginning))
        }
        Ok(PublicKey::EC(_)) => der.ends_with(public),
        _ => false,
    }
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

/// Algorithm and size in bits.
fn key_kind(public_key_info: &[u8]) -> Option<(KeyAlgorithm, u32)> {
    const ED25519: &str = "1.3.101.112";
    let (_, info) = SubjectPublicKeyInfo::from_der(public_key_info).ok()?;
    if info.algorithm.algorithm.to_id_string() == ED25519 {
        return Some((KeyAlgorithm::Ed25519, 0));
    }
    match info.parsed().ok()? {
        PublicKey::RSA(key) => Some((KeyAlgorithm::Rsa, u32::try_from(key.key_size()).ok()?)),
        PublicKey::EC(point) => Some((KeyAlgorithm::Ecdsa, curve_bits(point.key_size())?)),
        _ => None,
    }
}

/// The library counts P-521's whole bytes.
fn curve_bits(size: usize) -> Option<u32> {
    Some(match size {
        528 => 521,
        size => u32::try_from(size).ok()?,
    })
}
