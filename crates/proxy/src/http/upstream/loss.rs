//! Why a request that was sent has no response: whose doing it is, and whether it may be sent again.
//!
//! In: hyper's error, and what the request's body says of itself. Out: a [`Loss`]. The body is asked first: when it breaks off, HTTP/2 ends
//! the stream with a reset of ours, behind which the cause is lost.

use std::error::Error;

use http::{HeaderMap, Request};
use http_body::Body;
use sealway_core::Backend;

use crate::Shared;
use crate::http::body::{FaultCell, RequestBody};
use crate::http::refusal::HttpReason;
use crate::tls::ClientIdentity;

/// Why there is no response.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) reason: HttpReason,
    pub(super) detail: String,
    /// The backend has surely done nothing with the request.
    pub(super) unprocessed: bool,
    /// The connection ended before anything of a response came.
    pub(super) gone: bool,
    /// The endpoint no longer answers pings.
    pub(super) silent: bool,
}

impl Loss {
    pub(super) fn new(
        shared: &Shared,
        backend: &Backend,
        identity: Option<&ClientIdentity>,
        error: &hyper::Error,
        fault: Option<&FaultCell>,
    ) -> Self {
        let h2 = behind::<h2::Error>(error);
        let unprocessed = h2.is_some_and(is_unprocessed);
        let silent = error.is_timeout();
        let gone = unprocessed || silent || is_gone(error, h2);
        let (reason, detail) = match fault.and_then(FaultCell::get) {
            Some(fault) => (fault.reason(), fault.to_string()),
            None => reason(shared, backend, identity, error, h2),
        };
        Self {
            reason,
            detail,
            unprocessed,
            gone,
            silent,
        }
    }

    /// Whether it speaks against the endpoint.
    pub(super) fn is_of_endpoint(&self) -> bool {
        matches!(
            self.reason,
            HttpReason::BackendClosed | HttpReason::BackendInvalid | HttpReason::BackendTls(_)
        )
    }
}

/// Whether a request may be sent again although it may have reached the backend (RFC 9110 section 9.2.2).
pub(super) fn may_repeat(request: &Request<RequestBody>) -> bool {
    request.method().is_idempotent() && request.body().is_end_stream() && !is_upgrade(request.headers())
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(http::header::UPGRADE)
}

fn reason(
    shared: &Shared,
    backend: &Backend,
    identity: Option<&ClientIdentity>,
    error: &hyper::Error,
    h2: Option<&h2::Error>,
) -> (HttpReason, String) {
    let detail = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    // Less than the length that the client announced.
    if error.is_body_write_aborted() {
        return (HttpReason::ClientGone, detail);
    }
    if error.is_parse() || h2.is_some_and(h2::Error::is_library) {
        return (HttpReason::BackendInvalid, detail);
    }
    match behind(error).and_then(|error| shared.client_configs.refused_late(backend, identity, error)) {
        Some(failure) => (HttpReason::BackendTls(failure.fault), failure.detail),
        None => (HttpReason::BackendClosed, detail),
    }
}

/// What the backend says itself (RFC 9113 section 8.7). h2 gives a GOAWAY to those streams alone that are above its last.
fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

fn is_gone(error: &hyper::Error, h2: Option<&h2::Error>) -> bool {
    match h2 {
        Some(error) => error.is_io(),
        None => {
            error.is_incomplete_message()
                || error.is_canceled()
                || error.is_closed()
                // Its own task has ended; the body's errors are in its cell.
                || (error.is_user() && !error.is_body_write_aborted())
                || behind::<std::io::Error>(error).is_some()
        }
    }
}

/// The first error of this kind behind one of hyper's.
fn behind<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        source = error.source();
    }
    None
}
