//! Traces of requests: which are sampled, what a span says, and who collects spans (GEP-4768).

use std::fmt;

use http::{HeaderName, HeaderValue};
use sealway_api::ObjectKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::tls::names;
use super::{WeightedBackend, as_text, text, unexpected};

/// How the requests of a Gateway are traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// The XTelemetryPolicy.
    #[serde(serialize_with = "as_text")]
    pub policy: ObjectKey,
    /// Who receives spans, as OTLP over gRPC; its weight means nothing.
    pub collector: WeightedBackend,
    /// Of every export, each name once. Tokens may stand there, so only the names are shown.
    #[serde(serialize_with = "names_alone", skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Of traces that begin at the gateway.
    pub sampling: Share,
    /// Of requests whose trace is sampled already; those whose trace is not never are. `None`: where a trace began makes no difference.
    pub sampled_parents: Option<Share>,
    /// The resource's `service.name`.
    pub service_name: String,
    /// `None`: the method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_name: Option<String>,
    /// What a span says beyond what each does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<SpanAttribute>,
}

/// A part of all requests.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// So many…
    pub numerator: u32,
    /// … of so many; never 0.
    pub denominator: u32,
}

impl Share {
    /// Every one.
    pub const ALL: Self = Self {
        numerator: 1,
        denominator: 1,
    };
}

impl fmt::Debug for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.numerator, self.denominator)
    }
}

/// An attribute that a policy adds to spans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpanAttribute {
    /// As it stands in the span.
    pub name: String,
    /// Its value; where there is none, the span lacks the attribute.
    pub value: SpanValue,
}

/// Where the value of an attribute is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SpanValue {
    /// The same always.
    Literal(String),
    /// A header of the request, or else of the response.
    Header(#[serde(with = "name_as_text")] HeaderName),
    /// What OpenTelemetry calls so.
    Standard(StandardAttribute),
}

names! {
    /// Attributes of OpenTelemetry's semantic conventions (HTTP, 1.x) that are known of a request.
    StandardAttribute {
        ClientAddress = "client.address",
        ClientPort = "client.port",
        ErrorType = "error.type",
        RequestMethod = "http.request.method",
        RequestMethodOriginal = "http.request.method_original",
        ResponseStatusCode = "http.response.status_code",
        LocalAddress = "network.local.address",
        LocalPort = "network.local.port",
        ProtocolName = "network.protocol.name",
        ProtocolVersion = "network.protocol.version",
        Transport = "network.transport",
        ServerAddress = "server.address",
        ServerPort = "server.port",
        TlsServerName = "tls.client.server_name",
        TlsVersion = "tls.protocol.version",
        UrlPath = "url.path",
        UrlQuery = "url.query",
        UrlScheme = "url.scheme",
        UserAgent = "user_agent.original",
    }
}

fn names_alone<S: Serializer>(headers: &[(HeaderName, HeaderValue)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(headers.iter().map(|(name, _)| name.as_str()))
}

mod name_as_text {
    use super::{Deserializer, HeaderName, Serializer, text, unexpected};

    pub(super) fn serialize<S: Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderName, D::Error> {
        let name = text(deserializer)?;
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| unexpected(&name, "the name of a header"))
    }
}
