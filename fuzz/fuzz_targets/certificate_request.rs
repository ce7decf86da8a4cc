//! Whatever a Certificate asks for is refused, or becomes a certificate that reads back with the names that were asked for.
//!
//! Each line is one field: its first byte says which, the rest is its text.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sealway_api::{CertificateSpec, KeyAlgorithm, NameConstraintItem, NameConstraints, OtherName, Subject};
use sealway_issuer::{CertificateParts, Facts, IssuerUrls, PrivateKey, Request, SigningKey, certificate};

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(&KeyAlgorithm::Ed25519, 0).unwrap());

fuzz_target!(|text: &str| {
    let spec = spec(text);
    let Ok(request) = Request::of(&spec) else { return };
    assert!(request.differences(&request).is_empty());
    let der = certificate(CertificateParts {
        request: &request,
        public_key_info: &KEY.public_key_info(),
        signer: SigningKey::Itself(&KEY),
        not_before: "2030-01-01T00:00:00Z".parse().unwrap(),
        not_after: "2031-01-01T00:00:00Z".parse().unwrap(),
        serial: &[1],
        urls: &IssuerUrls::default(),
    });
    let facts = Facts::of(&der.expect("what is not refused can be written")).expect("what is written can be read");
    assert_eq!(facts.subject_der, request.subject);
    assert_eq!(facts.dns_names, spec.dns_names);
    assert_eq!(facts.uris, spec.uris);
    assert_eq!(facts.email_addresses, spec.email_addresses);
    assert_eq!(facts.ip_addresses.len(), spec.ip_addresses.len());
    assert_eq!(facts.is_ca, spec.is_ca);
});

fn spec(text: &str) -> CertificateSpec {
    let mut spec = CertificateSpec::default();
    let mut subject = Subject::default();
    let mut constraints = NameConstraintItem::default();
    for line in text.lines() {
        let Some(kind) = line.chars().next() else { continue };
        let value = line[kind.len_utf8()..].to_owned();
        match kind {
            'l' => spec.literal_subject = value,
            'c' => spec.common_name = value,
            'd' => spec.dns_names.push(value),
            'i' => spec.ip_addresses.push(value),
            'u' => spec.uris.push(value),
            'e' => spec.email_addresses.push(value),
            'o' => spec.other_names.push(OtherName { oid: value, utf8_value: "x".to_owned() }),
            't' => spec.duration = Some(value),
            'k' => spec.usages.push(value.into()),
            'O' => subject.organizations.push(value),
            'C' => subject.countries.push(value),
            'S' => subject.serial_number = value,
            'D' => constraints.dns_domains.push(value),
            'I' => constraints.ip_ranges.push(value),
            'U' => constraints.uri_domains.push(value),
            'E' => constraints.email_addresses.push(value),
            _ => spec.is_ca = true,
        }
    }
    spec.subject = Some(subject);
    spec.name_constraints = Some(NameConstraints { permitted: Some(constraints), ..NameConstraints::default() });
    spec
}
