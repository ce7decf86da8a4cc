//! HTTP inside a client's connection: HTTP/1.1, HTTP/2 by ALPN or by its preface, until the connection ends.
//!
//! In: a stream, and what is known of the connection. Out: why it ended. `respond` is one request from top to bottom; `upstream` keeps the
//! connections to backends. Invariant: every wait for a client has a deadline, kept by one timer for each connection; a connection whose
//! listener is gone, or asks for other client certificates, ends after the requests that it has.

mod activity;
pub(crate) mod auth;
mod authorize;
mod body;
mod budget;
pub(crate) mod client_certificate;
pub(crate) mod cors;
mod forward;
pub(crate) mod forwarded;
pub(crate) mod hygiene;
mod limits;
mod lists;
mod lookup;
mod mirror;
mod record;
pub(crate) mod redirect;
mod refusal;
mod respond;
pub(crate) mod rewrite;
mod rule;
mod session;
pub(crate) mod trace;
mod unary;
pub(crate) mod upgrade;
mod upstream;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use arc_swap::ArcSwap;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sealway_core::{ListenerId, Snapshot};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

pub use limits::HttpLimits;
pub use refusal::HttpReason;
pub(crate) use rule::{HttpShared, RuleKey};

use crate::Shared;
use crate::listeners::{Binding, BindingChange};
use crate::outcome::{CloseReason, Outcome};
use crate::relay::End;
use crate::scope::{ListenerScope, lock};
use crate::seldom::Seldom;
use crate::tls::{Alpn, Handshake};
use activity::{Activity, Observed, Overdue};
use client_certificate::ClientCertificateValues;
use forwarded::ConnectionFacts;
use respond::Served;

/// One client connection that carries requests.
pub(crate) struct HttpConnection {
    /// Taken anew for each request.
    pub(crate) current: Arc<ArcSwap<Binding>>,
    /// As it was when the connection was accepted.
    pub(crate) binding: Arc<Binding>,
    /// Of `binding.plan`; `None` on plain HTTP ports.
    pub(crate) listener: Option<(ListenerId, Arc<ListenerScope>)>,
    /// `None`: plain text.
    pub(crate) handshake: Option<Handshake>,
    /// Who connects; behind a trusted proxy, who that says.
    pub(crate) client: SocketAddr,
    /// Our end.
    pub(crate) local: SocketAddr,
}

/// Serves requests until the connection ends; what ended it.
pub(crate) async fn serve<S: End + Send + 'static>(
    mut stream: S,
    connection: HttpConnection,
    shared: &Arc<Shared>,
    outcome: &mut Outcome,
) -> CloseReason {
    let (protocol, before) = match &connection.handshake {
        Some(handshake) => (handshake.alpn.unwrap_or(Alpn::Http1), Vec::new()),
        None => {
            let opening = timeout(shared.config.http.idle_timeout, opening(&mut stream));
            let opening = tokio::select! {
                opening = opening => opening.unwrap_or(Err(CloseReason::IdleTimeout)),
                () = connection.must_end() => Err(CloseReason::Drained),
            };
            match opening {
                Ok(opening) => opening,
                Err(reason) => return reason,
            }
        }
    };
    let served = Arc::new(Served::new(connection, Arc::clone(shared), protocol));
    let stream = TokioIo::new(Observed::new(stream, before, Arc::clone(&served.activity)));
    let service = {
        let served = Arc::clone(&served);
        // In a box for each request: hyper keeps room for the future in every connection, idle ones included.
        service_fn(move |request| Box::pin(respond::respond(Arc::clone(&served), request)))
    };
    let limits = &shared.config.http;
    let end = match protocol {
        Alpn::Http1 => {
            let mut builder = http1::Builder::new();
            builder
                // Our own timer watches headers: this one would be made anew for each request.
                .header_read_timeout(None)
                .max_buf_size(limits::HTTP1_BUFFER)
                // Not `pipeline_flush`: it keeps back an answer while unread bytes wait, after the last request too.
                .max_header_size(limits.header_bytes as usize);
            drive(
                Http1(builder.serve_connection(stream, service).with_upgrades()),
                &served,
                outcome,
            )
            .await
        }
        Alpn::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .initial_stream_window_size(limits::STREAM_WINDOW)
                .initial_connection_window_size(limits::CONNECTION_WINDOW)
                .max_send_buf_size(limits::STREAM_SEND_BUFFER)
                .max_concurrent_streams(limits.concurrent_streams)
                .max_header_list_size(limits.header_bytes)
                .max_pending_accept_reset_streams(limits::PENDING_RESETS)
                .max_local_error_reset_streams(limits::LOCAL_RESETS)
                .keep_alive_interval(limits::PING_INTERVAL)
                .keep_alive_timeout(limits::PING_TIMEOUT)
                .enable_connect_protocol();
            drive(Http2(builder.serve_connection(stream, service)), &served, outcome).await
        }
    };
    let relay = lock(&served.upgrade).take();
    match (end, relay) {
        (CloseReason::Closed, Some(relay)) => carry(relay, &served, outcome).await,
        (end, _) => end,
    }
}

