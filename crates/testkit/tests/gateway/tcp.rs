//! TCP listeners: relayed as it comes, refused without a word, by weight, with PROXY headers.

use sealway_testkit::faulty::{ProxyRecorder, plain_echo};
use sealway_testkit::gateway::Setup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::manifests::{GATEWAY, Pki, echo};

const PORT: u16 = 5432;

fn gateway() -> String {
    let tls = "    - name: tls\n      port: 8443\n      protocol: TLS\n      tls:\n        mode: Passthrough\n";
    let tcp = "    - name: tcp\n      port: 5432\n      protocol: TCP\n";
    assert!(GATEWAY.contains(tls));
    GATEWAY.replacen(tls, tcp, 1)
}

/// A TCPRoute `default/name` to Services with weights.
fn route(name: &str, backends: &[(&str, u32)]) -> String {
    let backends: String = backends
        .iter()
        .map(|(service, weight)| format!("        - {{name: {service}, port: 5432, weight: {weight}}}\n"))
        .collect();
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata:\n  name: {name}\n  namespace: default\nspec:\n  \
         parentRefs:\n    - name: gateway\n  rules:\n    - backendRefs:\n{backends}"
    )
}

/// What comes back for `bytes`, to the end. A reset counts as an end.
async fn ask(gateway: &sealway_testkit::gateway::TestGateway, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(gateway.address(PORT)).await.expect("connection");
    let mut answer = Vec::new();
    if stream.write_all(bytes).await.is_ok() && stream.shutdown().await.is_ok() {
        let _ = stream.read_to_end(&mut answer).await;
    }
    answer
}

#[tokio::test]
async fn bytes_go_through_as_they_come_and_are_counted() {
    let backend = plain_echo().await.expect("backend");
    let setup = Setup::default().endpoint("default/db", PORT, backend.address());
    let gateway = setup.start(&(gateway() + &route("db", &[("db", 1)]))).await;
    // What a TLS port would refuse.
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 100_000]] {
        assert_eq!(ask(&gateway, bytes).await, bytes);
    }
    let closed = "sealway_connections_total{gateway=\"default/gateway\",listener=\"tcp\",mode=\"tcp\",outcome=\"closed\"}";
    let counted = || gateway.metrics().lines().any(|line| line == format!("{closed} 2"));
    let deadline = std::time::Duration::from_secs(10);
    assert!(sealway_testkit::wait_until(deadline, counted).await, "{}", gateway.metrics());
}

#[tokio::test]
async fn without_a_route_or_a_backend_the_client_is_told_nothing() {
    let mut gateway = Setup::default().start(&gateway()).await;
    assert_eq!(ask(&gateway, b"hello").await, b"");
    gateway.apply(&(self::gateway() + &route("db", &[("missing", 1)]))).await;
    assert_eq!(ask(&gateway, b"hello").await, b"");
    let metrics = gateway.metrics();
    assert!(metrics.contains("outcome=\"no_route\""), "{metrics}");
    assert!(metrics.contains("outcome=\"backend_not_found\""), "{metrics}");
}

#[tokio::test]
async fn a_backend_that_is_not_there_keeps_its_share() {
    let backend = plain_echo().await.expect("backend");
    let setup = Setup::default().endpoint("default/db", PORT, backend.address());
    let gateway = setup.start(&(gateway() + &route("db", &[("db", 1), ("missing", 1)]))).await;
    let mut answered = 0;
    for _ in 0..100 {
        answered += usize::from(ask(&gateway, b"hello").await == b"hello");
    }
    // Outside by a chance below one in a million.
    assert!((25..=75).contains(&answered), "{answered} of 100");
}

#[tokio::test]
async fn proxy_headers_are_taken_and_sent_and_what_follows_arrives() {
    let pki = Pki::new();
    let name = "db.example.com";
    let recorder = ProxyRecorder::start(&pki.identity(&[name])).await.expect("recorder");
    let setup = Setup::default().endpoint("default/db", PORT, recorder.backend.address());
    let plain = "  name: gateway\n  namespace: default\n";
    let trusting = format!("{plain}  annotations:\n    sealway.dev/accept-proxy-protocol: 127.0.0.0/8\n");
    let service = "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: db\n  namespace: default\n  annotations:\n    \
                   sealway.dev/proxy-protocol: v1\nspec:\n  ports:\n    - port: 5432\n";
    let yaml = gateway().replacen(plain, &trusting, 1) + &route("db", &[("db", 1)]) + service;
    let gateway = setup.start(&yaml).await;
    let mut stream = TcpStream::connect(gateway.address(PORT)).await.expect("connection");
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 5432\r\n";
    stream.write_all(header).await.expect("header");
    // The backend ends the TLS that the gateway does not look at.
    let mut session = pki.client.handshake(stream, name).await.expect("handshake");
    echo(&mut session).await.expect("echo");
    assert_eq!(recorder.headers(), [header]);
}
