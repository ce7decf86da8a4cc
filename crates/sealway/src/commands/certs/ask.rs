//! The admin address of a running gateway, asked: one GET, one answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Whether somebody was there.
pub(super) enum Asked {
    /// Nobody listens there.
    Nobody,
    /// The answer.
    Answer(StatusCode, Bytes),
}

/// Asks for `path`.
pub(super) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Asked> {
    match timeout(DEADLINE, exchange(address, path)).await {
        Ok(asked) => asked.with_context(|| format!("the admin address {address}")),
        Err(_) => bail!("the admin address {address} does not answer within {DEADLINE:?}"),
    }
}

async fn exchange(address: SocketAddr, path: &str) -> anyhow::Result<Asked> {
    let stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Ok(Asked::Nobody),
        Err(error) => return Err(error.into()),
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    connection.abort();
    match body {
        Ok(body) => Ok(Asked::Answer(status, body.to_bytes())),
        Err(error) => bail!("the answer cannot be read: {error}"),
    }
}

const DEADLINE: Duration = Duration::from_secs(20);
/// A hundred thousand certificates are about this much.
const LARGEST: usize = 128 * 1024 * 1024;
