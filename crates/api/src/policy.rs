//! BackendTLSPolicy: how the gateway verifies a backend (GEP-1897).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{ObjectMeta, SecretRef};

/// TLS towards the Services that it targets (apis/v1/backendtlspolicy_types.go); v1alpha3 is read into it too.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsPolicy {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: BackendTlsPolicySpec,
}

/// See [`BackendTlsPolicy`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsPolicySpec {
    /// Which Services, in the policy's own namespace.
    pub target_refs: Vec<PolicyTarget>,
    /// How they prove themselves.
    pub validation: BackendTlsValidation,
    /// The implementation's own options; ours begin with `sealway.dev/`.
    pub options: BTreeMap<String, String>,
}

/// One target of a policy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyTarget {
    /// API group; empty is core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// A port of the Service by name; absent: all.
    pub section_name: Option<String>,
}

/// What a backend's certificate must satisfy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsValidation {
    /// Where the CA certificates stand.
    pub ca_certificate_refs: Vec<SecretRef>,
    /// `System`, instead of references.
    pub well_known_ca_certificates: Option<String>,
    /// SNI, and the name to verify unless there are `subjectAltNames`.
    pub hostname: String,
}
