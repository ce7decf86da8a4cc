use proptest::prelude::*;
use sealway_api::edit_each;

use super::*;
use crate::manifests::resources;

const GATEWAY: &str = "kind: Gateway
metadata: {name: edge, namespace: shop, labels: {team: edge, applyset.kubernetes.io/part-of: x}, annotations: {cert-manager.io/issuer: root, ANNOTATIONS}}
spec:
  listeners:
    - {name: shop, protocol: HTTPS, hostname: shop.example.com, tls: {mode: Terminate, certificateRefs: [{name: shop}]}}
";

fn shim(annotations: &str) -> Shim {
    gateway_certificates(&resources(&GATEWAY.replace("ANNOTATIONS", annotations)))
}

fn labels(shim: &Shim) -> Vec<(&'static str, &str)> {
    shim.findings
        .iter()
        .map(|finding| (finding.label, finding.field.as_str()))
        .collect()
}

/// The same Gateway in a cluster with cert-manager v1.21.2 gave the same.
#[test]
fn a_secret_gets_the_hostnames_of_all_its_listeners() {
    let shim = gateway_certificates(&resources(
        "kind: Gateway
metadata: {name: edge, namespace: shop, labels: {team: edge}, annotations: {cert-manager.io/issuer: root}}
spec:
  listeners:
    - {name: shop, protocol: HTTPS, hostname: shop.example.com, tls: {certificateRefs: [{name: shop}]}}
    - {name: any, protocol: TLS, hostname: '*.shop.example.com', tls: {mode: Terminate, certificateRefs: [{name: shop}]}}
    - {name: again, protocol: HTTPS, hostname: shop.example.com, tls: {certificateRefs: [{name: shop}, {name: pay}]}}
    - {name: everything, protocol: HTTPS, tls: {certificateRefs: [{name: nameless}]}}
    - {name: through, protocol: TLS, hostname: through.example.com, tls: {mode: Passthrough}}
    - {name: foreign, protocol: HTTPS, hostname: foreign.example.com, tls: {certificateRefs: [{name: foreign, namespace: other}]}}
    - {name: plain, protocol: HTTP, hostname: shop.example.com}
",
    ));
    let [pay, shop] = &shim.certificates[..] else {
        panic!("{:?}", shim.certificates)
    };
    assert_eq!(
        (pay.spec.secret_name.as_str(), &pay.spec.dns_names[..]),
        ("pay", &["shop.example.com".to_owned()][..])
    );
    assert_eq!(shop.spec.dns_names, ["shop.example.com", "*.shop.example.com"]);
    assert_eq!(shop.metadata.key(), ObjectKey::new("shop", "shop"));
    assert_eq!(shop.metadata.labels["team"], "edge");
    assert_eq!(shop.metadata.annotations["acme.cert-manager.io/http01-parentrefname"], "edge");
    assert_eq!(shop.spec.usages, [KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment]);
    let issuer = IssuerRef {
        name: "root".to_owned(),
        kind: Some("Issuer".to_owned()),
        group: Some("cert-manager.io".to_owned()),
    };
    assert_eq!(shop.spec.issuer_ref, issuer);
    assert_eq!(
        labels(&shim),
        [
            ("listener-skipped", "spec.listeners[3]"),
            ("listener-skipped", "spec.listeners[5]")
        ]
    );
    assert!(
        shim.findings[0]
            .message
            .ends_with("spec.listeners[3].hostname: Required value: the hostname cannot be empty")
    );
}

