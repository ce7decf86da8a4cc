//! UDP listeners: each client's datagrams to one backend, and its answers back from the address that the client knows.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sealway_proxy::Config;
use sealway_testkit::gateway::{Setup, TestGateway};
use sealway_testkit::{LOOPBACK, wait_until};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::manifests::GATEWAY;

const PORT: u16 = 5300;
const DEADLINE: Duration = Duration::from_secs(10);
/// For what must not come.
const SILENCE: Duration = Duration::from_millis(200);

/// Sends every datagram back behind its name; stops when dropped.
struct Echo {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Echo {
    async fn start(name: &'static str) -> Self {
        Self::at(LOOPBACK, name).await
    }

    async fn at(address: SocketAddr, name: &'static str) -> Self {
        let socket = UdpSocket::bind(address).await.expect("a port");
        let address = socket.local_addr().expect("address");
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = [name.as_bytes(), &buffer[..length]].concat();
                let _ = socket.send_to(&answer, from).await;
            }
        });
        Self { address, task }
    }

    /// Returns when nobody is there.
    async fn stop(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn gateway_of(listeners: &str) -> String {
    let tls = "    - name: tls\n      port: 8443\n      protocol: TLS\n      tls:\n        mode: Passthrough\n";
    assert!(GATEWAY.contains(tls));
    GATEWAY.replacen(tls, listeners, 1)
}

fn gateway() -> String {
    gateway_of("    - name: udp\n      port: 5300\n      protocol: UDP\n")
}

/// A UDPRoute `default/name` to Services with weights.
fn route(name: &str, idle: &str, backends: &[(&str, u32)]) -> String {
    let backends: String = backends
        .iter()
        .map(|(service, weight)| format!("        - {{name: {service}, port: 53, weight: {weight}}}\n"))
        .collect();
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: UDPRoute\nmetadata:\n  name: {name}\n  namespace: default\n  \
         annotations:\n    sealway.dev/idle-timeout: {idle}\nspec:\n  parentRefs:\n    - name: gateway\n  rules:\n    - \
         backendRefs:\n{backends}"
    )
}

async fn client(to: SocketAddr) -> UdpSocket {
    let any: SocketAddr = if to.is_ipv4() {
        LOOPBACK
    } else {
        "[::1]:0".parse().expect("address")
    };
    let socket = UdpSocket::bind(any).await.expect("a port");
    socket.connect(to).await.expect("connected");
    socket
}

/// What comes back for `bytes`; `None` when nothing does.
async fn ask(socket: &UdpSocket, bytes: &[u8], patience: Duration) -> Option<Vec<u8>> {
    socket.send(bytes).await.ok()?;
    let mut buffer = vec![0; 65_536];
    let length = timeout(patience, socket.recv(&mut buffer)).await.ok()?.ok()?;
    buffer.truncate(length);
    Some(buffer)
}

async fn counted(gateway: &TestGateway, line: &str) {
    let found = wait_until(DEADLINE, || gateway.metrics().lines().any(|found| found == line)).await;
    assert!(found, "{line}\n{}", gateway.metrics());
}

fn ended(outcome: &str) -> String {
    format!("sealway_connections_total{{gateway=\"default/gateway\",listener=\"udp\",mode=\"udp\",outcome=\"{outcome}\"}}")
}

#[tokio::test]
async fn datagrams_go_through_and_come_back_whatever_their_size_and_are_counted() {
    let backend = Echo::start("").await;
    let setup = Setup::default().endpoint("default/dns", 53, backend.address);
    let gateway = setup.start(&(gateway() + &route("dns", "500ms", &[("dns", 1)]))).await;
    let client = client(gateway.address(PORT)).await;
    for size in [0, 1, 1400, 9000, 65_507] {
        let bytes = vec![7; size];
        assert_eq!(
            ask(&client, &bytes, DEADLINE).await.expect("an answer"),
            bytes,
            "{size} bytes"
        );
    }
    let bytes = |direction| {
        format!(
            "sealway_bytes_total{{gateway=\"default/gateway\",listener=\"udp\",mode=\"udp\",direction=\"{direction}\"}} 75908"
        )
    };
    counted(&gateway, &bytes("received")).await;
    counted(&gateway, &bytes("sent")).await;
    counted(&gateway, &(ended("idle_timeout") + " 1")).await;
    assert_eq!(gateway.proxy().connection_count(), 0);
}

