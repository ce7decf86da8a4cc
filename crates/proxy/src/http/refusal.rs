//! Why a request did not get a backend's answer, and what the client is told of it: a status and one word, or gRPC's trailers.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use sealway_core::{BackendFault, BackendTlsFault, HttpRejectReason};

use super::body::ResponseBody;
use crate::outcome::{Blame, ConnectFault};

/// Why a request was refused or failed. Each has a stable label for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpReason {
    /// HTTP/1.1 without a Host header, or HTTP/2 without any authority.
    MissingHost,
    /// More than one Host, or one that is no host.
    InvalidHost,
    /// Host and `:authority` disagree.
    HostMismatch,
    /// A path with control characters, or in a form that only proxies take.
    InvalidPath,
    /// Several lengths, or one that is no number.
    InvalidLength,
    /// The body is not framed as HTTP has it.
    InvalidBody,
    /// A transfer coding other than chunked.
    TransferCoding,
    /// CONNECT, or `*`.
    Method,
    /// Refused by lookup.
    Rejected(HttpRejectReason),
    /// The listener of the connection is gone, or asks for other client certificates now.
    ListenerChanged,
    /// The rule has a filter that cannot be honoured.
    Filter,
    /// No backend of the rule has a weight above 0.
    NoWeight,
    /// The draw fell on a backend that cannot be had.
    Backend(BackendFault),
    /// No endpoint could be reached; this is what the last one did.
    Connect(ConnectFault),
    /// The backend did not prove itself.
    BackendTls(BackendTlsFault),
    /// The backend ended the connection before its answer was whole.
    BackendClosed,
    /// What the backend answered is not HTTP.
    BackendInvalid,
    /// The last try failed, and of the backend's requests no more may be retries.
    RetryBudget,
    /// The rule's request timeout.
    RequestTimeout,
    /// The rule's backend request timeout.
    BackendTimeout,
    /// The client sent nothing of its body for too long.
    BodyTimeout,
    /// The client went away before the answer was whole.
    ClientGone,
    /// The connection had to end before the answer was whole.
    Drained,
    /// The authorization server says no.
    AuthDenied,
    /// The authorization server could not be asked, or its answer not be understood.
    AuthFailed,
    /// The body is larger than what the authorization server takes.
    BodyTooLarge,
}

