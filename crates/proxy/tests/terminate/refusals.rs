//! Handshakes that come to nothing by the client's doing.

use std::sync::Arc;
use std::time::Duration;

use rustls::AlertDescription;
use sealway_core::{Termination, TlsOptions, TlsVersion};
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

/// A hello of one record with no `signature_algorithms`, as clients before TLS 1.2 send it.
fn old_hello(version: u16, supported_versions: &[u16]) -> Vec<u8> {
    let vector = |length_bytes: usize, parts: &[&[u8]]| {
        let content = parts.concat();
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length[4 - length_bytes..], &content].concat()
    };
    let extension = |kind: u16, data: &[u8]| [&kind.to_be_bytes()[..], &vector(2, &[data])].concat();
    let server_name = extension(0, &vector(2, &[&[0], &vector(2, &[NAME.as_bytes()])]));
    let mut extensions = server_name;
    if !supported_versions.is_empty() {
        let versions: Vec<u8> = supported_versions.iter().flat_map(|version| version.to_be_bytes()).collect();
        extensions.extend(extension(43, &vector(1, &[&versions])));
    }
    let suites = vector(2, &[&[0xc0, 0x09, 0xc0, 0x13, 0xc0, 0x2b]]);
    let body = vector(
        3,
        &[
            &version.to_be_bytes(),
            &[7; 32],
            &[0],
            &suites,
            &[1, 0],
            &vector(2, &[&extensions]),
        ],
    );
    [&[22, 3, 1][..], &vector(2, &[&[1], &body])].concat()
}

#[tokio::test]
async fn client_that_is_too_old_hears_of_its_version() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let only_newest = TlsOptions {
        minimum_version: Some(TlsVersion::Tls13),
        ..TlsOptions::default()
    };
    let (tls10, tls11, tls12) = (0x0301, 0x0302, 0x0303);
    for (options, hello) in [
        (TlsOptions::default(), old_hello(tls10, &[])),
        (TlsOptions::default(), old_hello(tls11, &[])),
        (TlsOptions::default(), old_hello(tls12, &[tls11, tls10])),
        (only_newest, old_hello(tls12, &[])),
    ] {
        let ending = Termination {
            options,
            ..termination(vec![pair.slot()])
        };
        let site = Site::echoing(ending, &keys([&pair]), &echo);
        assert_eq!(exchange(site.address, &hello).await, alert(70));
        site.gateway.wait_ended("no_shared_version", 1).await;
        let counted = ["side=\"client\"", "reason=\"no_shared_version\""];
        assert_eq!(site.gateway.sum("sealway_handshakes_total", &counted), 1);
    }
    // TLS 1.2 is not too old: it is the signature schemes that are missing.
    let site = Site::echoing(termination(vec![pair.slot()]), &keys([&pair]), &echo);
    assert_eq!(exchange(site.address, &old_hello(tls12, &[])).await, alert(40));
    site.gateway.wait_ended("no_shared_signature_scheme", 1).await;
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
