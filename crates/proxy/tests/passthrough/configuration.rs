//! Changes of configuration under live connections, and the end.

use std::net::SocketAddr;
use std::time::Duration;

use sealway_core::{BindFailure, PortState, SocketKey, Transport};
use sealway_proxy::Config;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::kit::*;

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn state(gateway: &Gateway, port: u16) -> Option<PortState> {
    let key = SocketKey {
        transport: Transport::Tcp,
        address: loopback(port),
    };
    gateway.proxy.port_states().borrow().get(&key).cloned()
}

fn short_drain() -> Config {
    Config {
        drain_timeout: Duration::from_millis(300),
        ..config()
    }
}

#[tokio::test]
async fn ports_open_and_close_as_published() {
    let gateway = Gateway::start(config());
    let (first, second) = (free_port(), free_port());
    gateway.publish([snapshot("edge", first, plan([]))]);
    assert_eq!(state(&gateway, first), Some(PortState::Bound));
    TcpStream::connect(loopback(first)).await.unwrap();

    gateway.publish([snapshot("edge", second, plan([]))]);
    assert_eq!(
        (state(&gateway, first), state(&gateway, second)),
        (None, Some(PortState::Bound))
    );
    TcpStream::connect(loopback(second)).await.unwrap();
    within(async {
        while TcpStream::connect(loopback(first)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn port_of_another_process_is_reported_and_taken_when_it_is_free() {
    let gateway = Gateway::start(config());
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    let mut states = gateway.proxy.port_states();
    gateway.publish([snapshot("edge", port, plan([]))]);
    assert_eq!(state(&gateway, port), Some(PortState::Failed(BindFailure::InUse)));
    states.mark_unchanged();
    drop(other);
    within(states.changed()).await.unwrap();
    assert_eq!(state(&gateway, port), Some(PortState::Bound));
}

#[tokio::test]
async fn address_that_the_machine_lacks_is_reported() {
    let gateway = Gateway::start(config());
    let mut elsewhere = snapshot("edge", 443, plan([]));
    elsewhere.addresses = vec!["203.0.113.1".parse().unwrap()];
    gateway.publish([elsewhere]);
    let states = gateway.proxy.port_states().borrow().clone();
    let states: Vec<_> = states.into_values().collect();
    assert_eq!(states, [PortState::Failed(BindFailure::NoSuchAddress)]);
}

#[tokio::test]
async fn change_of_another_route_leaves_connections_alone() {
    let authority = Authority::new();
    let backend = EchoBackend::start("a.example.com", &authority).await;
    let gateway = Gateway::start(short_drain());
    let port = free_port();
    gateway.publish([snapshot("edge", port, plan([("a.example.com", to("a", [backend.address]))]))]);
    let mut stream = tls(loopback(port), "a.example.com", authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, "a.example.com").await;
    for round in 0..10_u8 {
        // The route's own backends may change as well: a connection keeps its first decision.
        let elsewhere = SocketAddr::from(([127, 0, 0, 1], u16::from(round) + 1));
        let routes = [
            ("a.example.com", to("a", [elsewhere])),
            ("b.example.com", to("b", [elsewhere])),
        ];
        gateway.publish([snapshot("edge", port, plan(routes)), snapshot("other", free_port(), plan([]))]);
        assert_echoes(&mut stream).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_echoes(&mut stream).await;
    assert_eq!(gateway.ended("drained"), 0);
}

#[tokio::test]
async fn connections_of_a_removed_route_end_at_the_drain_deadline_and_others_stay() {
    let authority = Authority::new();
    let (one, two) = (
        EchoBackend::start("a.example.com", &authority).await,
        EchoBackend::start("b.example.com", &authority).await,
    );
    let gateway = Gateway::start(short_drain());
    let port = free_port();
    let (route_a, route_b) = (
        ("a.example.com", to("a", [one.address])),
        ("b.example.com", to("b", [two.address])),
    );
    gateway.publish([snapshot("edge", port, plan([route_a, route_b.clone()]))]);
    let mut removed = tls(loopback(port), "a.example.com", authority.client(None)).await.unwrap();
    let mut kept = tls(loopback(port), "b.example.com", authority.client(None)).await.unwrap();
    assert_reaches(&mut removed, "a.example.com").await;
    assert_reaches(&mut kept, "b.example.com").await;

    let begun = Instant::now();
    gateway.publish([snapshot("edge", port, plan([route_b]))]);
    assert_echoes(&mut removed).await;
    let _ = within(removed.read(&mut [0; 16])).await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    gateway.wait_ended("drained", 1).await;
    assert_echoes(&mut kept).await;
}

#[tokio::test]
async fn route_that_comes_back_in_time_keeps_its_connections() {
    let authority = Authority::new();
    let backend = EchoBackend::start("a.example.com", &authority).await;
    let gateway = Gateway::start(short_drain());
    let port = free_port();
    let with_route = || snapshot("edge", port, plan([("a.example.com", to("a", [backend.address]))]));
    gateway.publish([with_route()]);
    let mut stream = tls(loopback(port), "a.example.com", authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, "a.example.com").await;
    // Without the route, and without the whole Gateway.
    gateway.publish([snapshot("edge", port, plan([]))]);
    gateway.publish([]);
    gateway.publish([with_route()]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_echoes(&mut stream).await;
}

#[tokio::test]
async fn drain_waits_for_connections_and_then_ends_them() {
    let authority = Authority::new();
    let backend = EchoBackend::start("a.example.com", &authority).await;
    let (gateway, address) = Gateway::serving(short_drain(), plan([("a.example.com", to("a", [backend.address]))]));
    let mut stream = tls(address, "a.example.com", authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, "a.example.com").await;
    let begun = Instant::now();
    assert_eq!(within(gateway.proxy.drain()).await, 1);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!((gateway.ended("drained"), gateway.proxy.connection_count()), (1, 0));
    TcpStream::connect(address).await.unwrap_err();
}

#[tokio::test]
async fn drain_is_over_when_the_last_connection_ends_by_itself() {
    let authority = Authority::new();
    let backend = EchoBackend::start("a.example.com", &authority).await;
    let config = Config {
        drain_timeout: Duration::from_secs(3600),
        ..config()
    };
    let (gateway, address) = Gateway::serving(config, plan([("a.example.com", to("a", [backend.address]))]));
    let mut stream = tls(address, "a.example.com", authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, "a.example.com").await;
    let leave = async {
        assert_echoes(&mut stream).await;
        drop(stream);
    };
    let (ended, ()) = within(async { tokio::join!(gateway.proxy.drain(), leave) }).await;
    assert_eq!(ended, 0);
}
