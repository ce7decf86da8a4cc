//! What a request must be before anybody looks at what it wants.
//!
//! hyper has refused what is no HTTP: bare CR, folded lines, NUL, a Transfer-Encoding that does not end in chunked or comes with HTTP/1.0,
//! lengths that disagree, HTTP/2 fields of connections. Of Content-Length beside Transfer-Encoding it keeps the latter only and closes the
//! connection after the request (RFC 9112 section 6.1). The rest is here.

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::refusal::HttpReason;

/// Whom a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As the Host header of the request to the backend; `None`: HTTP/1.0 without one.
    pub(crate) authority: Option<HeaderValue>,
    /// Lower case, without port and trailing dot. `None`: as `authority` has it, from its beginning.
    lower: Option<Box<str>>,
    /// Length of the host within `authority`.
    length: usize,
}

impl Target {
    /// The host by which it is routed.
    pub(crate) fn host(&self) -> Option<&str> {
        match &self.lower {
            Some(lower) => Some(lower),
            None => self
                .authority
                .as_ref()
                .and_then(|authority| authority.to_str().ok()?.get(..self.length))
                .filter(|host| !host.is_empty()),
        }
    }
}

/// Makes one field of several where a backend might look at one of them only. HTTP/2 may split Cookie, which only HTTP/2 understands
/// (RFC 9113 section 8.2.3).
pub(super) fn join_fields(headers: &mut HeaderMap) {
    join(headers, &COOKIE, b"; ");
    join(headers, &EXPECT, b", ");
}

fn join(headers: &mut HeaderMap, name: &HeaderName, separator: &[u8]) {
    let mut lines = headers.get_all(name).iter();
    if lines.next().is_none() || lines.next().is_none() {
        return;
    }
    let mut lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    lines.dedup();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(separator)) {
        headers.insert(name, joined);
    }
}

/// Checks the request, and says whom it is for.
pub(crate) fn check(parts: &Parts) -> Result<Target, HttpReason> {
    if parts.method == Method::CONNECT || parts.uri.path() == "*" {
        return Err(HttpReason::Method);
    }
    check_path(parts)?;
    check_framing(&parts.headers)?;
    target(parts)
}

fn check_path(parts: &Parts) -> Result<(), HttpReason> {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let is_bad = |byte: u8| byte <= b' ' || byte == 0x7f;
    if !path.starts_with('/') || path.bytes().any(is_bad) || query.bytes().any(is_bad) || has_dot_segment(path) {
        return Err(HttpReason::InvalidPath);
    }
    Ok(())
}

/// Whether a segment is `.` or `..`, however it is written. Clients remove them (RFC 3986 section 5.2.4); one that does not wants `/public/../admin`
/// to be judged as one path and served as another.
pub(super) fn has_dot_segment(path: &str) -> bool {
    let mut rest = path.as_bytes();
    // Dots of the segment so far; `None`: it has something else.
    let mut dots = Some(0_u8);
    loop {
        let (byte, after) = match rest {
            [] => return matches!(dots, Some(1 | 2)),
            [b'%', b'2', b'e' | b'E', after @ ..] => (b'.', after),
            [b'%', b'2', b'f' | b'F', after @ ..] | [b'%', b'5', b'c' | b'C', after @ ..] => (b'/', after),
            [byte, after @ ..] => (*byte, after),
        };
        rest = after;
        dots = match (byte, dots) {
            // Java's servers take `..;x` for `..`.
            (b'/' | b'\\' | b';', Some(1 | 2)) => return true,
            (b'/' | b'\\', _) => Some(0),
            (b'.', Some(dots)) => dots.checked_add(1),
            _ => None,
        };
    }
}

fn check_framing(headers: &HeaderMap) -> Result<(), HttpReason> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(HttpReason::TransferCoding);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next()
        && (lengths.next().is_some() || length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit))
    {
        return Err(HttpReason::InvalidLength);
    }
    Ok(())
}

fn target(parts: &Parts) -> Result<Target, HttpReason> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(HttpReason::InvalidHost);
    }
    let named = parts.uri.authority().map(http::uri::Authority::as_str);
    let authority = match (parts.version, named, header) {
        (Version::HTTP_2, Some(named), Some(header)) if !header.as_bytes().eq_ignore_ascii_case(named.as_bytes()) => {
            return Err(HttpReason::HostMismatch);
        }
        // RFC 9112 section 3.2: also when the target is in absolute form.
        (Version::HTTP_11, _, None) => return Err(HttpReason::MissingHost),
        (Version::HTTP_2, None, None) => return Err(HttpReason::MissingHost),
        // RFC 9112 section 3.2.2: the absolute form wins.
        (_, Some(named), header) => match header.filter(|header| *header == named) {
            Some(header) => header.clone(),
            None => HeaderValue::from_str(named).map_err(|_| HttpReason::InvalidHost)?,
        },
        (_, None, Some(header)) => header.clone(),
        (_, None, None) => {
            return Ok(Target {
                authority: None,
                lower: None,
                length: 0,
            });
        }
    };
    let text = authority.to_str().map_err(|_| HttpReason::InvalidHost)?;
    let host = host_of(text).ok_or(HttpReason::InvalidHost)?;
    let bare = host.strip_suffix('.').unwrap_or(host);
    if bare.ends_with('.') {
        return Err(HttpReason::InvalidHost);
    }
    let (lower, length) = if bare.bytes().any(|byte| byte.is_ascii_uppercase()) {
        (Some(bare.to_ascii_lowercase().into_boxed_str()), 0)
    } else {
        (None, bare.len())
    };
    Ok(Target {
        authority: Some(authority),
        lower,
        length,
    })
}

/// The host of `host[:port]`; `None` when that is not what it is. User information is refused with everything else.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        let (host, rest) = authority.split_at_checked(end)?;
        let address = host.strip_prefix('[')?.strip_suffix(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return None,
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%');
    let is_host = host.starts_with('[') || host.bytes().all(is_name);
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_host && port.is_none_or(is_port) && (!host.is_empty() || port.is_none())).then_some(host)
}

#[cfg(test)]
mod tests;
