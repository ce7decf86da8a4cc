//! Peers whose certificates name distribution points, with and without a current list of their issuer.

use rcgen::{CertificateParams, CertifiedIssuer, CrlDistributionPoint, Issuer, KeyPair, SerialNumber};
use rustls::CertificateError::{ApplicationVerificationFailure, Revoked};
use sealway_core::DistributionPoint;

use super::tests::{Authority, authority, authority_params, leaf_params, list, list_until, trust_that, verify};
use super::*;

const URL: &str = "http://crl.test/ca.crl";

fn naming(mut params: CertificateParams, url: &str) -> CertificateParams {
    let uris = vec![url.to_owned()];
    params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
    params
}

/// A leaf that names [`URL`].
fn leaf(issuer: &Issuer<'_, KeyPair>, serial: u64) -> CertificateDer<'static> {
    let params = naming(leaf_params("leaf", serial), URL);
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
}

fn intermediate(params: CertificateParams, root: &Authority) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), root).unwrap()
}

fn asked(trusts: &Trusts) -> Vec<DistributionPoint> {
    trusts
        .wanted()
        .watch()
        .borrow()
        .iter()
        .map(|point| (**point).clone())
        .collect()
}

fn point(url: &str, issuers: &[&CertificateDer<'static>]) -> DistributionPoint {
    DistributionPoint {
        url: url.to_owned(),
        issuers: issuers.iter().copied().cloned().collect(),
    }
}

#[test]
fn who_lacks_a_list_is_let_in_or_refused_as_is_wished_and_the_list_is_asked_for() {
    let (root, namesake) = (authority("CA"), authority("CA"));
    let missing = [
        Vec::new(),
        // Past its time; somebody else's of the same name; both.
        vec![list(&root, &[9])],
        vec![list_until(&namesake, &[7], 2999)],
        vec![list_until(&namesake, &[7], 2999), list(&root, &[9])],
    ];
    for lists in missing {
        let (soft, trusts) = trust_that(CrlFailure::Soft, &[root.der()], lists.clone());
        assert_eq!(verify(&soft, &[&leaf(&root, 7)]), Ok(0));
        assert_eq!(asked(&trusts), [point(URL, &[root.der()])]);
        let (hard, trusts) = trust_that(CrlFailure::Hard, &[root.der()], lists.clone());
        assert_eq!(verify(&hard, &[&leaf(&root, 7)]), Err(ApplicationVerificationFailure));
        assert_eq!(asked(&trusts), [point(URL, &[root.der()])]);
        // What names no distribution point is not concerned.
        let silent = leaf_params("silent", 7)
            .signed_by(&KeyPair::generate().unwrap(), &root)
            .unwrap();
        assert_eq!(verify(&hard, &[silent.der()]), Ok(0));
    }
}

#[test]
fn with_a_current_list_nobody_is_asked_and_only_the_revoked_are_refused() {
    let (root, namesake) = (authority("CA"), authority("CA"));
    for failure in [CrlFailure::Soft, CrlFailure::Hard] {
        let lists = vec![
            list_until(&namesake, &[8], 2999),
            list_until(&root, &[7], 2999),
            list(&root, &[6]),
        ];
        let (trust, trusts) = trust_that(failure, &[root.der()], lists);
        assert_eq!(verify(&trust, &[&leaf(&root, 8)]), Ok(0));
        for revoked in [7, 6] {
            assert_eq!(verify(&trust, &[&leaf(&root, revoked)]), Err(Revoked));
        }
        assert!(asked(&trusts).is_empty());
    }
}

#[test]
fn list_that_ends_is_missing_from_that_second_on() {
    let root = authority("CA");
    let (trust, _) = trust_that(CrlFailure::Hard, &[root.der()], vec![list_until(&root, &[], 2050)]);
    let leaf = leaf(&root, 7);
    let end = 2_527_286_400;
    let at = |second| {
        trust.verify(
            &leaf,
            &[],
            Purpose::Client,
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(second)),
        )
    };
    assert_eq!(at(end - 1).unwrap().lists_end, end);
    assert_eq!(at(end), Err(ApplicationVerificationFailure));
}

