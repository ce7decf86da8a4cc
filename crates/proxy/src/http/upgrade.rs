//! Connections that stop being HTTP: WebSocket, or whatever else client and backend agree on.
//!
//! HTTP/1.1's Upgrade is passed on; HTTP/2's extended CONNECT (RFC 8441) becomes one towards the backend. After the backend's 101 bytes are
//! relayed until both sides are done, nothing moves for too long, or the connection must end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::body::ResponseBody;
use super::forwarded;
use super::lists::members;
use super::respond::Served;
use crate::relay::{End, RelayEnd, Traffic, relay};
use crate::scope::lock;

/// Both ends of an upgrade.
pub(super) struct Relay {
    client: OnUpgrade,
    backend: OnUpgrade,
}

/// Finds out what protocol a request wants to turn to, and writes an extended CONNECT as HTTP/1.1 has it.
#[cold]
pub(crate) fn wishes<B>(request: &mut Request<B>, wish: &mut Option<(OnUpgrade, HeaderValue)>, connect: &mut bool) {
    if *request.method() == Method::CONNECT {
        let protocol = request.extensions().get::<hyper::ext::Protocol>();
        let Some(protocol) = protocol.and_then(|protocol| passed_on(protocol.as_str().as_bytes())) else {
            return;
        };
        *connect = true;
        *wish = Some((hyper::upgrade::on(&mut *request), protocol));
        *request.method_mut() = Method::GET;
        request.headers_mut().entry(SEC_WEBSOCKET_KEY).or_insert_with(key);
        return;
    }
    if let Some(protocol) = asked(request.headers()) {
        *wish = Some((hyper::upgrade::on(&mut *request), protocol));
    }
}

/// The protocol of an Upgrade: the first that is passed on.
fn asked(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut options = members(headers, &CONNECTION);
    options.any(|option| option.eq_ignore_ascii_case(b"upgrade")).then_some(())?;
    members(headers, &UPGRADE).find_map(passed_on)
}

/// Requests inside another HTTP, or inside TLS that begins only then (RFC 2817), would get past our rules. HTTP/2 in clear text begins
/// with its preface; the upgrade to it is obsolete (RFC 9113 section 3.1).
fn passed_on(protocol: &[u8]) -> Option<HeaderValue> {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    let is_ours = OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours));
    let is_token = !name.is_empty() && protocol.iter().all(u8::is_ascii_graphic);
    (is_token && !is_ours).then(|| HeaderValue::from_bytes(protocol).ok())?
}

/// Protocols that are spoken by the gateway itself or not at all.
const OURS: [&[u8]; 5] = [b"h2c", b"h2", b"h3", b"http", b"tls"];

/// 16 bytes in base64; it proves to a client that the server speaks WebSocket, and here there is no client that asks.
fn key() -> HeaderValue {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = || {
        ALPHABET
            .get(usize::try_from(crate::draw::below(64)).unwrap_or(0))
            .copied()
            .unwrap_or(b'A')
    };
    let mut key: Vec<u8> = (0..21).map(|_| letter()).collect();
    // The last letter of 16 bytes has four bits that are 0.
    key.extend_from_slice(b"A==");
    HeaderValue::from_bytes(&key).unwrap_or_else(|_| HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

/// The backend has taken up the protocol.
#[cold]
pub(super) fn accept(served: &Arc<Served>, client: OnUpgrade, response: &mut Response<ResponseBody>, connect: bool) {
    let backend = hyper::upgrade::on(&mut *response);
    let relay = Relay { client, backend };
    if connect {
        forwarded::strip_hop_by_hop(response.headers_mut());
        response.headers_mut().remove(http::header::SEC_WEBSOCKET_ACCEPT);
        *response.status_mut() = StatusCode::OK;
        let busy = served.activity.hold();
        tokio::spawn(async move {
            let _ = relay.run().await;
            drop(busy);
        });
    } else {
        let protocol = response.headers().get(UPGRADE).cloned();
        forwarded::strip_hop_by_hop(response.headers_mut());
        keep(response.headers_mut(), protocol);
        *lock(&served.upgrade) = Some(relay);
    }
}

fn keep(headers: &mut HeaderMap, protocol: Option<HeaderValue>) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
    }
}

impl Relay {
    /// Moves bytes until both sides are done, or nothing moves any more.
    pub(super) async fn run(self) -> io::Result<()> {
        let (client, backend) = tokio::try_join!(self.client, self.backend).map_err(io::Error::other)?;
        let (mut client, mut backend) = (Was(TokioIo::new(client)), Was(TokioIo::new(backend)));
        // The connection meters what the client's side moves.
        match relay(&mut client, &mut backend, Some(LONGEST_SILENCE), &Traffic::default()).await {
            RelayEnd::Closed => Ok(()),
            RelayEnd::Idle => Err(io::ErrorKind::TimedOut.into()),
            RelayEnd::Failed { error, .. } => Err(error),
        }
    }
}

/// One end of what was HTTP.
struct Was(TokioIo<Upgraded>);

impl End for Was {
    fn is_plain(&self) -> bool {
        false
    }

    fn socket(&self) -> Option<&TcpStream> {
        None
    }

    fn socket_mut(&mut self) -> Option<&mut TcpStream> {
        None
    }
}

impl AsyncRead for Was {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Was {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}

/// WebSockets live long and say little; pings of either side keep them.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(connection: &'static str, upgrade: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
        for line in upgrade {
            headers.append(UPGRADE, HeaderValue::from_static(line));
        }
        asked(&headers).map(|protocol| protocol.to_str().expect("text").to_owned())
    }

    #[test]
    fn an_upgrade_to_what_would_get_past_our_rules_is_not_passed_on() {
        assert_eq!(asks("keep-alive, Upgrade", &["websocket"]).as_deref(), Some("websocket"));
        assert_eq!(asks("upgrade", &["h2c, WebSocket"]).as_deref(), Some("WebSocket"));
        assert_eq!(asks("upgrade", &["HTTP/2.0", "foo/1"]).as_deref(), Some("foo/1"));
        for nothing in ["h2c", "H2C , h2", "TLS/1.0, HTTP/1.1", "", ","] {
            assert_eq!(asks("upgrade", &[nothing]), None, "{nothing}");
        }
        assert_eq!(asks("keep-alive", &["websocket"]), None);
    }
}
