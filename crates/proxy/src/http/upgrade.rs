//! Connections that stop being HTTP: WebSocket, or whatever else client and backend agree on.
//!
//! HTTP/1.1's Upgrade is passed on; HTTP/2's extended CONNECT (RFC 8441) becomes one towards the backend. After the backend's 101 bytes are
//! relayed until both sides are done, nothing moves for too long, or the connection must end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::time::sleep;

use super::body::ResponseBody;
use super::forwarded;
use super::respond::Served;
use crate::scope::lock;

/// Both ends of an upgrade.
pub(super) struct Relay {
    client: OnUpgrade,
    backend: OnUpgrade,
}

/// Finds out what protocol a request wants to turn to, and writes an extended CONNECT as HTTP/1.1 has it.
#[cold]
pub(super) fn wishes(request: &mut Request<Incoming>, wish: &mut Option<(OnUpgrade, HeaderValue)>, connect: &mut bool) {
    if *request.method() == Method::CONNECT {
        let protocol = request.extensions().get::<hyper::ext::Protocol>();
        let Some(protocol) = protocol.and_then(|protocol| HeaderValue::from_str(protocol.as_str()).ok()) else {
            return;
        };
        *connect = true;
        *wish = Some((hyper::upgrade::on(&mut *request), protocol));
        *request.method_mut() = Method::GET;
        request.headers_mut().entry(SEC_WEBSOCKET_KEY).or_insert_with(key);
        return;
    }
    let asked = request.headers().get(CONNECTION).is_some_and(|value| {
        let tokens = value.as_bytes().split(|byte| *byte == b',');
        tokens
            .into_iter()
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let protocol = request.headers().get(UPGRADE).cloned();
    // HTTP/2 in clear text begins with its preface (RFC 9113 section 3.1); the upgrade to it is obsolete, and would get past our rules.
    if let Some(protocol) = protocol.filter(|protocol| asked && !protocol.as_bytes().eq_ignore_ascii_case(b"h2c")) {
        *wish = Some((hyper::upgrade::on(&mut *request), protocol));
    }
}

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
        let served = Arc::clone(served);
        tokio::spawn(async move {
            let _ = relay.run(&served).await;
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
    pub(super) async fn run(self, served: &Served) -> io::Result<()> {
        let (client, backend) = tokio::try_join!(self.client, self.backend).map_err(io::Error::other)?;
        let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
        let copied = copy_bidirectional(&mut client, &mut backend);
        let silent = async {
            let moved = || {
                served
                    .activity
                    .received
                    .load(Ordering::Relaxed)
                    .wrapping_add(served.activity.sent.load(Ordering::Relaxed))
            };
            let mut before = moved();
            loop {
                sleep(LONGEST_SILENCE).await;
                let now = moved();
                if now == before {
                    return;
                }
                before = now;
            }
        };
        tokio::select! {
            copied = copied => copied.map(|_| ()),
            () = silent => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// WebSockets live long and say little; pings of either side keep them.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);
