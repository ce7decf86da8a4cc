//! TLS of the feed: 1.3 only; the controller proves itself by a name that is the same everywhere, to authorities from a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use thiserror::Error;

/// The name in the controller's certificate. Proxies reach it by an address that no certificate can know beforehand.
pub const SERVER_NAME: &str = "feed.sealway.dev";

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsFault {
    /// The file of authorities cannot be read, or holds none.
    #[error("{}: no authorities of the controller: {detail}; the ConfigMap beside the proxies holds them as `ca.crt`", path.display())]
    Authorities {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Certificate and key do not fit, or the provider lacks something.
    #[error("TLS of the feed: {0}")]
    Configuration(#[from] rustls::Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// For the controller: a chain (leaf first) for [`SERVER_NAME`], and its key. Whoever rotates them hands the new configuration on;
/// connections that are there stay.
pub fn server_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<ServerConfig>, TlsFault> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    // A session is not resumed: whom the client believes may have changed.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// For a proxy: whom the file names at this moment, and nobody else.
pub(crate) fn client_config(authorities: &Path) -> Result<Arc<ClientConfig>, TlsFault> {
    let fault = |detail: String| TlsFault::Authorities {
        path: authorities.to_owned(),
        detail,
    };
    let certificates = CertificateDer::pem_file_iter(authorities).map_err(|error| fault(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(fault("it has no certificate".to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// [`SERVER_NAME`] as rustls has it.
pub(crate) fn server_name() -> Result<ServerName<'static>, TlsFault> {
    let name = ServerName::try_from(SERVER_NAME);
    name.map_err(|_| TlsFault::Configuration(rustls::Error::General("no server name".to_owned())))
}
