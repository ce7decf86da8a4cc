//! What a distribution point gives is read without a panic, twice with equal outcome, and only what its issuer has signed is taken.
//!
//! The first byte says what the rest is: the list, or the certificate of whoever is to have signed one.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sealway_api::{ObjectKey, Resources};
use sealway_core::{DistributionPoint, RevocationList};
use sealway_provider::files::Loaded;

/// An authority's certificate and lists, in PEM.
static SAMPLES: LazyLock<Resources> = LazyLock::new(|| {
    let text = include_str!("../../crates/core/testdata/pki/fetched.yaml").to_owned();
    (*Loaded::from_texts([("fuzz.yaml".to_owned(), text)]).resources).clone()
});
static POINT: LazyLock<DistributionPoint> = LazyLock::new(|| point(der(sample("publishing-ca", "ca.crt"))));
static KNOWN: LazyLock<[RevocationList; 2]> = LazyLock::new(|| {
    ["publishing-ca", "publishing-ca-stale"]
        .map(|name| RevocationList::fetched(&POINT, sample(name, "ca.crl").as_bytes()).expect("signed"))
});

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    if choice % 2 == 0 {
        let read = RevocationList::fetched(&POINT, bytes);
        assert!(read == RevocationList::fetched(&POINT, bytes));
        if let Ok(list) = read {
            // Nobody else has the key. The same may be signed twice: what is signed is the same.
            let is_known = |known: &RevocationList| {
                (known.issuer(), known.this_update(), known.next_update())
                    == (list.issuer(), list.this_update(), list.next_update())
            };
            assert!(KNOWN.iter().any(is_known));
            let again = RevocationList::fetched(&POINT, list.der()).expect("as before");
            assert!(again == list);
        }
    } else {
        let point = point(bytes.to_vec());
        let read = RevocationList::fetched(&point, KNOWN[0].der());
        assert!(read == RevocationList::fetched(&point, KNOWN[0].der()));
    }
});

fn point(issuer: Vec<u8>) -> DistributionPoint {
    DistributionPoint {
        url: "http://crl.test/ca.crl".to_owned(),
        issuers: vec![issuer.into()],
    }
}

fn sample(name: &str, key: &str) -> &'static str {
    &SAMPLES.config_maps[&ObjectKey::new("infra", name)].data[key]
}

/// Of PEM with one block.
fn der(pem: &str) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let body = pem.lines().filter(|line| !line.starts_with('-')).flat_map(str::bytes);
    let values = body.filter_map(|letter| LETTERS.iter().position(|known| *known == letter));
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_usize, 0);
    for value in values {
        bits = (bits << 6) | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
