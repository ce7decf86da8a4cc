//! Files of every kind, and what is shown of a certificate.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CidrSubnet, DnType, GeneralSubtree, IsCa, KeyPair, NameConstraints};
use sealway_testkit::certificates::{Authority, Request};

use super::*;

fn authority() -> Authority {
    Authority::generate("internal-ca", SystemTime::now()).expect("authority")
}

fn faulty(pem: &str) -> Fault {
    Certificate::read(pem.as_bytes()).expect_err("a fault")
}

#[test]
fn an_authority_fits_until_it_expires() {
    let certificate = Certificate::read(authority().certificate_pem().as_bytes()).expect("certificate");
    assert_eq!(certificate.subject, "CN=internal-ca");
    assert_eq!(certificate.constraints, None);
    assert_eq!(certificate.fits(Timestamp::now()), Ok(()));
    assert_eq!(certificate.fits(certificate.not_after), Ok(()));
    let after = certificate.not_after + Duration::from_secs(1);
    assert!(matches!(certificate.fits(after), Err(Fault::Expired { at, .. }) if at == certificate.not_after));
}

#[test]
fn others_than_roots_do_not_fit() {
    let authority = authority();
    let now = SystemTime::now();
    let leaf = authority
        .issue(&Request::server("shop", &["shop.example.com"], now))
        .expect("leaf");
    let leaf = Certificate::read(leaf.chain_pem().as_bytes()).expect("certificate");
    assert!(matches!(
        leaf.fits(Timestamp::now()),
        Err(Fault::NotAuthority { subject, issuer }) if subject == "CN=shop" && issuer == "CN=internal-ca"
    ));
    let below = authority.intermediate("issuing-ca", now).expect("authority");
    let below = Certificate::read(below.certificate_pem().as_bytes()).expect("certificate");
    assert!(matches!(below.fits(Timestamp::now()), Err(Fault::NotRoot { .. })));
}

#[test]
fn a_file_has_to_hold_exactly_one_certificate() {
    let (one, other) = (authority(), authority());
    let (one_pem, other_pem) = (one.certificate_pem(), other.certificate_pem());
    assert_eq!(faulty(""), Fault::NoCertificate);
    assert_eq!(faulty("hello"), Fault::NoCertificate);
    assert_eq!(faulty(one.identity().key().expose_pem()), Fault::KeyOnly);
    assert_eq!(faulty(&format!("{one_pem}{other_pem}")), Fault::Several(2));
    assert_eq!(faulty(&one_pem.replacen("MII", "AAA", 1)), Fault::Broken);
    assert_eq!(faulty("-----BEGIN CERTIFICATE-----\nAA"), Fault::Broken);
    // The same one twice is one.
    assert!(Certificate::read(format!("{one_pem}{one_pem}").as_bytes()).is_ok());
}

#[test]
fn a_key_beside_the_certificate_goes_nowhere() {
    let authority = authority();
    let both = authority.identity().key().expose_pem().to_owned() + authority.certificate_pem();
    let certificate = Certificate::read(both.as_bytes()).expect("certificate");
    assert_eq!(certificate.pem(), authority.certificate_pem().replace("\r\n", "\n"));
    assert!(!format!("{certificate:?}").contains("PRIVATE"));
}

#[test]
fn constraints_are_shown_with_their_kinds() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "a\u{1b}[2Jb");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("example.com".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([10, 0, 0, 0], 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0xfd; 16], 64)),
        ],
        excluded_subtrees: vec![GeneralSubtree::Rfc822Name("example.org".to_owned())],
    });
    let pem = params
        .self_signed(&KeyPair::generate().expect("key"))
        .expect("certificate")
        .pem();
    let certificate = Certificate::read(pem.as_bytes()).expect("certificate");
    let constraints = certificate.constraints.expect("constraints");
    assert_eq!(constraints.excluded, ["email example.org"]);
    assert_eq!(
        constraints.permitted,
        [
            "DNS example.com",
            "IP 10.0.0.0/8",
            "IP fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd/64"
        ]
    );
    // A terminal obeys nothing of it.
    assert!(!certificate.subject.contains('\u{1b}') && certificate.subject.contains("[2Jb"));
}

#[test]
fn masks_with_holes_are_not_networks() {
    assert_eq!(network(&[10, 0, 0, 0, 255, 0, 255, 0]), None);
    assert_eq!(network(&[0; 8]), Some("0.0.0.0/0".to_owned()));
    assert_eq!(network(&[10, 0, 0]), None);
}

#[test]
fn fingerprints_read_back() {
    let fingerprint = Fingerprint::of(b"abc");
    assert_eq!(
        fingerprint.hex(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert!(fingerprint.to_string().starts_with("BA:78:16:"));
    assert_eq!(Fingerprint::from_hex(&fingerprint.hex().to_uppercase()), Some(fingerprint));
    for wrong in ["", "ba78", &"g".repeat(64), &"+f".repeat(32), &"é".repeat(32)] {
        assert_eq!(Fingerprint::from_hex(wrong), None, "{wrong}");
    }
}
