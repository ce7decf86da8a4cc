//! The route kinds: one parent reference, one backend reference, one status for all of them.

use serde::{Deserialize, Serialize};

use crate::gateway::gateway_group;
use crate::{GrpcRouteSpec, HttpRouteSpec, ObjectMeta, RouteStatus};

/// A route's reference to the Gateway (or ListenerSet, or Service) that it wants to attach to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// API group; `gateway.networking.k8s.io` unless stated.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// Gateway unless stated.
    #[serde(default = "gateway_kind")]
    pub kind: String,
    /// Absent: the route's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    #[serde(default)]
    pub name: String,
    /// One listener by name; absent: every listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Listeners of one port; absent: every port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

fn gateway_kind() -> String {
    "Gateway".to_owned()
}

/// A reference to a backend, with its weight.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// API group; empty is core.
    #[serde(default)]
    pub group: String,
    /// Service unless stated.
    #[serde(default = "service_kind")]
    pub kind: String,
    /// Name.
    #[serde(default)]
    pub name: String,
    /// Absent: the route's own namespace.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The Service's port; required for Services.
    #[serde(default)]
    pub port: Option<u16>,
    /// Share of the traffic relative to the other backends; 0 takes none.
    #[serde(default = "default_weight")]
    pub weight: u32,
}

fn service_kind() -> String {
    "Service".to_owned()
}

fn default_weight() -> u32 {
    1
}

impl Default for BackendRef {
    fn default() -> Self {
        Self {
            group: String::new(),
            kind: service_kind(),
            name: String::new(),
            namespace: None,
            port: None,
            weight: default_weight(),
        }
    }
}

macro_rules! routes {
    ($($(#[$meta:meta])* $route:ident / $spec:ident,)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $route {
            /// Version that the manifest was written in, without its group: `v1`, `v1alpha2`, …
            #[serde(rename = "apiVersion", deserialize_with = "version_only")]
            pub version: String,
            /// Name, labels and so on.
            pub metadata: ObjectMeta,
            /// What is wanted.
            pub spec: $spec,
            /// What the API server remembers; the compiler does not read it.
            pub status: Option<RouteStatus>,
        }
    )+};
}

routes! {
    /// TLS by SNI (apis/v1/tlsroute_types.go); v1alpha2 and v1alpha3 are read into it too.
    TlsRoute / L4RouteSpec,
    /// Plain TCP.
    TcpRoute / L4RouteSpec,
    /// Plain UDP.
    UdpRoute / L4RouteSpec,
    /// HTTP (apis/v1/httproute_types.go).
    HttpRoute / HttpRouteSpec,
    /// gRPC (apis/v1/grpcroute_types.go).
    GrpcRoute / GrpcRouteSpec,
}

fn version_only<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.rsplit('/').next().unwrap_or_default().to_owned())
}

/// Spec of TLSRoute, TCPRoute and UDPRoute; only TLSRoute has hostnames.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4RouteSpec {
    /// Where the route wants to attach.
    pub parent_refs: Vec<ParentRef>,
    /// Whether it wants the default Gateways too (experimental, GEP-3793); absent or `None`: no.
    pub use_default_gateways: Option<String>,
    /// SNI names; empty (v1alpha2 only): every name of the listener.
    pub hostnames: Vec<String>,
    /// v1 has one, v1alpha2 up to sixteen.
    pub rules: Vec<L4RouteRule>,
}

/// One rule of an L4 route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4RouteRule {
    /// Optional name, unique in the route.
    pub name: Option<String>,
    /// Where connections go, by weight.
    pub backend_refs: Vec<BackendRef>,
}
