//! UDP listeners: what each client sends goes to one backend, and what that answers goes back.
//!
//! In: the datagrams of one listening socket. Out: flows, each a connected socket to an endpoint with a task that carries answers back.
//! Invariants: a client hears nothing before its backend has answered; nothing waits for a slow flow, what does not fit into a socket's
//! buffer is dropped and counted; the flows of all listeners together are bounded, and where one more does not fit the one that was
//! silent for the longest goes.

mod flow;
mod local;
mod table;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use sealway_core::{Action, NoTrace, PortPlan, RejectReason, Transport};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::listeners::{Binding, BindingChange};
use crate::outcome::{CloseReason, Outcome};
use crate::scope::lock;
use crate::seldom::Seldom;
use crate::{Shared, scratch, upstream};
use flow::{Flow, Place, Sent};
pub(crate) use local::Local;
use table::Table;

/// Who talks to whom: the client, and the very address that it sent to where the socket has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FlowKey {
    client: SocketAddr,
    local: Option<IpAddr>,
}

/// Why a datagram went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The buffer of the socket to the backend is full.
    BackendSlow,
    /// The buffer of the listening socket is full.
    ClientSlow,
    /// Larger than the way there takes.
    TooLarge,
    /// The system has no way there.
    Unsendable,
    /// Its source is the listener itself, or nobody.
    Source,
    /// It would begin a flow while the data plane drains.
    Draining,
}

impl Dropped {
    /// Label of `sealway_datagrams_dropped_total`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::BackendSlow => "backend_slow",
            Self::ClientSlow => "client_slow",
            Self::TooLarge => "too_large",
            Self::Unsendable => "unsendable",
            Self::Source => "source",
            Self::Draining => "draining",
        }
    }
}

/// The flows of one listening socket.
struct Worker {
    local: Arc<Local>,
    flows: Arc<Flows>,
    shared: Arc<Shared>,
    binding: Arc<Binding>,
    is_draining: bool,
    gate: Gate,
}

/// The table, which the tasks of the flows keep too.
#[derive(Default)]
struct Flows {
    table: Mutex<Table>,
    ended: Notify,
}

/// Serves a listening socket until it is closed, or until the last flow has ended once the data plane drains.
pub(crate) async fn serve(local: Local, current: Arc<ArcSwap<Binding>>, shared: Arc<Shared>) {
    let mut worker = Worker {
        local: Arc::new(local),
        flows: Arc::default(),
        shared,
        binding: current.load_full(),
        is_draining: false,
        gate: Gate::default(),
    };
    loop {
        match worker.receive_until_changed().await {
            BindingChange::Replaced => {
                worker.binding = current.load_full();
                worker.follow();
            }
            BindingChange::Draining => {
                worker.is_draining = true;
                worker.receive_until_empty().await;
                return;
            }
            BindingChange::Closed => {
                let flows = lock(&worker.flows.table).take_all();
                flows.iter().for_each(|flow| flow.stop(CloseReason::Drained));
                return;
            }
        }
    }
}

impl Worker {
    async fn receive_until_changed(&mut self) -> BindingChange {
        let binding = Arc::clone(&self.binding);
        let changed = pin!(binding.changed());
        let mut changed = Seldom::new(changed);
        loop {
            tokio::select! {
                biased;
                change = &mut changed => return change,
                () = self.local.readable() => self.receive().await,
            }
        }
    }

    /// Flows that there are go on, and no new ones begin.
    async fn receive_until_empty(&mut self) {
        loop {
            let flows = Arc::clone(&self.flows);
            let mut ended = pin!(flows.ended.notified());
            ended.as_mut().enable();
            if lock(&self.flows.table).is_empty() {
                return;
            }
            tokio::select! {
                () = ended => {}
                () = self.local.readable() => self.receive().await,
            }
        }
    }

