//! Several endpoints of one backend, and backends that fail.

use sealway_testkit::clients::Failure;
use sealway_testkit::gateway::Setup;
use sealway_testkit::{faulty, free_port, loopback};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::manifests::{PORT, Pki, echo, gateway_with, hello};

const NAME: &str = "a.example.com";

#[tokio::test]
async fn endpoint_that_refuses_is_passed_over() {
    let pki = Pki::new();
    let backend = faulty::echo_over_tls(&pki.identity(&[NAME])).await.expect("backend");
    let setup = Setup::default()
        .endpoint("default/a", 443, loopback(free_port()))
        .endpoint("default/a", 443, backend.address());
    let gateway = setup.start(&gateway_with(&[(NAME, "a")])).await;
    for _ in 0..10 {
        echo(
            &mut pki
                .client
                .connect(gateway.address(PORT), NAME)
                .await
                .expect("the other endpoint"),
        )
        .await
        .expect("echo");
    }
}

#[tokio::test]
async fn endpoints_take_turns() {
    let pki = Pki::new();
    let identities = [pki.identity(&[NAME]), pki.identity(&[NAME])];
    let one = faulty::echo_over_tls(&identities[0]).await.expect("backend");
    let two = faulty::echo_over_tls(&identities[1]).await.expect("backend");
    let setup = Setup::default()
        .endpoint("default/a", 443, one.address())
        .endpoint("default/a", 443, two.address());
    let gateway = setup.start(&gateway_with(&[(NAME, "a")])).await;
    let mut serials = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let session = pki.client.connect(gateway.address(PORT), NAME).await.expect("session");
        serials.insert(session.peer.certificate.serial);
    }
    assert_eq!(serials, identities.iter().map(|identity| identity.serial()).collect());
}

#[tokio::test]
async fn wildcard_route_covers_any_depth_and_exact_route_wins() {
    let pki = Pki::new();
    let (wildcard, exact) = (pki.identity(&["*.example.com", "*.b.example.com"]), pki.identity(&[NAME]));
    let one = faulty::echo_over_tls(&wildcard).await.expect("backend");
    let two = faulty::echo_over_tls(&exact).await.expect("backend");
    let setup = Setup::default()
        .endpoint("default/wild", 443, one.address())
        .endpoint("default/exact", 443, two.address());
    let gateway = setup
        .start(&gateway_with(&[("*.example.com", "wild"), (NAME, "exact")]))
        .await;
    for (name, identity) in [("c.example.com", &wildcard), ("a.b.example.com", &wildcard), (NAME, &exact)] {
        let session = pki.client.connect(gateway.address(PORT), name).await.expect("session");
        assert_eq!(session.peer.certificate.serial, identity.serial(), "{name}");
    }
}

#[tokio::test]
async fn reset_of_the_backend_reaches_the_client_as_an_end() {
    let backend = faulty::resetting().await.expect("backend");
    let setup = Setup::default().endpoint("default/a", 443, backend.address());
    let gateway = setup.start(&gateway_with(&[(NAME, "a")])).await;
    let failure = Pki::new()
        .client
        .connect(gateway.address(PORT), NAME)
        .await
        .expect_err("reset");
    assert!(matches!(failure, Failure::Reset | Failure::EndOfStream), "{failure}");
}

#[tokio::test]
async fn half_close_of_the_client_lets_the_backend_finish() {
    let backend = faulty::plain_echo().await.expect("backend");
    let setup = Setup::default().endpoint("default/a", 443, backend.address());
    let gateway = setup.start(&gateway_with(&[(NAME, "a")])).await;
    let mut stream = TcpStream::connect(gateway.address(PORT)).await.expect("connection");
    let sent = [hello(NAME), vec![7; 100_000]].concat();
    let (mut receiver, mut sender) = stream.split();
    let sending = async {
        sender.write_all(&sent).await.expect("sent");
        sender.shutdown().await.expect("half-closed");
    };
    let mut echoed = Vec::new();
    let (_, received) = tokio::join!(sending, receiver.read_to_end(&mut echoed));
    received.expect("the rest of the echo");
    assert_eq!(echoed.len(), sent.len());
    assert!(echoed == sent, "bytes changed on their way");
}
