//! What a client gets that cannot be served.

use std::time::Duration;

use rustls::AlertDescription;
use sealway_proxy::{Config, Rejections};
use sealway_testkit::clients::{Failure, Negotiation};
use sealway_testkit::gateway::Setup;
use sealway_testkit::{faulty, free_port, loopback, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::manifests::{PORT, Pki, echo, gateway_with, route};

const NAME: &str = "a.example.com";

#[tokio::test]
async fn unknown_name_gets_unrecognized_name() {
    let gateway = Setup::default().start(&gateway_with(&[(NAME, "a")])).await;
    let failure = Pki::new()
        .client
        .connect(gateway.address(PORT), "b.example.com")
        .await
        .expect_err("refused");
    assert!(
        matches!(failure, Failure::Alert(AlertDescription::UnrecognisedName)),
        "{failure}"
    );
    assert!(
        wait_until(Duration::from_secs(5), || gateway
            .metrics()
            .lines()
            .any(|line| line.starts_with("sealway_sni_misses_total{") && line.ends_with(" 1")))
        .await,
        "{}",
        gateway.metrics()
    );
}

#[tokio::test]
async fn hello_without_name_gets_missing_extension() {
    let gateway = Setup::default().start(&gateway_with(&[(NAME, "a")])).await;
    let failure = Pki::new()
        .client
        .without_sni()
        .connect(gateway.address(PORT), NAME)
        .await
        .expect_err("refused");
    assert!(
        matches!(failure, Failure::Alert(AlertDescription::MissingExtension)),
        "{failure}"
    );
}

#[tokio::test]
async fn backend_that_cannot_be_had_gives_internal_error() {
    let setup = Setup::default().endpoint("default/a", 443, loopback(free_port()));
    let gateway = setup
        .start(&gateway_with(&[(NAME, "a"), ("missing.example.com", "missing")]))
        .await;
    let client = Pki::new().client;
    for name in [NAME, "missing.example.com"] {
        let failure = client.connect(gateway.address(PORT), name).await.expect_err("refused");
        assert!(
            matches!(failure, Failure::Alert(AlertDescription::InternalError)),
            "{name}: {failure}"
        );
    }
}

#[tokio::test]
async fn rejections_close_sends_no_alert() {
    let setup = Setup::default().config(Config {
        rejections: Rejections::Close,
        ..Config::default()
    });
    let gateway = setup.start(&gateway_with(&[(NAME, "a")])).await;
    let failure = Pki::new()
        .client
        .connect(gateway.address(PORT), "b.example.com")
        .await
        .expect_err("refused");
    assert!(matches!(failure, Failure::EndOfStream | Failure::Reset), "{failure}");
}

#[tokio::test]
async fn postgres_client_with_unknown_name_gets_the_alert_after_its_ssl_request() {
    let gateway = Setup::default().start(&gateway_with(&[(NAME, "a")])).await;
    let client = Pki::new().client;
    let attempt = client
        .connect_postgres(gateway.address(PORT), "b.example.com", Negotiation::Postgres)
        .await;
    let failure = attempt.expect_err("refused");
    assert!(
        matches!(failure, Failure::Alert(AlertDescription::UnrecognisedName)),
        "{failure}"
    );
}

#[tokio::test]
async fn half_a_hello_is_dropped_at_the_deadline_and_delays_nobody() {
    let pki = Pki::new();
    let backend = faulty::echo_over_tls(&pki.identity(&[NAME])).await.expect("backend");
    let config = Config {
        hello_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let setup = Setup::default().config(config).endpoint("default/a", 443, backend.address());
    let gateway = setup.start(&gateway_with(&[(NAME, "a")])).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(gateway.address(PORT)).await.expect("connection");
        stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.expect("half a hello");
        slow.push(stream);
    }
    echo(&mut pki.client.connect(gateway.address(PORT), NAME).await.expect("good client"))
        .await
        .expect("echo");
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "a slow sender still holds its connection");
    }
}

#[tokio::test]
async fn backend_of_weight_zero_gets_nothing() {
    let pki = Pki::new();
    let backend = faulty::echo_over_tls(&pki.identity(&[NAME])).await.expect("backend");
    let setup = Setup::default().endpoint("default/used", 443, backend.address());
    let setup = setup.endpoint("default/unused", 443, loopback(free_port()));
    let yaml = gateway_with(&[]) + &route("weights", NAME, &[("unused", 0), ("used", 3)]);
    let gateway = setup.start(&yaml).await;
    for _ in 0..20 {
        echo(&mut pki.client.connect(gateway.address(PORT), NAME).await.expect("the other one"))
            .await
            .expect("echo");
    }
}