    /// Takes what has arrived, up to a number.
    async fn receive(&mut self) {
        for _ in 0..BATCH {
            let received = scratch::with(|buffer| {
                let received = self.local.receive(buffer)?;
                // No datagram is longer than the buffer.
                let bytes = buffer.get(..received.length).unwrap_or_default();
                self.take(bytes, received.client, received.local);
                io::Result::Ok(())
            });
            match received {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.binding.scope.count_accept_failure("other");
                    tracing::warn!(%error, "could not receive from a UDP port");
                    return sleep(FAILURE_PAUSE).await;
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8], client: SocketAddr, local: Option<IpAddr>) {
        let key = FlowKey { client, local };
        if client.port() == 0 || self.local.is(client, local) {
            return self.dropped(Dropped::Source);
        }
        let known = lock(&self.flows.table).get(&key);
        if let Some(flow) = known {
            match flow.send(bytes) {
                Sent::Yes => return,
                Sent::No(dropped) => return self.dropped(dropped),
                // The endpoint has said that nobody is there. What was to be sent now was not, so it may begin anew.
                Sent::Failed(error) => {
                    flow.fail(&error, &self.shared);
                    lock(&self.flows.table).remove(&flow);
                }
            }
        }
        if self.is_draining {
            return self.dropped(Dropped::Draining);
        }
        let mut outcome = Outcome::new(Arc::clone(&self.binding.scope), client);
        match self.open(key, &mut outcome) {
            Ok((place, timeout)) => {
                let flow = Arc::new(Flow::new(key, place, outcome));
                lock(&self.flows.table).insert(&flow);
                tokio::spawn(flow::carry(
                    Arc::clone(&flow),
                    timeout,
                    Arc::clone(&self.local),
                    Arc::clone(&self.flows),
                    Arc::clone(&self.shared),
                ));
                match flow.send(bytes) {
                    Sent::Yes => {}
                    Sent::No(dropped) => self.dropped(dropped),
                    Sent::Failed(error) => flow.fail(&error, &self.shared),
                }
            }
            Err((reason, detail)) => {
                // Sources can be made up at any rate: the log must not follow it.
                if !self.gate.opens() {
                    outcome.hush();
                }
                outcome.end(reason, detail);
            }
        }
    }

    /// A flow's backend, endpoint and place among the others.
    fn open(&self, key: FlowKey, outcome: &mut Outcome) -> Result<(Place, Option<Duration>), (CloseReason, Option<String>)> {
        let refused = |reason: CloseReason| (reason, None);
        let PortPlan::Udp(plan) = &*self.binding.plan else {
            return Err(refused(CloseReason::Abandoned));
        };
        outcome.enter_listener(self.binding.scope.relayed(plan, Transport::Udp));
        let source = self.shared.sources.enter(key.client.ip());
        let source = source.map_err(|_| refused(CloseReason::SourceLimit))?;
        let forward = match plan.connection(&mut NoTrace) {
            Action::Relay { forward, .. } => forward,
            Action::Reject(rejection) => return Err(refused(CloseReason::Rejected(rejection.reason))),
            _ => return Err(refused(CloseReason::Rejected(RejectReason::NoListener))),
        };
        let (listener, route) = outcome.enter_route(&forward.route).ok_or(refused(CloseReason::Abandoned))?;
        let config = &self.shared.config;
        if listener.connections() > config.max_connections || self.shared.flows.count() >= config.most_flows {
            self.evict().ok_or(refused(CloseReason::ConnectionLimit))?;
        }
        let backend = upstream::choose(forward, outcome).map_err(refused)?;
        let pool = self.shared.datagrams.pool(&backend);
        let mut fault = None;
        for endpoint in pool.order(&backend.endpoints, Instant::now()) {
            outcome.endpoint = Some(endpoint);
            match local::connect(endpoint) {
                Ok(socket) => {
                    let place = Place {
                        socket,
                        endpoint,
                        backend,
                        route,
                        forward: Arc::clone(forward),
                        _guards: (self.shared.live.enter(), self.shared.flows.enter(), source),
                    };
                    return Ok((place, forward.idle_timeout));
                }
                Err(error) => {
                    let of = crate::ConnectFault::of(&error);
                    route.count_connect_failure(of.label());
                    if of == crate::ConnectFault::Exhausted {
                        // The next one finds a descriptor.
                        self.evict();
                        return Err((CloseReason::Connect(of), Some(error.to_string())));
                    }
                    pool.failed(endpoint, Instant::now());
                    fault = Some((CloseReason::Connect(of), Some(error.to_string())));
                }
            }
        }
        Err(fault.unwrap_or(refused(CloseReason::Backend(sealway_core::BackendFault::NoEndpoints))))
    }

    /// Ends the flow of this socket that was silent for the longest; `None` when it has none.
    fn evict(&self) -> Option<()> {
        let flow = lock(&self.flows.table).take_oldest()?;
        flow.stop(CloseReason::Evicted);
        Some(())
    }

    /// Ends the flows that the plan would not have any more: their listener, route or endpoint is gone.
    fn follow(&self) {
        let plan = match &*self.binding.plan {
            PortPlan::Udp(plan) => Some(plan),
            PortPlan::Tls(_) | PortPlan::Http(_) | PortPlan::Tcp(_) => None,
        };
        let gone = lock(&self.flows.table).take_unless(|flow| plan.is_some_and(|plan| flow.fits(plan)));
        gone.iter().for_each(|flow| flow.stop(CloseReason::Drained));
    }

    fn dropped(&self, why: Dropped) {
        self.binding.scope.count_dropped(why.label());
    }
}

/// Lets so many refusals of a second be logged.
#[derive(Default)]
struct Gate {
    second: Option<Instant>,
    said: u32,
}

impl Gate {
    fn opens(&mut self) -> bool {
        let now = Instant::now();
        if self.second.is_none_or(|second| now >= second + Duration::from_secs(1)) {
            *self = Self {
                second: Some(now),
                said: 0,
            };
        }
        self.said = self.said.saturating_add(1);
        self.said <= SAID_PER_SECOND
    }
}

/// Datagrams that are taken before other tasks have their turn.
const BATCH: usize = 64;
const FAILURE_PAUSE: Duration = Duration::from_millis(10);
const SAID_PER_SECOND: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_are_logged_at_a_bounded_rate() {
        let mut gate = Gate::default();
        let opened = (0..1000).filter(|_| gate.opens()).count();
        assert_eq!(opened, SAID_PER_SECOND as usize);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(gate.opens());
    }
}
