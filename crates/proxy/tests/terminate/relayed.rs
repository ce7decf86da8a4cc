//! What is inside reaches the backend: plain, or encrypted again; to the last byte, and as it ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealway_core::{BackendName, HostnamePattern, Target, UpstreamTls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::backends::policy;
use crate::kit::*;
use crate::rig::*;

const NAME: &str = "a.example.com";

/// A gateway that ends TLS for [`NAME`] and sends it to this backend.
fn site(authority: &Authority, target: Target) -> Site {
    let pair = Pair::new(authority, &[NAME]);
    let listener = ending(
        "tls",
        "",
        termination(vec![pair.slot()]),
        [("", forward("inside", vec![(1, target)]))],
    );
    Site::start(plan_of(vec![listener]), &keys([&pair]))
}

fn again(authority: &Authority, endpoint: SocketAddr) -> Target {
    target_over(
        "inside",
        [endpoint],
        None,
        UpstreamTls::Verified(Arc::new(policy("inside.example.com", bundle(authority, Vec::new())))),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_arrives_intact_both_ways_plain_and_encrypted_again() {
    let authority = Authority::new();
    let plain = EchoBackend::plain("inside").await;
    let encrypted = EchoBackend::with("inside", authority.server("inside.example.com", false), Before::Nothing).await;
    for target in [target("inside", [plain.address], None), again(&authority, encrypted.address)] {
        let site = site(&authority, target);
        let mut stream = tls(site.address, NAME, authority.client(None)).await.unwrap();
        assert_reaches(&mut stream, "inside").await;
        // A period that no buffer size divides, so that a shifted or repeated block shows.
        let sent: Vec<u8> = (0..8 * 1024 * 1024).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let (mut reading, mut writing) = tokio::io::split(stream);
        let bytes = sent.clone();
        let upload = tokio::spawn(async move {
            writing.write_all(&bytes).await.unwrap();
            writing.shutdown().await.unwrap();
            writing
        });
        let mut received = Vec::new();
        within(reading.read_to_end(&mut received)).await.unwrap();
        assert!(received == sent, "{} of {} bytes, or others", received.len(), sent.len());
        within(upload).await.unwrap();
        site.gateway.wait_ended("closed", 1).await;
        let labels = ["direction=\"received\"", "mode=\"terminate\""];
        assert_eq!(site.gateway.sum("sealway_bytes_total", &labels), sent.len() as u64 + 4);
    }
}

/// A backend that takes one connection and tells how its stream ended, after a late answer.
async fn listener_for_one() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn end_of_one_direction_is_passed_on_and_the_other_goes_on() {
    let authority = Authority::new();
    let (backend, address) = listener_for_one().await;
    let site = site(&authority, target("inside", [address], None));
    let client = tokio::spawn(async move {
        let mut stream = tls(site.address, NAME, authority.client(None)).await.unwrap();
        stream.write_all(b"question").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Ends with close_notify, or this is an error.
        within(stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, b"a late answer");
        site.gateway.wait_ended("closed", 1).await;
    });
    let (mut stream, _) = within(backend.accept()).await.unwrap();
    let mut question = Vec::new();
    within(stream.read_to_end(&mut question)).await.unwrap();
    assert_eq!(question, b"question");
    stream.write_all(b"a late answer").await.unwrap();
    drop(stream);
    within(client).await.unwrap();
}

#[tokio::test]
async fn stream_that_was_cut_does_not_look_whole_behind_the_gateway() {
    let authority = Authority::new();
    let (backend, address) = listener_for_one().await;
    let site = site(&authority, again(&authority, address));
    let acceptor = TlsAcceptor::from(authority.server("inside.example.com", false));
    for cut in [true, false] {
        let client = authority.client(None);
        let address = site.address;
        let client = tokio::spawn(async move {
            let mut stream = tls(address, NAME, client).await.unwrap();
            stream.write_all(b"half").await.unwrap();
            stream.flush().await.unwrap();
            if cut {
                // Only the socket ends.
                stream.get_mut().0.shutdown().await.unwrap();
            } else {
                stream.shutdown().await.unwrap();
            }
            stream
        });
        let (stream, _) = within(backend.accept()).await.unwrap();
        let mut stream = within(acceptor.accept(stream)).await.unwrap();
        let mut bytes = Vec::new();
        let end = within(stream.read_to_end(&mut bytes)).await;
        assert_eq!(bytes, b"half");
        assert_eq!(end.is_err(), cut, "{end:?}");
        drop(within(client).await.unwrap());
    }
}

#[tokio::test]
async fn postgres_request_for_tls_is_answered_and_the_backend_hears_the_inside() {
    let authority = Authority::new();
    let plain = EchoBackend::plain("inside").await;
    let asked = EchoBackend::with(
        "inside",
        authority.server("inside.example.com", false),
        Before::SslRequest(b'S'),
    )
    .await;
    for target in [target("inside", [plain.address], None), again(&authority, asked.address)] {
        let site = site(&authority, target);
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await.unwrap();
        assert_eq!(within(stream.read_u8()).await.unwrap(), b'S');
        let mut stream = tls_over(stream, NAME, authority.client(None)).await.unwrap();
        assert_reaches(&mut stream, "inside").await;
    }
    assert_eq!(asked.heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn proxy_header_goes_before_tls() {
    let authority = Authority::new();
    let backend = EchoBackend::with("inside", authority.server("inside.example.com", false), Before::ProxyHeader).await;
    let Target::Backend(inside) = again(&authority, backend.address) else {
        panic!("no backend")
    };
    let target = target_over(
        "inside",
        [backend.address],
        Some(sealway_core::ProxyProtocol::V2),
        inside.tls.clone(),
    );
    let site = site(&authority, target);
    let stream = TcpStream::connect(site.address).await.unwrap();
    let port = stream.local_addr().unwrap().port();
    let mut stream = tls_over(stream, NAME, authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, "inside").await;
    let heard = backend.heard.lock().unwrap()[0].clone();
    assert_eq!(heard[24..26], port.to_be_bytes());
}

#[tokio::test]
async fn passthrough_terminate_and_https_share_a_port_by_name() {
    let authority = Authority::new();
    let whole = EchoBackend::start("abc.example.com", &authority).await;
    let plain = EchoBackend::plain("inside").await;
    let pair = Pair::new(&authority, &["*.example.com"]);
    let site = Site::start(
        plan_of(vec![
            https("https", "*.example.com", termination(vec![pair.slot()])),
            listener(
                "through",
                "abc.example.com",
                [("abc.example.com", to("abc", [whole.address]))],
            ),
            ending(
                "tls",
                "db.example.com",
                termination(vec![pair.slot()]),
                [("", to("db", [plain.address]))],
            ),
        ]),
        &keys([&pair]),
    );
    let mut client = authority.client_with(None, rustls::ALL_VERSIONS);
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let client = Arc::new(client);
    let mut stream = tls(site.address, "abc.example.com", authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, "abc.example.com").await;
    let mut stream = tls(site.address, "db.example.com", Arc::clone(&client)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
    assert_reaches(&mut stream, "inside").await;
    let stream = tls(site.address, "www.example.com", Arc::clone(&client)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut old = authority.client_with(None, rustls::ALL_VERSIONS);
    old.alpn_protocols = vec![b"spdy/1".to_vec()];
    let alert = alert_of(site.address, "www.example.com", Arc::new(old)).await;
    assert_eq!(alert, rustls::AlertDescription::NoApplicationProtocol);
    site.gateway.wait_ended("no_shared_protocol", 1).await;
}

#[tokio::test]
async fn names_of_the_policy_are_what_the_certificate_must_have() {
    let authority = Authority::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["*.pods.example.com".to_owned()]).unwrap();
    let uri = "spiffe://example.com/inside";
    params.subject_alt_names.push(rcgen::SanType::URI(uri.try_into().unwrap()));
    let server = authority.server_with(authority.sign(params, &key), false, rustls::ALL_VERSIONS);
    let backend = EchoBackend::with("inside", server, Before::Nothing).await;
    let dns = |name: &str| BackendName::Dns(HostnamePattern::parse(Some(name)));
    let cases = [
        (vec![], false),
        (vec![dns("one.pods.example.com")], true),
        (vec![dns("*.pods.example.com")], true),
        (vec![dns("*.example.com")], false),
        (vec![dns("one.two.pods.example.com")], false),
        (vec![dns("other.example.com"), BackendName::Uri(uri.to_owned())], true),
        (vec![BackendName::Uri(format!("{uri}/"))], false),
    ];
    for (names, fits) in cases {
        let mut policy = policy("inside.example.com", bundle(&authority, Vec::new()));
        policy.names.clone_from(&names);
        let tls_to = UpstreamTls::Verified(Arc::new(policy));
        let site = site(&authority, target_over("inside", [backend.address], None, tls_to));
        match tls(site.address, NAME, authority.client(None)).await {
            Ok(mut stream) => {
                assert_reaches(&mut stream, "inside").await;
                assert!(fits, "{names:?}");
            }
            Err(_) => {
                assert!(!fits, "{names:?}");
                site.gateway.wait_ended("backend_tls_name_mismatch", 1).await;
            }
        }
    }
}

#[tokio::test]
async fn silence_and_drain_end_with_a_farewell() {
    let authority = Authority::new();
    let backend = EchoBackend::with("inside", authority.server("inside.example.com", false), Before::Nothing).await;
    let pair = Pair::new(&authority, &["*.example.com"]);
    let plan = |routes| plan_of(vec![ending("tls", "", termination(vec![pair.slot()]), routes)]);
    let brief = sealway_core::Forward {
        idle_timeout: Some(Duration::from_millis(300)),
        ..forward("brief", vec![(1, again(&authority, backend.address))])
    };
    let lasting = forward("lasting", vec![(1, again(&authority, backend.address))]);
    let config = sealway_proxy::Config {
        drain_timeout: Duration::from_millis(300),
        ..config()
    };
    let routes = vec![("brief.example.com", brief), (NAME, lasting)];
    let site = Site::with(config, plan(routes), &keys([&pair]));
    let client = authority.client(None);
    let mut silent = tls(site.address, "brief.example.com", Arc::clone(&client)).await.unwrap();
    assert_reaches(&mut silent, "inside").await;
    assert_eq!(within(silent.read(&mut [0])).await.unwrap(), 0);
    site.gateway.wait_ended("idle_timeout", 1).await;

    let mut drained = tls(site.address, NAME, client).await.unwrap();
    assert_reaches(&mut drained, "inside").await;
    site.publish(plan(Vec::new()), &keys([&pair]));
    assert_echoes(&mut drained).await;
    assert_eq!(within(drained.read(&mut [0])).await.unwrap(), 0);
    site.gateway.wait_ended("drained", 1).await;
}
