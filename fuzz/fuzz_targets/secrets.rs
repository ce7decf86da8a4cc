//! Whatever stands in a Secret or CA bundle is read without a panic, twice with equal outcome, and costs no other Secret its name.
//!
//! The first byte says under which key the rest stands, and whether it is wrapped in PEM first: mutations then reach the DER parsers.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use sealway_api::{ObjectKey, Resources, SecretBytes};
use sealway_core::{CertificateSlot, Compiler, Observed, PortPlan, Settings};
use sealway_provider::files::Loaded;

const MANIFESTS: &str = r#"
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "sealway"}, "spec": {"controllerName": "sealway.dev/gateway-controller"}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra"}, "spec": {"gatewayClassName": "sealway",
 "tls": {"frontend": {"default": {"validation": {"caCertificateRefs": [{"group": "", "kind": "Secret", "name": "stapled"}]}}}},
 "listeners": [
  {"name": "fuzzed", "hostname": "fuzzed.test", "port": 443, "protocol": "TLS", "tls": {"certificateRefs": [{"name": "stapled"}]}},
  {"name": "https", "hostname": "https.test", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "good"}, {"name": "stapled"}]}},
  {"name": "good", "hostname": "good.test", "port": 443, "protocol": "TLS", "tls": {"certificateRefs": [{"name": "good"}]}}]}}
---
"#;

static RESOURCES: LazyLock<Resources> = LazyLock::new(|| {
    let secrets = include_str!("../../crates/core/testdata/pki/secrets.yaml");
    let text = format!("{MANIFESTS}{secrets}");
    (*Loaded::from_texts([("fuzz.yaml".to_owned(), text)]).resources).clone()
});
static OBSERVED: LazyLock<Observed> = LazyLock::new(|| Observed::assumed("2030-01-01T00:00:00Z".parse().unwrap()));
const KEYS: [(&str, &str); 5] = [
    ("tls.crt", "CERTIFICATE"),
    ("tls.key", "PRIVATE KEY"),
    ("tls.ocsp-staple", ""),
    ("ca.crt", "CERTIFICATE"),
    ("ca.crl", "X509 CRL"),
];

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let (key, label) = KEYS[usize::from(choice & 0x7f) % KEYS.len()];
    let value = if *choice & 0x80 != 0 && !label.is_empty() {
        pem(label, bytes).into_bytes()
    } else {
        bytes.to_vec()
    };
    let mut resources = RESOURCES.clone();
    let secret = resources.secrets.get_mut(&ObjectKey::new("infra", "stapled")).expect("there");
    Arc::make_mut(secret).data.insert(key.to_owned(), SecretBytes::new(value));

    let mut compiler = Compiler::new(Settings::default());
    let first = compiler.compile(&resources, &OBSERVED);
    assert!(compiler.compile(&resources, &OBSERVED) == first);
    let snapshot = first.snapshots.values().next().expect("one");
    let plan = snapshot.ports.values().next().expect("one");
    let PortPlan::Tls(plan) = &**plan else { panic!("not TLS") };
    let good = plan.listeners.iter().find(|listener| listener.name == "good").expect("there");
    let termination = good.termination.as_ref().expect("it serves");
    assert!(matches!(termination.certificates.as_slice(), [CertificateSlot::Served(_)]));
});

fn pem(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for group in der.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text + &format!("\n-----END {label}-----\n")
}
