//! HTTP/2 backends that refuse, go away or fall silent, written frame by frame: what is sent again, and whose fault it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, Request};
use sealway_core::{BackendProtocol, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::flood::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame};
use crate::http_kit::*;
use crate::kit::{Authority, Gateway, config, free_port, until, within};
use crate::rig::{Pair, keys};

/// A backend that answers each request with these bytes: of the connection's number, the request's among all, and the stream.
struct Scripted {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Scripted {
    async fn start(answer: impl Fn(usize, u32) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scripted = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            open: Arc::default(),
        };
        let (requests, open) = (Arc::clone(&scripted.requests), Arc::clone(&scripted.open));
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (requests, open, answer) = (Arc::clone(&requests), Arc::clone(&open), Arc::clone(&answer));
                tokio::spawn(async move {
                    open.fetch_add(1, Ordering::SeqCst);
                    let _ = talk(stream, &requests, &*answer).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        scripted
    }

    fn target(&self) -> Target {
        h2c("scripted", vec![self.address])
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

async fn talk(
    mut stream: TcpStream,
    requests: &AtomicUsize,
    answer: &(dyn Fn(usize, u32) -> Vec<u8> + Sync),
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    assert_eq!(preface, PREFACE);
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        stream.read_exact(&mut vec![0; length]).await?;
        if head[3] == HEADERS {
            let number = requests.fetch_add(1, Ordering::SeqCst);
            let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            stream.write_all(&answer(number, id)).await?;
        }
    }
}

fn h2c(service: &str, endpoints: Vec<SocketAddr>) -> Target {
    let mut backend = backend(service, endpoints);
    backend.protocol = BackendProtocol::H2c;
    Target::Backend(Arc::new(backend))
}

/// `:status: 204` of the static table.
fn no_content(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &[0x89])
}

fn refused(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &7_u32.to_be_bytes())
}

/// The backend has processed nothing.
fn going_away() -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[0; 8])
}

fn empty_post() -> Request<Body> {
    let mut request = get("a", "/");
    *request.method_mut() = Method::POST;
    request
}

#[tokio::test]
async fn request_that_a_backend_has_not_processed_is_sent_again_whatever_its_method() {
    let refuses_first = |number, stream| if number == 0 { refused(stream) } else { no_content(stream) };
    let goes_away_first = |number, stream| if number == 0 { going_away() } else { no_content(stream) };
    for server in [Scripted::start(refuses_first).await, Scripted::start(goes_away_first).await] {
        let (_gateway, address) = serving(everything(rule(server.target())));
        assert_eq!(ask(address, empty_post()).await.status, 204);
        assert_eq!(server.requests(), 2);
    }
}

