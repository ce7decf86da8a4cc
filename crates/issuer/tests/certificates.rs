//! Whatever a Certificate asks for: what is written parses back the same, keeps the rules of RFC 5280 as far as the spec lets it, and verifies.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sealway_api::{CertificateSpec, KeyUsage, NameConstraintItem, NameConstraints, OtherName, Subject};
use sealway_issuer::{Facts, IssuerUrls, Request, SigningKey, SubjectParts, bundle, literal_subject};

use support::rfc5280::violations;
use support::{KEYS, issue, request, spec};

mod support;

const USAGES: [&str; 23] = [
    "signing",
    "digital signature",
    "content commitment",
    "key encipherment",
    "key agreement",
    "data encipherment",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
    "any",
    "server auth",
    "client auth",
    "code signing",
    "email protection",
    "s/mime",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "timestamping",
    "ocsp signing",
    "microsoft sgc",
    "netscape sgc",
];

fn words() -> impl Strategy<Value = Vec<String>> {
    vec("\\PC{1,12}", 0..3)
}

fn subjects() -> impl Strategy<Value = Subject> {
    (
        vec("[A-Z]{2}", 0..2),
        words(),
        words(),
        words(),
        words(),
        words(),
        vec("[0-9]{5}", 0..2),
        "[0-9A-F]{0,8}",
    )
        .prop_map(
            |(
                countries,
                organizations,
                organizational_units,
                localities,
                provinces,
                street_addresses,
                postal_codes,
                serial_number,
            )| Subject {
                organizations,
                countries,
                organizational_units,
                localities,
                provinces,
                street_addresses,
                postal_codes,
                serial_number,
            },
        )
}

fn domains() -> impl Strategy<Value = Vec<String>> {
    vec("[a-z0-9-]{1,9}(\\.[a-z]{1,9}){0,2}", 0..4)
}

fn other_names() -> impl Strategy<Value = Vec<OtherName>> {
    vec(("1\\.[0-9]\\.[1-9][0-9]{0,8}", "\\PC{1,9}"), 0..2).prop_map(|names| {
        names
            .into_iter()
            .map(|(oid, utf8_value)| OtherName { oid, utf8_value })
            .collect()
    })
}

fn constraints() -> impl Strategy<Value = NameConstraints> {
    let item = || {
        let ranges = vec(
            (any::<IpAddr>(), 0..=32_u8).prop_map(|(address, length)| format!("{address}/{length}")),
            0..3,
        );
        (domains(), ranges, domains(), domains()).prop_map(|(dns_domains, ip_ranges, email_addresses, uri_domains)| {
            NameConstraintItem {
                dns_domains,
                ip_ranges,
                email_addresses,
                uri_domains,
            }
        })
    };
    (any::<bool>(), proptest::option::of(item()), proptest::option::of(item())).prop_map(|(critical, permitted, excluded)| {
        NameConstraints {
            critical,
            permitted,
            excluded,
        }
    })
}

fn specs() -> impl Strategy<Value = CertificateSpec> {
    let names = (domains(), vec(any::<IpAddr>(), 0..3), domains(), other_names());
    let subject = (proptest::option::of(subjects()), "\\PC{0,20}");
    let usages = (
        any::<bool>(),
        vec(select(&USAGES[..]), 0..6),
        proptest::option::of(constraints()),
    );
    (names, subject, usages).prop_map(
        |(names, (subject, common_name), (is_ca, usages, name_constraints))| CertificateSpec {
            dns_names: names.0,
            ip_addresses: names.1.iter().map(IpAddr::to_string).collect(),
            uris: names.2.iter().map(|domain| format!("spiffe://{domain}/x")).collect(),
            email_addresses: names.2.iter().map(|domain| format!("someone@{domain}")).collect(),
            other_names: names.3,
            subject,
            common_name,
            is_ca,
            usages: usages.into_iter().map(KeyUsage::from).collect(),
            name_constraints: name_constraints.filter(|_| is_ca),
            ..CertificateSpec::default()
        },
    )
}

fn urls() -> impl Strategy<Value = IssuerUrls> {
    let list = || vec("http://[a-z]{1,9}/", 0..3);
    (list(), list(), list()).prop_map(|(crl_distribution_points, ocsp_servers, issuing_certificates)| IssuerUrls {
        crl_distribution_points,
        ocsp_servers,
        issuing_certificates,
    })
}