impl HttpConnection {
    /// Whether what the client writes of who came before it is believed.
    fn is_trusted(&self, snapshot: &Snapshot) -> bool {
        let client = self.client.ip().to_canonical();
        snapshot.trusted_proxies.iter().any(|trusted| trusted.contains(&client))
    }

    /// Ready when the connection must not take new requests.
    async fn must_end(&self) {
        let mut binding = Arc::clone(&self.binding);
        loop {
            if binding.changed().await == BindingChange::Closed {
                return;
            }
            let now = self.current.load_full();
            if !self.is_served_by(&now) {
                return;
            }
            binding = now;
        }
    }
}

impl Served {
    fn new(connection: HttpConnection, shared: Arc<Shared>, protocol: Alpn) -> Self {
        let https = connection.handshake.is_some();
        let snapshot = &connection.binding.snapshot;
        let (client, trusted) = (connection.client.ip(), connection.is_trusted(snapshot));
        let chain = connection.handshake.as_ref().and_then(|handshake| handshake.client.as_ref());
        let chain = chain.map(|client| client.chain.as_slice());
        Self {
            facts: ConnectionFacts::new(client, https, connection.binding.scope.port(), trusted),
            certificate: ClientCertificateValues::new(chain, snapshot.client_certificate_headers),
            activity: Arc::new(Activity::new(Instant::now(), protocol == Alpn::Http2)),
            https,
            known: Mutex::default(),
            upgrade: Mutex::default(),
            connection,
            shared,
        }
    }

    /// Adds what has passed to the connection's meters.
    fn meter(&self, outcome: &Outcome, metered: &mut (u64, u64)) {
        let received = self.activity.received.load(Ordering::Relaxed);
        let sent = self.activity.sent.load(Ordering::Relaxed);
        if received != metered.0 {
            outcome.traffic.upward.add(received - metered.0);
        }
        if sent != metered.1 {
            outcome.traffic.downward.add(sent - metered.1);
        }
        *metered = (received, sent);
    }
}

/// Which HTTP a client begins with in plain text, and what was read to know it (RFC 9113 section 3.3).
pub(crate) async fn opening<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(Alpn, Vec<u8>), CloseReason> {
    let mut read = Vec::with_capacity(FIRST_READ);
    loop {
        match stream.read_buf(&mut read).await {
            Ok(0) => return Err(CloseReason::Closed),
            Ok(_) => {}
            Err(_) => return Err(CloseReason::ClientFailed),
        }
        // A handshake record of TLS; no method begins like that.
        if read.first() == Some(&TLS_HANDSHAKE) {
            return Err(CloseReason::TlsOnHttp);
        }
        let compared = read.len().min(PREFACE.len());
        if read.get(..compared) != PREFACE.get(..compared) {
            return Ok((Alpn::Http1, read));
        }
        if compared == PREFACE.len() {
            return Ok((Alpn::Http2, read));
        }
    }
}

