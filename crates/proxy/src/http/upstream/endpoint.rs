//! The connections to one endpoint.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri, Version};
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use super::channel::{Channel, may_repeat};
use super::{ConnectFailure, Passage, connect};
use crate::Shared;
use crate::http::HttpLimits;
use crate::http::body::{BodyFault, RequestBody};
use crate::http::refusal::HttpReason;
use crate::scope::lock;
use crate::tls::Offer;

/// One address, and what is open to it.
pub(in crate::http) struct Endpoint {
    pub(super) address: SocketAddr,
    open: Mutex<Open>,
    /// Held by who connects while others wait to share what comes.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Open {
    /// Each for many requests at a time.
    shared: Vec<Multiplexed>,
    /// Each for one, and free; the last used is the last.
    idle: Vec<Idle>,
    /// The endpoint chose HTTP/1.1 when it could have had HTTP/2.
    prefers_http1: bool,
}

#[derive(Clone)]
pub(super) struct Multiplexed {
    pub(super) sender: http2::SendRequest<RequestBody>,
    pub(super) streams: Arc<AtomicUsize>,
    /// As many as the backend takes.
    pub(super) most: Arc<AtomicUsize>,
}

struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

/// A connection to send one request on.
pub(super) enum Connection {
    Http1 {
        sender: http1::SendRequest<RequestBody>,
        reused: bool,
    },
    Http2(Multiplexed),
}

/// What became of a request.
pub(super) enum Sent {
    Answered(Response<Incoming>, Lease),
    /// The connection had died, and the request may be sent on another.
    Stale(Request<RequestBody>),
    NotConnected(Request<RequestBody>, ConnectFailure),
    /// It may have reached the backend.
    Lost(HttpReason, String),
}

