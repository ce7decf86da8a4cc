//! What backends and clients hear of each other's headers (docs/headers.md).

use std::sync::Arc;

use http::{HeaderValue, Request, Response};
use sealway_core::{HeaderEdit, PathModifier, Redirect, Rewrite};

use crate::http_kit::{
    Body, Heard, HttpServer, Version, ask, ask2, client2, everything, get, http_listener, http_plan, http_snapshot, nothing,
    prefix, routes, rule, serving, text, to, whole,
};
use crate::kit::{Gateway, config, free_port, within};

fn claiming() -> Request<Body> {
    let mut request = get("shop.example.com", "/");
    for (name, value) in [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "admin.example.com"),
        ("x_forwarded_for", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("x-forwarded-client-cert", "Hash=0;Subject=\"CN=admin\""),
        ("x_forwarded_client_cert", "Hash=0"),
        ("client-cert", ":AA==:"),
        ("client-cert-chain", ":AA==:"),
    ] {
        request.headers_mut().append(name, HeaderValue::from_static(value));
    }
    request
}

fn assert_told(heard: &Heard, address: std::net::SocketAddr) {
    let port = address.port().to_string();
    for (name, value) in [
        ("host", "shop.example.com"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example.com"),
        ("x-forwarded-port", &port),
        ("forwarded", "for=127.0.0.1;proto=http;host=\"shop.example.com\""),
        ("x-real-ip", ""),
        ("x-forwarded-client-cert", ""),
        ("client-cert", ""),
        ("client-cert-chain", ""),
    ] {
        assert_eq!(heard.header(name), value, "{name}");
    }
    assert!(heard.headers.keys().all(|name| !name.as_str().contains('_')));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_claim_is_replaced_by_what_is_true() {
    for version in [Version::Http1, Version::Http2] {
        let backend = HttpServer::start(version, |_| Response::new(text("served"))).await;
        let mut target = crate::http_kit::backend("web", vec![backend.address]);
        if version == Version::Http2 {
            target.protocol = sealway_core::BackendProtocol::H2c;
        }
        let target = sealway_core::Target::Backend(Arc::new(target));
        let (_gateway, address) = serving(everything(rule(target)));
        assert_eq!(ask(address, claiming()).await.status, 200);
        let mut heard = backend.last();
        if version == Version::Http2 {
            // There it stands in `:authority`.
            let host = heard.target.split('/').nth(2).unwrap().parse().unwrap();
            heard.headers.insert("host", host);
        }
        assert_told(&heard, address);
    }
    let backend = HttpServer::named("served").await;
    let (_gateway, address) = serving(everything(rule(to(&backend))));
    assert_eq!(ask2(address, claiming()).await.status, 200);
    assert_told(&backend.last(), address);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_is_believed() {
    let backend = HttpServer::named("served").await;
    let plan = http_plan(vec![http_listener(
        "http",
        "",
        routes([("", vec![prefix("", rule(to(&backend)))])]),
    )]);
    let port = free_port();
    let mut snapshot = http_snapshot(port, plan);
    snapshot.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let gateway = Gateway::start(config());
    gateway.publish([snapshot]);

    // What is trusted must begin with a PROXY header; it names a client that is trusted, and then one that is not.
    for (source, expected) in [("127.0.0.9", "10.0.0.1, 127.0.0.9"), ("192.0.2.7", "192.0.2.7")] {
        let request = format!(
            "PROXY TCP4 {source} 127.0.0.1 40000 80\r\nGET / HTTP/1.1\r\nhost: shop.example.com\r\nx-forwarded-for: 10.0.0.1\r\n\
             x-forwarded-client-cert: Hash=0\r\nconnection: close\r\n\r\n"
        );
        let answer = crate::http_kit::raw(([127, 0, 0, 1], port).into(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let heard = backend.last();
        assert_eq!(heard.header("x-forwarded-for"), expected);
        assert_eq!(heard.header("x-forwarded-client-cert"), "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_one_connection_end_at_the_gateway_both_ways() {
    let backend = HttpServer::start(Version::Http1, |_| {
        let mut response = Response::new(text("served"));
        let headers = response.headers_mut();
        headers.insert("connection", HeaderValue::from_static("x-hop, set-cookie"));
        headers.insert("x-hop", HeaderValue::from_static("1"));
        headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
        headers.insert("set-cookie", HeaderValue::from_static("a=1"));
        headers.insert("server", HeaderValue::from_static("theirs"));
        response
    })
    .await;
    let (_gateway, address) = serving(everything(rule(to(&backend))));
    let mut request = get("shop.example.com", "/");
    for (name, value) in [
        ("connection", "x-private, authorization"),
        ("x-private", "1"),
        ("authorization", "Bearer x"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip"),
        ("x-kept", "1"),
    ] {
        request.headers_mut().append(name, HeaderValue::from_static(value));
    }
    let answer = ask(address, request).await;
    let heard = backend.last();
    for name in ["x-private", "keep-alive", "proxy-connection", "te", "via"] {
        assert_eq!(heard.header(name), "", "{name}");
    }
    assert_eq!((heard.header("authorization"), heard.header("x-kept")), ("Bearer x", "1"));
    for name in ["x-hop", "keep-alive", "via"] {
        assert_eq!(answer.header(name), "", "{name}");
    }
    assert_eq!((answer.header("set-cookie"), answer.header("server")), ("a=1", "theirs"));

    // HTTP/2 has no such headers at all (RFC 9113 section 8.2.2).
    let mut client = client2(address).await;
    let request = Request::get("http://shop.example.com/")
        .header("te", "trailers")
        .body(nothing())
        .unwrap();
    let answer = whole(within(client.send_request(request)).await.unwrap()).await;
    assert_eq!(
        (answer.status, answer.header("connection"), answer.header("keep-alive")),
        (200, "", "")
    );
    assert_eq!(backend.last().header("te"), "trailers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_has_the_last_word_and_a_rewrite_does_not_hide_what_was_asked_for() {
    let backend = HttpServer::named("served").await;
    let mut rule = rule(to(&backend));
    rule.filters.request_headers = HeaderEdit {
        set: vec![("x-forwarded-proto".parse().unwrap(), HeaderValue::from_static("https"))],
        ..HeaderEdit::default()
    };
    rule.filters.rewrite = Some(Arc::new(Rewrite {
        hostname: Some(HeaderValue::from_static("inner.example.com")),
        path: Some(PathModifier::Prefix("/inner/".to_owned())),
    }));
    let plan = http_plan(vec![http_listener("http", "", routes([("", vec![prefix("/shop", rule)])]))]);
    let (_gateway, address) = serving(plan);
    assert_eq!(ask(address, get("shop.example.com", "/shop/cart?id=%201")).await.status, 200);
    let heard = backend.last();
    assert_eq!(heard.target, "/inner/cart?id=%201");
    for (name, value) in [
        ("host", "inner.example.com"),
        ("x-forwarded-host", "shop.example.com"),
        ("x-forwarded-proto", "https"),
    ] {
        assert_eq!(heard.header(name), value, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_name_the_listeners_port_unless_told_otherwise() {
    let backend = HttpServer::named("served").await;
    for (scheme, port, expected) in [
        (None, None, "http://shop.example.com:PORT/a?b=c"),
        (Some("https"), None, "https://shop.example.com/a?b=c"),
        (Some("https"), Some(8443), "https://shop.example.com:8443/a?b=c"),
        (None, Some(80), "http://shop.example.com/a?b=c"),
    ] {
        let mut rule = rule(to(&backend));
        rule.filters.redirect = Some(Arc::new(Redirect {
            scheme: scheme.map(str::to_owned),
            hostname: None,
            port,
            path: None,
            status: 308,
        }));
        let (_gateway, address) = serving(everything(rule));
        // The port that the client writes may be a balancer's.
        let answer = ask(address, get("shop.example.com:9999", "/a?b=c")).await;
        let expected = expected.replace("PORT", &address.port().to_string());
        assert_eq!((answer.status, answer.header("location")), (308, expected.as_str()));
    }
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn cookie_that_came_in_pieces_goes_on_in_one() {
    let server = HttpServer::named("one").await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let mut request = get("a", "/");
    for crumb in ["a=1", "b=2", "c=3"] {
        request.headers_mut().append("cookie", crumb.parse().unwrap());
    }
    ask2(address, request).await;
    let heard = server.last();
    let cookies: Vec<_> = heard.headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}