#[test]
fn every_certificate_of_a_path_is_asked_about_at_its_own_issuer() {
    let root = authority("Root");
    let middle = intermediate(naming(authority_params("Middle"), "http://crl.test/root.crl"), &root);
    let leaf = leaf(&middle, 7);
    let of_root = list_until(&root, &[], 2999);
    let of_middle = list_until(&middle, &[], 2999);
    let points = [
        point(URL, &[middle.der(), root.der()]),
        point("http://crl.test/root.crl", &[root.der()]),
    ];
    for (lists, missing) in [
        (vec![], &points[..]),
        (vec![of_root.clone()], &points[..1]),
        (vec![of_middle.clone()], &points[1..]),
        (vec![of_middle, of_root], &[]),
    ] {
        let (trust, trusts) = trust_that(CrlFailure::Hard, &[root.der()], lists);
        let expected = if missing.is_empty() {
            Ok(1)
        } else {
            Err(ApplicationVerificationFailure)
        };
        assert_eq!(verify(&trust, &[&leaf, middle.der()]), expected);
        assert_eq!(asked(&trusts), missing);
    }
    let mut params = authority_params("Middle");
    params.serial_number = Some(SerialNumber::from(9));
    let revoked = intermediate(params, &root);
    let (trust, _) = trust_that(CrlFailure::Soft, &[root.der()], vec![list(&root, &[9])]);
    assert_eq!(verify(&trust, &[&self::leaf(&revoked, 7), revoked.der()]), Err(Revoked));
}

#[test]
fn nobody_is_asked_for_a_chain_that_does_not_verify() {
    let (root, stranger) = (authority("CA"), authority("CA"));
    for failure in [CrlFailure::Soft, CrlFailure::Hard] {
        let (trust, trusts) = trust_that(failure, &[root.der()], Vec::new());
        verify(&trust, &[&leaf(&stranger, 7)]).unwrap_err();
        let mut params = naming(leaf_params("old", 7), URL);
        params.not_after = rcgen::date_time_ymd(2025, 1, 1);
        let old = params.signed_by(&KeyPair::generate().unwrap(), &root).unwrap();
        verify(&trust, &[old.der()]).unwrap_err();
        assert!(asked(&trusts).is_empty());
    }
}

#[test]
fn certificate_in_the_bundle_needs_a_list_only_where_its_issuer_is_believed() {
    let root = authority("CA");
    let pinned = leaf(&root, 7);
    let (alone, _) = trust_that(CrlFailure::Hard, &[&pinned], Vec::new());
    assert_eq!(verify(&alone, &[&pinned]), Ok(0));
    let (beside, _) = trust_that(CrlFailure::Hard, &[&pinned, root.der()], Vec::new());
    assert_eq!(verify(&beside, &[&pinned]), Err(ApplicationVerificationFailure));
}

#[test]
fn list_of_a_part_speaks_of_that_part_alone() {
    let root = authority("CA");
    let mut params = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2024, 1, 1),
        next_update: rcgen::date_time_ymd(2999, 2, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: Some(rcgen::CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint {
                uris: vec!["http://crl.test/other.crl".to_owned()],
            },
            scope: None,
        }),
        revoked_certs: vec![rcgen::RevokedCertParams {
            serial_number: SerialNumber::from(7),
            revocation_time: rcgen::date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let other = params.signed_by(&root).unwrap().der().to_vec();
    let (trust, trusts) = trust_that(CrlFailure::Hard, &[root.der()], vec![other]);
    assert_eq!(verify(&trust, &[&leaf(&root, 7)]), Err(ApplicationVerificationFailure));
    assert_eq!(asked(&trusts).len(), 1);
    params.issuing_distribution_point.as_mut().unwrap().distribution_point.uris = vec![URL.to_owned()];
    let its = params.signed_by(&root).unwrap().der().to_vec();
    let (trust, _) = trust_that(CrlFailure::Hard, &[root.der()], vec![its]);
    assert_eq!(verify(&trust, &[&leaf(&root, 7)]), Err(Revoked));
    assert_eq!(verify(&trust, &[&leaf(&root, 8)]), Ok(0));
}

#[test]
fn list_is_read_once_for_all_bundles_that_have_it() {
    let root = authority("CA");
    let shared: Arc<[u8]> = list_until(&root, &[7], 2999).into();
    let bundle = |number, lists: &[&Arc<[u8]>]| TrustBundle {
        content: ContentHash([number; 32]),
        sources: Vec::new(),
        certificates: vec![root.der().clone()],
        subjects: Vec::new(),
        revocation_lists: lists.iter().copied().cloned().collect(),
        crl_failure: CrlFailure::Soft,
    };
    let trusts = Trusts::default();
    let one = trusts.of(&bundle(1, &[&shared]));
    let two = trusts.of(&bundle(2, &[&list_until(&root, &[], 2999).into(), &shared]));
    assert!(Arc::ptr_eq(&one.lists[0], &two.lists[1]));
}
