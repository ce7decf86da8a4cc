//! Listeners that end TLS, and what they serve.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    CertificateParams, CertificateRevocationListParams, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    SignatureAlgorithm, date_time_ymd,
};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use sealway_api::{Kind, ObjectKey, ObjectRef, TlsMode};
use sealway_core::{
    CertificateSlot, ClientValidation, ClientValidationMode, ContentHash, CrlFailure, Forward, HostnamePattern, HttpRoutes,
    KeyMaterial, Keys, ServedCertificate, Termination, TlsListener, TlsOptions, TlsPlan, TrustBundle,
};

use sealway_proxy::Config;

use crate::kit::*;

/// A certificate with its key.
pub(crate) struct Pair {
    pub(crate) served: Arc<ServedCertificate>,
    pub(crate) material: Arc<KeyMaterial>,
}

impl Pair {
    pub(crate) fn new(authority: &Authority, names: &[&str]) -> Self {
        Self::with(authority, names, &rcgen::PKCS_ECDSA_P256_SHA256, None)
    }

    pub(crate) fn with(
        authority: &Authority,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        ocsp_response: Option<&[u8]>,
    ) -> Self {
        let params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let (certificate, key) = authority.sign(params, &KeyPair::generate_for(algorithm).unwrap());
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        Self {
            served: Arc::new(ServedCertificate {
                secret: ObjectKey::new("infra", names[0]),
                content: fresh_hash(),
                names: names.iter().map(|name| HostnamePattern::parse(Some(name))).collect(),
                serial: String::new(),
                not_before: now,
                not_after: now,
            }),
            material: Arc::new(KeyMaterial {
                chain: vec![certificate],
                key,
                ocsp_response: ocsp_response.map(<[u8]>::to_vec),
            }),
        }
    }

    pub(crate) fn slot(&self) -> CertificateSlot {
        CertificateSlot::Served(Arc::clone(&self.served))
    }

    pub(crate) fn leaf(&self) -> &CertificateDer<'static> {
        &self.material.chain[0]
    }
}

pub(crate) fn fresh_hash() -> ContentHash {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    ContentHash(hash)
}

pub(crate) fn keys<'a>(pairs: impl IntoIterator<Item = &'a Pair>) -> Keys {
    let entries = pairs
        .into_iter()
        .map(|pair| (pair.served.content, Arc::clone(&pair.material)));
    Keys(entries.collect())
}

pub(crate) fn termination(certificates: Vec<CertificateSlot>) -> Termination {
    Termination {
        certificates,
        client_validation: None,
        options: TlsOptions::default(),
    }
}

pub(crate) fn bundle(authority: &Authority, revocation_lists: Vec<Vec<u8>>) -> Arc<TrustBundle> {
    Arc::new(TrustBundle {
        content: fresh_hash(),
        sources: vec![ObjectRef::new(Kind::ConfigMap, "infra", "ca")],
        certificates: vec![authority.certificate()],
        subjects: vec![String::new()],
        revocation_lists: revocation_lists.into_iter().map(Arc::from).collect(),
        crl_failure: CrlFailure::Soft,
    })
}

/// What an authority has taken back, until the first day of a year.
pub(crate) fn revocation_list(authority: &Authority, revoked: &[u64], year: i32) -> Vec<u8> {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(year, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(authority.issuer()).unwrap().der().to_vec()
}

/// A list that takes back serial 7, from long ago: it is past its time and counts all the same.
pub(crate) fn revokes_seven(authority: &Authority) -> Vec<u8> {
    revocation_list(authority, &[7], 2025)
}

/// A termination that asks for client certificates.
pub(crate) fn asking(pair: &Pair, mode: ClientValidationMode, authorities: Arc<TrustBundle>) -> Termination {
    Termination {
        client_validation: Some(Arc::new(ClientValidation { mode, authorities })),
        ..termination(vec![pair.slot()])
    }
}

/// A TLS listener that ends TLS.
pub(crate) fn ending(
    name: &str,
    hostname: &str,
    termination: Termination,
    routes: impl IntoIterator<Item = (&'static str, Forward)>,
) -> TlsListener {
    TlsListener {
        mode: TlsMode::Terminate,
        termination: Some(Arc::new(termination)),
        ..listener(name, hostname, routes)
    }
}

/// An HTTPS listener without routes.
pub(crate) fn https(name: &str, hostname: &str, termination: Termination) -> TlsListener {
    TlsListener {
        requests: Some(Arc::new(HttpRoutes::default())),
        ..ending(name, hostname, termination, [])
    }
}

/// A gateway on one port.
pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
}

impl Site {
    pub(crate) fn start(plan: TlsPlan, keys: &Keys) -> Self {
        Self::with(config(), plan, keys)
    }

    pub(crate) fn with(config: Config, plan: TlsPlan, keys: &Keys) -> Self {
        let gateway = Gateway::start(config);
        let port = free_port();
        gateway.publish_with([snapshot("edge", port, plan)], keys);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { gateway, address }
    }

    /// One listener `tls` that ends TLS and sends everything to a plain echo.
    pub(crate) fn echoing(termination: Termination, keys: &Keys, backend: &EchoBackend) -> Self {
        Self::start(echo_plan(termination, backend), keys)
    }

    pub(crate) fn publish(&self, plan: TlsPlan, keys: &Keys) {
        self.gateway.publish_with([snapshot("edge", self.address.port(), plan)], keys);
    }
}

pub(crate) fn echo_plan(termination: Termination, backend: &EchoBackend) -> TlsPlan {
    plan_of(vec![ending("tls", "", termination, [("", to("echo", [backend.address]))])])
}

/// The leaf that a client is shown under this name.
pub(crate) async fn shown(address: SocketAddr, name: &str, client: &Arc<ClientConfig>) -> CertificateDer<'static> {
    let stream = tls(address, name, Arc::clone(client)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// The alert that a handshake, or the first read after it, ended with.
pub(crate) async fn alert_of(address: SocketAddr, name: &str, client: Arc<ClientConfig>) -> rustls::AlertDescription {
    use tokio::io::AsyncReadExt;
    let error = match tls(address, name, client).await {
        Ok(mut stream) => within(stream.read_to_end(&mut Vec::new())).await.unwrap_err(),
        Err(error) => error,
    };
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        other => panic!("{other:?}, {error}"),
    }
}
