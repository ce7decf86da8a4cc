//! TLS ends here, and what is inside is relayed: plain, or in TLS that begins anew.
//!
//! The backend is opened first: whatever is wrong with it can then be told to the client by an alert, which TLS has only until the
//! handshake is over.

use std::sync::Arc;

use sealway_core::{Backend, BackendFault, UpstreamTls};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::refuse::Refusal;
use super::{Ending, Farewell, Terms, carry, farewell};
use crate::Shared;
use crate::outcome::{CloseReason, Outcome};
use crate::relay::{RelayEnd, Side};
use crate::socket;
use crate::tls::{BackendStream, ClientIdentity, ClientStream, Handshake, HandshakeFailure, HandshakeFault, Offer, TlsFailure};

/// A connection whose backend is ready, and whose handshake is still to be done.
pub(super) struct Terminate {
    ending: Ending,
    upstream: Upstream,
    terms: Terms,
}

/// The way to the backend.
enum Upstream {
    Plain(TcpStream),
    Tls(Box<BackendStream>, Arc<Backend>, Option<Arc<ClientIdentity>>),
}

impl Terminate {
    /// Speaks TLS to a connected backend, if its policy says so.
    pub(super) async fn open(
        stream: TcpStream,
        backend: Arc<Backend>,
        identity: Option<&Arc<ClientIdentity>>,
        deadline: Instant,
        shared: &Shared,
        ending: Ending,
        terms: Terms,
    ) -> Result<Self, Refusal> {
        let upstream = match &backend.tls {
            UpstreamTls::Plain => Upstream::Plain(stream),
            UpstreamTls::Refused { .. } => return Err(CloseReason::Backend(BackendFault::TlsPolicyInvalid).into()),
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
                Upstream::Tls(Box::new(stream), backend, identity.cloned())
            }
        };
        Ok(Self { ending, upstream, terms })
    }

    /// Ends TLS and relays, to the end.
    pub(super) async fn serve(self, client: TcpStream, shared: &Shared, mut outcome: Outcome) {
        let (terms, upstream) = (self.terms, self.upstream);
        let Some((client, _)) = Box::pin(accept(client, self.ending, &mut outcome)).await else {
            return;
        };
        // In a box: TLS takes more room than the rest of the connection together.
        let mut client = Box::new(client);
        let farewell = match upstream {
            Upstream::Plain(mut backend) => {
                let end = carry(&mut *client, &mut backend, &terms, &outcome).await;
                farewell(end, &backend, &mut outcome)
            }
            Upstream::Tls(mut stream, backend, identity) => {
                let end = carry(&mut *client, &mut *stream, &terms, &outcome).await;
                learn(end.as_ref(), &backend, identity.as_deref(), shared, &mut outcome);
                let farewell = farewell(end, stream.get_ref().0.socket(), &mut outcome);
                if matches!(farewell, Farewell::Close) {
                    let _ = timeout(socket::LINGER, stream.shutdown()).await;
                }
                farewell
            }
        };
        drop(outcome);
        say(farewell, *client).await;
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

/// The handshake with the client. `None` when that failed: it is told and recorded, and the connection closed.
pub(super) async fn accept(client: TcpStream, ending: Ending, outcome: &mut Outcome) -> Option<(ClientStream, Handshake)> {
    let begun = Instant::now();
    let failed = match timeout(ending.left, ending.server.accept(client, &ending.received)).await {
        Ok(Ok((stream, handshake))) => {
            outcome.count_handshake(Ok((&handshake, begun.elapsed())));
            return Some((stream, handshake));
        }
        Ok(Err(failed)) => Some(failed),
        Err(_) => None,
    };
    let fault = failed.as_ref().map_or(HandshakeFault::Timeout, |failed| failed.fault);
    outcome.count_handshake(Err(fault));
    let Some(HandshakeFailure {
        detail,
        mut socket,
        words,
        ..
    }) = failed
    else {
        outcome.end(CloseReason::Handshake(fault), None);
        return None;
    };
    outcome.end(CloseReason::Handshake(fault), Some(detail));
    if fault != HandshakeFault::Gone {
        socket::close_gracefully(&mut socket, &words).await;
    }
    None
}

/// A handshake, and the end of it.
pub(super) async fn probe(client: TcpStream, ending: Ending, outcome: &mut Outcome) {
    if let Some((client, _)) = accept(client, ending, outcome).await {
        say(Farewell::Close, client).await;
    }
}

/// Closes a connection whose TLS we ended. Its end is said (`close_notify`) unless the stream was cut.
async fn say(farewell: Farewell, mut client: ClientStream) {
    match farewell {
        Farewell::Close => {
            // Who has ended already, or takes nothing, is not waited for.
            let _ = timeout(socket::LINGER, client.shutdown()).await;
        }
        Farewell::Reset => socket::abort(client.get_ref().0.socket()),
        Farewell::Words(_) => {
            let _ = timeout(socket::LINGER, client.flush()).await;
            socket::close_gracefully(client.get_mut().0.socket_mut(), &[]).await;
        }
    }
}
