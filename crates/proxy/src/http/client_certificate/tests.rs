//! What backends read of a client's certificate, and what no certificate can make them read.

use base64::Engine as _;
use http::HeaderMap;
use proptest::prelude::*;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};

use super::*;

const BOTH: ClientCertificateHeaders = ClientCertificateHeaders {
    xfcc: true,
    rfc9440: true,
};

fn certificate(subject: &[(DnType, &str)], alternatives: Vec<SanType>) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in subject {
        params
            .distinguished_name
            .push(kind.clone(), DnValue::Utf8String((*value).to_owned()));
    }
    params.subject_alt_names = alternatives;
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn applied(chain: &[CertificateDer<'_>], headers: ClientCertificateHeaders) -> HeaderMap {
    let mut request = HeaderMap::new();
    ClientCertificateValues::new(Some(chain), headers).apply(&mut request);
    request
}

fn xfcc_of(certificate: &CertificateDer<'_>) -> String {
    let headers = applied(std::slice::from_ref(certificate), ClientCertificateHeaders::default());
    headers.get(XFCC).unwrap().to_str().unwrap().to_owned()
}

/// Reads the header as its documentation has it: `;` and `=` count outside quotes, `\"` inside is a quote.
fn fields(value: &str) -> Vec<(String, String)> {
    let mut fields = vec![(String::new(), String::new())];
    let (mut in_value, mut quoted, mut characters) = (false, false, value.chars().peekable());
    while let Some(character) = characters.next() {
        let (name, content) = fields.last_mut().unwrap();
        match character {
            '\\' if quoted && characters.peek() == Some(&'"') => content.extend(characters.next()),
            '"' => quoted = !quoted,
            ';' if !quoted => {
                fields.push((String::new(), String::new()));
                in_value = false;
            }
            ',' if !quoted => panic!("an element of its own: {value}"),
            '=' if !quoted && !in_value => in_value = true,
            other if in_value => content.push(other),
            other => name.push(other),
        }
    }
    assert!(!quoted, "{value}");
    fields
}

fn names_of(fields: &[(String, String)]) -> Vec<&str> {
    fields.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_certificate_is_told_as_envoy_tells_it() {
    let subject = [
        (DnType::CountryName, "US"),
        (DnType::OrganizationName, "Lyft, Inc"),
        (DnType::CommonName, "Test Client"),
    ];
    let names = vec![
        uri("spiffe://cluster.local/ns/shop/sa/front"),
        dns("front.example.com"),
        dns("www.example.com"),
    ];
    let leaf = certificate(&subject, names);
    let value = xfcc_of(&leaf);
    let fields = fields(&value);
    assert_eq!(names_of(&fields), ["Hash", "Cert", "Subject", "URI", "DNS", "DNS"]);
    assert!(
        value.contains(";Subject=\"CN=Test Client,O=Lyft\\, Inc,C=US\";URI=spiffe://cluster.local/ns/shop/sa/front;DNS=front")
    );
    let hash: String = digest(&SHA256, &leaf)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(fields[0].1, hash);
}

#[test]
fn the_certificate_can_be_read_back() {
    let leaf = certificate(&[(DnType::CommonName, "a")], Vec::new());
    let fields = fields(&xfcc_of(&leaf));
    let encoded = fields[1].1.clone();
    assert!(
        encoded
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.%".contains(&byte))
    );
    let pem = encoded
        .replace("%20", " ")
        .replace("%0A", "\n")
        .replace("%2B", "+")
        .replace("%2F", "/")
        .replace("%3D", "=");
    assert!(pem.lines().all(|line| line.len() <= 64));
    use rustls_pki_types::pem::PemObject as _;
    assert_eq!(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(), leaf);
}

#[test]
fn client_cert_is_a_byte_sequence_and_the_chain_a_list_of_them() {
    let chain: Vec<_> = ["leaf", "intermediate", "root"]
        .map(|name| certificate(&[(DnType::CommonName, name)], Vec::new()))
        .into();
    let headers = applied(&chain, BOTH);
    let read = |value: &HeaderValue| -> Vec<Vec<u8>> {
        let items = value.to_str().unwrap().split(", ");
        let inner = items.map(|item| item.strip_prefix(':').unwrap().strip_suffix(':').unwrap());
        inner.map(|text| STANDARD.decode(text).unwrap()).collect()
    };
    assert_eq!(read(headers.get(CLIENT_CERT).unwrap()), [chain[0].to_vec()]);
    assert_eq!(
        read(headers.get(CLIENT_CERT_CHAIN).unwrap()),
        [chain[1].to_vec(), chain[2].to_vec()]
    );
    let alone = applied(&chain[..1], BOTH);
    assert!(alone.contains_key(CLIENT_CERT) && !alone.contains_key(CLIENT_CERT_CHAIN));
}

#[test]
fn only_headers_that_are_asked_for_are_written() {
    let chain = [certificate(&[(DnType::CommonName, "a")], Vec::new())];
    let names = |xfcc, rfc9440| {
        let headers = applied(&chain, ClientCertificateHeaders { xfcc, rfc9440 });
        [XFCC, CLIENT_CERT].map(|name| headers.contains_key(name))
    };
    assert_eq!(names(true, false), [true, false]);
    assert_eq!(names(false, true), [false, true]);
    assert_eq!(names(false, false), [false, false]);
}

#[test]
fn what_the_client_wrote_is_stripped_with_a_certificate_or_without() {
    let chain = [certificate(&[(DnType::CommonName, "a")], Vec::new())];
    for values in [
        ClientCertificateValues::new(None, BOTH),
        ClientCertificateValues::new(Some(&[]), BOTH),
        ClientCertificateValues::new(Some(&chain), BOTH),
    ] {
        let mut request = HeaderMap::new();
        for name in [
            "x-forwarded-client-cert",
            "x_forwarded_client_cert",
            "x-forwarded_client-cert",
            "client-cert",
            "client_cert",
            "client-cert-chain",
            "client_cert_chain",
        ] {
            request.append(name, HeaderValue::from_static("forged"));
            request.append(name, HeaderValue::from_static("forged twice"));
        }
        request.insert("x-kept", HeaderValue::from_static("1"));
        values.apply(&mut request);
        assert!(request.values().all(|value| !value.as_bytes().starts_with(b"forged")));
        assert!(request.keys().all(|name| !name.as_str().contains('_')));
        assert!(request.contains_key("x-kept"));
    }
}

#[test]
fn hostile_names_stay_in_their_field() {
    let evil = "x\";URI=\"spiffe://cluster.local/ns/admin/sa/root\";a=\\";
    let subject = [
        (DnType::CommonName, evil),
        (DnType::OrganizationName, " #sp,ace+\u{e9}\r\nX-Evil: 1 "),
    ];
    let names = vec![
        uri("spiffe://x;URI=spiffe://admin,Hash=00"),
        uri("http://a\"b\\c\r\nd"),
        dns("a;URI=spiffe://admin"),
        dns("good.example.com"),
    ];
    let leaf = certificate(&subject, names);
    let fields = fields(&xfcc_of(&leaf));
    assert_eq!(names_of(&fields), ["Hash", "Cert", "Subject", "URI", "URI", "DNS"]);
    let expected = "O=\\20#sp\\,ace\\+\\C3\\A9\\0D\\0AX-Evil: 1\\20,CN=x\\22\\3BURI=\\22spiffe://cluster.local/ns/admin/sa/root\\22\\3Ba=\\5C";
    assert_eq!(fields[2].1, expected);
    assert_eq!(fields[3].1, "spiffe://x;URI=spiffe://admin,Hash=00");
    assert_eq!(fields[4].1, "http://a%22b%5Cc%0D%0Ad");
    assert_eq!(fields[5].1, "good.example.com");
}

#[test]
fn what_is_too_large_is_left_out() {
    let long = "x".repeat(3000);
    let names: Vec<_> = (0..200)
        .map(|number| uri(&format!("spiffe://{number}/{}", "y".repeat(400))))
        .collect();
    let leaf = certificate(&[(DnType::CommonName, &long)], names);
    let value = xfcc_of(&leaf);
    assert!(value.len() <= LARGEST_VALUE);
    let fields = fields(&value);
    assert_eq!(fields[0].0, "Hash");
    assert!(
        fields.iter().all(|(name, _)| name == "Hash" || name == "URI"),
        "{:?}",
        names_of(&fields)
    );
    assert!(
        fields.len() > 2 && fields.iter().skip(1).all(|(_, uri)| uri.len() > 400),
        "whole ones only"
    );
    let headers = applied(&[leaf.clone(), leaf], BOTH);
    assert!(!headers.contains_key(CLIENT_CERT) && !headers.contains_key(CLIENT_CERT_CHAIN));
}

#[test]
fn bytes_that_are_no_certificate_have_a_hash_only() {
    // The verifier would not let these through.
    let garbage = CertificateDer::from(vec![0x30, 0x80, 0xff]);
    let fields = fields(&xfcc_of(&garbage));
    assert_eq!(names_of(&fields), ["Hash", "Cert"]);
}

#[test]
fn the_principal_is_uri_then_dns_then_subject() {
    let principal = |names| {
        let chain = [certificate(&[(DnType::CommonName, "client")], names)];
        let values = ClientCertificateValues::new(Some(&chain), ClientCertificateHeaders::default());
        values.principal().map(str::to_owned)
    };
    assert_eq!(
        principal(vec![dns("a.example.com"), uri("spiffe://a/b")]).unwrap(),
        "spiffe://a/b"
    );
    assert_eq!(principal(vec![dns("a.example.com")]).unwrap(), "a.example.com");
    assert_eq!(principal(Vec::new()).unwrap(), "CN=client");
    assert_eq!(ClientCertificateValues::new(None, BOTH).principal(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_subject_adds_a_field(common_name in ".{0,40}|[\"\\\\;=,]{0,12}", organization in "[ #\"\\\\;=,+<>]{0,12}") {
        let leaf = certificate(&[(DnType::CommonName, &common_name), (DnType::OrganizationName, &organization)], Vec::new());
        let fields = fields(&xfcc_of(&leaf));
        prop_assert_eq!(names_of(&fields), ["Hash", "Cert", "Subject"]);
    }

    #[test]
    fn damaged_certificates_are_no_trouble(position in 0..600_usize, byte in any::<u8>(), cut in 0..600_usize) {
        let mut bytes = certificate(&[(DnType::CommonName, "a")], vec![uri("spiffe://a/b")]).to_vec();
        let length = bytes.len();
        bytes[position % length] = byte;
        bytes.truncate(length.saturating_sub(cut % 20));
        let value = xfcc_of(&CertificateDer::from(bytes));
        prop_assert!(value.len() <= LARGEST_VALUE);
        fields(&value);
    }
}
