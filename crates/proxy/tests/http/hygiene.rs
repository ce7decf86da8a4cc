//! Requests that are refused or made harmless before any backend hears of them.

use crate::http_kit::*;

/// Sends it raw, beside what a backend would take for a second request. Gives the statuses and what the backend heard.
async fn sent(request: &str) -> (Vec<u16>, Vec<Heard>) {
    let server = HttpServer::named("backend").await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let answer = raw(address, request.as_bytes()).await;
    let heard = server.heard.lock().unwrap().clone();
    (statuses(&answer), heard)
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: user@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a:port\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: [::1\r\n\r\n", 400),
        ("GET http://user@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
        ("GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n folded\r\n\r\n", 400),
        ("GET /public/../admin HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET /public/%2E%2e%2fadmin HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", 501),
        ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 501),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
    ] {
        // Of what follows a refusal nothing may be taken for a request either.
        let (statuses, heard) = sent(&request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).await;
        assert_eq!((statuses, heard.len()), (vec![status], 0), "{request:?}");
    }
    for request in [
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx",
    ] {
        let (statuses, heard) = sent(request).await;
        assert!(heard.is_empty(), "{request:?}: {heard:?}");
        assert!(
            statuses.iter().all(|status| (400..=501).contains(status)),
            "{request:?}: {statuses:?}"
        );
    }
}

#[tokio::test]
async fn length_beside_chunked_is_dropped_and_the_connection_ends() {
    for order in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
    ] {
        let request =
            format!("POST /first HTTP/1.1\r\nhost: a\r\n{order}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
        let (statuses, heard) = sent(&request).await;
        assert_eq!(statuses, [200], "{order}");
        assert_eq!(heard.len(), 1, "{order}: {heard:?}");
        assert_eq!(heard[0].target, "/first");
        assert!(
            heard[0].header("content-length") != "5" && heard[0].body.is_empty(),
            "{:?}",
            heard[0]
        );
    }
}

#[tokio::test]
async fn absolute_form_wins_over_host() {
    let (_, heard) = sent("GET http://real.example.com/x?y HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n").await;
    assert_eq!(
        (heard[0].target.as_str(), heard[0].header("host")),
        ("/x?y", "real.example.com")
    );
}

#[tokio::test]
async fn what_concerns_the_connection_stays_there() {
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x-secret\r\nx-secret: 1\r\nkeep-alive: 5\r\nproxy-connection: x\r\n\
                   te: trailers, deflate\r\nupgrade: h2c\r\nhttp2-settings: x\r\nx-forwarded-client-cert: forged\r\nclient-cert: forged\r\n\
                   x-forwarded-for: 1.2.3.4\r\nx-kept: 1\r\n\r\n";
    let (_, heard) = sent(request).await;
    let heard = &heard[0];
    for name in [
        "connection",
        "x-secret",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "http2-settings",
        "x-forwarded-client-cert",
        "client-cert",
        "via",
    ] {
        assert_eq!(heard.header(name), "", "{name}");
    }
    assert_eq!(heard.header("x-kept"), "1");
    assert_eq!(heard.header("te"), "trailers");
    assert_eq!(
        (heard.header("x-forwarded-for"), heard.header("x-forwarded-proto")),
        ("127.0.0.1", "http")
    );
    assert_eq!(heard.header("x-forwarded-host"), "a");
}

#[tokio::test]
async fn old_clients_are_served() {
    let (statuses, heard) = sent("GET /old HTTP/1.0\r\n\r\n").await;
    assert_eq!((statuses, heard[0].target.as_str()), (vec![200], "/old"));
}

#[tokio::test]
async fn authority_and_host_of_http2_must_agree() {
    let server = HttpServer::named("backend").await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let mut client = client2(address).await;
    for (host, status) in [("a.example.com", 200), ("A.example.com", 200), ("b.example.com", 400)] {
        let request = http::Request::get("http://a.example.com/")
            .header("host", host)
            .body(nothing())
            .unwrap();
        assert_eq!(
            client.send_request(request).await.unwrap().status().as_u16(),
            status,
            "{host}"
        );
    }
    assert_eq!(server.last().header("host"), "a.example.com");
}

#[tokio::test]
async fn header_that_is_too_large_is_431() {
    let server = HttpServer::named("backend").await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101));
    for request in [large, many] {
        assert_eq!(statuses(&raw(address, request.as_bytes()).await), [431]);
    }
    let mut request = get("a", "/");
    request.headers_mut().insert("x", "x".repeat(70_000).parse().unwrap());
    assert_eq!(ask2(address, request).await.status, 431);
    assert_eq!(server.count(), 0);
}
