//! cert-manager's and trust-manager's kinds, as far as references to and from them are checked.

use serde::Deserialize;

use crate::ObjectMeta;

/// cert-manager's Issuer and ClusterIssuer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Issuer {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// How it signs.
    pub spec: IssuerSpec,
}

/// See [`Issuer`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IssuerSpec {
    /// A CA whose key pair stands in a Secret.
    pub ca: Option<CaIssuer>,
    /// Certificates that sign themselves.
    pub self_signed: Option<serde_json::Value>,
}

/// See [`IssuerSpec::ca`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CaIssuer {
    /// The Secret with `tls.crt` and `tls.key`.
    pub secret_name: String,
}

/// cert-manager's Certificate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Certificate {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: CertificateSpec,
}

/// See [`Certificate`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateSpec {
    /// The Secret that is written.
    pub secret_name: String,
    /// Who signs.
    pub issuer_ref: IssuerRef,
}

/// A reference to an Issuer or ClusterIssuer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IssuerRef {
    /// Name.
    pub name: String,
    /// Absent: Issuer.
    pub kind: Option<String>,
    /// Absent: cert-manager.io.
    pub group: Option<String>,
}

/// trust-manager's Bundle: a CA bundle written into many namespaces.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bundle {
    /// Its name is the name of every object that it writes.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: BundleSpec,
}

/// See [`Bundle`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BundleSpec {
    /// Where it is written.
    pub target: BundleTarget,
}

/// Targets of a [`Bundle`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BundleTarget {
    /// Writes ConfigMaps.
    pub config_map: Option<serde_json::Value>,
    /// Writes Secrets.
    pub secret: Option<serde_json::Value>,
    /// Into these namespaces; absent: all.
    pub namespace_selector: Option<crate::LabelSelector>,
}
