//! Whatever stands in a CA's Secret is read without a panic; a key that was read is written and read the same, and signs; a chain that was
//! made makes itself again.
//!
//! The first byte says how the rest is wrapped: mutations then reach the DER parsers.
#![no_main]

use base64::Engine;
use libfuzzer_sys::fuzz_target;
use sealway_api::{CertificateSpec, KeyEncoding};
use sealway_issuer::{CertificateParts, Facts, IssuerUrls, PrivateKey, Request, SigningKey, bundle, certificate, read_chain};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let text = match kind {
        b'1' => pem("RSA PRIVATE KEY", rest),
        b'2' => pem("EC PRIVATE KEY", rest),
        b'8' => pem("PRIVATE KEY", rest),
        b'c' => pem("CERTIFICATE", rest),
        _ => rest.to_vec(),
    };
    if let Ok(key) = PrivateKey::read(&text) {
        check_key(&key);
    }
    let _ = Facts::of(rest);
    if let Ok(chain) = read_chain(&text)
        && let Ok(made) = bundle(chain)
    {
        let again = [made.chain_pem.as_str(), made.ca_pem.as_deref().unwrap_or_default()].concat();
        assert_eq!(bundle(read_chain(again.as_bytes()).expect("what is written can be read")), Ok(made));
    }
});

fn check_key(key: &PrivateKey) {
    for encoding in [KeyEncoding::Pkcs1, KeyEncoding::Pkcs8] {
        let again = PrivateKey::read(key.to_pem(&encoding).expose()).expect("what is written can be read");
        assert!(again.to_pkcs8_der() == key.to_pkcs8_der() && again.public_key_info() == key.public_key_info());
    }
    let spec = CertificateSpec { common_name: "a".to_owned(), ..CertificateSpec::default() };
    let signed = certificate(CertificateParts {
        request: &Request::of(&spec).unwrap(),
        public_key_info: &key.public_key_info(),
        signer: SigningKey::Itself(key),
        not_before: "2030-01-01T00:00:00Z".parse().unwrap(),
        not_after: "2031-01-01T00:00:00Z".parse().unwrap(),
        serial: &[1],
        urls: &IssuerUrls::default(),
    });
    assert!(Facts::of(&signed.expect("a key that was read signs")).is_ok());
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}
