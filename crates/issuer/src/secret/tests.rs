//! Content of Secrets; the annotations are those of cert-manager's own tests.

use std::collections::BTreeMap;

use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use sealway_api::{ObjectKey, OutputFormat, Password, Pkcs12Profile, Secret, SecretBytes, Timestamp};

use super::*;
use crate::keystore::random_salts;
use crate::subject::SubjectParts;
use crate::{Behaviour, StoreForm};

const CHAIN: &str = include_str!("../../testdata/keystore/chain.pem");
const AUTHORITIES_PEM: &str = include_str!("../../testdata/keystore/ca.pem");
const KEY_PEM: &str = include_str!("../../testdata/keystore/key.pem");

fn facts() -> Facts {
    let now: Timestamp = "2026-11-28T12:00:00Z".parse().expect("a time");
    Facts {
        serial: "01".to_owned(),
        subject: SubjectParts::default(),
        subject_der: Vec::new(),
        issuer_der: Vec::new(),
        not_before: now,
        not_after: now,
        dns_names: vec!["example.com".to_owned(), "cert-manager.io".to_owned()],
        ip_addresses: Vec::new(),
        uris: Vec::new(),
        email_addresses: Vec::new(),
        is_ca: false,
        may_sign: true,
        may_sign_lists: true,
        public_key_info: Vec::new(),
        fingerprint: String::new(),
    }
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The two certificates of `ca.pem`: the issuer's own, and another.
fn two_authorities() -> (String, String) {
    let all = certificates(AUTHORITIES_PEM, AUTHORITIES).expect("PEM");
    (pem(&all[0]), pem(&all[1]))
}

fn pkcs8() -> SecretBytes {
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY_PEM.as_bytes()).expect("a key");
    SecretBytes::new(key.secret_pkcs8_der().to_vec())
}

fn made_with(form: &SecretForm, authority: Option<&str>) -> Result<Secret, FormFault> {
    let (pem, der) = (SecretBytes::new(KEY_PEM.as_bytes().to_vec()), pkcs8());
    let parts = SecretParts {
        secret: &ObjectKey::new("payment", "payment-cert"),
        kind: TLS_SECRET,
        certificate: "payment",
        issuer: ["internal-ca", "ClusterIssuer", "cert-manager.io"],
        key: KeyForms {
            pem: &pem,
            der: &der,
            pkcs8: &der,
        },
        chain: CHAIN,
        authority,
        facts: &facts(),
        form,
        now: facts().not_before,
    };
    secret(&parts, &mut random_salts)
}

fn made(form: &SecretForm) -> Secret {
    made_with(form, Some(&two_authorities().0)).expect("a Secret")
}

fn again(secret: &Secret, form: &SecretForm) -> Secret {
    amended(secret, form, &facts(), &pkcs8(), facts().not_before, &mut random_salts).expect("a Secret")
}

fn differs(secret: &Secret, form: &SecretForm) -> Option<(&'static str, String)> {
    mismatch(secret, form, &facts(), Behaviour::Sealway).map(|mismatch| (mismatch.reason, mismatch.message))
}

fn store(password: &str) -> StoreForm {
    StoreForm {
        alias: "certificate".to_owned(),
        password: Password::new(password.to_owned()),
        profile: Pkcs12Profile::Modern2023,
    }
}

fn with_stores() -> SecretForm {
    SecretForm {
        jks: Some(store("changeit")),
        pkcs12: Some(store("changeit")),
        ..SecretForm::default()
    }
}

