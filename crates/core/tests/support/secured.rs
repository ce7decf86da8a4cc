//! Certificates, authorities and policies for the universe: good ones, flawed ones, broken ones.

use std::sync::{Arc, LazyLock};

use proptest::option::{self, of};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sealway_core::RevocationList;
use serde_json::{Value, json};

use super::{KEY_MARKER, NAMESPACES, SERVICES, metadata};
use crate::case::fetched;

/// Objects of `testdata/pki`.
static SAMPLES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let texts = [
        include_str!("../../testdata/pki/secrets.yaml"),
        include_str!("../../testdata/pki/authorities.yaml"),
        include_str!("../../testdata/pki/fetched.yaml"),
    ];
    let read = |text| serde_saphyr::from_multiple::<Value>(text).expect("YAML");
    texts.into_iter().flat_map(read).collect()
});

/// What a sample holds.
fn sample(name: &str) -> Value {
    let found = SAMPLES.iter().find(|sample| sample["metadata"]["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no sample {name}"));
    json!({"data": found["data"], "stringData": found["stringData"]})
}

pub(super) fn secret() -> impl Strategy<Value = Value> {
    let names = vec![
        "good",
        "wildcard",
        "expired",
        "key-mismatch",
        "chain-order",
        "stapled",
        "stapled-stale",
        "ca-secret",
    ];
    let content = prop_oneof![
        4 => select(names).prop_map(sample),
        1 => Just(json!({"stringData": {"tls.crt": format!("certificate {KEY_MARKER}"), "tls.key": KEY_MARKER}})),
    ];
    (metadata(&["web", "web", "ca"]), content).prop_map(|(metadata, content)| {
        let (data, string_data) = (&content["data"], &content["stringData"]);
        json!({"kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data, "stringData": string_data})
    })
}

pub(super) fn config_map() -> impl Strategy<Value = Value> {
    let names = vec![
        "ca-twice",
        "ca-empty",
        "ca-expired",
        "ca-crl",
        "ca-crl-broken",
        "publishing-ca-stale",
    ];
    (metadata(&["ca"]), select(names)).prop_map(|(metadata, name)| {
        let data = sample(name)["data"].take();
        json!({"kind": "ConfigMap", "metadata": metadata, "data": data})
    })
}

/// Lists from a distribution point: one that is current, and one that is past its time.
pub(super) fn lists() -> impl Strategy<Value = Vec<Arc<RevocationList>>> {
    let lists = ["publishing-ca", "publishing-ca-stale"].map(|name| {
        let data = sample(name)["data"].take();
        let value = |key: &str| data[key].as_str().unwrap_or_default();
        fetched(value("ca.crt"), value("ca.crl"), "http://crl.test/ca.crl")
    });
    subsequence(lists.to_vec(), 0..=2)
}

fn authorities() -> impl Strategy<Value = Value> {
    let reference = (
        select(vec!["ConfigMap", "ConfigMap", "Secret", "Thing"]),
        of(select(&NAMESPACES[..])),
    );
    let reference = reference.prop_map(|(kind, namespace)| {
        let mut reference = json!({"group": "", "kind": kind, "name": "ca"});
        if let Some(namespace) = namespace {
            reference["namespace"] = json!(namespace);
        }
        reference
    });
    proptest::collection::vec(reference, 1..3).prop_map(Value::from)
}

pub(super) fn telemetry() -> impl Strategy<Value = Value> {
    let provider = (select(&NAMESPACES[..]), select(&SERVICES[..]), select(vec![443, 5432, 9]));
    (
        metadata(&["t0", "t1"]),
        subsequence(vec!["east", "north", "west"], 1..3),
        option::weighted(0.9, provider),
        0..120_i32,
        select(vec!["http.request.method", "gen_ai.tool.name"]),
    )
        .prop_map(|(metadata, gateways, provider, rate, key)| {
            let targets: Vec<Value> = gateways
                .into_iter()
                .map(|name| json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name}))
                .collect();
            let tracing = match provider {
                Some((namespace, name, port)) => json!({
                    "mode": "Enabled",
                    "provider": {"backendRef": {"name": name, "namespace": namespace, "port": port}},
                    "samplingRate": {"numerator": rate},
                    "attributes": [{"name": "a", "sourceType": "Attribute", "attributeKey": key}],
                }),
                None => json!({"mode": "Disabled"}),
            };
            json!({"kind": "XTelemetryPolicy", "metadata": metadata, "spec": {"targetRefs": targets, "tracing": tracing}})
        })
}

pub(super) fn policy() -> impl Strategy<Value = Value> {
    let section = option::weighted(0.3, select(vec!["tls", "db", "nowhere"]));
    let hostname = prop_oneof![9 => Just("backend.test"), 1 => Just("192.0.2.1")];
    let options = option::weighted(0.2, select(vec!["X25519", "none"]));
    let system = option::weighted(0.2, select(vec!["System", "other"]));
    (
        metadata(&["p0", "p1", "p2"]),
        select(&SERVICES[..]),
        section,
        hostname,
        authorities(),
        options,
        system,
    )
        .prop_map(|(metadata, service, section, hostname, authorities, options, system)| {
            let mut target = json!({"group": "", "kind": "Service", "name": service});
            if let Some(section) = section {
                target["sectionName"] = json!(section);
            }
            let mut spec = json!({"targetRefs": [target], "validation": {"hostname": hostname}});
            match system {
                Some(system) => spec["validation"]["wellKnownCACertificates"] = json!(system),
                None => spec["validation"]["caCertificateRefs"] = authorities,
            }
            if let Some(groups) = options {
                spec["options"] = json!({"sealway.dev/groups": groups});
            }
            json!({"kind": "BackendTLSPolicy", "metadata": metadata, "spec": spec})
        })
}

/// `spec.tls` of a Gateway.
pub(super) fn gateway() -> impl Strategy<Value = Value> {
    let mode = select(vec!["AllowValidOnly", "AllowInsecureFallback"]);
    (authorities(), mode, any::<bool>(), any::<bool>()).prop_map(|(authorities, mode, for_all, shows)| {
        let demand = json!({"validation": {"caCertificateRefs": authorities, "mode": mode}});
        let mut tls = json!({"frontend": match for_all {
            true => json!({"default": demand}),
            false => json!({"default": {}, "perPort": [{"port": 443, "tls": demand}]}),
        }});
        if shows {
            tls["backend"] = json!({"clientCertificateRef": {"name": "web"}});
        }
        tls
    })
}
