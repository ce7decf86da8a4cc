//! What is refused, how the client learns it, and how it is counted.

use std::time::Duration;

use sealway_core::{BackendFault, Target};
use sealway_proxy::{Config, Rejections};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::kit::*;

async fn one_route(config: Config) -> (Gateway, std::net::SocketAddr, TcpListener) {
    let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let routes = [("a.example.com", to("a", [backend.local_addr().unwrap()]))];
    let (gateway, address) = Gateway::serving(config, plan(routes));
    (gateway, address, backend)
}

#[tokio::test]
async fn unknown_name_gets_unrecognized_name() {
    let (gateway, address, _backend) = one_route(config()).await;
    assert_eq!(exchange(address, &hello("nobody.example.com")).await, alert(112));
    gateway.wait_ended("no_route", 1).await;
    assert_eq!(
        gateway.sum("sealway_sni_misses_total", &["gateway=\"infra/edge\"", "reason=\"no_route\""]),
        1
    );
}

#[tokio::test]
async fn hello_without_name_gets_missing_extension() {
    let (gateway, address, _backend) = one_route(config()).await;
    assert_eq!(exchange(address, &hello("192.0.2.1")).await, alert(109));
    gateway.wait_ended("missing_server_name", 1).await;
}

#[tokio::test]
async fn refusals_close_without_a_word_when_told_to() {
    let (gateway, address, _backend) = one_route(Config {
        rejections: Rejections::Close,
        ..config()
    })
    .await;
    for bytes in [
        hello("nobody.example.com"),
        hello("192.0.2.1"),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        assert_eq!(exchange(address, &bytes).await, b"");
    }
    gateway.wait_ended("plain_http", 1).await;
}

#[tokio::test]
async fn plain_http_is_told_that_the_port_speaks_tls() {
    let (gateway, address, _backend) = one_route(config()).await;
    let answer = exchange(address, b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n").await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("TLS"), "{answer}");
    gateway.wait_ended("plain_http", 1).await;
}

#[tokio::test]
async fn bytes_that_are_no_hello_get_an_alert() {
    let (gateway, address, _backend) = one_route(config()).await;
    assert_eq!(exchange(address, b"SSH-2.0-OpenSSH_9.9\r\n").await, alert(10));
    gateway.wait_ended("not_tls", 1).await;
    // A ClientHello whose body is one byte.
    assert_eq!(exchange(address, &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0]).await, alert(50));
    gateway.wait_ended("malformed_hello", 1).await;
}

#[tokio::test]
async fn half_a_hello_is_dropped_at_the_deadline() {
    let (gateway, address, _backend) = one_route(Config {
        hello_timeout: Duration::from_millis(300),
        ..config()
    })
    .await;
    let begun = Instant::now();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&hello("a.example.com")[..100]).await.unwrap();
    assert_eq!(rest(&mut client).await, b"");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    gateway.wait_ended("hello_timeout", 1).await;
    assert_eq!(gateway.proxy.connection_count(), 0);
}

#[tokio::test]
async fn client_that_leaves_before_its_hello_is_recorded() {
    let (gateway, address, _backend) = one_route(config()).await;
    drop(TcpStream::connect(address).await.unwrap());
    gateway.wait_ended("client_gone", 1).await;
}

#[tokio::test]
async fn backend_that_cannot_be_had_gets_internal_error() {
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let routes = [
        ("refused.example.com", to("refused", [refusing])),
        (
            "invalid.example.com",
            forward("invalid", vec![(1, Target::Refuse(BackendFault::NotPermitted))]),
        ),
        (
            "weightless.example.com",
            forward("weightless", vec![(0, target("weightless", [refusing], None))]),
        ),
    ];
    let (gateway, address) = Gateway::serving(config(), plan(routes));
    for (name, outcome) in [
        ("refused.example.com", "connect_refused"),
        ("invalid.example.com", "backend_not_permitted"),
        ("weightless.example.com", "no_weight"),
    ] {
        assert_eq!(exchange(address, &hello(name)).await, alert(80), "{name}");
        gateway.wait_ended(outcome, 1).await;
    }
}

#[tokio::test]
async fn alert_arrives_although_the_client_goes_on_sending() {
    let (_gateway, address, _backend) = one_route(config()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut bytes = hello("nobody.example.com");
    bytes.resize(bytes.len() + 100_000, 0);
    client.write_all(&bytes).await.unwrap();
    assert_eq!(rest(&mut client).await, alert(112));
}
