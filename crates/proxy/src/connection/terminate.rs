//! TLS ends here, and what is inside is relayed: plain, or in TLS that begins anew.
//!
//! The backend is opened first: whatever is wrong with it can then be told to the client by an alert, which TLS has only until the
//! handshake is over.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::upstream::Upstream;
use super::{Ending, Farewell, Terms};
use crate::Shared;
use crate::outcome::{CloseReason, Outcome};
use crate::socket;
use crate::tls::{ClientStream, Handshake, HandshakeFailure, HandshakeFault};

/// A connection whose backend is ready, and whose handshake is still to be done.
pub(super) struct Terminate {
    pub(super) ending: Ending,
    pub(super) upstream: Upstream,
    pub(super) terms: Terms,
}

impl Terminate {
    /// Ends TLS and relays, to the end.
    pub(super) async fn serve(self, client: TcpStream, shared: &Shared, mut outcome: Outcome) {
        let (terms, upstream) = (self.terms, self.upstream);
        let Some((client, _)) = Box::pin(accept(client, self.ending, &mut outcome)).await else {
            return;
        };
        // In a box: TLS takes more room than the rest of the connection together.
        let mut client = Box::new(client);
        let farewell = upstream.carry(&mut *client, &terms, shared, &mut outcome).await;
        drop(outcome);
        say(farewell, *client).await;
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
