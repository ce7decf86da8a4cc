//! Traces: a request of a Gateway with an XTelemetryPolicy is a span (GEP-4768).
//!
//! In: a request's head, what the policy says, and at its end what became of it. Out: the `traceparent` that backends get, and the span, as
//! OTLP has it, in the queue of the Gateway's [`Tracer`]. Invariant: a client's trace headers go on only as what they were read as.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::header::USER_AGENT;
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use bytes::Bytes;
use prost::Message as _;
use sealway_core::{Share, SpanValue, StandardAttribute, Tracing};

use super::refusal::HttpReason;
use super::respond::Served;
use crate::draw;
use crate::outcome::Blame;
use context::Parent;
use messages::{AnyValue, KeyValue, Status, Value};

pub(crate) mod context;
mod export;
mod messages;
mod queue;
#[cfg(test)]
mod tests;

pub(crate) use export::{Destination, Tracer};

/// The span of one request.
pub(super) struct Span {
    tracer: Arc<Tracer>,
    tracing: Arc<Tracing>,
    own: Parent,
    parent: Option<[u8; 8]>,
    state: Option<String>,
    facts: Facts,
    /// Of the policy's attributes, by position: what headers have said so far.
    headers: Vec<Option<String>>,
}

/// What is known of a request when it begins.
struct Facts {
    method: Method,
    path: String,
    query: Option<String>,
    https: bool,
    version: Version,
    host: Option<String>,
    /// Our end; the port is the listener's own.
    local: SocketAddr,
    client: SocketAddr,
    user_agent: Option<String>,
    server_name: Option<Box<str>>,
    tls_version: Option<&'static str>,
}

/// What became of a request.
pub(super) struct End<'a> {
    /// 0: there was no response.
    pub(super) code: u16,
    pub(super) reason: Option<HttpReason>,
    /// Empty when none was found.
    pub(super) route: &'a str,
    pub(super) took: Duration,
}

/// Whose span a request is in from here on, and whether that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decision {
    own: Parent,
    /// Of the client.
    parent: Option<[u8; 8]>,
}

/// Enters a request into its trace, or begins one. The span is there only if the request is sampled.
#[cold]
pub(super) fn begin(
    tracer: &Arc<Tracer>,
    tracing: &Arc<Tracing>,
    served: &Served,
    parts: &mut Parts,
    host: Option<&str>,
) -> Option<Box<Span>> {
    let parent = context::parent(&parts.headers);
    let decision = decide(tracing, parent, draw::word, |share| {
        draw::below(u64::from(share.denominator)) < u64::from(share.numerator)
    });
    let span = decision
        .own
        .sampled
        .then(|| Span::new(tracer, tracing, served, parts, host, &decision));
    let state = write(&mut parts.headers, &decision);
    span.map(|span| Box::new(Span { state, ..span }))
}

/// `falls` says whether a draw falls into a share; `word` is a number drawn from all.
fn decide(
    tracing: &Tracing,
    parent: Option<Parent>,
    mut word: impl FnMut() -> u64,
    mut falls: impl FnMut(Share) -> bool,
) -> Decision {
    let sampled = match (parent, tracing.sampled_parents) {
        (Some(parent), Some(share)) => parent.sampled && falls(share),
        (None, _) | (Some(_), None) => falls(tracing.sampling),
    };
    let mut own = Parent {
        trace: parent.map_or([0; 16], |parent| parent.trace),
        span: [0; 8],
        sampled,
    };
    // Nothing but zeros is no name. A draw that gives nothing else is no draw.
    if parent.is_none() {
        let (high, low) = (word(), word().max(1));
        own.trace = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    }
    own.span = word().max(1).to_be_bytes();
    Decision {
        own,
        parent: parent.map(|parent| parent.span),
    }
}

