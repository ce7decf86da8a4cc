//! TLS to backends: one configuration for each policy, own certificate and offer.
//!
//! In: a connected socket and the [`BackendTls`] of its backend. Out: a stream that is verified, or the fault; either is remembered for
//! the policy's status and counted. Invariant: sessions are resumed within one configuration, and none for longer than the certificates
//! are good that it rests on.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use rustls::ClientConfig;
use rustls_pki_types::{ServerName, UnixTime};
use sealway_core::{Backend, BackendAuthorities, BackendPeer, BackendTls, BackendTlsFault, ContentHash};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::fault::{backend_failure, backend_fault};
use super::faults::{BackendFaults, Faults};
use super::own::{Own, noting};
use super::provider::{provider, versions};
use super::system::System;
use super::trust::{Trust, Trusts};
use super::verifier::Backends;
use super::{Alpn, ClientIdentity, Offer, Wire};
use crate::metrics::Metrics;
use crate::metrics::handshakes::{self, HandshakeLabels};

/// A connection to a backend, inside TLS.
pub(crate) type BackendStream = tokio_rustls::client::TlsStream<Wire>;

/// Why a backend did not prove itself, and the text to it.
#[derive(Clone, Debug)]
pub(crate) struct TlsFailure {
    pub(crate) fault: BackendTlsFault,
    pub(crate) detail: String,
}

/// Client configurations, and the last fault of each backend.
pub(crate) struct ClientConfigs {
    known: RwLock<HashMap<ConfigKey, Known>>,
    system: System,
    trusts: Arc<Trusts>,
    faults: Faults,
    metrics: Metrics,
}

/// What a configuration is found by. The policy by its address: [`Known`] keeps that from being given to another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ConfigKey {
    tls: usize,
    identity: Option<ContentHash>,
    offer: Offer,
}

/// A configuration, for as long as its policy and the own certificate are in use.
struct Known {
    tls: Weak<BackendTls>,
    identity: Option<Weak<ClientIdentity>>,
    prepared: Arc<Prepared>,
}

struct Prepared {
    config: Arc<ClientConfig>,
    backends: Arc<Backends>,
    server_name: ServerName<'static>,
}