/// A connection of hyper's.
trait Drive {
    fn poll(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<hyper::Result<()>>;
    /// No new requests; those that there are go on.
    fn end(self: Pin<&mut Self>);
}

struct Http1<C>(C);
struct Http2<C>(C);

macro_rules! drive {
    ($kind:ident, $connection:ty) => {
        impl<S, V, F> Drive for $kind<$connection>
        where
            S: End + Send + 'static,
            V: hyper::service::Service<
                    hyper::Request<hyper::body::Incoming>,
                    Response = hyper::Response<body::ResponseBody>,
                    Error = std::convert::Infallible,
                    Future = F,
                > + Unpin,
            F: Future<Output = Result<hyper::Response<body::ResponseBody>, std::convert::Infallible>> + Send + 'static,
        {
            fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<hyper::Result<()>> {
                Pin::new(&mut self.0).poll(context)
            }

            fn end(mut self: Pin<&mut Self>) {
                Pin::new(&mut self.0).graceful_shutdown();
            }
        }
    };
}
drive!(Http1, http1::UpgradeableConnection<TokioIo<Observed<S>>, V>);
drive!(Http2, http2::Connection<TokioIo<Observed<S>>, V, TokioExecutor>);

/// Lets a connection run, watches its deadlines, and ends it when it must.
async fn drive<C: Drive + Unpin>(mut connection: C, served: &Served, outcome: &mut Outcome) -> CloseReason {
    let limits = &served.shared.config.http;
    let mut metered = (0, 0);
    let must_end = pin!(served.connection.must_end());
    let mut must_end = Seldom::new(must_end);
    let mut timer = pin!(sleep_until(Instant::now() + limits.idle_timeout));
    // Why it ends, and by when whatever there is.
    let mut ending: Option<(CloseReason, Instant)> = None;
    let (reason, detail) = poll_fn(|context| {
        if ending.is_none() && Pin::new(&mut must_end).poll(context).is_ready() {
            let until = Instant::now() + served.shared.config.drain_timeout;
            ending = Some((CloseReason::Drained, until));
            served.activity.ending.store(true, Ordering::Relaxed);
            Pin::new(&mut connection).end();
            timer.as_mut().reset(until);
        }
        let polled = Pin::new(&mut connection).poll(context);
        served.meter(outcome, &mut metered);
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(match ended {
                Ok(()) => (ending.map_or(CloseReason::Closed, |(reason, _)| reason), None),
                Err(error) => failed(&error, ending.map(|(reason, _)| reason)),
            });
        }
        loop {
            if ending.is_none() {
                hasten(timer.as_mut(), served);
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if let Some((reason, until)) = ending {
                // What came before the client had heard is served.
                if now >= until || !served.activity.is_busy() {
                    return Poll::Ready((reason, None));
                }
                timer.as_mut().reset(until.min(now + FAREWELL));
                continue;
            }
            match served.activity.deadline(limits).filter(|(at, _)| *at <= now) {
                Some((_, Overdue::Header)) => return Poll::Ready((CloseReason::HttpTimeout, Some("header".to_owned()))),
                Some((_, Overdue::Write)) => return Poll::Ready((CloseReason::HttpTimeout, Some("write".to_owned()))),
                Some((_, Overdue::Idle)) => {
                    ending = Some((CloseReason::IdleTimeout, now + served.shared.config.drain_timeout));
                    Pin::new(&mut connection).end();
                    timer.as_mut().reset(now + FAREWELL);
                    // It may end at once.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => timer.as_mut().reset(now + limits.idle_timeout),
            }
        }
    })
    .await;
    if detail.is_some() {
        outcome.end(reason, detail);
    }
    reason
}

/// The timer is moved when something is due earlier; what is due later is found when it fires.
fn hasten(timer: Pin<&mut Sleep>, served: &Served) {
    if let Some((at, _)) = served.activity.deadline(&served.shared.config.http)
        && at < timer.deadline()
    {
        timer.reset(at);
    }
}

fn failed(error: &hyper::Error, ending: Option<CloseReason>) -> (CloseReason, Option<String>) {
    let detail = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let reason = match ending {
        Some(reason) => return (reason, None),
        // Of HTTP/2 what we could not let pass is an error of h2's own; what the peer says itself is not.
        None if error.is_parse() || h2_error(error).is_some_and(h2::Error::is_library) => CloseReason::HttpInvalid,
        // The body of a response failed: what failed it is in the request's own record.
        None if error.is_user() => CloseReason::BackendFailed,
        None => CloseReason::ClientFailed,
    };
    (reason, Some(detail))
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// What was HTTP is something else now.
async fn carry(relay: upgrade::Relay, served: &Served, outcome: &Outcome) -> CloseReason {
    let mut metered = (
        served.activity.received.load(Ordering::Relaxed),
        served.activity.sent.load(Ordering::Relaxed),
    );
    let must_end = async {
        served.connection.must_end().await;
        tokio::time::sleep(served.shared.config.drain_timeout).await;
    };
    let (mut relayed, mut must_end) = (pin!(relay.run()), pin!(must_end));
    poll_fn(|context| {
        let polled = relayed.as_mut().poll(context);
        served.meter(outcome, &mut metered);
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(match ended {
                Ok(()) => CloseReason::Closed,
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => CloseReason::IdleTimeout,
                Err(_) => CloseReason::ClientFailed,
            });
        }
        must_end.as_mut().poll(context).map(|()| CloseReason::Drained)
    })
    .await
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const TLS_HANDSHAKE: u8 = 22;
/// A request of a browser fits.
const FIRST_READ: usize = 4096;
/// For the client to hear that an idle connection ends.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);