#[test]
fn annotations_repeat_the_certificate() {
    let mut facts = facts();
    facts.subject = SubjectParts {
        common_name: "cert-manager".to_owned(),
        serial_number: "12345678".to_owned(),
        organizations: texts(&["Example Organization 1", "Example Organization 2"]),
        organizational_units: texts(&["Unit \"1\"", " leading", "trailing "]),
        countries: texts(&["Country 1", "Country 2"]),
        provinces: texts(&["\\."]),
        localities: texts(&["City\n1"]),
        street_addresses: texts(&["1725 Slough Avenue, Suite 200, Scranton Business Park", "123 Example St"]),
        postal_codes: texts(&["55555", "12345"]),
    };
    facts.ip_addresses = ["1.1.1.1", "2001:db8::1", "::ffff:1.2.3.4"]
        .map(|ip| ip.parse().expect("an address"))
        .to_vec();
    facts.uris = texts(&["spiffe://cluster.local/ns/a", "https://example.com/?a=b,c"]);
    facts.email_addresses = texts(&["test1@example.com", "test2@cert-manager.io"]);
    let expected = map(&[
        ("cert-manager.io/common-name", "cert-manager"),
        ("cert-manager.io/alt-names", "example.com,cert-manager.io"),
        ("cert-manager.io/ip-sans", "1.1.1.1,2001:db8::1,1.2.3.4"),
        (
            "cert-manager.io/uri-sans",
            "spiffe://cluster.local/ns/a,\"https://example.com/?a=b,c\"",
        ),
        ("cert-manager.io/email-sans", "test1@example.com,test2@cert-manager.io"),
        (
            "cert-manager.io/subject-organizations",
            "Example Organization 1,Example Organization 2",
        ),
        (
            "cert-manager.io/subject-organizationalunits",
            "\"Unit \"\"1\"\"\",\" leading\",trailing ",
        ),
        ("cert-manager.io/subject-countries", "Country 1,Country 2"),
        ("cert-manager.io/subject-provinces", "\"\\.\""),
        ("cert-manager.io/subject-localities", "\"City\n1\""),
        ("cert-manager.io/subject-postalcodes", "55555,12345"),
        (
            "cert-manager.io/subject-streetaddresses",
            "\"1725 Slough Avenue, Suite 200, Scranton Business Park\",123 Example St",
        ),
        ("cert-manager.io/subject-serialnumber", "12345678"),
    ]);
    assert_eq!(certificate_annotations(&facts), expected);
}

#[test]
fn four_annotations_stay_when_empty() {
    let mut facts = facts();
    facts.dns_names.clear();
    let empty = map(&[
        ("cert-manager.io/common-name", ""),
        ("cert-manager.io/alt-names", ""),
        ("cert-manager.io/ip-sans", ""),
        ("cert-manager.io/uri-sans", ""),
    ]);
    assert_eq!(certificate_annotations(&facts), empty);
}

#[test]
fn a_plain_secret_has_what_cert_manager_gives_it() {
    let secret = made(&SecretForm::default());
    assert_eq!(secret.metadata.key(), ObjectKey::new("payment", "payment-cert"));
    assert_eq!(secret.kind, "kubernetes.io/tls");
    assert_eq!(secret.metadata.labels, map(&[("controller.cert-manager.io/fao", "true")]));
    let expected = map(&[
        ("cert-manager.io/alt-names", "example.com,cert-manager.io"),
        ("cert-manager.io/certificate-name", "payment"),
        ("cert-manager.io/common-name", ""),
        ("cert-manager.io/ip-sans", ""),
        ("cert-manager.io/issuer-group", "cert-manager.io"),
        ("cert-manager.io/issuer-kind", "ClusterIssuer"),
        ("cert-manager.io/issuer-name", "internal-ca"),
        ("cert-manager.io/uri-sans", ""),
    ]);
    assert_eq!(secret.metadata.annotations, expected);
    let data: Vec<(&str, &[u8])> = secret
        .data
        .iter()
        .map(|(key, value)| (key.as_str(), value.expose()))
        .collect();
    let own = two_authorities().0;
    assert_eq!(
        data,
        [
            ("ca.crt", own.as_bytes()),
            ("tls.crt", CHAIN.as_bytes()),
            ("tls.key", KEY_PEM.as_bytes())
        ]
    );
    assert_eq!(differs(&secret, &SecretForm::default()), None);
    let without = made_with(&SecretForm::default(), None).expect("a Secret");
    assert_eq!(without.data.keys().collect::<Vec<_>>(), ["tls.crt", "tls.key"]);
}

#[test]
fn a_template_adds_and_never_replaces() {
    let form = SecretForm {
        labels: map(&[("team", "payment"), ("controller.cert-manager.io/fao", "false")]),
        annotations: map(&[
            ("note", "a"),
            ("cert-manager.io/issuer-name", "stranger"),
            ("cert-manager.io/alt-names", "stranger"),
            ("cert-manager.io/allow-direct-injection", "true"),
        ]),
        ..SecretForm::default()
    };
    let secret = made(&form);
    let (labels, annotations) = (&secret.metadata.labels, &secret.metadata.annotations);
    assert_eq!(
        *labels,
        map(&[("team", "payment"), ("controller.cert-manager.io/fao", "true")])
    );
    assert_eq!(annotations["note"], "a");
    assert_eq!(annotations["cert-manager.io/issuer-name"], "internal-ca");
    assert_eq!(annotations["cert-manager.io/alt-names"], "example.com,cert-manager.io");
    assert_eq!(annotations["cert-manager.io/allow-direct-injection"], "true");
    assert_eq!(differs(&secret, &form), None, "what was made is what was asked for");
}

