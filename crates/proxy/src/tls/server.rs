//! TLS with clients: one configuration for each listener that ends TLS.
//!
//! In: the listener's [`Termination`] and the keys. Out: [`ServerTls`], built when it is published and kept for as long as nothing of it
//! changes. Tickets are sealed with keys that a listener keeps across rotations of its certificates, and loses when it asks other
//! things of its clients: a session is never resumed across listeners or policies for client certificates.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{Acceptor, NoServerSessionStorage, ProducesTickets};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use sealway_api::{ObjectKey, ObjectRef};
use sealway_core::{ClientValidationMode, Keys, PortKey, PortPlan, ServedCertificate, Snapshot, Termination, TlsListener};
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;

use super::certificates::{Certificates, SigningKeys};
use super::clients::Clients;
use super::fault::HandshakeFault;
use super::provider::{provider, versions};
use super::tickets::ClientTickets;
use super::trust::Trusts;
use super::unfit::text;
use super::{Alpn, ClientIdentity, ClientStream, Handshake, Offer, VerifiedClient, Wire};
use crate::client_hello::ClientHello;

/// How one listener ends TLS, ready to use.
pub(crate) struct ServerTls {
    config: Arc<ServerConfig>,
    versions: &'static [&'static SupportedProtocolVersion],
    certificates: Arc<Certificates>,
    clients: Option<Arc<Clients>>,
}

/// A handshake that failed.
pub(crate) struct HandshakeFailure {
    pub(crate) fault: HandshakeFault,
    pub(crate) detail: String,
    /// The connection, which wants to be closed so that the alert arrives.
    pub(crate) socket: TcpStream,
    /// What is still to be sent.
    pub(crate) words: Vec<u8>,
}