/// What the request says of its trace from here on. What vendors say holds only beside a parent.
fn write(headers: &mut HeaderMap, decision: &Decision) -> Option<String> {
    let state = decision.parent.and_then(|_| context::tracestate(headers));
    headers.remove(context::TRACESTATE);
    if let Some(value) = state.as_ref().and_then(|state| HeaderValue::from_str(state).ok()) {
        headers.insert(context::TRACESTATE, value);
    }
    match context::traceparent(&decision.own) {
        Some(value) => drop(headers.insert(context::TRACEPARENT, value)),
        None => drop(headers.remove(context::TRACEPARENT)),
    }
    state
}

impl Span {
    /// Of a request as the client sent it.
    fn new(
        tracer: &Arc<Tracer>,
        tracing: &Arc<Tracing>,
        served: &Served,
        parts: &Parts,
        host: Option<&str>,
        decision: &Decision,
    ) -> Self {
        let connection = &served.connection;
        let handshake = connection.handshake.as_ref();
        let facts = Facts {
            method: parts.method.clone(),
            path: cut(parts.uri.path()),
            query: parts.uri.query().map(cut),
            https: served.https,
            version: parts.version,
            host: host.map(str::to_owned),
            local: SocketAddr::new(connection.local.ip(), connection.binding.scope.port()),
            client: connection.client,
            user_agent: values(&parts.headers, &USER_AGENT),
            server_name: handshake.and_then(|handshake| handshake.server_name.clone()),
            tls_version: handshake.map(|handshake| handshake.version),
        };
        let headers = tracing.attributes.iter().map(|attribute| match &attribute.value {
            SpanValue::Header(name) => values(&parts.headers, name),
            SpanValue::Literal(_) | SpanValue::Standard(_) => None,
        });
        Self {
            headers: headers.collect(),
            tracer: Arc::clone(tracer),
            tracing: Arc::clone(tracing),
            own: decision.own,
            parent: decision.parent,
            state: None,
            facts,
        }
    }

    /// What the request's headers lacked the response's may have.
    pub(super) fn hear(&mut self, response: &HeaderMap) {
        for (attribute, heard) in self.tracing.attributes.iter().zip(&mut self.headers) {
            if let (SpanValue::Header(name), None) = (&attribute.value, &heard) {
                *heard = values(response, name);
            }
        }
    }

    /// Hands the span over.
    pub(super) fn end(self: Box<Self>, end: &End<'_>) {
        let message = self.message(end, SystemTime::now());
        self.tracer.offer(Bytes::from(message.encode_to_vec()));
    }

    fn message(&self, end: &End<'_>, now: SystemTime) -> messages::Span {
        let nanos = |at: SystemTime| {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        };
        let begun = now.checked_sub(end.took).unwrap_or(now);
        let is_error = end.code >= 500 || end.reason.is_some_and(|reason| reason.blame() != Blame::Client);
        let remote = match self.parent {
            Some(_) => messages::IS_REMOTE,
            None => 0,
        };
        messages::Span {
            trace_id: self.own.trace.to_vec(),
            span_id: self.own.span.to_vec(),
            trace_state: self.state.clone().unwrap_or_default(),
            parent_span_id: self.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            name: match &self.tracing.span_name {
                Some(name) => name.clone(),
                None if is_known(&self.facts.method) => self.facts.method.to_string(),
                None => "HTTP".to_owned(),
            },
            kind: messages::SERVER,
            start_time_unix_nano: nanos(begun),
            end_time_unix_nano: nanos(now),
            attributes: self.attributes(end),
            status: is_error.then_some(Status { code: messages::ERROR }),
            flags: messages::SAMPLED | messages::KNOWS_REMOTE | remote,
        }
    }

    /// The policy's come first: of one name there is one.
    fn attributes(&self, end: &End<'_>) -> Vec<KeyValue> {
        let mut attributes: Vec<KeyValue> = Vec::new();
        let mut enter = |key: &str, value: Option<Value>| {
            if let Some(value) = value.filter(|_| !attributes.iter().any(|other| other.key == key)) {
                attributes.push(KeyValue {
                    key: key.to_owned(),
                    value: Some(AnyValue { value: Some(value) }),
                });
            }
        };
        for (attribute, heard) in self.tracing.attributes.iter().zip(&self.headers) {
            let value = match &attribute.value {
                SpanValue::Literal(value) => Some(Value::Text(value.clone())),
                SpanValue::Header(_) => heard.clone().map(Value::Text),
                SpanValue::Standard(standard) => self.facts.value(*standard, end),
            };
            enter(&attribute.name, value);
        }
        for standard in USUAL {
            enter(standard.as_str(), self.facts.value(standard, end));
        }
        enter("sealway.route", Some(end.route).filter(|route| !route.is_empty()).map(text));
        attributes
    }
}

