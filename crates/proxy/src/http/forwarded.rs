//! What backends are told about the connection, and what must not travel on.
//!
//! Job: X-Forwarded-For/-Proto/-Host/-Port and Forwarded (RFC 7239); hop-by-hop headers (RFC 9110 section 7.6.1). Input: a request's
//! headers, facts of its connection. Invariant: a backend may believe these headers, because what a client says itself is believed only
//! from trusted proxies. From anyone else all of the family is dropped and written anew: Forwarded too, since a backend that reads it
//! before X-Forwarded-For would otherwise believe the client. Look-alikes with `_` go as well: CGI, WSGI and their heirs read them as `-`.
//!
//! Order: [`strip_hop_by_hop`] first, then [`apply`], so that no `Connection` option reaches what the gateway writes.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONNECTION, FORWARDED, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::lists::members;
use super::trace::context::{TRACEPARENT, TRACESTATE};

#[cfg(test)]
mod tests;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is told to backends about a connection; made once for it.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionFacts {
    /// Whether the source may say who came before it.
    trusted: bool,
    x_forwarded_for: HeaderValue,
    x_forwarded_port: HeaderValue,
    x_forwarded_proto: HeaderValue,
    /// This hop as RFC 7239 section 4 has it: `for=192.0.2.1;proto=https`.
    forwarded: String,
}

impl ConnectionFacts {
    /// Of a connection from `client` to our `port`.
    pub(crate) fn new(client: IpAddr, https: bool, port: u16, trusted: bool) -> Self {
        // A client of IPv4 on a socket of IPv6 is still a client of IPv4.
        let client = client.to_canonical();
        let scheme = if https { "https" } else { "http" };
        let node = match client {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let client = HeaderValue::from_maybe_shared(Bytes::from(client.to_string()));
        Self {
            trusted,
            x_forwarded_for: client.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            x_forwarded_port: HeaderValue::from(port),
            x_forwarded_proto: HeaderValue::from_static(scheme),
            forwarded: format!("for={node};proto={scheme}"),
        }
    }
}

/// Writes the headers. `host` is what the client asked for: Host or `:authority`.
pub(crate) fn apply(headers: &mut HeaderMap, facts: &ConnectionFacts, host: Option<&HeaderValue>) {
    remove_where(headers, |name| {
        let look_alike = name.contains('_');
        (look_alike || !facts.trusted) && is_of_family(name)
    });
    // Of Forwarded and X-Forwarded-For the sender may have written one only: a Forwarded that starts here would deny who came before.
    if headers.contains_key(FORWARDED) || !headers.contains_key(&X_FORWARDED_FOR) {
        let host = host.map(HeaderValue::as_bytes).filter(|host| is_quotable(host));
        match host {
            Some(host) => append(headers, FORWARDED, &[facts.forwarded.as_bytes(), b";host=\"", host, b"\""]),
            None => append(headers, FORWARDED, &[facts.forwarded.as_bytes()]),
        }
    }
    if headers.contains_key(&X_FORWARDED_FOR) {
        append(headers, X_FORWARDED_FOR, &[facts.x_forwarded_for.as_bytes()]);
    } else {
        headers.insert(X_FORWARDED_FOR, facts.x_forwarded_for.clone());
    }
    keep_or_set(headers, X_FORWARDED_PROTO, Some(&facts.x_forwarded_proto), is_scheme);
    keep_or_set(headers, X_FORWARDED_PORT, Some(&facts.x_forwarded_port), is_port);
    keep_or_set(headers, X_FORWARDED_HOST, host, |value| !value.is_empty());
}

/// Removes what concerns this connection only. An upgrade or `te: trailers` that is wanted further on is for the caller to write again;
/// `te: trailers` stays, for gRPC cannot do without.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let trailers = members(headers, &TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    let options: Vec<HeaderName> = members(headers, &CONNECTION)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !is_end_to_end(name))
        .collect();
    for name in &options {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Of one connection, whether `Connection` names them or not. Proxy-Authorization and -Authenticate are between a client and its proxy.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    http::header::PROXY_AUTHENTICATE,
    http::header::PROXY_AUTHORIZATION,
];

/// Whether a field is one of those above.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Fields that no `Connection` option takes away: they are meant for all recipients (which RFC 9110 section 7.6.1 forbids to name there),
/// and a backend would decide something else without them. Naming them is an attack: it makes the proxy drop a credential, a cache rule
/// or the very framing.
fn is_end_to_end(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 18] = [
        HOST,
        http::header::ACCEPT,
        http::header::ACCEPT_ENCODING,
        http::header::AUTHORIZATION,
        http::header::CACHE_CONTROL,
        http::header::CONTENT_ENCODING,
        http::header::CONTENT_LENGTH,
        http::header::CONTENT_RANGE,
        http::header::CONTENT_TYPE,
        http::header::COOKIE,
        http::header::LOCATION,
        http::header::ORIGIN,
        http::header::SET_COOKIE,
        http::header::TRAILER,
        http::header::VARY,
        http::header::WWW_AUTHENTICATE,
        TRACEPARENT,
        TRACESTATE,
    ];
    NAMES.contains(name) || is_of_family(name.as_str())
}