/// Rules that cert-manager breaks, and we with it, when the spec asks for it.
fn asked_for(request: &Request, self_signed: bool) -> BTreeSet<&'static str> {
    let has = |usage: KeyUsage| request.usages.contains(&usage);
    let empty = request.subject == [0x30, 0];
    let subject = SubjectParts::of(&request.subject);
    let mut lists = [
        subject.organizations,
        subject.organizational_units,
        subject.localities,
        subject.provinces,
        subject.street_addresses,
        subject.postal_codes,
        subject.countries,
    ];
    let twice = lists.iter_mut().any(|list| {
        list.sort();
        list.windows(2).any(|pair| pair[0] == pair[1])
    });
    [
        (empty && self_signed, "4.1.2.4: the issuer has a name"),
        (empty && request.is_ca, "4.1.2.6: a CA has a subject"),
        (!request.is_ca && has(KeyUsage::CertSign), "4.2.1.9: keyCertSign is for CAs"),
        (
            !has(KeyUsage::KeyAgreement) && (has(KeyUsage::EncipherOnly) || has(KeyUsage::DecipherOnly)),
            "4.2.1.3: encipherOnly and decipherOnly go with keyAgreement",
        ),
        (twice, "4.1.2.4: attributes of a relative name differ"),
    ]
    .into_iter()
    .filter_map(|(asked, rule)| asked.then_some(rule))
    .collect()
}

fn sorted(list: &[String]) -> Vec<String> {
    let mut list = list.to_vec();
    list.sort();
    list
}

proptest! {
    #[test]
    fn what_is_written_parses_back_the_same(spec in specs(), urls in urls(), self_signed in any::<bool>()) {
        let Ok(request) = Request::of(&spec) else {
            let names = [&spec.dns_names, &spec.ip_addresses, &spec.uris, &spec.email_addresses];
            prop_assert!(spec.common_name.is_empty() && spec.other_names.is_empty() && names.iter().all(|list| list.is_empty()));
            return Ok(());
        };
        let [authority_key, key, _] = &*KEYS;
        let authority = authority();
        let signer = if self_signed { SigningKey::Itself(key) } else { SigningKey::Authority { certificate: &authority, key: authority_key } };
        let der = issue(&request, key, signer, &urls);

        let facts = Facts::of(&der).unwrap();
        let stated = spec.subject.clone().unwrap_or_default();
        prop_assert_eq!(&facts.subject.common_name, &spec.common_name);
        prop_assert_eq!(&facts.subject.serial_number, &stated.serial_number);
        prop_assert_eq!(sorted(&facts.subject.organizations), sorted(&stated.organizations));
        prop_assert_eq!(sorted(&facts.subject.organizational_units), sorted(&stated.organizational_units));
        prop_assert_eq!(sorted(&facts.subject.street_addresses), sorted(&stated.street_addresses));
        prop_assert_eq!(sorted(&facts.subject.provinces), sorted(&stated.provinces));
        prop_assert_eq!(&facts.dns_names, &spec.dns_names);
        prop_assert_eq!(&facts.uris, &spec.uris);
        prop_assert_eq!(&facts.email_addresses, &spec.email_addresses);
        let addresses: Vec<_> = spec.ip_addresses.iter().map(|text| text.parse::<IpAddr>().unwrap().to_canonical()).collect();
        prop_assert_eq!(&facts.ip_addresses, &addresses);
        prop_assert_eq!(facts.is_ca, spec.is_ca);
        prop_assert_eq!(facts.may_sign, spec.is_ca);
        prop_assert_eq!(facts.public_key_info, key.public_key_info());
        prop_assert_eq!(&facts.subject_der, &request.subject);

        prop_assert_eq!(violations(&der), asked_for(&request, self_signed));

        let again: Request = serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
        prop_assert_eq!(&again, &request);
        prop_assert_eq!(request.differences(&again), Vec::<&str>::new());
        if !self_signed {
            prop_assert!(bundle(vec![authority.clone(), der]).is_ok());
        }
    }

    #[test]
    fn literal_subjects_parse_back(names in vec(vec((select(&["CN", "O", "OU", "UID", "1.2.3"][..]), "\\PC{1,9}"), 1..3), 1..4)) {
        let text: Vec<_> = names
            .iter()
            .rev()
            .map(|attributes| attributes.iter().map(|(kind, value)| format!("{kind}={}", escape(value))).collect::<Vec<_>>().join("+"))
            .collect();
        let read = literal_subject(&text.join(",")).unwrap();
        let values: Vec<Vec<_>> = read.iter().map(|name| name.iter().map(|attribute| attribute.value.clone()).collect()).collect();
        let expected: Vec<Vec<_>> = names.iter().map(|name| name.iter().map(|(_, value)| value.clone().into_bytes()).collect()).collect();
        prop_assert_eq!(values, expected);
        let spec = CertificateSpec { literal_subject: text.join(","), dns_names: vec!["a".to_owned()], ..CertificateSpec::default() };
        let request = Request::of(&spec).unwrap();
        let last = names.iter().flatten().rfind(|(kind, _)| *kind == "CN").map_or("", |(_, value)| value.as_str());
        let several = names.iter().any(|name| name.iter().filter(|(kind, _)| *kind == "CN").count() > 1);
        prop_assert!(several || SubjectParts::of(&request.subject).common_name == last);
    }
}

