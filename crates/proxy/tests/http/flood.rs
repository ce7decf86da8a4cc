//! HTTP/2 clients that mean harm, written frame by frame.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http_kit::*;
use crate::kit::within;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// `GET http://a/` in HPACK: three entries of the static table and one literal.
const REQUEST: &[u8] = &[0x82, 0x86, 0x84, 0x01, 1, b'a'];

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The error code of the GOAWAY that ends the connection; `None`: it ended without.
async fn goaway(stream: &mut TcpStream) -> Option<u32> {
    let mut head = [0; 9];
    loop {
        within(stream.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        within(stream.read_exact(&mut payload)).await.ok()?;
        if head[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
    }
}

const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let server = HttpServer::serve(Version::Http1, Default::default(), |_| std::future::pending()).await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut flood = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    for number in 0..2000 {
        let stream = 2 * number + 1;
        flood.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, REQUEST));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    // It may be cut while it is still sending.
    let _ = stream.write_all(&flood).await;
    assert_eq!(goaway(&mut stream).await, Some(ENHANCE_YOUR_CALM));
    assert!(server.connections() < 300, "{}", server.connections());
}

#[tokio::test]
async fn header_without_end_ends_the_connection() {
    let server = HttpServer::named("one").await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut flood = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    flood.extend(frame(HEADERS, END_STREAM, 1, REQUEST));
    for _ in 0..2000 {
        flood.extend(frame(CONTINUATION, 0, 1, &[0x00, 1, b'x', 1, b'y']));
    }
    let _ = stream.write_all(&flood).await;
    assert!(goaway(&mut stream).await.is_some());
    assert_eq!(server.count(), 0);
}
