//! What connections belong to: a port of a Gateway, a listener of it, a route of that.
//!
//! A scope outlives snapshots: it holds the counters, the number of connections, and the [`Life`] by which the connections of a removed
//! route learn that they must end. Connections that carry requests belong to no route: they have the life of their listener, and on a
//! plain HTTP port that of the port. Scopes are made at the first connection, so routes that nobody uses cost nothing.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use sealway_api::{ObjectKey, ObjectRef, TlsMode};
use sealway_core::{HttpPlan, ListenerFate, PortPlan, RelayPlan, TlsListener, Transport};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::metrics::handshakes::{self, HandshakeLabels};
use crate::metrics::{ByteLabels, ConnectionLabels, ListenerLabels, Metrics, PortReasonLabels, RouteReasonLabels};
use crate::outcome::{CloseReason, SNI_MISSES};
use crate::relay::{Meter, Traffic};
use crate::tls::{Handshake, HandshakeFault};

/// A port of a Gateway, on however many addresses.
pub(crate) struct PortScope {
    gateway: Arc<str>,
    port: u16,
    metrics: Metrics,
    /// Connections whose listener is not known yet.
    greeting: AtomicUsize,
    listeners: Mutex<HashMap<String, Arc<ListenerScope>>>,
    /// Of connections that carry requests in plain text: they have a listener for each request, so all of the port count together.
    plain: Mutex<Option<Arc<ListenerScope>>>,
    life: Arc<Life>,
}

/// A listener of a port.
pub(crate) struct ListenerScope {
    labels: ListenerLabels,
    metrics: Metrics,
    connections: AtomicUsize,
    active: Gauge,
    received: Counter,
    sent: Counter,
    routes: Mutex<HashMap<ObjectRef, Arc<RouteScope>>>,
    /// Of connections that carry requests.
    life: Arc<Life>,
}

/// A route of a listener.
pub(crate) struct RouteScope {
    /// Kind, namespace and name, as logs and metrics show it.
    name: String,
    metrics: Metrics,
    life: Arc<Life>,
}

/// Whether connections may go on; shared by all that a change ends together.
#[derive(Debug)]
pub(crate) struct Life(watch::Sender<Phase>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// They may.
    Serving,
    /// Until then.
    Draining(Instant),
    /// They may not.
    Closed,
}

/// A place among the connections whose listener is not known yet.
pub(crate) struct Greeting(Arc<PortScope>);

impl PortScope {
    pub(crate) fn new(gateway: &ObjectKey, port: u16, metrics: Metrics) -> Self {
        let scope = Self {
            gateway: gateway.to_string().into(),
            port,
            metrics,
            greeting: AtomicUsize::new(0),
            listeners: Mutex::default(),
            plain: Mutex::default(),
            life: Arc::new(Life::new()),
        };
        // At 0 from the start: rate() misses the first count of a series that appears with it.
        for reason in SNI_MISSES {
            drop(scope.metrics.sni_misses.get_or_create(&scope.reason_labels(reason.label())));
        }
        scope
    }

    pub(crate) fn gateway(&self) -> &str {
        &self.gateway
    }

    pub(crate) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A place for a new connection, unless `most` have one.
    pub(crate) fn greet(self: &Arc<Self>, most: usize) -> Option<Greeting> {
        if self.greeting.fetch_add(1, Ordering::Relaxed) >= most {
            self.greeting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Greeting(Arc::clone(self)))
    }

    pub(crate) fn listener(&self, listener: &TlsListener) -> Arc<ListenerScope> {
        self.named(&listener.name, mode_label(&listener.mode))
    }

    /// What connections to a TCP port, and flows of a UDP port, belong to.
    pub(crate) fn relayed(&self, plan: &RelayPlan, transport: Transport) -> Arc<ListenerScope> {
        let mode = match transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        self.named(&plan.listener, mode)
    }

    fn named(&self, name: &str, mode: &'static str) -> Arc<ListenerScope> {
        let mut listeners = lock(&self.listeners);
        if let Some(scope) = listeners.get(name) {
            return Arc::clone(scope);
        }
        let labels = ListenerLabels {
            gateway: Arc::clone(&self.gateway),
            listener: name.into(),
            mode,
        };
        let scope = Arc::new(ListenerScope::new(labels, self.metrics.clone()));
        listeners.insert(name.to_owned(), Arc::clone(&scope));
        scope
    }

    /// What connections to a plain HTTP port belong to: its listener, or without a name when it has several.
    pub(crate) fn plain(&self, plan: &HttpPlan) -> Arc<ListenerScope> {
        let name = match plan.listeners.as_slice() {
            [only] => only.name.as_str(),
            _ => "",
        };
        let mut plain = lock(&self.plain);
        match plain.as_ref().filter(|scope| scope.name() == name) {
            Some(scope) => Arc::clone(scope),
            None => {
                let labels = ListenerLabels {
                    gateway: Arc::clone(&self.gateway),
                    listener: name.into(),
                    mode: "http",
                };
                Arc::clone(plain.insert(Arc::new(ListenerScope::new(labels, self.metrics.clone()))))
            }
        }
    }

