//! Reads what a client sends before anything can be decided: a trusted proxy's header, PostgreSQL's requests, the ClientHello.
//!
//! The buffer holds what was received and not yet understood, never more: a slow sender costs what it has sent.

use std::future::poll_fn;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::refuse::Refusal;
use crate::client_hello::{self, ClientHello, ClientHelloParser};
use crate::outcome::CloseReason;
use crate::postgres;
use crate::preface::{self, Preface};
use crate::proxy_protocol::{self, Addresses};
use crate::scratch;

pub(super) struct Greeter<'a> {
    client: &'a mut TcpStream,
    received: Vec<u8>,
}

impl<'a> Greeter<'a> {
    pub(super) fn new(client: &'a mut TcpStream) -> Self {
        Self {
            client,
            received: Vec::new(),
        }
    }

    /// The header that a trusted proxy must send. `None` when it says that the connection is its own.
    pub(super) async fn proxy_header(&mut self) -> Result<Option<Addresses>, Refusal> {
        loop {
            match proxy_protocol::parse(&self.received) {
                proxy_protocol::Progress::NeedMore => self.read().await?,
                proxy_protocol::Progress::Done(header) => {
                    self.received.drain(..header.length.min(self.received.len()));
                    return Ok(header.addresses);
                }
                proxy_protocol::Progress::Refused(error) => {
                    return Err(CloseReason::ProxyHeader(error).into());
                }
            }
        }
    }

    /// Answers PostgreSQL's requests for encryption; whether TLS was asked for that way. What follows is TLS, or an error of it.
    pub(super) async fn encryption_requests(&mut self) -> Result<bool, Refusal> {
        let mut requests = 0;
        let mut accepted = false;
        loop {
            let preface = preface::classify(&self.received);
            let (answer, length) = match preface {
                Preface::NeedMore => {
                    self.read().await?;
                    continue;
                }
                Preface::PostgresSslRequest if !accepted => (postgres::ACCEPT_TLS, postgres::SSL_REQUEST.len()),
                Preface::PostgresGssEncRequest if !accepted => (postgres::REFUSE_ENCRYPTION, postgres::GSSENC_REQUEST.len()),
                Preface::Http => return Err(CloseReason::PlainHttp.into()),
                Preface::PostgresStartup => return Err(CloseReason::PostgresPlainText.into()),
                Preface::PostgresCancel => return Err(CloseReason::PostgresCancel.into()),
                // The parser of hellos names the error.
                Preface::Tls
                | Preface::SslV2
                | Preface::ProxyHeader
                | Preface::Other
                | Preface::PostgresSslRequest
                | Preface::PostgresGssEncRequest => return Ok(accepted),
            };
            if requests == postgres::MAX_ENCRYPTION_REQUESTS {
                return Err(CloseReason::PostgresRequests.into());
            }
            requests += 1;
            accepted = preface == Preface::PostgresSslRequest;
            self.received.drain(..length.min(self.received.len()));
            self.client
                .write_all(&answer)
                .await
                .map_err(|error| gone(error.to_string()))?;
        }
    }

    /// The whole ClientHello.
    pub(super) async fn hello(&mut self) -> Result<ClientHello, Refusal> {
        let mut parser = ClientHelloParser::new();
        loop {
            match parser.advance(&self.received) {
                client_hello::Progress::NeedMore => self.read().await?,
                client_hello::Progress::Done(hello) => return Ok(hello),
                client_hello::Progress::Refused(error) => return Err(CloseReason::Hello(error).into()),
            }
        }
    }

    /// The hello and what came after it.
    pub(super) fn into_received(self) -> Vec<u8> {
        self.received
    }

    async fn read(&mut self) -> Result<(), Refusal> {
        // Each parser wants more only while less than this has arrived.
        let most = client_hello::MAX_RAW_BYTES.max(proxy_protocol::MAX_HEADER_BYTES);
        match poll_fn(|context| scratch::poll_append(context, self.client, &mut self.received, most)).await {
            Ok(0) => Err(gone(format!("closed after {} bytes", self.received.len()))),
            Ok(_) => Ok(()),
            Err(error) => Err(gone(error.to_string())),
        }
    }
}

fn gone(detail: String) -> Refusal {
    Refusal::new(CloseReason::ClientGone, detail)
}
