//! Bodies in both directions: large ones, trailers, upgrades.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use sealway_core::Mirror;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::http_kit::*;
use crate::kit::{until, within};

const LARGE: usize = 10 * 1024 * 1024;

fn pattern(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at % 251) as u8).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn ten_mebibytes_go_up_and_come_back_unchanged() {
    for version in [Version::Http1, Version::Http2] {
        let server = HttpServer::start(version, |heard| Response::new(text(heard.body))).await;
        let (gateway, address) = serving(everything(rule(speaking(version, &server))));
        let request = || Request::post("/").header("host", "a").body(text(pattern(LARGE))).unwrap();
        for answer in [ask(address, request()).await, ask2(address, request()).await] {
            assert!(answer.body == pattern(LARGE));
        }
        let sent = || gateway.sum("sealway_http_requests_total", &["code=\"200\""]);
        until(|| gateway.metrics(), || sent() == 2).await;
    }
}

/// A body without end that counts what is taken of it.
pub(crate) fn endless(taken: &Arc<AtomicUsize>) -> Body {
    let taken = Arc::clone(taken);
    let chunk = Bytes::from(vec![0; 16 * 1024]);
    let frames = std::iter::repeat_with(move || {
        taken.fetch_add(chunk.len(), Ordering::SeqCst);
        Ok::<_, Infallible>(Frame::data(chunk.clone()))
    });
    StreamBody::new(Iter(frames)).boxed()
}

pub(crate) struct Iter<I>(pub(crate) I);

impl<I: Iterator + Unpin> futures_core::Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

#[tokio::test]
async fn slow_reader_holds_up_the_backend() {
    let taken = Arc::new(AtomicUsize::new(0));
    let gives = Arc::clone(&taken);
    let server = HttpServer::start(Version::Http1, move |_| Response::new(endless(&gives))).await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let mut client = client2(address).await;
    let request = Request::get("http://a/").body(nothing()).unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    let held = settled(&taken).await;
    assert!(held < 32 * 1024 * 1024, "{held}");
    drop(response);
}

/// Waits until what was taken grows no more although there is more: all buffers on the way are full.
async fn settled(taken: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    while before != taken.load(Ordering::SeqCst) || before == 0 {
        before = taken.load(Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    before
}

/// Takes a request, and nothing of its body until it is told to.
async fn slow_backend(version: Version) -> (HttpServer, Arc<Notify>) {
    let gate = Arc::new(Notify::new());
    let opens = Arc::clone(&gate);
    let server = HttpServer::serve(version, Arc::default(), move |request: Request<hyper::body::Incoming>| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {}
            Response::new(nothing())
        }
    })
    .await;
    (server, opens)
}

#[tokio::test]
async fn slow_backend_holds_up_the_client() {
    for backend in [Version::Http1, Version::Http2] {
        for client in [Version::Http1, Version::Http2] {
            let (server, gate) = slow_backend(backend).await;
            let (_gateway, address) = serving(everything(rule(speaking(backend, &server))));
            let taken = Arc::new(AtomicUsize::new(0));
            let request = Request::post("http://a/").header("host", "a").body(endless(&taken)).unwrap();
            let _answer = match client {
                Version::Http1 => {
                    let mut client = client1(address).await;
                    tokio::spawn(async move { client.send_request(request).await.map(drop) })
                }
                Version::Http2 => {
                    let mut client = client2(address).await;
                    tokio::spawn(async move { client.send_request(request).await.map(drop) })
                }
            };
            // Mostly what the kernel holds for four sockets.
            let held = settled(&taken).await;
            assert!(held < 32 * 1024 * 1024, "{held}");
            // It was the backend that held it up: when it reads, more comes.
            gate.notify_one();
            until(|| "more is taken", || taken.load(Ordering::SeqCst) > 2 * held).await;
        }
    }
}