#[test]
fn additional_formats_are_key_and_chain() {
    let form = SecretForm {
        formats: vec![OutputFormat::CombinedPem, OutputFormat::Der],
        ..SecretForm::default()
    };
    let secret = made(&form);
    assert_eq!(
        secret.data["tls-combined.pem"].expose(),
        format!("{KEY_PEM}\n{CHAIN}").as_bytes()
    );
    assert!(secret.data["key.der"] == pkcs8());
    let unknown = SecretForm {
        formats: vec![OutputFormat::Other("P7B".to_owned())],
        ..SecretForm::default()
    };
    assert_eq!(
        made_with(&unknown, None).map_err(|fault| fault.to_string()),
        Err("failed to add additional output formats to Secret: unknown additional output format P7B".to_owned())
    );
}

#[test]
fn more_authorities_follow_the_issuers_own_and_each_is_there_once() {
    let (own, other) = two_authorities();
    let form = SecretForm {
        more_authorities: vec![format!("{other}{own}"), other.clone()],
        ..with_stores()
    };
    let secret = made(&form);
    assert_eq!(text_of(&secret, "ca.crt"), Some(AUTHORITIES_PEM));
    assert_eq!(AUTHORITIES_PEM, format!("{own}{other}"));
    assert_eq!(differs(&secret, &form), None);

    // The roll-over ends: the other leaves, and the truststores know one certificate less.
    let after = with_stores();
    let reason = ("SecretMismatch", "ca.crt does not hold the authorities of now".to_owned());
    assert_eq!(differs(&secret, &after), Some(reason));
    let ended = again(&secret, &after);
    assert_eq!(text_of(&ended, "ca.crt"), Some(own.as_str()));
    assert!(ended.data["truststore.jks"].expose().len() < secret.data["truststore.jks"].expose().len());
    assert_eq!(differs(&ended, &after), None);
    assert_eq!(mismatch(&secret, &after, &facts(), Behaviour::CertManager), None);
}

#[test]
fn keystores_are_there_when_asked_for_and_truststores_with_an_authority() {
    let secret = made(&with_stores());
    let keys: Vec<&String> = secret.data.keys().collect();
    assert_eq!(
        keys,
        [
            "ca.crt",
            "keystore.jks",
            "keystore.p12",
            "tls.crt",
            "tls.key",
            "truststore.jks",
            "truststore.p12"
        ]
    );
    let without = made_with(&with_stores(), None).expect("a Secret");
    assert_eq!(
        without.data.keys().collect::<Vec<_>>(),
        ["keystore.jks", "keystore.p12", "tls.crt", "tls.key"]
    );
    assert_eq!(differs(&without, &with_stores()), None);
}

