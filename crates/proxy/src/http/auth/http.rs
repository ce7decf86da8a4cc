//! External authorization over HTTP: the request without its body, or with its beginning, under a prefix; 200 is yes.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, HOST,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};

use super::{AuthFault, AuthRequest, AuthVerdict, Change, HeaderChanges, MOST_CHANGES, denial, may_change_request, may_travel};
use crate::http::hygiene::has_dot_segment;
use crate::http::lists::members;
use crate::http::rewrite::push_path;

/// Envoy's way for a server of HTTP to take headers away.
const HEADERS_TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

pub(super) fn request(prefix: &str, allowed: &[HeaderName], request: &AuthRequest<'_>) -> Result<Request<Bytes>, AuthFault> {
    let body = request.body.clone().unwrap_or_default();
    let mut headers = HeaderMap::with_capacity(allowed.len() + 3);
    // What the server gets is framed anew: neither the client's length nor its connection's headers are true of it.
    let wanted = |name: &HeaderName| *name == AUTHORIZATION || (allowed.contains(name) && may_travel(name) && *name != HOST);
    for (name, value) in request.headers.iter().filter(|(name, _)| wanted(name)) {
        headers.append(name.clone(), value.clone());
    }
    headers.insert(HOST, HeaderValue::from_str(request.host).map_err(|_| AuthFault::Malformed)?);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut question = Request::new(body);
    *question.method_mut() = request.method.clone();
    *question.uri_mut() = target(prefix, request.target)?;
    *question.headers_mut() = headers;
    Ok(question)
}

/// The request's path and query under the prefix. A path that climbs (`..`), as requests have none, is not asked about: another
/// resource of the server might say 200 to everything.
fn target(prefix: &str, target: &PathAndQuery) -> Result<Uri, AuthFault> {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        return Ok(Uri::from(target.clone()));
    }
    if has_dot_segment(prefix) || has_dot_segment(target.path()) {
        return Err(AuthFault::PathLeavesPrefix);
    }
    let mut path = String::with_capacity(prefix.len() + target.as_str().len() + 1);
    path.push('/');
    push_path(&mut path, prefix);
    path.push_str(target.as_str());
    let target = PathAndQuery::from_maybe_shared(Bytes::from(path)).map_err(|_| AuthFault::PathLeavesPrefix)?;
    Ok(Uri::from(target))
}

pub(super) fn verdict(shown: &[HeaderName], allowed: &[HeaderName], response: Response<Bytes>) -> Result<AuthVerdict, AuthFault> {
    let (parts, body) = response.into_parts();
    if parts.status.is_server_error() {
        return Err(AuthFault::Status(parts.status));
    }
    if parts.status != StatusCode::OK {
        return Ok(deny(parts.status, parts.headers, body));
    }
    Ok(AuthVerdict::Allow {
        request: changes(shown, allowed, &parts.headers)?,
        response: HeaderChanges::default(),
    })
}

/// A success that is not 200 is no yes (HTTPExternalAuthFilter), but the client must not take it for one either.
fn deny(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> AuthVerdict {
    if status.is_success() || status.is_informational() {
        return denial(StatusCode::FORBIDDEN, HeaderMap::new(), Bytes::new());
    }
    crate::http::forwarded::strip_hop_by_hop(&mut headers);
    headers.remove(CONTENT_LENGTH);
    headers.remove(HEADERS_TO_REMOVE);
    denial(status, headers, body)
}

fn changes(shown: &[HeaderName], allowed: &[HeaderName], headers: &HeaderMap) -> Result<HeaderChanges, AuthFault> {
    let mut changes = HeaderChanges::default();
    let is_copied = |name: &HeaderName| match allowed {
        [] => !describes_body(name) && *name != HEADERS_TO_REMOVE,
        allowed => allowed.contains(name),
    };
    for name in headers.keys().filter(|name| is_copied(name) && may_change_request(name)) {
        let mut change = Change::Set;
        for value in headers.get_all(name) {
            changes.changes.push((change, name.clone(), value.clone()));
            change = Change::Append;
        }
    }
    let named = members(headers, &HEADERS_TO_REMOVE);
    let named = named.filter_map(|name| HeaderName::from_bytes(name).ok());
    changes.remove.extend(named.filter(|name| may_travel(name) && *name != HOST));
    // Backends take these for the server's word. One that it has neither said nor seen is only the client's.
    let unsaid = allowed
        .iter()
        .filter(|name| !headers.contains_key(*name) && may_change_request(name));
    let unseen = unsaid.filter(|name| **name != AUTHORIZATION && !shown.contains(name));
    changes.remove.extend(unseen.cloned());
    if changes.changes.len() > MOST_CHANGES || changes.remove.len() > MOST_CHANGES {
        return Err(AuthFault::Malformed);
    }
    Ok(changes)
}

/// The answer's body stays behind, and so does what describes it (RFC 9110 section 8): the request has a body of its own.
fn describes_body(name: &HeaderName) -> bool {
    [
        CONTENT_TYPE,
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_LOCATION,
        CONTENT_RANGE,
    ]
    .contains(name)
}
