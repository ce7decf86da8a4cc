//! ext_authz over gRPC: one unary call of `envoy.service.auth.v3.Authorization/Check`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use prost::Message as _;
use sealway_core::ExternalAuth;

use super::messages::{
    Address, AppendAction, AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValueOption, HttpRequest,
    HttpResponse, OkHttpResponse, Peer, RequestAttributes, SocketAddress, Timestamp, TlsSession,
};
use super::{AuthFault, AuthRequest, AuthVerdict, Change, HeaderChanges, MOST_CHANGES, denial, may_change_request, may_travel};
use crate::http::unary;

const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) fn request(auth: &ExternalAuth, allowed: &[HeaderName], request: &AuthRequest<'_>) -> Request<Bytes> {
    unary::request(METHOD, &auth.backend.target, &check_request(allowed, request))
}

fn check_request(allowed: &[HeaderName], request: &AuthRequest<'_>) -> CheckRequest {
    let length = request.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let (body, raw_body) = match request.body.clone().map(|body| String::from_utf8(body.into())) {
        None => (String::new(), Bytes::new()),
        Some(Ok(text)) => (text, Bytes::new()),
        // Strings of protocol buffers are UTF-8; this is the field that Envoy has for the rest.
        Some(Err(other)) => (String::new(), Bytes::from(other.into_bytes())),
    };
    let http = HttpRequest {
        id: request.headers.get(X_REQUEST_ID).map_or_else(String::new, text),
        method: request.method.to_string(),
        headers: header_map(allowed, request),
        path: request.target.to_string(),
        host: request.host.to_owned(),
        scheme: request.scheme.to_owned(),
        size: length.and_then(|length| length.parse().ok()).unwrap_or(-1),
        protocol: protocol(request.version).to_owned(),
        body,
        raw_body,
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(peer(request.client, request.principal.unwrap_or_default())),
            destination: Some(peer(request.local, "")),
            request: Some(RequestAttributes {
                time: timestamp(request.time),
                http: Some(http),
            }),
            tls_session: request.server_name.map(|name| TlsSession { sni: name.to_owned() }),
        }),
    }
}

/// Several values of a name are one, joined as the field's grammar has it.
fn header_map(allowed: &[HeaderName], request: &AuthRequest<'_>) -> BTreeMap<String, String> {
    let wanted = |name: &HeaderName| (allowed.is_empty() || allowed.contains(name)) && !super::forwarded::is_hop_by_hop(name);
    let mut map = BTreeMap::new();
    if wanted(&HOST) {
        map.insert(HOST.as_str().to_owned(), request.host.to_owned());
    }
    for (name, value) in request.headers.iter().filter(|(name, _)| **name != HOST && wanted(name)) {
        let value = text(value);
        map.entry(name.as_str().to_owned())
            .and_modify(|joined: &mut String| {
                joined.push_str(if *name == COOKIE { "; " } else { "," });
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    map
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn peer(address: SocketAddr, principal: &str) -> Peer {
    Peer {
        address: Some(Address {
            socket_address: Some(SocketAddress {
                address: address.ip().to_canonical().to_string(),
                port_value: u32::from(address.port()),
            }),
        }),
        principal: principal.to_owned(),
    }
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp {
        seconds: i64::try_from(since.as_secs()).ok()?,
        nanos: i32::try_from(since.subsec_nanos()).ok()?,
    })
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

pub(super) fn verdict(response: &Response<Bytes>, trailers: Option<&HeaderMap>) -> Result<AuthVerdict, AuthFault> {
    let message = CheckResponse::decode(unary::answer(response, trailers)?).map_err(|_| AuthFault::Malformed)?;
    let allowed = message.status.as_ref().is_none_or(|status| status.code == 0);
    match (allowed, message.http_response) {
        (true, Some(HttpResponse::Ok(ok))) => allow(ok),
        (true, None) if message.status.is_some() => allow(OkHttpResponse::default()),
        // Nothing at all is no yes, and neither is one with the words of a refusal.
        (true, None | Some(HttpResponse::Denied(_))) => Err(AuthFault::Malformed),
        (false, Some(HttpResponse::Denied(denied))) => deny(denied),
        (false, None | Some(HttpResponse::Ok(_))) => deny(DeniedHttpResponse::default()),
    }
}

fn allow(ok: OkHttpResponse) -> Result<AuthVerdict, AuthFault> {
    // `append` and its default are Envoy's: a request's header is replaced unless told otherwise, so that a client cannot stay in front.
    let mut request = changes(&ok.headers, Change::Set, may_change_request)?;
    for name in &ok.headers_to_remove {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if may_travel(&name) && name != HOST => request.remove.push(name),
            Ok(_) => {}
            Err(_) if name.starts_with(':') => {}
            Err(_) => return Err(AuthFault::Malformed),
        }
    }
    if request.remove.len() > MOST_CHANGES {
        return Err(AuthFault::Malformed);
    }
    let response = changes(&ok.response_headers_to_add, Change::Append, may_travel)?;
    Ok(AuthVerdict::Allow { request, response })
}

fn deny(denied: DeniedHttpResponse) -> Result<AuthVerdict, AuthFault> {
    let mut headers = HeaderMap::new();
    changes(&denied.headers, Change::Set, may_travel)?.apply(&mut headers);
    let code = denied.status.and_then(|status| u16::try_from(status.code).ok());
    let status = code
        .filter(|code| (200..600).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok());
    Ok(denial(
        status.unwrap_or(StatusCode::FORBIDDEN),
        headers,
        Bytes::from(denied.body),
    ))
}

/// The changes that may be made; one that makes no sense spoils the answer, for without it the client's own header might get through.
fn changes(
    options: &[HeaderValueOption],
    default: Change,
    may_change: fn(&HeaderName) -> bool,
) -> Result<HeaderChanges, AuthFault> {
    if options.len() > MOST_CHANGES {
        return Err(AuthFault::Malformed);
    }
    let mut changes = HeaderChanges::default();
    for option in options {
        let field = option.header.as_ref().ok_or(AuthFault::Malformed)?;
        if field.key.starts_with(':') {
            continue;
        }
        let name = HeaderName::from_bytes(field.key.as_bytes()).map_err(|_| AuthFault::Malformed)?;
        if !may_change(&name) {
            continue;
        }
        let value = if field.raw_value.is_empty() {
            field.value.as_bytes()
        } else {
            &field.raw_value
        };
        let value = HeaderValue::from_bytes(value).map_err(|_| AuthFault::Malformed)?;
        changes.changes.push((change(option, default)?, name, value));
    }
    Ok(changes)
}

/// `append` is older and wins where it is set; the action's own default is what nobody has said.
fn change(option: &HeaderValueOption, default: Change) -> Result<Change, AuthFault> {
    if let Some(append) = option.append {
        return Ok(if append.value { Change::Append } else { Change::Set });
    }
    Ok(match AppendAction::try_from(option.append_action) {
        Ok(AppendAction::AppendIfExistsOrAdd) => default,
        Ok(AppendAction::AddIfAbsent) => Change::SetIfAbsent,
        Ok(AppendAction::OverwriteIfExistsOrAdd) => Change::Set,
        Ok(AppendAction::OverwriteIfExists) => Change::SetIfPresent,
        Err(_) => return Err(AuthFault::Malformed),
    })
}
