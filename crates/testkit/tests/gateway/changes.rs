//! Live configuration: what changes, and what must not notice.

use std::time::Duration;

use rustls::AlertDescription;
use sealway_proxy::Config;
use sealway_testkit::clients::Failure;
use sealway_testkit::faulty;
use sealway_testkit::gateway::Setup;
use tokio::io::AsyncReadExt;

use crate::manifests::{PORT, Pki, echo, gateway_with};

const KEPT: &str = "kept.example.com";
const GONE: &str = "gone.example.com";

#[tokio::test]
async fn removed_route_drains_and_its_neighbour_never_notices() {
    let pki = Pki::new();
    let backend = faulty::echo_over_tls(&pki.identity(&[KEPT, GONE])).await.expect("backend");
    let config = Config {
        drain_timeout: Duration::from_millis(500),
        ..Config::default()
    };
    let setup = Setup::default().config(config).endpoint("default/a", 443, backend.address());
    let mut gateway = setup.start(&gateway_with(&[(KEPT, "a"), (GONE, "a")])).await;
    let address = gateway.address(PORT);
    let mut kept = pki.client.connect(address, KEPT).await.expect("session");
    let mut gone = pki.client.connect(address, GONE).await.expect("session");

    gateway.apply(&gateway_with(&[(KEPT, "a")])).await;
    echo(&mut gone).await.expect("an open connection goes on until the deadline");
    let failure = pki.client.connect(address, GONE).await.expect_err("a new one is refused");
    assert!(
        matches!(failure, Failure::Alert(AlertDescription::UnrecognisedName)),
        "{failure}"
    );
    let ended = tokio::time::timeout(Duration::from_secs(5), gone.stream.read_u8()).await;
    assert!(ended.expect("it ends at the deadline").is_err());
    echo(&mut kept).await.expect("the neighbour");
}

#[tokio::test]
async fn added_route_is_served_at_once() {
    let pki = Pki::new();
    let backend = faulty::echo_over_tls(&pki.identity(&[KEPT, GONE])).await.expect("backend");
    let setup = Setup::default().endpoint("default/a", 443, backend.address());
    let mut gateway = setup.start(&gateway_with(&[(KEPT, "a")])).await;
    assert!(pki.client.connect(gateway.address(PORT), GONE).await.is_err());
    gateway.apply(&gateway_with(&[(KEPT, "a"), (GONE, "a")])).await;
    echo(&mut pki.client.connect(gateway.address(PORT), GONE).await.expect("session"))
        .await
        .expect("echo");
}

#[tokio::test]
async fn listener_moves_to_another_port_and_its_connection_stays_until_drained() {
    let pki = Pki::new();
    let backend = faulty::echo_over_tls(&pki.identity(&[KEPT])).await.expect("backend");
    let setup = Setup::default().endpoint("default/a", 443, backend.address());
    let yaml = gateway_with(&[(KEPT, "a")]);
    let mut gateway = setup.start(&yaml).await;
    let mut open = pki.client.connect(gateway.address(PORT), KEPT).await.expect("session");
    gateway.apply(&yaml.replace("port: 8443", "port: 8444")).await;
    echo(&mut pki.client.connect(gateway.address(8444), KEPT).await.expect("new port"))
        .await
        .expect("echo");
    let failure = pki.client.connect(gateway.address(PORT), KEPT).await.expect_err("old port");
    assert!(matches!(failure, Failure::Connect(_)), "{failure}");
    echo(&mut open).await.expect("the open connection drains");
}

#[tokio::test]
async fn broken_manifest_beside_a_good_one_costs_only_itself() {
    let pki = Pki::new();
    let backend = faulty::echo_over_tls(&pki.identity(&[KEPT])).await.expect("backend");
    let setup = Setup::default().endpoint("default/a", 443, backend.address());
    let yaml = gateway_with(&[(KEPT, "a")]) + "---\nkind: [\n";
    let gateway = setup.start(&yaml).await;
    echo(&mut pki.client.connect(gateway.address(PORT), KEPT).await.expect("session"))
        .await
        .expect("echo");
    assert!(gateway.problems().next().is_some(), "the broken one is named");
}
