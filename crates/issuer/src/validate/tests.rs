use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn refusals(kind: &str, spec: &Value) -> Vec<FieldError> {
    let object = json!({ "spec": spec });
    match kind {
        "Certificate" => validate_certificate(&serde_json::from_value(object).expect("a Certificate")),
        _ => validate_issuer(&serde_json::from_value(object).expect("an Issuer")),
    }
}

/// What cert-manager v1.21.2's own code said about the same specs. Go goes through labels and annotations in any order.
#[test]
fn refusals_are_cert_managers_byte_for_byte() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../testdata/refusals.json")).expect("JSON");
    for case in &cases {
        let mut expected: Vec<String> = serde_json::from_value(case["refusals"].clone()).expect("texts");
        let errors = refusals(case["kind"].as_str().expect("a kind"), &case["spec"]);
        let mut found: Vec<String> = errors.iter().map(ToString::to_string).collect();
        if case["spec"].get("secretTemplate").is_some() {
            expected.sort();
            found.sort();
        }
        assert_eq!(found, expected, "{}", case["spec"]);
        assert!(errors.iter().all(|error| !error.hint.is_empty()), "{errors:?}");
    }
}

#[test]
fn what_go_could_not_read_is_refused_in_gos_words() {
    let spec = json!({"secretName": "s", "issuerRef": {"name": "ca"}, "dnsNames": ["a.example"], "duration": "90d"});
    let found: Vec<String> = refusals("Certificate", &spec).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["spec.duration: Invalid value: \"90d\": time: unknown unit \"d\" in duration \"90d\""]
    );
}

#[test]
fn annotations_have_a_limit_together() {
    let spec = json!({"secretName": "s", "issuerRef": {"name": "ca"}, "dnsNames": ["a.example"],
        "secretTemplate": {"annotations": {"a": "x".repeat(200_000), "b": "x".repeat(62_142)}}});
    assert_eq!(refusals("Certificate", &spec), []);
    let spec = json!({"secretName": "s", "issuerRef": {"name": "ca"}, "dnsNames": ["a.example"],
        "secretTemplate": {"annotations": {"a": "x".repeat(200_000), "b": "x".repeat(62_143)}}});
    let found: Vec<String> = refusals("Certificate", &spec).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["spec.secretTemplate.annotations: Too long: may not be more than 262144 bytes"]
    );
}

#[test]
fn warnings_and_foreign_issuers_are_known() {
    let issuer = |spec: Value| -> Issuer { serde_json::from_value(json!({ "spec": spec })).expect("an Issuer") };
    let acme = issuer(json!({"acme": {"externalAccountBinding": {"keyAlgorithm": "HS256"}}}));
    assert_eq!(issuer_warnings(&acme).len(), 1);
    assert_eq!(foreign_issuer(&acme.spec), Some("acme"));
    let own = issuer(json!({"selfSigned": {}}));
    assert!(issuer_warnings(&own).is_empty());
    assert_eq!(foreign_issuer(&own.spec), None);
}

proptest! {
    #[test]
    fn no_spec_makes_it_panic(text in ".{0,24}|[-0-9hms. ]{0,8}|[a-z@\"<>()\\[\\]\\\\,;: ]{0,12}", number in any::<i32>(), flag in any::<bool>()) {
        let spec = json!({
            "secretName": text, "literalSubject": text, "subject": {"serialNumber": text}, "duration": text, "renewBefore": "1h",
            "renewBeforePercentage": number, "emailAddresses": [text], "ipAddresses": [text], "usages": [text], "isCA": flag,
            "otherNames": [{"oid": text, "utf8Value": text}], "privateKey": {"algorithm": text, "size": number},
            "signatureAlgorithm": text, "revisionHistoryLimit": number, "secretTemplate": {"labels": {&text: text}, "annotations": {&text: text}},
            "nameConstraints": {"critical": flag}, "additionalOutputFormats": [{"type": text}, {"type": text}],
            "keystores": {"jks": {"password": text}}, "renewal": {"policy": text, "windows": [{"cron": text, "timezone": text, "windowDuration": text}]},
        });
        let errors = refusals("Certificate", &spec);
        prop_assert!(errors.iter().all(|error| error.field.starts_with("spec") && !error.hint.is_empty()));
    }
}
