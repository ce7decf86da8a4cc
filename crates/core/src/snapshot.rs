//! What one Gateway's data plane obeys, and the questions that it asks.
//!
//! Job: answer, for a port and a ClientHello, what to do. Input: [`HelloFacts`]. Output: an [`Action`].
//! Invariant: lookup is pure and total. Weighted choices come back as sets ([`Forward`]) and the data plane draws; nothing here holds
//! key bytes, so a snapshot may be printed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use sealway_api::{ObjectKey, TlsMode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::explain::{Step, Trace};
use crate::hostname::{HostnamePattern, NameIndex};

mod forward;
mod http;
mod tls;
mod tracing;

pub use forward::*;
pub use http::*;
pub use tls::*;
pub use tracing::*;

/// Everything that the data plane of one Gateway needs. Parts that a change leaves alone keep their `Arc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The Gateway.
    #[serde(serialize_with = "as_text")]
    pub gateway: ObjectKey,
    /// Addresses to bind; every port is bound on each.
    pub addresses: Vec<IpAddr>,
    /// Added to every listener's port to get the port that is bound.
    pub port_offset: u16,
    /// Sources that are trusted to send a PROXY protocol header, and must.
    pub trusted_proxies: Vec<IpNet>,
    /// The gateway's own certificate for backends that ask for one (`spec.tls.backend.clientCertificateRef`).
    pub client_certificate: Option<Arc<ServedCertificate>>,
    /// How backends are told who the client is that proved itself.
    pub client_certificate_headers: ClientCertificateHeaders,
    /// Seals what clients keep of their sessions, the same at every proxy of the Gateway; `None`: each proxy has a key of its own.
    #[serde(skip)]
    pub session_key: Option<SessionKey>,
    /// Spans of requests; `None`: there are none, and what requests say of traces passes through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Arc<Tracing>>,
    /// By transport and listener port (without offset).
    pub ports: BTreeMap<PortKey, Arc<PortPlan>>,
}

impl Snapshot {
    /// The plan of a listener port; asked before a byte is read, since some protocols speak server first.
    #[must_use]
    pub fn port(&self, transport: Transport, port: u16) -> Option<&Arc<PortPlan>> {
        self.ports.get(&PortKey { transport, port })
    }

    /// The certificates that it names, in any order and as often as it names them.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<ServedCertificate>> {
        let listeners = self.ports.values().flat_map(|plan| match &**plan {
            PortPlan::Tls(plan) => &plan.listeners[..],
            PortPlan::Http(_) | PortPlan::Tcp(_) | PortPlan::Udp(_) => &[],
        });
        let terminations = listeners.filter_map(|listener| listener.termination.as_ref());
        let slots = terminations.flat_map(|termination| &termination.certificates);
        let served = slots.filter_map(|slot| match slot {
            CertificateSlot::Served(certificate) => Some(certificate),
            CertificateSlot::Broken { .. } => None,
        });
        served.chain(&self.client_certificate)
    }

    /// The sockets to bind, each with its plan. Ports that overflow with the offset were refused by the compiler.
    pub fn sockets(&self) -> impl Iterator<Item = (SocketAddr, PortKey, &Arc<PortPlan>)> {
        self.ports.iter().flat_map(move |(key, plan)| {
            let port = key.port.saturating_add(self.port_offset);
            self.addresses
                .iter()
                .map(move |address| (SocketAddr::new(*address, port), *key, plan))
        })
    }
}

fn as_text<S: Serializer>(key: &ObjectKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

/// As GEP-2257 writes durations: `1h30m`.
fn duration_text(duration: &Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, milliseconds) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= milliseconds {
            text.push_str(&format!("{}{unit}", rest / milliseconds));
            rest %= milliseconds;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn as_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration_text(duration))
}

fn as_optional_duration<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_duration(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// Transport of a port. Prints as Kubernetes spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for Transport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// A listener port, as the Gateway names it: without the offset. Prints and serialises as `tcp/8443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// TCP or UDP.
    pub transport: Transport,
    /// 1 to 65535.
    pub port: u16,
}

impl std::fmt::Display for PortKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(formatter, "{transport}/{}", self.port)
    }
}

impl Serialize for PortKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer)?;
        let parsed = text.split_once('/').and_then(|(transport, port)| {
            let transport = match transport {
                "tcp" => Transport::Tcp,
                "udp" => Transport::Udp,
                _ => return None,
            };
            let port = port.parse().ok().filter(|port| *port > 0)?;
            Some(Self { transport, port })
        });
        parsed.ok_or_else(|| unexpected(&text, "a port such as `tcp/443`"))
    }
}

/// A text that is parsed further.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    Cow::deserialize(deserializer)
}

fn unexpected<E: serde::de::Error>(text: &str, expected: &str) -> E {
    E::invalid_value(serde::de::Unexpected::Str(text), &expected)
}

/// What is spoken on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PortPlan {
    /// HTTPS and TLS listeners together, chosen by SNI.
    Tls(TlsPlan),
    /// Plain HTTP listeners, chosen by each request's host.
    Http(HttpPlan),
    /// One TCP listener: every connection is relayed as it comes.
    Tcp(RelayPlan),
    /// One UDP listener: the datagrams of every client are relayed as they come.
    Udp(RelayPlan),
}

