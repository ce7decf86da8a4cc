use std::sync::LazyLock;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use sealway_api::{KeyAlgorithm, ObjectKey};
use webpki::{
    ALL_VERIFICATION_ALGS, BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error, KeyUsage,
    RevocationOptionsBuilder, anchor_from_trusted_cert,
};

use super::{CertificateParts, SignFault, SigningKey, Timestamp, certificate, revocation_list, serial};
use crate::facts::Facts;
use crate::issued::{Issuance, Revocation};
use crate::keys::PrivateKey;
use crate::order::IssuerUrls;
use crate::request::Request;

static KEYS: LazyLock<[PrivateKey; 2]> =
    LazyLock::new(|| [256, 384].map(|size| PrivateKey::generate(&KeyAlgorithm::Ecdsa, size).unwrap()));

fn request(json: &str) -> Request {
    Request::of(&serde_json::from_str(json).unwrap()).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn sign(json: &str, key: &PrivateKey, signer: SigningKey<'_>) -> Result<Vec<u8>, SignFault> {
    certificate(CertificateParts {
        request: &request(json),
        public_key_info: &key.public_key_info(),
        signer,
        not_before: at("2030-01-01T00:00:00Z"),
        not_after: at("2055-01-01T00:00:00Z"),
        serial: &serial().unwrap(),
        urls: &IssuerUrls::default(),
    })
}

const AUTHORITY: &str = r#"{"isCA": true, "commonName": "authority", "usages": ["cert sign", "crl sign"]}"#;
const LEAF: &str = r#"{"dnsNames": ["a.example"], "usages": ["digital signature", "server auth"]}"#;

fn issuance(certificate: &[u8], reason: Option<&str>) -> Issuance {
    let facts = Facts::of(certificate).unwrap();
    let revoked = reason.map(|reason| Revocation {
        at: at("2030-02-01T00:00:00Z"),
        reason: reason.to_owned(),
    });
    Issuance {
        serial: facts.serial,
        certificate: ObjectKey::default(),
        not_after: facts.not_after,
        revoked,
    }
}

/// What webpki says of a leaf in March 2030, with a revocation list.
fn verify(leaf: &[u8], authority: &[u8], list: &[u8]) -> Result<(), Error> {
    let list = CertRevocationList::from(BorrowedCertRevocationList::from_der(list)?.to_owned()?);
    let lists = [&list];
    let revocation = RevocationOptionsBuilder::new(&lists).unwrap().build();
    let authority = CertificateDer::from(authority);
    let anchors = [anchor_from_trusted_cert(&authority)?];
    let leaf = CertificateDer::from(leaf);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(at("2030-03-01T00:00:00Z").as_second() as u64));
    let leaf = EndEntityCert::try_from(&leaf)?;
    leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        &anchors,
        &[],
        now,
        KeyUsage::server_auth(),
        Some(revocation),
        None,
    )?;
    Ok(())
}

#[test]
fn a_revocation_list_takes_back_what_it_names_and_nothing_else() {
    let [authority_key, key] = &*KEYS;
    let authority = sign(AUTHORITY, authority_key, SigningKey::Itself(authority_key)).unwrap();
    let signer = SigningKey::Authority {
        certificate: &authority,
        key: authority_key,
    };
    let [first, second] = [LEAF, LEAF].map(|json| sign(json, key, signer).unwrap());
    let list = |entries: &[Issuance]| {
        revocation_list(
            &authority,
            authority_key,
            300,
            at("2030-02-02T00:00:00Z"),
            at("2030-04-01T00:00:00Z"),
            entries,
        )
    };
    let empty = list(&[issuance(&first, None)]).unwrap();
    assert_eq!(verify(&first, &authority, &empty), Ok(()));
    for reason in [
        "",
        "unspecified",
        "keyCompromise",
        "superseded",
        "certificateHold",
        "aACompromise",
    ] {
        let made = list(&[issuance(&first, Some(reason)), issuance(&second, None)]).unwrap();
        assert_eq!(verify(&first, &authority, &made), Err(Error::CertRevoked), "{reason}");
        assert_eq!(verify(&second, &authority, &made), Ok(()), "{reason}");
    }
    assert_eq!(
        list(&[issuance(&first, Some("removeFromCRL"))]),
        Err(SignFault::Reason("removeFromCRL".to_owned()))
    );
    let odd = Issuance {
        serial: "abc".to_owned(),
        ..issuance(&first, Some(""))
    };
    assert_eq!(list(&[odd]), Err(SignFault::Serial("abc".to_owned())));
}

#[test]
fn a_revocation_list_has_number_and_key_identifier() {
    use x509_parser::prelude::{CertificateRevocationList, FromDer};
    let [key, _] = &*KEYS;
    let authority = sign(AUTHORITY, key, SigningKey::Itself(key)).unwrap();
    let list = revocation_list(
        &authority,
        key,
        300,
        at("2030-01-01T00:00:00Z"),
        at("2055-01-01T00:00:00Z"),
        &[],
    )
    .unwrap();
    let (rest, parsed) = CertificateRevocationList::from_der(&list).unwrap();
    assert!(rest.is_empty());
    assert_eq!(parsed.version().unwrap().0, 1, "version 2");
    assert_eq!(parsed.crl_number().unwrap().to_string(), "300");
    let identifiers: Vec<_> = parsed
        .extensions()
        .iter()
        .map(|extension| (extension.oid.to_id_string(), extension.critical))
        .collect();
    assert_eq!(
        identifiers,
        [("2.5.29.35".to_owned(), false), ("2.5.29.20".to_owned(), false)]
    );
    assert_eq!(parsed.iter_revoked_certificates().count(), 0);
    assert_eq!(
        parsed.next_update().unwrap().timestamp(),
        at("2055-01-01T00:00:00Z").as_second()
    );
}

