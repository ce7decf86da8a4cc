//! W3C Trace Context: the span before, as a request tells of it, and ours, as a backend hears of it.
//!
//! In: headers of a client. Out: a [`Parent`], or none. Invariant: what is not well-formed counts as not sent; nothing of it goes on.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The span that a request was sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
    pub(crate) sampled: bool,
}

/// The one `traceparent` of these headers. Of several it cannot be known which is meant.
pub(crate) fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (only, None) = (values.next()?, values.next()) else {
        return None;
    };
    read(only.as_bytes())
}

/// `VERSION-TRACE-SPAN-FLAGS` in lower-case hexadecimal digits; a later version may say more behind another `-`.
fn read(text: &[u8]) -> Option<Parent> {
    let (&[v1, v2, b'-', ref rest @ ..], behind) = text.split_first_chunk::<LENGTH>()? else {
        return None;
    };
    let version = byte(v1, v2)?;
    match (version, behind) {
        (0xff, _) => return None,
        (0, []) | (1.., [] | [b'-', ..]) => {}
        _ => return None,
    }
    let (trace, rest) = rest.split_first_chunk::<32>()?;
    let (span, rest) = rest.strip_prefix(b"-")?.split_first_chunk::<16>()?;
    let &[b'-', f1, f2] = rest else { return None };
    Some(Parent {
        trace: number(trace)?,
        span: number(span)?,
        sampled: byte(f1, f2)? & SAMPLED != 0,
    })
}

fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// Nothing but zeros is no name.
fn number<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (to, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *to = byte(high, low)?;
    }
    (bytes != [0; N]).then_some(bytes)
}

/// A span as a `traceparent`.
pub(crate) fn traceparent(span: &Parent) -> Option<HeaderValue> {
    let mut text = String::with_capacity(LENGTH);
    let (trace, id) = (u128::from_be_bytes(span.trace), u64::from_be_bytes(span.span));
    let flags = if span.sampled { SAMPLED } else { 0 };
    // Writing to a String cannot fail.
    let _ = write!(text, "00-{trace:032x}-{id:016x}-{flags:02x}");
    HeaderValue::try_from(text).ok()
}

/// What vendors say beside it; `None`: nothing, or nothing that can be passed on.
pub(crate) fn tracestate(headers: &HeaderMap) -> Option<String> {
    let mut state = String::new();
    let mut keys: Vec<&str> = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        let text = value.to_str().ok()?;
        for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])) {
            if member.is_empty() {
                continue;
            }
            let (key, said) = member.split_once('=')?;
            if !is_key(key) || !is_value(said) || keys.contains(&key) || keys.len() == MOST_MEMBERS {
                return None;
            }
            keys.push(key);
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(member);
        }
    }
    (!state.is_empty()).then_some(state)
}

/// `vendor`, or `tenant@vendor`.
fn is_key(key: &str) -> bool {
    let is_part = |part: &str, longest: usize, may_begin_with_digit: bool| {
        let begins = |first: u8| first.is_ascii_lowercase() || (may_begin_with_digit && first.is_ascii_digit());
        let goes_on = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte);
        part.len() <= longest && part.bytes().next().is_some_and(begins) && part.bytes().all(goes_on)
    };
    match key.split_once('@') {
        None => is_part(key, 256, false),
        Some((tenant, vendor)) => is_part(tenant, 241, true) && is_part(vendor, 14, false),
    }
}

fn is_value(value: &str) -> bool {
    let is_written = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b',' && byte != b'=';
    !value.is_empty() && value.len() <= 256 && value.bytes().all(is_written) && !value.ends_with(' ')
}

const SAMPLED: u8 = 1;
/// Of version 00, and of what a later version begins with.
const LENGTH: usize = 55;
/// Of a `tracestate`.
const MOST_MEMBERS: usize = 32;

#[cfg(test)]
mod tests;
