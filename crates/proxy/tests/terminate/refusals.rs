//! Handshakes that come to nothing by the client's doing.

use std::sync::Arc;
use std::time::Duration;

use rustls::AlertDescription;
use sealway_proxy::Config;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::kit::*;
use crate::rig::*;

const NAME: &str = "a.example.com";

async fn site(config: Config) -> (Site, EchoBackend, Authority) {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let site = Site::with(config, echo_plan(termination(vec![pair.slot()]), &echo), &keys([&pair]));
    (site, echo, authority)
}

#[tokio::test]
async fn client_that_goes_away_is_silent_or_sends_nonsense_is_told_apart() {
    let brief = Config {
        hello_timeout: Duration::from_millis(400),
        ..config()
    };
    let (site, _echo, _authority) = site(brief).await;
    let begun = || async {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(&hello(NAME)).await.unwrap();
        // Our first words are there, so the handshake has begun.
        stream.readable().await.unwrap();
        stream
    };
    drop(begun().await);
    site.gateway.wait_ended("handshake_gone", 1).await;

    let mut nonsense = begun().await;
    nonsense.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    site.gateway.wait_ended("handshake_malformed", 1).await;

    let silent = begun().await;
    site.gateway.wait_ended("handshake_timeout", 1).await;
    drop(silent);

    let mut giving_up = begun().await;
    // user_canceled is a warning that nobody minds; handshake_failure ends it.
    giving_up.write_all(&alert(40)).await.unwrap();
    site.gateway.wait_ended("client_alert", 1).await;
}

#[tokio::test]
async fn client_without_a_common_protocol_is_told_so() {
    let authority = Authority::new();
    let pair = Pair::new(&authority, &[NAME]);
    let site = Site::start(
        plan_of(vec![https("https", "", termination(vec![pair.slot()]))]),
        &keys([&pair]),
    );
    let mut client = authority.client_with(None, rustls::ALL_VERSIONS);
    client.alpn_protocols = vec![b"smtp".to_vec()];
    assert_eq!(
        alert_of(site.address, NAME, Arc::new(client)).await,
        AlertDescription::NoApplicationProtocol
    );
    site.gateway.wait_ended("no_shared_protocol", 1).await;
}

#[tokio::test]
async fn client_that_does_not_know_the_authority_says_so() {
    let (site, _echo, _authority) = site(config()).await;
    tls(site.address, NAME, Authority::new().client(None)).await.unwrap_err();
    site.gateway.wait_ended("certificate_rejected", 1).await;
    assert_eq!(
        site.gateway.sum(
            "sealway_handshakes_total",
            &["listener=\"tls\"", "reason=\"certificate_rejected\""]
        ),
        1
    );
}
