//! A way to a backend: its endpoints, each with its connections, for one TLS identity and protocol.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, RwLock};

use hyper::Response;
use hyper::body::Incoming;
use sealway_api::ObjectKey;
use sealway_core::{Backend, BackendProtocol, UpstreamTls};
use tokio::time::Instant;

use super::endpoint::{Endpoint, Sent};
use super::loss::Loss;
use super::{ConnectFailure, Failure, Lease, Outgoing, Passage, Speak};
use crate::Shared;
use crate::http::refusal::HttpReason;
use crate::outcome::ConnectFault;
use crate::proxy::Used;
use crate::scope::lock;
use crate::tls::{ClientIdentity, Offer};
use crate::upstream::Pool;

/// Every way to a backend that is in use.
#[derive(Default)]
pub(crate) struct Channels(Mutex<HashMap<(ObjectKey, u16), Ways>>);

/// To one Service's port: seldom more than one.
type Ways = Vec<Arc<Channel>>;

/// One of them.
pub(in crate::http) struct Channel {
    pub(super) tls: UpstreamTls,
    pub(super) identity: Option<Arc<ClientIdentity>>,
    pub(super) offer: Offer,
    health: Arc<Pool>,
    endpoints: RwLock<Vec<Arc<Endpoint>>>,
}

impl Channels {
    /// The way to `backend`, as it must be spoken to.
    pub(in crate::http) fn channel(
        &self,
        shared: &Shared,
        backend: &Backend,
        identity: Option<&Arc<ClientIdentity>>,
        speak: Speak,
    ) -> Arc<Channel> {
        let offer = offer(backend, speak);
        let mut channels = lock(&self.0);
        let channels = channels.entry((backend.service.clone(), backend.port)).or_default();
        let known = channels
            .iter()
            .find(|channel| channel.offer == offer && channel.tls == backend.tls && channel.identity.as_ref() == identity);
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let channel = Arc::new(Channel {
            tls: backend.tls.clone(),
            identity: identity.cloned(),
            offer,
            health: shared.upstreams.pool(backend),
            endpoints: RwLock::default(),
        });
        channels.push(Arc::clone(&channel));
        channel
    }

    /// Endpoints that are no longer listed lose their connections as soon as these are idle.
    pub(crate) fn follow(&self, used: &Used<'_>) {
        for ((service, port), channels) in &*lock(&self.0) {
            let listed = used.backends.get(&(service, *port));
            channels.iter().for_each(|channel| channel.follow(listed));
        }
    }

    /// Closes what was idle for too long, and forgets what nobody refers to. Called now and then.
    pub(crate) fn sweep(&self, now: Instant, limits: &crate::http::HttpLimits) {
        lock(&self.0).retain(|_, channels| {
            channels.retain(|channel| {
                let used = Arc::strong_count(channel) > 1;
                channel.sweep(now, limits, used);
                used || !channel.is_empty()
            });
            !channels.is_empty()
        });
    }
}

/// What is offered in ALPN. Without TLS it is what is spoken: there is nothing to agree on.
fn offer(backend: &Backend, speak: Speak) -> Offer {
    let plain = backend.tls == UpstreamTls::Plain;
    match (speak, backend.protocol) {
        (Speak::Http1, _) | (_, BackendProtocol::WebSocket) => Offer::Http1,
        (Speak::Http2, _) => Offer::Http2,
        (Speak::Either, BackendProtocol::H2c) if plain => Offer::Http2,
        (Speak::Either, _) if plain => Offer::Http1,
        (Speak::Either, _) => Offer::Both,
    }
}

impl Failure {
    fn from_loss(loss: Loss, address: SocketAddr) -> Self {
        Self {
            reason: loss.reason,
            detail: loss.detail,
            endpoint: Some(address),
            unprocessed: loss.unprocessed,
        }
    }
}

impl Channel {
    pub(super) fn offers_tls(&self) -> bool {
        self.tls != UpstreamTls::Plain
    }

