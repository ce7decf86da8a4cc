//! Backends that answer every HTTP/1.1 request with a small JSON about themselves: over TLS, and in plain text.
//!
//! One request per connection: the head is read up to [`HEAD_MAX`] bytes under [`REQUEST_DEADLINE`], a body is not read.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

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

/// A plain HTTP backend to be started. TLS has ended in front of it, so the client is whom the gateway names.
#[derive(Debug, Clone, Copy)]
pub struct Http {
    /// The name that its answers carry.
    pub name: &'static str,
}

impl Http {
    /// Starts it on `address`; port 0 takes any free port.
    pub async fn start(&self, address: SocketAddr) -> Result<Backend, BackendError> {
        let name = self.name;
        Backend::start(address, move |stream| {
            exchange(stream, move |head| Answer {
                backend: name.to_owned(),
                sni: None,
                client: named_client(head),
            })
        })
        .await
    }
}

/// The subject in X-Forwarded-Client-Cert, as Envoy and Sealway write it: `…;Subject="CN=order-service";…`.
pub(crate) fn named_client(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let is_meant = |line: &&str| line.to_ascii_lowercase().starts_with("x-forwarded-client-cert:");
    let (_, subject) = head.lines().find(is_meant)?.split_once("Subject=\"")?;
    subject.split('"').next().map(str::to_owned)
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, name: &'static str) -> io::Result<()> {
    let stream = within(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await?;
    let answer = Answer::on(&stream, name);
    exchange(stream, move |_| answer).await
}

/// One request and its answer.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: impl FnOnce(&[u8]) -> Answer) -> io::Result<()> {
    let response = match within(REQUEST_DEADLINE, read_head(&mut stream)).await? {
        Some(head) => respond(&head, &answer(&head)),
        None => refuse(),
    };
    within(REQUEST_DEADLINE, async {
        stream.write_all(response.as_bytes()).await?;
        stream.shutdown().await
    })
    .await
}

/// The request's head, or nothing when it is too long or the client left before its end.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() >= HEAD_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

pub(crate) fn respond(head: &[u8], answer: &Answer) -> String {
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
pub(crate) const HEAD_MAX: usize = 8 * 1024;

/// How long a client may take for its request: long enough to type one into `openssl s_client`.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);