impl ServerTls {
    fn new(
        termination: &Arc<Termination>,
        offer: Offer,
        certificates: Certificates,
        tickets: Option<Arc<dyn ProducesTickets>>,
        trusts: &Trusts,
    ) -> Result<Self, rustls::Error> {
        let provider = provider(&termination.options);
        let clients = termination.client_validation.as_ref().map(|validation| {
            let trust = trusts.of(&validation.authorities);
            Arc::new(Clients::new(
                validation.mode,
                trust,
                provider.signature_verification_algorithms,
            ))
        });
        // The compiler sees to it that options leave something to speak.
        let versions = versions(&termination.options);
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients) as _),
            None => builder.with_no_client_auth(),
        };
        let certificates = Arc::new(certificates);
        let mut config = builder.with_cert_resolver(Arc::clone(&certificates) as _);
        config.ignore_client_order = true;
        config.alpn_protocols = offer.names();
        config.send_tls13_tickets = 1;
        config.ticketer = match (tickets, &clients) {
            (Some(sealer), Some(clients)) => Arc::new(ClientTickets {
                sealer,
                clients: Arc::clone(clients),
            }),
            (Some(tickets), None) => tickets,
            // Nothing is resumed.
            (None, _) => config.ticketer,
        };
        // Nothing is resumed but by ticket.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            versions,
            certificates,
            clients,
        })
    }

    /// What is known to be wrong before the handshake: then the alert can say that a missing certificate is our fault, and an old client
    /// hears of its version, where rustls would first miss the signature schemes that TLS 1.1 has not.
    pub(crate) fn foresee(&self, hello: &ClientHello) -> Option<HandshakeFault> {
        if !self.certificates.has(hello.server_name.name()) {
            return Some(HandshakeFault::CertificateUnavailable);
        }
        let is_shared = self.versions.iter().any(|version| hello.speaks(version.version.into()));
        (!is_shared).then_some(HandshakeFault::NoSharedVersion)
    }

    /// Whether a connection that `before` let in, with this client, may go on although clients are judged by other lists now.
    pub(crate) fn goes_on_with(&self, before: &Self, client: Option<&VerifiedClient>) -> bool {
        match (&self.clients, &before.clients) {
            (Some(now), Some(before)) => now.go_on_with(before, client),
            (None, None) => true,
            _ => false,
        }
    }

    /// The handshake with a client whose hello, and perhaps more, was `received` already.
    pub(crate) async fn accept(&self, socket: TcpStream, received: &[u8]) -> Result<(ClientStream, Handshake), HandshakeFailure> {
        let failed = |socket, fault, detail| HandshakeFailure {
            fault,
            detail,
            socket,
            words: Vec::new(),
        };
        let mut acceptor = Acceptor::default();
        let mut left = received;
        let accepted = loop {
            // Reading nothing would mean the end of the stream.
            let more = !left.is_empty() && acceptor.read_tls(&mut left).is_ok();
            match acceptor.accept() {
                Ok(Some(accepted)) => break accepted,
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut words = Vec::new();
                    // Writing to memory does not fail.
                    let _ = alert.write_all(&mut words);
                    return Err(HandshakeFailure {
                        words,
                        ..failed(socket, HandshakeFault::of_tls(&error), error.to_string())
                    });
                }
            }
            if !more {
                // Our own parser took it for whole.
                return Err(failed(
                    socket,
                    HandshakeFault::Malformed,
                    "the ClientHello is too long".to_owned(),
                ));
            }
        };
        // Nothing may follow the hello before it is answered but early data, which is not offered. What did is read as what comes next.
        let follow = |connection: &mut ServerConnection| while !left.is_empty() && connection.read_tls(&mut left).is_ok() {};
        let handshake =
            StartHandshake::from_parts(accepted, Wire::new(socket)).into_stream_with(Arc::clone(&self.config), follow);
        match handshake.into_fallible().await {
            Ok(stream) => self.finish(stream),
            Err((error, wire)) => {
                let (fault, detail) = HandshakeFault::of(&error);
                Err(failed(wire.into_socket(), fault, detail))
            }
        }
    }

    fn finish(&self, stream: ClientStream) -> Result<(ClientStream, Handshake), HandshakeFailure> {
        let (_, connection) = stream.get_ref();
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let judged = self
            .clients
            .as_ref()
            .map(|clients| (clients.judge(connection.peer_certificates()), clients.must_be_good()));
        let (client, client_fault) = match judged {
            None => (None, None),
            Some((Ok(client), _)) => (client, None),
            Some((Err(error), false)) => (None, Some(HandshakeFault::of_certificate(&error))),
            // It was good within the handshake: a moment ago.
            Some((Err(error), true)) => {
                return Err(HandshakeFailure {
                    fault: HandshakeFault::of_certificate(&error),
                    detail: text(&error.into()),
                    socket: stream.into_inner().0.into_socket(),
                    words: Vec::new(),
                });
            }
        };
        let group = connection.negotiated_key_exchange_group();
        let handshake = Handshake {
            alpn: connection.alpn_protocol().and_then(Alpn::parse),
            client,
            client_fault,
            server_name: connection.server_name().map(|name| name.to_ascii_lowercase().into()),
            version: connection
                .protocol_version()
                .and_then(|version| version.as_str())
                .unwrap_or_default(),
            group: group.and_then(|group| group.name().as_str()).unwrap_or_default(),
            resumed,
        };
        Ok((stream, handshake))
    }
}

impl Offer {
    /// As ALPN has them.
    pub(super) fn names(self) -> Vec<Vec<u8>> {
        self.protocols()
            .iter()
            .map(|protocol| protocol.as_str().as_bytes().to_vec())
            .collect()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerTls")
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
}

/// The configurations of every listener that ends TLS, and the gateways' own certificates.
#[derive(Default)]
pub(crate) struct ServerConfigs {
    listeners: BTreeMap<ListenerKey, Known>,
    identities: BTreeMap<ObjectKey, Arc<ClientIdentity>>,
    signing: SigningKeys,
    trusts: Arc<Trusts>,
}

/// Gateway, port and name of a listener.
type ListenerKey = (ObjectKey, PortKey, String);

/// The configuration of a listener, with what it was made of.
struct Known {
    termination: Arc<Termination>,
    offer: Offer,
    /// All keys were there, so that nothing can be mended but by another termination.
    complete: bool,
    tickets: Option<Arc<dyn ProducesTickets>>,
    server: Option<Arc<ServerTls>>,
}

impl ServerConfigs {
    pub(crate) fn new(trusts: Arc<Trusts>) -> Self {
        Self {
            trusts,
            ..Self::default()
        }
    }

