//! HTTP as the data plane routes it.
//!
//! Job: which rule a request falls to, and everything about that rule, worked out beforehand. Input: [`RequestHead`]. Output: an
//! [`HttpAction`]. Invariant: lookup is pure and total, allocates nothing, and hands out `Arc`s; weighted choices come back as sets.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use sealway_api::ObjectRef;
use serde::{Deserialize, Serialize, Serializer};

use super::forward::drawn;
use super::{ListenerFate, ListenerId, PortPlan, TlsPlan, WeightedBackend, as_duration, as_optional_duration};
use crate::explain::Trace;
use crate::hostname::{HostnamePattern, NameIndex};

mod filters;
mod host;
mod lookup;
mod matching;
mod session;

pub use filters::{AuthProtocol, Cors, CorsOrigin, ExternalAuth, Filters, HeaderEdit, Mirror, PathModifier, Redirect, Rewrite};
pub use host::HttpHost;
pub use matching::{HeaderMatcher, PathMatcher, Pattern, QueryMatcher, ValueMatcher};
pub use session::{Session, SessionCarrier, SessionKey};
pub(crate) use session::{is_cookie_name, is_cookie_path};

/// Plan of a port with plain HTTP listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpPlan {
    /// Every listener of the port that claims names, refused ones included, in the order of the Gateway.
    pub listeners: Vec<Arc<HttpListener>>,
    /// Positions in `listeners` by the hostname that each claims.
    #[serde(skip)]
    pub names: NameIndex<usize>,
}

/// One plain HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpListener {
    /// Its name.
    pub name: String,
    /// Which names it claims.
    pub hostname: HostnamePattern,
    /// Whether it serves them.
    pub fate: ListenerFate,
    /// Where requests go.
    pub requests: Arc<HttpRoutes>,
}

/// The routes of one HTTP or HTTPS listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoutes {
    /// What every request goes through before a route is looked for, in this order: rules without backends that ask an authorization server
    /// (listener filters, experimental).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Arc<HttpRule>>,
    /// By the routes' own hostnames. A request is tried on the most specific name that covers it first, then on the next.
    pub hosts: NameIndex<Arc<HttpHost>>,
}

/// Conditions that hold together, and the rule that they lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpMatch {
    /// Of the path.
    pub path: PathMatcher,
    /// `None`: every method.
    #[serde(serialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// All of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatcher>,
    /// All of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<QueryMatcher>,
    /// Shared by all matches of the rule.
    pub rule: Arc<HttpRule>,
}

/// One rule of an HTTPRoute or GRPCRoute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRule {
    /// The route.
    pub route: ObjectRef,
    /// Its position in the route.
    pub position: usize,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// HTTPRoute or GRPCRoute: gRPC goes to backends over HTTP/2, and hears of refusals in gRPC's words.
    pub kind: RuleKind,
    /// What is done to every request.
    pub filters: Filters,
    /// In the order of the route; those of weight 0 included.
    pub backends: Vec<HttpBackend>,
    /// Set when nothing of the rule may be served: a filter that cannot be honoured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<RuleFault>,
    /// From the request to the end of the response; `None`: no limit.
    #[serde(serialize_with = "as_optional_duration", skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<Duration>,
    /// For one try.
    #[serde(serialize_with = "as_optional_duration", skip_serializing_if = "Option::is_none")]
    pub backend_timeout: Option<Duration>,
    /// How long one connection to an endpoint may take to come about.
    #[serde(serialize_with = "as_duration")]
    pub connect_timeout: Duration,
    /// When a request is tried again; `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl HttpRule {
    /// Sum of the weights; 0 when nothing may be sent anywhere.
    #[must_use]
    pub fn total_weight(&self) -> u64 {
        self.backends.iter().map(|backend| u64::from(backend.backend.weight)).sum()
    }

    /// The position of the backend on which `draw` (below [`Self::total_weight`]) falls. Backends that cannot be had keep their share.
    #[must_use]
    pub fn pick(&self, draw: u64) -> Option<usize> {
        drawn(self.backends.iter().map(|backend| backend.backend.weight), draw)
    }
}

/// Which kind of route a rule belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RuleKind {
    /// HTTPRoute.
    Http,
    /// GRPCRoute.
    Grpc,
}

/// Why a rule answers 500 to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleFault {
    /// A filter refers to something that is not there, or is of a kind that is not known (apis/v1/httproute_types.go, ExtensionRef).
    Filter,
    /// The rule itself is invalid, and dropped: requests that meet its conditions are refused, and do not fall to a rule that may ask
    /// less of them.
    Invalid,
}

