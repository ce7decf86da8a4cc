//! Cross-origin resource sharing: the CORS filter (apis/v1/httproute_types.go, HTTPCORSFilter; the Fetch standard has the protocol).
//!
//! Job: the answer to a preflight, and the headers that a response gets. Input: the filter, the request's method and headers. Invariant:
//! the filter is the whole policy of its route: what a backend says about CORS is removed, so the two cannot contradict each other; with
//! credentials nothing is ever `*`.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use sealway_core::{Cors, CorsOrigin};

use super::lists::members;

#[cfg(test)]
mod tests;

/// What the filter makes of a request.
#[derive(Debug)]
pub(crate) enum CorsDecision {
    /// The gateway answers; the backend never hears of it.
    Preflight(Response<()>),
    /// The request goes on, and its response gets these headers.
    Simple(CorsHeaders),
}

/// Headers for a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CorsHeaders {
    /// `None`: not allowed, or not asked from another origin.
    allow_origin: Option<HeaderValue>,
    credentials: bool,
    expose: Expose,
    /// Whether another origin may get another answer, so that caches must keep them apart.
    vary: bool,
}

/// Which headers of a response scripts may read, beside the safelisted ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Expose {
    #[default]
    Nothing,
    These(HeaderValue),
    /// With credentials `*` would be a header of that name, so each is named.
    Everything,
}

/// What to do with a request that falls to a rule with this filter.
pub(crate) fn decide(cors: &Cors, method: &Method, headers: &HeaderMap) -> CorsDecision {
    let requested_method = headers.get(ACCESS_CONTROL_REQUEST_METHOD);
    match (headers.get(ORIGIN), requested_method) {
        (Some(_), Some(requested)) if method == Method::OPTIONS => CorsDecision::Preflight(preflight(cors, requested, headers)),
        _ => CorsDecision::Simple(CorsHeaders::new(cors, headers)),
    }
}

/// An origin that is not allowed gets the same status without the headers: the browser refuses then.
fn preflight(cors: &Cors, requested_method: &HeaderValue, request: &HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let mut answer = CorsHeaders::new(cors, request);
    if answer.expose == Expose::Everything {
        // There is nothing yet to name.
        answer.expose = Expose::Nothing;
    }
    let allowed = answer.allow_origin.is_some();
    let headers = response.headers_mut();
    answer.apply(headers);
    if allowed {
        if let Some(methods) = allowed_methods(cors, requested_method) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        if let Some(names) = allowed_headers(cors, request) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(cors.max_age));
    }
    // Caches do not keep answers to OPTIONS; those that do all the same must keep these apart.
    headers.append(
        VARY,
        HeaderValue::from_static("access-control-request-method, access-control-request-headers"),
    );
    response
}

impl CorsHeaders {
    fn new(cors: &Cors, request: &HeaderMap) -> Self {
        let any = cors.origins.contains(&CorsOrigin::Any);
        let vary = !any || cors.credentials;
        let Some(origin) = single(request, &ORIGIN).filter(|origin| any || is_allowed(&cors.origins, origin)) else {
            return Self { vary, ..Self::default() };
        };
        Self {
            allow_origin: Some(if vary { origin.clone() } else { HeaderValue::from_static("*") }),
            credentials: cors.credentials,
            expose: exposed(cors),
            vary,
        }
    }

    /// Puts them on a response. What the backend has said itself goes.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in [
            ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_EXPOSE_HEADERS,
            ACCESS_CONTROL_MAX_AGE,
        ] {
            headers.remove(name);
        }
        if self.vary && !varies_by_origin(headers) {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = &self.allow_origin else { return };
        let expose = match &self.expose {
            Expose::Nothing => None,
            Expose::These(names) => Some(names.clone()),
            // Cookies can never be read; naming them would only make the list longer.
            Expose::Everything => join(headers.keys().filter(|name| *name != SET_COOKIE).map(HeaderName::as_str)),
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(expose) = expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose);
        }
    }
}

fn exposed(cors: &Cors) -> Expose {
    match (has_wildcard(&cors.expose), cors.credentials) {
        (true, true) => Expose::Everything,
        _ => join(cors.expose.iter().map(String::as_str)).map_or(Expose::Nothing, Expose::These),
    }
}

fn allowed_methods(cors: &Cors, requested: &HeaderValue) -> Option<HeaderValue> {
    if has_wildcard(&cors.methods) && cors.credentials {
        return is_token(requested.as_bytes()).then(|| requested.clone());
    }
    join(cors.methods.iter().map(String::as_str))
}

/// A wildcard is answered with the very names that were asked for: `*` would leave out Authorization (Fetch, "CORS non-wildcard
/// request-header name"), and may not be said with credentials.
fn allowed_headers(cors: &Cors, request: &HeaderMap) -> Option<HeaderValue> {
    if !has_wildcard(&cors.headers) {
        return join(cors.headers.iter().map(String::as_str));
    }
    let names = members(request, &ACCESS_CONTROL_REQUEST_HEADERS).filter(|name| is_token(name));
    join(names.filter_map(|name| std::str::from_utf8(name).ok()))
}

fn is_allowed(allowed: &[CorsOrigin], origin: &HeaderValue) -> bool {
    origin
        .to_str()
        .is_ok_and(|origin| allowed.iter().any(|allowed| matches(allowed, origin)))
}

fn matches(allowed: &CorsOrigin, origin: &str) -> bool {
    match allowed {
        CorsOrigin::Any => true,
        CorsOrigin::Exact(exact) => without_default_port(exact).eq_ignore_ascii_case(without_default_port(origin)),
        CorsOrigin::Wildcard { scheme, suffix, port } => {
            let Some((origin_scheme, rest)) = origin.split_once("://") else {
                return false;
            };
            let Some(allowed_scheme) = scheme.strip_suffix("://") else {
                return false;
            };
            let (host, origin_port) = split_port(rest);
            let same_port = effective_port(allowed_scheme, port.strip_prefix(':')) == effective_port(allowed_scheme, origin_port);
            allowed_scheme.eq_ignore_ascii_case(origin_scheme) && same_port && is_below(host, suffix)
        }
    }
}

/// Whether a host has at least one label more than the suffix; an empty suffix takes every host.
fn is_below(host: &str, suffix: &str) -> bool {
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'@' | b'?' | b'#'));
    if suffix.is_empty() {
        return is_host;
    }
    let labels = host
        .len()
        .checked_sub(suffix.len())
        .and_then(|start| host.split_at_checked(start))
        .filter(|(_, end)| end.eq_ignore_ascii_case(suffix))
        .map(|(labels, _)| labels);
    is_host && labels.is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // The last colon of an IPv6 address is inside its brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn effective_port<'a>(scheme: &str, port: Option<&'a str>) -> Option<&'a str> {
    port.or(if scheme.eq_ignore_ascii_case("https") {
        Some("443")
    } else {
        Some("80")
    })
}

/// `https://a.example:443` and `https://a.example` are one origin.
fn without_default_port(origin: &str) -> &str {
    let default = match origin.get(..8) {
        Some(scheme) if scheme.eq_ignore_ascii_case("https://") => ":443",
        _ => ":80",
    };
    origin.strip_suffix(default).unwrap_or(origin)
}

fn has_wildcard(list: &[String]) -> bool {
    list.iter().any(|entry| entry == "*")
}

fn join<'a>(entries: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let mut joined = String::new();
    for entry in entries {
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(entry);
    }
    if joined.is_empty() {
        return None;
    }
    HeaderValue::from_maybe_shared(Bytes::from(joined)).ok()
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    members(headers, &VARY).any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}
