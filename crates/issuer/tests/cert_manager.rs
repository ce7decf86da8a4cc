//! Keys, certificates and chains that cert-manager v1.21.2 made with its own `pkg/util/pki`, made once more by us from the same spec, key,
//! CA, serial and times: byte for byte the same, and refused when cert-manager refuses.
//!
//! testdata/cert-manager.json was written by a Go program that called, for each spec, `GeneratePrivateKeyForCertificate`, `GenerateCSR`,
//! `EncodeCSR`, `CertificateTemplateFromCertificateRequest`, then `SignCertificate` or `SignCSRTemplate`.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use base64::Engine;
use sealway_api::{CertificateSpec, KeyEncoding};
use sealway_issuer::{
    CertificateParts, Facts, IssuerUrls, PrivateKey, Request, RequestFault, SigningKey, bundle, certificate, read_authority,
    read_chain,
};
use serde::Deserialize;
use x509_parser::prelude::{FromDer, X509Certificate};

mod support;

/// Refused by both, in other words: ours say what mends it, or Go's has more detail than we need.
const OTHER_WORDS: [&str; 9] = [
    "literal-unknown-kind",
    "literal-one-arc",
    "bad-ip",
    "bad-other-name",
    "small-rsa",
    "bad-dns-constraint",
    "bad-uri-constraint",
    "bad-uri",
    "bad-uri-dot",
];

#[derive(Deserialize)]
struct Fixture {
    authorities: BTreeMap<String, Authority>,
    certificates: Vec<Case>,
}

#[derive(Deserialize)]
struct Authority {
    certificate: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Case {
    name: String,
    #[serde(rename = "self")]
    itself: bool,
    ca: String,
    crl: Vec<String>,
    ocsp: Vec<String>,
    issuing: Vec<String>,
    spec: CertificateSpec,
    error: String,
    key: String,
    pkcs8: String,
    certificate: String,
    chain: String,
    ca_pem: String,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../testdata/cert-manager.json")).unwrap()
}

fn signed_part(der: &[u8]) -> Vec<u8> {
    X509Certificate::from_der(der).unwrap().1.tbs_certificate.as_ref().to_vec()
}

#[test]
fn certificates_are_the_same_to_the_byte() {
    let fixture = fixture();
    let mut compared = 0;
    for case in fixture.certificates.iter().filter(|case| case.error.is_empty()) {
        let name = &case.name;
        let request = Request::of(&case.spec).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let key = PrivateKey::read(case.key.as_bytes()).unwrap();
        let theirs = base64::prelude::BASE64_STANDARD.decode(&case.certificate).unwrap();
        let facts = Facts::of(&theirs).unwrap();
        let serial = X509Certificate::from_der(&theirs).unwrap().1.raw_serial().to_vec();
        let urls = IssuerUrls {
            crl_distribution_points: case.crl.clone(),
            ocsp_servers: case.ocsp.clone(),
            issuing_certificates: case.issuing.clone(),
        };
        let authority = fixture.authorities.get(&case.ca);
        let authority = authority.map(|ca| (read_chain(ca.certificate.as_bytes()).unwrap().remove(0), ca.key.as_bytes()));
        let authority = authority.map(|(certificate, key)| (certificate, PrivateKey::read(key).unwrap()));
        let signer = match &authority {
            Some((certificate, key)) => SigningKey::Authority { certificate, key },
            None => SigningKey::Itself(&key),
        };
        assert_eq!(authority.is_none(), case.itself, "{name}");
        let ours = certificate(CertificateParts {
            request: &request,
            public_key_info: &key.public_key_info(),
            signer,
            not_before: facts.not_before,
            not_after: facts.not_after,
            serial: &serial,
            urls: &urls,
        })
        .unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(
            support::hexadecimal(&signed_part(&ours)),
            support::hexadecimal(&signed_part(&theirs)),
            "{name}"
        );
        let deterministic =
            matches!(signer, SigningKey::Authority { .. }) && (case.ca.starts_with("rsa") || case.ca == "ed25519");
        if deterministic {
            assert_eq!(ours, theirs, "{name}: signature");
        }
        let seconds = facts.not_after.duration_since(facts.not_before).as_secs();
        assert!(seconds.abs_diff(request.duration as i64) <= 1, "{name}: {seconds} s");
        if let Some((ca, _)) = authority {
            for der in [theirs, ours] {
                let expected = if deterministic {
                    case.chain.clone()
                } else {
                    support::pem(&der)
                };
                let made = bundle(vec![der, ca.clone()]).unwrap();
                assert_eq!((made.chain_pem, made.ca_pem), (expected, Some(case.ca_pem.clone())), "{name}");
            }
        }
        compared += 1;
    }
    assert!(compared >= 30, "{compared} certificates");
}

#[test]
fn keys_are_written_as_go_writes_them() {
    for case in fixture().certificates.iter().filter(|case| !case.key.is_empty()) {
        let name = &case.name;
        let encoding = case
            .spec
            .private_key
            .as_ref()
            .and_then(|key| key.encoding.clone())
            .unwrap_or(KeyEncoding::Pkcs1);
        for text in [&case.key, &case.pkcs8] {
            let key = PrivateKey::read(text.as_bytes()).unwrap_or_else(|fault| panic!("{name}: {fault}"));
            assert!(key.to_pem(&encoding).expose() == case.key.as_bytes(), "{name}");
            assert!(key.to_pem(&KeyEncoding::Pkcs8).expose() == case.pkcs8.as_bytes(), "{name}");
            if let Ok(request) = Request::of(&case.spec) {
                assert_eq!(key.mismatches(&request), Vec::<&str>::new(), "{name}");
            }
        }
    }
}

#[test]
fn what_cert_manager_refuses_is_refused() {
    let mut refused = 0;
    for case in fixture().certificates.iter().filter(|case| !case.error.is_empty()) {
        let name = case.name.as_str();
        let fault = Request::of(&case.spec)
            .err()
            .unwrap_or_else(|| panic!("{name} is not refused: {}", case.error));
        if !OTHER_WORDS.contains(&name) {
            assert!(
                case.error.contains(&fault.to_string()),
                "{name}: {fault} (cert-manager: {})",
                case.error
            );
        }
        assert!(fault.field().starts_with("spec") && !fault.hint().is_empty(), "{name}");
        refused += 1;
    }
    assert!(refused >= 25, "{refused} specs");
}

#[test]
fn the_authority_of_a_secret_is_its_chain_and_the_first_of_its_ca_crt() {
    let fixture = fixture();
    let [first, second] = ["p256", "p384"].map(|name| fixture.authorities[name].certificate.clone());
    let chain = read_authority(first.as_bytes(), Some(format!("{second}{first}").as_bytes())).unwrap();
    assert_eq!(
        chain,
        [read_chain(first.as_bytes()).unwrap(), read_chain(second.as_bytes()).unwrap()].concat()
    );
    assert_eq!(read_authority(first.as_bytes(), Some(b"")).unwrap().len(), 1);
    assert!(matches!(Request::of(&CertificateSpec::default()), Err(RequestFault::NoName)));
}
