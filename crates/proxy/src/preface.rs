//! What the first bytes on a TLS port are.
//!
//! In: everything received so far. Out: a [`Preface`]. Pure, and monotone: an answer other than
//! [`Preface::NeedMore`] never changes when more bytes arrive, so how the network cut them does not matter.

use crate::postgres;
use crate::proxy_protocol::{V1_SIGNATURE, V2_SIGNATURE};

/// The protocol that a peer's first bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preface {
    /// Too few bytes to tell.
    NeedMore,
    /// A TLS record of any content type; whether it is a ClientHello is for the parser to say.
    Tls,
    /// PostgreSQL's 8-byte SSLRequest: answer `S`, drop those 8 bytes, and TLS follows.
    PostgresSslRequest,
    /// PostgreSQL's 8-byte GSSENCRequest: answer `N`, drop those 8 bytes, and the client may go on.
    PostgresGssEncRequest,
    /// A PostgreSQL start-up message in plain text.
    PostgresStartup,
    /// A PostgreSQL CancelRequest in plain text: it carries no server name.
    PostgresCancel,
    /// An HTTP request in plain text, HTTP/2's connection preface included.
    Http,
    /// A ClientHello in SSL 2.0 framing.
    SslV2,
    /// A PROXY protocol header, v1 or v2, on a listener that was not told to expect one.
    ProxyHeader,
    /// None of these.
    Other,
}

impl Preface {
    /// A stable name for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::NeedMore => "incomplete",
            Self::Tls => "tls",
            Self::PostgresSslRequest => "postgres_ssl_request",
            Self::PostgresGssEncRequest => "postgres_gssenc_request",
            Self::PostgresStartup => "postgres_startup",
            Self::PostgresCancel => "postgres_cancel",
            Self::Http => "http_request",
            Self::SslV2 => "ssl2_hello",
            Self::ProxyHeader => "proxy_header",
            Self::Other => "unknown_protocol",
        }
    }
}

/// Tells what `bytes`, everything received so far, begin with.
pub fn classify(bytes: &[u8]) -> Preface {
    match bytes {
        [] => Preface::NeedMore,
        // ChangeCipherSpec (20) to heartbeat (24), RFC 8446 section B.1 and RFC 6520.
        [20..=24, ..] => Preface::Tls,
        [0, ..] => postgres(bytes),
        [0x80..=0xff, ..] => ssl2(bytes),
        [b'\r', ..] => one_of(bytes, &[(V2_SIGNATURE, Preface::ProxyHeader)]),
        [b'A'..=b'Z', ..] => one_of(bytes, TEXT_PREFACES),
        _ => Preface::Other,
    }
}

fn postgres(bytes: &[u8]) -> Preface {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        // Any length that PostgreSQL takes fits in two bytes.
        return if bytes.iter().take(2).all(|byte| *byte == 0) {
            Preface::NeedMore
        } else {
            Preface::Other
        };
    };
    let length = u32::from_be_bytes(*length);
    if !(8..=postgres::MAX_STARTUP_BYTES).contains(&length) {
        return Preface::Other;
    }
    let Some((code, _)) = rest.split_first_chunk::<4>() else {
        return Preface::NeedMore;
    };
    match (u32::from_be_bytes(*code), length) {
        (postgres::SSL_REQUEST_CODE, 8) => Preface::PostgresSslRequest,
        (postgres::GSSENC_REQUEST_CODE, 8) => Preface::PostgresGssEncRequest,
        (postgres::CANCEL_REQUEST_CODE, postgres::MIN_CANCEL_BYTES..=postgres::MAX_CANCEL_BYTES) => Preface::PostgresCancel,
        (code, _) if postgres::STARTUP_MAJOR_VERSIONS.contains(&(code >> 16)) => Preface::PostgresStartup,
        _ => Preface::Other,
    }
}

/// SSL 2.0 framing (RFC 5246 section E.2): two bytes of length with the high bit set, message type 1, the version.
fn ssl2(bytes: &[u8]) -> Preface {
    match bytes {
        [_] | [_, _] | [_, _, 1] => Preface::NeedMore,
        [_, _, 1, 3, ..] => Preface::SslV2,
        [_, _, 1, 0] => Preface::NeedMore,
        [_, _, 1, 0, 2, ..] => Preface::SslV2,
        _ => Preface::Other,
    }
}

fn one_of(bytes: &[u8], candidates: &[(&[u8], Preface)]) -> Preface {
    let mut answer = Preface::Other;
    for (text, preface) in candidates {
        if bytes.starts_with(text) {
            return *preface;
        }
        if text.starts_with(bytes) {
            answer = Preface::NeedMore;
        }
    }
    answer
}

/// What a client that speaks plain HTTP to a TLS port is told before the connection ends.
pub const HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 57\r\n\
    Connection: close\r\n\
    \r\n\
    This port speaks TLS, not plain HTTP: use https:// here.\n";

/// The methods of RFC 9110 and PATCH, each with its space; HTTP/2's preface; PROXY protocol v1.
/// None is a prefix of another.
const TEXT_PREFACES: &[(&[u8], Preface)] = &[
    (b"GET ", Preface::Http),
    (b"HEAD ", Preface::Http),
    (b"POST ", Preface::Http),
    (b"PUT ", Preface::Http),
    (b"DELETE ", Preface::Http),
    (b"CONNECT ", Preface::Http),
    (b"OPTIONS ", Preface::Http),
    (b"TRACE ", Preface::Http),
    (b"PATCH ", Preface::Http),
    (b"PRI * HTTP/2.0", Preface::Http),
    (V1_SIGNATURE, Preface::ProxyHeader),
];

#[cfg(test)]
mod tests;
