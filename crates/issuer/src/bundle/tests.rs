use proptest::prelude::*;
use sealway_api::{SecretBytes, edit_each};

use super::*;
use crate::manifests::resources;

const LABEL: &str = "trust.cert-manager.io/bundle";

/// A certificate that signs itself, as PEM; the same for the same name.
fn authority(name: &str) -> String {
    static MADE: std::sync::Mutex<BTreeMap<String, String>> = std::sync::Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    made.entry(name.to_owned())
        .or_insert_with(|| {
            rcgen::generate_simple_self_signed([name.to_owned()])
                .expect("a certificate")
                .cert
                .pem()
        })
        .clone()
}

/// The same in one line, for YAML in double quotes.
fn quoted(text: &str) -> String {
    text.replace('\n', "\\n")
}

fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().expect("a time")
}

fn run(manifests: &str) -> Bundles {
    bundles(
        now(),
        &resources(manifests),
        &BTreeMap::new(),
        &BTreeMap::new(),
        &Settings::default(),
    )
}

fn bundle(spec: &str) -> String {
    format!(
        "kind: Bundle\nmetadata: {{name: trust}}\nspec: {spec}\n---\nkind: Namespace\nmetadata: {{name: shop, labels: {{tier: web}}}}\n"
    )
}

fn in_line(texts: &[&str], target: &str) -> String {
    let sources: Vec<String> = texts.iter().map(|text| format!("{{inLine: \"{}\"}}", quoted(text))).collect();
    bundle(&format!("{{sources: [{}], target: {target}}}", sources.join(", ")))
}

fn condition(outcome: &Bundles) -> (&str, String) {
    let condition = &outcome.statuses["trust"].conditions[0];
    assert_eq!((condition.kind.as_str(), condition.observed_generation), ("Synced", 1));
    assert_eq!(condition.status == ConditionStatus::True, condition.reason == "Synced");
    (&condition.reason, condition.message.clone())
}

fn count(text: &str) -> usize {
    text.matches("BEGIN CERTIFICATE").count()
}

#[test]
fn every_namespace_gets_each_certificate_once_in_the_order_of_fingerprints() {
    let (one, two) = (authority("one"), authority("two"));
    let manifests = in_line(
        &[&format!("a comment\n{one}{two}"), &one],
        "{configMap: {key: ca.crt, metadata: {labels: {a: b}, annotations: {c: d}}}}",
    );
    let outcome = run(&format!(
        "{manifests}---\nkind: Service\nmetadata: {{name: web, namespace: pay}}\n"
    ));
    assert_eq!(
        condition(&outcome),
        ("Synced", "Successfully synced Bundle to all namespaces".to_owned())
    );
    // One with a manifest, and one that an object lives in.
    let keys: Vec<&ObjectKey> = outcome.config_maps.keys().collect();
    assert_eq!(keys, [&ObjectKey::new("pay", "trust"), &ObjectKey::new("shop", "trust")]);
    let config_map = &outcome.config_maps[keys[0]];
    let text = &config_map.data["ca.crt"];
    assert_eq!(count(text), 2);
    assert!(text.ends_with("-----END CERTIFICATE-----") && !text.contains("comment"));
    assert_eq!(
        (
            config_map.metadata.labels[LABEL].as_str(),
            config_map.metadata.labels["a"].as_str()
        ),
        ("trust", "b")
    );
    let hashed = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{text}cdab").as_bytes());
    let hash: String = hashed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(config_map.metadata.annotations["trust.cert-manager.io/hash"], hash);
    assert_eq!(config_map.metadata.annotations["c"], "d");
    let other_way = run(&in_line(&[&two, &one], "{configMap: {key: ca.crt}}"));
    assert_eq!(&other_way.config_maps[&ObjectKey::new("shop", "trust")].data["ca.crt"], text);
}

