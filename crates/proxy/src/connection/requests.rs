//! Connections that carry requests, in plain text or inside TLS that ends here.

use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sealway_core::ListenerId;
use tokio::net::TcpStream;

use super::Ending;
use super::terminate::accept;
use crate::Shared;
use crate::http::{self, HttpConnection};
use crate::limits::SourceGuard;
use crate::listeners::Binding;
use crate::outcome::{CloseReason, Outcome};
use crate::relay::End;
use crate::scope::{Life, ListenerScope};
use crate::seldom::Seldom;
use crate::tls::Wire;

/// A connection that is ready to be asked, but for its handshake.
pub(super) struct Requests {
    binding: Arc<Binding>,
    from: From,
    source: Option<SourceGuard>,
}

enum From {
    /// A plain HTTP port, and what was received beyond a PROXY header.
    Plain(Vec<u8>),
    /// An HTTPS listener.
    Tls {
        listener: (ListenerId, Arc<ListenerScope>),
        ending: Ending,
    },
}

impl Requests {
    pub(super) fn plain(binding: Arc<Binding>, received: Vec<u8>, source: Option<SourceGuard>) -> Self {
        let from = From::Plain(received);
        Self { binding, from, source }
    }

    pub(super) fn encrypted(
        binding: Arc<Binding>,
        listener: (ListenerId, Arc<ListenerScope>),
        ending: Ending,
        source: Option<SourceGuard>,
    ) -> Self {
        let from = From::Tls { listener, ending };
        Self { binding, from, source }
    }

    /// Serves requests to the end of the connection.
    pub(super) async fn serve(
        self,
        client: TcpStream,
        current: Arc<ArcSwap<Binding>>,
        shared: &Arc<Shared>,
        mut outcome: Outcome,
    ) {
        let Ok(local) = client.local_addr() else {
            return outcome.end(CloseReason::ClientGone, None);
        };
        let mut connection = HttpConnection {
            current,
            binding: self.binding,
            listener: None,
            handshake: None,
            client: outcome.client,
            local,
        };
        match self.from {
            From::Plain(received) => {
                let life = Arc::clone(connection.binding.scope.life());
                let stream = Wire::with(client, received);
                serve(stream, connection, &life, shared, &mut outcome).await;
            }
            From::Tls { listener, ending } => {
                let Some((stream, handshake)) = Box::pin(accept(client, ending, &mut outcome)).await else {
                    return;
                };
                let life = Arc::clone(listener.1.life());
                connection.listener = Some(listener);
                connection.handshake = Some(handshake);
                serve(stream, connection, &life, shared, &mut outcome).await;
            }
        }
        drop((outcome, self.source));
    }
}

async fn serve<S: End + Send + 'static>(
    stream: S,
    connection: HttpConnection,
    life: &Life,
    shared: &Arc<Shared>,
    outcome: &mut Outcome,
) {
    let closed = pin!(life.closed());
    let reason = tokio::select! {
        reason = Box::pin(http::serve(stream, connection, shared, outcome)) => reason,
        () = Seldom::new(closed) => CloseReason::Drained,
    };
    outcome.end(reason, None);
}
