use sealway_api::{KeyAlgorithm, KeyEncoding};

use super::{KeyFault, PrivateKey};
use crate::request::Request;

fn request(algorithm: KeyAlgorithm, size: u32) -> Request {
    Request {
        key_algorithm: Some(algorithm),
        key_size: size,
        ..Request::default()
    }
}

#[test]
fn every_kind_reads_back_from_every_form() {
    for (algorithm, size, label) in [
        (KeyAlgorithm::Rsa, 2048, "RSA PRIVATE KEY"),
        (KeyAlgorithm::Ecdsa, 256, "EC PRIVATE KEY"),
        (KeyAlgorithm::Ecdsa, 384, "EC PRIVATE KEY"),
        (KeyAlgorithm::Ecdsa, 521, "EC PRIVATE KEY"),
        (KeyAlgorithm::Ed25519, 0, "PRIVATE KEY"),
    ] {
        let key = PrivateKey::generate(&algorithm, size).unwrap();
        assert!(
            key.to_pem(&KeyEncoding::Pkcs1)
                .expose()
                .starts_with(format!("-----BEGIN {label}-----\n").as_bytes())
        );
        assert!(
            key.to_pem(&KeyEncoding::Pkcs8)
                .expose()
                .starts_with(b"-----BEGIN PRIVATE KEY-----\n")
        );
        assert!(key.to_der(&KeyEncoding::Pkcs8) == key.to_pkcs8_der());
        for encoding in [KeyEncoding::Pkcs1, KeyEncoding::Pkcs8] {
            let again = PrivateKey::read(key.to_pem(&encoding).expose()).unwrap();
            assert_eq!(again.public_key_info(), key.public_key_info());
            assert!(again.to_pem(&KeyEncoding::Pkcs1) == key.to_pem(&KeyEncoding::Pkcs1));
            assert!(again.to_pkcs8_der() == key.to_pkcs8_der());
            assert!(again.mismatches(&request(algorithm.clone(), size)).is_empty());
        }
    }
}

#[test]
fn sizes_that_cannot_be_made_are_named() {
    for (algorithm, size, message) in [
        (
            KeyAlgorithm::Rsa,
            6144,
            "RSA keys of 6144 bits cannot be made here: choose 2048, 3072, 4096 or 8192",
        ),
        (
            KeyAlgorithm::Rsa,
            1024,
            "RSA keys of 1024 bits cannot be made here: choose 2048, 3072, 4096 or 8192",
        ),
        (
            KeyAlgorithm::Ecdsa,
            224,
            "ECDSA keys of 224 bits cannot be made here: choose 256, 384 or 521",
        ),
        (
            KeyAlgorithm::Other("DSA".to_owned()),
            0,
            "unsupported private key algorithm specified: DSA",
        ),
    ] {
        assert_eq!(PrivateKey::generate(&algorithm, size).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_key_that_does_not_fit_is_said_by_field() {
    let key = PrivateKey::generate(&KeyAlgorithm::Ecdsa, 256).unwrap();
    assert_eq!(
        key.mismatches(&request(KeyAlgorithm::Rsa, 2048)),
        ["spec.privateKey.algorithm"]
    );
    assert_eq!(key.mismatches(&request(KeyAlgorithm::Ecdsa, 384)), ["spec.privateKey.size"]);
}

#[test]
fn what_is_no_key_is_refused_without_a_word_of_it() {
    let broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let certificate = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
    for (text, fault) in [
        (String::new(), KeyFault::NoPem),
        ("secret".to_owned(), KeyFault::NoPem),
        (broken.to_owned(), KeyFault::Malformed("pkcs#8")),
        (broken.replace("PRIVATE", "RSA PRIVATE"), KeyFault::Malformed("rsa")),
        (broken.replace("PRIVATE", "EC PRIVATE"), KeyFault::Malformed("ecdsa")),
        (broken.replace("c2VjcmV0", "c2VjcmV0!"), KeyFault::NoPem),
        (format!("{certificate}{broken}"), KeyFault::Label),
        (" ".repeat(13_001), KeyFault::TooLarge),
    ] {
        let found = PrivateKey::read(text.as_bytes()).unwrap_err();
        assert_eq!(found, fault, "{text}");
        assert!(!format!("{found:?} {found}").contains("c2Vj"));
    }
}

#[test]
fn debug_shows_nothing_of_it() {
    let key = PrivateKey::generate(&KeyAlgorithm::Rsa, 2048).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(RSA, 2048 bits)");
}
