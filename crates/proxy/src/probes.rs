//! The gateway's own handshakes with itself: seen by their source, and told to nobody.
//!
//! In: local addresses of sockets that are about to connect to one of our listeners. Out: whether an accepted connection is one of them.
//! Invariant: an address counts only while its guard is held, and so while the socket has it: no peer can come from there meanwhile.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::scope::lock;

/// Sources of our own handshakes.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    /// So that nobody takes the lock while there are none.
    count: AtomicUsize,
    sources: Mutex<BTreeSet<SocketAddr>>,
}

/// Keeps one source known. To be dropped before its socket is.
#[derive(Debug)]
pub struct ProbeGuard {
    probes: Arc<Probes>,
    source: SocketAddr,
}

impl Probes {
    pub(crate) fn enter(self: &Arc<Self>, source: SocketAddr) -> ProbeGuard {
        lock(&self.sources).insert(source);
        self.count.fetch_add(1, Ordering::SeqCst);
        ProbeGuard {
            probes: Arc::clone(self),
            source,
        }
    }

    pub(crate) fn contains(&self, peer: SocketAddr) -> bool {
        self.count.load(Ordering::SeqCst) > 0 && lock(&self.sources).contains(&peer)
    }
}

impl Drop for ProbeGuard {
    fn drop(&mut self) {
        self.probes.count.fetch_sub(1, Ordering::SeqCst);
        lock(&self.probes.sources).remove(&self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_ours_for_as_long_as_its_guard_is_held() {
        let probes = Arc::new(Probes::default());
        let source = SocketAddr::from(([127, 0, 0, 1], 40_000));
        assert!(!probes.contains(source));
        let guard = probes.enter(source);
        assert!(probes.contains(source) && !probes.contains(SocketAddr::from(([127, 0, 0, 1], 40_001))));
        drop(guard);
        assert!(!probes.contains(source));
    }
}
