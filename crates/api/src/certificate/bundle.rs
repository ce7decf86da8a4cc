//! trust-manager's Bundle (`trust.cert-manager.io/v1alpha1`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Password, Pkcs12Profile};
use crate::{LabelSelector, ObjectMeta};

/// trust-manager's Bundle: CA certificates, written into many namespaces.
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
    /// Where the certificates come from.
    pub sources: Vec<BundleSource>,
    /// Where they are written.
    pub target: BundleTarget,
}

/// One source: exactly one of its fields is set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BundleSource {
    /// ConfigMaps of the trust namespace.
    pub config_map: Option<SourceObjects>,
    /// Secrets of the trust namespace.
    pub secret: Option<SourceObjects>,
    /// PEM.
    pub in_line: Option<String>,
    /// The authorities that the system believes.
    #[serde(rename = "useDefaultCAs")]
    pub use_default_cas: Option<bool>,
}

/// Objects of the trust namespace, by name or by labels.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceObjects {
    /// By name.
    pub name: String,
    /// By labels.
    pub selector: Option<LabelSelector>,
    /// This key.
    pub key: String,
    /// Or every key.
    pub include_all_keys: bool,
}

/// Targets of a [`Bundle`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BundleTarget {
    /// Writes ConfigMaps.
    pub config_map: Option<TargetObject>,
    /// Writes Secrets.
    pub secret: Option<TargetObject>,
    /// More keys, in other formats.
    pub additional_formats: Option<AdditionalFormats>,
    /// Into these namespaces; absent: all.
    pub namespace_selector: Option<LabelSelector>,
}

/// An object that a Bundle writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetObject {
    /// The key that gets the PEM.
    pub key: String,
    /// Labels and annotations.
    pub metadata: TargetMetadata,
}

/// See [`TargetObject::metadata`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetMetadata {
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// See [`BundleTarget::additional_formats`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AdditionalFormats {
    /// A Java truststore.
    pub jks: Option<TrustStore>,
    /// A PKCS#12 truststore.
    pub pkcs12: Option<TrustStore>,
}

/// A truststore.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrustStore {
    /// The key that gets it.
    pub key: String,
    /// Its password; absent: `changeit` for Java, none for PKCS#12.
    pub password: Option<Password>,
    /// Algorithms; PKCS#12 only.
    pub profile: Option<Pkcs12Profile>,
}
