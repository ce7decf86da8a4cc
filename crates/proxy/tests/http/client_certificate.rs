//! What backends hear of the certificates that clients prove themselves with.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use rustls::ClientConfig;
use sealway_core::ClientValidationMode::{self, AllowInsecureFallback, AllowValidOnly};
use sealway_core::{ClientCertificateHeaders, TlsListener, TrustBundle};

use crate::http_kit::{Answer, HttpServer, get, prefix, routes, rule, to, whole};
use crate::kit::*;
use crate::rig::*;

const NAME: &str = "shop.example.com";
const FORGED: &str = "Hash=0;Subject=\"CN=admin\"";

/// A client with a certificate of this authority for `front`, and its DER.
fn client(authority: &Authority, issuer: &Authority) -> (Arc<ClientConfig>, Vec<u8>) {
    let mut params = CertificateParams::new(vec!["front.example.com".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "front\";URI=\"spiffe://admin");
    params
        .subject_alt_names
        .push(SanType::URI("spiffe://cluster.local/front".try_into().unwrap()));
    let identity = issuer.sign(params, &KeyPair::generate().unwrap());
    let der = identity.0.to_vec();
    (Arc::new(authority.client_with(Some(identity), rustls::ALL_VERSIONS)), der)
}

struct Rig {
    authority: Authority,
    backend: HttpServer,
    gateway: Gateway,
    address: std::net::SocketAddr,
}

impl Rig {
    async fn start(mode: ClientValidationMode, headers: ClientCertificateHeaders) -> Self {
        let authority = Authority::new();
        let backend = HttpServer::named("served").await;
        let pair = Pair::new(&authority, &[NAME]);
        let listener = TlsListener {
            requests: Some(Arc::new(routes([("", vec![prefix("", rule(to(&backend)))])]))),
            ..https("https", "", asking(&pair, mode, bundle(&authority, Vec::new())))
        };
        let port = free_port();
        let mut snapshot = snapshot("edge", port, plan_of(vec![listener]));
        snapshot.client_certificate_headers = headers;
        let gateway = Gateway::start(config());
        gateway.publish_with([snapshot], &keys([&pair]));
        Self {
            authority,
            backend,
            gateway,
            address: ([127, 0, 0, 1], port).into(),
        }
    }

    /// A request of a client that claims to be somebody; what the backend heard.
    async fn heard(&self, client: Arc<ClientConfig>) -> HeaderMap {
        let answer = self.ask(client).await;
        assert_eq!(answer.status, 200, "{}", self.gateway.metrics());
        self.backend.last().headers
    }

    async fn ask(&self, client: Arc<ClientConfig>) -> Answer {
        let stream = tls(self.address, NAME, client).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = get(NAME, "/");
        for name in [
            "x-forwarded-client-cert",
            "x_forwarded_client_cert",
            "client-cert",
            "client_cert_chain",
        ] {
            request.headers_mut().append(name, HeaderValue::from_static(FORGED));
        }
        whole(within(sender.send_request(request)).await.unwrap()).await
    }
}

fn line<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    assert!(headers.get_all(name).iter().count() <= 1);
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verified_certificate_is_told_as_envoy_tells_it() {
    let rig = Rig::start(AllowValidOnly, ClientCertificateHeaders::default()).await;
    let (client, der) = client(&rig.authority, &rig.authority);
    let headers = rig.heard(client).await;
    let told = line(&headers, "x-forwarded-client-cert").unwrap();
    let hash: String = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(told.starts_with(&format!("Hash={hash};Cert=\"-----BEGIN%20CERTIFICATE-----%0A")));
    let names = ";Subject=\"CN=front\\22\\3BURI=\\22spiffe://admin\";URI=spiffe://cluster.local/front;DNS=front.example.com";
    // The names stand in the order of the certificate within their kind.
    assert!(told.ends_with(names), "{told}");
    assert_eq!(line(&headers, "x-forwarded-proto"), Some("https"));
    for name in [
        "client-cert",
        "client-cert-chain",
        "x_forwarded_client_cert",
        "client_cert_chain",
    ] {
        assert_eq!(line(&headers, name), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc_9440_on_request() {
    use base64::Engine as _;
    let only = ClientCertificateHeaders {
        xfcc: false,
        rfc9440: true,
    };
    let rig = Rig::start(AllowValidOnly, only).await;
    let (client, der) = client(&rig.authority, &rig.authority);
    let headers = rig.heard(client).await;
    let expected = format!(":{}:", base64::engine::general_purpose::STANDARD.encode(der));
    assert_eq!(line(&headers, "client-cert"), Some(expected.as_str()));
    assert_eq!(line(&headers, "x-forwarded-client-cert"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_falling_back_is_allowed_only_good_certificates_are_told() {
    let rig = Rig::start(AllowInsecureFallback, ClientCertificateHeaders::default()).await;
    let (good, _) = client(&rig.authority, &rig.authority);
    let (stranger, _) = client(&rig.authority, &Authority::new());
    assert!(line(&rig.heard(good).await, "x-forwarded-client-cert").is_some());
    for unproven in [stranger, rig.authority.client(None)] {
        let headers = rig.heard(unproven).await;
        for name in ["x-forwarded-client-cert", "client-cert", "x_forwarded_client_cert"] {
            assert_eq!(line(&headers, name), None, "{name}");
        }
    }
}

/// Of two clients that are connected, a new list ends the connection of the one that it has, and of no other: neither at rest nor busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_that_changes_ends_the_connections_of_those_whom_it_revokes_and_no_others() {
    let authority = Authority::new();
    let backend = HttpServer::named("served").await;
    let pair = Pair::new(&authority, &[NAME]);
    let port = free_port();
    let address = ([127, 0, 0, 1], port).into();
    let gateway = Gateway::start(config());
    let publish = |trusted: &Arc<TrustBundle>| {
        let listener = TlsListener {
            requests: Some(Arc::new(routes([("", vec![prefix("", rule(to(&backend)))])]))),
            ..https("https", "", asking(&pair, AllowValidOnly, Arc::clone(trusted)))
        };
        gateway.publish_with([snapshot("edge", port, plan_of(vec![listener]))], &keys([&pair]));
    };
    let without = bundle(&authority, Vec::new());
    publish(&without);
    let mut senders = Vec::new();
    let mut ends = Vec::new();
    for serial in [7_u64, 8] {
        let mut params = CertificateParams::new(vec!["front.example.com".to_owned()]).unwrap();
        params.serial_number = Some(serial.into());
        let identity = authority.sign(params, &KeyPair::generate().unwrap());
        let client = Arc::new(authority.client_with(Some(identity), rustls::ALL_VERSIONS));
        let stream = tls(address, NAME, client).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        ends.push(tokio::spawn(connection));
        assert_eq!(
            whole(within(sender.send_request(get(NAME, "/"))).await.unwrap()).await.status,
            200
        );
        senders.push(sender);
    }
    publish(&bundle(&authority, vec![revokes_seven(&authority)]));
    let _ = within(&mut ends[0]).await;
    gateway.wait_ended("drained", 1).await;
    let mut good = senders.remove(1);
    for _ in 0..3 {
        within(good.ready()).await.unwrap();
        assert_eq!(
            whole(within(good.send_request(get(NAME, "/"))).await.unwrap()).await.status,
            200
        );
        // The same with a list that is new and says the same, and when it goes.
        publish(&bundle(&authority, vec![revokes_seven(&authority)]));
    }
    publish(&without);
    within(good.ready()).await.unwrap();
    assert_eq!(
        whole(within(good.send_request(get(NAME, "/"))).await.unwrap()).await.status,
        200
    );
    // An authority that comes beside the client's own, and goes again, is no business of the client's.
    let [own, other] = [&authority, &Authority::new()].map(|authority| bundle(authority, Vec::new()));
    let both = Arc::new(TrustBundle {
        content: other.content,
        certificates: own.certificates.iter().chain(&other.certificates).cloned().collect(),
        ..TrustBundle::clone(&own)
    });
    for trusted in [&both, &own] {
        publish(trusted);
        within(good.ready()).await.unwrap();
        assert_eq!(
            whole(within(good.send_request(get(NAME, "/"))).await.unwrap()).await.status,
            200
        );
    }
    // Whoever asks for another authority asks everybody anew.
    publish(&bundle(&Authority::new(), Vec::new()));
    let _ = within(&mut ends[1]).await;
    gateway.wait_ended("drained", 2).await;
}
