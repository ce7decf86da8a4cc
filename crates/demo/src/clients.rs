//! Clients that judge a gateway from outside: what certificate arrived, what the backend answered, or how it failed.
//!
//! Input: an address, a server name, what to trust and perhaps a client certificate. Output: [`Seen`], or a [`Failure`] that
//! tells alert, end of stream, reset and timeout apart. Every exchange ends within [`DEADLINE`].

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::backends::Answer;
use crate::certificates::{Authority, CertificateError, Facts, Identity};
use crate::wire;

/// Why a client could not be made.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Chain or key of the identity, or the authority, cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// They do not make a TLS client.
    #[error("TLS configuration refused: {0}")]
    Tls(#[from] rustls::Error),
}

/// How an exchange failed, as the client saw it.
#[derive(Debug, Error)]
pub enum Failure {
    /// No TCP connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The other side sent a fatal alert.
    #[error("alert {}", alert_name(*.0))]
    Alert(AlertDescription),
    /// The other side closed without a word.
    #[error("closed by the other side")]
    EndOfStream,
    /// The other side reset the connection.
    #[error("reset by the other side")]
    Reset,
    /// The certificate that arrived is not for this name or not of this authority.
    #[error("certificate refused: {0}")]
    Certificate(rustls::CertificateError),
    /// Nothing came in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    TimedOut,
    /// A PostgreSQL server's ErrorResponse.
    #[error("ErrorResponse {code}: {message}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// What it said.
        message: String,
    },
    /// An HTTP answer that is not 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// Anything that is not the protocol that was asked for.
    #[error("unexpected: {0}")]
    Unexpected(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (tls, error.kind()) {
            (Some(rustls::Error::AlertReceived(alert)), _) => Self::Alert(*alert),
            (Some(rustls::Error::InvalidCertificate(reason)), _) => Self::Certificate(reason.clone()),
            (_, io::ErrorKind::UnexpectedEof) => Self::EndOfStream,
            (_, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Self::Reset,
            _ => Self::Unexpected(error.to_string()),
        }
    }
}

/// What the other end of a TLS session showed of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its certificate.
    pub certificate: Facts,
    /// Protocol version, as rustls names it (`TLSv1_3`).
    pub version: String,
    /// Key exchange group, as rustls names it (`X25519MLKEM768`).
    pub group: String,
    /// The protocol that ALPN chose.
    pub alpn: Option<String>,
}

/// A finished handshake.
#[derive(Debug)]
pub struct Session {
    /// Who is at the other end.
    pub peer: Peer,
    /// The stream inside TLS.
    pub stream: TlsStream<TcpStream>,
}

/// A finished exchange with a sample backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who was at the other end.
    pub peer: Peer,
    /// What it said.
    pub answer: Answer,
}

/// How a PostgreSQL client comes to TLS (libpq's `sslnegotiation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negotiation {
    /// SSLRequest first, in plain text.
    Postgres,
    /// TLS from the first byte.
    Direct,
}

/// A TLS client.
#[derive(Debug, Clone)]
pub struct Client {
    config: ClientConfig,
}

impl Client {
    /// A client that trusts `authority` alone and shows no certificate.
    pub fn trusting(authority: &Authority) -> Result<Self, ClientError> {
        Self::trusting_pem(authority.certificate_pem())
    }

    /// A client that trusts the certificates in this PEM text alone and shows no certificate.
    pub fn trusting_pem(trust: &str) -> Result<Self, ClientError> {
        Ok(Self {
            config: base(trust)?.with_no_client_auth(),
        })
    }

    /// A client that trusts `authority` alone and shows `identity` when asked.
    pub fn presenting(authority: &Authority, identity: &Identity) -> Result<Self, ClientError> {
        Self::presenting_pem(authority.certificate_pem(), identity)
    }

    /// A client that trusts the certificates in this PEM text alone and shows `identity` when asked.
    pub fn presenting_pem(trust: &str, identity: &Identity) -> Result<Self, ClientError> {
        let (chain, key) = (identity.certificates()?, identity.key().to_der()?);
        Ok(Self {
            config: base(trust)?.with_client_auth_cert(chain, key)?,
        })
    }

