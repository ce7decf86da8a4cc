use super::*;
use crate::postgres::{GSSENC_REQUEST, SSL_REQUEST};

const STARTUP: &[u8] = b"\0\0\0\x16\0\x03\0\0user\0postgres\0\0";
const CANCEL: &[u8] = &[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 2];

/// First bytes, what they are, and how many of them it takes to know.
const KNOWN: &[(&[u8], Preface, usize)] = &[
    (&[22, 3, 1, 2, 0], Preface::Tls, 1),
    (&[21, 3, 3, 0, 2, 1, 0], Preface::Tls, 1),
    (&SSL_REQUEST, Preface::PostgresSslRequest, 8),
    (&GSSENC_REQUEST, Preface::PostgresGssEncRequest, 8),
    (STARTUP, Preface::PostgresStartup, 8),
    (b"\0\0\0\x16\0\x02\0\0", Preface::PostgresStartup, 8),
    (CANCEL, Preface::PostgresCancel, 8),
    (b"GET / HTTP/1.1\r\n", Preface::Http, 4),
    (b"OPTIONS * HTTP/1.1\r\n", Preface::Http, 8),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Preface::Http, 14),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Preface::ProxyHeader, 6),
    (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Preface::ProxyHeader, 12),
    (&[0x80, 0x2e, 1, 0, 2, 0, 0x15], Preface::SslV2, 5),
    (&[0x80, 0x2e, 1, 3, 1, 0, 0x15], Preface::SslV2, 4),
    // A length that PostgreSQL does not take; an SSLRequest and a CancelRequest of the wrong length; an unknown code.
    (&[0, 1], Preface::Other, 2),
    (&[0, 0, 0xff, 0xff], Preface::Other, 4),
    (&[0, 0, 0, 7], Preface::Other, 4),
    (&[0, 0, 0, 9, 0x04, 0xd2, 0x16, 0x2f], Preface::Other, 8),
    (&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2e], Preface::Other, 8),
    (&[0, 0, 0, 8, 0, 4, 0, 0], Preface::Other, 8),
    (b"SSH-2.0-OpenSSH_9.2\r\n", Preface::Other, 1),
    (b"GETTING", Preface::Other, 4),
    (b"get / HTTP/1.1\r\n", Preface::Other, 1),
    (b"\r\nhello", Preface::Other, 3),
    (&[0xff, 0xfb, 0x25], Preface::Other, 3),
    (&[19], Preface::Other, 1),
    (&[25], Preface::Other, 1),
];

#[test]
fn first_bytes_are_known_as_soon_as_they_can_be_and_for_good() {
    for (bytes, preface, enough) in KNOWN {
        for length in 0..bytes.len() + 1 {
            let expected = if length < *enough { Preface::NeedMore } else { *preface };
            assert_eq!(
                classify(&bytes[..length]),
                expected,
                "{length} bytes of {}",
                bytes.escape_ascii()
            );
        }
    }
}

#[test]
fn http_answer_is_sound() {
    let text = std::str::from_utf8(HTTP_ANSWER).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{}",
        body.len()
    );
}