impl Facts {
    fn value(&self, standard: StandardAttribute, end: &End<'_>) -> Option<Value> {
        let number = |port: u16| Value::Number(i64::from(port));
        let ip = |address: &SocketAddr| Value::Text(address.ip().to_canonical().to_string());
        let is_known = is_known(&self.method);
        match standard {
            StandardAttribute::ClientAddress => Some(ip(&self.client)),
            StandardAttribute::ClientPort => Some(number(self.client.port())),
            StandardAttribute::ErrorType => match end.reason {
                Some(reason) => Some(text(reason.label())),
                None => (end.code >= 500).then(|| Value::Text(end.code.to_string())),
            },
            StandardAttribute::RequestMethod if !is_known => Some(text("_OTHER")),
            StandardAttribute::RequestMethod => Some(text(self.method.as_str())),
            StandardAttribute::RequestMethodOriginal => (!is_known).then(|| text(self.method.as_str())),
            StandardAttribute::ResponseStatusCode => (end.code != 0).then(|| number(end.code)),
            StandardAttribute::LocalAddress => Some(ip(&self.local)),
            StandardAttribute::LocalPort => Some(number(self.local.port())),
            StandardAttribute::ProtocolName => Some(text("http")),
            StandardAttribute::ProtocolVersion => Some(text(match self.version {
                Version::HTTP_09 => "0.9",
                Version::HTTP_10 => "1.0",
                Version::HTTP_2 => "2",
                Version::HTTP_3 => "3",
                _ => "1.1",
            })),
            StandardAttribute::Transport => Some(text("tcp")),
            StandardAttribute::ServerAddress => self.host.as_deref().map(text),
            StandardAttribute::ServerPort => Some(number(self.local.port())),
            StandardAttribute::TlsServerName => self.server_name.as_deref().map(text),
            // rustls spells it `TLSv1_3`.
            StandardAttribute::TlsVersion => {
                let version = self.tls_version?.strip_prefix("TLSv")?;
                Some(Value::Text(version.replace('_', ".")))
            }
            StandardAttribute::UrlPath => Some(text(&self.path)),
            StandardAttribute::UrlQuery => self.query.as_deref().map(text),
            StandardAttribute::UrlScheme => Some(text(if self.https { "https" } else { "http" })),
            StandardAttribute::UserAgent => self.user_agent.as_deref().map(text),
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(cut(text))
}

/// The values of a header as one.
fn values(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut joined = values.next()?.into_owned();
    for value in values {
        joined.push_str(", ");
        joined.push_str(&value);
    }
    Some(cut(&joined))
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST_VALUE.min(text.len()));
    text.get(..end).unwrap_or_default().to_owned()
}

/// Whether it is one of those that the conventions list: others are anybody's words.
fn is_known(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "CONNECT" | "DELETE" | "GET" | "HEAD" | "OPTIONS" | "PATCH" | "POST" | "PUT" | "TRACE"
    )
}

/// What every span says, as far as it is known. Queries may hold secrets, so whoever wants them asks.
const USUAL: [StandardAttribute; 11] = [
    StandardAttribute::RequestMethod,
    StandardAttribute::RequestMethodOriginal,
    StandardAttribute::ResponseStatusCode,
    StandardAttribute::UrlPath,
    StandardAttribute::UrlScheme,
    StandardAttribute::ServerAddress,
    StandardAttribute::ServerPort,
    StandardAttribute::ClientAddress,
    StandardAttribute::ProtocolVersion,
    StandardAttribute::UserAgent,
    StandardAttribute::ErrorType,
];
/// Bytes of one value.
const LONGEST_VALUE: usize = 1024;
