//! The Location of a RequestRedirect filter.
//!
//! Job: an absolute URL out of the filter and the request. Invariant: what comes out is a valid URL and header value whatever the request
//! says; a query is kept, a fragment there is none.

use bytes::Bytes;
use http::HeaderValue;
use sealway_core::{PathMatcher, Redirect};

use super::rewrite::{modified_path, push_path, push_query};

#[cfg(test)]
mod tests;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestUrl<'a> {
    /// `http` or `https`, as the listener has it.
    pub(crate) scheme: &'a str,
    /// Without port; an IPv6 address with brackets or without.
    pub(crate) host: &'a str,
    /// The listener's: not the one that the client wrote.
    pub(crate) port: u16,
    /// By how much the client sees the Gateway's ports moved (`--port-offset`).
    pub(crate) offset: u16,
    /// Begins with `/`.
    pub(crate) path: &'a str,
    /// Without `?`.
    pub(crate) query: Option<&'a str>,
}

/// The Location; `None` when there is no host to name (a request of HTTP/1.0 without Host) or one that no URL can have.
pub(crate) fn location(redirect: &Redirect, matched: &PathMatcher, url: &RequestUrl<'_>) -> Option<HeaderValue> {
    let scheme = redirect.scheme.as_deref().unwrap_or(url.scheme);
    let host = redirect.hostname.as_deref().unwrap_or(url.host);
    let stays = host == url.host;
    let port = port(redirect, url.port).saturating_add(if stays { url.offset } else { 0 });

    let mut location = String::with_capacity(scheme.len() + host.len() + url.path.len() + url.query.map_or(0, str::len) + 16);
    location.push_str(scheme);
    location.push_str("://");
    push_host(&mut location, host)?;
    if well_known_port(scheme) != Some(port) {
        location.push(':');
        location.push_str(&port.to_string());
    }
    match redirect.path.as_ref().and_then(|path| modified_path(path, matched, url.path)) {
        Some((beginning, rest)) => {
            location.push_str(&beginning);
            push_path(&mut location, rest);
        }
        None => {
            if !url.path.starts_with('/') {
                location.push('/');
            }
            push_path(&mut location, url.path);
        }
    }
    push_query(&mut location, url.query);
    HeaderValue::from_maybe_shared(Bytes::from(location)).ok()
}

/// The port as HTTPRequestRedirectFilter has it: the one that is given; else that of the given scheme; else the listener's.
fn port(redirect: &Redirect, listener: u16) -> u16 {
    let of_scheme = redirect.scheme.as_deref().and_then(well_known_port);
    redirect.port.or(of_scheme).unwrap_or(listener)
}

fn well_known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn push_host(location: &mut String, host: &str) -> Option<()> {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if address.contains(':') {
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        location.push_str(&format!("[{address}]"));
        return Some(());
    }
    // Names and IPv4 addresses; `_` is no letter of hostnames, but names in clusters have it.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || !host.bytes().all(allowed) {
        return None;
    }
    location.push_str(host);
    Some(())
}