/// What a response holds of the connection that it comes through.
pub(in crate::http) enum Lease {
    /// To be given back when the response is whole.
    Http1 {
        endpoint: Arc<Endpoint>,
        sender: http1::SendRequest<RequestBody>,
        most: usize,
    },
    /// A connection that serves one request.
    Alone(#[expect(dead_code, reason = "kept open until the response is whole")] http1::SendRequest<RequestBody>),
    /// A stream.
    Http2(#[expect(dead_code, reason = "counts until the response is whole")] StreamGuard),
}

/// One stream of a shared connection.
pub(in crate::http) struct StreamGuard(Arc<AtomicUsize>);

impl StreamGuard {
    fn enter(streams: &Arc<AtomicUsize>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(streams))
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lease {
    /// The response is whole: the connection is free for the next request.
    pub(in crate::http) fn give_back(self) {
        if let Self::Http1 { endpoint, sender, most } = self
            && !sender.is_closed()
        {
            let mut open = lock(&endpoint.open);
            if open.idle.len() < most {
                open.idle.push(Idle {
                    sender,
                    since: Instant::now(),
                });
            }
        }
    }
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            open: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Sends a request; `reuse`: on a connection that was kept, if there is one.
    pub(super) async fn send(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        channel: &Channel,
        request: Request<RequestBody>,
        passage: &Passage<'_>,
        reuse: bool,
    ) -> Sent {
        let alone = passage.proxy_header.is_some();
        let kept = if reuse && !alone { self.take() } else { None };
        let connection = match kept {
            Some(connection) => connection,
            // In a box: it happens seldom, and what it holds is large.
            None => match Box::pin(self.open(shared, channel, passage, alone)).await {
                Ok(connection) => connection,
                Err(error) => return Sent::NotConnected(request, error),
            },
        };
        match connection {
            Connection::Http1 { sender, reused } => self.send_http1(shared, passage, sender, reused, alone, request).await,
            Connection::Http2(connection) => send_http2(shared, passage, channel, connection, request).await,
        }
    }

    async fn send_http1(
        self: &Arc<Self>,
        shared: &Shared,
        passage: &Passage<'_>,
        mut sender: http1::SendRequest<RequestBody>,
        reused: bool,
        alone: bool,
        mut request: Request<RequestBody>,
    ) -> Sent {
        *request.version_mut() = Version::HTTP_11;
        // hyper does not give back what it has begun to send.
        let again = if reused && may_repeat(&request) {
            Some(copy(&request))
        } else {
            None
        };
        match sender.try_send_request(request).await {
            Ok(response) => {
                let lease = if alone {
                    Lease::Alone(sender)
                } else {
                    let most = shared.config.http.idle_backend_connections;
                    let endpoint = Arc::clone(self);
                    Lease::Http1 { endpoint, sender, most }
                };
                Sent::Answered(response, lease)
            }
            Err(mut error) => match error.take_message() {
                Some(request) => Sent::Stale(request),
                None => match again {
                    Some(request) if is_gone(error.error()) => Sent::Stale(request),
                    _ => lost(shared, passage, error.error()),
                },
            },
        }
    }

    /// A connection that is open and has room.
    fn take(&self) -> Option<Connection> {
        let mut open = lock(&self.open);
        open.shared.retain(|connection| connection.sender.is_ready());
        let free = open.shared.iter().filter(|connection| connection.has_room());
        if let Some(connection) = free.min_by_key(|connection| connection.streams.load(Ordering::Relaxed)) {
            return Some(Connection::Http2(connection.clone()));
        }
        // One that is not ready is still being read to its end by its own task, or has died.
        open.idle.retain(|idle| !idle.sender.is_closed());
        let ready = open.idle.iter().rposition(|idle| idle.sender.is_ready())?;
        let sender = open.idle.remove(ready).sender;
        Some(Connection::Http1 { sender, reused: true })
    }

    /// A new connection; of those that may be shared one at a time is made, and whoever waited shares it.
    async fn open(
        &self,
        shared: &Arc<Shared>,
        channel: &Channel,
        passage: &Passage<'_>,
        alone: bool,
    ) -> Result<Connection, ConnectFailure> {
        let may_share = !alone && channel.offer != Offer::Http1 && !lock(&self.open).prefers_http1;
        let _turn = if may_share {
            let turn = self.connecting.lock().await;
            if let Some(connection) = self.take() {
                return Ok(connection);
            }
            Some(turn)
        } else {
            None
        };
        let connection = connect::connect(shared, channel, self.address, passage).await?;
        channel.succeeded(self.address);
        let mut open = lock(&self.open);
        match &connection {
            Connection::Http2(connection) if !alone => open.shared.push(connection.clone()),
            Connection::Http2(_) => {}
            Connection::Http1 { .. } => open.prefers_http1 = true,
        }
        Ok(connection)
    }

    /// Closes what was idle for too long; whether anything is left.
    pub(super) fn sweep(&self, now: Instant, limits: &HttpLimits, used: bool) -> bool {
        let mut open = lock(&self.open);
        let patience = if used { limits.backend_idle_timeout } else { Duration::ZERO };
        open.idle
            .retain(|idle| !idle.sender.is_closed() && now.saturating_duration_since(idle.since) < patience);
        open.shared
            .retain(|connection| connection.sender.is_ready() && (used || connection.streams.load(Ordering::Relaxed) > 0));
        !open.idle.is_empty() || !open.shared.is_empty()
    }
}

impl Multiplexed {
    /// Whether the backend takes one more stream.
    fn has_room(&self) -> bool {
        self.streams.load(Ordering::Relaxed) < self.most.load(Ordering::Relaxed).max(1)
    }
}

async fn send_http2(
    shared: &Shared,
    passage: &Passage<'_>,
    channel: &Channel,
    mut connection: Multiplexed,
    mut request: Request<RequestBody>,
) -> Sent {
    let stream = StreamGuard::enter(&connection.streams);
    let again = may_repeat(&request).then(|| copy(&request));
    if to_http2(&mut request, channel.offers_tls()).is_err() {
        return Sent::Lost(HttpReason::InvalidHost, "the host cannot be said in HTTP/2".to_owned());
    }
    match connection.sender.try_send_request(request).await {
        Ok(response) => Sent::Answered(response, Lease::Http2(stream)),
        Err(mut error) => match error.take_message() {
            Some(mut request) => {
                from_http2(&mut request);
                Sent::Stale(request)
            }
            None => match again {
                Some(request) if is_gone(error.error()) => Sent::Stale(request),
                _ => lost(shared, passage, error.error()),
            },
        },
    }
}

impl Channel {
    fn offers_tls(&self) -> bool {
        self.tls != sealway_core::UpstreamTls::Plain
    }
}

/// The host goes from the header to the target (RFC 9113 section 8.3.1).
fn to_http2(request: &mut Request<RequestBody>, tls: bool) -> Result<(), http::Error> {
    let mut target = Uri::builder().scheme(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    let host = request.headers_mut().remove(HOST);
    target = match &host {
        Some(host) => target.authority(Authority::try_from(host.as_bytes())?),
        // HTTP/1.0 without Host.
        None => target.authority("localhost"),
    };
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = target
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
        .build()?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}

fn from_http2(request: &mut Request<RequestBody>) {
    let host = request
        .uri()
        .authority()
        .and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
}

fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// The connection ended before anything of a response came, or the backend says that it did nothing (RFC 9113 section 8.7).
fn is_gone(error: &hyper::Error) -> bool {
    if let Some(error) = behind::<h2::Error>(error) {
        return error.is_io() || error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM);
    }
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || behind::<std::io::Error>(error).is_some()
}

fn lost(shared: &Shared, passage: &Passage<'_>, error: &hyper::Error) -> Sent {
    let detail = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let reason = match BodyFault::behind(error) {
        Some(BodyFault::ClientSilent) => HttpReason::BodyTimeout,
        Some(BodyFault::Deadline(reason)) => reason,
        Some(BodyFault::CopyBehind) => HttpReason::ClientGone,
        // What the client sends could not be read.
        None if error.is_user() => HttpReason::ClientGone,
        None if error.is_parse() => HttpReason::BackendInvalid,
        None => {
            let late = behind(error).and_then(|error| shared.client_configs.refused_late(passage.backend, error));
            match late {
                Some(failure) => return Sent::Lost(HttpReason::BackendTls(failure.fault), failure.detail),
                None => HttpReason::BackendClosed,
            }
        }
    };
    Sent::Lost(reason, detail)
}

/// The first error of this kind behind one of hyper's.
fn behind<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        source = error.source();
    }
    None
}
