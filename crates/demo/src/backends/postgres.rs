//! A backend that speaks enough PostgreSQL for `psql` to connect and run a `select`.
//!
//! It takes both ways into TLS (SSLRequest, and direct TLS with ALPN `postgresql`), refuses plain text, and answers every
//! `SELECT` with one row: its name, the server name it saw, the client certificate. Only the simple query protocol is served.
//! Source: PostgreSQL 18 documentation, "Frontend/Backend Protocol".

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Answer, Backend, BackendError, ClientCertificates, HANDSHAKE_DEADLINE, server_config, within};
use crate::certificates::Identity;
use crate::wire;

/// A PostgreSQL-speaking backend to be started.
#[derive(Debug, Clone, Copy)]
pub struct Postgres<'a> {
    /// The name that its rows carry.
    pub name: &'static str,
    /// Its certificate and key.
    pub identity: &'a Identity,
    /// What it does about client certificates.
    pub clients: ClientCertificates<'a>,
}

impl Postgres<'_> {
    /// Starts it on `address`; port 0 takes any free port.
    pub async fn start(&self, address: SocketAddr) -> Result<Backend, BackendError> {
        let acceptor = TlsAcceptor::from(server_config(self.identity, self.clients, &[wire::ALPN])?);
        let name = self.name;
        Backend::start(address, move |stream| serve(acceptor.clone(), stream, name)).await
    }
}

async fn serve(acceptor: TlsAcceptor, mut stream: TcpStream, name: &'static str) -> io::Result<()> {
    let Some(entry) = within(HANDSHAKE_DEADLINE, entry(&mut stream)).await? else {
        return Ok(());
    };
    let mut stream = within(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await?;
    let negotiated = stream.get_ref().1.alpn_protocol() == Some(wire::ALPN.as_bytes());
    if entry == Entry::Direct && !negotiated {
        // As the real server: direct TLS without ALPN could be another protocol's client led astray.
        return stream.shutdown().await;
    }
    let answer = Answer::on(&stream, name);
    within(HANDSHAKE_DEADLINE, start_up(&mut stream)).await?;
    loop {
        let message = within(IDLE_DEADLINE, wire::read_message(&mut stream)).await?;
        match message.tag {
            b'Q' => stream.write_all(&reply(&message.text(), &answer)).await?,
            b'S' => {
                stream
                    .write_all(&[unsupported("only simple queries are served"), ready()].concat())
                    .await?
            }
            b'X' => return stream.shutdown().await,
            // Parse, Bind and the rest are discarded until their Sync, as the protocol has it after an error.
            _ => {}
        }
        stream.flush().await?;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Requested,
    Direct,
}

/// Leads the client to the start of TLS; nothing when it may not come in.
async fn entry(stream: &mut TcpStream) -> io::Result<Option<Entry>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first == [TLS_HANDSHAKE_RECORD] {
        return Ok(Some(Entry::Direct));
    }
    for _ in 0..ENTRY_REQUESTS_MAX {
        let mut request = [0; 8];
        stream.read_exact(&mut request).await?;
        if request == wire::SSL_REQUEST {
            stream.write_all(b"S").await?;
            return Ok(Some(Entry::Requested));
        }
        if request != wire::GSSENC_REQUEST {
            let refusal = wire::error("FATAL", "28000", "this sample database takes connections over TLS only");
            stream.write_all(&refusal).await?;
            return Ok(None);
        }
        stream.write_all(b"N").await?;
    }
    Ok(None)
}

/// StartupMessage in, the greeting out. Anyone may log in.
async fn start_up(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let start_up = wire::read_start_up(stream).await?;
    let mut greeting = Vec::new();
    if let Some(negotiation) = start_up.negotiation() {
        greeting.extend(negotiation);
    }
    greeting.extend(wire::message(b'R', &0_i32.to_be_bytes()));
    for (name, value) in PARAMETERS {
        greeting.extend(wire::message(b'S', format!("{name}\0{value}\0").as_bytes()));
    }
    greeting.extend(wire::message(b'K', &[0; 8]));
    greeting.extend(ready());
    stream.write_all(&greeting).await?;
    stream.flush().await
}

pub(crate) fn reply(query: &str, answer: &Answer) -> Vec<u8> {
    let verb = query
        .trim_start()
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    if query.trim().is_empty() {
        return [wire::message(b'I', &[]), ready()].concat();
    }
    if !verb.eq_ignore_ascii_case("select") {
        return [unsupported("this sample database answers SELECT only"), ready()].concat();
    }
    let row = [Some(answer.backend.as_str()), answer.sni.as_deref(), answer.client.as_deref()];
    [
        wire::row_description(&["backend", "sni", "client"]),
        wire::data_row(&row),
        wire::message(b'C', b"SELECT 1\0"),
        ready(),
    ]
    .concat()
}

fn unsupported(message: &str) -> Vec<u8> {
    wire::error("ERROR", "0A000", message)
}

fn ready() -> Vec<u8> {
    wire::message(b'Z', b"I")
}

const PARAMETERS: [(&str, &str); 6] = [
    ("server_version", "18.0 (Sealway sample)"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
];

const TLS_HANDSHAKE_RECORD: u8 = 0x16;
/// GSSENCRequest, then SSLRequest; a client has no reason for more.
const ENTRY_REQUESTS_MAX: usize = 3;
const IDLE_DEADLINE: Duration = Duration::from_secs(600);