#[tokio::test]
async fn a_client_keeps_its_backend_and_other_clients_are_shared_out_by_weight() {
    let (one, two, never) = (Echo::start("1").await, Echo::start("2").await, Echo::start("3").await);
    let setup = Setup::default()
        .endpoint("default/one", 53, one.address)
        .endpoint("default/two", 53, two.address)
        .endpoint("default/never", 53, never.address);
    let yaml = gateway() + &route("dns", "60s", &[("one", 7), ("two", 3), ("never", 0)]);
    let gateway = setup.start(&yaml).await;
    let mut ones = 0;
    for _ in 0..100 {
        let client = client(gateway.address(PORT)).await;
        let first = ask(&client, b"", DEADLINE).await.expect("an answer");
        assert_ne!(first, b"3");
        for _ in 0..3 {
            assert_eq!(ask(&client, b"", DEADLINE).await.as_ref(), Some(&first));
        }
        ones += usize::from(first == b"1");
    }
    // Outside by a chance below one in a hundred thousand.
    assert!((50..=90).contains(&ones), "{ones} of 100");
}

#[tokio::test]
async fn answers_come_from_the_address_that_was_asked() {
    let backend = Echo::start("").await;
    for (any, asked) in [
        ("0.0.0.0", &["127.0.0.1", "127.0.0.2", "127.3.2.1"][..]),
        ("\"::\"", &["::1"]),
    ] {
        let setup = Setup::default().endpoint("default/dns", 53, backend.address);
        let addresses = format!("spec:\n  addresses:\n    - type: IPAddress\n      value: {any}\n");
        let yaml = gateway().replacen("spec:\n  gatewayClassName", &(addresses + "  gatewayClassName"), 1);
        assert_ne!(yaml, gateway());
        let gateway = setup.start(&(yaml + &route("dns", "60s", &[("dns", 1)]))).await;
        for address in asked {
            let address: IpAddr = address.parse().expect("address");
            let client = client(SocketAddr::new(address, gateway.address(PORT).port())).await;
            // A connected socket hears nobody else.
            for _ in 0..3 {
                assert_eq!(
                    ask(&client, b"hello", DEADLINE).await.as_deref(),
                    Some(&b"hello"[..]),
                    "{address}"
                );
            }
        }
    }
}

#[tokio::test]
async fn without_a_route_or_a_backend_nothing_is_answered_and_reasons_are_counted() {
    let mut gateway = Setup::default().start(&gateway()).await;
    let client = client(gateway.address(PORT)).await;
    assert_eq!(ask(&client, b"hello", SILENCE).await, None);
    gateway
        .apply(&(self::gateway() + &route("dns", "60s", &[("missing", 1)])))
        .await;
    assert_eq!(ask(&client, b"hello", SILENCE).await, None);
    gateway
        .apply(&(self::gateway() + &route("dns", "60s", &[("missing", 0)])))
        .await;
    assert_eq!(ask(&client, b"hello", SILENCE).await, None);
    for outcome in ["no_route", "backend_not_found", "no_weight"] {
        counted(&gateway, &(ended(outcome) + " 1")).await;
    }
    assert_eq!(gateway.proxy().connection_count(), 0);
}

