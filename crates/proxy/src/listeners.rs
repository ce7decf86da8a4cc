//! Listening sockets: opened and closed as the snapshots ask, accepting for as long as they are open.
//!
//! In: the sockets that are wanted, each with its [`Binding`]. Out: what became of each ([`PortState`]). A socket that stays wanted
//! keeps accepting through any number of changes; new ones open before old ones close; closing one never touches its connections.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sealway_core::{BindFailure, PortPlan, PortState, Snapshot, SocketKey, Transport};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Shared;
use crate::connection;
use crate::datagram::{self, Local};
use crate::http::trace::Tracer;
use crate::scope::PortScope;
use crate::socket;
use crate::tls::{ClientIdentity, ServerTls};

/// What a socket serves; swapped whole, so a connection sees one state of it.
pub(crate) struct Binding {
    pub(crate) scope: Arc<PortScope>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) plan: Arc<PortPlan>,
    /// How each listener of the plan ends TLS, by its position; `None` where it does not, or cannot.
    pub(crate) servers: Vec<Option<Arc<ServerTls>>>,
    /// Takes the spans of its requests.
    pub(crate) tracer: Option<Arc<Tracer>>,
    /// The gateway's own certificate for backends.
    pub(crate) identity: Option<Arc<ClientIdentity>>,
    pub(crate) state: BindingState,
}

/// Whether a [`Binding`] is still what its socket serves.
#[derive(Debug, Default)]
pub(crate) struct BindingState(watch::Sender<Option<BindingChange>>);

/// What became of a [`Binding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindingChange {
    /// Another one took its place.
    Replaced,
    /// The data plane drains: the UDP socket takes what belongs to its flows, and nothing else.
    Draining,
    /// The socket is closed: its port is gone, or the data plane drains and this is TCP.
    Closed,
}

impl Binding {
    /// Ready when this is no longer what the socket serves.
    pub(crate) async fn changed(&self) -> BindingChange {
        let mut state = self.state.0.subscribe();
        let change = state.wait_for(Option::is_some).await;
        // The sender is `self`'s.
        change.ok().and_then(|change| *change).unwrap_or(BindingChange::Closed)
    }

    /// Whether both serve the very same.
    fn is_same(&self, other: &Self) -> bool {
        let same = |one: &Option<Arc<ServerTls>>, two: &Option<Arc<ServerTls>>| match (one, two) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => true,
            _ => false,
        };
        Arc::ptr_eq(&self.snapshot, &other.snapshot)
            && Arc::ptr_eq(&self.plan, &other.plan)
            && Arc::ptr_eq(&self.scope, &other.scope)
            && self.identity == other.identity
            && self.servers.len() == other.servers.len()
            && self.servers.iter().zip(&other.servers).all(|(one, two)| same(one, two))
    }

    fn end(&self, change: BindingChange) {
        self.state.0.send_replace(Some(change));
    }
}

/// The sockets of the data plane.
#[derive(Default)]
pub(crate) struct Listeners {
    open: BTreeMap<SocketKey, Open>,
    failed: BTreeMap<SocketKey, (Arc<Binding>, BindFailure)>,
}

struct Open {
    binding: Arc<ArcSwap<Binding>>,
    /// Of TCP: tasks that accept. Those of UDP end by themselves when the binding does.
    accepting: Vec<JoinHandle<()>>,
    /// What the drop of this tells.
    ends: BindingChange,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.binding.load().end(self.ends);
        for task in &self.accepting {
            task.abort();
        }
    }
}

impl Listeners {
    /// Makes the open sockets those that are `wanted`. Must run within the data plane's runtime.
    pub(crate) fn follow(&mut self, wanted: BTreeMap<SocketKey, Arc<Binding>>, shared: &Arc<Shared>) {
        self.failed.clear();
        let keeps: Vec<SocketKey> = wanted.keys().copied().collect();
        for (key, binding) in wanted {
            match self.open.get(&key) {
                // Connections that look up at a change are not to look up for nothing.
                Some(open) if open.binding.load().is_same(&binding) => {}
                Some(open) => open.binding.swap(binding).end(BindingChange::Replaced),
                None => self.open(key, binding, shared),
            }
        }
        self.open.retain(|key, _| keeps.binary_search(key).is_ok());
    }

    /// Tries again what could not be opened. Whether anything changed.
    pub(crate) fn retry(&mut self, shared: &Arc<Shared>) -> bool {
        let before = self.states();
        for (key, (binding, _)) in std::mem::take(&mut self.failed) {
            self.open(key, binding, shared);
        }
        self.states() != before
    }

