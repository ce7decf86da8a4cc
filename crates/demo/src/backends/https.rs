//! A backend that answers every HTTP/1.1 request over TLS with a small JSON about itself.
//!
//! One request per connection: the head is read up to [`HEAD_MAX`] bytes under [`REQUEST_DEADLINE`], a body is not read.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Answer, Backend, BackendError, ClientCertificates, HANDSHAKE_DEADLINE, server_config, within};
use crate::certificates::Identity;

/// An HTTPS backend to be started.
#[derive(Debug, Clone, Copy)]
pub struct Https<'a> {
    /// The name that its answers carry.
    pub name: &'static str,
    /// Its certificate and key.
    pub identity: &'a Identity,
    /// What it does about client certificates.
    pub clients: ClientCertificates<'a>,
}

impl Https<'_> {
    /// Starts it on `address`; port 0 takes any free port.
    pub async fn start(&self, address: SocketAddr) -> Result<Backend, BackendError> {
        let acceptor = TlsAcceptor::from(server_config(self.identity, self.clients, &["http/1.1"])?);
        let name = self.name;
        Backend::start(address, move |stream| serve(acceptor.clone(), stream, name)).await
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, name: &'static str) -> io::Result<()> {
    let mut stream = within(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await?;
    let answer = Answer::on(&stream, name);
    let response = match within(REQUEST_DEADLINE, read_head(&mut stream)).await? {
        Some(head) => respond(&head, &answer),
        None => refuse(),
    };
    within(REQUEST_DEADLINE, async {
        stream.write_all(response.as_bytes()).await?;
        stream.shutdown().await
    })
    .await
}

/// The request's head, or nothing when it is too long or the client left before its end.
async fn read_head(stream: &mut TlsStream<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() >= HEAD_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn respond(head: &[u8], answer: &Answer) -> String {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (Some(method), Some(path), Some(version)) = (words.next(), words.next(), words.next()) else {
        return refuse();
    };
    if !version.starts_with("HTTP/1.") {
        return refuse();
    }
    let mut body = json!({
        "status": "ok", "backend": answer.backend, "path": path, "sni": answer.sni, "client": answer.client,
    });
    if path.starts_with("/v1/sys/health")
        && let Some(fields) = body.as_object_mut()
    {
        // What a vault says of its health, so that its own clients are content.
        fields.extend([("initialized", true), ("sealed", false), ("standby", false)].map(|(k, v)| (k.to_owned(), json!(v))));
    }
    let body = format!("{body}\n");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    if method == "HEAD" { head } else { head + &body }
}

fn refuse() -> String {
    "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
}

/// Longest request head that is read.
const HEAD_MAX: usize = 8 * 1024;

/// How long a client may take for its request: long enough to type one into `openssl s_client`.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);
