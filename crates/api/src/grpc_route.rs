//! GRPCRoute's own fields (apis/v1/grpcroute_types.go of v1.7).

use serde::Deserialize;

use crate::open_enum::open_enum;
use crate::{HttpBackendRef, HttpRouteFilter, HttpValueMatch, ParentRef, SessionPersistence};

/// Spec of a GRPCRoute.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteSpec {
    /// Where the route wants to attach.
    pub parent_refs: Vec<ParentRef>,
    /// Whether it wants the default Gateways too (experimental, GEP-3793); absent or `None`: no.
    pub use_default_gateways: Option<String>,
    /// Host names; empty: every name of the listener.
    pub hostnames: Vec<String>,
    /// In order of writing.
    pub rules: Vec<GrpcRouteRule>,
}

/// One rule of a GRPCRoute.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteRule {
    /// Optional name, unique in the route.
    pub name: Option<String>,
    /// One of them must hold; none means every call.
    pub matches: Vec<GrpcRouteMatch>,
    /// What is done to each call.
    pub filters: Vec<HttpRouteFilter>,
    /// Where calls go, by weight.
    pub backend_refs: Vec<HttpBackendRef>,
    /// As of HTTPRoutes.
    pub session_persistence: Option<SessionPersistence>,
}

/// Conditions that must hold together.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteMatch {
    /// Absent: every method of every service.
    pub method: Option<GrpcMethodMatch>,
    /// All of them; of equivalent names only the first counts.
    pub headers: Vec<HttpValueMatch>,
}

/// A condition on the method; at least one of `service` and `method` is given.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcMethodMatch {
    /// Exact unless stated.
    #[serde(rename = "type")]
    pub kind: Option<GrpcMethodMatchType>,
    /// Full name of the service, as in `com.example.Ledger`.
    pub service: Option<String>,
    /// Name of the method.
    pub method: Option<String>,
}

open_enum! {
    /// How a method is compared.
    GrpcMethodMatchType {
        /// Equal, case included.
        Exact = "Exact",
        /// Regular expressions.
        RegularExpression = "RegularExpression",
    }
}
