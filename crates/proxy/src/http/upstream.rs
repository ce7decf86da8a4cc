//! Connections to backends that carry requests, kept and shared.
//!
//! In: a backend of the snapshot, the gateway's own certificate, what must be spoken. Out: responses. HTTP/2 connections are shared by all
//! requests; HTTP/1.1 connections carry one at a time and are kept, the last used first. Invariant: what was connected for one TLS policy,
//! own certificate and protocol is never used for another; a connection that begins with a client's PROXY header serves that request alone.

mod channel;
mod connect;
mod endpoint;

use std::net::SocketAddr;
use std::sync::Arc;

use sealway_core::Backend;
use tokio::time::Instant;

pub(super) use channel::{Channel, Channels};
pub(super) use endpoint::Lease;

use super::refusal::HttpReason;
use crate::outcome::ConnectFault;
use crate::tls::TlsFailure;

/// What a connection must speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speak {
    /// HTTP/2 if the backend offers it, else HTTP/1.1.
    Either,
    /// HTTP/1.1: the request is an upgrade.
    Http1,
    /// HTTP/2: the request is gRPC.
    Http2,
}

/// Why a request has no response.
pub(super) struct Failure {
    pub(super) reason: HttpReason,
    pub(super) detail: String,
    pub(super) endpoint: Option<SocketAddr>,
}

/// Why there is no connection to an endpoint.
#[derive(Debug)]
enum ConnectFailure {
    Tcp(ConnectFault, std::io::Error),
    Tls(TlsFailure),
    /// The backend does not speak what must be spoken.
    Protocol(String),
}

impl ConnectFailure {
    fn reason(&self) -> HttpReason {
        match self {
            Self::Tcp(fault, _) => HttpReason::Connect(*fault),
            Self::Tls(failure) => HttpReason::BackendTls(failure.fault),
            Self::Protocol(_) => HttpReason::BackendInvalid,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Tcp(_, error) => error.to_string(),
            Self::Tls(failure) => failure.detail.clone(),
            Self::Protocol(detail) => detail.clone(),
        }
    }
}

/// What a request brings along to its backend.
pub(super) struct Passage<'a> {
    pub(super) backend: &'a Arc<Backend>,
    /// For one connection to come about.
    pub(super) connect_timeout: std::time::Duration,
    pub(super) now: Instant,
    /// What the backend hears first, when it wants a PROXY header.
    pub(super) proxy_header: Option<Vec<u8>>,
}
