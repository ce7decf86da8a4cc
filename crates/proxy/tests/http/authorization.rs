//! External authorization with servers that really answer: one of HTTP, one that plays Envoy's ext_authz.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use sealway_core::{AuthProtocol, BackendFault, ExternalAuth, HeaderMatcher, HttpRule, Target, ValueMatcher};

use crate::http_kit::{
    Body, Heard, HttpServer, Version, ask, ask2, everything, get, http_listener, http_plan, nothing, prefix, routes, rule,
    rule_of, serving, text, to, weighted,
};
use crate::kit::free_port;

fn names(names: &[&'static str]) -> Vec<HeaderName> {
    names.iter().copied().map(HeaderName::from_static).collect()
}

fn http(path_prefix: &str) -> AuthProtocol {
    AuthProtocol::Http {
        path_prefix: path_prefix.to_owned(),
        request_headers: names(&["x-team"]),
        response_headers: names(&["x-user"]),
    }
}

fn grpc() -> AuthProtocol {
    AuthProtocol::Grpc {
        request_headers: Vec::new(),
    }
}

/// A rule to `backend` that asks `server` first.
fn guarded(backend: &HttpServer, server: Target, protocol: AuthProtocol, body_limit: Option<usize>) -> HttpRule {
    let mut rule = rule(to(backend));
    rule.filters.external_auth = Some(Arc::new(ExternalAuth {
        backend: weighted(1, server),
        protocol,
        body_limit,
    }));
    rule
}

fn post(body: &'static str) -> Request<Body> {
    let request = Request::post("/cart?id=1")
        .header("host", "shop.example.com")
        .header("authorization", "Bearer x")
        .header("x-team", "a")
        .header("x-user", "root");
    request.body(text(body)).unwrap()
}

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Response<Body> {
    let mut response = Response::new(text(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    response
}

async fn http_server(respond: impl Fn(Heard) -> Response<Body> + Send + Sync + 'static) -> HttpServer {
    HttpServer::start(Version::Http1, respond).await
}

/// One field of a message with a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

fn option(name: &str, value: &str) -> Vec<u8> {
    field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat())
}

/// CheckResponse with `status.code` and this `http_response`.
fn check_response(code: u8, http_response: Vec<u8>) -> Vec<u8> {
    [field(1, &[8, code]), http_response].concat()
}

/// A server of gRPC that says this message and ends its calls with this status.
async fn grpc_server(message: Vec<u8>, status: &'static str) -> HttpServer {
    HttpServer::start(Version::Http2, move |_| {
        let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        frame.extend(&message);
        let trailers: HeaderMap = [(HeaderName::from_static("grpc-status"), HeaderValue::from_static(status))]
            .into_iter()
            .collect();
        let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
        let mut response = Response::new(body.boxed());
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("application/grpc"));
        response
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_over_http_carries_its_headers_to_the_backend() {
    let backend = HttpServer::named("served").await;
    let server = http_server(|_| {
        answer(
            200,
            &[("x-user", "alice"), ("x-other", "1"), ("content-type", "text/html")],
            "yes",
        )
    })
    .await;
    let (_gateway, address) = serving(everything(guarded(&backend, to(&server), http("/auth"), None)));

    let served = ask(address, post("body")).await;
    assert_eq!((served.status, served.text()), (200, "served"));
    let asked = server.last();
    assert_eq!(
        (asked.method.clone(), asked.target.as_str()),
        (Method::POST, "/auth/cart?id=1")
    );
    for (name, value) in [
        ("host", "shop.example.com"),
        ("authorization", "Bearer x"),
        ("x-team", "a"),
        ("x-user", ""),
        ("content-length", "0"),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    assert!(asked.body.is_empty());
    let reached = backend.last();
    assert_eq!(
        (
            reached.header("x-user"),
            reached.header("x-other"),
            reached.header("content-type")
        ),
        ("alice", "", "")
    );
    assert_eq!(
        (reached.header("authorization"), reached.body.as_ref()),
        ("Bearer x", &b"body"[..])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cannot_say_what_the_server_did_not() {
    let backend = HttpServer::named("served").await;
    let server = HttpServer::status(200).await;
    let (_gateway, address) = serving(everything(guarded(&backend, to(&server), http(""), None)));
    assert_eq!(ask(address, post("")).await.status, 200);
    assert!(!backend.last().headers.contains_key("x-user"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_over_http_is_the_servers_answer() {
    let backend = HttpServer::named("served").await;
    let server = http_server(|_| {
        answer(
            401,
            &[("www-authenticate", "Basic"), ("set-cookie", "a=1"), ("set-cookie", "b=2")],
            "who?",
        )
    })
    .await;
    let (gateway, address) = serving(everything(guarded(&backend, to(&server), http(""), None)));
    for refused in [ask(address, post("body")).await, ask2(address, post("body")).await] {
        assert_eq!((refused.status, refused.text()), (401, "who?"));
        assert_eq!(refused.header("www-authenticate"), "Basic");
        assert_eq!(refused.headers.get_all("set-cookie").iter().count(), 2);
    }
    assert_eq!(backend.count(), 0);
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_not_a_yes_is_a_no() {
    let backend = HttpServer::named("served").await;
    let (failing, empty) = (HttpServer::status(503).await, HttpServer::status(204).await);
    let plain = HttpServer::named("not gRPC").await;
    let gone = {
        let address = ([127, 0, 0, 1], free_port()).into();
        Target::Backend(Arc::new(crate::http_kit::backend("gone", vec![address])))
    };
    for (server, protocol) in [
        (to(&failing), http("")),
        (to(&empty), http("")),
        (gone.clone(), http("")),
        (gone, grpc()),
        (Target::Refuse(BackendFault::NotFound), http("")),
        (to(&plain), grpc()),
    ] {
        let (_gateway, address) = serving(everything(guarded(&backend, server.clone(), protocol, None)));
        let refused = ask(address, post("body")).await;
        assert_eq!(refused.status, 403, "{server:?}");
    }
    assert_eq!(backend.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_waited_for_as_long_as_the_rule_allows() {
    let backend = HttpServer::named("served").await;
    let silent = HttpServer::serve(Version::Http1, Arc::default(), |_| std::future::pending()).await;
    let mut rule = guarded(&backend, to(&silent), http(""), None);
    rule.request_timeout = Some(Duration::from_millis(100));
    let (_gateway, address) = serving(everything(rule));
    let refused = ask(address, get("shop.example.com", "/")).await;
    assert!(matches!(refused.status, 403 | 504), "{}", refused.status);
    assert_eq!(backend.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_shown_whole_and_go_on_whole() {
    let backend = HttpServer::named("served").await;
    let server = HttpServer::status(200).await;
    let (_gateway, address) = serving(everything(guarded(&backend, to(&server), http(""), Some(8))));
    assert_eq!(ask(address, post("the body")).await.status, 200);
    assert_eq!(
        (server.last().body, server.last().header("content-length")),
        (Bytes::from("the body"), "8")
    );
    assert_eq!(backend.last().body, "the body");
    assert_eq!(ask(address, post("too large")).await.status, 413);
    assert_eq!((server.count(), backend.count()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_climbs_out_of_the_prefix_is_asked_nobody_about() {
    let backend = HttpServer::named("served").await;
    let server = HttpServer::status(200).await;
    let (_gateway, address) = serving(everything(guarded(&backend, to(&server), http("/auth"), None)));
    assert_eq!(ask(address, get("shop.example.com", "/../healthz")).await.status, 400);
    assert_eq!((server.count(), backend.count()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_over_grpc_changes_request_and_response() {
    let backend = HttpServer::named("served").await;
    let ok = [
        field(2, &option("x-user", "alice")),
        field(2, &option("host", "evil.example.com")),
        field(2, &option("x-forwarded-client-cert", "Hash=0")),
        field(5, b"authorization"),
        field(6, &option("set-cookie", "session=1")),
    ];
    let server = grpc_server(check_response(0, field(3, &ok.concat())), "0").await;
    let (_gateway, address) = serving(everything(guarded(&backend, to(&server), grpc(), Some(100))));

    let served = ask(address, post("body")).await;
    assert_eq!(
        (served.status, served.text(), served.header("set-cookie")),
        (200, "served", "session=1")
    );
    let reached = backend.last();
    for (name, value) in [
        ("x-user", "alice"),
        ("host", "shop.example.com"),
        ("authorization", ""),
        ("x-forwarded-client-cert", ""),
        ("x-team", "a"),
    ] {
        assert_eq!(reached.header(name), value, "{name}");
    }
    assert_eq!(reached.body, "body");

    let asked = server.last();
    assert!(asked.target.ends_with("/envoy.service.auth.v3.Authorization/Check"));
    assert_eq!(asked.header("content-type"), "application/grpc");
    let message = asked.body.get(5..).unwrap();
    let says = |part: &[u8]| message.windows(part.len()).any(|window| window == part);
    for part in [
        "POST",
        "/cart?id=1",
        "shop.example.com",
        "Bearer x",
        "127.0.0.1",
        "HTTP/1.1",
        "body",
        "http",
    ] {
        assert!(says(part.as_bytes()), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_over_grpc_is_in_the_servers_words() {
    let backend = HttpServer::named("served").await;
    let denied = [
        field(1, &[8, 0x91, 3]),
        field(2, &option("www-authenticate", "Basic")),
        field(3, b"who?"),
    ];
    let server = grpc_server(check_response(16, field(2, &denied.concat())), "0").await;
    let (_gateway, address) = serving(everything(guarded(&backend, to(&server), grpc(), None)));
    let refused = ask(address, post("body")).await;
    assert_eq!(
        (refused.status, refused.text(), refused.header("www-authenticate")),
        (401, "who?", "Basic")
    );
    assert_eq!(backend.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_is_a_no() {
    let backend = HttpServer::named("served").await;
    for (message, status) in [(check_response(0, Vec::new()), "14"), (vec![0xff; 9], "0"), (Vec::new(), "0")] {
        let server = grpc_server(message, status).await;
        let (_gateway, address) = serving(everything(guarded(&backend, to(&server), grpc(), None)));
        assert_eq!(ask(address, post("body")).await.status, 403, "{status}");
        assert_eq!(server.count(), 1);
    }
    assert_eq!(backend.count(), 0);
}

/// Browsers send no credentials with a preflight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_are_answered_before_anyone_is_asked() {
    let backend = HttpServer::named("served").await;
    let server = HttpServer::status(401).await;
    let mut rule = guarded(&backend, to(&server), http(""), None);
    rule.filters.cors = Some(Arc::new(sealway_core::Cors {
        origins: vec![sealway_core::CorsOrigin::Any],
        credentials: false,
        methods: Vec::new(),
        headers: Vec::new(),
        expose: Vec::new(),
        max_age: 5,
    }));
    let (_gateway, address) = serving(everything(rule));
    let preflight = Request::options("/")
        .header("host", "shop.example.com")
        .header("origin", "https://a.example")
        .header("access-control-request-method", "GET");
    let answer = ask(address, preflight.body(nothing()).unwrap()).await;
    assert_eq!((answer.status, server.count()), (204, 0));
    let refused = Request::get("/")
        .header("host", "shop.example.com")
        .header("origin", "https://a.example");
    let refused = ask(address, refused.body(nothing()).unwrap()).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, "*"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_of_a_body_that_was_shown_go_on() {
    let backend = HttpServer::start(Version::Http2, |_| Response::new(text("served"))).await;
    let server = HttpServer::status(200).await;
    let mut rule = guarded(&backend, to(&server), http(""), Some(8));
    rule.backends[0].backend.target = crate::http_kit::speaking(Version::Http2, &backend);
    let (_gateway, address) = serving(everything(rule));
    let trailers: HeaderMap = [(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))]
        .into_iter()
        .collect();
    let sent = trailers.clone();
    let mut request = post("");
    *request.body_mut() = Full::new(Bytes::from("body"))
        .with_trailers(async move { Some(Ok(sent)) })
        .boxed();
    assert_eq!(ask2(address, request).await.status, 200);
    assert_eq!(
        (backend.last().body, backend.last().trailers),
        ("body".into(), Some(trailers))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_keeps_its_body_back_is_told_so() {
    let (backend, server) = (HttpServer::named("served").await, HttpServer::status(200).await);
    let mut config = crate::kit::config();
    config.http.body_timeout = Duration::from_millis(50);
    let rule = guarded(&backend, to(&server), http(""), Some(8));
    let (_gateway, address) = crate::http_kit::serving_with(config, everything(rule));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbo")
        .await
        .unwrap();
    let answer = String::from_utf8(crate::kit::rest(&mut stream).await).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.ends_with("body_timeout"),
        "{answer}"
    );
    assert_eq!((server.count(), backend.count()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_asks_before_a_route_is_looked_for() {
    let (alice, others) = (HttpServer::named("alice").await, HttpServer::named("others").await);
    let server = http_server(|heard| match heard.header("authorization") {
        "Bearer x" => answer(200, &[("x-user", "alice"), ("host", "elsewhere")], ""),
        _ => answer(403, &[], "who are you?"),
    })
    .await;
    let mut of_alice = prefix("", rule(to(&alice)));
    of_alice.headers.push(HeaderMatcher {
        name: HeaderName::from_static("x-user"),
        value: ValueMatcher::Exact("alice".to_owned()),
    });
    let mut all = routes([("", vec![of_alice, prefix("", rule(to(&others)))])]);
    let mut before = rule_of(Vec::new());
    before.filters.external_auth = Some(Arc::new(ExternalAuth {
        backend: weighted(1, to(&server)),
        protocol: http(""),
        body_limit: None,
    }));
    all.before.push(Arc::new(before));
    let (_gateway, address) = serving(http_plan(vec![http_listener("http", "", all)]));

    // The route is chosen by what the server has said, not by what the client has written.
    let served = ask(address, post("body")).await;
    assert_eq!((served.status, served.text()), (200, "alice"));
    assert_eq!(alice.last().header("host"), "shop.example.com");
    let mut stranger = post("body");
    stranger.headers_mut().remove("authorization");
    let refused = ask(address, stranger).await;
    assert_eq!((refused.status, refused.text()), (403, "who are you?"));
    assert_eq!(others.count(), 0);
}
