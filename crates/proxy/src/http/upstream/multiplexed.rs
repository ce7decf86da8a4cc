//! An HTTP/2 connection that many requests share.
//!
//! Invariant: a stream is counted from the moment it is chosen, so no more are on the way than the connection's windows have room for:
//! clients that read slowly never stall the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri, Version};
use hyper::client::conn::http2::SendRequest;
use tokio::time::Instant;

use crate::http::body::RequestBody;
use crate::http::limits::BACKEND_STREAMS;

pub(super) struct Multiplexed {
    sender: SendRequest<RequestBody>,
    /// Requests whose responses are not whole.
    streams: Arc<AtomicUsize>,
    /// As many as the backend takes.
    most: Arc<AtomicUsize>,
    /// When it was last seen with a stream.
    used: Instant,
}

/// One stream of a shared connection, from its choice to the end of its response.
pub(in crate::http) struct StreamGuard(Arc<AtomicUsize>);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Multiplexed {
    pub(super) fn new(sender: SendRequest<RequestBody>, most: Arc<AtomicUsize>) -> Self {
        Self {
            sender,
            streams: Arc::default(),
            most,
            used: Instant::now(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Whether the backend, and our windows, take one more stream.
    pub(super) fn has_room(&self) -> bool {
        self.streams() < self.most.load(Ordering::Relaxed).clamp(1, BACKEND_STREAMS)
    }

    /// Takes a stream. Only under the lock of the endpoint is there still the room that there was.
    pub(super) fn enter(&mut self, now: Instant) -> (SendRequest<RequestBody>, StreamGuard) {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.used = now;
        (self.sender.clone(), StreamGuard(Arc::clone(&self.streams)))
    }

    /// Whether it was without streams for so long.
    pub(super) fn is_idle(&mut self, now: Instant, patience: std::time::Duration) -> bool {
        if self.streams() > 0 {
            self.used = now;
            return false;
        }
        now.saturating_duration_since(self.used) >= patience
    }
}

/// The host goes from the header to the target (RFC 9113 section 8.3.1).
pub(super) fn to_http2(request: &mut Request<RequestBody>, tls: bool) -> Result<(), http::Error> {
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

pub(super) fn from_http2(request: &mut Request<RequestBody>) {
    let host = request
        .uri()
        .authority()
        .and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    *request.version_mut() = Version::HTTP_11;
}