#[tokio::test]
async fn the_next_datagram_finds_another_endpoint_when_one_says_that_nobody_is_there() {
    let (one, two) = (Echo::start("1").await, Echo::start("2").await);
    let setup = Setup::default()
        .endpoint("default/dns", 53, one.address)
        .endpoint("default/dns", 53, two.address);
    let gateway = setup.start(&(gateway() + &route("dns", "60s", &[("dns", 1)]))).await;
    let client = client(gateway.address(PORT)).await;
    let first = ask(&client, b"", DEADLINE).await.expect("an answer");
    let (gone, left) = if first == b"1" { (one, "2") } else { (two, "1") };
    gone.stop().await;
    let mut answer = None;
    // The first is lost: it is what the endpoint refuses.
    for _ in 0..5 {
        answer = ask(&client, b"", SILENCE).await;
        if answer.is_some() {
            break;
        }
    }
    assert_eq!(answer.as_deref(), Some(left.as_bytes()));
    counted(&gateway, &(ended("backend_failed") + " 1")).await;
}

#[tokio::test]
async fn the_flow_that_was_silent_for_the_longest_makes_room() {
    let backend = Echo::start("").await;
    let config = Config {
        workers: 1,
        most_flows: 2,
        ..Config::default()
    };
    let setup = Setup::default().config(config).endpoint("default/dns", 53, backend.address);
    let gateway = setup.start(&(gateway() + &route("dns", "60s", &[("dns", 1)]))).await;
    let address = gateway.address(PORT);
    let (one, two, three) = (client(address).await, client(address).await, client(address).await);
    for client in [&one, &two] {
        ask(client, b"1", DEADLINE).await.expect("an answer");
    }
    // Activity is told apart by milliseconds.
    tokio::time::sleep(Duration::from_millis(5)).await;
    ask(&one, b"2", DEADLINE).await.expect("an answer");
    ask(&three, b"1", DEADLINE).await.expect("an answer");
    counted(&gateway, &(ended("evicted") + " 1")).await;
    assert_eq!(gateway.proxy().connection_count(), 2);
    // The first was active since: it still has its flow, and the second has to begin anew.
    ask(&one, b"3", DEADLINE).await.expect("an answer");
    assert_eq!(gateway.proxy().connection_count(), 2);
    ask(&two, b"2", DEADLINE).await.expect("an answer");
    counted(&gateway, &(ended("evicted") + " 2")).await;
}

#[tokio::test]
async fn a_change_ends_the_flows_that_it_concerns_and_no_others() {
    let (one, two) = (Echo::start("1").await, Echo::start("2").await);
    let setup = Setup::default()
        .endpoint("default/one", 53, one.address)
        .endpoint("default/two", 53, two.address);
    let yaml = |backends| gateway() + &route("dns", "60s", backends);
    let mut gateway = setup.start(&yaml(&[("one", 1)])).await;
    let client = client(gateway.address(PORT)).await;
    assert_eq!(ask(&client, b"", DEADLINE).await.as_deref(), Some(&b"1"[..]));
    // Its backend is still one of the route's, though nothing new goes there.
    gateway.apply(&yaml(&[("one", 0), ("two", 1)])).await;
    assert_eq!(ask(&client, b"", DEADLINE).await.as_deref(), Some(&b"1"[..]));
    let other = self::client(gateway.address(PORT)).await;
    assert_eq!(ask(&other, b"", DEADLINE).await.as_deref(), Some(&b"2"[..]));
    gateway.apply(&yaml(&[("two", 1)])).await;
    counted(&gateway, &(ended("drained") + " 1")).await;
    assert_eq!(ask(&client, b"", DEADLINE).await.as_deref(), Some(&b"2"[..]));
    assert_eq!(gateway.proxy().connection_count(), 2);
    // The listener goes, and its port is free at once for who comes.
    gateway
        .apply(&gateway_of("    - name: other\n      port: 5301\n      protocol: UDP\n"))
        .await;
    counted(&gateway, &(ended("drained") + " 3")).await;
    let port = gateway.address(PORT);
    let is_free = || std::net::UdpSocket::bind(port).is_ok();
    assert!(wait_until(DEADLINE, is_free).await);
}

