//! What a rule does to requests and responses.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Response};
use sealway_core::{Cors, CorsOrigin, HeaderEdit, HttpRule, Mirror, PathModifier, Redirect, Rewrite};

use crate::http_kit::*;
use crate::kit::until;

fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

fn value(value: &'static str) -> HeaderValue {
    HeaderValue::from_static(value)
}

#[tokio::test]
async fn headers_are_edited_by_the_rule_then_by_its_backend() {
    let server = HttpServer::start(Version::Http1, |_| {
        Response::builder()
            .header("x-gone", "1")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .body(nothing())
            .unwrap()
    })
    .await;
    let mut rule = rule(to(&server));
    rule.filters.request_headers = HeaderEdit {
        set: vec![(name("x-set"), value("rule"))],
        add: vec![(name("x-added"), value("rule"))],
        remove: vec![name("x-removed")],
    };
    rule.filters.response_headers = HeaderEdit {
        set: vec![(name("x-answer"), value("rule"))],
        add: vec![],
        remove: vec![name("x-gone")],
    };
    rule.backends[0].filters.request_headers.set = vec![(name("x-set"), value("backend"))];
    rule.backends[0].filters.response_headers.add = vec![(name("x-of"), value("backend"))];
    let (_gateway, address) = serving(everything(rule));
    let request = Request::get("/")
        .header("host", "a")
        .header("x-set", "client")
        .header("x-added", "client")
        .header("x-removed", "1");
    let answer = ask(address, request.body(nothing()).unwrap()).await;
    let heard = server.last();
    assert_eq!((heard.header("x-set"), heard.header("x-removed")), ("backend", ""));
    assert_eq!(
        heard.headers.get_all("x-added").iter().collect::<Vec<_>>(),
        ["client", "rule"]
    );
    assert_eq!(
        (answer.header("x-answer"), answer.header("x-gone"), answer.header("x-of")),
        ("rule", "", "backend")
    );
    assert_eq!((answer.header("x-hop"), answer.header("connection")), ("", ""));
}

#[tokio::test]
async fn redirect_answers_instead_of_a_backend() {
    let mut rule = rule_of(vec![]);
    rule.filters.redirect = Some(Arc::new(Redirect {
        scheme: Some("https".into()),
        hostname: None,
        port: None,
        path: Some(PathModifier::Prefix("/new".into())),
        status: 308,
    }));
    let (_gateway, address) = serving(http_plan(vec![http_listener(
        "http",
        "",
        routes([("", vec![prefix("/old", rule)])]),
    )]));
    let answer = ask(address, get("shop.example.com", "/old/x?y")).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (308, "https://shop.example.com/new/x?y")
    );
}

#[tokio::test]
async fn every_code_of_a_redirect_is_answered() {
    for status in [301, 302, 303, 307, 308] {
        let mut rule = rule_of(vec![]);
        rule.filters.redirect = Some(Arc::new(Redirect {
            scheme: None,
            hostname: Some("new.example.com".into()),
            port: None,
            path: None,
            status,
        }));
        let (gateway, address) = serving(everything(rule));
        let port = address.port();
        let request = || Request::post("/x?y").header("host", format!("old.example.com:{port}"));
        for answer in [
            ask(address, request().body(text("body")).unwrap()).await,
            ask2(address, request().body(text("body")).unwrap()).await,
        ] {
            let location = format!("http://new.example.com:{port}/x?y");
            assert_eq!((answer.status, answer.header("location")), (status, location.as_str()));
            assert!(answer.body.is_empty());
        }
        let counted = gateway.sum("sealway_http_requests_total", &[&format!("code=\"{status}\"")]);
        assert_eq!(counted, 2);
    }
}

#[tokio::test]
async fn rewrite_changes_host_and_path() {
    let server = HttpServer::named("one").await;
    let mut rule = rule(to(&server));
    rule.filters.rewrite = Some(Arc::new(Rewrite {
        hostname: Some(value("inner.example.com")),
        path: Some(PathModifier::Prefix("/new".into())),
    }));
    let (_gateway, address) = serving(http_plan(vec![http_listener(
        "http",
        "",
        routes([("", vec![prefix("/old", rule)])]),
    )]));
    ask(address, get("shop.example.com", "/old/x?y")).await;
    let heard = server.last();
    assert_eq!(
        (heard.target.as_str(), heard.header("host")),
        ("/new/x?y", "inner.example.com")
    );
    assert_eq!(heard.header("x-forwarded-host"), "shop.example.com");
}