    /// The same client without SNI in its hello.
    pub fn without_sni(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    /// The same client without memory: a session that is resumed shows the certificate that it began with.
    pub fn without_resumption(mut self) -> Self {
        self.config.resumption = rustls::client::Resumption::disabled();
        self
    }

    /// The same client with these ALPN protocols.
    pub fn offering(mut self, alpn: &[&str]) -> Self {
        self.config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// TCP, then a handshake for `name`.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> Result<Session, Failure> {
        within(async { self.handshake(tcp(address).await?, name).await }).await
    }

    /// A handshake for `name` on a connection that is there already.
    pub async fn handshake(&self, stream: TcpStream, name: &str) -> Result<Session, Failure> {
        let server = ServerName::try_from(name.to_owned()).map_err(|error| Failure::Unexpected(error.to_string()))?;
        let stream = TlsConnector::from(Arc::new(self.config.clone()))
            .connect(server, stream)
            .await?;
        let (_, connection) = stream.get_ref();
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        let peer = Peer {
            certificate: certificate.map(Facts::of).unwrap_or_default(),
            version: connection
                .protocol_version()
                .map(|version| format!("{version:?}"))
                .unwrap_or_default(),
            group: connection
                .negotiated_key_exchange_group()
                .map(|group| format!("{:?}", group.name()))
                .unwrap_or_default(),
            alpn: connection
                .alpn_protocol()
                .map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        };
        Ok(Session { peer, stream })
    }

    /// `GET path` over TLS.
    pub async fn https(&self, address: SocketAddr, name: &str, path: &str) -> Result<Seen, Failure> {
        self.connect(address, name).await?.request(name, path).await
    }

    /// A PostgreSQL session over TLS with one `select`.
    pub async fn postgres(&self, address: SocketAddr, name: &str, negotiation: Negotiation) -> Result<Seen, Failure> {
        self.connect_postgres(address, name, negotiation).await?.select().await
    }

    /// The way into TLS that a PostgreSQL client takes.
    pub async fn connect_postgres(&self, address: SocketAddr, name: &str, negotiation: Negotiation) -> Result<Session, Failure> {
        let client = self.clone().offering(&[wire::ALPN]);
        within(async {
            let mut stream = tcp(address).await?;
            if negotiation == Negotiation::Postgres {
                stream.write_all(&wire::SSL_REQUEST).await?;
                let answer = stream.read_u8().await?;
                if answer != b'S' {
                    return Err(Failure::Unexpected(format!("SSLRequest answered with byte {answer}")));
                }
            }
            client.handshake(stream, name).await
        })
        .await
    }
}

impl Session {
    /// `GET path`, and the sample backend's answer.
    pub async fn request(mut self, host: &str, path: &str) -> Result<Seen, Failure> {
        within(async {
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            self.stream.write_all(request.as_bytes()).await?;
            let mut response = Vec::new();
            (&mut self.stream).take(RESPONSE_MAX).read_to_end(&mut response).await?;
            let answer = answer_in(&response)?;
            Ok(Seen { peer: self.peer, answer })
        })
        .await
    }

    /// PostgreSQL start-up and one `select`, and the sample database's answer.
    pub async fn select(mut self) -> Result<Seen, Failure> {
        within(async {
            self.stream.write_all(&wire::start_up("demo", "postgres")).await?;
            self.ready().await?;
            self.stream.write_all(&wire::message(b'Q', b"select 1\0")).await?;
            let row = self.ready().await?.and_then(|row| row.columns());
            self.stream.write_all(&wire::message(b'X', &[])).await?;
            let mut columns = row.unwrap_or_default().into_iter();
            let Some(Some(backend)) = columns.next() else {
                return Err(Failure::Unexpected("no row".to_owned()));
            };
            let answer = Answer {
                backend,
                sni: columns.next().flatten(),
                client: columns.next().flatten(),
            };
            Ok(Seen { peer: self.peer, answer })
        })
        .await
    }

    /// Reads up to ReadyForQuery; gives the last row on the way.
    async fn ready(&mut self) -> Result<Option<wire::Message>, Failure> {
        let mut row = None;
        loop {
            let message = wire::read_message(&mut self.stream).await?;
            match message.tag {
                b'Z' => return Ok(row),
                b'D' => row = Some(message),
                b'E' => {
                    let (code, message) = message.error_fields();
                    return Err(Failure::Refused { code, message });
                }
                _ => {}
            }
        }
    }
}

/// What a sample backend says in a whole HTTP response.
pub(crate) fn answer_in(response: &[u8]) -> Result<Answer, Failure> {
    let body = response
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|end| &response[end + 4..]);
    let line = String::from_utf8_lossy(response.split(|byte| *byte == b'\r').next().unwrap_or_default());
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    match (status, body) {
        (Some(200), Some(body)) => serde_json::from_slice(body).map_err(|error| Failure::Unexpected(error.to_string())),
        (Some(status), Some(_)) => Err(Failure::Status(status)),
        _ => Err(Failure::Unexpected(format!("HTTP answer `{line}`"))),
    }
}

/// An alert as RFC 8446 spells it, with its number.
pub fn alert_name(alert: AlertDescription) -> String {
    let spelled = format!("{alert:?}");
    let mut name = String::new();
    let (mut before, mut letters) = (None, spelled.chars().peekable());
    while let Some(letter) = letters.next() {
        // A word begins after a small letter, or where an abbreviation ends.
        let is_end = |letter: char| letter.is_ascii_lowercase();
        if letter.is_ascii_uppercase()
            && (before.is_some_and(is_end) || (before.is_some() && letters.peek().copied().is_some_and(is_end)))
        {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
        before = Some(letter);
    }
    // The one name that the TLS library spells otherwise.
    format!("{} ({})", name.replace("unrecognised", "unrecognized"), u8::from(alert))
}

fn base(trust: &str) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, ClientError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trust.as_bytes()) {
        roots.add(certificate.map_err(CertificateError::from)?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}

async fn tcp(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(Failure::Connect)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn within<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or(Err(Failure::TimedOut))
}

/// How long a step (handshake, request, query) may take.
pub const DEADLINE: Duration = Duration::from_secs(10);

const RESPONSE_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_spelled_as_in_the_rfc() {
        for (alert, name) in [
            (AlertDescription::CertificateRequired, "certificate_required (116)"),
            (AlertDescription::UnknownCA, "unknown_ca (48)"),
            (AlertDescription::UnknownPSKIdentity, "unknown_psk_identity (115)"),
            (AlertDescription::UnrecognisedName, "unrecognized_name (112)"),
        ] {
            assert_eq!(alert_name(alert), name);
        }
    }
}
