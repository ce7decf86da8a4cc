//! The connections to one endpoint.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Version};
use http_body::Body;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http2;
use tokio::time::{Instant, timeout_at};

use super::channel::Channel;
use super::loss::{Loss, may_repeat};
use super::multiplexed::{Multiplexed, StreamGuard, from_http2, to_http2};
use super::{ConnectFailure, Outgoing, Passage, connect};
use crate::Shared;
use crate::http::HttpLimits;
use crate::http::body::{FaultCell, Refusing, RequestBody, hold};
use crate::http::refusal::HttpReason;
use crate::scope::lock;
use crate::tls::Offer;

/// One address, and what is open to it.
pub(in crate::http) struct Endpoint {
    pub(super) address: SocketAddr,
    /// The configuration in force has it.
    pub(super) listed: AtomicBool,
    open: Mutex<Open>,
    /// Held by who connects while others wait to share what comes: the connection, or the failure, which has its time.
    connecting: tokio::sync::Mutex<Option<(Instant, ConnectFailure)>>,
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

struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

/// A connection that has come about.
pub(super) enum Opened {
    Http1(http1::SendRequest<RequestBody>),
    Http2(Multiplexed),
}

/// A connection to send one request on.
struct Connection {
    way: Way,
    /// It was there before: the backend may have closed it by now.
    kept: bool,
}

enum Way {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>, StreamGuard),
}

/// What became of a request.
pub(super) enum Sent {
    Answered(Response<Incoming>, Lease),
    /// Nothing of it went out: a connection that was kept had died.
    Unsent(Outgoing),
    /// The connection had died, or the backend has done nothing with the request: it may be sent again.
    Again(Outgoing, Loss),
    NotConnected(Outgoing, NotConnected),
    /// It may have reached the backend, or is no longer there.
    Lost(Loss),
}

/// There is no connection.
pub(super) struct NotConnected {
    pub(super) failure: ConnectFailure,
    /// Of an attempt of this request's own; one that others waited for counts once.
    pub(super) own: bool,
}

/// What a response holds of the connection that it comes through.
pub(in crate::http) enum Lease {
    /// To be given back when the response is whole.
    Http1 {
        endpoint: Arc<Endpoint>,
        sender: http1::SendRequest<RequestBody>,
        most: usize,
    },
    /// A connection that serves one request, or whose request was left unfinished.
    #[expect(dead_code, reason = "kept open until the response is whole")]
    Alone(http1::SendRequest<RequestBody>, Option<Refusing>),
    /// A stream.
    Http2(#[expect(dead_code, reason = "counts until the response is whole")] StreamGuard),
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

/// A request that is to be sent, and what is known of it when it is gone.
struct Sending<'a> {
    shared: &'a Arc<Shared>,
    channel: &'a Channel,
    passage: &'a Passage<'a>,
    kept: bool,
    /// To be sent if the request is lost. hyper takes the header and does not give back what it has begun to send, so this is a copy
    /// of it that is mostly made in vain; but only by it the death of a kept connection costs no request.
    again: Option<Outgoing>,
    fault: Option<FaultCell>,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            listed: true.into(),
            open: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Sends a request; `reuse`: on a connection that was kept, if there is one.
    pub(super) async fn send(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        channel: &Channel,
        request: Outgoing,
        passage: &Passage<'_>,
        reuse: bool,
    ) -> Sent {
        let alone = passage.proxy_header.is_some();
        let kept = if reuse && !alone { self.take() } else { None };
        let Connection { way, kept } = match kept {
            Some(connection) => connection,
            // In a box: it happens seldom, and what it holds is large.
            None => match Box::pin(self.open(shared, channel, passage, alone)).await {
                Ok(connection) => connection,
                Err(not_connected) => return Sent::NotConnected(request, not_connected),
            },
        };
        let sending = Sending {
            shared,
            channel,
            passage,
            kept,
            again: None,
            fault: request.body().fault(),
        };
        match way {
            Way::Http1(sender) => {
                let endpoint = (!alone).then_some(self);
                sending.http1(sender, endpoint, request).await
            }
            Way::Http2(sender, stream) => sending.http2(sender, stream, request).await,
        }
    }

    /// A connection that is open and has room.
    fn take(&self) -> Option<Connection> {
        let mut open = lock(&self.open);
        open.shared.retain(Multiplexed::is_open);
        let free = open.shared.iter_mut().filter(|connection| connection.has_room());
        if let Some(connection) = free.min_by_key(|connection| connection.streams()) {
            let (sender, stream) = connection.enter(Instant::now());
            let way = Way::Http2(sender, stream);
            return Some(Connection { way, kept: true });
        }
        // One that is not ready is still being read to its end by its own task, or has died.
        open.idle.retain(|idle| !idle.sender.is_closed());
        let ready = open.idle.iter().rposition(|idle| idle.sender.is_ready())?;
        let way = Way::Http1(open.idle.remove(ready).sender);
        Some(Connection { way, kept: true })
    }

    /// A new connection; of those that may be shared one at a time is made, and whoever waited shares what came of it.
    async fn open(
        &self,
        shared: &Arc<Shared>,
        channel: &Channel,
        passage: &Passage<'_>,
        alone: bool,
    ) -> Result<Connection, NotConnected> {
        let begun = Instant::now();
        let deadline = begun + passage.connect_timeout;
        let others = |failure| NotConnected { failure, own: false };
        let mut turn = None;
        if !alone && channel.offer != Offer::Http1 && !self.prefers_http1() {
            let waited = timeout_at(deadline, self.connecting.lock()).await;
            let last = waited.map_err(|_| others(ConnectFailure::timed_out()))?;
            if let Some(connection) = self.take() {
                return Ok(connection);
            }
            if let Some((at, failure)) = &*last
                && *at >= begun
            {
                return Err(others(failure.clone()));
            }
            // Those that cannot be shared are made side by side.
            turn = Some(last).filter(|_| !self.prefers_http1());
        }
        let opened = connect::connect(shared, channel, self.address, passage, deadline).await;
        let opened = opened.map_err(|failure| {
            if let Some(turn) = &mut turn {
                **turn = Some((Instant::now(), failure.clone()));
            }
            NotConnected { failure, own: true }
        })?;
        channel.succeeded(self.address);
        let mut open = lock(&self.open);
        let way = match opened {
            Opened::Http1(sender) => {
                open.prefers_http1 = true;
                Way::Http1(sender)
            }
            Opened::Http2(mut connection) => {
                let (sender, stream) = connection.enter(Instant::now());
                if !alone {
                    open.shared.push(connection);
                }
                Way::Http2(sender, stream)
            }
        };
        Ok(Connection { way, kept: false })
    }

    fn prefers_http1(&self) -> bool {
        lock(&self.open).prefers_http1
    }

    /// Closes what was idle for too long; whether anything is left.
    pub(super) fn sweep(&self, now: Instant, limits: &HttpLimits, used: bool) -> bool {
        let mut open = lock(&self.open);
        let patience = if used && self.listed.load(Ordering::Relaxed) {
            limits.backend_idle_timeout
        } else {
            Duration::ZERO
        };
        open.idle
            .retain(|idle| !idle.sender.is_closed() && now.saturating_duration_since(idle.since) < patience);
        open.shared
            .retain_mut(|connection| connection.is_open() && !connection.is_idle(now, patience));
        !open.idle.is_empty() || !open.shared.is_empty()
    }
}

impl Sending<'_> {
    /// `endpoint` gets the connection back.
    async fn http1(
        mut self,
        mut sender: http1::SendRequest<RequestBody>,
        endpoint: Option<&Arc<Endpoint>>,
        mut request: Outgoing,
    ) -> Sent {
        *request.version_mut() = Version::HTTP_11;
        frame(&mut request);
        let gate = hold(&mut request);
        if self.kept && may_repeat(&request) {
            self.again = copy(&request);
        }
        match sender.try_send_request(*request).await {
            Ok(response) => {
                let refusing = gate.and_then(|gate| gate.answered(response.status()));
                let lease = match endpoint.filter(|_| refusing.is_none()) {
                    Some(endpoint) => Lease::Http1 {
                        endpoint: Arc::clone(endpoint),
                        sender,
                        most: self.shared.config.http.idle_backend_connections,
                    },
                    None => Lease::Alone(sender, refusing),
                };
                Sent::Answered(response, lease)
            }
            Err(mut error) => self.failed(error.take_message(), error.error()),
        }
    }