#[tokio::test]
async fn slow_reader_of_http1_holds_up_the_backend() {
    for backend in [Version::Http1, Version::Http2] {
        let taken = Arc::new(AtomicUsize::new(0));
        let gives = Arc::clone(&taken);
        let server = HttpServer::start(backend, move |_| Response::new(endless(&gives))).await;
        let (_gateway, address) = serving(everything(rule(speaking(backend, &server))));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let held = settled(&taken).await;
        assert!(held < 32 * 1024 * 1024, "{held}");
        let mut buffer = vec![0; 64 * 1024];
        let mut read = 0;
        while read < 2 * held {
            read += within(stream.read(&mut buffer)).await.unwrap();
        }
        assert!(taken.load(Ordering::SeqCst) > held);
    }
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let server = HttpServer::start(Version::Http2, |heard| {
        let trailers = heard.trailers.unwrap_or_default();
        let frames = [Ok(Frame::data(heard.body)), Ok(Frame::trailers(trailers))];
        Response::new(StreamBody::new(Iter(frames.into_iter())).boxed())
    })
    .await;
    let (_gateway, address) = serving(everything(rule(speaking(Version::Http2, &server))));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let frames = [Ok(Frame::data(Bytes::from("x"))), Ok(Frame::trailers(trailers.clone()))];
    let body = StreamBody::new(Iter(frames.into_iter())).boxed();
    let answer = ask2(address, Request::post("/").header("host", "a").body(body).unwrap()).await;
    assert_eq!((answer.text(), answer.trailers.as_ref()), ("x", Some(&trailers)));
}

#[tokio::test]
async fn body_is_asked_for_with_100_continue() {
    let server = HttpServer::start(Version::Http1, |heard| Response::new(text(heard.body))).await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut interim = [0; 25];
    within(stream.read_exact(&mut interim)).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let answer = String::from_utf8(crate::kit::rest(&mut stream).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("body"), "{answer}");
}

/// A backend that refuses spares its client the upload; one that says nothing gets it after a while.
#[tokio::test]
async fn body_is_not_asked_for_before_the_backend_wants_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refuses = Arc::new(backend("refuses", [listener.local_addr().unwrap()]));
    let (_gateway, address) = serving(everything(rule(sealway_core::Target::Backend(refuses))));
    let head = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    for (said, told) in [
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 403 Forbidden",
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 100 Continue",
        ),
        ("", "HTTP/1.1 100 Continue"),
    ] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(head).await.unwrap();
        let (mut backend, _) = within(listener.accept()).await.unwrap();
        let mut heard = vec![0; 4096];
        let bytes = within(backend.read(&mut heard)).await.unwrap();
        let heard = std::str::from_utf8(&heard[..bytes]).unwrap();
        assert!(
            heard.contains("expect: 100-continue\r\n") && heard.ends_with("\r\n\r\n"),
            "{heard}"
        );
        backend.write_all(said.as_bytes()).await.unwrap();
        let mut first = vec![0; told.len()];
        within(client.read_exact(&mut first)).await.unwrap();
        assert_eq!(std::str::from_utf8(&first).unwrap(), told, "{said}");
        if told.contains("403") {
            // Neither side is to take what comes next for a body.
            assert!(
                String::from_utf8(crate::kit::rest(&mut client).await)
                    .unwrap()
                    .contains("connection: close")
            );
            assert_eq!(within(backend.read(&mut first)).await.unwrap(), 0);
        } else {
            client.write_all(b"body").await.unwrap();
            let mut body = [0; 4];
            within(backend.read_exact(&mut body)).await.unwrap();
            assert_eq!(&body, b"body");
        }
    }
}

/// Who sends a body and is answered before its end must hear the answer, and no reset behind it.
#[tokio::test]
async fn upload_that_is_answered_early_is_taken_to_its_end() {
    let server = HttpServer::named("one").await;
    let only_a = http_plan(vec![http_listener(
        "http",
        "a",
        routes([("", vec![prefix("", rule(to(&server)))])]),
    )]);
    let (_gateway, address) = serving(only_a);
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut client = within(client.ready()).await.unwrap();
    let request = Request::post("http://nobody/").body(()).unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 404);
    // More than the window, so it has to be opened.
    let mut left = 1024 * 1024;
    while left > 0 {
        body.reserve_capacity(left);
        let granted = within(std::future::poll_fn(|context| body.poll_capacity(context)))
            .await
            .unwrap()
            .unwrap();
        body.send_data(vec![0; granted].into(), granted == left).unwrap();
        left -= granted;
    }
    let reset = std::future::poll_fn(|context| body.poll_reset(context));
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(200), reset)
            .await
            .map_or(true, |reset| reset.is_err())
    );
}