#[tokio::test]
async fn mirrors_get_copies_and_never_hold_up_the_request() {
    let (server, mirror) = (HttpServer::named("one").await, HttpServer::named("copy").await);
    let never_answers = HttpServer::serve(Version::Http1, Arc::default(), |_| std::future::pending()).await;
    let mut rule = rule(to(&server));
    let to_mirror = |server, numerator| {
        Arc::new(Mirror {
            backend: weighted(1, to(server)),
            numerator,
            denominator: 100,
        })
    };
    let never = HttpServer::named("never").await;
    rule.filters.mirrors = vec![to_mirror(&mirror, 100), to_mirror(&never_answers, 100), to_mirror(&never, 0)];
    let (_gateway, address) = serving(everything(rule));
    let body = "x".repeat(100_000);
    let request = Request::post("/p").header("host", "a").body(text(body.clone())).unwrap();
    let answer = ask(address, request).await;
    assert_eq!(answer.text(), "one");
    until(|| "the copy", || mirror.count() == 1).await;
    let copy = mirror.last();
    assert_eq!(
        (copy.target.as_str(), copy.header("host"), copy.body.len()),
        ("/p", "a", body.len())
    );
    assert_eq!(never.count(), 0);
}

#[tokio::test]
async fn mirror_gets_its_fraction() {
    let (server, mirror) = (HttpServer::named("one").await, HttpServer::named("copy").await);
    let all = HttpServer::named("all").await;
    let mut rule = rule(to(&server));
    let part = |server, numerator, denominator| {
        Arc::new(Mirror {
            backend: weighted(1, to(server)),
            numerator,
            denominator,
        })
    };
    rule.filters.mirrors = vec![part(&mirror, 1, 2), part(&all, 100, 100)];
    let (_gateway, address) = serving(everything(rule));
    let mut client = client1(address).await;
    for _ in 0..200 {
        client.ready().await.unwrap();
        assert_eq!(whole(client.send_request(get("a", "/")).await.unwrap()).await.text(), "one");
    }
    // The copies of a request go out together: when one mirror has all of its own, the other's are at least on their way.
    until(|| "all copies", || all.count() == 200).await;
    // Fewer than 57 or more than 143 of 200 come by chance once in 10^9.
    until(|| "half of the copies", || mirror.count() >= 57).await;
    assert!(mirror.count() <= 143, "{}", mirror.count());
}

#[tokio::test]
async fn preflight_is_answered_and_responses_get_the_headers() {
    let server = HttpServer::named("one").await;
    let mut filters = rule(to(&server)).filters;
    filters.cors = Some(Arc::new(Cors {
        origins: vec![CorsOrigin::Exact("https://shop.example.com".into())],
        credentials: true,
        methods: vec!["PUT".into()],
        headers: vec!["x-a".into()],
        expose: vec![],
        max_age: 60,
    }));
    let (_gateway, address) = serving(everything(HttpRule {
        filters,
        ..rule(to(&server))
    }));
    let preflight = Request::options("/")
        .header("host", "a")
        .header("origin", "https://shop.example.com");
    let preflight = preflight
        .header("access-control-request-method", "PUT")
        .body(nothing())
        .unwrap();
    let answer = ask(address, preflight).await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example.com");
    assert_eq!((answer.header("access-control-max-age"), server.count()), ("60", 0));
    let request = Request::get("/")
        .header("host", "a")
        .header("origin", "https://shop.example.com");
    let answer = ask(address, request.body(nothing()).unwrap()).await;
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.text(), "one");
}

/// With `--port-offset` the client is sent where it came from, unless something in front has moved the port back.
#[tokio::test]
async fn redirects_go_to_the_port_that_the_client_sees() {
    let server = HttpServer::named("one").await;
    let mut redirecting = rule(to(&server));
    redirecting.filters.redirect = Some(Arc::new(Redirect {
        scheme: None,
        hostname: None,
        port: None,
        path: None,
        status: 302,
    }));
    let gateway = crate::kit::Gateway::start(crate::kit::config());
    let bound = crate::kit::free_port();
    let listener = bound - 1000;
    let mut snapshot = http_snapshot(listener, everything(redirecting));
    snapshot.port_offset = 1000;
    gateway.publish([snapshot]);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], bound));
    for (host, port) in [
        (format!("a:{bound}"), bound),
        ("a".to_owned(), listener),
        ("a:80".to_owned(), listener),
    ] {
        let answer = ask(address, get(&host, "/x")).await;
        assert_eq!(answer.header("location"), format!("http://a:{port}/x"), "{host}");
    }
}