    async fn http2(mut self, mut sender: http2::SendRequest<RequestBody>, stream: StreamGuard, mut request: Outgoing) -> Sent {
        self.again = copy(&request);
        if to_http2(&mut request, self.channel.offers_tls()).is_err() {
            return Sent::Lost(Loss {
                reason: HttpReason::InvalidHost,
                detail: "the host cannot be said in HTTP/2".to_owned(),
                // And never can, so another try would be in vain.
                unprocessed: false,
                gone: false,
                silent: false,
            });
        }
        match sender.try_send_request(*request).await {
            Ok(response) => Sent::Answered(response, Lease::Http2(stream)),
            Err(mut error) => {
                let mut back = error.take_message();
                back.iter_mut().for_each(from_http2);
                self.failed(back, error.error())
            }
        }
    }

    /// `back`: nothing of it went out.
    #[cold]
    fn failed(self, back: Option<Request<RequestBody>>, error: &hyper::Error) -> Sent {
        let mut loss = Loss::new(
            self.shared,
            self.passage.backend,
            self.channel.identity.as_deref(),
            error,
            self.fault.as_ref(),
        );
        if let Some(request) = back {
            loss.unprocessed = true;
            return match self.kept {
                true => Sent::Unsent(Box::new(request)),
                false => Sent::Again(Box::new(request), loss),
            };
        }
        match self.again {
            Some(request) if loss.unprocessed || self.kept && loss.gone && may_repeat(&request) => Sent::Again(request, loss),
            _ => Sent::Lost(loss),
        }
    }
}

/// A body whose length nobody has said is chunked. hyper does that for most methods; of others it would drop the body without a word.
fn frame(request: &mut Request<RequestBody>) {
    let body = request.body();
    if !body.is_end_stream() && body.size_hint().exact().is_none() && !request.headers().contains_key(CONTENT_LENGTH) {
        request
            .headers_mut()
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// The same request again, if its body is there as a whole.
fn copy(request: &Request<RequestBody>) -> Option<Outgoing> {
    let mut copy = Request::new(request.body().again()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(Box::new(copy))
}