    /// Sends a request to one of the backend's endpoints: another one when there is no connection to the first, and again when a
    /// connection that was kept turns out to be dead.
    pub(in crate::http) async fn send(
        &self,
        shared: &Arc<Shared>,
        mut request: Outgoing,
        passage: &Passage<'_>,
        mut on_failure: impl FnMut(SocketAddr, &'static str),
    ) -> Result<(Response<Incoming>, Lease, SocketAddr), Failure> {
        let endpoints = &passage.backend.endpoints;
        let mut others = None;
        let mut next = match (passage.endpoint, self.health.next(endpoints.len())) {
            (Some(endpoint), _) => Some(*endpoint),
            (None, Some(first)) => endpoints.get(first).copied(),
            (None, None) => others.insert(self.health.order(endpoints, passage.now).into_iter()).next(),
        };
        let mut failure = Failure {
            reason: HttpReason::Backend(sealway_core::BackendFault::NoEndpoints),
            detail: String::new(),
            endpoint: None,
            unprocessed: true,
        };
        let give_up = passage.now + passage.connect_timeout.saturating_mul(MOST_TIMEOUTS);
        let mut again = MOST_AGAIN;
        while let Some(address) = next {
            let endpoint = self.endpoint(address);
            match endpoint.send(shared, self, request, passage, again > 0).await {
                Sent::Answered(response, lease) => {
                    self.judge(address, response.status(), passage.now);
                    return Ok((response, lease, address));
                }
                // It says nothing about the endpoint, and there is one such connection less.
                Sent::Unsent(back) => {
                    request = back;
                    continue;
                }
                Sent::Again(back, loss) if again > 0 => {
                    if loss.silent {
                        self.health.erred(address, Instant::now());
                    }
                    again -= 1;
                    request = back;
                    continue;
                }
                Sent::Again(back, loss) => {
                    self.health.erred(address, Instant::now());
                    failure = Failure::from_loss(loss, address);
                    request = back;
                }
                Sent::NotConnected(back, not_connected) => {
                    let error = not_connected.failure;
                    if not_connected.own {
                        self.not_connected(address, &error, &mut on_failure);
                    }
                    failure.reason = error.reason();
                    failure.detail = error.detail();
                    failure.endpoint = Some(address);
                    request = back;
                }
                Sent::Lost(loss) => {
                    if loss.is_of_endpoint() {
                        self.health.erred(address, Instant::now());
                    }
                    // TLS 1.3 lets a backend refuse our certificate when the connection is already in use.
                    if let HttpReason::BackendTls(fault) = loss.reason {
                        on_failure(address, fault.label());
                    }
                    return Err(Failure::from_loss(loss, address));
                }
            }
            if Instant::now() >= give_up {
                break;
            }
            let others = others.get_or_insert_with(|| self.health.order(endpoints, passage.now).into_iter());
            next = others.find(|other| *other != address);
        }
        Err(failure)
    }

    fn not_connected(&self, address: SocketAddr, error: &ConnectFailure, on_failure: &mut impl FnMut(SocketAddr, &'static str)) {
        if let Some(label) = error.label() {
            on_failure(address, label);
        }
        // What we lack is no fault of the endpoint.
        if error.reason() != HttpReason::Connect(ConnectFault::Exhausted) {
            self.health.failed(address, Instant::now());
        }
    }

    pub(in crate::http) fn succeeded(&self, address: SocketAddr) {
        self.health.succeeded(address);
    }

    /// A streak of errors of the server says that the endpoint is not well.
    fn judge(&self, address: SocketAddr, status: http::StatusCode, now: Instant) {
        match status.as_u16() {
            500 | 502..=504 => self.health.erred(address, now),
            _ => self.health.answered(address),
        }
    }

    fn endpoint(&self, address: SocketAddr) -> Arc<Endpoint> {
        let find = |endpoints: &[Arc<Endpoint>]| endpoints.iter().find(|endpoint| endpoint.address == address).cloned();
        let known = find(&self.endpoints.read().unwrap_or_else(std::sync::PoisonError::into_inner));
        known.unwrap_or_else(|| {
            let mut endpoints = self.endpoints.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            find(&endpoints).unwrap_or_else(|| {
                let endpoint = Arc::new(Endpoint::new(address));
                endpoints.push(Arc::clone(&endpoint));
                endpoint
            })
        })
    }

    fn follow(&self, listed: Option<&HashSet<SocketAddr>>) {
        for endpoint in &*self.endpoints.read().unwrap_or_else(std::sync::PoisonError::into_inner) {
            let is_listed = listed.is_some_and(|listed| listed.contains(&endpoint.address));
            endpoint.listed.store(is_listed, Ordering::Relaxed);
        }
    }

    fn is_empty(&self) -> bool {
        self.endpoints
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .is_empty()
    }

    fn sweep(&self, now: Instant, limits: &crate::http::HttpLimits, used: bool) {
        let mut endpoints = self.endpoints.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        endpoints.retain(|endpoint| endpoint.sweep(now, limits, used) || Arc::strong_count(endpoint) > 1);
    }
}

/// All tries to connect together may take so many times what one may.
const MOST_TIMEOUTS: u32 = 3;
/// How often a request may be sent again, apart from kept connections that were dead before anything of it went out.
const MOST_AGAIN: u32 = 2;