/// Whether a header claims something about the connection; `_` counts as `-`.
fn is_of_family(name: &str) -> bool {
    const PREFIX: &str = "x-forwarded-";
    let begins = name.get(..PREFIX.len()).is_some_and(|start| same_name(start, PREFIX));
    begins || same_name(name, "forwarded") || same_name(name, "x-real-ip")
}

/// Whether two names are the same to a backend that reads `_` as `-`; `known` has no `_`. Header names are in lower case.
pub(super) fn same_name(name: &str, known: &str) -> bool {
    let same = |(name, known): (u8, u8)| name == known || (name == b'_' && known == b'-');
    name.len() == known.len() && name.bytes().zip(known.bytes()).all(same)
}

/// Removes every header whose name holds.
pub(super) fn remove_where(headers: &mut HeaderMap, condition: impl Fn(&str) -> bool) {
    // No allocation unless there is something to remove.
    let found: Vec<HeaderName> = headers.keys().filter(|name| condition(name.as_str())).cloned().collect();
    for name in &found {
        headers.remove(name);
    }
}

/// Adds to a list, on one line: backends that read the first or the last line only shall see it whole.
fn append(headers: &mut HeaderMap, name: HeaderName, element: &[&[u8]]) {
    let before: usize = headers.get_all(&name).iter().map(|line| line.len() + 2).sum();
    let mut line = Vec::with_capacity(before + element.iter().map(|part| part.len()).sum::<usize>());
    for known in headers.get_all(&name) {
        line.extend_from_slice(known.as_bytes());
        line.extend_from_slice(b", ");
    }
    element.iter().for_each(|part| line.extend_from_slice(part));
    if let Ok(line) = HeaderValue::from_maybe_shared(Bytes::from(line)) {
        headers.insert(name, line);
    }
}

/// Whether a host can stand in quotes (RFC 9110 section 5.6.4).
fn is_quotable(host: &[u8]) -> bool {
    !host.is_empty()
        && host
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

/// Leaves a value that a trusted proxy has written, if it is one and makes sense.
fn keep_or_set(headers: &mut HeaderMap, name: HeaderName, ours: Option<&HeaderValue>, makes_sense: fn(&[u8]) -> bool) {
    let mut values = headers.get_all(&name).iter();
    if values.next().is_some_and(|value| makes_sense(value.as_bytes())) && values.next().is_none() {
        return;
    }
    match ours {
        Some(ours) => {
            headers.insert(name, ours.clone());
        }
        None => {
            headers.remove(name);
        }
    }
}

fn is_scheme(value: &[u8]) -> bool {
    matches!(value, b"http" | b"https")
}

fn is_port(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|value| value.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<u16>().is_ok())
}
