//! One client's datagrams to one endpoint, and back, until both are silent.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::net::SendFlags;
use sealway_core::{Backend, Forward, RelayPlan, Target};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::{BATCH, Dropped, FlowKey, Flows, Local};
use crate::limits::{LiveGuard, SourceGuard};
use crate::outcome::{CloseReason, ConnectFault, Outcome};
use crate::scope::{RouteScope, lock};
use crate::seldom::Seldom;
use crate::{Shared, scratch};

/// A flow. Its end is recorded when the last one who holds it lets go.
pub(super) struct Flow {
    pub(super) key: FlowKey,
    outcome: Outcome,
    place: Place,
    begun: Instant,
    /// Milliseconds after `begun`.
    active: AtomicU64,
    end: OnceLock<(CloseReason, Option<String>)>,
    stopped: Notify,
}

/// Where a flow goes, and its place among the others.
pub(super) struct Place {
    /// Connected: the kernel lets nobody else answer.
    pub(super) socket: UdpSocket,
    pub(super) endpoint: SocketAddr,
    pub(super) backend: Arc<Backend>,
    pub(super) route: Arc<RouteScope>,
    pub(super) forward: Arc<Forward>,
    pub(super) _guards: (LiveGuard, LiveGuard, Option<SourceGuard>),
}

/// What became of a datagram.
pub(super) enum Sent {
    Yes,
    No(Dropped),
    /// Not sent: an earlier one came back.
    Failed(io::Error),
}

impl Flow {
    pub(super) fn new(key: FlowKey, place: Place, outcome: Outcome) -> Self {
        Self {
            key,
            outcome,
            place,
            begun: Instant::now(),
            active: AtomicU64::new(0),
            end: OnceLock::new(),
            stopped: Notify::new(),
        }
    }

    /// To the endpoint, without waiting.
    pub(super) fn send(&self, bytes: &[u8]) -> Sent {
        self.touch();
        match rustix::net::send(&self.place.socket, bytes, SendFlags::DONTWAIT) {
            Ok(_) => {
                self.outcome.traffic.upward.add(bytes.len() as u64);
                Sent::Yes
            }
            Err(error) => {
                let error = io::Error::from(error);
                match Dropped::of(&error, Dropped::BackendSlow) {
                    Some(dropped) => Sent::No(dropped),
                    None => Sent::Failed(error),
                }
            }
        }
    }

    /// Ends it. The first reason stands.
    pub(super) fn stop(&self, reason: CloseReason) {
        self.finish(reason, None);
    }

    /// The endpoint does not take what is sent, or does no longer.
    pub(super) fn fail(&self, error: &io::Error, shared: &Shared) {
        let fault = ConnectFault::of(error);
        if fault != ConnectFault::Exhausted {
            let pool = shared.datagrams.pool(&self.place.backend);
            pool.failed(self.place.endpoint, Instant::now());
        }
        let reason = if self.outcome.traffic.downward.delivered() > 0 {
            CloseReason::BackendFailed
        } else {
            self.place.route.count_connect_failure(fault.label());
            CloseReason::Connect(fault)
        };
        self.finish(reason, Some(error.to_string()));
    }

    fn finish(&self, reason: CloseReason, detail: Option<String>) {
        let _ = self.end.set((reason, detail));
        self.stopped.notify_one();
    }

    /// Whether a plan still has its listener, route and endpoint.
    pub(super) fn fits(&self, plan: &RelayPlan) -> bool {
        let Some(forward) = &plan.forward else { return false };
        let has_endpoint = |target: &Target| match target {
            Target::Backend(backend) => {
                backend.service == self.place.backend.service
                    && backend.port == self.place.backend.port
                    && backend.endpoints.contains(&self.place.endpoint)
            }
            Target::Refuse(_) => false,
        };
        Arc::ptr_eq(forward, &self.place.forward)
            || self.outcome.listener_name() == Some(&plan.listener)
                && forward.route == self.place.forward.route
                && forward.backends.iter().any(|backend| has_endpoint(&backend.target))
    }

    /// When it last carried something: milliseconds after `epoch`.
    pub(super) fn active_at(&self, epoch: Instant) -> u64 {
        let begun = milliseconds(self.begun.saturating_duration_since(epoch));
        begun.saturating_add(self.active.load(Ordering::Relaxed))
    }

    fn touch(&self) {
        self.active.store(milliseconds(self.begun.elapsed()), Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        let active = Duration::from_millis(self.active.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(active)
    }

    /// Hands the client what has arrived, up to a number.
    fn answer(&self, local: &Local, shared: &Shared) -> io::Result<()> {
        for _ in 0..BATCH {
            let taken = scratch::with(|buffer| {
                let length = self.place.socket.try_recv(buffer)?;
                // No datagram is longer than the buffer.
                let bytes = buffer.get(..length).unwrap_or_default();
                io::Result::Ok((length, local.send(bytes, self.key.client, self.key.local)))
            });
            match taken {
                Ok((length, sent)) => {
                    self.touch();
                    if self.outcome.traffic.downward.delivered() == 0 {
                        shared.datagrams.pool(&self.place.backend).succeeded(self.place.endpoint);
                    }
                    match sent {
                        Ok(()) => self.outcome.traffic.downward.add(length as u64),
                        Err(error) => {
                            let dropped = Dropped::of(&error, Dropped::ClientSlow).unwrap_or(Dropped::Unsendable);
                            self.outcome.count_dropped(dropped.label());
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if let Some((reason, detail)) = self.end.take() {
            self.outcome.end(reason, detail);
        }
    }
}

impl Dropped {
    /// What an error says of one datagram; `None` when it is about those before.
    fn of(error: &io::Error, when_full: Self) -> Option<Self> {
        use rustix::io::Errno;
        match Errno::from_io_error(error)? {
            Errno::WOULDBLOCK | Errno::NOBUFS | Errno::NOMEM => Some(when_full),
            Errno::MSGSIZE => Some(Self::TooLarge),
            Errno::PERM | Errno::ACCESS | Errno::INVAL => Some(Self::Unsendable),
            _ => None,
        }
    }
}

/// Carries the answers back, and ends the flow.
pub(super) async fn carry(flow: Arc<Flow>, timeout: Option<Duration>, local: Arc<Local>, flows: Arc<Flows>, shared: Arc<Shared>) {
    let life = Arc::clone(flow.place.route.life());
    {
        let closed = pin!(life.closed());
        let mut closed = Seldom::new(closed);
        let mut silence = pin!(sleep(timeout.unwrap_or(Duration::MAX)));
        loop {
            tokio::select! {
                biased;
                () = flow.stopped.notified() => break,
                () = &mut closed => break flow.stop(CloseReason::Drained),
                () = silence.as_mut(), if timeout.is_some() => {
                    // It is set anew only when it runs out: most datagrams need not touch it.
                    let left = timeout.unwrap_or_default().saturating_sub(flow.silent_for());
                    if left.is_zero() {
                        break flow.stop(CloseReason::IdleTimeout);
                    }
                    silence.as_mut().reset(Instant::now() + left);
                }
                ready = flow.place.socket.readable() => {
                    if let Err(error) = ready.and_then(|()| flow.answer(&local, &shared)) {
                        break flow.fail(&error, &shared);
                    }
                }
            }
        }
    }
    lock(&flows.table).remove(&flow);
    drop(flow);
    flows.ended.notify_waiters();
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
