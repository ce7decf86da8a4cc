//! Who is believed, as seen with certificates that a library of others makes.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::Error;

use super::super::unfit::text;
use super::*;

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(super) fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(super) fn authority(name: &str) -> Authority {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

pub(super) fn leaf_params(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::new(vec![format!("{name}.example.com")]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(serial));
    params
}

fn leaf(issuer: &Issuer<'_, KeyPair>, serial: u64) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    leaf_params("leaf", serial).signed_by(&key, issuer).unwrap().der().clone()
}

/// Long past its time.
pub(super) fn list(issuer: &Issuer<'_, KeyPair>, revoked: &[u64]) -> Vec<u8> {
    list_until(issuer, revoked, 2024)
}

/// Until the second month of a year.
pub(super) fn list_until(issuer: &Issuer<'_, KeyPair>, revoked: &[u64], year: i32) -> Vec<u8> {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(year, 2, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(issuer).unwrap().der().to_vec()
}

fn trust(certificates: &[&CertificateDer<'static>], revocation_lists: Vec<Vec<u8>>) -> Trust {
    trust_that(CrlFailure::Soft, certificates, revocation_lists).0
}

/// And the lists that it asks for.
pub(super) fn trust_that(
    crl_failure: CrlFailure,
    certificates: &[&CertificateDer<'static>],
    revocation_lists: Vec<Vec<u8>>,
) -> (Trust, Trusts) {
    let trusts = Trusts::default();
    let trust = trusts.of(&TrustBundle {
        content: ContentHash([0; 32]),
        sources: Vec::new(),
        certificates: certificates.iter().copied().cloned().collect(),
        subjects: Vec::new(),
        revocation_lists: revocation_lists.into_iter().map(Arc::from).collect(),
        crl_failure,
    });
    (Arc::into_inner(trust).unwrap(), trusts)
}

pub(super) fn verify(trust: &Trust, chain: &[&CertificateDer<'static>]) -> Result<usize, CertificateError> {
    let chain: Vec<_> = chain.iter().copied().cloned().collect();
    let (leaf, intermediates) = chain.split_first().unwrap();
    let path = trust.verify(leaf, intermediates, Purpose::Client, UnixTime::now())?;
    Ok(path.intermediates.len())
}

#[test]
fn every_list_of_a_name_is_asked_whichever_comes_first_and_whoever_signed_it() {
    let (old, new) = (authority("CA"), authority("CA"));
    let certificates = [old.der(), new.der()];
    let lists = [list(&old, &[7]), list(&new, &[8]), list(&old, &[9]), list(&new, &[])];
    for turn in 0..lists.len() {
        for backwards in [false, true] {
            let (mut certificates, mut lists) = (certificates.to_vec(), lists.to_vec());
            lists.rotate_left(turn);
            if backwards {
                certificates.reverse();
                lists.reverse();
            }
            let trust = trust(&certificates, lists);
            for (issuer, serial, is_good) in [
                (&old, 7, false),
                (&old, 9, false),
                (&old, 8, true),
                (&old, 1, true),
                (&new, 8, false),
                (&new, 7, true),
                (&new, 9, true),
                (&new, 1, true),
            ] {
                let expected = if is_good { Ok(0) } else { Err(CertificateError::Revoked) };
                let generation = if std::ptr::eq(issuer, &old) { "old" } else { "new" };
                assert_eq!(
                    verify(&trust, &[&leaf(issuer, serial)]),
                    expected,
                    "{generation} {serial} {turn} {backwards}"
                );
            }
        }
    }
}

#[test]
fn list_of_a_new_key_counts_where_the_old_one_vouches_for_it() {
    let old = authority("CA");
    let key = KeyPair::generate().unwrap();
    let link = CertifiedIssuer::signed_by(authority_params("CA"), key, &old).unwrap();
    let trust = trust(&[old.der()], vec![list(&link, &[7])]);
    assert_eq!(verify(&trust, &[&leaf(&link, 1), link.der()]), Ok(1));
    assert_eq!(verify(&trust, &[&leaf(&link, 7), link.der()]), Err(CertificateError::Revoked));
    // The link itself.
    let mut params = authority_params("CA");
    params.serial_number = Some(SerialNumber::from(7));
    let link = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &old).unwrap();
    let trust = self::trust(&[old.der()], vec![list(&link, &[]), list(&old, &[7])]);
    assert_eq!(verify(&trust, &[&leaf(&link, 1), link.der()]), Err(CertificateError::Revoked));
}

#[test]
fn certificate_that_may_not_sign_is_good_for_itself_alone() {
    let root = authority("CA");
    let key = KeyPair::generate().unwrap();
    let pinned = leaf_params("pinned", 1).signed_by(&key, &root).unwrap().der().clone();
    let forged = leaf(
        &Issuer::new(leaf_params("pinned", 1), KeyPair::try_from(key.serialize_der()).unwrap()),
        2,
    );
    let trust = trust(&[&pinned], Vec::new());
    assert_eq!(verify(&trust, &[&pinned]), Ok(0));
    assert_eq!(verify(&trust, &[&forged]), Err(CertificateError::UnknownIssuer));
    verify(&trust, &[&forged, &pinned]).unwrap_err();
    // Of the same authority, with the same name and key: another one all the same.
    let other = leaf_params("pinned", 3).signed_by(&key, &root).unwrap().der().clone();
    assert_eq!(verify(&trust, &[&other]), Err(CertificateError::UnknownIssuer));
    assert!(trust.subjects().is_empty());
}

#[test]
fn certificate_that_may_not_sign_by_its_key_usage_is_no_authority() {
    let mut params = authority_params("CA");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let no_authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let trust = trust(&[no_authority.der()], Vec::new());
    assert_eq!(
        verify(&trust, &[&leaf(&no_authority, 1)]),
        Err(CertificateError::UnknownIssuer)
    );
}

#[test]
fn certificate_in_the_bundle_is_still_asked_for_its_time_its_usage_and_its_revocation() {
    let root = authority("CA");
    let made = |change: fn(&mut CertificateParams)| {
        let mut params = leaf_params("pinned", 7);
        change(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), &root).unwrap().der().clone()
    };
    let cases = [
        (
            made(|params| params.not_after = date_time_ymd(2025, 1, 1)),
            CertificateError::Expired,
        ),
        (
            made(|params| params.not_before = date_time_ymd(2999, 1, 1)),
            CertificateError::NotValidYet,
        ),
        (
            made(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            CertificateError::InvalidPurpose,
        ),
    ];
    for (pinned, error) in cases {
        assert_eq!(verify(&trust(&[&pinned], Vec::new()), &[&pinned]), Err(error));
    }
    let revoked = made(|_| ());
    let trust = trust(&[&revoked, root.der()], vec![list(&root, &[7])]);
    assert_eq!(verify(&trust, &[&revoked]), Err(CertificateError::Revoked));
}

#[test]
fn authority_that_shows_itself_is_believed_where_it_stands_in_the_bundle() {
    let (root, other) = (authority("CA"), authority("CA"));
    let trust = trust(&[root.der()], Vec::new());
    assert_eq!(verify(&trust, &[root.der()]), Ok(0));
    let error = verify(&trust, &[other.der()]).unwrap_err();
    assert!(text(&Error::InvalidCertificate(error)).contains("put this very one into the bundle"));
}

#[test]
fn path_is_what_was_of_use() {
    let (root, stranger) = (authority("CA"), authority("Other"));
    let middle = CertifiedIssuer::signed_by(authority_params("Middle"), KeyPair::generate().unwrap(), &root).unwrap();
    let trust = trust(&[root.der()], Vec::new());
    let leaf = leaf(&middle, 1);
    let sent = [stranger.der().clone(), middle.der().clone(), root.der().clone()];
    let path = trust.verify(&leaf, &sent, Purpose::Client, UnixTime::now()).unwrap();
    assert_eq!(path.intermediates, [middle.der().clone()]);
}

#[test]
fn what_is_below_a_certificate_that_may_not_sign_is_told_by_its_reason() {
    let root = authority("CA");
    let key = KeyPair::generate().unwrap();
    let middle = leaf_params("middle", 1).signed_by(&key, &root).unwrap().der().clone();
    let leaf = leaf(
        &Issuer::new(leaf_params("middle", 1), KeyPair::try_from(key.serialize_der()).unwrap()),
        2,
    );
    let error = verify(&trust(&[root.der()], Vec::new()), &[&leaf, &middle]).unwrap_err();
    assert!(text(&Error::InvalidCertificate(error)).contains("sign with one that has CA:TRUE"));
}

#[test]
fn names_of_authorities_are_told_only_as_far_as_a_handshake_holds_them() {
    let few = [authority("one"), authority("two")];
    let ders: Vec<_> = few.iter().map(|authority| authority.der()).collect();
    assert_eq!(trust(&ders, Vec::new()).subjects().len(), 2);
    let long = "x".repeat(6 * 1024);
    let many: Vec<_> = (0..3).map(|_| authority(&long)).collect();
    let ders: Vec<_> = many.iter().map(|authority| authority.der()).collect();
    let trust = trust(&ders, Vec::new());
    assert!(trust.subjects().is_empty());
    assert_eq!(verify(&trust, &[&leaf(&many[1], 1)]), Ok(0));
}

#[test]
fn trust_is_made_once_for_all_that_believe_the_same_and_forgotten_with_the_last() {
    let root = authority("CA");
    let bundle = |number| TrustBundle {
        content: ContentHash([number; 32]),
        sources: Vec::new(),
        certificates: vec![root.der().clone()],
        subjects: Vec::new(),
        revocation_lists: Vec::new(),
        crl_failure: CrlFailure::Soft,
    };
    let trusts = Trusts::default();
    let one = trusts.of(&bundle(1));
    assert!(Arc::ptr_eq(&one, &trusts.of(&bundle(1))));
    assert!(!Arc::ptr_eq(&one, &trusts.of(&bundle(2))));
    drop(one);
    let _third = trusts.of(&bundle(3));
    assert_eq!(lock(&trusts.known).trusts.len(), 1);
}