#[test]
fn every_annotation_becomes_its_field() {
    let shim = gateway_certificates(&resources(
        r#"kind: Gateway
metadata:
  name: edge
  namespace: shop
  annotations:
    cert-manager.io/cluster-issuer: company
    cert-manager.io/common-name: annotated.example.com
    cert-manager.io/alt-names: alt.example.com
    cert-manager.io/ip-sans: 192.0.2.9
    cert-manager.io/email-sans: edge@example.com
    cert-manager.io/duration: 720h
    cert-manager.io/renew-before: 100h
    cert-manager.io/usages: "server auth, digital signature"
    cert-manager.io/private-key-algorithm: ECDSA
    cert-manager.io/private-key-size: "384"
    cert-manager.io/private-key-encoding: PKCS8
    cert-manager.io/private-key-rotation-policy: Never
    cert-manager.io/revision-history-limit: "2"
    cert-manager.io/subject-organizations: '"Shop, Inc.",Edge'
    cert-manager.io/subject-organizationalunits: Gateways
    cert-manager.io/subject-countries: DE
    cert-manager.io/subject-provinces: Berlin
    cert-manager.io/subject-localities: Berlin
    cert-manager.io/subject-postalcodes: "10115"
    cert-manager.io/subject-streetaddresses: Hauptstr. 1
    cert-manager.io/subject-serialnumber: "4711"
    cert-manager.io/secret-template: '{"labels": {"tier": "edge"}, "annotations": {"example.com/note": "from the Gateway"}}'
    cert-manager.io/ignore-tls-listeners: "ignored, other"
spec:
  listeners:
    - {name: annotated, protocol: HTTPS, hostname: annotated.example.com, tls: {certificateRefs: [{name: annotated}]}}
    - {name: ignored, protocol: HTTPS, hostname: ignored.example.com, tls: {certificateRefs: [{name: ignored}]}}
"#,
    ));
    // As the same Gateway's Certificate stood in a cluster with cert-manager v1.21.2.
    let expected: Certificate = serde_saphyr::from_str(
        r#"{"metadata": {"name": "annotated", "namespace": "shop", "generation": 1, "annotations": {
        "acme.cert-manager.io/http01-parentrefkind": "Gateway", "acme.cert-manager.io/http01-parentrefname": "edge"}},
        "spec": {"commonName": "annotated.example.com", "dnsNames": ["annotated.example.com", "alt.example.com"], "duration": "720h0m0s",
        "emailAddresses": ["edge@example.com"], "ipAddresses": ["192.0.2.9"], "issuerRef": {"group": "cert-manager.io", "kind":
        "ClusterIssuer", "name": "company"}, "privateKey": {"algorithm": "ECDSA", "encoding": "PKCS8", "rotationPolicy": "Never", "size": 384},
        "renewBefore": "100h0m0s", "revisionHistoryLimit": 2, "secretName": "annotated", "secretTemplate": {"annotations":
        {"example.com/note": "from the Gateway"}, "labels": {"tier": "edge"}}, "subject": {"countries": ["DE"], "localities": ["Berlin"],
        "organizationalUnits": ["Gateways"], "organizations": ["Shop, Inc.", "Edge"], "postalCodes": ["10115"], "provinces": ["Berlin"],
        "serialNumber": "4711", "streetAddresses": ["Hauptstr. 1"]}, "usages": ["server auth", "digital signature"]}}"#,
    )
    .expect("a Certificate");
    assert_eq!(shim.certificates, [expected]);
    assert_eq!(shim.findings, []);
}

#[test]
fn an_annotation_that_cannot_be_read_costs_the_whole_gateway() {
    for (annotation, message) in [
        (
            "duration: 90d",
            "\"cert-manager.io/duration\": time: unknown unit \"d\" in duration \"90d\"",
        ),
        (
            "renew-before: x",
            "\"cert-manager.io/renew-before\": time: invalid duration \"x\"",
        ),
        (
            "usages: 'server auth,peer auth'",
            "\"cert-manager.io/usages\": invalid key usage name \"peer auth\"",
        ),
        (
            "revision-history-limit: '0'",
            "\"cert-manager.io/revision-history-limit\": revision history limit must be a positive number \"0\"",
        ),
        (
            "private-key-algorithm: DSA",
            "\"cert-manager.io/private-key-algorithm\": invalid private key algorithm \"DSA\"",
        ),
        (
            "private-key-encoding: DER",
            "\"cert-manager.io/private-key-encoding\": invalid private key encoding \"DER\"",
        ),
        (
            "private-key-size: '1024'",
            "\"cert-manager.io/private-key-size\": invalid private key size for RSA algorithm \"1024\"",
        ),
        (
            "private-key-rotation-policy: Now",
            "\"cert-manager.io/private-key-rotation-policy\": invalid private key rotation policy \"Now\"",
        ),
        (
            "renew-before-percentage: half",
            "\"cert-manager.io/renew-before-percentage\": \"half\" is no number, or too large a one",
        ),
        (
            "subject-organizations: 'a\"b'",
            "\"cert-manager.io/subject-organizations\": failed to parse \"a\\\"b\" as CSV",
        ),
        (
            "secret-template: '{\"name\": 1}'",
            "\"cert-manager.io/secret-template\": error parsing secret template JSON: ",
        ),
        (
            "secret-template: '{\"annotations\": {\"cert-manager.io/x\": \"y\"}}'",
            "\"cert-manager.io/secret-template\": secretTemplate must not have cert-manager.io/ annotations: \"cert-manager.io/x\"",
        ),
    ] {
        let shim = shim(&format!("cert-manager.io/{annotation}"));
        assert_eq!(shim.certificates, [], "{annotation}");
        let [finding] = &shim.findings[..] else {
            panic!("{:?}", shim.findings)
        };
        assert_eq!(finding.label, "gateway-annotation");
        assert!(
            finding.message.starts_with(&format!("invalid ingress annotation {message}")),
            "{}",
            finding.message
        );
        assert!(finding.hint.as_ref().is_some_and(|hint| !hint.is_empty()));
    }
}

