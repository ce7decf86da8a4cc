use super::{Facts, FactsFault};

#[test]
fn a_foreign_certificate_is_read_whole() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters =
        rcgen::CertificateParams::new(vec!["a.example".to_owned(), "192.0.2.1".to_owned(), "::1".to_owned()]).unwrap();
    parameters
        .subject_alt_names
        .push(rcgen::SanType::URI("spiffe://a/b".try_into().unwrap()));
    parameters
        .subject_alt_names
        .push(rcgen::SanType::Rfc822Name("a@b".try_into().unwrap()));
    parameters.serial_number = Some(vec![0, 0x0a, 0xff].into());
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "name");
    parameters.not_before = rcgen::date_time_ymd(2030, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2060, 1, 1);
    let der = parameters.self_signed(&key).unwrap().der().to_vec();
    let facts = Facts::of(&der).unwrap();
    assert_eq!(facts.serial, "0aff");
    assert_eq!(facts.subject.common_name, "name");
    assert_eq!(facts.dns_names, ["a.example"]);
    assert_eq!(
        facts.ip_addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.1", "::1"]
    );
    assert_eq!(facts.uris, ["spiffe://a/b"]);
    assert_eq!(facts.email_addresses, ["a@b"]);
    assert_eq!(facts.not_before.to_string(), "2030-01-01T00:00:00Z");
    assert_eq!(facts.not_after.to_string(), "2060-01-01T00:00:00Z");
    assert!(!facts.is_ca && !facts.may_sign && facts.may_sign_lists);
    assert_eq!(facts.subject_der, facts.issuer_der);
    assert_eq!(facts.fingerprint.len(), 64);

    assert_eq!(Facts::of(&[der.clone(), vec![0]].concat()), Err(FactsFault::Malformed));
    assert_eq!(Facts::of(&der[..der.len() - 1]), Err(FactsFault::Malformed));
}
