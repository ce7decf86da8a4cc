//! PROXY protocol: sent to a backend that wants it, and taken from a load balancer that is trusted.

use sealway_testkit::faulty::{ProxyRecorder, echo_over_tls};
use sealway_testkit::gateway::Setup;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::manifests::{PORT, Pki, echo, gateway_with};

const NAME: &str = "a.example.com";

fn service(version: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Service
metadata:
  name: a
  namespace: default
  annotations:
    sealway.dev/proxy-protocol: {version}
spec:
  ports:
    - port: 443
"
    )
}

#[tokio::test]
async fn backend_gets_the_client_in_the_version_that_it_asks_for() {
    let pki = Pki::new();
    let recorder = ProxyRecorder::start(&pki.identity(&[NAME])).await.expect("recorder");
    for version in ["v1", "v2"] {
        let setup = Setup::default().endpoint("default/a", 443, recorder.backend.address());
        let gateway = setup.start(&(gateway_with(&[(NAME, "a")]) + &service(version))).await;
        let mut session = pki.client.connect(gateway.address(PORT), NAME).await.expect("session");
        echo(&mut session).await.expect("echo");
        let client = session.stream.get_ref().0.local_addr().expect("address");
        let header = recorder.headers().pop().expect("a header");
        if version == "v1" {
            let expected = format!(
                "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n",
                client.port(),
                gateway.address(PORT).port()
            );
            assert_eq!(String::from_utf8_lossy(&header), expected);
        } else {
            assert_eq!(header[12..14], [0x21, 0x11], "PROXY, TCP over IPv4");
            assert_eq!(header[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
            assert_eq!(header[24..26], client.port().to_be_bytes());
        }
    }
}

#[tokio::test]
async fn trusted_load_balancer_names_the_client_and_the_backend_hears_of_it() {
    let pki = Pki::new();
    let recorder = ProxyRecorder::start(&pki.identity(&[NAME])).await.expect("recorder");
    let setup = Setup::default().endpoint("default/a", 443, recorder.backend.address());
    let trusting = "  name: gateway\n  namespace: default\n  annotations:\n    sealway.dev/accept-proxy-protocol: 127.0.0.0/8\n";
    let yaml = gateway_with(&[(NAME, "a")]).replacen("  name: gateway\n  namespace: default\n", trusting, 1) + &service("v1");
    let gateway = setup.start(&yaml).await;
    let mut stream = TcpStream::connect(gateway.address(PORT)).await.expect("connection");
    stream
        .write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 443\r\n")
        .await
        .expect("header");
    let mut session = pki.client.handshake(stream, NAME).await.expect("handshake");
    echo(&mut session).await.expect("echo");
    let header = recorder.headers().pop().expect("a header");
    assert!(
        header.starts_with(b"PROXY TCP4 192.0.2.7 "),
        "{}",
        String::from_utf8_lossy(&header)
    );
}

#[tokio::test]
async fn header_from_a_source_that_is_not_trusted_is_refused() {
    let pki = Pki::new();
    let backend = echo_over_tls(&pki.identity(&[NAME])).await.expect("backend");
    let setup = Setup::default().endpoint("default/a", 443, backend.address());
    let gateway = setup.start(&gateway_with(&[(NAME, "a")])).await;
    let mut stream = TcpStream::connect(gateway.address(PORT)).await.expect("connection");
    stream
        .write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 443\r\n")
        .await
        .expect("header");
    assert!(pki.client.handshake(stream, NAME).await.is_err());
}