#[tokio::test]
async fn request_that_may_have_been_processed_is_not_sent_again() {
    // An error of the stream's that says nothing of how far it got.
    let breaks = |_, stream| frame(RST_STREAM, 0, stream, &2_u32.to_be_bytes());
    let server = Scripted::start(breaks).await;
    let (_gateway, address) = serving(everything(rule(server.target())));
    let answer = ask(address, empty_post()).await;
    assert_eq!((answer.status, answer.text()), (502, "backend_closed"));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn endpoint_that_refuses_everything_is_set_aside() {
    let (bad, good) = (
        Scripted::start(|_, stream| refused(stream)).await,
        Scripted::start(|_, stream| no_content(stream)).await,
    );
    let (_gateway, address) = serving(everything(rule(h2c("two", vec![bad.address, good.address]))));
    for _ in 0..40 {
        assert_eq!(ask(address, empty_post()).await.status, 204);
    }
    assert_eq!(bad.requests(), 5 * 3, "five requests, each sent three times");
}

/// Time passes by itself while nothing else happens.
#[tokio::test(start_paused = true)]
async fn connection_whose_pings_are_not_answered_costs_no_request_that_may_be_repeated() {
    let server = Scripted::start(|number, stream| if number == 1 { Vec::new() } else { no_content(stream) }).await;
    let (_gateway, address) = serving(everything(rule(server.target())));
    let mut client = client1(address).await;
    for _ in 0..2 {
        client.ready().await.unwrap();
        assert_eq!(client.send_request(get("a", "/")).await.unwrap().status(), 204);
    }
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn silent_or_aborted_upload_is_the_clients_fault() {
    for version in [Version::Http1, Version::Http2] {
        let (one, two) = (start(version).await, start(version).await);
        let mut both = backend("both", [one.address, two.address]);
        if version == Version::Http2 {
            both.protocol = BackendProtocol::H2c;
        }
        let mut config = config();
        config.http.body_timeout = Duration::from_millis(50);
        let (gateway, address) = serving_with(config, everything(rule(Target::Backend(Arc::new(both)))));
        let refused = |reason: &str| gateway.sum("sealway_http_refusals_total", &[&format!("reason=\"{reason}\"")]);
        for round in 1..=6 {
            // In turn: what a client spoils falls to the first, what it does not to the second.
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
                .await
                .unwrap();
            if round % 2 == 0 {
                let answer = String::from_utf8(crate::kit::rest(&mut stream).await).unwrap();
                assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
            } else {
                drop(stream);
                until(|| gateway.metrics(), || refused("client_gone") == round / 2 + 1).await;
            }
            assert_eq!(ask(address, get("a", "/")).await.status, 200);
        }
        assert_eq!((refused("body_timeout"), refused("client_gone")), (3, 3));
        for _ in 0..4 {
            ask(address, get("a", "/")).await;
        }
        assert_eq!((one.count(), two.count()), (2, 8), "the first still gets its turn");
    }
}

async fn start(version: Version) -> HttpServer {
    HttpServer::start(version, |_| http::Response::new(text("ok"))).await
}

#[tokio::test]
async fn shared_connection_that_is_idle_for_long_is_closed() {
    let server = Scripted::start(|_, stream| no_content(stream)).await;
    let mut config = config();
    config.http.backend_idle_timeout = Duration::from_millis(100);
    let (_gateway, address) = serving_with(config, everything(rule(server.target())));
    assert_eq!(ask(address, get("a", "/")).await.status, 204);
    until(|| "it is closed", || server.open() == 0).await;
    assert_eq!(within(ask(address, get("a", "/"))).await.status, 204);
}

#[tokio::test]
async fn connections_to_endpoints_that_are_gone_are_closed() {
    let (before, after) = (
        Scripted::start(|_, stream| no_content(stream)).await,
        Scripted::start(|_, stream| no_content(stream)).await,
    );
    let (gateway, address) = serving(everything(rule(h2c("moves", vec![before.address]))));
    assert_eq!(ask(address, get("a", "/")).await.status, 204);
    assert_eq!(before.open(), 1);
    let moved = everything(rule(h2c("moves", vec![after.address])));
    gateway.publish([http_snapshot(address.port(), moved)]);
    until(|| "it is closed", || before.open() == 0).await;
    assert_eq!(ask(address, get("a", "/")).await.status, 204);
    assert_eq!((before.requests(), after.requests()), (1, 1));
}

#[tokio::test]
async fn connections_with_a_certificate_that_was_replaced_are_closed() {
    let server = Scripted::start(|_, stream| no_content(stream)).await;
    let plan = Arc::new(everything(rule(server.target())));
    let authority = Authority::new();
    let (old, new) = (Pair::new(&authority, &["old"]), Pair::new(&authority, &["new"]));
    let gateway = Gateway::start(config());
    let port = free_port();
    let publish = |pair: &Pair| {
        let mut snapshot = http_snapshot(port, everything(rule(server.target())));
        snapshot.ports.values_mut().for_each(|kept| *kept = Arc::clone(&plan));
        snapshot.client_certificate = Some(Arc::clone(&pair.served));
        gateway.publish_with([snapshot], &keys([&old, &new]));
    };
    publish(&old);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(ask(address, get("a", "/")).await.status, 204);
    assert_eq!(server.open(), 1);
    publish(&new);
    until(|| "it is closed", || server.open() == 0).await;
    assert_eq!(ask(address, get("a", "/")).await.status, 204);
}
