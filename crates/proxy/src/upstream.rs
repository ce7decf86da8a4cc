//! Connections to endpoints: in turn, the next one when one fails, and around those that keep failing.
//!
//! In: a backend of the snapshot. Out: a connected socket and its endpoint. What was learnt about endpoints outlives snapshots.

mod pool;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use sealway_api::ObjectKey;
use sealway_core::{Backend, Forward, Target};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use crate::draw;
use crate::outcome::{CloseReason, ConnectFault, Outcome};
pub(crate) use pool::Pool;

/// What is known about the endpoints of every backend in use.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    pools: RwLock<HashMap<ObjectKey, ServicePools>>,
}

/// The pools of one Service, by its ports: seldom more than a few.
type ServicePools = Vec<(u16, Arc<Pool>)>;

/// No endpoint could be reached.
#[derive(Debug)]
pub(crate) struct Unreachable {
    /// The endpoint that was tried last.
    pub(crate) endpoint: SocketAddr,
    /// What it did.
    pub(crate) fault: ConnectFault,
    pub(crate) error: io::Error,
}

impl Upstreams {
    /// Connects to one of the backend's endpoints. Each may take `connect_timeout`, all together three times that. `on_failure` hears
    /// of every failed attempt.
    pub(crate) async fn connect(
        &self,
        backend: &Backend,
        connect_timeout: Duration,
        mut on_failure: impl FnMut(SocketAddr, ConnectFault),
    ) -> Result<(TcpStream, SocketAddr), Option<Unreachable>> {
        let pool = self.pool(backend);
        let begun = Instant::now();
        let give_up = begun + connect_timeout.saturating_mul(MOST_TIMEOUTS);
        let mut last = None;
        for endpoint in pool.order(&backend.endpoints, begun) {
            let deadline = give_up.min(Instant::now() + connect_timeout);
            let attempt = timeout_at(deadline, connect(endpoint)).await;
            let error = match attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    pool.succeeded(endpoint);
                    return Ok((stream, endpoint));
                }
                Err(error) => error,
            };
            let fault = ConnectFault::of(&error);
            on_failure(endpoint, fault);
            // What we lack is no fault of the endpoint.
            if fault != ConnectFault::Exhausted {
                pool.failed(endpoint, Instant::now());
            }
            last = Some(Unreachable { endpoint, fault, error });
            if Instant::now() >= give_up {
                break;
            }
        }
        Err(last)
    }

    /// Forgets backends for which `is_used` says no.
    pub(crate) fn retain(&self, is_used: impl Fn(&ObjectKey, u16) -> bool) {
        let mut pools = self.pools.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        pools.retain(|service, ports| {
            ports.retain(|(port, _)| is_used(service, *port));
            !ports.is_empty()
        });
    }

    /// What is known about a backend's endpoints.
    pub(crate) fn pool(&self, backend: &Backend) -> Arc<Pool> {
        let of_port = |ports: &ServicePools| {
            ports
                .iter()
                .find(|(port, _)| *port == backend.port)
                .map(|(_, pool)| Arc::clone(pool))
        };
        let known = self.pools.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(pool) = known.get(&backend.service).and_then(of_port) {
            return pool;
        }
        drop(known);
        let mut pools = self.pools.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ports = pools.entry(backend.service.clone()).or_default();
        of_port(ports).unwrap_or_else(|| {
            let pool = Arc::new(Pool::default());
            ports.push((backend.port, Arc::clone(&pool)));
            pool
        })
    }
}

/// Draws a backend by weight. A draw that falls on one that cannot be had is refused.
pub(crate) fn choose(forward: &Forward, outcome: &mut Outcome) -> Result<Arc<Backend>, CloseReason> {
    let total = forward.total_weight();
    let drawn = if total > 1 { draw::below(total) } else { 0 };
    let Some(chosen) = forward.pick(drawn) else {
        return Err(CloseReason::Rejected(sealway_core::RejectReason::NoWeight));
    };
    outcome.backend = Some(chosen.name.as_str().into());
    match &chosen.target {
        Target::Backend(backend) => Ok(Arc::clone(backend)),
        Target::Refuse(fault) => Err(CloseReason::Backend(*fault)),
    }
}

/// Connects to one endpoint.
pub(crate) async fn connect(endpoint: SocketAddr) -> io::Result<TcpStream> {
    let socket = if endpoint.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // Costs latency when it fails, never the connection.
    let _ = socket.set_nodelay(true);
    socket.connect(endpoint).await
}

const MOST_TIMEOUTS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(endpoints: Vec<SocketAddr>) -> Backend {
        Backend {
            service: ObjectKey::new("shop", "payment"),
            port: 443,
            endpoints,
            proxy_protocol: None,
            protocol: sealway_core::BackendProtocol::Unstated,
            tls: sealway_core::UpstreamTls::Plain,
            retry_budget: None,
        }
    }

    /// An address that refuses: it was ours a moment ago.
    async fn refusing() -> SocketAddr {
        tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
    }

    #[tokio::test]
    async fn next_endpoint_is_tried_when_one_refuses() {
        let good = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good_address = good.local_addr().unwrap();
        let backend = backend(vec![refusing().await, good_address]);
        let upstreams = Upstreams::default();
        let mut failures = Vec::new();
        for _ in 0..2 {
            let connected = upstreams
                .connect(&backend, Duration::from_secs(5), |at, fault| failures.push((at, fault)))
                .await;
            assert_eq!(connected.unwrap().1, good_address);
        }
        // In turn: of two connections one began at the bad endpoint.
        assert_eq!(failures, [(backend.endpoints[0], ConnectFault::Refused)]);
    }

    #[tokio::test]
    async fn failing_endpoint_is_no_longer_asked() {
        let good = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = backend(vec![refusing().await, good.local_addr().unwrap()]);
        let upstreams = Upstreams::default();
        let mut failures = 0;
        for _ in 0..40 {
            upstreams
                .connect(&backend, Duration::from_secs(5), |_, _| failures += 1)
                .await
                .unwrap();
        }
        assert_eq!(failures, 3);
    }

    #[tokio::test]
    async fn last_fault_is_told_when_nobody_answers() {
        let backend = backend(vec![refusing().await]);
        let error = Upstreams::default()
            .connect(&backend, Duration::from_secs(5), |_, _| {})
            .await
            .unwrap_err()
            .unwrap();
        assert_eq!((error.endpoint, error.fault), (backend.endpoints[0], ConnectFault::Refused));
    }

    #[tokio::test]
    async fn pools_of_unused_backends_are_forgotten() {
        let upstreams = Upstreams::default();
        upstreams.pool(&backend(Vec::new()));
        upstreams.retain(|service, port| service.name == "payment" && port == 443);
        assert_eq!(upstreams.pools.read().unwrap().len(), 1);
        upstreams.retain(|_, _| false);
        assert!(upstreams.pools.read().unwrap().is_empty());
    }
}