impl PortPlan {
    /// What to do with a connection. `hello` is `None` on ports that are decided before a byte is read.
    pub fn connection(&self, hello: Option<&HelloFacts<'_>>, trace: &mut impl Trace) -> Action<'_> {
        match self {
            Self::Tls(plan) => plan.connection(hello, trace),
            Self::Http(_) => Action::Requests { listener: None },
            Self::Tcp(plan) | Self::Udp(plan) => plan.connection(trace),
        }
    }

    /// What to do with a request. `listener` is the one whose TLS the request came through; `None` on plain HTTP ports, where each
    /// request chooses its own.
    pub fn request(&self, listener: Option<ListenerId>, head: &RequestHead<'_>, trace: &mut impl Trace) -> HttpAction<'_> {
        match self {
            Self::Tls(plan) => plan.request(listener, head, trace),
            Self::Http(plan) => plan.request(head, trace),
            // Nobody reads requests there.
            Self::Tcp(_) | Self::Udp(_) => HttpAction::Reject {
                reason: HttpRejectReason::NoListener,
                listener: None,
            },
        }
    }

    /// The position of a listener by its name; what a live connection asks after a change.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<ListenerId> {
        let position = match self {
            Self::Tls(plan) => plan.listeners.iter().position(|listener| listener.name == name),
            Self::Http(plan) => plan.listeners.iter().position(|listener| listener.name == name),
            Self::Tcp(plan) | Self::Udp(plan) => (plan.listener == name).then_some(0),
        };
        position.map(ListenerId)
    }
}

/// A listener of one [`PortPlan`]: its position there, and good for that plan only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId(pub usize);

/// What a ClientHello says, as far as routing needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloFacts<'a> {
    /// The server_name extension.
    pub server_name: ServerName<'a>,
    /// Protocols of the ALPN extension, as sent.
    pub alpn: &'a [Box<[u8]>],
    /// Who connects; behind a trusted proxy, who that says.
    pub source: SocketAddr,
}

/// The server_name extension (RFC 6066 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerName<'a> {
    /// Not sent.
    Absent,
    /// A DNS name: lower case, without trailing dot.
    Name(&'a str),
    /// An IP literal, which the RFC forbids: it is no name, and reaches only what claims every name.
    Address(&'a str),
    /// Not a name at all.
    Malformed,
}

/// Plan of a port with HTTPS and TLS listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsPlan {
    /// Every listener of the port that claims names, refused ones included, in the order of the Gateway.
    pub listeners: Vec<Arc<TlsListener>>,
    /// Positions in `listeners` by the hostname that each claims.
    #[serde(skip)]
    pub names: NameIndex<usize>,
}

/// Plan of a port with a TCP or a UDP listener, which has the port for itself: of two the compiler refuses one or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayPlan {
    /// Its name.
    pub listener: String,
    /// Where connections go, and what clients of a UDP port send: as the first of its routes says, for nothing in a connection could
    /// choose among them. `None` without a route: every connection is refused.
    pub forward: Option<Arc<Forward>>,
}

impl RelayPlan {
    /// Asked before a byte is read; for UDP by the first datagram of a client.
    pub fn connection(&self, trace: &mut impl Trace) -> Action<'_> {
        trace.step(|| Step::OnlyListener {
            listener: self.listener.clone(),
        });
        let reject = |reason| Action::Reject(Rejection { reason, listener: None });
        let Some(forward) = &self.forward else {
            trace.step(|| Step::NoRouteAttached {
                listener: self.listener.clone(),
            });
            return reject(RejectReason::NoRoute);
        };
        trace.step(|| Step::only_route(forward));
        if forward.total_weight() == 0 {
            trace.step(|| Step::NoWeight {
                route: forward.route.clone(),
            });
            return reject(RejectReason::NoWeight);
        }
        Action::Relay { plan: self, forward }
    }
}

/// One listener of a TLS port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsListener {
    /// Its name.
    pub name: String,
    /// Which names it claims.
    pub hostname: HostnamePattern,
    /// Where TLS ends.
    pub mode: TlsMode,
    /// Whether it serves them.
    pub fate: ListenerFate,
    /// Attached routes by their own hostnames, not by the intersection: that is what decides precedence (v1.7, extended feature
    /// GatewayRouteHostnameIntersectionPrecedence). The listener was chosen first, so a name found here is one that both cover.
    pub routes: NameIndex<Arc<Forward>>,
    /// How TLS is ended; `None` when it passes through, or the listener refuses.
    pub termination: Option<Arc<Termination>>,
    /// Of HTTPS listeners: where requests go. `None` for TLS listeners.
    pub requests: Option<Arc<HttpRoutes>>,
}

/// Whether a listener serves the names that it claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ListenerFate {
    /// It does.
    Serves,
    /// It does not, for this reason, but nobody else gets its names.
    Refuses(sealway_api::Reason),
}

