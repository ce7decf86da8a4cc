//! Names, labels, annotations and owners of what is made for a Gateway.
//!
//! Invariant: a name is a DNS label of at most 63 bytes (Services take no longer one), and a label's value too; what is longer is cut
//! and ends with a hash of the whole. Our own labels win over `spec.infrastructure`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use sealway_api::Gateway;
use serde_json::{Value, json};

use super::{GATEWAY_CLASS_LABEL, GATEWAY_NAME_LABEL};

const LONGEST: usize = 63;
const HASH: usize = 8;

/// See the module.
pub(super) struct Metadata<'a> {
    gateway: &'a Gateway,
    name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl<'a> Metadata<'a> {
    pub(super) fn new(gateway: &'a Gateway, version: &str) -> Self {
        let infrastructure = gateway.spec.infrastructure.clone().unwrap_or_default();
        let mut labels = infrastructure.labels;
        labels.extend(selector(gateway));
        labels.insert(GATEWAY_CLASS_LABEL.to_owned(), fitted(&gateway.spec.gateway_class_name));
        labels.insert("app.kubernetes.io/managed-by".to_owned(), "sealway".to_owned());
        // A version may hold what a label may not: `1.0.0+build`.
        let legal = |letter: char| {
            if letter.is_ascii_alphanumeric() || "-._".contains(letter) {
                letter
            } else {
                '_'
            }
        };
        labels.insert(
            "app.kubernetes.io/version".to_owned(),
            version.chars().map(legal).take(LONGEST).collect(),
        );
        Self {
            gateway,
            name: name(gateway),
            labels,
            annotations: infrastructure.annotations,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn gateway(&self) -> &Gateway {
        self.gateway
    }

    /// `metadata` of an object.
    pub(super) fn of(&self, name: &str) -> Value {
        json!({
            "name": name,
            "namespace": self.gateway.metadata.namespace,
            "labels": self.labels,
            "annotations": self.annotations,
            "ownerReferences": [{
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                "name": self.gateway.metadata.name, "uid": self.gateway.metadata.uid,
                "controller": true, "blockOwnerDeletion": false,
            }],
        })
    }

    /// Never changes: a Deployment's selector is immutable.
    pub(super) fn selector(&self) -> BTreeMap<String, String> {
        selector(self.gateway)
    }
}

fn selector(gateway: &Gateway) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "sealway-proxy".to_owned()),
        (GATEWAY_NAME_LABEL.to_owned(), fitted(&gateway.metadata.name)),
    ])
}

/// Name of all objects but those Services that carry a requested address. A Gateway's name may hold dots, a Service's may not.
pub(super) fn name(gateway: &Gateway) -> String {
    let whole = &gateway.metadata.name;
    let plain = format!("sealway-{whole}");
    if whole.contains('.') || plain.len() > LONGEST {
        suffixed(&plain.replace('.', "-"), whole)
    } else {
        plain
    }
}

/// `stem`, cut where it must be, and a hash of `whole`.
pub(super) fn suffixed(stem: &str, whole: &str) -> String {
    let cut: String = stem.chars().take(LONGEST - HASH - 1).collect();
    format!("{}-{}", cut.trim_end_matches(['-', '.', '_']), hash(whole))
}

pub(super) fn fitted(value: &str) -> String {
    if value.len() > LONGEST {
        suffixed(value, value)
    } else {
        value.to_owned()
    }
}

/// The first bytes of SHA-256 in hexadecimal: for telling apart what the user named, not for secrecy.
fn hash(whole: &str) -> String {
    digest(&SHA256, whole.as_bytes())
        .as_ref()
        .iter()
        .take(HASH / 2)
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