#[test]
fn a_ca_without_crl_sign_signs_no_list() {
    let [key, _] = &*KEYS;
    let authority = sign(r#"{"isCA": true, "commonName": "authority"}"#, key, SigningKey::Itself(key)).unwrap();
    let made = revocation_list(
        &authority,
        key,
        1,
        at("2030-01-01T00:00:00Z"),
        at("2030-02-01T00:00:00Z"),
        &[],
    );
    assert_eq!(made, Err(SignFault::NoCrlSign));
}

#[test]
fn leaves_of_a_foreign_ca_verify() {
    let foreign_key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)
        .or_else(|_| rcgen::KeyPair::generate())
        .unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let authority = parameters.self_signed(&foreign_key).unwrap();
    let authority_key = PrivateKey::read(foreign_key.serialize_pem().as_bytes()).unwrap();
    let signer = SigningKey::Authority {
        certificate: authority.der(),
        key: &authority_key,
    };
    let leaf = sign(LEAF, &KEYS[1], signer).unwrap();
    let list = revocation_list(
        authority.der(),
        &authority_key,
        1,
        at("2030-02-02T00:00:00Z"),
        at("2030-04-01T00:00:00Z"),
        &[],
    )
    .unwrap();
    assert_eq!(verify(&leaf, authority.der(), &list), Ok(()));
}

#[test]
fn nothing_is_signed_with_a_key_that_does_not_fit() {
    let [authority_key, key] = &*KEYS;
    let authority = sign(AUTHORITY, authority_key, SigningKey::Itself(authority_key)).unwrap();
    assert_eq!(
        sign(
            LEAF,
            key,
            SigningKey::Authority {
                certificate: &authority,
                key
            }
        ),
        Err(SignFault::KeyMismatch)
    );
    assert_eq!(
        sign(LEAF, key, SigningKey::Itself(authority_key)),
        Err(SignFault::KeyMismatch)
    );
    assert_eq!(
        sign(
            LEAF,
            key,
            SigningKey::Authority {
                certificate: b"nothing",
                key
            }
        ),
        Err(SignFault::Authority)
    );
    let list = revocation_list(
        &authority,
        key,
        1,
        at("2030-01-01T00:00:00Z"),
        at("2030-02-01T00:00:00Z"),
        &[],
    );
    assert_eq!(list, Err(SignFault::KeyMismatch));
}

#[test]
fn what_cannot_be_written_is_said() {
    let [key, _] = &*KEYS;
    let request = request(LEAF);
    let info = key.public_key_info();
    let urls = IssuerUrls {
        crl_distribution_points: vec!["http://bücher.example/".to_owned()],
        ..IssuerUrls::default()
    };
    let good = CertificateParts {
        request: &request,
        public_key_info: &info,
        signer: SigningKey::Itself(key),
        not_before: at("2030-01-01T00:00:00Z"),
        not_after: at("2031-01-01T00:00:00Z"),
        serial: &[1],
        urls: &IssuerUrls::default(),
    };
    assert!(certificate(good).is_ok());
    assert_eq!(
        certificate(CertificateParts { urls: &urls, ..good }),
        Err(SignFault::Url("http://bücher.example/".to_owned()))
    );
    assert_eq!(
        certificate(CertificateParts { serial: &[0, 0], ..good }),
        Err(SignFault::Serial("0000".to_owned()))
    );
    assert!(
        matches!(
            certificate(CertificateParts {
                serial: &[0x80; 20],
                ..good
            }),
            Err(SignFault::Serial(_))
        ),
        "21 octets"
    );
    let early = at("1969-12-31T23:59:59Z");
    assert_eq!(
        certificate(CertificateParts {
            not_before: early,
            ..good
        }),
        Err(SignFault::Time(early))
    );
    let stored = Request {
        ip_addresses: vec!["nowhere".to_owned()],
        ..request.clone()
    };
    assert_eq!(
        certificate(CertificateParts {
            request: &stored,
            ..good
        }),
        Err(SignFault::Name("nowhere".to_owned()))
    );
    let stored = Request {
        subject: b"no DER".to_vec(),
        ..request.clone()
    };
    assert_eq!(
        certificate(CertificateParts {
            request: &stored,
            ..good
        }),
        Err(SignFault::Encoding)
    );
}

#[test]
fn serials_are_positive_and_differ() {
    let drawn: std::collections::BTreeSet<_> = (0..100).map(|_| serial().unwrap()).collect();
    assert_eq!(drawn.len(), 100);
    assert!(drawn.iter().all(|serial| (0x40..0x80).contains(&serial[0])));
}