#[test]
fn sources_are_objects_of_the_trust_namespace_by_name_or_label() {
    let (one, two, three) = (
        quoted(&authority("one")),
        quoted(&authority("two")),
        quoted(&authority("three")),
    );
    let packed = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, authority("three"));
    let objects = format!(
        "---\nkind: ConfigMap\nmetadata: {{name: cm, namespace: cert-manager}}\ndata: {{a: \"{one}\", b: \"{two}\"}}\nbinaryData: {{c: {packed}}}
---\nkind: Secret\nmetadata: {{name: s, namespace: cert-manager, labels: {{ca: 'yes'}}}}\nstringData: {{ca.crt: \"{two}\"}}
---\nkind: Secret\nmetadata: {{name: t, namespace: cert-manager, labels: {{ca: 'yes'}}}}\nstringData: {{ca.crt: \"{three}\"}}
---\nkind: Secret\nmetadata: {{name: elsewhere, namespace: shop, labels: {{ca: 'yes'}}}}\nstringData: {{ca.crt: \"{one}\"}}\n"
    );
    for (sources, certificates) in [
        ("{configMap: {name: cm, key: a}}", 1),
        ("{configMap: {name: cm, key: c}}", 1),
        ("{configMap: {name: cm, includeAllKeys: true}}", 3),
        ("{secret: {selector: {matchLabels: {ca: 'yes'}}, key: ca.crt}}", 2),
        (
            "{secret: {name: s, key: ca.crt}}, {configMap: {name: cm, includeAllKeys: true}}",
            3,
        ),
        // A selector that matches nothing is no fault as long as there is something else.
        (
            "{secret: {selector: {matchLabels: {ca: 'no'}}, key: ca.crt}}, {configMap: {name: cm, key: a}}",
            1,
        ),
    ] {
        let outcome = run(&format!(
            "{}{objects}",
            bundle(&format!("{{sources: [{sources}], target: {{secret: {{key: ca.crt}}}}}}"))
        ));
        let secret = &outcome.secrets[&ObjectKey::new("shop", "trust")];
        assert_eq!(
            count(&String::from_utf8_lossy(secret.data["ca.crt"].expose())),
            certificates,
            "{sources}"
        );
        assert_eq!(secret.kind, "Opaque");
    }
}

#[test]
fn a_source_that_is_missing_or_holds_something_else_is_told_in_trust_managers_words() {
    let one = quoted(&authority("one"));
    let key = "-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n";
    let odd = "-----BEGIN MY KEY-----\\nAAAA\\n-----END MY KEY-----\\n";
    let headers = one.replace("-----BEGIN CERTIFICATE-----\\n", "-----BEGIN CERTIFICATE-----\\nA: b\\n\\n");
    for (source, reason, message) in [
        (
            "{secret: {name: none, key: ca.crt}}".to_owned(),
            "SourceNotFound",
            "Bundle source was not found: failed to get Secret cert-manager/none: Secret \"none\" not found",
        ),
        (
            "{configMap: {name: cm, key: x}}".to_owned(),
            "SourceNotFound",
            "Bundle source was not found: no data found in ConfigMap cert-manager/cm at key \"x\"",
        ),
        (
            "{useDefaultCAs: true}".to_owned(),
            "SourceNotFound",
            "Bundle source was not found: no default package was specified when trust-manager was started; default CAs not available",
        ),
        (
            "{inLine: nothing}".to_owned(),
            "SourceNotFound",
            "Bundle source was not found: couldn't find any valid certificates in bundle",
        ),
        (
            format!("{{inLine: \"{one}{key}\"}}"),
            "SourceBuildError",
            "Failed to build bundle sources: inline source contains invalid PEM data: invalid PEM block in bundle: only CERTIFICATE blocks \
             are permitted but found 'PRIVATE KEY'",
        ),
        (
            format!("{{inLine: \"{odd}\"}}"),
            "SourceBuildError",
            "Failed to build bundle sources: inline source contains invalid PEM data: invalid PEM block in bundle: only CERTIFICATE blocks \
             are permitted but found 'MY KEY'",
        ),
        (
            format!("{{inLine: \"{headers}\"}}"),
            "SourceBuildError",
            "Failed to build bundle sources: inline source contains invalid PEM data: invalid PEM block in bundle; blocks are not permitted \
             to have PEM headers",
        ),
        (
            "{configMap: {name: cm, key: bad}}".to_owned(),
            "SourceBuildError",
            "Failed to build bundle sources: invalid PEM data in ConfigMap cert-manager/cm at key \"bad\": invalid PEM block in bundle; \
             invalid PEM certificate: x509: malformed certificate",
        ),
        (
            "{secret: {name: tls, includeAllKeys: true}}".to_owned(),
            "SourceBuildError",
            "Failed to build bundle sources: includeAllKeys is not supported for TLS Secrets such as cert-manager/tls",
        ),
    ] {
        let manifests = format!(
            "{}---\nkind: ConfigMap\nmetadata: {{name: cm, namespace: cert-manager}}\ndata: {{bad: \"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END \
             CERTIFICATE-----\\n\"}}\n---\nkind: Secret\nmetadata: {{name: tls, namespace: cert-manager}}\ntype: kubernetes.io/tls\n",
            bundle(&format!("{{sources: [{source}], target: {{configMap: {{key: ca.crt}}}}}}"))
        );
        let outcome = run(&manifests);
        assert_eq!(condition(&outcome), (reason, message.to_owned()));
        assert!(outcome.config_maps.is_empty());
        assert_eq!(outcome.findings[0].label, "bundle-source");
        assert!(outcome.findings[0].hint.is_some());
    }
}

#[test]
fn text_that_adds_nothing_is_told() {
    let outcome = run(&in_line(&[&authority("one"), "MIIBszCCAVmg"], "{configMap: {key: ca.crt}}"));
    assert_eq!(condition(&outcome).0, "Synced");
    let found: Vec<(&str, &str)> = outcome
        .findings
        .iter()
        .map(|finding| (finding.label, finding.field.as_str()))
        .collect();
    assert_eq!(found, [("bundle-text-empty", "spec.sources[1].inLine")]);
}

#[test]
fn a_selector_chooses_namespaces_and_prints_as_in_go() {
    let selector = "{matchLabels: {tier: web}, matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [b, a]}, \
                    {key: x, operator: DoesNotExist}, {key: tier, operator: Exists}]}";
    let manifests = in_line(
        &[&authority("one")],
        &format!("{{configMap: {{key: ca.crt}}, namespaceSelector: {selector}}}"),
    );
    let outcome = run(&format!(
        "{manifests}---\nkind: Service\nmetadata: {{name: web, namespace: pay}}\n"
    ));
    let keys: Vec<String> = outcome.config_maps.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["shop/trust"]);
    let message = "Successfully synced Bundle to namespaces that match this label selector: kubernetes.io/metadata.name notin \
                   (a,b),tier=web,tier,!x";
    assert_eq!(condition(&outcome).1, message);
}

#[test]
fn what_stands_there_already_is_left_as_it_is() {
    let manifests = in_line(&[&authority("one")], "{configMap: {key: ca.crt}}");
    let clear = run(&manifests);
    let text = quoted(&clear.config_maps[&ObjectKey::new("shop", "trust")].data["ca.crt"]);
    let standing =
        |text: &str| format!("---\nkind: ConfigMap\nmetadata: {{name: trust, namespace: shop}}\ndata: {{ca.crt: \"{text}\"}}\n");
    let other = run(&format!("{manifests}{}", standing("mine")));
    assert!(other.config_maps.is_empty());
    assert_eq!(condition(&other).0, "SyncConfigMapTargetFailed");
    assert_eq!(
        (other.findings[0].label, other.findings[0].hint.as_deref()),
        (
            "target-stands",
            Some("take ConfigMap shop/trust out of the manifests, or rename the Bundle")
        )
    );
    // One that is written and cannot be read.
    let mut resources = resources(&manifests);
    resources.refused.insert(ObjectRef::new(Kind::ConfigMap, "shop", "trust"));
    let refused = bundles(now(), &resources, &BTreeMap::new(), &BTreeMap::new(), &Settings::default());
    assert!(refused.config_maps.is_empty());
    assert_eq!(refused.findings[0].label, "target-stands");
    // One that trust-manager wrote, taken from a cluster.
    let same = run(&format!("{manifests}{}", standing(&text)));
    assert_eq!((condition(&same).0, &same.findings[..]), ("Synced", &[][..]));
}

#[test]
fn issued_secrets_are_sources_and_a_roll_over_publishes_more() {
    let key = ObjectKey::new("cert-manager", "root");
    let secret = |text: &str| {
        let mut secret = Secret::default();
        secret
            .data
            .insert("ca.crt".to_owned(), SecretBytes::new(text.as_bytes().to_vec()));
        Arc::new(secret)
    };
    let issued = BTreeMap::from([(key.clone(), secret(&authority("one")))]);
    let more = BTreeMap::from([(key.clone(), vec![authority("two"), authority("one")])]);
    let objects = resources(&bundle(
        "{sources: [{secret: {name: root, key: ca.crt}}], target: {configMap: {key: ca.crt}}}",
    ));
    let held = |more: &BTreeMap<ObjectKey, Vec<String>>, objects: &Resources| {
        let outcome = bundles(now(), objects, &issued, more, &Settings::default());
        outcome.config_maps[&ObjectKey::new("shop", "trust")].data["ca.crt"].clone()
    };
    assert_eq!(count(&held(&BTreeMap::new(), &objects)), 1);
    assert_eq!(count(&held(&more, &objects)), 2);
    // The manifests' own Secret of that name counts.
    let mut objects = objects;
    objects
        .secrets
        .insert(key, secret(&format!("{}{}", authority("three"), authority("four"))));
    assert_eq!(count(&held(&BTreeMap::new(), &objects)), 2);
}

#[test]
fn the_systems_authorities_are_a_source_and_one_that_is_broken_costs_no_other() {
    let text = format!(
        "{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        authority("one")
    );
    let settings = Settings {
        system_authorities: Some(text.into()),
        ..Settings::default()
    };
    let objects = resources(&bundle(
        "{sources: [{useDefaultCAs: true}], target: {configMap: {key: ca.crt}}}",
    ));
    let outcome = bundles(now(), &objects, &BTreeMap::new(), &BTreeMap::new(), &settings);
    assert_eq!(
        count(&outcome.config_maps[&ObjectKey::new("shop", "trust")].data["ca.crt"]),
        1
    );
}

#[test]
fn keystores_are_written_beside_the_text_and_stay_the_same() {
    let target = "{configMap: {key: ca.crt}, secret: {key: ca.crt}, additionalFormats: {jks: {key: t.jks}, pkcs12: {key: t.p12, password: secret}}}";
    let manifests = in_line(&[&authority("one"), &authority("two")], target);
    let outcome = run(&manifests);
    assert_eq!(outcome, run(&manifests));
    let key = ObjectKey::new("shop", "trust");
    let config_map = &outcome.config_maps[&key];
    assert_eq!(config_map.data.keys().collect::<Vec<_>>(), ["ca.crt"]);
    assert_eq!(config_map.binary_data["t.jks"][..4], [0xfe, 0xed, 0xfe, 0xed]);
    assert_eq!(config_map.binary_data["t.p12"][0], 0x30);
    assert_eq!(
        outcome.secrets[&key].data.keys().collect::<Vec<_>>(),
        ["ca.crt", "t.jks", "t.p12"]
    );
}

#[test]
fn what_trust_managers_webhook_refuses_is_refused_in_its_words() {
    let one = quoted(&authority("one"));
    for (spec, error) in [
        (
            "{sources: [], target: {}}".to_owned(),
            "spec.sources: Forbidden: must define at least one source",
        ),
        (
            format!("{{sources: [{{inLine: \"{one}\", useDefaultCAs: false}}], target: {{}}}}"),
            "spec.sources[0]: Forbidden: must define exactly one source type for each item but found 2 defined types",
        ),
        (
            "{sources: [{secret: {name: a, selector: {}, key: b}}], target: {}}".to_owned(),
            "spec.sources[0].secret: Invalid value: \"name: a, selector: {}\": must validate one and only one schema (oneOf): [name, \
             selector]. Found both set",
        ),
        (
            "{sources: [{configMap: {name: a}}], target: {}}".to_owned(),
            "spec.sources[0].configMap: Invalid value: \"key: ' ', includeAllKeys: false\": source configMap key must be defined when \
             includeAllKeys is false",
        ),
        (
            "{sources: [{configMap: {name: trust, key: k}}], target: {configMap: {key: k}}}".to_owned(),
            "spec.sources[0].configMap.trust.k: Forbidden: cannot define the same source as target",
        ),
        (
            format!(
                "{{sources: [{{inLine: \"{one}\"}}], target: {{configMap: {{key: k}}, additionalFormats: {{jks: {{key: k}}}}}}}}"
            ),
            "spec.target.additionalFormats.jks.key: Invalid value: \"k\": key must be unique across all target output keys",
        ),
        (
            format!(
                "{{sources: [{{inLine: \"{one}\"}}], target: {{secret: {{key: k, metadata: {{labels: {{trust-manager.io/x: z}}}}}}}}}}"
            ),
            "spec.target.secret.metadata.labels: Invalid value: \"trust-manager.io/x\": trust-manager.io/* labels are not allowed",
        ),
    ] {
        let outcome = run(&bundle(&spec));
        assert_eq!(
            condition(&outcome),
            ("BundleInvalid", format!("Bundle is not valid: {error}"))
        );
        assert_eq!(outcome.findings[0].label, "refused");
        assert!(outcome.config_maps.is_empty() && outcome.secrets.is_empty());
    }
}

#[test]
fn an_ended_certificate_is_handed_out_and_named() {
    let mut parameters = rcgen::CertificateParams::new(["old".to_owned()]).expect("parameters");
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let old = parameters
        .self_signed(&rcgen::KeyPair::generate().expect("a key"))
        .expect("a certificate")
        .pem();
    let outcome = run(&in_line(&[&old, &authority("one")], "{configMap: {key: ca.crt}}"));
    assert_eq!(
        count(&outcome.config_maps[&ObjectKey::new("shop", "trust")].data["ca.crt"]),
        2
    );
    let findings: Vec<&str> = outcome.findings.iter().map(|finding| finding.label).collect();
    assert_eq!(findings, ["bundle-expired"]);
}

proptest! {
    #[test]
    fn only_certificates_ever_get_into_a_target(text in "(-----(BEGIN|END) (CERTIFICATE|RSA PRIVATE KEY|X)-----\n|[A-Za-z0-9+/=:\n -]{0,12}){0,8}") {
        let mut objects = resources(&bundle("{sources: [{inLine: x}], target: {configMap: {key: ca.crt}}}"));
        edit_each(&mut objects.bundles, |_, bundle| {
            bundle.spec.sources[0].in_line = Some(format!("{}{text}", authority("one")));
        });
        let outcome = bundles(now(), &objects, &BTreeMap::new(), &BTreeMap::new(), &Settings::default());
        for config_map in outcome.config_maps.values() {
            prop_assert!(!config_map.data["ca.crt"].contains("KEY"));
        }
    }
}
