//! What clients get when a backend does not answer, and when it is asked again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use sealway_core::{BackendFault, HttpRule, Retry, RuleFault, RuleKind, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::http_kit::*;
use crate::kit::{until, within};
use crate::routing::free_address;

/// A backend that does `answer` with each connection after it has read something.
async fn rude(answer: &'static [u8]) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(answer).await;
            });
        }
    });
    (address, requests)
}

fn at(address: std::net::SocketAddr) -> Target {
    Target::Backend(Arc::new(backend("rude", [address])))
}

#[tokio::test]
async fn faults_have_their_codes() {
    let closes = rude(b"").await.0;
    let talks_nonsense = rude(b"SSH-2.0-OpenSSH_9.9\r\n\r\n").await.0;
    let mut filter = rule(at(closes));
    filter.fault = Some(RuleFault::Filter);
    for (rule, status, reason) in [
        (rule(at(free_address().await)), 503, "connect_refused"),
        (rule(at(closes)), 502, "backend_closed"),
        (rule(at(talks_nonsense)), 502, "backend_invalid"),
        (rule(Target::Refuse(BackendFault::NoEndpoints)), 503, "backend_no_endpoints"),
        (
            rule(Target::Refuse(BackendFault::TlsPolicyInvalid)),
            500,
            "backend_tls_policy_invalid",
        ),
        (filter, 500, "filter_invalid"),
    ] {
        let (gateway, address) = serving(everything(rule));
        let answer = ask(address, get("a", "/")).await;
        assert_eq!((answer.status, answer.text()), (status, reason));
        assert_eq!(
            gateway.sum("sealway_http_refusals_total", &[&format!("reason=\"{reason}\"")]),
            1
        );
    }
}

#[tokio::test]
async fn timeouts_are_504() {
    let silent = HttpServer::serve(Version::Http1, Arc::default(), |_| std::future::pending()).await;
    let short = Some(Duration::from_millis(50));
    let of_request = HttpRule {
        request_timeout: short,
        ..rule(to(&silent))
    };
    let of_backend = HttpRule {
        backend_timeout: short,
        ..rule(to(&silent))
    };
    for (rule, reason) in [(of_request, "request_timeout"), (of_backend, "backend_timeout")] {
        let (_gateway, address) = serving(everything(rule));
        let answer = ask(address, get("a", "/")).await;
        assert_eq!((answer.status, answer.text()), (504, reason));
    }
}

#[tokio::test]
async fn response_that_is_not_whole_in_time_is_cut() {
    let (slow, _) = rude(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    // The connection would end with the task, so one that stays.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stays = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        std::future::pending::<()>().await;
    });
    for (address, outcome) in [(slow, "backend_closed"), (stays, "request_timeout")] {
        let rule = HttpRule {
            request_timeout: Some(Duration::from_millis(300)),
            ..rule(at(address))
        };
        let (gateway, address) = serving(everything(rule));
        let answer = raw(address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("half"), "{answer}");
        let count = || gateway.sum("sealway_http_refusals_total", &[&format!("reason=\"{outcome}\"")]);
        until(|| gateway.metrics(), || count() == 1).await;
    }
}

fn retry(codes: &[u16], attempts: u32) -> Option<Retry> {
    Some(Retry {
        codes: codes.to_vec(),
        attempts,
        backoff: Duration::from_millis(1),
    })
}

