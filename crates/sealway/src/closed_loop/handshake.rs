//! One handshake, to see which certificate arrives.
//!
//! Input: a [`Target`]. Output: the leaf's serial. Whether a client would believe it is not asked here; that its sender has the key is. A server
//! that wants a client certificate shows its own first, so its refusal does not matter.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sealway_issuer::Facts;
use sealway_proxy::Proxy;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Place, Target};

/// Why no certificate arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody listens, or it cannot be reached.
    Connect(String),
    /// The handshake ended before a certificate came.
    Handshake(String),
    /// What came is no certificate.
    Unreadable,
    /// Nothing came in time.
    TimedOut,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(formatter, "cannot connect: {error}"),
            Self::Handshake(error) => write!(formatter, "the handshake failed: {error}"),
            Self::Unreadable => formatter.write_str("its certificate cannot be read"),
            Self::TimedOut => write!(formatter, "no certificate came within {} s", DEADLINE.as_secs()),
        }
    }
}

/// The serial of the certificate that arrives: lower-case hexadecimal digits, without leading zero bytes.
pub(super) async fn serial(target: &Target, proxy: &Proxy) -> Result<String, Fault> {
    timeout(DEADLINE, shake_hands(target, proxy))
        .await
        .unwrap_or(Err(Fault::TimedOut))
}

async fn shake_hands(target: &Target, proxy: &Proxy) -> Result<String, Fault> {
    let failed = |error: std::io::Error| Fault::Connect(error.to_string());
    // The gateway must know its own before they arrive; an address of ours can be a source as well.
    let (connecting, own) = match target.place {
        Place::Gateway => {
            let socket = match target.address {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            };
            let socket = socket.map_err(failed)?;
            socket.bind(SocketAddr::new(target.address.ip(), 0)).map_err(failed)?;
            let own = proxy.probe(socket.local_addr().map_err(failed)?);
            (socket.connect(target.address).await, Some(own))
        }
        Place::Backend(_) => (TcpStream::connect(target.address).await, None),
    };
    let mut stream = connecting.map_err(failed)?;
    stream
        .write_all(target.preface)
        .await
        .map_err(|error| Fault::Connect(error.to_string()))?;
    let name = ServerName::try_from(target.server_name.clone()).map_err(|error| Fault::Handshake(error.to_string()))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let seen = Arc::new(Witness {
        provider: Arc::clone(&provider),
        leaf: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::Handshake(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let mut outcome = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    drop(own);
    if let Ok(stream) = &mut outcome {
        // A backend that logs cut connections is not to log this one.
        let _ = stream.shutdown().await;
    }
    let leaf = seen.leaf.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (leaf, outcome) {
        (Some(leaf), _) => Facts::of(&leaf).map(|facts| facts.serial).map_err(|_| Fault::Unreadable),
        (None, Err(error)) => Err(Fault::Handshake(error.to_string())),
        (None, Ok(_)) => Err(Fault::Unreadable),
    }
}

/// Takes every certificate, and keeps it.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    leaf: Mutex<Option<Vec<u8>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.leaf.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verified = verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        );
        self.kept_if(verified)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verified = verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        );
        self.kept_if(verified)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Witness {
    /// Who cannot sign with the key does not serve the certificate.
    fn kept_if<T>(&self, verified: Result<T, rustls::Error>) -> Result<T, rustls::Error> {
        if verified.is_err() {
            self.leaf.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        verified
    }
}

const DEADLINE: Duration = Duration::from_secs(5);