#[tokio::test]
async fn body_that_is_no_body_is_the_clients_mistake() {
    let server = HttpServer::start(Version::Http1, |heard| Response::new(text(heard.body))).await;
    let (gateway, address) = serving(everything(rule(to(&server))));
    let answer = raw(
        address,
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(statuses(&answer), [400]);
    assert_eq!(gateway.sum("sealway_http_refusals_total", &["reason=\"invalid_body\""]), 1);
}

/// Turns to an echo after 101.
pub(crate) async fn echo() -> HttpServer {
    HttpServer::serve(
        Version::Http1,
        Arc::default(),
        |mut request: Request<hyper::body::Incoming>| {
            let upgrade = hyper::upgrade::on(&mut request);
            let wanted = request.headers().get("upgrade").cloned();
            async move {
                let mut response = Response::new(nothing());
                let Some(wanted) = wanted else { return response };
                tokio::spawn(async move {
                    let stream = TokioIo::new(upgrade.await.unwrap());
                    let (mut read, mut write) = tokio::io::split(stream);
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                });
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                response.headers_mut().insert("connection", "upgrade".parse().unwrap());
                response.headers_mut().insert("upgrade", wanted);
                response
            }
        },
    )
    .await
}

#[tokio::test]
async fn upgraded_connection_is_relayed_both_ways() {
    let server = echo().await;
    let (gateway, address) = serving(everything(rule(to(&server))));
    let mut client = client1(address).await;
    let request = Request::get("/")
        .header("host", "a")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket");
    let mut response = within(client.send_request(request.body(nothing()).unwrap())).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["upgrade"], "websocket");
    let mut stream = TokioIo::new(within(hyper::upgrade::on(&mut response)).await.unwrap());
    for _ in 0..1000 {
        stream.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        within(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"ping");
    }
    stream.shutdown().await.unwrap();
    drop(stream);
    gateway.wait_ended("closed", 1).await;
    assert!(gateway.sum("sealway_http_requests_total", &["code=\"101\""]) == 1);
}

#[tokio::test]
async fn extended_connect_becomes_an_upgrade() {
    let server = echo().await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let mut client = client2(address).await;
    // The client learns from the first answer's settings that it may.
    let plain = Request::get("http://a/").body(nothing()).unwrap();
    within(client.send_request(plain)).await.unwrap();
    let mut request = Request::connect("http://a/chat").body(nothing()).unwrap();
    request
        .extensions_mut()
        .insert(hyper::ext::Protocol::from_static("websocket"));
    let mut response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = TokioIo::new(within(hyper::upgrade::on(&mut response)).await.unwrap());
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"ping");
}

#[tokio::test]
async fn body_of_unknown_length_arrives_whatever_the_method() {
    for version in [Version::Http1, Version::Http2] {
        let server = HttpServer::start(version, |heard| Response::new(text(heard.body))).await;
        let (_gateway, address) = serving(everything(rule(speaking(version, &server))));
        for method in [Method::GET, Method::DELETE, Method::OPTIONS, Method::POST] {
            let request = || {
                let frames = [Ok(Frame::data(Bytes::from("bo"))), Ok(Frame::data(Bytes::from("dy")))];
                let request = Request::builder().method(method.clone()).uri("/").header("host", "a");
                // Of itself hyper sends no such body with GET.
                let request = request.header("transfer-encoding", "chunked");
                request.body(StreamBody::new(Iter(frames.into_iter())).boxed()).unwrap()
            };
            let mut without_coding = request();
            without_coding.headers_mut().clear();
            without_coding.headers_mut().insert("host", "a".parse().unwrap());
            for answer in [ask(address, request()).await, ask2(address, without_coding).await] {
                assert_eq!(answer.text(), "body", "{method}");
            }
        }
    }
}

#[tokio::test]
async fn upgrade_is_not_asked_of_mirrors() {
    let (server, mirror) = (echo().await, HttpServer::named("copy").await);
    let mut rule = rule(to(&server));
    rule.filters.mirrors = vec![Arc::new(Mirror {
        backend: weighted(1, to(&mirror)),
        numerator: 1,
        denominator: 1,
    })];
    let (_gateway, address) = serving(everything(rule));
    let mut client = client1(address).await;
    let request = Request::get("/")
        .header("host", "a")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket");
    let response = within(client.send_request(request.body(nothing()).unwrap())).await.unwrap();
    assert_eq!(response.status(), 101);
    until(|| "the copy", || mirror.count() == 1).await;
    assert_eq!(
        (mirror.last().header("upgrade"), mirror.last().header("connection")),
        ("", "")
    );
}
