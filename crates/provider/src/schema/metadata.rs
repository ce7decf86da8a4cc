//! Names, labels and annotations, as the API server checks them for every kind (apimachinery, pkg/api/validation/objectmeta.go).

use sealway_api::Kind;
use sealway_core::Cause;
use serde_json::{Map, Value};

use super::formats;
use super::validate::{Finding, push_key};

/// Adds what is wrong with the metadata of `object`, and with the keys of a ConfigMap or Secret.
pub(super) fn check(kind: &Kind, object: &Value, findings: &mut Vec<Finding>) {
    let mut report = |path: &str, key: Option<&str>, value: Option<&str>, violation: Option<&'static str>| {
        let Some(violation) = violation else { return };
        let mut path = path.to_owned();
        if let Some(key) = key {
            push_key(&mut path, key);
        }
        let shown = value.or(key).unwrap_or_default();
        let detail = format!("Invalid value: {shown:?}: {violation}");
        findings.push(Finding {
            path,
            key: value.is_none(),
            cause: Cause::Invalid { detail },
        });
    };
    let metadata = object.get("metadata");
    let text = |field: &str| metadata.and_then(|metadata| metadata.get(field)).and_then(Value::as_str);
    if let Some(name) = text("name").filter(|name| !name.is_empty()) {
        report("metadata.name", None, Some(name), name_violation(kind, name));
    }
    if let Some(namespace) = text("namespace") {
        report("metadata.namespace", None, Some(namespace), formats::dns1123_label(namespace));
    }
    for (key, value) in entries(metadata, "labels") {
        report("metadata.labels", Some(key), None, formats::qualified_name(key));
        if let Some(value) = value.as_str() {
            report("metadata.labels", Some(key), Some(value), formats::label_value(value));
        }
    }
    for (key, _) in entries(metadata, "annotations") {
        // Upper case is allowed in annotations' prefixes.
        report(
            "metadata.annotations",
            Some(key),
            None,
            formats::qualified_name(&key.to_lowercase()),
        );
    }
    if matches!(kind, Kind::Secret | Kind::ConfigMap) {
        for field in ["data", "stringData", "binaryData"] {
            for (key, _) in entries(Some(object), field) {
                report(field, Some(key), None, formats::config_key(key));
            }
        }
    }
}

fn name_violation(kind: &Kind, name: &str) -> Option<&'static str> {
    match kind {
        Kind::Namespace => formats::dns1123_label(name),
        Kind::Service => formats::dns1035_label(name),
        // `signer:name` is a valid name there.
        Kind::ClusterTrustBundle => formats::path_segment(name),
        _ => formats::dns1123_subdomain(name),
    }
}

fn entries<'value>(object: Option<&'value Value>, field: &str) -> impl Iterator<Item = (&'value String, &'value Value)> {
    let map: Option<&'value Map<String, Value>> = object.and_then(|object| object.get(field)).and_then(Value::as_object);
    map.into_iter().flatten()
}
