//! Statuses as Kubernetes stores them, and all of them together as the compiler writes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::{Condition, GatewayAddress, Kind, ObjectKey, ObjectRef, ParentRef, RouteGroupKind};

/// Every status that one compilation gives, by object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statuses {
    /// By name.
    pub gateway_classes: BTreeMap<String, GatewayClassStatus>,
    /// Keys print as `namespace/name`.
    #[serde(serialize_with = "keys_as_text")]
    pub gateways: BTreeMap<ObjectKey, GatewayStatus>,
    /// Keys print as `namespace/name`.
    #[serde(serialize_with = "keys_as_text", skip_serializing_if = "BTreeMap::is_empty")]
    pub listener_sets: BTreeMap<ObjectKey, Arc<ListenerSetStatus>>,
    /// Every kind of route; keys print as `TLSRoute namespace/name`. Thousands, of which a change concerns few: so they are shared.
    pub routes: OrdMap<ObjectRef, Arc<RouteStatus>>,
    /// Keys print as `namespace/name`.
    #[serde(serialize_with = "keys_as_text")]
    pub backend_tls_policies: BTreeMap<ObjectKey, PolicyStatus>,
    /// Keys print as `namespace/name`.
    #[serde(serialize_with = "keys_as_text", skip_serializing_if = "BTreeMap::is_empty")]
    pub x_backends: BTreeMap<ObjectKey, PolicyStatus>,
    /// Keys print as `namespace/name`.
    #[serde(serialize_with = "keys_as_text", skip_serializing_if = "BTreeMap::is_empty")]
    pub x_backend_traffic_policies: BTreeMap<ObjectKey, PolicyStatus>,
    /// Keys print as `namespace/name`.
    #[serde(serialize_with = "keys_as_text", skip_serializing_if = "BTreeMap::is_empty")]
    pub x_telemetry_policies: BTreeMap<ObjectKey, PolicyStatus>,
}

impl Statuses {
    /// The field of the serialised form in which the status of such an object stands.
    #[must_use]
    pub fn field_of(kind: &Kind) -> Option<&'static str> {
        match kind {
            Kind::GatewayClass => Some("gatewayClasses"),
            Kind::Gateway => Some("gateways"),
            Kind::ListenerSet => Some("listenerSets"),
            Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute | Kind::TcpRoute | Kind::UdpRoute => Some("routes"),
            Kind::BackendTlsPolicy => Some("backendTlsPolicies"),
            Kind::XBackend => Some("xBackends"),
            Kind::XBackendTrafficPolicy => Some("xBackendTrafficPolicies"),
            Kind::XTelemetryPolicy => Some("xTelemetryPolicies"),
            _ => None,
        }
    }
}

fn keys_as_text<S: serde::Serializer, T: Serialize>(map: &BTreeMap<ObjectKey, T>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map.iter().map(|(key, status)| (key.to_string(), status)))
}

/// Status of a GatewayClass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassStatus {
    /// Accepted, SupportedVersion.
    pub conditions: Vec<Condition>,
    /// What the class can do, sorted by name (GEP-2162).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_features: Vec<SupportedFeature>,
}

/// A feature of the Gateway API by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SupportedFeature {
    /// As the specification spells it.
    pub name: String,
}

/// Status of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayStatus {
    /// What was bound.
    pub addresses: Vec<GatewayAddress>,
    /// Accepted, Programmed, ResolvedRefs, …
    pub conditions: Vec<Condition>,
    /// In the order of the spec.
    pub listeners: Vec<ListenerStatus>,
    /// How many ListenerSets are attached; `None` where there is no saying that any could be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached_listener_sets: Option<i32>,
}

/// Status of a ListenerSet (apis/v1/listenerset_types.go).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerSetStatus {
    /// Accepted, Programmed.
    pub conditions: Vec<Condition>,
    /// In the order of the spec; none while the Gateway does not take the set.
    pub listeners: Vec<ListenerStatus>,
    /// The Gateway that it adds to. No part of what is written.
    #[serde(skip)]
    pub gateway: ObjectKey,
}

/// Status of one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerStatus {
    /// The listener's name.
    pub name: String,
    /// Kinds of routes that it takes: what it allows and its protocol can have.
    pub supported_kinds: Vec<RouteGroupKind>,
    /// How many routes attached themselves, counted even when the listener is not programmed.
    pub attached_routes: i32,
    /// Accepted, Programmed, ResolvedRefs, Conflicted, OverlappingTLSConfig.
    pub conditions: Vec<Condition>,
}

/// Status of a route of any kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteStatus {
    /// One entry for each parent reference that is ours.
    pub parents: Vec<RouteParentStatus>,
}

/// How a route stands with one of its parents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// The reference as the route has it.
    pub parent_ref: ParentRef,
    /// Who says so.
    pub controller_name: String,
    /// Accepted, ResolvedRefs, PartiallyInvalid.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// Status of a policy: how it stands with each Gateway that uses it (GEP-713).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyStatus {
    /// One entry for each Gateway of ours, at most sixteen.
    pub ancestors: Vec<PolicyAncestorStatus>,
}

/// How a policy stands with one Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAncestorStatus {
    /// The Gateway.
    pub ancestor_ref: ParentRef,
    /// Who says so.
    pub controller_name: String,
    /// Accepted, ResolvedRefs.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
