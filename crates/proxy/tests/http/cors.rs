//! The CORS filter on requests that really travel.

use std::sync::Arc;

use http::{HeaderValue, Request, Response};
use sealway_core::{BackendFault, Cors, CorsOrigin, Redirect, Target};

use crate::http_kit::{Answer, Body, HttpServer, Version, ask, ask2, everything, nothing, rule, serving, text, to};

const FRIEND: &str = "https://www.bar.com";

fn policy() -> Arc<Cors> {
    let list = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect();
    Arc::new(Cors {
        origins: vec![CorsOrigin::Wildcard {
            scheme: "https://".to_owned(),
            suffix: "bar.com".to_owned(),
            port: String::new(),
        }],
        credentials: true,
        methods: list(&["GET", "OPTIONS"]),
        headers: list(&["x-header-1"]),
        expose: list(&["x-header-3"]),
        max_age: 3600,
    })
}

/// A backend with an opinion of its own about CORS.
async fn backend() -> HttpServer {
    HttpServer::start(Version::Http1, |_| {
        let mut response = Response::new(text("served"));
        response
            .headers_mut()
            .insert("access-control-allow-origin", HeaderValue::from_static("*"));
        response
    })
    .await
}

fn request(method: &str, origin: &str) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri("/cors")
        .header("host", "shop.example.com");
    let asked = request
        .header("origin", origin)
        .header("access-control-request-method", "GET");
    asked.body(nothing()).unwrap()
}

fn about_cors(answer: &Answer) -> usize {
    let names = answer
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"));
    names.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_answers_preflights() {
    let backend = backend().await;
    let mut rule = rule(to(&backend));
    rule.filters.cors = Some(policy());
    let (_gateway, address) = serving(everything(rule));

    for answer in [
        ask(address, request("OPTIONS", FRIEND)).await,
        ask2(address, request("OPTIONS", FRIEND)).await,
    ] {
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), FRIEND);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert_eq!(answer.header("access-control-allow-methods"), "GET, OPTIONS");
        assert_eq!(answer.header("access-control-allow-headers"), "x-header-1");
        assert_eq!(answer.header("access-control-expose-headers"), "x-header-3");
        assert_eq!(answer.header("access-control-max-age"), "3600");
    }
    let stranger = ask(address, request("OPTIONS", "https://foobar.com")).await;
    assert_eq!((stranger.status, about_cors(&stranger)), (204, 0));
    assert_eq!(backend.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_carry_the_policy_of_the_gateway() {
    let backend = backend().await;
    let mut rule = rule(to(&backend));
    rule.filters.cors = Some(policy());
    let (_gateway, address) = serving(everything(rule));

    let friend = ask(address, request("GET", FRIEND)).await;
    assert_eq!((friend.status, friend.text()), (200, "served"));
    assert_eq!(friend.header("access-control-allow-origin"), FRIEND);
    assert_eq!(friend.headers.get_all("access-control-allow-origin").iter().count(), 1);
    let stranger = ask(address, request("GET", "https://foobar.com")).await;
    assert_eq!((stranger.status, stranger.text(), about_cors(&stranger)), (200, "served", 0));
    assert_eq!(stranger.header("vary"), "origin");
    assert_eq!(backend.count(), 2);
}

/// A script can only tell a 500 from a refusal of CORS when the headers are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_of_the_gateway_itself_carry_it_too() {
    let mut broken = rule(Target::Refuse(BackendFault::NotFound));
    broken.filters.cors = Some(policy());
    let mut elsewhere = rule(Target::Refuse(BackendFault::NotFound));
    elsewhere.filters.cors = Some(policy());
    elsewhere.filters.redirect = Some(Arc::new(Redirect {
        scheme: None,
        hostname: Some("other.example.com".to_owned()),
        port: None,
        path: None,
        status: 302,
    }));
    for (rule, status) in [(broken, 500), (elsewhere, 302)] {
        let (_gateway, address) = serving(everything(rule));
        let answer = ask(address, request("GET", FRIEND)).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), FRIEND, "{status}");
    }
}

/// Without a filter the backend's words pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_policy_backends_speak_for_themselves() {
    let backend = backend().await;
    let (_gateway, address) = serving(everything(rule(to(&backend))));
    let answer = ask(address, request("OPTIONS", FRIEND)).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(backend.count(), 1, "preflights are the backend's too");
}
