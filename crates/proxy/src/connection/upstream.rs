//! The way to a backend over which bytes are relayed: plain, or in TLS that begins here.

use std::io;
use std::sync::Arc;

use sealway_core::{Backend, BackendFault, UpstreamTls};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::refuse::Refusal;
use super::{Farewell, Terms, carry, farewell};
use crate::Shared;
use crate::outcome::{CloseReason, Outcome};
use crate::relay::{End, RelayEnd, Side};
use crate::socket;
use crate::tls::{BackendStream, ClientIdentity, Offer, TlsFailure};

/// The way to the backend.
pub(super) enum Upstream {
    Plain(TcpStream),
    Tls(Box<BackendStream>, Arc<Backend>, Option<Arc<ClientIdentity>>),
}

impl Upstream {
    /// Speaks TLS to a connected backend, if its policy says so.
    pub(super) async fn open(
        stream: TcpStream,
        backend: Arc<Backend>,
        identity: Option<&Arc<ClientIdentity>>,
        deadline: Instant,
        shared: &Shared,
        terms: &Terms,
    ) -> Result<Self, Refusal> {
        match &backend.tls {
            UpstreamTls::Plain => Ok(Self::Plain(stream)),
            UpstreamTls::Refused { .. } => Err(CloseReason::Backend(BackendFault::TlsPolicyInvalid).into()),
            UpstreamTls::Verified(tls) => {
                // What is inside is not known, so no protocol is offered.
                let configs = &shared.client_configs;
                let handshake = configs.handshake(stream, &backend, tls, identity, Offer::Nothing);
                let done = timeout_at(deadline, handshake).await;
                let done = done.unwrap_or_else(|_| Err(configs.timed_out(&backend, identity.map(Arc::as_ref))));
                let (stream, _) = done.map_err(|TlsFailure { fault, detail }| {
                    terms.route.count_connect_failure(fault.label());
                    Refusal::new(CloseReason::BackendTls(fault), detail)
                })?;
                Ok(Self::Tls(Box::new(stream), backend, identity.cloned()))
            }
        }
    }

    /// Sends what was received before the relay.
    pub(super) async fn send(&mut self, received: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(received).await,
            Self::Tls(stream, ..) => {
                stream.write_all(received).await?;
                stream.flush().await
            }
        }
    }

    /// Relays, and says how to close the client's side.
    pub(super) async fn carry(self, client: &mut impl End, terms: &Terms, shared: &Shared, outcome: &mut Outcome) -> Farewell {
        match self {
            Self::Plain(mut backend) => {
                let end = carry(client, &mut backend, terms, outcome).await;
                farewell(end, &backend, outcome)
            }
            Self::Tls(mut stream, backend, identity) => {
                let end = carry(client, &mut *stream, terms, outcome).await;
                learn(end.as_ref(), &backend, identity.as_deref(), shared, outcome);
                let farewell = farewell(end, stream.get_ref().0.socket(), outcome);
                if matches!(farewell, Farewell::Close) {
                    let _ = timeout(socket::LINGER, stream.shutdown()).await;
                }
                farewell
            }
        }
    }
}

/// A TLS 1.3 backend judges our certificate after the handshake: the first thing that it says is the verdict.
fn learn(end: Option<&RelayEnd>, backend: &Backend, identity: Option<&ClientIdentity>, shared: &Shared, outcome: &mut Outcome) {
    if outcome.traffic.downward.delivered() > 0 {
        return shared.client_configs.heard(backend, identity);
    }
    if let Some(RelayEnd::Failed {
        side: Side::Backend,
        error,
    }) = end
        && let Some(TlsFailure { fault, detail }) = shared.client_configs.refused_late(backend, identity, error)
    {
        outcome.end(CloseReason::BackendTls(fault), Some(detail));
    }
}
