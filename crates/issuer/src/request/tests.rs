use std::time::Duration;

use sealway_api::{KeyAlgorithm, KeyEncoding};

use super::{CertificateSpec, Request, RequestFault, go_duration};

fn spec(json: &str) -> CertificateSpec {
    serde_json::from_str(json).unwrap()
}

fn request(json: &str) -> Request {
    Request::of(&spec(json)).unwrap()
}

#[test]
fn defaults_are_filled_in() {
    let request = request(r#"{"dnsNames": ["b.example", "a.example", "b.example"], "issuerRef": {"name": "ca"}}"#);
    assert_eq!(request.duration, 2160 * 3600);
    assert!(!request.duration_stated && request.encode_usages && !request.is_ca && !request.literal_subject);
    assert_eq!(
        (request.key_algorithm, request.key_size, request.key_encoding),
        (Some(KeyAlgorithm::Rsa), 2048, Some(KeyEncoding::Pkcs1))
    );
    assert_eq!(request.issuer, ("ca".to_owned(), String::new(), String::new()), "as written");
    assert_eq!(
        request.dns_names,
        ["b.example", "a.example", "b.example"],
        "as written, as cert-manager does"
    );
    assert_eq!(request.subject, [0x30, 0]);
}

#[test]
fn key_sizes_have_defaults_by_algorithm() {
    let size =
        |key: &str| Request::of(&spec(&format!(r#"{{"commonName": "a", "privateKey": {key}}}"#))).map(|request| request.key_size);
    assert_eq!(size(r#"{"algorithm": "ECDSA"}"#), Ok(256));
    assert_eq!(size(r#"{"algorithm": "ECDSA", "size": 521}"#), Ok(521));
    assert_eq!(size(r#"{"algorithm": "Ed25519", "size": 4096}"#), Ok(0));
    assert_eq!(size(r#"{"size": 8192}"#), Ok(8192));
    assert_eq!(size(r#"{"size": 8193}"#), Err(RequestFault::RsaSize(8193)));
    assert_eq!(size(r#"{"size": -1}"#), Err(RequestFault::RsaSize(-1)));
    assert_eq!(
        size(r#"{"algorithm": "DSA"}"#),
        Err(RequestFault::KeyAlgorithm("DSA".to_owned()))
    );
}

#[test]
fn durations_are_those_of_go() {
    let seconds = |text: &str| go_duration(text).map(|duration| duration.as_secs_f64());
    for (text, expected) in [
        ("2160h", Some(7_776_000.0)),
        ("1h30m", Some(5400.0)),
        ("1.5h", Some(5400.0)),
        (".5m", Some(30.0)),
        ("1.s", Some(1.0)),
        ("0", Some(0.0)),
        ("-0", Some(0.0)),
        ("+1m1m", Some(120.0)),
        ("1500ms", Some(1.5)),
        ("1us1\u{b5}s1\u{3bc}s1ns", Some(0.000_003_001)),
        ("2562047h47m16.854775807s", Some(9_223_372_036.854_776)),
        ("2562047h47m16.854775808s", None),
        ("99999999999999999999h", None),
        ("-1h", None),
        ("", None),
        ("1", None),
        ("1d", None),
        ("h", None),
        (".h", None),
        ("1h ", None),
        ("1 h", None),
        ("1h-1m", None),
    ] {
        assert_eq!(seconds(text), expected, "{text}");
    }
    let many = format!("0.{}h", "1".repeat(100));
    // In floating point, as Go has it.
    assert_eq!(go_duration(&many), Some(Duration::from_secs(400)));
}

#[test]
fn a_bad_duration_is_said() {
    let fault = Request::of(&spec(r#"{"commonName": "a", "duration": "90d"}"#)).unwrap_err();
    assert_eq!(fault.to_string(), r#"time: invalid duration "90d""#);
    assert_eq!(fault.field(), "spec.duration");
}

#[test]
fn differences_are_named_as_cert_manager_names_them() {
    let issued = r#"{"dnsNames": ["a", "b"], "commonName": "a", "duration": "1h", "usages": ["any"], "issuerRef": {"name": "ca"},
        "subject": {"organizations": ["x", "y"]}, "otherNames": [{"oid": "1.2.3", "utf8Value": "v"}], "ipAddresses": ["::1"]}"#;
    let mut value: serde_json::Value = serde_json::from_str(issued).unwrap();
    let issued = request(issued);
    let mut with = |field: &str, json: &str| {
        let old = value.get(field).cloned();
        value[field] = serde_json::from_str(json).unwrap();
        let wanted = Request::of(&serde_json::from_value(value.clone()).unwrap()).unwrap();
        value[field] = old.unwrap_or(serde_json::Value::Null);
        if value[field].is_null() {
            value.as_object_mut().unwrap().remove(field);
        }
        issued.differences(&wanted)
    };
    let none: [&str; 0] = [];
    assert_eq!(with("dnsNames", r#"["b", "a"]"#), none, "order is of no meaning");
    assert_eq!(with("dnsNames", r#"["a", "b", "b"]"#), ["spec.dnsNames"]);
    assert_eq!(
        with("ipAddresses", r#"["0:0::1"]"#),
        none,
        "addresses are compared, not their spelling"
    );
    assert_eq!(with("ipAddresses", "[]"), ["spec.ipAddresses"]);
    assert_eq!(with("uris", r#"["a:b"]"#), ["spec.uris"]);
    assert_eq!(with("emailAddresses", r#"["a@b"]"#), ["spec.emailAddresses"]);
    assert_eq!(
        with("otherNames", r#"[{"oid": "1.2.3", "utf8Value": "w"}]"#),
        ["spec.otherNames"]
    );
    assert_eq!(
        with("otherNames", "[]"),
        none,
        "cert-manager does not look when there are none"
    );
    assert_eq!(with("commonName", r#""b""#), ["spec.commonName"]);
    assert_eq!(with("subject", r#"{"organizations": ["y", "x"]}"#), none);
    assert_eq!(
        with("subject", r#"{"countries": ["DE"], "serialNumber": "1"}"#),
        [
            "spec.subject.serialNumber",
            "spec.subject.organizations",
            "spec.subject.countries"
        ]
    );
    assert_eq!(
        with("subject", r#"{"organizations": ["x", "y"], "postalCodes": ["1"]}"#),
        ["spec.subject.postCodes"]
    );
    assert_eq!(with("isCA", "true"), ["spec.isCA"]);
    assert_eq!(with("usages", r#"["any", "any"]"#), ["spec.usages"]);
    assert_eq!(with("duration", r#""60m""#), none);
    assert_eq!(with("duration", r#""2h""#), ["spec.duration"]);
    assert_eq!(with("duration", "null"), none, "compared only when both are stated");
    assert_eq!(
        with("issuerRef", r#"{"name": "ca", "kind": "Issuer", "group": "cert-manager.io"}"#),
        none
    );
    assert_eq!(
        with("issuerRef", r#"{"name": "ca", "kind": "ClusterIssuer"}"#),
        ["spec.issuerRef"]
    );
    assert_eq!(
        with("privateKey", r#"{"size": 4096}"#),
        none,
        "the key is compared with the key itself"
    );
}

#[test]
fn a_literal_subject_is_compared_as_a_whole() {
    let issued = request(r#"{"literalSubject": "CN=a,O=b"}"#);
    assert!(
        issued
            .differences(&request(r#"{"literalSubject": "CN = a , O = b"}"#))
            .is_empty()
    );
    assert_eq!(
        issued.differences(&request(r#"{"literalSubject": "O=b,CN=a"}"#)),
        ["spec.literalSubject"]
    );
    let by_parts = request(r#"{"commonName": "a", "subject": {"organizations": ["b"]}}"#);
    assert!(issued.differences(&by_parts).is_empty(), "the parts are the same");
    assert_eq!(
        by_parts.differences(&request(r#"{"literalSubject": "CN=a"}"#)),
        ["spec.literalSubject"]
    );
}

#[test]
fn the_first_fault_is_said_with_what_mends_it() {
    let fault = |json: &str| Request::of(&spec(json)).unwrap_err();
    assert_eq!(
        fault(r#"{"commonName": "a", "usages": ["server auth", "x", "y"]}"#).to_string(),
        "failed to build key usages: unknown key usages: [x y]"
    );
    assert_eq!(
        fault(r#"{"ipAddresses": ["fe80::1%eth0"]}"#),
        RequestFault::IpAddress("fe80::1%eth0".to_owned())
    );
    assert_eq!(
        fault(r#"{"commonName": "a", "privateKey": {"encoding": "PEM"}}"#).field(),
        "spec.privateKey.encoding"
    );
    assert_eq!(
        fault(r#"{"commonName": "a", "signatureAlgorithm": "MD5"}"#).field(),
        "spec.signatureAlgorithm"
    );
    assert_eq!(
        fault(r#"{"commonName": "a", "signatureAlgorithm": "PureEd25519"}"#),
        RequestFault::SignatureMismatch
    );
    assert!(fault(r#"{"uris": ["http://a.example:port/"]}"#).hint().contains("spiffe://"));
    for (kind, text) in [
        ("dnsDomains", "a..b"),
        ("uriDomains", "::1"),
        ("emailAddresses", "a b@c"),
        ("ipRanges", "10.0.0.0/33"),
        ("ipRanges", "10.0.0.0/+8"),
    ] {
        let json = format!(r#"{{"commonName": "a", "isCA": true, "nameConstraints": {{"excluded": {{"{kind}": ["{text}"]}}}}}}"#);
        assert_eq!(fault(&json).field(), "spec.nameConstraints", "{kind} {text}");
    }
}
