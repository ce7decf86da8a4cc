//! A plain request for `web.test`, as several of these tests send it.

use sealway_testkit::gateway::TestGateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The whole answer to a GET with these header lines, each of which ends its line.
pub(crate) async fn answer(gateway: &TestGateway, port: u16, headers: &str) -> String {
    let mut stream = TcpStream::connect(gateway.address(port)).await.expect("connection");
    let request = format!("GET / HTTP/1.1\r\nhost: web.test\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    answer
}

/// Its status code.
pub(crate) async fn status(gateway: &TestGateway, port: u16) -> String {
    let answer = answer(gateway, port, "").await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}
