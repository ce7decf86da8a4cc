//! Sample backends: real TLS servers on loopback, and a plain one behind ended TLS, that say who they are and what they saw.
//!
//! Input: an address to listen on and an [`Identity`]. Output: a [`Backend`], which listens until it is dropped; dropping it
//! also ends its connections. Every read has a cap and a deadline, and a backend holds at most [`CONNECTIONS_MAX`] connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::server::TlsStream;

use crate::certificates::{CertificateError, Facts, Identity};

pub(crate) mod https;
pub(crate) mod postgres;
mod samples;

pub use https::{Http, Https};
pub use postgres::Postgres;
pub use samples::{Endpoint, Ports, SampleBackends};

/// Why a backend could not start.
#[derive(Debug, Error)]
pub enum BackendError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; is another demo running?")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Chain or key of the identity cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Chain and key do not make a TLS server.
    #[error("TLS configuration refused: {0}")]
    Tls(#[from] rustls::Error),
    /// The authority that clients are to be verified against cannot be used.
    #[error("client verification refused: {0}")]
    ClientVerifier(#[from] rustls::server::VerifierBuilderError),
}

/// What a backend does about client certificates. Authorities are PEM text.
#[derive(Debug, Clone, Copy)]
pub enum ClientCertificates<'a> {
    /// Does not ask.
    Ignored,
    /// Asks, and takes clients without one too.
    Requested(&'a str),
    /// Refuses clients without a certificate of these authorities.
    Required(&'a str),
}

/// What a sample backend says of itself and of the connection, whatever protocol it speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The backend's name.
    pub backend: String,
    /// The server name in the ClientHello that reached it.
    pub sni: Option<String>,
    /// Subject of the client certificate that reached it.
    pub client: Option<String>,
}

impl Answer {
    /// What there is to say on this connection.
    fn on(stream: &TlsStream<TcpStream>, backend: &str) -> Self {
        let (_, connection) = stream.get_ref();
        let client = connection.peer_certificates().and_then(|chain| chain.first());
        Self {
            backend: backend.to_owned(),
            sni: connection.server_name().map(str::to_owned),
            client: client.map(|certificate| Facts::of(certificate).subject),
        }
    }
}

/// A running backend; it stops when it is dropped.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Backend {
    /// Listens on `address` (port 0: any free port) and runs `connection` for each client.
    pub async fn start<Connection, Served>(address: SocketAddr, connection: Connection) -> Result<Self, BackendError>
    where
        Connection: Fn(TcpStream) -> Served + Send + 'static,
        Served: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listen = |source| BackendError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self {
            address,
            accepting: tokio::spawn(accept(listener, connection)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // The connections belong to the accepting task and end with it.
        self.accepting.abort();
    }
}

async fn accept<Connection, Served>(listener: TcpListener, connection: Connection)
where
    Connection: Fn(TcpStream) -> Served + Send + 'static,
    Served: Future<Output = io::Result<()>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, client)) => {
                // Only latency is at stake.
                let _ = stream.set_nodelay(true);
                let served = connection(stream);
                connections.spawn(async move {
                    if let Err(error) = served.await {
                        tracing::debug!(%client, %error, "sample backend connection ended");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "sample backend cannot accept");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// The TLS side of a backend.
pub fn server_config(
    identity: &Identity,
    clients: ClientCertificates<'_>,
    alpn: &[&str],
) -> Result<Arc<ServerConfig>, BackendError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match clients {
        ClientCertificates::Ignored => builder.with_no_client_auth(),
        ClientCertificates::Requested(authorities) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(trust(authorities)?, provider);
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
        }
        ClientCertificates::Required(authorities) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(trust(authorities)?, provider);
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_single_cert(identity.certificates()?, identity.key().to_der()?)?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

fn trust(authorities: &str) -> Result<Arc<RootCertStore>, BackendError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(certificate.map_err(CertificateError::from)?)?;
    }
    Ok(Arc::new(roots))
}

/// Runs a read or handshake under a deadline.
async fn within<T>(deadline: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(deadline, work)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Connections that one backend holds at a time; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 1024;

const ACCEPT_RETRY: Duration = Duration::from_millis(100);
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
