//! Whether a response was whole, and what follows from it: for the client, the record, and the connection to the backend.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sealway_core::HttpRule;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::bodies::{Iter, endless};
use crate::http_kit::*;
use crate::kit::{rest, until, within};

/// Three frames whose length nobody has said, and trailers if there are any.
fn chunked(trailers: Option<HeaderMap>) -> Body {
    let frames = ["one", "two", "three"].map(|part| Ok(Frame::data(part.into())));
    StreamBody::new(Iter(
        frames
            .into_iter()
            .chain(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
    ))
    .boxed()
}

#[tokio::test]
async fn connection_that_brought_chunks_is_kept_and_its_requests_are_served() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    for trailers in [None, Some(trailers)] {
        let given = trailers.clone();
        let server = HttpServer::start(Version::Http1, move |_| {
            let mut response = Response::new(chunked(given.clone()));
            if given.is_some() {
                response.headers_mut().insert("trailer", "x-sum".parse().unwrap());
            }
            response
        })
        .await;
        let (gateway, address) = serving(everything(rule(to(&server))));
        let mut client = client1(address).await;
        for _ in 0..5 {
            client.ready().await.unwrap();
            let mut request = get("a", "/");
            request.headers_mut().insert("te", "trailers".parse().unwrap());
            let answer = whole(within(client.send_request(request)).await.unwrap()).await;
            assert_eq!((answer.text(), &answer.trailers), ("onetwothree", &trailers));
        }
        assert_eq!((server.count(), server.connections()), (5, 1), "{trailers:?}");
        let served = || gateway.sum("sealway_http_requests_total", &["code=\"200\""]);
        until(|| gateway.metrics(), || served() == 5).await;
        assert_eq!(gateway.sum("sealway_http_refusals_total", &[]), 0, "{}", gateway.metrics());
    }
}

#[tokio::test]
async fn response_without_end_is_cut_when_its_time_is_up() {
    let server = HttpServer::start(Version::Http1, |_| Response::new(endless(&Arc::default()))).await;
    let (gateway, address) = serving(everything(HttpRule {
        request_timeout: Some(Duration::from_millis(200)),
        ..rule(to(&server))
    }));
    let mut client = client2(address).await;
    let request = Request::get("http://a/").body(nothing()).unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert!(within(response.into_body().collect()).await.is_err());
    assert_eq!(gateway.sum("sealway_http_refusals_total", &["reason=\"request_timeout\""]), 1);
}

#[tokio::test]
async fn old_client_is_not_told_by_an_orderly_end_that_half_a_response_is_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dies = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
                .await;
        }
    });
    let (_gateway, address) = serving(everything(rule(sealway_core::Target::Backend(Arc::new(backend(
        "dies",
        [dies],
    ))))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let end = within(stream.read_to_end(&mut answer)).await;
    assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn head_is_refused_without_a_body() {
    let server = HttpServer::named("one").await;
    let (_gateway, address) = serving(http_plan(vec![http_listener(
        "http",
        "a",
        routes([("", vec![prefix("", rule(to(&server)))])]),
    )]));
    let head = |host| {
        let mut request = get(host, "/");
        *request.method_mut() = Method::HEAD;
        request
    };
    for answer in [ask2(address, head("b")).await, ask(address, head("b")).await] {
        assert_eq!((answer.status, answer.body.len()), (404, 0));
        assert_eq!(answer.header("content-length"), "no_listener".len().to_string());
    }
    assert_eq!(ask2(address, head("a")).await.status, 200);
}

#[tokio::test]
async fn old_client_gets_all_of_a_chunked_response() {
    let server = HttpServer::start(Version::Http1, |_| Response::new(chunked(None))).await;
    let (_gateway, address) = serving(everything(rule(to(&server))));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").await.unwrap();
    let answer = String::from_utf8(rest(&mut stream).await).unwrap();
    assert!(answer.ends_with("\r\n\r\nonetwothree"), "{answer}");
}
