//! HTTP inside TLS: which listener answers, what backends hear of it, and TLS on towards them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use sealway_api::ObjectKey;
use sealway_core::{
    BackendAuthorities, BackendTls, ClientValidationMode, HttpRoutes, HttpRule, Target, Termination, TlsListener, TlsOptions,
    TlsPlan, UpstreamTls,
};

use crate::http_kit::*;
use crate::kit::{self, Authority, until, within};
use crate::rig::{Pair, Site, asking, bundle, https, keys, termination};

const NAME: &str = "a.example.com";

fn requests(termination: Termination, name: &str, hostname: &str, routes: HttpRoutes) -> TlsListener {
    TlsListener {
        requests: Some(Arc::new(routes)),
        ..https(name, hostname, termination)
    }
}

fn everywhere(target: Target) -> HttpRoutes {
    routes([("", vec![prefix("", rule(target))])])
}

fn offering(config: &Arc<ClientConfig>, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

async fn secure1(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> http1::SendRequest<Body> {
    let stream = kit::tls(address, name, offering(config, b"http/1.1")).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn secure2(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> http2::SendRequest<Body> {
    let stream = kit::tls(address, name, offering(config, b"h2")).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get2(host: &str) -> Request<Body> {
    Request::get(format!("https://{host}/")).body(nothing()).unwrap()
}

#[tokio::test]
async fn both_versions_are_served_and_the_backend_hears_of_tls() {
    let authority = Authority::new();
    let server = HttpServer::named("one").await;
    let pair = Pair::new(&authority, &[NAME]);
    let plan = kit::plan_of(vec![requests(
        termination(vec![pair.slot()]),
        "https",
        "",
        everywhere(to(&server)),
    )]);
    let site = Site::start(plan, &keys([&pair]));
    let client = authority.client(None);
    let mut one = secure1(site.address, NAME, &client).await;
    let answer = whole(within(one.send_request(get(NAME, "/"))).await.unwrap()).await;
    assert_eq!((answer.text(), server.last().header("x-forwarded-proto")), ("one", "https"));
    let mut two = secure2(site.address, NAME, &client).await;
    let answer = whole(within(two.send_request(get2(NAME))).await.unwrap()).await;
    assert_eq!((answer.text(), server.last().header("host")), ("one", NAME));
    drop((one, two));
    until(|| site.gateway.metrics(), || site.gateway.ended("closed") == 2).await;
}

#[tokio::test]
async fn host_of_another_listener_is_misdirected() {
    let authority = Authority::new();
    let server = HttpServer::named("one").await;
    let pair = Pair::new(&authority, &[NAME, "b.example.com"]);
    let end = || termination(vec![pair.slot()]);
    let passed = kit::listener(
        "passthrough",
        "p.example.com",
        [("p.example.com", kit::to("p", [server.address]))],
    );
    let plan = kit::plan_of(vec![
        requests(end(), "a", NAME, routes([("", vec![prefix("/x", rule(to(&server)))])])),
        requests(end(), "b", "b.example.com", everywhere(to(&server))),
        passed,
    ]);
    let site = Site::start(plan, &keys([&pair]));
    let mut client = secure2(site.address, NAME, &authority.client(None)).await;
    for (host, status) in [
        (NAME, 404),
        ("b.example.com", 421),
        ("p.example.com", 421),
        ("nobody.example.org", 404),
    ] {
        let response = within(client.send_request(get2(host))).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{host}");
    }
    assert_eq!(server.count(), 0);
}

/// An HTTPS port whose backend must keep to `policy`.
struct Reencrypting {
    site: Site,
    authority: Authority,
    pair: Pair,
    backend: SocketAddr,
}

fn policy(name: &str, authority: &Authority) -> Arc<BackendTls> {
    Arc::new(BackendTls {
        policy: ObjectKey::new("shop", "policy"),
        server_name: name.into(),
        names: Vec::new(),
        authorities: BackendAuthorities::Bundle(bundle(authority, vec![])),
        options: TlsOptions::default(),
    })
}

impl Reencrypting {
    fn start(backend: SocketAddr, tls: Arc<BackendTls>) -> Self {
        let authority = Authority::new();
        let pair = Pair::new(&authority, &[NAME]);
        let site = Site::start(Self::plan(&pair, backend, tls), &keys([&pair]));
        Self {
            site,
            authority,
            pair,
            backend,
        }
    }

    fn plan(pair: &Pair, address: SocketAddr, tls: Arc<BackendTls>) -> TlsPlan {
        let mut inside = backend("inside", [address]);
        inside.tls = UpstreamTls::Verified(tls);
        let target = Target::Backend(Arc::new(inside));
        kit::plan_of(vec![requests(
            termination(vec![pair.slot()]),
            "https",
            "",
            everywhere(target),
        )])
    }

    fn publish(&self, tls: Arc<BackendTls>) {
        self.site
            .publish(Self::plan(&self.pair, self.backend, tls), &keys([&self.pair]));
    }

    async fn ask(&self) -> Answer {
        let mut client = secure1(self.site.address, NAME, &self.authority.client(None)).await;
        whole(within(client.send_request(get(NAME, "/"))).await.unwrap()).await
    }
}

#[tokio::test]
async fn backends_get_http2_where_they_offer_it_and_connections_keep_to_their_policy() {
    for (protocols, connections) in [(vec![b"h2".to_vec(), b"http/1.1".to_vec()], 1), (vec![], 1)] {
        let (inner, other) = (Authority::new(), Authority::new());
        let mut tls = rustls::ServerConfig::clone(&inner.server("inside.example.com", false));
        tls.alpn_protocols = protocols.clone();
        let server = HttpServer::encrypted("inside", tls).await;
        let gateway = Reencrypting::start(server.address, policy("inside.example.com", &inner));
        for _ in 0..3 {
            assert_eq!(gateway.ask().await.text(), "inside");
        }
        assert_eq!(server.connections(), connections);
        let absolute = server.last().target.starts_with("https://");
        assert_eq!(absolute, !protocols.is_empty(), "{}", server.last().target);

        // What is open was verified by the old authority: it is not used for the new policy.
        gateway.publish(policy("inside.example.com", &other));
        let answer = gateway.ask().await;
        assert_eq!((answer.status, answer.text()), (502, "tls_unknown_authority"));
        let failures = |reason| {
            let labels = ["route=\"HTTPRoute shop/web\"", reason];
            gateway.site.gateway.sum("sealway_backend_connect_failures_total", &labels)
        };
        assert_eq!(failures("reason=\"tls_unknown_authority\""), 1);
        gateway.publish(policy("elsewhere.example.com", &inner));
        let answer = gateway.ask().await;
        assert_eq!((answer.status, answer.text()), (502, "tls_name_mismatch"));
        assert_eq!(failures("reason=\"tls_name_mismatch\""), 1);
        gateway.publish(policy("inside.example.com", &inner));
        assert_eq!(gateway.ask().await.text(), "inside");
    }
}

#[tokio::test]
async fn those_who_wait_for_one_connection_share_its_failure() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            held.push(stream);
        }
    });
    let mut inside = backend("inside", [silent]);
    inside.tls = UpstreamTls::Verified(policy("inside.example.com", &Authority::new()));
    let (gateway, address) = serving(everything(HttpRule {
        connect_timeout: Duration::from_secs(2),
        ..rule(Target::Backend(Arc::new(inside)))
    }));
    let asked: Vec<_> = (0..10).map(|_| tokio::spawn(ask(address, get("a", "/")))).collect();
    for answer in asked {
        // Who came last may be out of time itself, by a moment.
        assert!(matches!(within(answer).await.unwrap().status, 502 | 503));
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    let failures = gateway.sum("sealway_backend_connect_failures_total", &["reason=\"tls_"]);
    assert_eq!(failures, 1);
}

#[tokio::test]
async fn verified_clients_are_named_and_a_change_of_policy_ends_their_connections() {
    let authority = Authority::new();
    let server = HttpServer::named("one").await;
    let pair = Pair::new(&authority, &[NAME]);
    let publish = |site: Option<&Site>, ca: &Authority| {
        let termination = asking(&pair, ClientValidationMode::AllowValidOnly, bundle(ca, vec![]));
        let plan = kit::plan_of(vec![requests(termination, "https", "", everywhere(to(&server)))]);
        match site {
            Some(site) => {
                site.publish(plan, &keys([&pair]));
                None
            }
            None => Some(Site::start(plan, &keys([&pair]))),
        }
    };
    let site = publish(None, &authority).unwrap();
    let config = authority.client(Some("client.example.com"));
    let (mut one, mut two) = (
        secure1(site.address, NAME, &config).await,
        secure2(site.address, NAME, &config).await,
    );
    let mut request = get(NAME, "/");
    request
        .headers_mut()
        .insert("x-forwarded-client-cert", "Subject=\"forged\"".parse().unwrap());
    assert_eq!(whole(within(one.send_request(request)).await.unwrap()).await.status, 200);
    let told = server.last().header("x-forwarded-client-cert").to_owned();
    assert!(
        told.contains("Hash=") && told.contains("DNS=client.example.com") && !told.contains("forged"),
        "{told}"
    );
    assert_eq!(within(two.send_request(get2(NAME))).await.unwrap().status(), 200);

    publish(Some(&site), &Authority::new());
    until(|| "both connections end", || one.is_closed() && two.is_closed()).await;
    site.gateway.wait_ended("drained", 2).await;
}

/// A whole body on a connection that is being drained arrives.
#[tokio::test]
async fn listener_that_goes_lets_its_requests_finish() {
    let authority = Authority::new();
    let gate = Arc::new(tokio::sync::Notify::new());
    let waits = Arc::clone(&gate);
    let server = HttpServer::serve(Version::Http1, Arc::default(), move |_| {
        let gate = Arc::clone(&waits);
        async move {
            gate.notified().await;
            http::Response::new(text("done"))
        }
    })
    .await;
    let pair = Pair::new(&authority, &[NAME]);
    let plan = |name: &str| {
        kit::plan_of(vec![requests(
            termination(vec![pair.slot()]),
            name,
            "",
            everywhere(to(&server)),
        )])
    };
    let site = Site::start(plan("https"), &keys([&pair]));
    let mut client = secure2(site.address, NAME, &authority.client(None)).await;
    let asked = tokio::spawn(client.send_request(get2(NAME)));
    until(|| "the request", || server.connections() == 1).await;
    site.publish(plan("renamed"), &keys([&pair]));
    gate.notify_one();
    let body = within(asked).await.unwrap().unwrap().into_body();
    assert_eq!(within(body.collect()).await.unwrap().to_bytes(), "done");
    until(|| "GOAWAY", || client.is_closed()).await;
}
