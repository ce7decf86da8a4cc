//! Names, kinds and metadata that all objects share.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;

/// A point in time, UTC.
pub use jiff::Timestamp;

/// Group of the Gateway API's own kinds.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// Group of the Gateway API's experimental kinds.
pub const GATEWAY_EXPERIMENTAL_GROUP: &str = "gateway.networking.x-k8s.io";
/// Label that every namespace carries with its own name (Kubernetes 1.21 and later).
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What Kubernetes keeps about every object, as far as Sealway reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// Unique in its namespace and kind.
    pub name: String,
    /// None for cluster-scoped objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels, for selectors.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations; ours begin with `sealway.dev/`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// None in plain manifests: such objects are equally old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// Counts changes of the spec; from 1.
    pub generation: i64,
    /// Set while the API server waits for finalizers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    /// Unique in the cluster's whole life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl ObjectMeta {
    /// Namespace and name; the namespace is empty for cluster-scoped objects.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            namespace: self.namespace.clone().unwrap_or_default(),
            name: self.name.clone(),
        }
    }
}

open_enum! {
    /// The kinds that Sealway reads.
    Kind {
        /// cert-manager, namespaced trust bundle (trust-manager).
        Bundle = "Bundle",
        /// `gateway.networking.k8s.io`.
        BackendTlsPolicy = "BackendTLSPolicy",
        /// cert-manager.
        Certificate = "Certificate",
        /// cert-manager, cluster-scoped.
        ClusterIssuer = "ClusterIssuer",
        /// `certificates.k8s.io`, cluster-scoped.
        ClusterTrustBundle = "ClusterTrustBundle",
        /// Core.
        ConfigMap = "ConfigMap",
        /// `apps`: only what it mounts is read.
        Deployment = "Deployment",
        /// `discovery.k8s.io`.
        EndpointSlice = "EndpointSlice",
        /// `gateway.networking.k8s.io`.
        Gateway = "Gateway",
        /// `gateway.networking.k8s.io`, cluster-scoped.
        GatewayClass = "GatewayClass",
        /// `gateway.networking.k8s.io`.
        GrpcRoute = "GRPCRoute",
        /// `gateway.networking.k8s.io`.
        HttpRoute = "HTTPRoute",
        /// cert-manager.
        Issuer = "Issuer",
        /// `gateway.networking.k8s.io`.
        ListenerSet = "ListenerSet",
        /// Core, cluster-scoped.
        Namespace = "Namespace",
        /// `gateway.networking.k8s.io`.
        ReferenceGrant = "ReferenceGrant",
        /// Core.
        Secret = "Secret",
        /// Core.
        Service = "Service",
        /// `gateway.networking.k8s.io`.
        TcpRoute = "TCPRoute",
        /// `gateway.networking.k8s.io`.
        TlsRoute = "TLSRoute",
        /// `gateway.networking.k8s.io`.
        UdpRoute = "UDPRoute",
        /// `gateway.networking.x-k8s.io`.
        XBackend = "XBackend",
        /// `gateway.networking.x-k8s.io`.
        XBackendTrafficPolicy = "XBackendTrafficPolicy",
        /// `gateway.networking.x-k8s.io`.
        XTelemetryPolicy = "XTelemetryPolicy",
    }
}

impl Kind {
    /// The API group, empty for core kinds and for kinds that Sealway does not know.
    #[must_use]
    pub fn group(&self) -> &'static str {
        match self {
            Self::BackendTlsPolicy
            | Self::Gateway
            | Self::GatewayClass
            | Self::GrpcRoute
            | Self::HttpRoute
            | Self::ListenerSet
            | Self::ReferenceGrant
            | Self::TcpRoute
            | Self::TlsRoute
            | Self::UdpRoute => GATEWAY_GROUP,
            Self::XBackend | Self::XBackendTrafficPolicy | Self::XTelemetryPolicy => GATEWAY_EXPERIMENTAL_GROUP,
            Self::Certificate | Self::ClusterIssuer | Self::Issuer => "cert-manager.io",
            Self::Bundle => "trust.cert-manager.io",
            Self::ClusterTrustBundle => "certificates.k8s.io",
            Self::Deployment => "apps",
            Self::EndpointSlice => "discovery.k8s.io",
            Self::ConfigMap | Self::Namespace | Self::Secret | Self::Service | Self::Other(_) => "",
        }
    }

    /// Whether objects of this kind live outside namespaces.
    #[must_use]
    pub fn is_cluster_scoped(&self) -> bool {
        matches!(
            self,
            Self::Bundle | Self::ClusterIssuer | Self::ClusterTrustBundle | Self::GatewayClass | Self::Namespace
        )
    }
}

/// Namespace and name of an object whose kind is clear from where the key stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl ObjectKey {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            formatter.write_str(&self.name)
        } else {
            write!(formatter, "{}/{}", self.namespace, self.name)
        }
    }
}

/// An object by kind, namespace and name; prints as `TLSRoute payment/payment-tls`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The object's kind.
    pub kind: Kind,
    /// Its namespace (empty for cluster-scoped kinds) and name.
    pub key: ObjectKey,
}

impl ObjectRef {
    /// A reference from its three parts.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            key: ObjectKey::new(namespace, name),
        }
    }

    /// A reference to the object under `key`.
    #[must_use]
    pub fn of(kind: Kind, key: &ObjectKey) -> Self {
        Self { kind, key: key.clone() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, self.key)
    }
}

/// Serialised as it prints, so that it can be a key of a JSON object.
impl Serialize for ObjectRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// metav1.LabelSelector: everything stated must hold; an empty selector matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that must have exactly these values.
    pub match_labels: BTreeMap<String, String>,
    /// Set-based requirements.
    pub match_expressions: Vec<LabelRequirement>,
}

/// One set-based requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelRequirement {
    /// The label's key.
    pub key: String,
    /// How it is compared.
    pub operator: LabelOperator,
    /// What it is compared with; empty for Exists and DoesNotExist.
    #[serde(default)]
    pub values: Vec<String>,
}

open_enum! {
    /// Operators of a [`LabelRequirement`].
    LabelOperator {
        /// The label is not there.
        DoesNotExist = "DoesNotExist",
        /// The label is there.
        Exists = "Exists",
        /// The label is there with one of the values.
        In = "In",
        /// The label is absent or has none of the values.
        NotIn = "NotIn",
    }
}

impl LabelSelector {
    /// Whether `labels` satisfy every requirement. An unknown operator matches nothing: fail closed.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }
}

impl LabelRequirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            LabelOperator::In => value.is_some_and(|value| self.values.contains(value)),
            LabelOperator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
            LabelOperator::Other(_) => false,
        }
    }
}
