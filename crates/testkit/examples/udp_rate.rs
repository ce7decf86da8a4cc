//! How many datagrams a UDP listener carries there and back, beside the same exchange without it.
//!
//! `cargo run --release -p sealway-testkit --example udp_rate [CLIENTS]`: clients send 100 bytes and wait for the echo, for two seconds
//! each way, all in one process. The ratio counts; the rates are the machine's.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sealway_testkit::LOOPBACK;
use sealway_testkit::gateway::Setup;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

const TIME: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(1);
const MANIFESTS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sealway}
spec: {controllerName: sealway.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway, namespace: default}
spec:
  gatewayClassName: sealway
  listeners: [{name: udp, port: 5300, protocol: UDP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: echo, namespace: default}
spec:
  parentRefs: [{name: gateway}]
  rules: [{backendRefs: [{name: echo, port: 7}]}]
";

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
async fn main() -> std::io::Result<()> {
    let clients = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(32);
    let echo = UdpSocket::bind(LOOPBACK).await?;
    let backend = echo.local_addr()?;
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = echo.recv_from(&mut buffer).await {
            let _ = echo.send_to(buffer.get(..length).unwrap_or_default(), from).await;
        }
    });
    let gateway = Setup::default().endpoint("default/echo", 7, backend).start(MANIFESTS).await;
    for round in 1..=3 {
        let direct = exchanges(backend, clients).await;
        let through = exchanges(gateway.address(5300), clients).await;
        let ratio = through as f64 / direct.max(1) as f64;
        println!("round {round}, {clients} clients: direct {direct}/s, through the gateway {through}/s, ratio {ratio:.2}");
    }
    Ok(())
}

/// Exchanges in a second.
async fn exchanges(to: SocketAddr, clients: usize) -> u64 {
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        tasks.spawn(exchange(to));
    }
    let total: u64 = tasks.join_all().await.into_iter().map(|done| done.unwrap_or(0)).sum();
    total / TIME.as_secs()
}

async fn exchange(to: SocketAddr) -> std::io::Result<u64> {
    let socket = UdpSocket::bind(LOOPBACK).await?;
    socket.connect(to).await?;
    let (begun, mut done, mut buffer) = (Instant::now(), 0, [0; 2048]);
    while begun.elapsed() < TIME {
        socket.send(&[7; 100]).await?;
        // What is lost is not counted.
        done += u64::from(timeout(PATIENCE, socket.recv(&mut buffer)).await.is_ok());
    }
    Ok(done)
}
