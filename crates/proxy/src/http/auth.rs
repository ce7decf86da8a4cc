//! External authorization: a server is asked before a request goes on (HTTPExternalAuthFilter; Envoy's ext_authz).
//!
//! Job: the question out of a request, the verdict out of the answer; the caller does the sending. Invariant: it fails closed. Whatever
//! the server says that is not clearly a yes is a no, and no answer of its can name a pseudo-header, a header of one connection, the framing,
//! the host, or the headers that only the gateway writes.

use std::net::SocketAddr;
use std::time::SystemTime;

use ::http::header::{CONTENT_LENGTH, HOST};
use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use bytes::Bytes;
use sealway_core::{AuthProtocol, ExternalAuth};

use super::unary::CallFault;
use super::{client_certificate, forwarded};

mod grpc;
mod http;
mod messages;
#[cfg(test)]
mod tests;

pub(crate) use super::unary::LARGEST_ANSWER;
/// Changes of headers that one answer may ask for.
const MOST_CHANGES: usize = 256;

/// A request that waits for the verdict, before any filter has changed it.
#[derive(Clone, Debug)]
pub(crate) struct AuthRequest<'a> {
    pub(crate) method: &'a Method,
    pub(crate) target: &'a PathAndQuery,
    /// Host or `:authority`, as sent.
    pub(crate) host: &'a str,
    /// `http` or `https`.
    pub(crate) scheme: &'a str,
    pub(crate) version: Version,
    /// After hygiene: with the gateway's own headers in place of the client's.
    pub(crate) headers: &'a HeaderMap,
    /// Read up to `body_limit`; `None` when the filter forwards no body.
    pub(crate) body: Option<Bytes>,
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
    /// SNI.
    pub(crate) server_name: Option<&'a str>,
    /// Of a verified client: [`client_certificate::ClientCertificateValues::principal`].
    pub(crate) principal: Option<&'a str>,
    pub(crate) time: SystemTime,
}

/// What becomes of the request.
#[derive(Debug)]
pub(crate) enum AuthVerdict {
    /// It goes on.
    Allow {
        /// To make on the request.
        request: HeaderChanges,
        /// To make on the response to it.
        response: HeaderChanges,
    },
    /// The server refuses it in these words, without framing: the body is whole.
    Deny(Response<Bytes>),
    /// The server has not said yes.
    Failed(AuthFault),
}

/// Why there is no verdict. The client gets 403, as with Envoy unless that is told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthFault {
    /// The request cannot be asked about.
    #[error("the path would leave the authorization server's prefix")]
    PathLeavesPrefix,
    /// The server's own failure.
    #[error("the authorization server answered {0}")]
    Status(StatusCode),
    /// The call failed; `None`: without any status.
    #[error("the authorization call ended with gRPC status {}", .0.map_or_else(|| "missing".to_owned(), |code| code.to_string()))]
    GrpcStatus(Option<u32>),
    /// An answer that cannot be understood or obeyed.
    #[error("the authorization server's answer is malformed")]
    Malformed,
}

impl From<CallFault> for AuthFault {
    fn from(fault: CallFault) -> Self {
        match fault {
            CallFault::Status(status) => Self::Status(status),
            CallFault::GrpcStatus(status) => Self::GrpcStatus(status),
            CallFault::Malformed => Self::Malformed,
        }
    }
}

/// Changes of headers that the server asks for; every name in them is harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderChanges {
    changes: Vec<(Change, HeaderName, HeaderValue)>,
    /// After the changes, as in Envoy.
    remove: Vec<HeaderName>,
}

/// What happens to a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Set,
    Append,
    SetIfAbsent,
    SetIfPresent,
}

impl HeaderChanges {
    /// Makes them.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for (change, name, value) in &self.changes {
            match change {
                Change::Append => {
                    // Full maps take no more; the caller's caps are far below.
                    let _ = headers.try_append(name.clone(), value.clone());
                    continue;
                }
                Change::SetIfAbsent if headers.contains_key(name) => continue,
                Change::SetIfPresent if !headers.contains_key(name) => continue,
                Change::Set | Change::SetIfAbsent | Change::SetIfPresent => {}
            }
            let _ = headers.try_insert(name.clone(), value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

/// What to send to the server: origin form with Host. The caller turns it into what its connection speaks.
pub(crate) fn request(auth: &ExternalAuth, request: &AuthRequest<'_>) -> Result<Request<Bytes>, AuthFault> {
    match &auth.protocol {
        AuthProtocol::Grpc { request_headers } => Ok(grpc::request(auth, request_headers, request)),
        AuthProtocol::Http {
            path_prefix,
            request_headers,
            ..
        } => http::request(path_prefix, request_headers, request),
    }
}

/// What the server has said. Body and trailers are whole; the body is at most [`LARGEST_ANSWER`].
pub(crate) fn verdict(auth: &ExternalAuth, response: Response<Bytes>, trailers: Option<&HeaderMap>) -> AuthVerdict {
    let verdict = match &auth.protocol {
        AuthProtocol::Grpc { .. } => grpc::verdict(&response, trailers),
        AuthProtocol::Http {
            request_headers,
            response_headers,
            ..
        } => http::verdict(request_headers, response_headers, response),
    };
    verdict.unwrap_or_else(AuthVerdict::Failed)
}

/// Whether a header of an answer may change a request: not the framing, the host, what concerns one connection, or what is the gateway's
/// own word.
fn may_change_request(name: &HeaderName) -> bool {
    may_travel(name) && *name != HOST && !client_certificate::is_ours(name.as_str())
}

/// Whether a header may be copied from one message to another at all.
fn may_travel(name: &HeaderName) -> bool {
    *name != CONTENT_LENGTH && !forwarded::is_hop_by_hop(name)
}

/// A response of the gateway with the server's words.
fn denial(status: StatusCode, headers: HeaderMap, body: Bytes) -> AuthVerdict {
    let bodiless = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    let mut response = Response::new(if bodiless { Bytes::new() } else { body });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    AuthVerdict::Deny(response)
}