/// What to do with a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Action<'a> {
    /// Connect to a backend, replay the hello, relay.
    Passthrough {
        /// The listener that was chosen.
        listener: &'a Arc<TlsListener>,
        /// Where to.
        forward: &'a Arc<Forward>,
    },
    /// End TLS, connect to a backend, relay what was inside.
    Terminate {
        /// The listener that was chosen.
        listener: &'a Arc<TlsListener>,
        /// How TLS is ended.
        termination: &'a Arc<Termination>,
        /// Where to.
        forward: &'a Arc<Forward>,
    },
    /// Connect to a backend and relay, without reading anything.
    Relay {
        /// The plan of the port.
        plan: &'a RelayPlan,
        /// Where to.
        forward: &'a Arc<Forward>,
    },
    /// Read requests, each of which asks [`PortPlan::request`]; on a TLS port after ending TLS as the listener says.
    Requests {
        /// The listener that was chosen, with its position; `None` on plain HTTP ports.
        listener: Option<(ListenerId, &'a Arc<TlsListener>, &'a Arc<Termination>)>,
    },
    /// Refuse.
    Reject(Rejection<'a>),
}

/// A refusal and how far the connection came.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection<'a> {
    /// Why.
    pub reason: RejectReason,
    /// The listener, if one was found by its name; on a TCP or UDP port there is but one.
    pub listener: Option<&'a Arc<TlsListener>>,
}

/// Why a connection is refused by lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The listener that claims the name does not serve (conflict, missing certificate, not supported).
    ListenerRefuses,
    /// The name in the hello is not a name.
    MalformedServerName,
    /// The hello has no name, and what there is needs one.
    MissingServerName,
    /// No listener of the port claims the name.
    NoListener,
    /// The listener has no route for the name.
    NoRoute,
    /// All backends of the route have weight 0, or it has none.
    NoWeight,
}

impl RejectReason {
    /// Stable label for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ListenerRefuses => "listener_refuses",
            Self::MalformedServerName => "malformed_server_name",
            Self::MissingServerName => "missing_server_name",
            Self::NoListener => "no_listener",
            Self::NoRoute => "no_route",
            Self::NoWeight => "no_weight",
        }
    }

    /// The fatal TLS alert that says it (RFC 8446 section 6): unrecognized_name, missing_extension, illegal_parameter, internal_error.
    #[must_use]
    pub fn alert(self) -> u8 {
        match self {
            Self::NoListener | Self::NoRoute => 112,
            Self::MissingServerName => 109,
            Self::MalformedServerName => 47,
            Self::ListenerRefuses | Self::NoWeight => 80,
        }
    }
}

impl TlsPlan {
    /// The listener first, by the most specific hostname on the port; then a route of that listener, by the route's own hostname.
    /// Never a fall-back to a less specific listener.
    pub fn connection(&self, hello: Option<&HelloFacts<'_>>, trace: &mut impl Trace) -> Action<'_> {
        let name = match hello.map_or(ServerName::Absent, |hello| hello.server_name) {
            ServerName::Malformed => {
                trace.step(|| Step::NameMalformed);
                return Action::Reject(Rejection {
                    reason: RejectReason::MalformedServerName,
                    listener: None,
                });
            }
            ServerName::Name(name) => Some(name),
            ServerName::Absent | ServerName::Address(_) => None,
        };
        // Without SNI the miss is the client's; an IP literal is a name that nobody claims.
        let absent = matches!(hello.map(|hello| hello.server_name), None | Some(ServerName::Absent));
        let miss = |reason| if absent { RejectReason::MissingServerName } else { reason };

        let found = self.names.find(name).copied();
        let Some((position, listener)) = found.and_then(|position| Some((position, self.listeners.get(position)?))) else {
            trace.step(|| Step::no_listener(self, name));
            return Action::Reject(Rejection {
                reason: miss(RejectReason::NoListener),
                listener: None,
            });
        };
        trace.step(|| Step::listener(self, listener, name));
        let reject = |reason| {
            Action::Reject(Rejection {
                reason,
                listener: Some(listener),
            })
        };
        if let ListenerFate::Refuses(reason) = &listener.fate {
            trace.step(|| Step::ListenerRefuses {
                listener: listener.name.clone(),
                reason: reason.clone(),
            });
            return reject(RejectReason::ListenerRefuses);
        }
        if let Some(termination) = &listener.termination {
            trace.step(|| Step::certificates(termination, name));
        }
        if let (Some(termination), Some(_)) = (&listener.termination, &listener.requests) {
            return Action::Requests {
                listener: Some((ListenerId(position), listener, termination)),
            };
        }
        let Some(forward) = listener.routes.find(name) else {
            trace.step(|| Step::no_route(listener, name));
            return reject(miss(RejectReason::NoRoute));
        };
        trace.step(|| Step::route(listener, forward, name));
        if forward.total_weight() == 0 {
            trace.step(|| Step::NoWeight {
                route: forward.route.clone(),
            });
            return reject(RejectReason::NoWeight);
        }
        match &listener.termination {
            Some(termination) => Action::Terminate {
                listener,
                termination,
                forward,
            },
            None => Action::Passthrough { listener, forward },
        }
    }
}
