//! What an API server would do with an object.
//!
//! Job: fill in defaults and find what would be refused, dropped or warned about. Input: an object as JSON. Output: the object with its
//! defaults, and [`Finding`]s. The rules are the official definitions of Gateway API v1.7.0 (experimental channel), cert-manager
//! v1.21.2 and trust-manager v0.25.0; for Kubernetes' own kinds, which have none, there is a file written by hand.
//! Invariant: pure; an unknown enum value or field leaves an object in use, any other finding refuses it.

use std::sync::LazyLock;

use sealway_api::{Kind, NAMESPACE_NAME_LABEL};
use sealway_core::{Cause, Severity};
use serde::Deserialize;
use serde_json::{Map, Value};

use self::structure::Schema;
pub(crate) use self::validate::Finding;

mod defaults;
mod formats;
mod meaning;
mod metadata;
mod nearest;
mod rules;
mod structure;
#[cfg(test)]
mod tests;
mod validate;

/// One kind, with every version that is served.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KindSchema {
    pub(crate) group: String,
    #[serde(deserialize_with = "kind")]
    pub(crate) kind: Kind,
    pub(crate) cluster_scoped: bool,
    /// Oldest last, as the definitions have them.
    versions: Vec<VersionSchema>,
}

/// One version of a kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionSchema {
    pub(crate) name: String,
    /// Whether the standard channel serves it too.
    standard: bool,
    schema: Schema,
}

impl KindSchema {
    /// The kind of that group and name, when Sealway reads it.
    pub(crate) fn find(group: &str, kind: &str) -> Option<&'static Self> {
        let embedded = EMBEDDED
            .iter()
            .find(|embedded| embedded.group == group && embedded.kind == kind);
        if let Some(embedded) = embedded {
            return embedded.schema.as_ref();
        }
        let kinds = &KUBERNETES.as_ref()?.kinds;
        kinds
            .iter()
            .find(|schema| schema.group == group && schema.kind.as_str() == kind)
    }

    /// The version of that name.
    pub(crate) fn version(&self, name: &str) -> Option<&VersionSchema> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// Names of the versions that are served, the one to use first.
    pub(crate) fn version_names(&self) -> Vec<String> {
        self.versions.iter().map(|version| version.name.clone()).collect()
    }

    /// The version that the standard channel has instead of `version`, when it no longer serves that one.
    pub(crate) fn successor(&self, version: &VersionSchema) -> Option<&str> {
        if version.standard {
            return None;
        }
        self.versions
            .iter()
            .find(|other| other.standard)
            .map(|other| other.name.as_str())
    }

    /// Does to `object` what an API server does when it is created, and says what is wrong with it.
    pub(crate) fn admit(&self, version: &VersionSchema, object: &mut Value) -> Vec<Finding> {
        if let Value::Object(fields) = object {
            // Status is written through its own subresource only.
            fields.remove("status");
            self.place(fields);
        }
        defaults::apply(&version.schema, object);
        let confidential = self.kind == Kind::Secret;
        let mut findings = validate::validate(&version.schema, object, "", confidential);
        metadata::check(&self.kind, object, &mut findings);
        findings
    }

    /// Namespace `default` for namespaced objects without one, none for others; a Namespace's own label.
    fn place(&self, fields: &mut Map<String, Value>) {
        let Some(Value::Object(metadata)) = fields.get_mut("metadata") else {
            return;
        };
        if self.cluster_scoped {
            metadata.remove("namespace");
        } else if metadata
            .get("namespace")
            .is_none_or(|namespace| namespace.is_null() || namespace == "")
        {
            metadata.insert("namespace".to_owned(), "default".into());
        }
        if self.kind == Kind::Namespace
            && let Some(Value::String(name)) = metadata.get("name").cloned()
        {
            let labels = metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
            if labels.is_null() {
                *labels = Value::Object(Map::new());
            }
            if let Value::Object(labels) = labels {
                labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.into());
            }
        }
    }
}

impl Finding {
    /// Whether an API server would not have taken the object, and we do not either.
    pub(crate) fn refuses(&self) -> bool {
        self.cause.severity() == Severity::Error && !matches!(self.cause, Cause::UnknownValue { .. })
    }
}

/// A definition that is part of the program, read at first use.
struct Embedded {
    group: &'static str,
    kind: &'static str,
    schema: LazyLock<Option<KindSchema>>,
}

macro_rules! embedded {
    ($($group:literal $kind:literal $plural:literal,)+) => {
        [$(Embedded {
            group: $group,
            kind: $kind,
            schema: LazyLock::new(|| read(include_str!(concat!("../schemas/", $plural, ".", $group, ".json")))),
        },)+]
    };
}

static EMBEDDED: [Embedded; 17] = embedded! {
    "cert-manager.io" "Certificate" "certificates",
    "cert-manager.io" "ClusterIssuer" "clusterissuers",
    "cert-manager.io" "Issuer" "issuers",
    "gateway.networking.k8s.io" "BackendTLSPolicy" "backendtlspolicies",
    "gateway.networking.k8s.io" "Gateway" "gateways",
    "gateway.networking.k8s.io" "GatewayClass" "gatewayclasses",
    "gateway.networking.k8s.io" "GRPCRoute" "grpcroutes",
    "gateway.networking.k8s.io" "HTTPRoute" "httproutes",
    "gateway.networking.k8s.io" "ListenerSet" "listenersets",
    "gateway.networking.k8s.io" "ReferenceGrant" "referencegrants",
    "gateway.networking.k8s.io" "TCPRoute" "tcproutes",
    "gateway.networking.k8s.io" "TLSRoute" "tlsroutes",
    "gateway.networking.k8s.io" "UDPRoute" "udproutes",
    "gateway.networking.x-k8s.io" "XBackend" "xbackends",
    "gateway.networking.x-k8s.io" "XBackendTrafficPolicy" "xbackendtrafficpolicies",
    "gateway.networking.x-k8s.io" "XTelemetryPolicy" "xtelemetrypolicies",
    "trust.cert-manager.io" "Bundle" "bundles",
};

/// The file that is written by hand.
#[derive(Debug, Deserialize)]
struct Kubernetes {
    /// What the metadata of every object is; definitions leave it out.
    metadata: Value,
    kinds: Vec<KindSchema>,
}

static KUBERNETES: LazyLock<Option<Kubernetes>> = LazyLock::new(|| {
    let mut file: Value = serde_json::from_str(include_str!("../schemas/kubernetes.json")).ok()?;
    let metadata = file.get("metadata")?.clone();
    for kind in file.get_mut("kinds")?.as_array_mut()? {
        add_metadata(kind, &metadata);
    }
    serde_json::from_value(file).ok()
});

/// Reads a definition; a test reads each.
fn read(text: &str) -> Option<KindSchema> {
    let mut schema: Value = serde_json::from_str(text).ok()?;
    add_metadata(&mut schema, &KUBERNETES.as_ref()?.metadata);
    serde_json::from_value(schema).ok()
}

fn add_metadata(kind: &mut Value, metadata: &Value) {
    for version in kind.get_mut("versions").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(place) = version.pointer_mut("/schema/properties/metadata") {
            *place = metadata.clone();
        }
        if let Some(Value::Object(schema)) = version.get_mut("schema") {
            let required = schema.entry("required").or_insert_with(|| Value::Array(Vec::new()));
            if let Some(required) = required.as_array_mut() {
                required.push("metadata".into());
            }
        }
    }
}

fn kind<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
    String::deserialize(deserializer).map(Kind::from)
}
