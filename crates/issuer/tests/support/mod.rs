//! What several tests need: keys, a CA, and the checks of RFC 5280.

#![allow(dead_code, clippy::unwrap_used)]

use std::sync::LazyLock;

use base64::Engine;
use sealway_api::{CertificateSpec, KeyAlgorithm, Timestamp};
use sealway_issuer::{CertificateParts, IssuerUrls, PrivateKey, Request, SigningKey, certificate, serial};

pub(crate) mod rfc5280;

pub(crate) static KEYS: LazyLock<[PrivateKey; 3]> =
    LazyLock::new(|| [256, 256, 384].map(|size| PrivateKey::generate(&KeyAlgorithm::Ecdsa, size).unwrap()));

pub(crate) fn spec(json: &str) -> CertificateSpec {
    serde_json::from_str(json).unwrap()
}

pub(crate) fn request(json: &str) -> Request {
    Request::of(&spec(json)).unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Valid for the whole of 2030.
pub(crate) fn issue(request: &Request, key: &PrivateKey, signer: SigningKey<'_>, urls: &IssuerUrls) -> Vec<u8> {
    certificate(CertificateParts {
        request,
        public_key_info: &key.public_key_info(),
        signer,
        not_before: at("2030-01-01T00:00:00Z"),
        not_after: at("2030-12-31T23:59:59Z"),
        serial: &serial().unwrap(),
        urls,
    })
    .unwrap()
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn pem(der: &[u8]) -> String {
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
