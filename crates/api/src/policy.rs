//! BackendTLSPolicy: how the gateway verifies a backend (GEP-1897).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::open_enum::open_enum;
use crate::{ObjectMeta, PolicyStatus, SecretRef};

/// TLS towards the Services that it targets (apis/v1/backendtlspolicy_types.go); v1alpha3 is read into it too.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsPolicy {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: BackendTlsPolicySpec,
    /// What the API server remembers; the compiler does not read it.
    pub status: Option<PolicyStatus>,
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
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<String>,
    /// SNI, and the name to verify unless there are `subjectAltNames`.
    pub hostname: String,
    /// Names of which the certificate must have one; then `hostname` is SNI only.
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// One subject alternative name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubjectAltName {
    /// Which of the other fields holds.
    #[serde(rename = "type")]
    pub kind: SubjectAltNameType,
    /// A DNS name, possibly with a wildcard as its first label.
    pub hostname: String,
    /// An absolute URI, as in `spiffe://…`.
    pub uri: String,
}

open_enum! {
    /// Types of [`SubjectAltName`].
    #[derive(Default)]
    SubjectAltNameType {
        /// A DNS name.
        #[default]
        Hostname = "Hostname",
        /// A URI.
        Uri = "URI",
    }
}