    /// Counts a connection that ended without a listener.
    pub(crate) fn count(&self, reason: CloseReason) {
        let (gateway, outcome) = (Arc::clone(&self.gateway), reason.label());
        let labels = ConnectionLabels {
            gateway,
            listener: Arc::from(""),
            mode: "",
            outcome,
        };
        self.metrics.connections.get_or_create(&labels).inc();
    }

    /// Counts a server name that led nowhere.
    pub(crate) fn count_miss(&self, reason: &'static str) {
        self.metrics.sni_misses.get_or_create(&self.reason_labels(reason)).inc();
    }

    /// Counts a connection that could not be accepted.
    pub(crate) fn count_accept_failure(&self, reason: &'static str) {
        self.metrics.accept_failures.get_or_create(&self.reason_labels(reason)).inc();
    }

    /// Counts a datagram that went nowhere.
    pub(crate) fn count_dropped(&self, reason: &'static str) {
        self.metrics
            .datagrams_dropped
            .get_or_create(&self.reason_labels(reason))
            .inc();
    }

    fn reason_labels(&self, reason: &'static str) -> PortReasonLabels {
        PortReasonLabels {
            gateway: Arc::clone(&self.gateway),
            port: self.port,
            reason,
        }
    }

    pub(crate) fn listeners(&self) -> Vec<Arc<ListenerScope>> {
        let plain = lock(&self.plain).clone();
        lock(&self.listeners).values().cloned().chain(plain).collect()
    }

    /// Begins to drain what `plan` has no longer, until `until`; what it has again goes on serving. Returns what drains from now on.
    pub(crate) fn follow(&self, plan: Option<&PortPlan>, until: Instant) -> Vec<Arc<Life>> {
        let mut drained = Vec::new();
        self.life
            .follow_used(matches!(plan, Some(PortPlan::Http(_))), until, &mut drained);
        let by_name: HashMap<&str, &Arc<TlsListener>> = match plan {
            Some(PortPlan::Tls(plan)) => plan.listeners.iter().map(|listener| (&*listener.name, listener)).collect(),
            _ => HashMap::new(),
        };
        lock(&self.listeners).retain(|name, scope| {
            let listener = match plan {
                Some(PortPlan::Tls(_)) => by_name.get(&**name).copied(),
                Some(PortPlan::Tcp(plan) | PortPlan::Udp(plan)) if plan.listener == *name => {
                    scope.follow(
                        &plan.forward.iter().map(|forward| &forward.route).collect(),
                        until,
                        &mut drained,
                    );
                    scope.life.follow_used(false, until, &mut drained);
                    return true;
                }
                Some(PortPlan::Http(_) | PortPlan::Tcp(_) | PortPlan::Udp(_)) | None => None,
            };
            let kept = match listener {
                // It refuses new connections; those that it has are not concerned.
                Some(listener) if listener.fate != ListenerFate::Serves => return true,
                Some(listener) => listener.routes.iter().map(|(_, forward)| &forward.route).collect(),
                None => HashSet::new(),
            };
            scope.follow(&kept, until, &mut drained);
            let carries_requests = listener.is_some_and(|listener| listener.requests.is_some());
            scope.life.follow_used(carries_requests, until, &mut drained);
            listener.is_some() || Arc::strong_count(scope) > 1 || !lock(&scope.routes).is_empty()
        });
        drained
    }

    /// Everything that has connections drains until `until`.
    pub(crate) fn drain(&self, until: Instant) {
        self.each_life(|life| {
            life.drain(until);
        });
    }

    /// Ends every connection.
    pub(crate) fn close(&self) {
        self.each_life(Life::close);
    }

    fn each_life(&self, mut act: impl FnMut(&Life)) {
        act(&self.life);
        for listener in lock(&self.listeners).values() {
            act(&listener.life);
            lock(&listener.routes).values().for_each(|route| act(&route.life));
        }
    }
}

impl ListenerScope {
    fn new(labels: ListenerLabels, metrics: Metrics) -> Self {
        let bytes = |direction| {
            let ListenerLabels { gateway, listener, mode } = labels.clone();
            metrics.bytes.get_or_create_owned(&ByteLabels {
                gateway,
                listener,
                mode,
                direction,
            })
        };
        let (received, sent) = (bytes("received"), bytes("sent"));
        let active = metrics.active.get_or_create_owned(&labels);
        Self {
            labels,
            metrics,
            connections: AtomicUsize::new(0),
            active,
            received,
            sent,
            routes: Mutex::default(),
            life: Arc::new(Life::new()),
        }
    }

