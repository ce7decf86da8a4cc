use sealway_api::KeyAlgorithm;

use super::{ChainBundle, ChainFault, bundle, read_authority, read_chain, self_signed};
use crate::keys::PrivateKey;
use crate::order::IssuerUrls;
use crate::pem;
use crate::request::Request;
use crate::x509::{CertificateParts, SigningKey, certificate, serial};

/// Root, two below it, leaf: DER.
fn chain() -> [Vec<u8>; 4] {
    let keys = [0; 4].map(|_| PrivateKey::generate(&KeyAlgorithm::Ed25519, 0).unwrap());
    let mut chain: [Vec<u8>; 4] = Default::default();
    for level in 0..4 {
        let json = format!(r#"{{"commonName": "level {level}", "isCA": {}}}"#, level < 3);
        let signer = match level {
            0 => SigningKey::Itself(&keys[0]),
            _ => SigningKey::Authority {
                certificate: &chain[level - 1],
                key: &keys[level - 1],
            },
        };
        let made = certificate(CertificateParts {
            request: &Request::of(&serde_json::from_str(&json).unwrap()).unwrap(),
            public_key_info: &keys[level].public_key_info(),
            signer,
            not_before: "2030-01-01T00:00:00Z".parse().unwrap(),
            not_after: "2031-01-01T00:00:00Z".parse().unwrap(),
            serial: &serial().unwrap(),
            urls: &IssuerUrls::default(),
        });
        chain[level] = made.unwrap();
    }
    chain
}

fn pems(certificates: &[&Vec<u8>]) -> String {
    certificates.iter().map(|der| pem::write("CERTIFICATE", der)).collect()
}

#[test]
fn order_and_repetition_are_of_no_meaning() {
    let [root, upper, lower, leaf] = &chain();
    let expected = ChainBundle {
        chain_pem: pems(&[leaf, lower, upper]),
        ca_pem: Some(pems(&[root])),
    };
    let all = [root, upper, lower, leaf];
    for rotation in 0..4 {
        for turned in [false, true] {
            let mut given: Vec<_> = all.iter().map(|der| (*der).clone()).collect();
            given.rotate_left(rotation);
            if turned {
                given.reverse();
            }
            given.push(all[rotation].clone());
            assert_eq!(bundle(given), Ok(expected.clone()));
        }
    }
}

#[test]
fn the_highest_certificate_is_the_ca() {
    let [root, upper, lower, leaf] = chain();
    let without_root = bundle(vec![leaf.clone(), upper.clone(), lower.clone()]).unwrap();
    assert_eq!(
        without_root.chain_pem,
        pems(&[&leaf, &lower, &upper]),
        "it is no root, so it stays in the chain"
    );
    assert_eq!(without_root.ca_pem, Some(pems(&[&upper])));
    assert_eq!(
        bundle(vec![leaf.clone()]),
        Ok(ChainBundle {
            chain_pem: pems(&[&leaf]),
            ca_pem: None
        })
    );
    assert_eq!(
        bundle(vec![root.clone()]),
        Ok(ChainBundle {
            chain_pem: pems(&[&root]),
            ca_pem: Some(pems(&[&root]))
        })
    );
    assert_eq!(
        self_signed(&leaf),
        ChainBundle {
            chain_pem: pems(&[&leaf]),
            ca_pem: Some(pems(&[&leaf]))
        }
    );
}

#[test]
fn what_makes_no_chain_is_refused() {
    let [root, upper, _, leaf] = chain();
    assert_eq!(
        bundle(vec![root.clone(), upper.clone(), leaf]),
        Err(ChainFault::Broken),
        "a link is missing"
    );
    assert_eq!(
        bundle(vec![root, chain()[1].clone()]),
        Err(ChainFault::Broken),
        "the same names, other keys"
    );
    assert_eq!(bundle(Vec::new()), Err(ChainFault::Empty));
    assert_eq!(bundle(vec![upper, b"nothing".to_vec()]), Err(ChainFault::Malformed));
    let many = (0..1001_u16).map(|number| number.to_be_bytes().to_vec()).collect();
    assert_eq!(bundle(many), Err(ChainFault::TooMany));
}

#[test]
fn chains_are_read_from_pem() {
    let [root, upper, ..] = chain();
    let text = format!("a comment\n{}\n\n{}", pems(&[&upper]), pems(&[&root]));
    assert_eq!(read_chain(text.as_bytes()), Ok(vec![upper.clone(), root.clone()]));
    assert_eq!(
        read_authority(pems(&[&upper]).as_bytes(), Some(pems(&[&root, &upper]).as_bytes())),
        Ok(vec![upper.clone(), root.clone()])
    );
    assert_eq!(
        read_authority(pems(&[&upper]).as_bytes(), Some(b"garbage")),
        Err(ChainFault::Empty)
    );
    for (text, fault) in [
        (String::new(), ChainFault::Empty),
        ("garbage".to_owned(), ChainFault::Empty),
        (pem::write("CERTIFICATE", b"nothing"), ChainFault::Malformed),
        (pem::write("PRIVATE KEY", &root), ChainFault::Malformed),
        (pems(&[&root]).replace("MI", "!!"), ChainFault::Pem),
        (" ".repeat(95_001), ChainFault::TooLarge(95_000)),
    ] {
        assert_eq!(read_chain(text.as_bytes()), Err(fault), "{text}");
    }
}
