//! PROXY headers: from a load balancer in front, and to a backend that asks for them.

use std::net::SocketAddr;

use sealway_core::{ProxyProtocol, Snapshot};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::kit::*;

const NAME: &str = "a.example.com";
const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n";

struct Setup {
    gateway: Gateway,
    address: SocketAddr,
    backend: EchoBackend,
    authority: Authority,
}

async fn setup(trusted: bool, to_backend: Option<ProxyProtocol>) -> Setup {
    let authority = Authority::new();
    let before = if to_backend.is_some() {
        Before::ProxyHeader
    } else {
        Before::Nothing
    };
    let backend = EchoBackend::with(NAME, authority.server(NAME, false), before).await;
    let route = forward("a", vec![(1, target("a", [backend.address], to_backend))]);
    let port = free_port();
    let gateway = Gateway::start(config());
    let trusted_proxies = if trusted {
        vec!["127.0.0.0/8".parse().unwrap()]
    } else {
        Vec::new()
    };
    gateway.publish([Snapshot {
        trusted_proxies,
        ..snapshot("edge", port, plan([(NAME, route)]))
    }]);
    Setup {
        gateway,
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        backend,
        authority,
    }
}

fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&[203, 0, 113, 7, 192, 0, 2, 1, 0x9c, 0x40, 0x01, 0xbb]);
    header
}

/// Connects, sends `header`, and sees that TLS reaches the backend. Returns the client's own address.
async fn reach(setup: &Setup, header: &[u8]) -> SocketAddr {
    let mut stream = TcpStream::connect(setup.address).await.unwrap();
    let mine = stream.local_addr().unwrap();
    stream.write_all(header).await.unwrap();
    let mut stream = tls_over(stream, NAME, setup.authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, NAME).await;
    mine
}

#[tokio::test]
async fn headers_of_trusted_sources_are_taken_off() {
    let setup = setup(true, None).await;
    reach(&setup, V1).await;
    reach(&setup, &v2()).await;
    reach(&setup, b"PROXY UNKNOWN\r\n").await;
}

#[tokio::test]
async fn trusted_source_without_header_is_refused() {
    let setup = setup(true, None).await;
    assert_eq!(exchange(setup.address, &hello(NAME)).await, b"");
    setup.gateway.wait_ended("proxy_header_missing", 1).await;
}

#[tokio::test]
async fn header_of_a_source_that_is_not_trusted_is_refused() {
    let setup = setup(false, None).await;
    assert_eq!(exchange(setup.address, V1).await, alert(10));
    setup.gateway.wait_ended("proxy_header", 1).await;
}

#[tokio::test]
async fn backend_hears_who_connects() {
    let setup_v1 = setup(false, Some(ProxyProtocol::V1)).await;
    let mine = reach(&setup_v1, b"").await;
    let line = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n",
        mine.port(),
        setup_v1.address.port()
    );
    assert_eq!(*setup_v1.backend.heard.lock().unwrap(), [line.into_bytes()]);

    let setup_v2 = setup(false, Some(ProxyProtocol::V2)).await;
    let mine = reach(&setup_v2, b"").await;
    let heard = setup_v2.backend.heard.lock().unwrap()[0].clone();
    let header = ppp::v2::Header::try_from(heard.as_slice()).unwrap();
    let expected = ppp::v2::IPv4::new([127, 0, 0, 1], [127, 0, 0, 1], mine.port(), setup_v2.address.port());
    assert_eq!(header.addresses, ppp::v2::Addresses::IPv4(expected));
}

#[tokio::test]
async fn backend_hears_the_address_that_the_load_balancer_told() {
    let setup = setup(true, Some(ProxyProtocol::V1)).await;
    reach(&setup, &v2()).await;
    assert_eq!(*setup.backend.heard.lock().unwrap(), [V1.to_vec()]);
}
