//! Caps, and what a crowd may not do to others.

use std::time::Duration;

use sealway_proxy::Config;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::kit::*;

const NAME: &str = "a.example.com";

async fn with(config: Config) -> (Gateway, std::net::SocketAddr, EchoBackend, Authority) {
    let authority = Authority::new();
    let backend = EchoBackend::start(NAME, &authority).await;
    let (gateway, address) = Gateway::serving(config, plan([(NAME, to("a", [backend.address]))]));
    (gateway, address, backend, authority)
}

#[tokio::test]
async fn listener_takes_no_more_than_its_connections() {
    let (gateway, address, _backend, authority) = with(Config {
        max_connections: 2,
        ..config()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = tls(address, NAME, authority.client(None)).await.unwrap();
        assert_reaches(&mut stream, NAME).await;
        held.push(stream);
    }
    assert_eq!(exchange(address, &hello(NAME)).await, alert(80));
    gateway.wait_ended("connection_limit", 1).await;
    held.clear();
    gateway.wait_ended("closed", 2).await;
    let mut stream = tls(address, NAME, authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, NAME).await;
}

#[tokio::test]
async fn hellos_under_way_are_capped_too() {
    let (gateway, address, ..) = with(Config {
        max_connections: 2,
        ..config()
    })
    .await;
    let _silent = [
        TcpStream::connect(address).await.unwrap(),
        TcpStream::connect(address).await.unwrap(),
    ];
    until(|| "both are accepted", || gateway.proxy.connection_count() == 2).await;
    assert_eq!(rest(&mut TcpStream::connect(address).await.unwrap()).await, b"");
    gateway.wait_ended("greeting_limit", 1).await;
}

#[tokio::test]
async fn source_takes_no_more_than_its_connections() {
    let (gateway, address, _backend, authority) = with(Config {
        max_connections_per_source: Some(1),
        ..config()
    })
    .await;
    let mut stream = tls(address, NAME, authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, NAME).await;
    assert_eq!(rest(&mut TcpStream::connect(address).await.unwrap()).await, b"");
    gateway.wait_ended("source_limit", 1).await;
    drop(stream);
    gateway.wait_ended("closed", 1).await;
    let mut stream = tls(address, NAME, authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, NAME).await;
}

#[tokio::test]
async fn accepting_stops_at_the_most_connections_and_goes_on_afterwards() {
    // One socket: connections wait in its backlog instead of being refused.
    let (gateway, address, _backend, authority) = with(Config {
        workers: 1,
        most_connections: 2,
        ..config()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = tls(address, NAME, authority.client(None)).await.unwrap();
        assert_reaches(&mut stream, NAME).await;
        held.push(stream);
    }
    let waiting = tokio::spawn(tls(address, NAME, authority.client(None)));
    until(
        || "the limit is counted",
        || gateway.sum("sealway_accept_failures_total", &["reason=\"connection_limit\""]) == 1,
    )
    .await;
    assert_eq!(gateway.proxy.connection_count(), 2);
    assert!(!waiting.is_finished());
    held.pop();
    let mut stream = within(waiting).await.unwrap().unwrap();
    assert_reaches(&mut stream, NAME).await;
}

#[tokio::test]
async fn slow_senders_do_not_delay_a_good_client() {
    let (gateway, address, _backend, authority) = with(Config {
        hello_timeout: Duration::from_secs(60),
        ..config()
    })
    .await;
    let half = hello(NAME);
    let half = &half[..half.len() / 2];
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(half).await.unwrap();
        slow.push(stream);
    }
    until(|| "all are waiting", || gateway.proxy.connection_count() == 100).await;
    let begun = Instant::now();
    let mut stream = tls(address, NAME, authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, NAME).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