impl HttpReason {
    /// Stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::MissingHost => "missing_host",
            Self::InvalidHost => "invalid_host",
            Self::HostMismatch => "host_mismatch",
            Self::InvalidPath => "invalid_path",
            Self::InvalidLength => "invalid_length",
            Self::InvalidBody => "invalid_body",
            Self::TransferCoding => "transfer_coding",
            Self::Method => "method",
            Self::Rejected(reason) => reason.label(),
            Self::ListenerChanged => "listener_changed",
            Self::Filter => "filter_invalid",
            Self::NoWeight => "no_weight",
            Self::Backend(fault) => fault.label(),
            Self::Connect(fault) => fault.outcome(),
            Self::BackendTls(fault) => fault.label(),
            Self::BackendClosed => "backend_closed",
            Self::BackendInvalid => "backend_invalid",
            Self::RetryBudget => "retry_budget_spent",
            Self::RequestTimeout => "request_timeout",
            Self::BackendTimeout => "backend_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::ClientGone => "client_gone",
            Self::Drained => "drained",
            Self::AuthDenied => "auth_denied",
            Self::AuthFailed => "auth_failed",
            Self::BodyTooLarge => "body_too_large",
        }
    }

    /// The response.
    pub fn status(self) -> StatusCode {
        match self {
            Self::MissingHost
            | Self::InvalidHost
            | Self::HostMismatch
            | Self::InvalidPath
            | Self::InvalidLength
            | Self::InvalidBody => StatusCode::BAD_REQUEST,
            Self::TransferCoding | Self::Method => StatusCode::NOT_IMPLEMENTED,
            Self::Rejected(reason) => StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::NOT_FOUND),
            // RFC 9110 section 15.5.20: may be tried again on another connection.
            Self::ListenerChanged => StatusCode::MISDIRECTED_REQUEST,
            Self::Filter | Self::NoWeight => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Backend(fault) => StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            Self::Connect(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::BackendTls(_) | Self::BackendClosed | Self::BackendInvalid => StatusCode::BAD_GATEWAY,
            Self::RequestTimeout | Self::BackendTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Drained | Self::RetryBudget => StatusCode::SERVICE_UNAVAILABLE,
            // Nobody hears it; nginx's code in the metrics.
            Self::ClientGone => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::AuthDenied | Self::AuthFailed => StatusCode::FORBIDDEN,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// Whose doing it was.
    pub fn blame(self) -> Blame {
        match self {
            Self::MissingHost
            | Self::InvalidHost
            | Self::HostMismatch
            | Self::InvalidPath
            | Self::InvalidLength
            | Self::InvalidBody
            | Self::TransferCoding
            | Self::Method
            | Self::BodyTimeout
            | Self::ClientGone
            | Self::AuthDenied
            | Self::BodyTooLarge
            | Self::Rejected(HttpRejectReason::NoListener | HttpRejectReason::Misdirected | HttpRejectReason::NoRoute) => {
                Blame::Client
            }
            Self::Rejected(HttpRejectReason::ListenerRefuses)
            | Self::ListenerChanged
            | Self::Drained
            | Self::Filter
            | Self::NoWeight
            | Self::Backend(_)
            | Self::Connect(ConnectFault::Exhausted) => Blame::Gateway,
            Self::Connect(_)
            | Self::BackendTls(_)
            | Self::BackendClosed
            | Self::BackendInvalid
            | Self::RetryBudget
            | Self::RequestTimeout
            | Self::BackendTimeout
            | Self::AuthFailed => Blame::Backend,
        }
    }

    /// What happened, in a sentence for the operator.
    pub fn explain(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::MissingHost => "the request names no host",
            Self::InvalidHost => "the request has more than one Host, or one that is no host",
            Self::HostMismatch => "Host and :authority of the request disagree",
            Self::InvalidPath => "the request's target is no path that a server takes",
            Self::InvalidLength => "the request's Content-Length is no single number",
            Self::InvalidBody => "the request's body is not framed as HTTP has it; the backend may have its beginning",
            Self::TransferCoding => "the request has a transfer coding other than chunked",
            Self::Method => "CONNECT and OPTIONS * are not for a gateway",
            Self::Rejected(HttpRejectReason::NoListener) => "no listener of the port claims this host",
            Self::Rejected(HttpRejectReason::Misdirected) => {
                "the host belongs to another listener than the one whose TLS the request came through"
            }
            Self::Rejected(HttpRejectReason::ListenerRefuses) => {
                "the listener that claims this host is not served; see its conditions"
            }
            Self::Rejected(HttpRejectReason::NoRoute) => "no rule of the listener's routes is for this request",
            Self::ListenerChanged => "the listener of this connection is gone, or asks for other client certificates now",
            Self::Filter => "the rule has a filter that cannot be honoured; see the route's conditions",
            Self::NoWeight => "the rule has no backend with a weight above 0",
            Self::Backend(fault) => return crate::CloseReason::Backend(fault).explain().unwrap_or_default(),
            Self::Connect(fault) => return crate::CloseReason::Connect(fault).explain().unwrap_or_default(),
            Self::BackendTls(fault) => {
                return Cow::Owned(format!("the backend did not prove itself: {}", fault.label()));
            }
            Self::BackendClosed => "the backend ended the connection before its answer was whole",
            Self::BackendInvalid => "what the backend answered is not HTTP",
            Self::RetryBudget => {
                "the backend failed, and as many of its requests are retries as its XBackendTrafficPolicy permits: mend the backend, or raise `budget.percent` or `minRetryRate`"
            }
            Self::RequestTimeout => "the answer was not whole within the rule's request timeout",
            Self::BackendTimeout => "the backend's answer was not whole within the rule's backendRequest timeout",
            Self::BodyTimeout => "the client sent nothing of its body for too long",
            Self::ClientGone => "the client went away before the answer was whole",
            Self::Drained => "the answer was not whole when the time to drain was up, or the client went away meanwhile",
            Self::AuthDenied => "the authorization server refused the request",
            Self::AuthFailed => "the authorization server could not be asked; without it nothing is let through",
            Self::BodyTooLarge => "the body is larger than what the authorization server may get",
        })
    }

    /// What gRPC calls it (grpc/doc/http-grpc-status-mapping.md, and statuscodes.md for deadlines).
    fn grpc_status(self) -> &'static str {
        match (self, self.status().as_u16()) {
            (Self::RequestTimeout | Self::BackendTimeout, _) => "4",
            // apis/v1/grpcroute_types.go, GRPCRouteRule.backendRefs: UNAVAILABLE, however a backend is invalid.
            (Self::Backend(_) | Self::NoWeight, _) => "14",
            (_, 400) => "13",
            (_, 401) => "16",
            (_, 403) => "7",
            (_, 404) => "12",
            (_, 500) => "13",
            // Another connection may do, so the client is to try again.
            (_, 421) => "14",
            (_, 429 | 502 | 503 | 504) => "14",
            _ => "2",
        }
    }
}

/// Whether the client speaks gRPC (grpc/doc/PROTOCOL-HTTP2.md, Content-Type).
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let (kind, rest) = value.as_bytes().split_at_checked(TYPE.len()).unwrap_or_default();
        kind.eq_ignore_ascii_case(TYPE) && matches!(rest.first(), None | Some(b'+' | b';'))
    })
}

/// What the client is told.
#[cold]
pub(super) fn response(reason: HttpReason, grpc: bool) -> Response<ResponseBody> {
    if grpc {
        return grpc_response(reason);
    }
    let mut response = Response::new(ResponseBody::full(Bytes::from_static(reason.label().as_bytes())));
    *response.status_mut() = reason.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(reason.label().len()));
    response
}

/// Trailers only: everything in the header, no body.
fn grpc_response(reason: HttpReason) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    if reason.status() == StatusCode::MISDIRECTED_REQUEST {
        // HTTP's own word, which tells that the connection is the wrong one.
        *response.status_mut() = reason.status();
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from_static(reason.grpc_status()));
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(reason.label()));
    response
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

#[cfg(test)]
mod tests;