#[test]
fn who_issues_must_be_clear() {
    for (annotations, message) in [
        (
            "cert-manager.io/cluster-issuer: a",
            "both \"cert-manager.io/issuer\" and \"cert-manager.io/cluster-issuer\" may not be set",
        ),
        ("cert-manager.io/issuer-kind: Foo", ""),
    ] {
        let shim = shim(annotations);
        assert_eq!(shim.certificates.is_empty(), !message.is_empty());
        assert!(
            message.is_empty() || shim.findings[0].message.ends_with(message),
            "{:?}",
            shim.findings
        );
    }
    let kind = &shim("cert-manager.io/issuer-kind: Foo, cert-manager.io/issuer-group: example.com").certificates[0]
        .spec
        .issuer_ref;
    assert_eq!(
        (kind.kind.as_deref(), kind.group.as_deref()),
        (Some("Foo"), Some("example.com"))
    );
    assert!(!shim("").certificates[0].metadata.labels.contains_key(APPLY_SET_LABEL));
}

#[test]
fn a_certificate_of_the_manifests_counts_and_so_does_the_first_gateway() {
    let one = GATEWAY.replace(", ANNOTATIONS", "");
    let standing = "---\nkind: Certificate\nmetadata: {name: shop, namespace: shop}\nspec: {secretName: other}\n";
    let found = gateway_certificates(&resources(&format!("{one}{standing}")));
    assert_eq!(found.certificates, []);
    assert_eq!(labels(&found), [("certificate-stands", "")]);

    let two = one
        .replace("name: edge,", "name: abel,")
        .replace("shop.example.com", "abel.example.com");
    let older = one.replace(
        "namespace: shop,",
        "namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z',",
    );
    let younger = two.replace(
        "namespace: shop,",
        "namespace: shop, creationTimestamp: '2026-01-01T00:00:01Z',",
    );
    for (first, second, wins) in [(&one, &two, "abel.example.com"), (&older, &younger, "shop.example.com")] {
        let found = gateway_certificates(&resources(&format!("{first}---\n{second}")));
        assert_eq!(found.certificates[0].spec.dns_names, [wins]);
        assert_eq!(labels(&found), [("certificate-of-another", "")]);
    }
}

#[test]
fn a_gateway_without_the_annotation_or_about_to_go_asks_for_nothing() {
    let plain = GATEWAY.replace("cert-manager.io/issuer: root, ANNOTATIONS", "");
    assert_eq!(gateway_certificates(&resources(&plain)), Shim::default());
    let going = GATEWAY.replace(", ANNOTATIONS", "").replace(
        "namespace: shop,",
        "namespace: shop, deletionTimestamp: '2026-01-01T00:00:00Z',",
    );
    assert_eq!(gateway_certificates(&resources(&going)), Shim::default());
}

proptest! {
    #[test]
    fn no_annotation_makes_it_panic(name in "duration|usages|subject-organizations|secret-template|private-key-size|alt-names|issuer-kind", value in ".{0,16}|[\",a\n]{0,8}") {
        let mut objects = resources(&GATEWAY.replace(", ANNOTATIONS", ""));
        edit_each(&mut objects.gateways, |_, gateway| {
            gateway.metadata.annotations.insert(format!("cert-manager.io/{name}"), value.clone());
        });
        let shim = gateway_certificates(&objects);
        prop_assert_eq!(shim.certificates.len() + shim.findings.len(), 1);
    }
}
