//! What a client's request begins with: which HTTP it is, whom it is for, how it is framed, what of it travels on.
//!
//! Read as the first bytes of a connection, and as lines: `METHOD TARGET VERSION`, then `name: value` each, as hyper hands them over.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use ::http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use tokio::io::{AsyncRead, ReadBuf};

use crate::http::forwarded::{self, ConnectionFacts};
use crate::http::{hygiene, opening, upgrade};

/// What is let through is one request for one host, and says of its connection what is true.
pub fn http_head(bytes: &[u8]) {
    opens_the_same_however_it_is_cut(bytes);
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(mut parts) = lines.next().and_then(first_line) else {
        return;
    };
    parts.headers = super::headers(lines);
    has_one_host_and_one_framing(&parts);
    for trusted in [false, true] {
        tells_the_truth(&parts, trusted);
    }
    never_becomes_http_again(parts);
}

fn first_line(line: &[u8]) -> Option<Parts> {
    let mut words = line.split(|byte| *byte == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let target = Uri::try_from(words.next()?).ok()?;
    let version = match words.next() {
        Some(b"1.0") => Version::HTTP_10,
        Some(b"2") => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let request = Request::builder().method(method).uri(target).version(version);
    Some(request.body(()).ok()?.into_parts().0)
}

fn opens_the_same_however_it_is_cut(bytes: &[u8]) {
    let whole = now(opening(&mut &*bytes));
    let stepwise = now(opening(&mut OneByOne(bytes)));
    match (whole, stepwise) {
        (Ok((protocol, read)), Ok((again, first))) => {
            assert_eq!(protocol, again);
            // What was read to know it is not lost.
            assert!(bytes.starts_with(&read) && read.starts_with(&first));
        }
        (Err(reason), Err(again)) => assert_eq!(reason, again),
        (whole, stepwise) => panic!("{whole:?}, but byte by byte {stepwise:?}"),
    }
}

fn has_one_host_and_one_framing(parts: &Parts) {
    let Ok(target) = hygiene::check(parts) else { return };
    for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        assert!(parts.headers.get_all(&name).iter().count() <= 1, "{name}");
    }
    assert!(parts.uri.path().starts_with('/'));
    let Some(authority) = &target.authority else {
        return assert_eq!((parts.version, target.host()), (Version::HTTP_10, None));
    };
    let host = target.host().unwrap_or_default();
    let is_bad = |byte: u8| byte.is_ascii_uppercase() || !byte.is_ascii_graphic() || b"/\\@?#,;\"<>".contains(&byte);
    assert!(!host.bytes().any(is_bad), "{host}");
    let (named, rest) = authority.as_bytes().split_at(host.len());
    assert!(named.eq_ignore_ascii_case(host.as_bytes()), "{authority:?}");
    let port = rest.strip_prefix(b".").unwrap_or(rest);
    assert!(
        port.is_empty() || (port.starts_with(b":") && port.iter().skip(1).all(u8::is_ascii_digit)),
        "{authority:?}"
    );
    // A backend that reads Host as we do reads the same.
    let path = match parts.uri.query() {
        Some(query) => format!("{}?{query}", parts.uri.path()),
        None => parts.uri.path().to_owned(),
    };
    let onward = Request::builder().uri(path).header(HOST, authority).body(());
    let onward = onward.map(|request| request.into_parts().0);
    let again = onward.map(|onward| hygiene::check(&onward).map(|again| again.host().map(str::to_owned)));
    assert!(matches!(again, Ok(Ok(again)) if again.as_deref() == target.host()));
}

fn tells_the_truth(parts: &Parts, trusted: bool) {
    let mut headers = parts.headers.clone();
    forwarded::strip_hop_by_hop(&mut headers);
    for name in headers.keys().filter(|name| forwarded::is_hop_by_hop(name)) {
        assert!(*name == TE && is(&headers, TE, "trailers"), "{name}");
    }
    for name in [HOST, AUTHORIZATION, CONTENT_LENGTH, COOKIE] {
        assert!(headers.get_all(&name).iter().eq(parts.headers.get_all(&name)), "{name}");
    }

    let facts = ConnectionFacts::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), true, 8443, trusted);
    forwarded::apply(&mut headers, &facts, parts.headers.get(HOST));
    for name in headers.keys().map(HeaderName::as_str) {
        let known = name.replace('_', "-");
        let family = known.starts_with("x-forwarded-") || known == "forwarded" || known == "x-real-ip";
        assert!(!family || !name.contains('_'), "{name}");
        let is_ours = ["for", "host", "port", "proto"]
            .map(|end| format!("x-forwarded-{end}"))
            .contains(&known);
        assert!(!family || trusted || is_ours || known == "forwarded", "{name}");
    }
    let ours = "for=192.0.2.1;proto=https";
    let one = |name: &'static str| {
        let mut lines = headers.get_all(name).iter();
        let line = lines.next().map(HeaderValue::as_bytes).unwrap_or_default();
        assert!(lines.next().is_none(), "{name}");
        line
    };
    let hop = one("x-forwarded-for").ends_with(b"192.0.2.1");
    assert!(hop && matches!(one("x-forwarded-proto"), b"http" | b"https"));
    assert!(one("x-forwarded-port").iter().all(u8::is_ascii_digit));
    let forwarded = one("forwarded");
    let told = forwarded.windows(ours.len()).any(|part| part == ours.as_bytes());
    assert!(told || (trusted && forwarded.is_empty() && !headers.contains_key(FORWARDED)));
    if !trusted {
        assert!(is(&headers, HeaderName::from_static("x-forwarded-for"), "192.0.2.1"));
        assert!(is(&headers, HeaderName::from_static("x-forwarded-port"), "8443"));
        assert!(is(&headers, HeaderName::from_static("x-forwarded-proto"), "https"));
        assert!(forwarded.starts_with(ours.as_bytes()));
    }
}

fn never_becomes_http_again(parts: Parts) {
    let is_connect = parts.method == Method::CONNECT;
    let lines = parts.headers.get_all(CONNECTION).iter();
    let asked = lines
        .map(|value| value.as_bytes().to_ascii_lowercase())
        .collect::<Vec<_>>()
        .join(&b',');
    let h2c = parts.headers.get(UPGRADE).is_some_and(|value| value == "h2c");
    let mut request = Request::from_parts(parts, ());
    let protocol = hyper::ext::Protocol::from_static(if h2c { "h2c" } else { "websocket" });
    request.extensions_mut().insert(protocol);
    let (mut wish, mut connect) = (None, false);
    upgrade::wishes(&mut request, &mut wish, &mut connect);
    let Some((_, protocols)) = wish else {
        return assert!(!connect);
    };
    assert_eq!(connect, is_connect);
    assert!(connect || asked.windows(7).any(|word| word == b"upgrade"));
    let protocols = protocols.as_bytes().to_ascii_lowercase();
    for protocol in protocols.split(|byte| *byte == b',') {
        assert!(!matches!(
            protocol.trim_ascii(),
            b"h2c" | b"h2" | b"http" | b"http/1.1" | b"http/2.0"
        ));
    }
}

fn is(headers: &HeaderMap, name: HeaderName, value: &str) -> bool {
    headers.get_all(name).iter().eq([value])
}

/// Bytes that come one at a time.
struct OneByOne<'a>(&'a [u8]);

impl AsyncRead for OneByOne<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if let Some((first, rest)) = self.0.split_first() {
            buffer.put_slice(&[*first]);
            self.0 = rest;
        }
        Poll::Ready(Ok(()))
    }
}

/// Runs what never waits.
fn now<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}
