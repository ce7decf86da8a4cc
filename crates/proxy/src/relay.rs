//! Moves bytes both ways between a client and a backend until both have ended.
//!
//! In: two connected streams, plain or TLS, how long they may be silent, and the meters that count what was delivered. Out: [`RelayEnd`].
//! Each direction copies through a scratch buffer of the thread, and between plain sockets turns to splice(2) once it has proved to be
//! bulk.
//! Invariants: a relay that waits for bytes holds no buffer and no pipe; a direction reads only after everything read before was
//! written; the end of one direction is passed on (half-close) and the other goes on.

mod copy;
mod direction;
mod pipe;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::socket;
use direction::{Direction, Flow};

/// The two ends of a relayed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Who connected to us.
    Client,
    /// Whom we connected to.
    Backend,
}

/// One end of a relay: a plain socket, TLS that we end or began, or what was HTTP before.
pub trait End: AsyncRead + AsyncWrite + Unpin {
    /// Whether its bytes are those of the socket.
    fn is_plain(&self) -> bool;
    /// The socket below; `None` when it is out of reach or shared with others.
    fn socket(&self) -> Option<&TcpStream>;
    /// The socket below, likewise.
    fn socket_mut(&mut self) -> Option<&mut TcpStream>;
}

impl End for TcpStream {
    fn is_plain(&self) -> bool {
        true
    }

    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }

    fn socket_mut(&mut self) -> Option<&mut TcpStream> {
        Some(self)
    }
}

/// How a relay ended.
#[derive(Debug)]
pub enum RelayEnd {
    /// Both sides ended their streams, and everything was delivered.
    Closed,
    /// No byte moved in either direction for the whole idle timeout.
    Idle,
    /// One side's socket failed; what the other had sent until then was delivered as far as possible.
    Failed {
        /// Whose socket.
        side: Side,
        /// How.
        error: io::Error,
    },
}

/// Counts delivered bytes of one direction: per connection and, through `shared`, per listener. Read at any time.
#[derive(Debug, Default)]
pub struct Meter {
    delivered: AtomicU64,
    shared: prometheus_client::metrics::counter::Counter,
}

impl Meter {
    /// A meter that also counts into `shared`.
    pub fn new(shared: prometheus_client::metrics::counter::Counter) -> Self {
        Self {
            delivered: AtomicU64::new(0),
            shared,
        }
    }

    /// Bytes delivered so far on this connection.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Counts bytes.
    pub fn add(&self, bytes: u64) {
        self.delivered.fetch_add(bytes, Ordering::Relaxed);
        self.shared.inc_by(bytes);
    }
}

/// The meters of both directions.
#[derive(Debug, Default)]
pub struct Traffic {
    /// From the client to the backend.
    pub upward: Meter,
    /// From the backend to the client.
    pub downward: Meter,
}

/// Relays between `client` and `backend` until both have ended, one has failed, or both were silent for `idle_timeout`.
/// The sockets stay the caller's, who closes them.
pub async fn relay(client: &mut impl End, backend: &mut impl End, idle_timeout: Option<Duration>, traffic: &Traffic) -> RelayEnd {
    let mut relay = Relay {
        client,
        backend,
        traffic,
        upward: Direction::default(),
        downward: Direction::default(),
        failed: None,
    };
    let idle_timeout = idle_timeout.unwrap_or(FOR_EVER);
    let mut active_at = Instant::now();
    // TCP keepalive is for connections that live: switched on when this timer first fires, it costs short ones no system call.
    let idle = sleep_until(active_at + idle_timeout.min(KEEPALIVE_AFTER));
    let mut kept_alive = false;
    tokio::pin!(idle);
    poll_fn(|context| {
        let before = relay.moved();
        if let Poll::Ready(end) = relay.poll_both(context) {
            return Poll::Ready(end);
        }
        // One clock read for each wake-up that moved something; the timer itself is only moved when it fires.
        if relay.moved() != before {
            active_at = Instant::now();
        }
        let deadline = active_at + relay.silence_allowed(idle_timeout);
        if deadline < idle.deadline() {
            idle.as_mut().reset(deadline);
        }
        while idle.as_mut().poll(context).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(RelayEnd::Idle);
            }
            if !kept_alive {
                kept_alive = true;
                relay.backend.socket().inspect(|socket| socket::keep_alive(socket));
            }
            idle.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

struct Relay<'a, Client, Backend> {
    client: &'a mut Client,
    backend: &'a mut Backend,
    traffic: &'a Traffic,
    upward: Direction,
    downward: Direction,
    /// The first failure, while the other direction still delivers.
    failed: Option<(Side, io::Error)>,
}

impl<Client: End, Backend: End> Relay<'_, Client, Backend> {
    fn poll_both(&mut self, context: &mut Context<'_>) -> Poll<RelayEnd> {
        let last = self.downward.has_ended();
        let upward = self
            .upward
            .poll(context, self.client, self.backend, &self.traffic.upward, last);
        if let Poll::Ready(Flow::ReadFailed(error)) = upward {
            return self.fail(Side::Client, error);
        }
        if let Poll::Ready(Flow::WriteFailed(error)) = upward {
            // The backend takes nothing more, but what it said before (an alert, most likely) is still to be read.
            self.failed.get_or_insert((Side::Backend, error));
        }
        let last = self.upward.has_ended();
        let downward = self
            .downward
            .poll(context, self.backend, self.client, &self.traffic.downward, last);
        match downward {
            Poll::Ready(Flow::ReadFailed(error)) => return self.fail(Side::Backend, error),
            Poll::Ready(Flow::WriteFailed(error)) => {
                self.failed.get_or_insert((Side::Client, error));
            }
            Poll::Ready(Flow::Ended) if !self.upward.has_ended() && self.backend_takes_nothing(context) => {
                let error = io::ErrorKind::ConnectionReset.into();
                return self.fail(Side::Backend, error);
            }
            Poll::Ready(Flow::Ended) | Poll::Pending => {}
        }
        if !(self.upward.has_ended() && self.downward.has_ended()) {
            return Poll::Pending;
        }
        Poll::Ready(match self.failed.take() {
            Some((side, error)) => RelayEnd::Failed { side, error },
            None => RelayEnd::Closed,
        })
    }

    fn fail(&mut self, side: Side, error: io::Error) -> Poll<RelayEnd> {
        let (side, error) = self.failed.take().unwrap_or((side, error));
        Poll::Ready(RelayEnd::Failed { side, error })
    }

    /// Whether a backend that ended its stream has reset the other direction as well, so that nobody need wait for the client.
    fn backend_takes_nothing(&self, context: &mut Context<'_>) -> bool {
        let Some(socket) = self.backend.socket() else { return false };
        let ready = pin!(socket.ready(Interest::WRITABLE));
        matches!(ready.poll(context), Poll::Ready(Ok(ready)) if ready.is_write_closed())
    }

    fn moved(&self) -> u64 {
        self.upward.moved().wrapping_add(self.downward.moved())
    }

    /// A backend that has ended and a client that says nothing more: the backend is most likely gone altogether, which only
    /// writing to it would tell. Such a pair does not get the whole idle timeout.
    fn silence_allowed(&self, idle_timeout: Duration) -> Duration {
        if self.downward.has_ended() {
            idle_timeout.min(SILENCE_AFTER_BACKEND_END)
        } else {
            idle_timeout
        }
    }
}

const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// Idle timeout of a connection without one: 30 years, as tokio's own sleeps have it.
const FOR_EVER: Duration = Duration::from_secs(86_400 * 365 * 30);
const SILENCE_AFTER_BACKEND_END: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
