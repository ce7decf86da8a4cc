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
pub(crate) fn wishes<B>(request: &mut Request<B>, wish: &mut Option<(OnUpgrade, HeaderValue)>, connect: &mut bool) {
    if *request.method() == Method::CONNECT {
        let protocol = request.extensions().get::<hyper::ext::Protocol>();
        let protocol = protocol.and_then(|protocol| HeaderValue::from_str(protocol.as_str()).ok());
        let Some(protocol) = protocol.filter(is_another_protocol) else {
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
    if let Some(protocol) = protocol.filter(|protocol| asked && is_another_protocol(protocol)) {
        *wish = Some((hyper::upgrade::on(&mut *request), protocol));
    }
}

/// Whether no protocol of the list (RFC 9110 section 7.8) is HTTP. HTTP/2 in clear text begins with its preface (RFC 9113 section 3.1); the
/// upgrade to it is obsolete, and would get past our rules.
fn is_another_protocol(protocols: &HeaderValue) -> bool {
    let is_http = |protocol: &[u8]| {
        let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default().trim_ascii();
        [b"h2c".as_slice(), b"h2", b"http"]
            .iter()
            .any(|http| name.eq_ignore_ascii_case(http))
    };
    !protocols.as_bytes().split(|byte| *byte == b',').any(is_http)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_of_protocols_leads_to_http_behind_our_back() {
        let wish = |method: Method, protocols: &'static str| {
            let request = Request::builder().method(method).header(CONNECTION, "keep-alive, Upgrade");
            let request = request.header(UPGRADE, protocols);
            let mut request = request
                .extension(hyper::ext::Protocol::from_static(protocols))
                .body(())
                .unwrap();
            let (mut wish, mut connect) = (None, false);
            wishes(&mut request, &mut wish, &mut connect);
            wish.is_some()
        };
        for method in [Method::GET, Method::CONNECT] {
            assert!(wish(method.clone(), "websocket"));
            for protocols in ["h2c", "H2C", "websocket, h2c", "h2c,websocket", "HTTP/2.0"] {
                assert!(!wish(method.clone(), protocols), "{method} {protocols}");
            }
        }
    }
}