    /// Makes what the snapshots ask for. What is equal to before is kept.
    pub(crate) fn follow(&mut self, snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>, keys: &BTreeMap<ObjectRef, Keys>) {
        let none = Keys::default();
        let mut before = std::mem::take(&mut self.listeners);
        let mut identities = std::mem::take(&mut self.identities);
        for (gateway, snapshot) in snapshots {
            let keys = keys.get(gateway).unwrap_or(&none);
            if let Some(certificate) = &snapshot.client_certificate
                && let Some(identity) = self.identity(certificate, keys, identities.remove(&snapshot.gateway))
            {
                self.identities.insert(snapshot.gateway.clone(), identity);
            }
            for (port, plan) in &snapshot.ports {
                let PortPlan::Tls(plan) = plan.as_ref() else { continue };
                for listener in &plan.listeners {
                    let Some(termination) = &listener.termination else { continue };
                    let key = (snapshot.gateway.clone(), *port, listener.name.clone());
                    let known = self.listener(&key, listener, termination, keys, before.remove(&key));
                    self.listeners.insert(key, known);
                }
            }
        }
        drop((before, identities));
        self.signing.tidy();
    }

    /// The configurations of the listeners of `plan`, by position; `None` for one that ends no TLS or cannot.
    pub(crate) fn servers(&self, gateway: &ObjectKey, port: PortKey, plan: &PortPlan) -> Vec<Option<Arc<ServerTls>>> {
        let PortPlan::Tls(plan) = plan else { return Vec::new() };
        let server = |listener: &Arc<TlsListener>| {
            listener.termination.as_ref()?;
            self.listeners
                .get(&(gateway.clone(), port, listener.name.clone()))?
                .server
                .clone()
        };
        plan.listeners.iter().map(server).collect()
    }

    /// A gateway's own certificate for backends.
    pub(crate) fn identity_of(&self, gateway: &ObjectKey) -> Option<Arc<ClientIdentity>> {
        self.identities.get(gateway).cloned()
    }

    fn identity(
        &mut self,
        certificate: &ServedCertificate,
        keys: &Keys,
        before: Option<Arc<ClientIdentity>>,
    ) -> Option<Arc<ClientIdentity>> {
        if let Some(before) = before.filter(|before| before.content == certificate.content) {
            return Some(before);
        }
        let key = self.signing.get(&certificate.content, keys)?;
        Some(Arc::new(ClientIdentity {
            content: certificate.content,
            key,
        }))
    }

    fn listener(
        &mut self,
        key: &ListenerKey,
        listener: &TlsListener,
        termination: &Arc<Termination>,
        keys: &Keys,
        before: Option<Known>,
    ) -> Known {
        let offer = if listener.requests.is_some() {
            Offer::Both
        } else {
            Offer::Nothing
        };
        let tickets = match before {
            // A content hash covers the key, so an equal termination with all its keys means equal keys.
            Some(known) if known.complete && known.offer == offer && known.termination == *termination => return known,
            Some(known) if known.offer == offer && policy(&known.termination) == policy(termination) => known.tickets,
            _ => None,
        };
        let tickets = tickets.or_else(|| rustls::crypto::aws_lc_rs::Ticketer::new().ok());
        let certificates = Certificates::new(Arc::clone(termination), keys, &mut self.signing);
        let complete = certificates.are_complete();
        let server = ServerTls::new(termination, offer, certificates, tickets.clone(), &self.trusts)
            .inspect_err(
                |error| tracing::error!(gateway = %key.0, port = %key.1, listener = key.2, %error, "listener cannot end TLS"),
            )
            .ok();
        Known {
            termination: Arc::clone(termination),
            offer,
            complete: complete && server.is_some(),
            tickets,
            server: server.map(Arc::new),
        }
    }
}

/// What sessions of a listener have in common: what it asks of its clients. By the lists they are judged when a ticket is opened.
fn policy(termination: &Termination) -> Option<(ClientValidationMode, &[CertificateDer<'static>])> {
    let validation = termination.client_validation.as_ref()?;
    Some((validation.mode, &validation.authorities.certificates))
}
