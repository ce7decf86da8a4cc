//! Backends for tests: an echo, and those that misbehave or take notes.
//!
//! Each starts on a free loopback port and stops when dropped, as [`Backend`] does.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealway_demo::backends::{Backend, BackendError, ClientCertificates, server_config};
use sealway_demo::certificates::Identity;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::LOOPBACK;

/// Sends every byte back, without TLS.
pub async fn plain_echo() -> Result<Backend, BackendError> {
    Backend::start(LOOPBACK, echo).await
}

/// Sends every byte back, inside TLS.
pub async fn echo_over_tls(identity: &Identity) -> Result<Backend, BackendError> {
    let acceptor = TlsAcceptor::from(server_config(identity, ClientCertificates::Ignored, &[])?);
    Backend::start(LOOPBACK, move |stream| {
        let acceptor = acceptor.clone();
        async move { echo(acceptor.accept(stream).await?).await }
    })
    .await
}

/// Takes connections and says nothing for `delay`, then echoes inside TLS.
pub async fn slow(identity: &Identity, delay: Duration) -> Result<Backend, BackendError> {
    let acceptor = TlsAcceptor::from(server_config(identity, ClientCertificates::Ignored, &[])?);
    Backend::start(LOOPBACK, move |stream| {
        let acceptor = acceptor.clone();
        async move {
            tokio::time::sleep(delay).await;
            echo(acceptor.accept(stream).await?).await
        }
    })
    .await
}

/// Takes the first bytes of each connection, then resets it.
pub async fn resetting() -> Result<Backend, BackendError> {
    Backend::start(LOOPBACK, |mut stream: TcpStream| async move {
        let mut first = [0; 1];
        stream.read_exact(&mut first).await?;
        stream.set_zero_linger()
    })
    .await
}

/// An echo inside TLS that expects a PROXY protocol header before it and keeps what it got.
#[derive(Debug)]
pub struct ProxyRecorder {
    /// The running backend.
    pub backend: Backend,
    headers: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl ProxyRecorder {
    /// Starts it.
    pub async fn start(identity: &Identity) -> Result<Self, BackendError> {
        let acceptor = TlsAcceptor::from(server_config(identity, ClientCertificates::Ignored, &[])?);
        let headers = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&headers);
        let backend = Backend::start(LOOPBACK, move |mut stream| {
            let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
            async move {
                let header = read_proxy_header(&mut stream).await?;
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(header);
                echo(acceptor.accept(stream).await?).await
            }
        })
        .await?;
        Ok(Self { backend, headers })
    }

    /// The raw headers so far, in the order of their connections.
    pub fn headers(&self) -> Vec<Vec<u8>> {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Exactly the header's bytes: a line of version 1, or the length that version 2 states (haproxy.org, proxy-protocol.txt).
async fn read_proxy_header(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut header = vec![0; V2_FIXED];
    stream.read_exact(&mut header[..V1_START.len()]).await?;
    if header.starts_with(V1_START) {
        header.truncate(V1_START.len());
        while !header.ends_with(b"\r\n") {
            if header.len() >= V1_MAX {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            header.push(stream.read_u8().await?);
        }
        return Ok(header);
    }
    stream.read_exact(&mut header[V1_START.len()..]).await?;
    if !header.starts_with(V2_SIGNATURE) {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let length = u16::from_be_bytes([header[14], header[15]]);
    header.resize(V2_FIXED + usize::from(length), 0);
    stream.read_exact(&mut header[V2_FIXED..]).await?;
    Ok(header)
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..read]).await?;
        stream.flush().await?;
    }
}

const V1_START: &[u8] = b"PROXY ";
const V1_MAX: usize = 107;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use sealway_demo::certificates::{Authority, Request};
    use sealway_demo::clients::Client;

    use super::*;

    #[tokio::test]
    async fn recorder_keeps_each_header_and_echoes_what_follows() {
        let authority = Authority::generate("ca", SystemTime::now()).expect("authority");
        let identity = authority
            .issue(&Request::server("echo", &["echo.example.com"], SystemTime::now()))
            .expect("identity");
        let recorder = ProxyRecorder::start(&identity).await.expect("recorder");
        let client = Client::trusting(&authority).expect("client");
        let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec();
        let v2 = [V2_SIGNATURE, &[0x20, 0, 0, 3, 4, 0, 0]].concat();
        for header in [&v1, &v2] {
            let mut stream = TcpStream::connect(recorder.backend.address()).await.expect("connection");
            stream.write_all(header).await.expect("header");
            let mut session = client.handshake(stream, "echo.example.com").await.expect("handshake");
            session.stream.write_all(b"line").await.expect("line");
            let mut line = [0; 4];
            session.stream.read_exact(&mut line).await.expect("echo");
            assert_eq!(&line, b"line");
        }
        assert_eq!(recorder.headers(), [v1, v2]);
    }

    #[tokio::test]
    async fn resetting_backend_resets() {
        let backend = resetting().await.expect("backend");
        let mut stream = TcpStream::connect(backend.address()).await.expect("connection");
        stream.write_all(b"hello").await.expect("bytes");
        let error = stream.read_u8().await.expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
