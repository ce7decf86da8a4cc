//! Connections to backends that carry requests, kept and shared.
//!
//! In: a backend of the snapshot, the gateway's own certificate, what must be spoken. Out: responses. HTTP/2 connections are shared by all
//! requests; HTTP/1.1 connections carry one at a time and are kept, the last used first. Invariant: what was connected for one TLS policy,
//! own certificate and protocol is never used for another; a connection that begins with a client's PROXY header serves that request alone.

mod channel;
mod connect;
mod endpoint;
mod loss;
mod multiplexed;

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use sealway_core::{AuthProtocol, Backend, RuleKind};
use tokio::time::Instant;

pub(super) use channel::{Channel, Channels};
pub(super) use endpoint::Lease;

use super::body::RequestBody;
use super::refusal::HttpReason;
use crate::outcome::ConnectFault;
use crate::tls::TlsFailure;

/// A request on its way. In a box: it is handed down through many futures, each of which would have room for it.
pub(super) type Outgoing = Box<Request<RequestBody>>;

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

impl Speak {
    /// To the backends and mirrors of a rule.
    pub(super) fn of_rule(kind: RuleKind) -> Self {
        match kind {
            RuleKind::Grpc => Self::Http2,
            RuleKind::Http => Self::Either,
        }
    }

    /// To an authorization server.
    pub(super) fn of_auth(protocol: &AuthProtocol) -> Self {
        match protocol {
            AuthProtocol::Grpc { .. } => Self::Http2,
            AuthProtocol::Http { .. } => Self::Either,
        }
    }
}

/// Why a request has no response.
pub(super) struct Failure {
    pub(super) reason: HttpReason,
    pub(super) detail: String,
    pub(super) endpoint: Option<SocketAddr>,
    /// No backend has done anything with the request, whatever its method.
    pub(super) unprocessed: bool,
}

/// Why there is no connection to an endpoint.
#[derive(Clone, Debug)]
enum ConnectFailure {
    Tcp(ConnectFault, String),
    Tls(TlsFailure),
    /// The backend does not speak what must be spoken.
    Protocol(String),
}

impl ConnectFailure {
    fn tcp(error: &std::io::Error) -> Self {
        Self::Tcp(ConnectFault::of(error), error.to_string())
    }

    fn timed_out() -> Self {
        Self::tcp(&std::io::ErrorKind::TimedOut.into())
    }

    /// Label of `sealway_backend_connect_failures_total`.
    fn label(&self) -> Option<&'static str> {
        match self {
            Self::Tcp(fault, _) => Some(fault.label()),
            Self::Tls(failure) => Some(failure.fault.label()),
            Self::Protocol(_) => None,
        }
    }

    fn reason(&self) -> HttpReason {
        match self {
            Self::Tcp(fault, _) => HttpReason::Connect(*fault),
            Self::Tls(failure) => HttpReason::BackendTls(failure.fault),
            Self::Protocol(_) => HttpReason::BackendInvalid,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Tls(failure) => failure.detail.clone(),
            Self::Tcp(_, detail) | Self::Protocol(detail) => detail.clone(),
        }
    }
}

/// What a request brings along to its backend.
pub(super) struct Passage<'a> {
    pub(super) backend: &'a Arc<Backend>,
    /// For one connection to come about.
    pub(super) connect_timeout: std::time::Duration,
    pub(super) now: Instant,
    /// Of the backend: where the client's session is, which is tried before all others.
    pub(super) endpoint: Option<&'a SocketAddr>,
    /// What the backend hears first, when it wants a PROXY header.
    pub(super) proxy_header: Option<Vec<u8>>,
}