#[tokio::test]
async fn flows_go_on_while_the_gateway_drains_and_none_begins() {
    let backend = Echo::start("").await;
    let config = Config {
        drain_timeout: Duration::from_secs(1),
        ..Config::default()
    };
    let setup = Setup::default().config(config).endpoint("default/dns", 53, backend.address);
    let gateway = setup.start(&(gateway() + &route("dns", "60s", &[("dns", 1)]))).await;
    let (known, new) = (client(gateway.address(PORT)).await, client(gateway.address(PORT)).await);
    ask(&known, b"before", DEADLINE).await.expect("an answer");
    let during = async {
        // Refused from the moment on at which the drain has reached the sockets.
        let refused = async { while ask(&client(gateway.address(PORT)).await, b"new", SILENCE).await.is_some() {} };
        refused.await;
        assert_eq!(ask(&new, b"new", SILENCE).await, None);
        ask(&known, b"during", DEADLINE).await
    };
    let (left, answer) = tokio::join!(gateway.proxy().drain(), during);
    assert!(left >= 1);
    assert_eq!(answer.as_deref(), Some(&b"during"[..]));
    assert_eq!(gateway.proxy().connection_count(), 0);
    assert!(
        gateway.metrics().contains("sealway_datagrams_dropped_total"),
        "{}",
        gateway.metrics()
    );
}

#[tokio::test]
async fn tcp_and_udp_share_a_port_number() {
    let backend = Echo::start("").await;
    let tcp = sealway_testkit::faulty::plain_echo().await.expect("backend");
    let setup = Setup::default()
        .endpoint("default/dns", 53, backend.address)
        .endpoint("default/tcp", 53, tcp.address());
    let listeners =
        "    - name: udp\n      port: 5300\n      protocol: UDP\n    - name: tcp\n      port: 5300\n      protocol: TCP\n";
    let tcp_route = route("tcp", "60s", &[("tcp", 1)]).replace("UDPRoute", "TCPRoute");
    let yaml = gateway_of(listeners) + &route("dns", "60s", &[("dns", 1)]) + &tcp_route;
    let gateway = setup.start(&yaml).await;
    let client = client(gateway.address(PORT)).await;
    assert_eq!(ask(&client, b"udp", DEADLINE).await.as_deref(), Some(&b"udp"[..]));
    let mut stream = tokio::net::TcpStream::connect(gateway.address(PORT))
        .await
        .expect("connection");
    let mut answer = Vec::new();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"tcp").await.expect("sent");
    stream.shutdown().await.expect("ended");
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert_eq!(answer, b"tcp");
}

#[tokio::test]
async fn a_flow_hears_its_endpoint_alone_and_a_client_nothing_before_it() {
    let endpoint = UdpSocket::bind(LOOPBACK).await.expect("a port");
    let address = endpoint.local_addr().expect("address");
    let setup = Setup::default().endpoint("default/dns", 53, address);
    let gateway = setup.start(&(gateway() + &route("dns", "60s", &[("dns", 1)]))).await;
    let client = client(gateway.address(PORT)).await;
    assert_eq!(ask(&client, b"hello", SILENCE).await, None);
    let mut buffer = [0; 64];
    let (length, flow) = endpoint.recv_from(&mut buffer).await.expect("a datagram");
    assert_eq!(&buffer[..length], b"hello");
    let stranger = UdpSocket::bind(LOOPBACK).await.expect("a port");
    stranger.send_to(b"forged", flow).await.expect("sent");
    endpoint.send_to(b"true", flow).await.expect("sent");
    let length = timeout(DEADLINE, client.recv(&mut buffer))
        .await
        .expect("in time")
        .expect("an answer");
    assert_eq!(&buffer[..length], b"true");
    let mut seen = BTreeSet::new();
    // The flow keeps its socket.
    for _ in 0..3 {
        client.send(b"again").await.expect("sent");
        seen.insert(endpoint.recv_from(&mut buffer).await.expect("a datagram").1);
    }
    assert_eq!(seen, [flow].into());
}
