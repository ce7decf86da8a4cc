//! The kinds that are watched in a cluster, and where the API server keeps them.
//!
//! Invariant: of the versions of a kind, the first that the cluster serves is the one to use; all are read into one type.

use sealway_api::Kind;

/// How much of an object is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Only its metadata; the rest when something refers to it.
    Metadata,
}

/// One kind to watch.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) kind: Kind,
    /// As it stands in a path.
    pub(super) plural: &'static str,
    /// Best first.
    pub(super) versions: &'static [&'static str],
    pub(super) extent: Extent,
    /// Whether Sealway writes a status there.
    pub(super) has_status: bool,
    /// Whether every cluster serves it; others may come and go with their CRD.
    pub(super) is_built_in: bool,
}

const fn custom(kind: Kind, plural: &'static str, versions: &'static [&'static str], has_status: bool) -> Watched {
    Watched {
        kind,
        plural,
        versions,
        extent: Extent::Whole,
        has_status,
        is_built_in: false,
    }
}

const fn built_in(kind: Kind, plural: &'static str, extent: Extent) -> Watched {
    Watched {
        kind,
        plural,
        versions: &["v1"],
        extent,
        has_status: false,
        is_built_in: true,
    }
}

/// Every kind that is watched. cert-manager's, trust-manager's and Deployments are not: in a cluster their own controllers see to them.
pub(super) static WATCHED: [Watched; 19] = [
    custom(Kind::GatewayClass, "gatewayclasses", &["v1", "v1beta1"], true),
    custom(Kind::Gateway, "gateways", &["v1", "v1beta1"], true),
    custom(Kind::ListenerSet, "listenersets", &["v1"], true),
    custom(Kind::HttpRoute, "httproutes", &["v1", "v1beta1"], true),
    custom(Kind::GrpcRoute, "grpcroutes", &["v1", "v1alpha2"], true),
    custom(Kind::TlsRoute, "tlsroutes", &["v1", "v1alpha3", "v1alpha2"], true),
    custom(Kind::TcpRoute, "tcproutes", &["v1", "v1alpha2"], true),
    custom(Kind::UdpRoute, "udproutes", &["v1", "v1alpha2"], true),
    custom(Kind::BackendTlsPolicy, "backendtlspolicies", &["v1", "v1alpha3"], true),
    custom(Kind::XBackend, "xbackends", &["v1alpha1"], true),
    custom(Kind::XBackendTrafficPolicy, "xbackendtrafficpolicies", &["v1alpha1"], true),
    custom(Kind::XTelemetryPolicy, "xtelemetrypolicies", &["v1alpha1"], true),
    custom(Kind::ReferenceGrant, "referencegrants", &["v1", "v1beta1", "v1alpha2"], false),
    custom(
        Kind::ClusterTrustBundle,
        "clustertrustbundles",
        &["v1", "v1beta1", "v1alpha1"],
        false,
    ),
    built_in(Kind::Namespace, "namespaces", Extent::Metadata),
    built_in(Kind::Service, "services", Extent::Whole),
    built_in(Kind::EndpointSlice, "endpointslices", Extent::Whole),
    built_in(Kind::Secret, "secrets", Extent::Metadata),
    built_in(Kind::ConfigMap, "configmaps", Extent::Metadata),
];

/// What is watched of `kind`.
pub(super) fn find(kind: &Kind) -> Option<&'static Watched> {
    WATCHED.iter().find(|watched| watched.kind == *kind)
}

impl Watched {
    /// `gateway.networking.k8s.io/v1`, or `v1`.
    pub(super) fn api_version(&self, version: &str) -> String {
        match self.kind.group() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// Path of the collection; an empty namespace means all of them.
    pub(super) fn path(&self, version: &str, namespace: &str) -> String {
        let root = if self.kind.group().is_empty() { "/api" } else { "/apis" };
        let api = self.api_version(version);
        if namespace.is_empty() {
            format!("{root}/{api}/{}", self.plural)
        } else {
            format!("{root}/{api}/namespaces/{namespace}/{}", self.plural)
        }
    }

    /// Whether only its metadata is kept until something refers to it.
    pub(super) fn is_on_demand(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::ConfigMap)
    }
}
