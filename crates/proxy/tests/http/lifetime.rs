//! How long connections of clients last.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper_util::rt::TokioIo;
use sealway_proxy::{Config, HttpLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http_kit::*;
use crate::kit::{config, rest, until, within};

fn impatient(limits: HttpLimits) -> Config {
    Config {
        http: limits,
        ..config()
    }
}

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn slow_header_ends_the_connection() {
    let server = HttpServer::named("one").await;
    let limits = HttpLimits {
        header_timeout: SHORT,
        ..HttpLimits::default()
    };
    let (gateway, address) = serving_with(impatient(limits), everything(rule(to(&server))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    assert_eq!(rest(&mut stream).await, b"");
    gateway.wait_ended("http_timeout", 1).await;
}

#[tokio::test]
async fn idle_connection_ends_and_a_request_in_progress_does_not() {
    let server = HttpServer::serve(Version::Http1, Arc::default(), |_| async {
        tokio::time::sleep(4 * SHORT).await;
        Response::new(text("late"))
    })
    .await;
    let limits = HttpLimits {
        idle_timeout: SHORT,
        ..HttpLimits::default()
    };
    let (gateway, address) = serving_with(impatient(limits), everything(rule(to(&server))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let answer = String::from_utf8(rest(&mut stream).await).unwrap();
    assert!(answer.ends_with("late"), "{answer}");
    gateway.wait_ended("idle_timeout", 1).await;
    let mut client = client2(address).await;
    assert_eq!(
        whole(
            within(client.send_request(Request::get("http://a/").body(nothing()).unwrap()))
                .await
                .unwrap()
        )
        .await
        .text(),
        "late"
    );
    gateway.wait_ended("idle_timeout", 2).await;
}

/// Streams have frames that begin no request: the answer to a ping must not pass for half a header, nor start the clock of the next request.
#[tokio::test]
async fn frames_that_belong_to_no_request_begin_none() {
    let server = HttpServer::named("one").await;
    let limits = HttpLimits {
        header_timeout: SHORT,
        ..HttpLimits::default()
    };
    let limited = sealway_core::HttpRule {
        request_timeout: Some(2 * SHORT),
        ..rule(to(&server))
    };
    let (gateway, address) = serving_with(impatient(limits), everything(limited));
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, mut connection) = within(h2::client::handshake(stream)).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        within(pings.ping(h2::Ping::opaque())).await.unwrap();
        tokio::time::sleep(3 * SHORT).await;
        let mut client = within(client.clone().ready()).await.unwrap();
        let (response, _) = client
            .send_request(Request::get("http://a/").body(()).unwrap(), true)
            .unwrap();
        assert_eq!(within(response).await.unwrap().status(), 200);
    }
    assert_eq!(gateway.ended("http_timeout"), 0);
}

/// A tunnel is no request any more, but the connection is not idle while it lasts.
#[tokio::test]
async fn tunnel_in_a_stream_outlives_the_idle_timeout() {
    let server = crate::bodies::echo().await;
    let limits = HttpLimits {
        idle_timeout: SHORT,
        header_timeout: SHORT,
        ..HttpLimits::default()
    };
    let (gateway, address) = serving_with(impatient(limits), everything(rule(to(&server))));
    let mut client = client2(address).await;
    let plain = Request::get("http://a/").body(nothing()).unwrap();
    within(client.send_request(plain)).await.unwrap();
    let mut request = Request::connect("http://a/chat").body(nothing()).unwrap();
    request
        .extensions_mut()
        .insert(hyper::ext::Protocol::from_static("websocket"));
    let mut response = within(client.send_request(request)).await.unwrap();
    let mut stream = TokioIo::new(within(hyper::upgrade::on(&mut response)).await.unwrap());
    for _ in 0..3 {
        tokio::time::sleep(3 * SHORT).await;
        stream.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        within(stream.read_exact(&mut answer)).await.unwrap();
    }
    drop((stream, response));
    gateway.wait_ended("idle_timeout", 1).await;
}

#[tokio::test]
async fn connections_of_a_plain_port_are_counted_and_capped() {
    let server = HttpServer::named("one").await;
    let capped = Config {
        max_connections: 2,
        ..config()
    };
    let (gateway, address) = serving_with(capped, everything(rule(to(&server))));
    let mut held = vec![client1(address).await, client1(address).await];
    for client in &mut held {
        within(client.send_request(get("a", "/"))).await.unwrap();
    }
    let labels = ["gateway=\"infra/edge\"", "listener=\"http\"", "mode=\"http\""];
    assert_eq!(gateway.sum("sealway_connections_active", &labels), 2);
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(&mut third).await, b"");
    gateway.wait_ended("connection_limit", 1).await;
    drop(held);
    gateway.wait_ended("closed", 2).await;
    assert!(gateway.sum("sealway_bytes_total", &labels) > 0);
}

/// What backends are told of a client is decided when it connects, so it must not outlive a change of whom the gateway believes.
#[tokio::test]
async fn client_that_is_no_longer_believed_has_to_come_again() {
    let server = HttpServer::named("one").await;
    let gateway = crate::kit::Gateway::start(config());
    let port = crate::kit::free_port();
    let believing = |whom: &str| {
        let mut snapshot = http_snapshot(port, everything(rule(to(&server))));
        snapshot.trusted_proxies = vec![whom.parse().unwrap()];
        snapshot
    };
    gateway.publish([believing("10.0.0.0/8")]);
    let mut client = client2(([127, 0, 0, 1], port).into()).await;
    let request = || Request::get("http://a/").body(nothing()).unwrap();
    within(client.send_request(request())).await.unwrap();
    gateway.publish([believing("10.0.0.0/9")]);
    assert_eq!(within(client.send_request(request())).await.unwrap().status(), 200);
    gateway.publish([believing("127.0.0.0/8")]);
    until(|| "GOAWAY", || client.is_closed()).await;
    gateway.wait_ended("drained", 1).await;
}

#[tokio::test]
async fn request_that_outlasts_the_drain_is_not_laid_to_its_client() {
    let server = HttpServer::serve(Version::Http1, Arc::default(), |_| std::future::pending()).await;
    let hasty = Config {
        drain_timeout: SHORT,
        ..config()
    };
    let (gateway, address) = serving_with(hasty, everything(rule(to(&server))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(|| "the request", || server.connections() == 1).await;
    within(gateway.proxy.drain()).await;
    let drained = || gateway.sum("sealway_http_refusals_total", &["reason=\"drained\""]);
    until(|| gateway.metrics(), || drained() == 1).await;
}

#[tokio::test]
async fn client_that_stops_in_its_body_is_cut() {
    let server = HttpServer::named("one").await;
    let limits = HttpLimits {
        body_timeout: SHORT,
        ..HttpLimits::default()
    };
    let (_gateway, address) = serving_with(impatient(limits), everything(rule(to(&server))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    assert_eq!(statuses(&String::from_utf8(rest(&mut stream).await).unwrap()), [408]);
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn client_that_takes_nothing_is_cut() {
    let server = HttpServer::start(Version::Http1, |_| Response::new(text(vec![0; 64 * 1024 * 1024]))).await;
    let limits = HttpLimits {
        write_timeout: SHORT,
        idle_timeout: SHORT,
        ..HttpLimits::default()
    };
    let (gateway, address) = serving_with(impatient(limits), everything(rule(to(&server))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    gateway.wait_ended("http_timeout", 1).await;
    let mut client = client2(address).await;
    let response = within(client.send_request(Request::get("http://a/").body(nothing()).unwrap()))
        .await
        .unwrap();
    gateway.wait_ended("http_timeout", 2).await;
    drop((stream, response));
}

#[tokio::test]
async fn drain_lets_requests_finish_and_tells_clients_to_go() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let waits = Arc::clone(&gate);
    let server = HttpServer::serve(Version::Http1, Arc::default(), move |_| {
        let gate = Arc::clone(&waits);
        async move {
            gate.notified().await;
            Response::new(text("done"))
        }
    })
    .await;
    let (gateway, address) = serving(everything(rule(to(&server))));
    let (mut one, mut two) = (client1(address).await, client2(address).await);
    let first = tokio::spawn(one.send_request(get("a", "/")));
    let second = tokio::spawn(two.send_request(Request::get("http://a/").body(nothing()).unwrap()));
    let mut idle = TcpStream::connect(address).await.unwrap();
    until(|| "two requests", || server.connections() == 2).await;
    let proxy = Arc::new(gateway.proxy);
    let draining = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move { proxy.drain().await }
    });
    // An idle connection ends at once.
    let mut byte = [0];
    assert_eq!(within(idle.read(&mut byte)).await.unwrap_or(0), 0);
    gate.notify_one();
    gate.notify_one();
    tokio::time::sleep(SHORT).await;
    gate.notify_one();
    let first = within(first).await.unwrap().unwrap();
    assert_eq!(first.headers()["connection"], "close");
    assert_eq!(whole(first).await.text(), "done");
    assert_eq!(whole(within(second).await.unwrap().unwrap()).await.text(), "done");
    assert_eq!(within(draining).await.unwrap(), 0);
    assert!(within(one.ready()).await.is_err());
    until(|| "GOAWAY", || two.is_closed()).await;
}

#[tokio::test]
async fn change_that_concerns_others_leaves_connections_alone() {
    let (before, after) = (HttpServer::named("before").await, HttpServer::named("after").await);
    let (gateway, address) = serving(everything(rule(to(&before))));
    let (mut one, mut two) = (client1(address).await, client2(address).await);
    for expected in ["before", "after"] {
        one.ready().await.unwrap();
        let answer = whole(within(one.send_request(get("a", "/"))).await.unwrap()).await;
        assert_eq!(answer.text(), expected);
        let request = Request::get("http://a/").body(nothing()).unwrap();
        assert_eq!(whole(within(two.send_request(request)).await.unwrap()).await.text(), expected);
        gateway.publish([http_snapshot(address.port(), everything(rule(to(&after))))]);
    }
}

#[tokio::test]
async fn tls_on_a_plain_port_is_named() {
    let server = HttpServer::named("one").await;
    let (gateway, address) = serving(everything(rule(to(&server))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&crate::kit::hello("a.example.com")).await.unwrap();
    rest(&mut stream).await;
    gateway.wait_ended("tls_on_http", 1).await;
}
