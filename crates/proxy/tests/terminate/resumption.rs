//! Sessions go on within a listener and a policy, and nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, NamedGroup};
use sealway_core::{ClientValidationMode, TrustBundle};

use crate::kit::*;
use crate::rig::*;

const NAME: &str = "a.example.com";

/// How a client came in, that then saw the backend: by then it has its ticket.
async fn kind(address: SocketAddr, client: &Arc<ClientConfig>) -> HandshakeKind {
    let mut stream = tls(address, NAME, Arc::clone(client)).await.unwrap();
    assert_reaches(&mut stream, "echo").await;
    stream.get_ref().1.handshake_kind().unwrap()
}

fn is_resumed(kind: HandshakeKind) -> bool {
    kind == HandshakeKind::Resumed
}

#[tokio::test]
async fn session_goes_on_at_its_listener_even_when_the_certificate_changes() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let pair = Pair::new(&authority, &[NAME]);
        let site = Site::echoing(termination(vec![pair.slot()]), &keys([&pair]), &echo);
        let client = Arc::new(authority.client_with(None, &[version]));
        assert!(!is_resumed(kind(site.address, &client).await));
        assert!(is_resumed(kind(site.address, &client).await));
        let pair = Pair::new(&authority, &[NAME]);
        site.publish(echo_plan(termination(vec![pair.slot()]), &echo), &keys([&pair]));
        assert!(is_resumed(kind(site.address, &client).await));
    }
}

/// Counts the tickets of TLS 1.3, and keeps nothing.
#[derive(Debug, Default)]
struct Tickets(AtomicUsize);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _name: ServerName<'static>, _group: NamedGroup) {}

    fn kx_hint(&self, _name: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _name: ServerName<'static>, _session: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _name: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _name: ServerName<'static>, _session: Tls13ClientSessionValue) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn take_tls13_ticket(&self, _name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

#[tokio::test]
async fn one_ticket_a_handshake() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let site = Site::echoing(termination(vec![pair.slot()]), &keys([&pair]), &echo);
    let tickets = Arc::new(Tickets::default());
    let mut client = authority.client_with(None, &[&rustls::version::TLS13]);
    client.resumption = Resumption::store(Arc::clone(&tickets) as _);
    let client = Arc::new(client);
    for handshakes in 1..=3 {
        // To the backend and back: what was sent with the handshake has come by then.
        kind(site.address, &client).await;
        assert_eq!(tickets.0.load(Ordering::SeqCst), handshakes);
    }
}

#[tokio::test]
async fn session_does_not_go_on_at_another_listener() {
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let gateway = Gateway::start(config());
    let ports = [free_port(), free_port()];
    let plan = || echo_plan(termination(vec![pair.slot()]), &echo);
    gateway.publish_with(
        [snapshot("one", ports[0], plan()), snapshot("two", ports[1], plan())],
        &keys([&pair]),
    );
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = Arc::new(authority.client_with(None, &[version]));
        for port in ports {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            assert!(!is_resumed(kind(address, &client).await), "{port}");
        }
    }
}

#[tokio::test]
async fn session_does_not_go_on_under_another_policy_for_clients() {
    use ClientValidationMode::{AllowInsecureFallback, AllowValidOnly};
    let authority = Authority::new();
    let echo = EchoBackend::plain("echo").await;
    let pair = Pair::new(&authority, &[NAME]);
    let trusted = bundle(&authority, Vec::new());
    let plan = |mode, bundle: &Arc<_>| echo_plan(asking(&pair, mode, Arc::clone(bundle)), &echo);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let site = Site::start(plan(AllowValidOnly, &trusted), &keys([&pair]));
        let identity = authority.sign(
            rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap(),
            &rcgen::KeyPair::generate().unwrap(),
        );
        let client = Arc::new(authority.client_with(Some(identity), &[version]));
        assert!(!is_resumed(kind(site.address, &client).await));
        assert!(is_resumed(kind(site.address, &client).await));
        // Other lists of the same authorities: a client is judged by them when it comes back.
        site.publish(
            plan(AllowValidOnly, &bundle(&authority, vec![revokes_seven(&authority)])),
            &keys([&pair]),
        );
        assert!(is_resumed(kind(site.address, &client).await));
        let more = (*bundle(&authority, Vec::new())).clone();
        let certificates = vec![authority.certificate(), Authority::new().certificate()];
        let more = Arc::new(TrustBundle { certificates, ..more });
        site.publish(plan(AllowValidOnly, &more), &keys([&pair]));
        assert!(!is_resumed(kind(site.address, &client).await));
        site.publish(plan(AllowInsecureFallback, &trusted), &keys([&pair]));
        assert!(!is_resumed(kind(site.address, &client).await));
        assert!(is_resumed(kind(site.address, &client).await));
    }
}
