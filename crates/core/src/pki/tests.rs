//! Every sample, whole and cut and changed: nothing panics, and what is cut is never taken for whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{Kind, ObjectKey, Resource, Secret, SecretBytes};

use super::identity::{Identity, IdentityFault};
use super::{Authorities, AuthoritiesFault, ocsp};
use crate::problem::OcspFault;

fn samples() -> BTreeMap<String, Arc<Secret>> {
    let text = include_str!("../../testdata/pki/secrets.yaml");
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(text).expect("YAML");
    let secrets = documents
        .into_iter()
        .map(|document| match Resource::read(&Kind::Secret, document) {
            Some(Ok(Resource::Secret(secret))) => (secret.metadata.name.clone(), secret),
            other => panic!("{other:?}"),
        });
    secrets.collect()
}

fn read(data: &BTreeMap<String, SecretBytes>) -> Result<Identity, IdentityFault> {
    Identity::read(&ObjectKey::new("infra", "sample"), data).map_err(|unusable| unusable.fault)
}

#[test]
fn a_cut_certificate_or_key_is_never_served() {
    let good = samples().remove("good").expect("there");
    assert!(read(&good.data).is_ok());
    for key in ["tls.crt", "tls.key"] {
        let whole = good.data[key].expose().trim_ascii_end().to_vec();
        for length in 0..whole.len() {
            let mut data = good.data.clone();
            data.insert(key.to_owned(), SecretBytes::new(whole[..length].to_vec()));
            assert!(read(&data).is_err(), "{key} {length}");
        }
    }
}

#[test]
fn a_cut_ocsp_response_is_malformed_and_a_changed_one_harms_nobody() {
    let stapled = samples().remove("stapled").expect("there");
    let whole = stapled.data["tls.ocsp-staple"].expose().to_vec();
    let identity = read(&stapled.data).expect("good");
    assert!(identity.stapled_until().is_some());
    for length in 0..whole.len() {
        assert_eq!(
            ocsp::read(&whole[..length], &[1]).err(),
            Some(OcspFault::Malformed),
            "{length}"
        );
    }
    for position in 0..whole.len() {
        for change in [0x01, 0x20, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[position] ^= change;
            let _ = ocsp::read(&changed, &[1]);
        }
    }
    assert_eq!(ocsp::read(&whole, &[1]).err(), Some(OcspFault::OtherCertificate));
}

#[test]
fn a_bundle_that_is_cut_holds_nothing_that_it_did_not_hold() {
    let good = samples().remove("good").expect("there");
    let whole = good.data["tls.crt"].expose().trim_ascii_end();
    assert!(Authorities::read(Some(whole), None).is_ok());
    for length in 0..whole.len() {
        assert!(
            Authorities::read(Some(&whole[..length]), Some(&whole[..length])).is_err(),
            "{length}"
        );
    }
    assert_eq!(Authorities::read(None, None).err(), Some(AuthoritiesFault::Missing));
}

#[test]
fn a_certificate_is_named_by_all_that_serves_it() {
    let stapled = samples().remove("stapled").expect("there");
    let with = read(&stapled.data).expect("good");
    let mut data = stapled.data.clone();
    data.remove("tls.ocsp-staple");
    let without = read(&data).expect("good");
    let now = sealway_api::Timestamp::UNIX_EPOCH;
    assert_ne!(with.at(now).served.content, without.at(now).served.content);
    // After the response's time it is as if there were none.
    let later = with.stapled_until().expect("it says so");
    assert_eq!(with.at(later).served.content, without.at(later).served.content);
    assert_eq!(with.at(later).key.ocsp_response, None);
}
