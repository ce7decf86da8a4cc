//! TLS that the gateway ends and begins: what a handshake gave, and whom it proved.
//!
//! In: the terminations, policies and keys of a snapshot. Out: configurations that are built when they are published and shared by all
//! connections, and streams. Invariant: sessions are resumed within one listener and one policy for client certificates, or one policy
//! for backends, and never across.

mod certificates;
mod client;
mod clients;
mod fault;
mod faults;
mod lists;
mod own;
mod points;
mod provider;
mod server;
mod system;
mod tickets;
mod trust;
mod unfit;
mod verifier;
mod wire;

use std::fmt;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use sealway_core::ContentHash;

pub(crate) use client::{BackendStream, ClientConfigs, TlsFailure};
pub use fault::HandshakeFault;
pub(crate) use server::{HandshakeFailure, ServerConfigs, ServerTls};
pub(crate) use wire::Wire;

/// A connection whose TLS the gateway ends.
pub(crate) type ClientStream = tokio_rustls::server::TlsStream<Wire>;

/// A client that proved itself: its certificate and those by which it leads to an authority, in order and without the authority's; what
/// else it sent is not here. One that did not, where that is allowed, is nobody.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VerifiedClient {
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

/// What the handshake with a client gave, for whoever serves what is inside.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// What was agreed on; `None` when the client offered nothing.
    pub(crate) alpn: Option<Alpn>,
    pub(crate) client: Option<Arc<VerifiedClient>>,
    /// Why the certificate of a client that was let in all the same makes it nobody.
    pub(crate) client_fault: Option<HandshakeFault>,
    /// As sent, in lower case.
    pub(crate) server_name: Option<Box<str>>,
    /// As rustls spells it: `TLSv1_3`.
    pub(crate) version: &'static str,
    /// The key exchange group, likewise: `X25519MLKEM768`.
    pub(crate) group: &'static str,
    /// A session of before went on, without certificates being shown.
    pub(crate) resumed: bool,
}

/// An application protocol that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    /// `http/1.1`.
    Http1,
    /// `h2`.
    Http2,
}

/// Which application protocols are offered to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Offer {
    /// No ALPN at all: what is inside is not known.
    Nothing,
    /// `http/1.1` alone.
    Http1,
    /// `h2` alone.
    Http2,
    /// `h2`, then `http/1.1`.
    Both,
}

/// The gateway's own certificate for backends, ready to use. Compared by its content.
pub(crate) struct ClientIdentity {
    pub(crate) content: ContentHash,
    key: Arc<CertifiedKey>,
}

impl VerifiedClient {
    /// The leaf's subject, as in `CN=order-service`.
    pub(crate) fn subject(&self) -> String {
        let leaf = self
            .chain
            .first()
            .and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok());
        leaf.map(|(_, leaf)| leaf.subject().to_string()).unwrap_or_default()
    }
}

impl Alpn {
    pub(crate) fn parse(protocol: &[u8]) -> Option<Self> {
        match protocol {
            b"http/1.1" => Some(Self::Http1),
            b"h2" => Some(Self::Http2),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

impl Offer {
    pub(crate) fn protocols(self) -> &'static [Alpn] {
        match self {
            Self::Nothing => &[],
            Self::Http1 => &[Alpn::Http1],
            Self::Http2 => &[Alpn::Http2],
            Self::Both => &[Alpn::Http2, Alpn::Http1],
        }
    }
}

impl PartialEq for ClientIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClientIdentity({})", self.content)
    }
}

#[cfg(test)]
mod tests;
