//! A way to a backend: its endpoints, each with its connections, for one TLS identity and protocol.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};

use http::{HeaderMap, Method, Request};
use http_body::Body;
use hyper::Response;
use hyper::body::Incoming;
use sealway_api::ObjectKey;
use sealway_core::{Backend, BackendProtocol, UpstreamTls};
use tokio::time::Instant;

use super::endpoint::{Endpoint, Sent};
use super::{Failure, Lease, Passage, Speak};
use crate::Shared;
use crate::http::body::RequestBody;
use crate::http::refusal::HttpReason;
use crate::outcome::ConnectFault;
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

impl Channel {
    /// Sends a request to one of the backend's endpoints: another one when there is no connection to the first, and again when a
    /// connection that was kept turns out to be dead.
    pub(in crate::http) async fn send(
        &self,
        shared: &Arc<Shared>,
        mut request: Request<RequestBody>,
        passage: &Passage<'_>,
        mut on_failure: impl FnMut(SocketAddr, ConnectFault),
    ) -> Result<(Response<Incoming>, Lease, SocketAddr), Failure> {
        let endpoints = &passage.backend.endpoints;
        let mut others = None;
        let mut next = match self.health.next(endpoints.len()) {
            Some(first) => endpoints.get(first).copied(),
            None => others.insert(self.health.order(endpoints, passage.now).into_iter()).next(),
        };
        let mut failure = Failure {
            reason: HttpReason::Backend(sealway_core::BackendFault::NoEndpoints),
            detail: String::new(),
            endpoint: None,
        };
        let give_up = passage.now + passage.connect_timeout.saturating_mul(MOST_TIMEOUTS);
        let mut again = MOST_STALE;
        while let Some(address) = next {
            let endpoint = self.endpoint(address);
            match endpoint.send(shared, self, request, passage, again > 0).await {
                Sent::Answered(response, lease) => {
                    self.judge(address, response.status(), passage.now);
                    return Ok((response, lease, address));
                }
                // A connection that was kept had died: it says nothing about the endpoint.
                Sent::Stale(back) if again > 0 => {
                    again -= 1;
                    request = back;
                    continue;
                }
                Sent::Stale(back) => {
                    failure.reason = HttpReason::BackendClosed;
                    failure.endpoint = Some(address);
                    request = back;
                }
                Sent::NotConnected(back, error) => {
                    let reason = error.reason();
                    if let HttpReason::Connect(fault) = reason {
                        on_failure(address, fault);
                    }
                    // What we lack is no fault of the endpoint.
                    if reason != HttpReason::Connect(ConnectFault::Exhausted) {
                        self.health.failed(address, Instant::now());
                    }
                    failure.reason = reason;
                    failure.detail = error.detail();
                    failure.endpoint = Some(address);
                    request = back;
                }
                Sent::Lost(reason, detail) => {
                    if matches!(reason, HttpReason::BackendClosed | HttpReason::BackendInvalid) {
                        self.health.erred(address, Instant::now());
                    }
                    return Err(Failure {
                        reason,
                        detail,
                        endpoint: Some(address),
                    });
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

/// Whether a request may be sent again although it may have reached the backend (RFC 9110 section 9.2.2).
pub(super) fn may_repeat(request: &Request<RequestBody>) -> bool {
    let idempotent = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    idempotent && request.body().is_end_stream() && !is_upgrade(request.headers())
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(http::header::UPGRADE)
}

/// All tries to connect together may take so many times what one may.
const MOST_TIMEOUTS: u32 = 3;
/// So many kept connections in a row may turn out to be dead before a new one is made.
const MOST_STALE: u32 = 2;