    /// What became of each socket.
    pub(crate) fn states(&self) -> BTreeMap<SocketKey, PortState> {
        let open = self.open.keys().map(|key| (*key, PortState::Bound));
        let failed = self
            .failed
            .iter()
            .map(|(key, (_, failure))| (*key, PortState::Failed(failure.clone())));
        open.chain(failed).collect()
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Stops accepting everywhere. Flows of UDP need their sockets until they end.
    pub(crate) fn close(&mut self) {
        for (key, open) in &mut self.open {
            if key.transport == Transport::Udp {
                open.ends = BindingChange::Draining;
            }
        }
        self.open.clear();
        self.failed.clear();
    }

    fn open(&mut self, key: SocketKey, binding: Arc<Binding>, shared: &Arc<Shared>) {
        let current = Arc::new(ArcSwap::new(Arc::clone(&binding)));
        let opened = match key.transport {
            Transport::Tcp => accept_all(key.address, &current, shared),
            Transport::Udp => receive_all(key.address, &current, shared),
        };
        match opened {
            Ok(accepting) => {
                let open = Open {
                    binding: current,
                    accepting,
                    ends: BindingChange::Closed,
                };
                self.open.insert(key, open);
            }
            Err(error) => {
                self.failed.insert(key, (binding, bind_failure(&error)));
            }
        }
    }
}

fn accept_all(address: SocketAddr, binding: &Arc<ArcSwap<Binding>>, shared: &Arc<Shared>) -> io::Result<Vec<JoinHandle<()>>> {
    let sockets = socket::listen(address, socket::sockets_per_address(shared.config.workers))?;
    let accept = |listener| tokio::spawn(accept(listener, Arc::clone(binding), Arc::clone(shared)));
    Ok(sockets.into_iter().map(accept).collect())
}

/// Returns nobody to be stopped: flows have to be told.
fn receive_all(address: SocketAddr, binding: &Arc<ArcSwap<Binding>>, shared: &Arc<Shared>) -> io::Result<Vec<JoinHandle<()>>> {
    let sockets = socket::listen_datagrams(address, socket::sockets_per_address(shared.config.workers))?;
    let sockets = sockets.into_iter().map(Local::new).collect::<io::Result<Vec<_>>>()?;
    for local in sockets {
        tokio::spawn(datagram::serve(local, Arc::clone(binding), Arc::clone(shared)));
    }
    Ok(Vec::new())
}

/// Accepts for as long as it is not aborted.
async fn accept(listener: TcpListener, binding: Arc<ArcSwap<Binding>>, shared: Arc<Shared>) {
    let mut exhausted = false;
    let mut pause = SHORTEST_PAUSE;
    loop {
        shared
            .live
            .room(|| binding.load().scope.count_accept_failure("connection_limit"))
            .await;
        let error = match listener.accept().await {
            Ok((stream, peer)) => {
                if std::mem::take(&mut exhausted) {
                    tracing::info!("accepting connections again");
                }
                pause = SHORTEST_PAUSE;
                socket::prepare_accepted(&stream);
                let live = shared.live.enter();
                tokio::spawn(connection::serve(
                    stream,
                    peer,
                    Arc::clone(&binding),
                    Arc::clone(&shared),
                    live,
                ));
                continue;
            }
            Err(error) => error,
        };
        match AcceptFailure::of(&error) {
            AcceptFailure::Connection => {}
            AcceptFailure::Exhausted => {
                if !exhausted {
                    exhausted = true;
                    binding.load().scope.count_accept_failure("descriptors");
                    tracing::warn!(%error, "no open descriptor left: accepting stops until some are free (raise the limit: ulimit -n)");
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
            AcceptFailure::Transient => {
                binding.load().scope.count_accept_failure("other");
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(EXHAUSTED_PAUSE);
            }
        }
    }
}

/// What a failed accept(2) calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptFailure {
    /// That one connection is gone; the next may be there.
    Connection,
    /// Nothing can be accepted before descriptors or memory are free.
    Exhausted,
    /// Anything else: wait a little, for it may come again at once.
    Transient,
}

impl AcceptFailure {
    fn of(error: &io::Error) -> Self {
        use io::ErrorKind;
        match error.kind() {
            // accept(2): errors already pending on the new socket are handed out here, and are to be treated as EAGAIN.
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::WouldBlock
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::PermissionDenied => Self::Connection,
            _ if is_exhaustion(error) => Self::Exhausted,
            _ => Self::Transient,
        }
    }
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhaustion = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| exhaustion.contains(&errno))
}

fn bind_failure(error: &io::Error) -> BindFailure {
    match error.kind() {
        io::ErrorKind::AddrInUse => BindFailure::InUse,
        io::ErrorKind::PermissionDenied => BindFailure::NotPermitted,
        io::ErrorKind::AddrNotAvailable => BindFailure::NoSuchAddress,
        _ => BindFailure::Other(error.to_string()),
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn accept_failures_are_told_apart() {
        let of = |errno: Errno| AcceptFailure::of(&errno.into());
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(of(errno), AcceptFailure::Exhausted, "{errno}");
        }
        for errno in [
            Errno::CONNABORTED,
            Errno::NETDOWN,
            Errno::HOSTUNREACH,
            Errno::PERM,
            Errno::INTR,
        ] {
            assert_eq!(of(errno), AcceptFailure::Connection, "{errno}");
        }
        assert_eq!(of(Errno::INVAL), AcceptFailure::Transient);
    }

    #[test]
    fn bind_failures_are_told_apart() {
        let of = |errno: Errno| bind_failure(&errno.into());
        assert_eq!(of(Errno::ADDRINUSE), BindFailure::InUse);
        assert_eq!(of(Errno::ACCESS), BindFailure::NotPermitted);
        assert_eq!(of(Errno::ADDRNOTAVAIL), BindFailure::NoSuchAddress);
        assert!(matches!(of(Errno::AFNOSUPPORT), BindFailure::Other(_)));
    }
}
