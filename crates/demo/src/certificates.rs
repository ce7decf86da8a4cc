//! The certificates that the article's Secrets hold, as the embedded issuer issues them; and a CA that makes others, for tests.
//!
//! Input: manifests, or the time and names. Output: [`Identity`] (chain and private key) and [`Certificates`], the whole set.
//! Private keys stay in [`PrivateKey`], which masks its `Debug` and has no `Serialize`: bytes leave it only by name.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealway_api::{ObjectKey, Resources, Secret, Timestamp};
use sealway_issuer::Worker;
use thiserror::Error;

mod private_file;

pub use private_file::{create_private_dir, write_private};

/// Why a certificate could not be made or read.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The generator refused a name or a key.
    #[error("certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The issuer has not issued it.
    #[error("Secret {0} was not issued")]
    NotIssued(ObjectKey),
    /// The PEM text of a chain or key does not parse.
    #[error("PEM could not be read: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
}

/// The certificates and keys behind `examples/article`: one internal CA and what it issued.
#[derive(Debug)]
pub struct Certificates {
    /// The CA that signed all the others; Secret `internal-ca-keypair`, ConfigMap `internal-ca-cert`.
    pub authority: Authority,
    /// `payment-tls-secret`: the payment service.
    pub payment: Identity,
    /// `ledger-tls-secret`: the service that admits only clients with a certificate of this CA.
    pub ledger: Identity,
    /// `vault-tls-secret`: the vault.
    pub vault: Identity,
    /// `database-tls-secret`: both database names.
    pub database: Identity,
    /// `order-client-tls`: the client `order-service`.
    pub order_client: Identity,
    /// `wildcard-cert`: the gateway's own certificate for its HTTPS listeners.
    pub wildcard: Identity,
    /// `gateway-client-tls`: what the gateway shows to backends that ask.
    pub gateway_client: Identity,
}

impl Certificates {
    /// Has the embedded issuer issue what `resources` (those of `examples/article`) ask for, and takes it from there.
    pub fn issued(worker: &mut Worker, resources: &Resources, now: Timestamp) -> Result<Self, CertificateError> {
        let mut outlook = worker.step(now, resources);
        // A step ends after so many actions; the next goes on. A CA comes before what it signs.
        for _ in 0..STEPS_MAX {
            if let Ok(certificates) = Self::of(&outlook.overlay.secrets) {
                return Ok(certificates);
            }
            outlook = worker.step(now, resources);
        }
        Self::of(&outlook.overlay.secrets)
    }

    fn of(secrets: &BTreeMap<ObjectKey, Arc<Secret>>) -> Result<Self, CertificateError> {
        let identity = |namespace, name| {
            let key = ObjectKey::new(namespace, name);
            let secret = secrets.get(&key);
            secret
                .and_then(|secret| Identity::of(secret))
                .ok_or(CertificateError::NotIssued(key))
        };
        Ok(Self {
            authority: Authority::of(identity("cert-manager", "internal-ca-keypair")?)?,
            payment: identity("payment", "payment-tls-secret")?,
            ledger: identity("payment", "ledger-tls-secret")?,
            vault: identity("vault", "vault-tls-secret")?,
            database: identity("database", "database-tls-secret")?,
            order_client: identity("order", "order-client-tls")?,
            wildcard: identity("gateway-system", "wildcard-cert")?,
            gateway_client: identity("gateway-system", "gateway-client-tls")?,
        })
    }
}

/// A certificate authority with its key.
pub struct Authority {
    identity: Identity,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// An authority that was made elsewhere.
    pub fn of(identity: Identity) -> Result<Self, CertificateError> {
        let key = KeyPair::from_pem(identity.key.expose_pem())?;
        let issuer = Issuer::from_ca_cert_pem(&identity.chain_pem, key)?;
        Ok(Self { identity, issuer })
    }

    /// A self-signed root called `name`.
    pub fn generate(name: &str, now: SystemTime) -> Result<Self, CertificateError> {
        let params = authority_params(name, now);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let identity = Identity::new(certificate.pem(), PrivateKey::new(key.serialize_pem()));
        Ok(Self {
            identity,
            issuer: Issuer::new(params, key),
        })
    }

    /// An authority below this one: its chain ends before the root, as servers send it.
    pub fn intermediate(&self, name: &str, now: SystemTime) -> Result<Self, CertificateError> {
        let params = authority_params(name, now);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = certificate.pem() + self.chain_below_root();
        let identity = Identity::new(chain, PrivateKey::new(key.serialize_pem()));
        Ok(Self {
            identity,
            issuer: Issuer::new(params, key),
        })
    }

    /// Issues a leaf. The chain holds the leaf, then every authority below the root.
    pub fn issue(&self, request: &Request<'_>) -> Result<Identity, CertificateError> {
        let key = KeyPair::generate()?;
        let certificate = request.params()?.signed_by(&key, &self.issuer)?;
        let chain = certificate.pem() + self.chain_below_root();
        Ok(Identity::new(chain, PrivateKey::new(key.serialize_pem())))
    }

    /// The authority's own chain and key.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What clients trust: the PEM of the authority's certificate (`ca.crt`).
    pub fn certificate_pem(&self) -> &str {
        &self.identity.chain_pem
    }

