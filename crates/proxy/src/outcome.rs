//! How a connection ended, and the guard that tells it once: to the metrics and, in one line, to the access log.
//!
//! In: what becomes known on the way (client, name, listener, route, endpoint). Out: counters, and an event with target
//! [`ACCESS_TARGET`]. Invariant: exactly one record for each connection; a guard that is dropped without a reason records `panic`
//! or `abandoned`.

mod reason;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealway_api::ObjectRef;
use tokio::time::Instant;

pub(crate) use reason::SNI_MISSES;
pub use reason::{Blame, CloseReason, ConnectFault};

use crate::relay::Traffic;
use crate::scope::{ListenerScope, PortScope, RouteScope};
use crate::tls::{Alpn, Handshake, HandshakeFault};

/// Target of the access log's events.
pub const ACCESS_TARGET: &str = "sealway::access";

/// The record of one connection; records when dropped.
pub(crate) struct Outcome {
    port: Arc<PortScope>,
    listener: Option<Arc<ListenerScope>>,
    route: Option<Arc<RouteScope>>,
    /// Who connects; behind a trusted proxy, who that says.
    pub(crate) client: SocketAddr,
    pub(crate) server_name: Option<Box<str>>,
    pub(crate) backend: Option<Box<str>>,
    pub(crate) endpoint: Option<SocketAddr>,
    /// Of TLS that the gateway ended.
    pub(crate) handshake: Option<Box<Handshake>>,
    /// Counts into the listener's metrics, once that is known.
    pub(crate) traffic: Traffic,
    /// A handshake of our own: it is nobody's connection.
    is_probe: bool,
    is_hushed: bool,
    begun: Instant,
    reason: Option<CloseReason>,
    /// The system's error text, or what else the reason alone does not say.
    detail: Option<Box<str>>,
}

impl Outcome {
    pub(crate) fn new(port: Arc<PortScope>, client: SocketAddr) -> Self {
        Self {
            port,
            listener: None,
            route: None,
            client,
            server_name: None,
            backend: None,
            endpoint: None,
            handshake: None,
            traffic: Traffic::default(),
            is_probe: false,
            is_hushed: false,
            begun: Instant::now(),
            reason: None,
            detail: None,
        }
    }

    /// The record of a handshake of our own, which nobody hears of.
    pub(crate) fn probe(port: Arc<PortScope>, client: SocketAddr) -> Self {
        let mut outcome = Self::new(port, client);
        outcome.is_probe = true;
        outcome
    }

    /// See [`Self::probe`].
    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// It is counted, and not logged.
    pub(crate) fn hush(&mut self) {
        self.is_hushed = true;
    }

    pub(crate) fn listener_name(&self) -> Option<&str> {
        self.listener.as_ref().map(|listener| listener.name())
    }

    /// Counts a datagram of this flow that went nowhere.
    pub(crate) fn count_dropped(&self, reason: &'static str) {
        self.port.count_dropped(reason);
    }

    /// The listener is known: the connection counts as one of its active ones from now on.
    pub(crate) fn enter_listener(&mut self, listener: Arc<ListenerScope>) {
        listener.enter();
        self.traffic = listener.traffic();
        self.listener = Some(listener);
    }

    /// The route is known. `None` when the listener is not.
    pub(crate) fn enter_route(&mut self, route: &ObjectRef) -> Option<(Arc<ListenerScope>, Arc<RouteScope>)> {
        let listener = self.listener.as_ref()?;
        let route = listener.route(route);
        self.route = Some(Arc::clone(&route));
        Some((Arc::clone(listener), route))
    }

    /// The handshake with the client is over, one way or the other.
    pub(crate) fn count_handshake(&mut self, result: Result<(&Handshake, Duration), HandshakeFault>) {
        if let Some(listener) = self.listener.as_ref().filter(|_| !self.is_probe) {
            listener.count_handshake(result);
        }
        if let Ok((handshake, _)) = result {
            self.handshake = Some(Box::new(handshake.clone()));
        }
    }

    /// Ends the connection. The first reason stands.
    pub(crate) fn end(&mut self, reason: CloseReason, detail: Option<String>) {
        if self.reason.is_none() {
            self.reason = Some(reason);
            self.detail = detail.map(String::into_boxed_str);
        }
    }

    fn log(&self, reason: CloseReason) {
        let reason_text = reason.explain().map(|sentence| match &self.detail {
            Some(detail) => Cow::Owned(format!("{sentence}: {detail}")),
            None => sentence,
        });
        let gateway = self.port.gateway();
        let listener = self.listener.as_ref().map(|listener| listener.name());
        let route = self.route.as_ref().map(|route| route.name());
        let endpoint = self.endpoint.map(tracing::field::display);
        let handshake = self.handshake.as_deref();
        let client = handshake.and_then(|handshake| handshake.client.as_ref());
        let client_fault = handshake.and_then(|handshake| handshake.client_fault);
        let milliseconds = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: ACCESS_TARGET,
                    gateway,
                    listener,
                    port = self.port.port(),
                    client = %self.client,
                    tls_version = handshake.map(|handshake| handshake.version),
                    tls_group = handshake.map(|handshake| handshake.group),
                    tls_resumed = handshake.map(|handshake| handshake.resumed),
                    alpn = handshake.and_then(|handshake| handshake.alpn).map(Alpn::as_str),
                    client_subject = client.map(|client| client.subject()),
                    client_fault = client_fault.map(HandshakeFault::label),
                    sni = self.server_name.as_deref(),
                    route,
                    backend = self.backend.as_deref(),
                    endpoint,
                    bytes_received = self.traffic.upward.delivered(),
                    bytes_sent = self.traffic.downward.delivered(),
                    duration_ms = milliseconds,
                    outcome = reason.label(),
                    side = reason.blame().map(Blame::label),
                    reason = reason_text.as_deref(),
                    "connection"
                )
            };
        }
        // What the operator can mend stands out; what clients do wrong does not.
        match reason.blame() {
            Some(Blame::Backend | Blame::Gateway) => line!(warn),
            Some(Blame::Client) | None => line!(info),
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if self.is_probe {
            if let Some(listener) = &self.listener {
                listener.leave();
            }
            return;
        }
        let unsaid = if std::thread::panicking() {
            CloseReason::Panic
        } else {
            CloseReason::Abandoned
        };
        let reason = self.reason.unwrap_or(unsaid);
        match &self.listener {
            Some(listener) => {
                listener.leave();
                listener.count(reason);
            }
            None => self.port.count(reason),
        }
        if reason.is_sni_miss() {
            self.port.count_miss(reason.label());
        }
        if !self.is_hushed {
            self.log(reason);
        }
    }
}

#[cfg(test)]
mod tests;