    pub(crate) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    pub(crate) fn name(&self) -> &str {
        &self.labels.listener
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.active.inc();
    }

    pub(crate) fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        self.active.dec();
    }

    pub(crate) fn count(&self, reason: CloseReason) {
        let ListenerLabels { gateway, listener, mode } = self.labels.clone();
        self.metrics
            .connections
            .get_or_create(&ConnectionLabels {
                gateway,
                listener,
                mode,
                outcome: reason.label(),
            })
            .inc();
    }

    /// Meters of a connection that count into this listener's metrics.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            upward: Meter::new(self.received.clone()),
            downward: Meter::new(self.sent.clone()),
        }
    }

    pub(crate) fn route(&self, name: &ObjectRef) -> Arc<RouteScope> {
        let mut routes = lock(&self.routes);
        if let Some(scope) = routes.get(name) {
            return Arc::clone(scope);
        }
        let scope = RouteScope {
            name: name.to_string(),
            metrics: self.metrics.clone(),
            life: Arc::new(Life::new()),
        };
        let scope = Arc::new(scope);
        routes.insert(name.clone(), Arc::clone(&scope));
        scope
    }

    /// Counts a handshake with a client, and how long it took if it succeeded.
    pub(crate) fn count_handshake(&self, result: Result<(&Handshake, Duration), HandshakeFault>) {
        let labels = HandshakeLabels::with_client(&self.labels.gateway, &self.labels.listener);
        match result {
            Ok((handshake, took)) => {
                let (version, group) = (handshake.version, handshake.group);
                let labels = HandshakeLabels {
                    version,
                    group,
                    ..labels
                };
                self.metrics.handshakes.observe(&labels, took);
            }
            Err(fault) => self.metrics.handshakes.count(&HandshakeLabels {
                result: handshakes::FAILURE,
                reason: fault.label(),
                ..labels
            }),
        }
    }

    fn follow(&self, kept: &HashSet<&ObjectRef>, until: Instant, drained: &mut Vec<Arc<Life>>) {
        lock(&self.routes).retain(|name, scope| {
            // Only this map holds it: no connection left.
            if !kept.contains(name) && Arc::strong_count(scope) == 1 {
                return false;
            }
            scope.life.follow(kept.contains(name), until, drained);
            true
        });
    }
}

impl RouteScope {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Counts a failed attempt to connect to an endpoint, or to speak TLS with it.
    pub(crate) fn count_connect_failure(&self, reason: &'static str) {
        let route = self.name.clone();
        self.metrics
            .connect_failures
            .get_or_create(&RouteReasonLabels { route, reason })
            .inc();
    }
}

impl Life {
    fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    /// Ready when the connections must end.
    pub(crate) async fn closed(&self) {
        // An error means that the sender is gone, which `self` holds.
        let _ = self.0.subscribe().wait_for(|phase| *phase == Phase::Closed).await;
    }

    /// Goes on, or begins to drain; then it is one of the `drained`.
    fn follow(self: &Arc<Self>, is_kept: bool, until: Instant, drained: &mut Vec<Arc<Self>>) {
        if is_kept {
            self.resume();
        } else if self.drain(until) {
            drained.push(Arc::clone(self));
        }
    }

    /// The same, for a life that every connection holds: without any there is nothing to drain.
    fn follow_used(self: &Arc<Self>, is_kept: bool, until: Instant, drained: &mut Vec<Arc<Self>>) {
        if is_kept || Arc::strong_count(self) > 1 {
            self.follow(is_kept, until, drained);
        }
    }

    /// Whether it was serving until now.
    fn drain(&self, until: Instant) -> bool {
        self.0.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Draining(until);
            }
            serving
        })
    }

    /// It is back before its time was up.
    fn resume(&self) {
        self.0.send_if_modified(|phase| {
            let draining = matches!(phase, Phase::Draining(_));
            if draining || *phase == Phase::Closed {
                *phase = Phase::Serving;
            }
            draining
        });
    }

    fn close(&self) {
        self.0.send_replace(Phase::Closed);
    }

    /// The deadline of a drain has come: ends the connections unless they may go on again in the meantime.
    pub(crate) fn close_if_due(&self, until: Instant) {
        self.0.send_if_modified(|phase| {
            let due = *phase == Phase::Draining(until);
            if due {
                *phase = Phase::Closed;
            }
            due
        });
    }
}

impl Drop for Greeting {
    fn drop(&mut self) {
        self.0.greeting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What these locks guard is whole between any two statements, so a panic elsewhere does not make it wrong.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn mode_label(mode: &TlsMode) -> &'static str {
    match mode {
        TlsMode::Passthrough => "passthrough",
        TlsMode::Terminate => "terminate",
        TlsMode::Other(_) => "unknown",
    }
}