    /// The signing side, for certificates that [`Request`] cannot describe.
    pub fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// A root signs itself and is not sent; only an intermediate adds itself to the chains below it.
    fn chain_below_root(&self) -> &str {
        let is_root = self
            .identity
            .certificates()
            .is_ok_and(|chain| chain.first().is_some_and(is_self_issued));
        if is_root { "" } else { &self.identity.chain_pem }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A leaf to be issued.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Subject common name; the names that count are `names`.
    pub common_name: &'a str,
    /// Subject alternative names: DNS names, wildcards or IP literals.
    pub names: &'a [&'a str],
    /// What the certificate may be used for.
    pub usage: ExtendedKeyUsagePurpose,
    /// First second of validity.
    pub not_before: SystemTime,
    /// Last second of validity.
    pub not_after: SystemTime,
}

impl<'a> Request<'a> {
    /// A server certificate for `names`, valid around `now`.
    pub fn server(common_name: &'a str, names: &'a [&'a str], now: SystemTime) -> Self {
        Self {
            common_name,
            names,
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            not_before: now - BACKDATED,
            not_after: now + LEAF_VALIDITY,
        }
    }

    /// A client certificate for `names`, valid around `now`.
    pub fn client(common_name: &'a str, names: &'a [&'a str], now: SystemTime) -> Self {
        Self {
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            ..Self::server(common_name, names, now)
        }
    }

    /// The generator's form of this request.
    pub fn params(&self) -> Result<CertificateParams, CertificateError> {
        let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = common_name(self.common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![self.usage.clone()];
        params.use_authority_key_identifier_extension = true;
        params.not_before = self.not_before.into();
        params.not_after = self.not_after.into();
        Ok(params)
    }
}

/// A certificate chain with the private key of its leaf.
#[derive(Debug, Clone)]
pub struct Identity {
    chain_pem: String,
    key: PrivateKey,
}

impl Identity {
    /// Takes chain and key as they are; whether they fit together shows when they are used.
    pub fn new(chain_pem: String, key: PrivateKey) -> Self {
        Self { chain_pem, key }
    }

    /// What a Secret holds; `None` when that is no text.
    fn of(secret: &Secret) -> Option<Self> {
        let text = |key: &str| String::from_utf8(secret.data.get(key)?.expose().to_vec()).ok();
        Some(Self::new(text("tls.crt")?, PrivateKey::new(text("tls.key")?)))
    }

    /// The chain, leaf first, as PEM (`tls.crt`).
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The private key (`tls.key`).
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The chain as DER, leaf first.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
        Ok(CertificateDer::pem_slice_iter(self.chain_pem.as_bytes()).collect::<Result<_, _>>()?)
    }

    /// The leaf's serial number in hexadecimal, bytes parted by colons; empty when the chain does not parse.
    pub fn serial(&self) -> String {
        let leaf = self.certificates().ok().and_then(|chain| chain.into_iter().next());
        leaf.map(|leaf| Facts::of(&leaf).serial).unwrap_or_default()
    }
}

/// The PEM of a private key. `Debug` masks it, and it cannot be serialized.
#[derive(Clone)]
pub struct PrivateKey {
    pem: String,
}

impl PrivateKey {
    /// Wraps PEM text.
    pub fn new(pem: String) -> Self {
        Self { pem }
    }

    /// The key itself, as PEM: for files of mode 0600 and nothing else.
    pub fn expose_pem(&self) -> &str {
        &self.pem
    }

    /// The key for a TLS stack.
    pub fn to_der(&self) -> Result<PrivateKeyDer<'static>, CertificateError> {
        Ok(PrivateKeyDer::from_pem_slice(self.pem.as_bytes())?)
    }

    /// Writes the PEM to `path`, readable by its owner only, atomically.
    pub fn write_private(&self, path: &Path) -> io::Result<()> {
        write_private(path, self.pem.as_bytes())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey(..)")
    }
}

/// What a certificate says of itself, as far as the demo shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Serial number in hexadecimal, bytes parted by colons.
    pub serial: String,
    /// Subject, as RFC 4514 text such as `CN=order-service`.
    pub subject: String,
}

impl Facts {
    /// Reads them from DER; empty texts when it does not parse.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        match x509_parser::parse_x509_certificate(certificate) {
            Ok((_, parsed)) => Self {
                serial: parsed.tbs_certificate.raw_serial_as_string(),
                subject: parsed.subject().to_string(),
            },
            Err(_) => Self::default(),
        }
    }
}

fn authority_params(name: &str, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + AUTHORITY_VALIDITY).into();
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, parsed)| parsed.subject().as_raw() == parsed.issuer().as_raw())
}

/// How long leaves live: 30 days, the `duration: 720h` of the manifests.
pub const LEAF_VALIDITY: Duration = Duration::from_secs(30 * DAY);
/// How long the authority lives: longer than any leaf.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_secs(90 * DAY);
/// Validity starts this long before now, for clocks that are behind.
pub const BACKDATED: Duration = Duration::from_secs(3600);

/// More than any chain of issuers is long.
const STEPS_MAX: usize = 16;
const DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
