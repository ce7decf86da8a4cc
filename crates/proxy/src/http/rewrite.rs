//! Paths as the URLRewrite and RequestRedirect filters change them.
//!
//! Job: the path and query that a backend (or a Location) gets. Input: the filter, what matched, the request's path. Invariant: a changed
//! path begins with `/`; of the filter's part only characters that RFC 3986 allows in a path are left, the client's part and its query
//! stay byte by byte towards backends, which may have signed them.

use bytes::Bytes;
use http::uri::{InvalidUri, PathAndQuery};
use sealway_core::{PathMatcher, PathModifier, Rewrite};

#[cfg(test)]
mod tests;

/// The request target towards the backend; `None`: unchanged. An error: it is too long, and the request must not go on as it came. The host
/// is for the caller to set.
pub(crate) fn path_and_query(
    rewrite: &Rewrite,
    matched: &PathMatcher,
    path: &str,
    query: Option<&str>,
) -> Option<Result<PathAndQuery, InvalidUri>> {
    let (mut target, rest) = modified_path(rewrite.path.as_ref()?, matched, path)?;
    target.push_str(rest);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    Some(PathAndQuery::from_maybe_shared(Bytes::from(target)))
}

/// The path that a modifier makes: its beginning, and what stays of the request's path. `None`: unchanged.
///
/// The table of HTTPPathModifier (apis/v1/httproute_types.go) holds: prefixes end without `/` on both sides, so what is left of the path
/// begins with `/` or is empty.
pub(super) fn modified_path<'a>(modifier: &PathModifier, matched: &PathMatcher, path: &'a str) -> Option<(String, &'a str)> {
    let (replacement, rest) = match (modifier, matched) {
        (PathModifier::Full(full), _) => (full.as_str(), ""),
        (PathModifier::Prefix(prefix), PathMatcher::Prefix(matched)) => {
            (prefix.trim_end_matches('/'), path.strip_prefix(matched.as_str())?)
        }
        // Routes that replace a prefix where none matched are not accepted; the request goes on as it came.
        (PathModifier::Prefix(_), PathMatcher::Exact(_) | PathMatcher::Pattern(_)) => return None,
    };
    let mut beginning = String::with_capacity(replacement.len() + path.len() + 1);
    let first = if replacement.is_empty() { rest } else { replacement };
    if !first.starts_with('/') {
        beginning.push('/');
    }
    push_path(&mut beginning, replacement);
    Some((beginning, rest))
}

/// Appends a path; what may not stand in one (RFC 3986 section 3.3) is percent-encoded, what is encoded already stays.
pub(super) fn push_path(target: &mut String, path: &str) {
    push_encoded(target, path, |byte| matches!(byte, b'/' | b':' | b'@'));
}

/// Appends `?` and a query, if there is one, encoded like a path; `[` and `]` stay, which forms use and every client takes.
pub(super) fn push_query(target: &mut String, query: Option<&str>) {
    if let Some(query) = query {
        target.push('?');
        push_encoded(target, query, |byte| matches!(byte, b'/' | b':' | b'@' | b'?' | b'[' | b']'));
    }
}

fn push_encoded(target: &mut String, text: &str, also: fn(u8) -> bool) {
    for byte in text.bytes() {
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let delimiter = matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        if unreserved || delimiter || byte == b'%' || also(byte) {
            target.push(char::from(byte));
        } else {
            push_percent(target, byte);
        }
    }
}

/// Appends one byte as `%XX`.
pub(super) fn push_percent(target: &mut String, byte: u8) {
    target.push('%');
    for digit in [byte >> 4, byte & 0xf] {
        target.push(char::from_digit(u32::from(digit), 16).map_or('0', |digit| digit.to_ascii_uppercase()));
    }
}