impl ClientConfigs {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            known: RwLock::default(),
            system: System::default(),
            trusts: Arc::default(),
            faults: Faults::default(),
            metrics,
        }
    }

    /// Authorities that others may share.
    pub(crate) fn trusts(&self) -> Arc<Trusts> {
        Arc::clone(&self.trusts)
    }

    /// TLS over a connected socket, verified as the policy says. Records how it went. The caller sets the deadline, and says
    /// [`Self::timed_out`] when that has passed.
    pub(crate) async fn handshake(
        &self,
        socket: TcpStream,
        backend: &Backend,
        tls: &Arc<BackendTls>,
        identity: Option<&Arc<ClientIdentity>>,
        offer: Offer,
    ) -> Result<(BackendStream, Option<Alpn>), TlsFailure> {
        let begun = Instant::now();
        let shown = identity.map(Arc::as_ref);
        match self.connect(socket, tls, identity, offer).await {
            Ok(stream) => {
                // Whether it took our certificate shows later.
                self.faults.succeeded(backend, content(shown), |fault| {
                    fault != BackendTlsFault::ClientCertificateRefused
                });
                let (_, connection) = stream.get_ref();
                let alpn = connection.alpn_protocol().and_then(Alpn::parse);
                let version = connection.protocol_version().and_then(|version| version.as_str());
                let group = connection.negotiated_key_exchange_group();
                self.metrics.handshakes.observe(
                    &HandshakeLabels {
                        version: version.unwrap_or_default(),
                        group: group.and_then(|group| group.name().as_str()).unwrap_or_default(),
                        ..HandshakeLabels::with_backend()
                    },
                    begun.elapsed(),
                );
                Ok((stream, alpn))
            }
            Err(failure) => Err(self.failed(backend, shown, failure)),
        }
    }

    /// The backend was silent until the deadline of its handshake.
    pub(crate) fn timed_out(&self, backend: &Backend, identity: Option<&ClientIdentity>) -> TlsFailure {
        let failure = TlsFailure {
            fault: BackendTlsFault::Broken,
            detail: "the handshake was not complete in time".to_owned(),
        };
        self.failed(backend, identity, failure)
    }

    /// The first bytes inside TLS came from the backend: only now it is certain that it took our certificate, which a TLS 1.3 server
    /// judges after the handshake. Cheap.
    pub(crate) fn heard(&self, backend: &Backend, identity: Option<&ClientIdentity>) {
        self.faults.succeeded(backend, content(identity), |_| true);
    }

    /// The connection failed before the backend said anything inside TLS. `Some`, and recorded, when that is its answer to the
    /// handshake: an alert about our certificate or the want of one.
    pub(crate) fn refused_late(
        &self,
        backend: &Backend,
        identity: Option<&ClientIdentity>,
        error: &io::Error,
    ) -> Option<TlsFailure> {
        let fault = backend_fault(error);
        let refused = fault == BackendTlsFault::ClientCertificateRefused;
        refused.then(|| {
            let detail = error.to_string();
            self.failed(backend, identity, TlsFailure { fault, detail })
        })
    }

    /// The last fault of each backend that has one.
    pub(crate) fn faults(&self) -> watch::Receiver<BackendFaults> {
        self.faults.watch()
    }

    /// Forgets what snapshots no longer ask for.
    pub(crate) fn retain(&self, is_used: impl Fn(&BackendPeer) -> bool) {
        self.faults.retain(is_used);
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, known| known.is_used());
    }

    fn failed(&self, backend: &Backend, identity: Option<&ClientIdentity>, failure: TlsFailure) -> TlsFailure {
        self.faults.failed(backend, content(identity), failure.fault);
        self.metrics.handshakes.count(&HandshakeLabels {
            result: handshakes::FAILURE,
            reason: failure.fault.label(),
            ..HandshakeLabels::with_backend()
        });
        failure
    }

    async fn connect(
        &self,
        socket: TcpStream,
        tls: &Arc<BackendTls>,
        identity: Option<&Arc<ClientIdentity>>,
        offer: Offer,
    ) -> Result<BackendStream, TlsFailure> {
        let system = match &tls.authorities {
            BackendAuthorities::System => Some(self.system.trust().await.ok_or_else(no_authorities)?),
            BackendAuthorities::Bundle(_) => None,
        };
        let prepared = self.prepared(tls, system, identity, offer)?;
        let connector = TlsConnector::from(Arc::clone(&prepared.config));
        let connecting = connector.connect(prepared.server_name.clone(), Wire::new(socket));
        let (connected, asked_in_vain) = noting(connecting).await;
        connected.map_err(|error| {
            let (fault, detail) = backend_failure(&error, asked_in_vain);
            TlsFailure { fault, detail }
        })
    }

    fn prepared(
        &self,
        tls: &Arc<BackendTls>,
        system: Option<Arc<Trust>>,
        identity: Option<&Arc<ClientIdentity>>,
        offer: Offer,
    ) -> Result<Arc<Prepared>, TlsFailure> {
        let key = ConfigKey {
            tls: Arc::as_ptr(tls).addr(),
            identity: content(identity.map(Arc::as_ref)),
            offer,
        };
        let now = UnixTime::now();
        let is_current = |known: &Known| {
            let backends = &known.prepared.backends;
            let of_system = system.as_ref().is_none_or(|system| Arc::ptr_eq(&backends.trust, system));
            of_system && backends.sessions_are_good(now)
        };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&key).filter(|known| is_current(known)) {
            return Ok(Arc::clone(&known.prepared));
        }
        // A policy that was compiled again into the same has the same configuration.
        let same = known.iter().find(|(other, known)| {
            (other.identity, other.offer) == (key.identity, key.offer)
                && is_current(known)
                && known.tls.upgrade().is_some_and(|other| *other == **tls)
        });
        let same = same.map(|(_, known)| Arc::clone(&known.prepared));
        drop(known);
        let prepared = match same {
            Some(prepared) => prepared,
            None => {
                let trust = match (&tls.authorities, system) {
                    (BackendAuthorities::System, Some(system)) => system,
                    (BackendAuthorities::Bundle(bundle), _) => self.trusts.of(bundle),
                    (BackendAuthorities::System, None) => return Err(no_authorities()),
                };
                Arc::new(Prepared::new(tls, trust, identity, offer)?)
            }
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| known.is_used());
        known.insert(
            key,
            Known {
                tls: Arc::downgrade(tls),
                identity: identity.map(Arc::downgrade),
                prepared: Arc::clone(&prepared),
            },
        );
        Ok(prepared)
    }
}

impl Known {
    fn is_used(&self) -> bool {
        self.tls.strong_count() > 0 && self.identity.as_ref().is_none_or(|identity| identity.strong_count() > 0)
    }
}

impl Prepared {
    fn new(
        tls: &BackendTls,
        trust: Arc<Trust>,
        identity: Option<&Arc<ClientIdentity>>,
        offer: Offer,
    ) -> Result<Self, TlsFailure> {
        let provider = provider(&tls.options);
        let algorithms = provider.signature_verification_algorithms;
        let failure = |fault, detail: &dyn fmt::Display| TlsFailure {
            fault,
            detail: detail.to_string(),
        };
        let backends = Arc::new(Backends::new(trust, tls.names.clone(), algorithms));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(&tls.options))
            .map_err(|error| failure(BackendTlsFault::HandshakeRefused, &error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&backends) as _);
        let own = Own(identity.map(|identity| Arc::clone(&identity.key)));
        let mut config = builder.with_client_cert_resolver(Arc::new(own));
        config.alpn_protocols = offer.names();
        let server_name = ServerName::try_from(tls.server_name.clone());
        Ok(Self {
            config: Arc::new(config),
            backends,
            server_name: server_name.map_err(|error| failure(BackendTlsFault::NameMismatch, &error))?,
        })
    }
}

fn content(identity: Option<&ClientIdentity>) -> Option<ContentHash> {
    identity.map(|identity| identity.content)
}

fn no_authorities() -> TlsFailure {
    TlsFailure {
        fault: BackendTlsFault::UnknownAuthority,
        detail: "the machine has no certificates of authorities".to_owned(),
    }
}