/// Each change, what it is called, and that amending mends it and leaves key and certificate alone.
#[test]
fn what_does_not_match_is_named_and_mended() {
    type Change = fn(&mut Secret, &mut SecretForm);
    let cases: [(&str, &str, Change); 17] = [
        (
            "SecretManagedMetadataMismatch",
            "wrong base label controller.cert-manager.io/fao value \"false\", expected \"true\"",
            |secret, _| {
                secret.metadata.labels.insert(ISSUED_LABEL.to_owned(), "false".to_owned());
            },
        ),
        (
            "SecretManagedMetadataMismatch",
            "Secret is missing these Managed Labels: [controller.cert-manager.io/fao]",
            |secret, _| secret.metadata.labels.clear(),
        ),
        (
            "SecretTemplateMismatch",
            "Secret metadata a.example.com does not match certificate metadata example.com,cert-manager.io",
            |secret, _| {
                let names = secret.metadata.annotations.get_mut("cert-manager.io/alt-names");
                *names.expect("there") = "a.example.com".to_owned();
            },
        ),
        (
            "SecretManagedMetadataMismatch",
            "Secret is missing these Managed Annotations: [cert-manager.io/common-name cert-manager.io/uri-sans]",
            |secret, _| {
                let kept = |name: &String| !name.ends_with("common-name") && !name.ends_with("uri-sans");
                secret.metadata.annotations.retain(|name, _| kept(name));
            },
        ),
        (
            "SecretManagedMetadataMismatch",
            "Secret has these extra Annotations: [cert-manager.io/email-sans]",
            |secret, _| {
                let name = "cert-manager.io/email-sans".to_owned();
                secret.metadata.annotations.insert(name, "a@example.com".to_owned());
            },
        ),
        (
            "SecretTemplateMismatch",
            "Certificate's SecretTemplate Annotations missing or incorrect value on Secret",
            |_, form| form.annotations = map(&[("note", "b")]),
        ),
        (
            "SecretTemplateMismatch",
            "Secret is missing these Template Labels: [tier zone]",
            |_, form| form.labels.extend(map(&[("tier", "1"), ("zone", "a")])),
        ),
        (
            "SecretTemplateMismatch",
            "Secret has these extra Annotations: [note]",
            |_, form| form.annotations.clear(),
        ),
        (
            "AdditionalOutputFormatsMismatch",
            "Certificate's AdditionalOutputFormats doesn't match Secret Data",
            |_, form| form.formats.push(OutputFormat::Der),
        ),
        (
            "AdditionalOutputFormatsMismatch",
            "Certificate's AdditionalOutputFormats doesn't match Secret ManagedFields",
            |_, form| form.formats.clear(),
        ),
        ("SecretMismatch", "JKS Keystore key does not contain data", |secret, _| {
            secret.data.remove("truststore.jks");
        }),
        ("SecretMismatch", "PKCS12 Keystore not defined", |_, form| form.pkcs12 = None),
        ("SecretMismatch", "Keystore is not defined", |_, form| {
            (form.jks, form.pkcs12) = (None, None);
        }),
        (
            "SecretMismatch",
            "Keystore has another password, alias or profile",
            |_, form| form.jks = Some(store("changed")),
        ),
        (
            "SecretMismatch",
            "Keystore has another password, alias or profile",
            |_, form| form.pkcs12 = Some(store("changed")),
        ),
        (
            "SecretMismatch",
            "Keystore has another password, alias or profile",
            |_, form| {
                if let Some(store) = &mut form.jks {
                    store.alias = "payment".to_owned();
                }
            },
        ),
        (
            "SecretMismatch",
            "Keystore has another password, alias or profile",
            |_, form| {
                if let Some(store) = &mut form.pkcs12 {
                    store.profile = Pkcs12Profile::Modern2026;
                }
            },
        ),
    ];
    let form = SecretForm {
        labels: map(&[("team", "payment")]),
        annotations: map(&[("note", "a")]),
        formats: vec![OutputFormat::CombinedPem],
        ..with_stores()
    };
    let issued = made(&form);
    assert_eq!(differs(&issued, &form), None);
    for (reason, message, change) in cases {
        let (mut secret, mut form) = (issued.clone(), form.clone());
        change(&mut secret, &mut form);
        assert_eq!(differs(&secret, &form), Some((reason, message.to_owned())));
        let mended = again(&secret, &form);
        assert_eq!(differs(&mended, &form), None, "{message}");
        for key in ["tls.crt", "tls.key", "ca.crt"] {
            assert!(mended.data[key] == issued.data[key], "{message}: {key}");
        }
    }
}

#[test]
fn a_secret_without_its_key_cannot_be_amended() {
    let form = with_stores();
    for key in ["tls.key", "tls.crt"] {
        let mut secret = made(&form);
        secret.data.insert(key.to_owned(), SecretBytes::new(vec![0xff]));
        let refused = amended(&secret, &form, &facts(), &pkcs8(), facts().not_before, &mut random_salts);
        assert_eq!(refused, Err(FormFault::Missing(key)));
        let _ = differs(&secret, &form);
    }
}

#[test]
fn the_manifest_reads_back_as_it_was() {
    let secret = made(&SecretForm {
        formats: vec![OutputFormat::Der],
        labels: map(&[("team", "payment \"quoted\" é")]),
        ..with_stores()
    });
    let manifest = json(&secret);
    let value: serde_json::Value = serde_json::from_slice(manifest.expose()).expect("JSON");
    assert_eq!(
        (value["apiVersion"].as_str(), value["kind"].as_str()),
        (Some("v1"), Some("Secret"))
    );
    let read: Secret = serde_json::from_value(value).expect("a Secret");
    assert_eq!(read, secret);
}
