//! Where connections go: backends with their weights, or why nothing may go there.
//!
//! Invariant: a weighted choice is a set; the data plane draws. What cannot be had keeps its share, and refuses what falls on it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealway_api::{ObjectKey, ObjectRef};
use serde::{Deserialize, Serialize};

use super::{BackendProtocol, UpstreamTls, as_duration, as_optional_duration, as_text, duration_text};

/// Where one rule of a route sends connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forward {
    /// The route.
    pub route: ObjectRef,
    /// How long one connection to an endpoint may take to come about.
    #[serde(serialize_with = "as_duration")]
    pub connect_timeout: Duration,
    /// How long a connection, or the flow of a UDP client, may be silent in both directions; `None`: for ever.
    #[serde(serialize_with = "as_optional_duration")]
    pub idle_timeout: Option<Duration>,
    /// In the order of the route; those of weight 0 included.
    pub backends: Vec<WeightedBackend>,
}

impl Forward {
    /// Sum of the weights; 0 when nothing may be sent anywhere.
    #[must_use]
    pub fn total_weight(&self) -> u64 {
        self.backends.iter().map(|backend| u64::from(backend.weight)).sum()
    }

    /// The backend on which `draw` (below [`Self::total_weight`]) falls. Backends that cannot be had keep their share: what falls
    /// on them is refused (apis/v1/tlsroute_types.go, BackendRefs).
    #[must_use]
    pub fn pick(&self, draw: u64) -> Option<&WeightedBackend> {
        let position = drawn(self.backends.iter().map(|backend| backend.weight), draw)?;
        self.backends.get(position)
    }
}

/// The position of the weight on which `draw` (below their sum) falls.
pub(super) fn drawn(mut weights: impl Iterator<Item = u32>, draw: u64) -> Option<usize> {
    let mut left = draw;
    weights.position(|weight| {
        let chosen = left < u64::from(weight);
        left = left.saturating_sub(u64::from(weight));
        chosen
    })
}

/// A backend and its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightedBackend {
    /// As the route has it: `namespace/name:port`.
    pub name: String,
    /// Relative to the other backends; 0 takes none.
    pub weight: u32,
    /// Where that is.
    pub target: Target,
}

/// What stands behind a backend reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// Endpoints, at least one.
    Backend(Arc<Backend>),
    /// Nothing that may be used: connections that fall on it are refused.
    Refuse(BackendFault),
}

/// What the name of an XBackend begins with where Services stand too.
pub(crate) const X_BACKEND: &str = "xbackend/";

/// The name by which an XBackend goes among Services: none of theirs has a slash.
pub(crate) fn x_backend_key(key: &ObjectKey) -> ObjectKey {
    ObjectKey::new(&key.namespace, format!("{X_BACKEND}{}", key.name))
}

/// A Service's port, or an XBackend, and its endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// The Service; for an XBackend its name is `xbackend/NAME`.
    #[serde(serialize_with = "as_text")]
    pub service: ObjectKey,
    /// Its port.
    pub port: u16,
    /// Where to connect; sorted, without doubles.
    pub endpoints: Vec<SocketAddr>,
    /// Header to send first. Nothing to UDP.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What it speaks, as far as the Service says (`appProtocol`).
    pub protocol: BackendProtocol,
    /// Whether the gateway speaks TLS to it. Nothing to connections that pass through.
    pub tls: UpstreamTls,
    /// How much of the requests may be sent again; `None`: as much as rules say. The same at every port of a Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<RetryBudget>,
}

/// How much of what goes to a Service may be sent again (GEP-3388): whichever of the two permits more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Of all requests, retries included: 0 to 100.
    pub percent: u8,
    /// For how long a request counts; at least [`Self::SHORTEST`].
    #[serde(serialize_with = "as_duration")]
    pub interval: Duration,
    /// So many retries are permitted in any case…
    pub least: u32,
    /// … within this time; above zero.
    #[serde(serialize_with = "as_duration")]
    pub least_interval: Duration,
}

impl RetryBudget {
    /// The shortest time of which there can be a share.
    pub const SHORTEST: Duration = Duration::from_secs(1);
}

impl fmt::Display for RetryBudget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (interval, least_interval) = (duration_text(&self.interval), duration_text(&self.least_interval));
        write!(
            formatter,
            "{} % of {interval} or {} in {least_interval}",
            self.percent, self.least
        )
    }
}

/// Version of a PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Why a backend reference leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendFault {
    /// Its kind cannot be a backend.
    InvalidKind,
    /// No such Service.
    NotFound,
    /// The Service has no such port.
    NoSuchPort,
    /// It is in another namespace, which has no ReferenceGrant for it.
    NotPermitted,
    /// No endpoint is ready.
    NoEndpoints,
    /// The DNS name behind it has no address yet.
    NameUnresolved,
    /// Its Service asks for a protocol that is not spoken.
    UnsupportedProtocol,
    /// Its XBackend asks for what is not served.
    NotServed,
    /// Its BackendTLSPolicy cannot be honoured, and nothing weaker may take its place.
    TlsPolicyInvalid,
}

impl BackendFault {
    /// Stable label for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::InvalidKind => "backend_invalid_kind",
            Self::NotFound => "backend_not_found",
            Self::NoSuchPort => "backend_no_such_port",
            Self::NotPermitted => "backend_not_permitted",
            Self::NoEndpoints => "backend_no_endpoints",
            Self::NameUnresolved => "backend_name_unresolved",
            Self::UnsupportedProtocol => "backend_unsupported_protocol",
            Self::NotServed => "backend_not_served",
            Self::TlsPolicyInvalid => "backend_tls_policy_invalid",
        }
    }

    /// The response to a request that falls on it: 503 where somebody may come yet, 500 where the configuration is wrong
    /// (apis/v1/httproute_types.go, BackendRefs).
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::NoEndpoints | Self::NameUnresolved => 503,
            Self::InvalidKind
            | Self::NotFound
            | Self::NoSuchPort
            | Self::NotPermitted
            | Self::UnsupportedProtocol
            | Self::NotServed
            | Self::TlsPolicyInvalid => 500,
        }
    }
}
