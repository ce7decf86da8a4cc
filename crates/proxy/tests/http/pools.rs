//! Connections to backends are kept, shared, and never mixed up.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Frame;
use sealway_core::{HttpRule, ProxyProtocol, RuleKind, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::http_kit::*;
use crate::kit::{until, within};

#[tokio::test]
async fn one_connection_serves_many_requests_of_many_clients() {
    let server = HttpServer::named("one").await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    for _ in 0..10 {
        let mut client = client1(address).await;
        for _ in 0..3 {
            client.ready().await.unwrap();
            assert_eq!(
                whole(within(client.send_request(get("a", "/"))).await.unwrap()).await.text(),
                "one"
            );
        }
    }
    assert_eq!((server.count(), server.connections()), (30, 1));
}

#[tokio::test]
async fn http2_backend_gets_all_requests_on_one_connection() {
    let server = HttpServer::start(Version::Http2, |_| Response::new(text("two"))).await;
    let (_gateway, address) = serving(everything(rule(speaking(Version::Http2, &server))));
    let asked: Vec<_> = (0..50).map(|_| tokio::spawn(ask(address, get("a", "/")))).collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().text(), "two");
    }
    assert_eq!((server.count(), server.connections()), (50, 1));
    assert_eq!(server.last().target, "http://a/");
}

#[tokio::test]
async fn grpc_goes_over_http2_whatever_the_service_says() {
    let server = HttpServer::start(Version::Http2, |heard| Response::new(text(heard.body))).await;
    let (_gateway, address) = serving(everything(HttpRule {
        kind: RuleKind::Grpc,
        ..rule(to(&server))
    }));
    let mut request = get("a", "/shop.Cart/Add");
    *request.method_mut() = Method::POST;
    *request.body_mut() = text("message");
    request
        .headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    let answer = ask2(address, request).await;
    assert_eq!((answer.status, answer.text()), (200, "message"));
    assert_eq!(server.last().header("te"), "trailers");
}

#[tokio::test]
async fn connection_that_died_while_it_was_kept_costs_no_request() {
    // Answers one request on each connection and closes it without a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            // Of what comes now nothing is answered.
            tokio::spawn(async move {
                let _ = stream.read(&mut buffer).await;
            });
        }
    });
    let (_gateway, address) = serving(everything(rule(Target::Backend(Arc::new(backend("short", [endpoint]))))));
    for _ in 0..10 {
        let answer = ask(address, get("a", "/")).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"));
    }
}

#[tokio::test]
async fn proxy_header_goes_before_each_request_on_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 4096];
            while !String::from_utf8_lossy(&buffer).contains("\r\n\r\n") {
                let read = stream.read(&mut buffer).await.unwrap();
                buffer.truncate(read);
            }
            heard.push(String::from_utf8_lossy(&buffer).into_owned());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
        heard
    });
    let mut backend = backend("proxied", [endpoint]);
    backend.proxy_protocol = Some(ProxyProtocol::V1);
    let (_gateway, address) = serving(everything(rule(Target::Backend(Arc::new(backend)))));
    let mut client = client1(address).await;
    for _ in 0..2 {
        client.ready().await.unwrap();
        let answer = whole(within(client.send_request(get("a", "/"))).await.unwrap()).await;
        assert_eq!(answer.status, 200);
    }
    for heard in within(heard).await.unwrap() {
        assert!(heard.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{heard}");
    }
}

/// A body without end, of which nobody reads much.
fn endless() -> Body {
    struct Zeros;
    impl http_body::Body for Zeros {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 16 * 1024])))))
        }
    }
    Zeros.boxed()
}

#[tokio::test]
async fn clients_that_do_not_read_stall_nobody_else_on_a_shared_connection() {
    let server = HttpServer::start(Version::Http2, |heard| {
        Response::new(if heard.target.ends_with("/endless") {
            endless()
        } else {
            text(vec![b'x'; 100_000])
        })
    })
    .await;
    let (_gateway, address) = serving(everything(rule(speaking(Version::Http2, &server))));
    let mut client = client2(address).await;
    let mut unread = Vec::new();
    for _ in 0..40 {
        let request = Request::get("http://a/endless").body(nothing()).unwrap();
        unread.push(within(client.send_request(request)).await.unwrap());
    }
    for _ in 0..20 {
        assert_eq!(ask(address, get("a", "/")).await.body.len(), 100_000);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn shared_connection_that_is_full_gets_a_second_beside_it() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&waiting);
    let server = HttpServer::serve(Version::Http2, Arc::default(), move |_| {
        counts.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    })
    .await;
    let (_gateway, address) = serving(everything(rule(speaking(Version::Http2, &server))));
    let asked: Vec<_> = (0..100).map(|_| tokio::spawn(ask(address, get("a", "/")))).collect();
    until(|| "all of them", || waiting.load(Ordering::SeqCst) == 100).await;
    assert_eq!(server.connections(), 2);
    asked.iter().for_each(tokio::task::JoinHandle::abort);
}