fn authority() -> Vec<u8> {
    let request = request(r#"{"isCA": true, "commonName": "authority", "usages": ["cert sign", "crl sign"]}"#);
    issue(&request, &KEYS[0], SigningKey::Itself(&KEYS[0]), &IssuerUrls::default())
}

/// RFC 4514 section 2.4.
fn escape(value: &str) -> String {
    let mut text = String::new();
    let last = value.chars().count() - 1;
    for (position, character) in value.chars().enumerate() {
        let at_edge = (character == ' ' && (position == 0 || position == last)) || (character == '#' && position == 0);
        if at_edge || ",+\"\\<>;=".contains(character) {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[test]
fn the_checks_find_what_is_wrong() {
    let [key, ..] = &*KEYS;
    let none = IssuerUrls::default();
    let of = |json: &str| violations(&issue(&request(json), key, SigningKey::Itself(key), &none));
    assert_eq!(
        of(r#"{"dnsNames": ["a.example"]}"#),
        ["4.1.2.4: the issuer has a name"].into()
    );
    assert_eq!(
        of(r#"{"commonName": "a", "usages": ["cert sign"]}"#),
        ["4.2.1.9: keyCertSign is for CAs"].into()
    );
    assert_eq!(
        of(r#"{"literalSubject": "C=Germany,CN=a"}"#),
        ["A.1: countries have two letters"].into()
    );
    assert_eq!(
        of(r#"{"literalSubject": "C=Ü,CN=a"}"#),
        ["A.1: countries and serial numbers are PrintableString"].into()
    );
    assert_eq!(
        of(r#"{"literalSubject": "DC=org,CN=a"}"#),
        ["A.1: domain components are IA5String"].into()
    );
    assert_eq!(
        of(r#"{"commonName": "a", "dnsNames": [""]}"#),
        ["4.2.1.6: names are ASCII and not empty, addresses of 4 or 16 octets"].into()
    );
    assert_eq!(violations(b"nothing"), ["it is no certificate"].into());
    let good = issue(&request(r#"{"commonName": "a"}"#), key, SigningKey::Itself(key), &none);
    assert_eq!(violations(&good), BTreeSet::new());
    let longer = [good.clone(), vec![0]].concat();
    assert!(violations(&longer).contains("4.1: nothing comes after it"));
    let position = good.windows(4).position(|bytes| bytes == [0x17, 13, b'3', b'0']).unwrap();
    let mut backwards = good;
    backwards[position + 2] = b'4';
    assert!(violations(&backwards).contains("4.1.2.5: it does not end before it begins"));
}

#[test]
fn every_usage_of_cert_manager_is_known() {
    let expected = [
        ("signing", "03020780", ""),
        ("digital signature", "03020780", ""),
        ("content commitment", "03020640", ""),
        ("key encipherment", "03020520", ""),
        ("data encipherment", "03020410", ""),
        ("key agreement", "03020308", ""),
        ("cert sign", "03020204", ""),
        ("crl sign", "03020102", ""),
        ("encipher only", "03020001", ""),
        ("decipher only", "0303070080", ""),
        ("any", "", "30060604551d2500"),
        ("server auth", "", "300a06082b06010505070301"),
        ("client auth", "", "300a06082b06010505070302"),
        ("code signing", "", "300a06082b06010505070303"),
        ("email protection", "", "300a06082b06010505070304"),
        ("s/mime", "", "300a06082b06010505070304"),
        ("ipsec end system", "", "300a06082b06010505070305"),
        ("ipsec tunnel", "", "300a06082b06010505070306"),
        ("ipsec user", "", "300a06082b06010505070307"),
        ("timestamping", "", "300a06082b06010505070308"),
        ("ocsp signing", "", "300a06082b06010505070309"),
        ("microsoft sgc", "", "300c060a2b0601040182370a0303"),
        ("netscape sgc", "", "300b0609608648018 6f8420401"),
    ];
    assert_eq!(
        expected.map(|(usage, ..)| usage).into_iter().collect::<BTreeSet<_>>(),
        USAGES.into()
    );
    for (usage, basic, extended) in expected {
        let mut spec = spec(r#"{"commonName": "a"}"#);
        spec.usages = vec![usage.into()];
        let der = issue(
            &Request::of(&spec).unwrap(),
            &KEYS[0],
            SigningKey::Itself(&KEYS[0]),
            &IssuerUrls::default(),
        );
        assert_eq!(extension(&der, "2.5.29.15"), basic, "{usage}");
        assert_eq!(extension(&der, "2.5.29.37"), extended.replace(' ', ""), "{usage}");
    }
}

fn extension(der: &[u8], identifier: &str) -> String {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let found = certificate
        .extensions()
        .iter()
        .find(|extension| extension.oid.to_id_string() == identifier);
    found
        .map(|extension| support::hexadecimal(extension.value))
        .unwrap_or_default()
}
