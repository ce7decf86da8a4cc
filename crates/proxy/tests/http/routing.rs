//! Requests reach the backend of their rule.

use std::net::SocketAddr;

use sealway_core::{BackendFault, ListenerFate, PathMatcher, Target};

use crate::http_kit::*;

#[tokio::test]
async fn request_reaches_the_backend_of_its_path_and_host() {
    let (one, two, other) = (
        HttpServer::named("one").await,
        HttpServer::named("two").await,
        HttpServer::named("other").await,
    );
    let listeners = vec![
        http_listener(
            "shop",
            "shop.example.com",
            routes([("", vec![prefix("/two", rule(to(&two))), prefix("", rule(to(&one)))])]),
        ),
        http_listener(
            "any",
            "",
            routes([("", vec![matching(PathMatcher::Exact("/x".into()), rule(to(&other)))])]),
        ),
    ];
    let (gateway, address) = serving(http_plan(listeners));
    for (host, path, status, body) in [
        ("shop.example.com", "/", 200, "one"),
        ("SHOP.example.com.:80", "/two/x?y", 200, "two"),
        ("shop.example.com", "/twofold", 200, "one"),
        ("other.example.com", "/x", 200, "other"),
        ("other.example.com", "/y", 404, "no_route"),
    ] {
        let answer = ask(address, get(host, path)).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{host} {path}");
        let answer = ask2(address, get(&host.to_lowercase(), path)).await;
        assert_eq!((answer.status, answer.text()), (status, body), "HTTP/2 {host} {path}");
    }
    assert_eq!(two.last().target, "/two/x?y");
    let served = gateway.sum(
        "sealway_http_requests_total",
        &["route=\"HTTPRoute shop/web\"", "code=\"200\""],
    );
    let refused = gateway.sum("sealway_http_requests_total", &["route=\"\"", "code=\"404\""]);
    assert_eq!((served, refused), (8, 2), "{}", gateway.metrics());
}

#[tokio::test]
async fn host_without_a_listener_is_404() {
    let server = HttpServer::named("one").await;
    let listener = http_listener(
        "shop",
        "shop.example.com",
        routes([("", vec![prefix("", rule(to(&server)))])]),
    );
    let (_gateway, address) = serving(http_plan(vec![listener]));
    let answer = ask(address, get("other.example.com", "/")).await;
    assert_eq!((answer.status, answer.text()), (404, "no_listener"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("server"), "");
}

#[tokio::test]
async fn listener_that_refuses_answers_404() {
    let server = HttpServer::named("one").await;
    let mut listener = http_listener("shop", "", routes([("", vec![prefix("", rule(to(&server)))])]));
    listener.fate = ListenerFate::Refuses(sealway_api::Reason::HostnameConflict);
    let (_gateway, address) = serving(http_plan(vec![listener]));
    let answer = ask(address, get("shop.example.com", "/")).await;
    assert_eq!((answer.status, answer.text()), (404, "listener_refuses"));
}

#[tokio::test]
async fn weights_are_kept_and_a_backend_that_cannot_be_had_keeps_its_share() {
    let (never, always) = (HttpServer::named("never").await, HttpServer::named("always").await);
    let backends = vec![(0, to(&never)), (1, to(&always)), (1, Target::Refuse(BackendFault::NotFound))];
    let (gateway, address) = serving(everything(rule_of(backends)));
    let mut client = client1(address).await;
    let mut refused = 0_u64;
    for _ in 0..60 {
        client.ready().await.unwrap();
        let answer = whole(client.send_request(get("a", "/")).await.unwrap()).await;
        match answer.status {
            200 => assert_eq!(answer.text(), "always"),
            status => {
                assert_eq!((status, answer.text()), (500, "backend_not_found"));
                refused += 1;
            }
        }
    }
    // Fewer than 8 or more than 52 of 60 come by chance once in 10^9.
    assert!((8..=52).contains(&refused), "{refused}");
    assert_eq!(never.count(), 0);
    let counted = gateway.sum("sealway_http_refusals_total", &["reason=\"backend_not_found\""]);
    assert_eq!(counted, refused);
}

#[tokio::test]
async fn no_weight_and_no_backend_are_500() {
    let server = HttpServer::named("one").await;
    for backends in [vec![], vec![(0, to(&server))]] {
        let (_gateway, address) = serving(everything(rule_of(backends)));
        let answer = ask(address, get("a", "/")).await;
        assert_eq!((answer.status, answer.text()), (500, "no_weight"));
    }
}

#[tokio::test]
async fn next_endpoint_serves_when_one_refuses() {
    let server = HttpServer::named("one").await;
    let refusing = free_address().await;
    let target = Target::Backend(std::sync::Arc::new(backend("two", [refusing, server.address])));
    let (gateway, address) = serving(everything(rule(target)));
    for _ in 0..4 {
        assert_eq!(ask(address, get("a", "/")).await.text(), "one");
    }
    let failures = gateway.sum("sealway_backend_connect_failures_total", &["reason=\"refused\""]);
    assert!((1..=3).contains(&failures), "{}", gateway.metrics());
}

pub(crate) async fn free_address() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}
