//! PostgreSQL's dance before TLS, on both sides of the gateway.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::*;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

const NAME: &str = "primary.db.example.com";

async fn database(answer: u8) -> (Gateway, std::net::SocketAddr, EchoBackend, Authority) {
    let authority = Authority::new();
    let backend = EchoBackend::with(NAME, authority.server(NAME, false), Before::SslRequest(answer)).await;
    let (gateway, address) = Gateway::serving(config(), plan([(NAME, to("primary", [backend.address]))]));
    (gateway, address, backend, authority)
}

async fn ask(stream: &mut TcpStream, request: [u8; 8]) -> u8 {
    stream.write_all(&request).await.unwrap();
    within(stream.read_u8()).await.unwrap()
}

#[tokio::test]
async fn ssl_request_is_answered_and_replayed_to_the_backend() {
    let (_gateway, address, backend, authority) = database(b'S').await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut stream, SSL_REQUEST).await, b'S');
    let mut stream = tls_over(stream, NAME, authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, NAME).await;
    assert_eq!(*backend.heard.lock().unwrap(), [SSL_REQUEST.to_vec()]);
}

#[tokio::test]
async fn client_may_go_on_after_gss_encryption_is_refused() {
    let (_gateway, address, backend, authority) = database(b'S').await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut stream, GSSENC_REQUEST).await, b'N');
    assert_eq!(ask(&mut stream, SSL_REQUEST).await, b'S');
    let mut stream = tls_over(stream, NAME, authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, NAME).await;
    assert_eq!(*backend.heard.lock().unwrap(), [SSL_REQUEST.to_vec()]);
}

#[tokio::test]
async fn requests_without_end_are_refused() {
    let (gateway, address, ..) = database(b'S').await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&mut stream, GSSENC_REQUEST).await, b'N');
    }
    stream.write_all(&GSSENC_REQUEST).await.unwrap();
    assert_eq!(rest(&mut stream).await, b"");
    gateway.wait_ended("postgres_requests", 1).await;
}

#[tokio::test]
async fn plain_text_start_up_is_told_to_use_tls() {
    let (gateway, address, ..) = database(b'S').await;
    let mut startup = vec![0, 0, 0, 23, 0, 3, 0, 0];
    startup.extend_from_slice(b"user\0postgres\0\0");
    let answer = exchange(address, &startup).await;
    assert_eq!(answer.first(), Some(&b'E'));
    assert!(String::from_utf8_lossy(&answer).contains("sslmode=verify-full"), "{answer:?}");
    gateway.wait_ended("postgres_plain_text", 1).await;
}

#[tokio::test]
async fn plain_text_cancel_request_is_closed() {
    let (gateway, address, ..) = database(b'S').await;
    let cancel = [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 2];
    assert_eq!(exchange(address, &cancel).await, b"");
    gateway.wait_ended("postgres_cancel", 1).await;
}

#[tokio::test]
async fn backend_without_tls_is_the_backends_failure() {
    let (gateway, address, _backend, _) = database(b'N').await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut stream, SSL_REQUEST).await, b'S');
    stream.write_all(&hello(NAME)).await.unwrap();
    assert_eq!(rest(&mut stream).await, alert(80));
    gateway.wait_ended("backend_refuses_tls", 1).await;
}

#[tokio::test]
async fn direct_tls_sends_no_ssl_request() {
    let authority = Authority::new();
    let backend = EchoBackend::start(NAME, &authority).await;
    let (_gateway, address) = Gateway::serving(config(), plan([(NAME, to("primary", [backend.address]))]));
    let mut stream = tls(address, NAME, authority.client(None)).await.unwrap();
    assert_reaches(&mut stream, NAME).await;
}