/// Answers 503 so often, then 200 with the body that it got.
async fn recovering(failures: usize) -> HttpServer {
    let left = AtomicUsize::new(failures);
    HttpServer::start(Version::Http1, move |heard| {
        let failed = left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        let mut response = Response::new(text(heard.body));
        if failed {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    })
    .await
}

#[tokio::test]
async fn codes_of_the_rule_are_tried_again_with_the_same_body() {
    let server = recovering(2).await;
    let (_gateway, address) = serving(everything(HttpRule {
        retry: retry(&[503], 2),
        ..rule(to(&server))
    }));
    let request = Request::post("/").header("host", "a").body(text("the body")).unwrap();
    let answer = ask(address, request).await;
    assert_eq!((answer.status, answer.text()), (200, "the body"));
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn body_in_tiny_pieces_is_tried_again_whole() {
    let server = recovering(1).await;
    let (_gateway, address) = serving(everything(HttpRule {
        retry: retry(&[503], 2),
        ..rule(to(&server))
    }));
    let body: String = (0..5000).map(|piece| char::from(b'a' + (piece % 26) as u8)).collect();
    let chunks: String = body.chars().map(|letter| format!("1\r\n{letter}\r\n")).collect();
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let answer = raw(address, format!("{head}{chunks}0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&body), "{answer}");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn attempts_are_counted_and_other_codes_are_passed_on() {
    let server = recovering(9).await;
    let (_gateway, address) = serving(everything(HttpRule {
        retry: retry(&[503], 2),
        ..rule(to(&server))
    }));
    assert_eq!(ask(address, get("a", "/")).await.status, 503);
    assert_eq!(server.count(), 3);
    let (_gateway, address) = serving(everything(HttpRule {
        retry: retry(&[500], 2),
        ..rule(to(&server))
    }));
    assert_eq!(ask(address, get("a", "/")).await.status, 503);
    assert_eq!(server.count(), 4);
}

#[tokio::test]
async fn body_that_is_too_large_to_keep_is_sent_once() {
    let server = recovering(1).await;
    let (_gateway, address) = serving(everything(HttpRule {
        retry: retry(&[503], 2),
        ..rule(to(&server))
    }));
    let request = Request::post("/")
        .header("host", "a")
        .body(text(vec![b'x'; 200_000]))
        .unwrap();
    assert_eq!(ask(address, request).await.status, 503);
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn lost_connections_are_tried_again_where_the_rule_says_so() {
    let (address, requests) = rude(b"").await;
    let (_gateway, address) = serving(everything(HttpRule {
        retry: retry(&[], 3),
        ..rule(at(address))
    }));
    assert_eq!(ask(address, get("a", "/")).await.status, 502);
    assert_eq!(requests.load(Ordering::SeqCst), 4);
}

/// The backend may have done what it was asked for before the connection ended (RFC 9110 section 9.2.2).
#[tokio::test]
async fn what_must_not_be_done_twice_is_not_sent_twice() {
    let (address, requests) = rude(b"").await;
    let (_gateway, address) = serving(everything(HttpRule {
        retry: retry(&[], 3),
        ..rule(at(address))
    }));
    let request = Request::post("/").header("host", "a").body(text("order")).unwrap();
    assert_eq!(ask(address, request).await.status, 502);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn try_that_took_too_long_is_followed_by_another() {
    let slow = AtomicUsize::new(1);
    let server = HttpServer::serve(Version::Http1, Arc::default(), move |_| {
        let hangs = slow
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Response::new(text("second"))
        }
    })
    .await;
    let (_gateway, address) = serving(everything(HttpRule {
        retry: retry(&[], 1),
        backend_timeout: Some(Duration::from_millis(100)),
        ..rule(to(&server))
    }));
    assert_eq!(ask(address, get("a", "/")).await.text(), "second");
}

#[tokio::test]
async fn success_of_another_kind_is_no_tunnel() {
    let server = HttpServer::named("one").await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let mut client = client2(address).await;
    within(client.send_request(Request::get("http://a/").body(nothing()).unwrap()))
        .await
        .unwrap();
    let mut request = Request::connect("http://a/chat").body(nothing()).unwrap();
    request
        .extensions_mut()
        .insert(hyper::ext::Protocol::from_static("websocket"));
    assert_eq!(within(client.send_request(request)).await.unwrap().status(), 502);
}

#[tokio::test]
async fn grpc_hears_of_refusals_in_its_own_words() {
    let refusing = at(free_address().await);
    let rule = HttpRule {
        kind: RuleKind::Grpc,
        ..rule(refusing)
    };
    let invalid = HttpRule {
        kind: RuleKind::Grpc,
        ..crate::http_kit::rule(Target::Refuse(BackendFault::NotFound))
    };
    let (_gateway, address) = serving(http_plan(vec![http_listener(
        "http",
        "",
        routes([("", vec![prefix("/a", rule), prefix("/invalid", invalid)])]),
    )]));
    for (path, code) in [("/a/b", "14"), ("/invalid/b", "14"), ("/other", "12")] {
        let mut request = get("a", path);
        *request.method_mut() = Method::POST;
        request
            .headers_mut()
            .insert("content-type", "application/grpc+proto".parse().unwrap());
        let answer = ask2(address, request).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (200, code), "{path}");
        assert_eq!(answer.header("content-type"), "application/grpc");
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn endpoint_that_keeps_erring_is_set_aside() {
    let (bad, good) = (HttpServer::status(500).await, HttpServer::named("good").await);
    let target = Target::Backend(Arc::new(backend("two", [bad.address, good.address])));
    let (_gateway, address) = serving(everything(rule(target)));
    let mut client = client1(address).await;
    for _ in 0..40 {
        client.ready().await.unwrap();
        whole(within(client.send_request(get("a", "/"))).await.unwrap()).await;
    }
    assert!((5..=6).contains(&bad.count()), "{}", bad.count());
}

#[tokio::test]
async fn endpoint_that_erred_gets_its_turn_again_when_it_is_well() {
    let is_well = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&is_well);
    let recovers = HttpServer::start(Version::Http1, move |_| {
        let mut response = Response::new(text("recovered"));
        if !answers.load(Ordering::SeqCst) {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        response
    })
    .await;
    let good = HttpServer::named("good").await;
    let target = Target::Backend(Arc::new(backend("two", [recovers.address, good.address])));
    let (_gateway, address) = serving(everything(rule(target)));
    let mut client = client1(address).await;
    let mut ask = async || {
        client.ready().await.unwrap();
        whole(within(client.send_request(get("a", "/"))).await.unwrap()).await
    };
    for _ in 0..20 {
        ask().await;
    }
    let before = recovers.count();
    assert!((5..=6).contains(&before), "{before}");
    is_well.store(true, Ordering::SeqCst);
    // Its time aside is over within a second or two; then every other request is its own again.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while recovers.count() == before {
        assert!(tokio::time::Instant::now() < deadline, "never tried again");
        ask().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (recovered, others) = (recovers.count(), good.count());
    for _ in 0..20 {
        assert_eq!(ask().await.status, 200);
    }
    assert_eq!((recovers.count() - recovered, good.count() - others), (10, 10));
}

#[tokio::test]
async fn length_of_a_chunked_response_is_dropped() {
    let (server, _) =
        rude(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
    let (_gateway, address) = serving(everything(rule(at(server))));
    let answer = ask(address, get("a", "/")).await;
    assert_eq!((answer.text(), answer.header("content-length")), ("hello", ""));
}

#[tokio::test]
async fn response_whose_framing_cannot_be_passed_on_is_no_response() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    ] {
        let (server, _) = rude(answer).await;
        let (_gateway, address) = serving(everything(rule(at(server))));
        let heard = ask(address, get("a", "/")).await;
        assert_eq!(
            (heard.status, heard.text()),
            (502, "backend_invalid"),
            "{}",
            answer.escape_ascii()
        );
    }
}