/// A backend with filters of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpBackend {
    /// Name, weight and target.
    #[serde(flatten)]
    pub backend: WeightedBackend,
    /// What is done to requests that go there, after the rule's own.
    #[serde(skip_serializing_if = "Filters::is_empty")]
    pub filters: Filters,
    /// How clients keep their endpoint of it; `None`: they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Arc<Session>>,
    /// Set when one of its filters cannot be honoured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<RuleFault>,
}

/// What a backend speaks (KEP-3726).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackendProtocol {
    /// Nothing said: HTTP/1.1 in clear text, what ALPN gives over TLS; HTTP/2 for gRPC.
    #[default]
    Unstated,
    /// `kubernetes.io/h2c`: HTTP/2 with prior knowledge.
    H2c,
    /// `kubernetes.io/ws`: HTTP/1.1, upgraded.
    WebSocket,
    /// A protocol that is not spoken: requests are refused ([`super::BackendFault::UnsupportedProtocol`]). Nothing to connections that
    /// are relayed.
    Unsupported,
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Responses that are retried, sorted. Failures to connect are always retried.
    pub codes: Vec<u16>,
    /// Retries beside the first try; at least 1.
    pub attempts: u32,
    /// Base of the pause between tries.
    #[serde(serialize_with = "as_duration")]
    pub backoff: Duration,
}

/// What a request says, as far as routing needs it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// As sent.
    pub method: &'a Method,
    /// Host of the authority: lower case, without port and trailing dot; `None` when the request has none (HTTP/1.0).
    pub host: Option<&'a str>,
    /// As sent, without query; begins with `/` (`*` and `CONNECT` forms have none: empty).
    pub path: &'a str,
    /// Without `?`.
    pub query: Option<&'a str>,
    /// As sent.
    pub headers: &'a HeaderMap,
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpAction<'a> {
    /// Serve it as the rule says.
    Serve {
        /// The listener that was chosen; on TLS ports the one whose TLS it came through.
        listener: ListenerId,
        /// What held; `path` says which prefix a rewrite replaces.
        matched: &'a HttpMatch,
    },
    /// Refuse it.
    Reject {
        /// The listener, if one was found.
        listener: Option<ListenerId>,
        /// Why.
        reason: HttpRejectReason,
    },
}

/// Why a request is refused by lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpRejectReason {
    /// No listener of the port claims the host.
    NoListener,
    /// Another listener of the port claims the host than the one that TLS was ended for.
    Misdirected,
    /// The listener that claims the host does not serve.
    ListenerRefuses,
    /// The listener has no rule for the request.
    NoRoute,
}

impl HttpRejectReason {
    /// Stable label for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NoListener => "no_listener",
            Self::Misdirected => "misdirected",
            Self::ListenerRefuses => "listener_refuses",
            Self::NoRoute => "no_route",
        }
    }

    /// The response (RFC 9110 section 15.5.20 for 421).
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Misdirected => 421,
            Self::NoListener | Self::ListenerRefuses | Self::NoRoute => 404,
        }
    }
}

impl PortPlan {
    /// What a request goes through before [`PortPlan::request`] is asked about it, in this order. It may change headers, but neither the
    /// host nor which listener serves it (apis/v1/gateway_types.go, ListenerFilters).
    #[must_use]
    pub fn before(&self, listener: Option<ListenerId>, host: Option<&str>) -> &[Arc<HttpRule>] {
        match self {
            Self::Tls(plan) => lookup::before_encrypted(plan, listener, host),
            Self::Http(plan) => lookup::before_plain(plan, host),
            Self::Tcp(_) | Self::Udp(_) => &[],
        }
    }
}

impl HttpPlan {
    /// The listener by the request's host, then its rule.
    pub fn request(&self, head: &RequestHead<'_>, trace: &mut impl Trace) -> HttpAction<'_> {
        lookup::plain(self, head, trace)
    }
}

impl TlsPlan {
    /// The rule of the listener that the connection came through; 421 when the host belongs to another listener of the port, passthrough
    /// ones included.
    pub fn request(&self, listener: Option<ListenerId>, head: &RequestHead<'_>, trace: &mut impl Trace) -> HttpAction<'_> {
        lookup::encrypted(self, listener, head, trace)
    }
}

fn optional_text<S: Serializer>(method: &Option<Method>, serializer: S) -> Result<S::Ok, S::Error> {
    match method {
        Some(method) => serializer.serialize_str(method.as_str()),
        None => serializer.serialize_none(),
    }
}
