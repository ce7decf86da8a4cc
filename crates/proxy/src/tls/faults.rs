//! The last fault of each backend with each certificate that it is shown: evidence for the status of its policy.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealway_core::{Backend, BackendPeer, BackendTlsFault, ContentHash};
use tokio::sync::watch;

/// Backends, with what went wrong in the last handshake.
pub(crate) type BackendFaults = BTreeMap<BackendPeer, BackendTlsFault>;

#[derive(Debug, Default)]
pub(super) struct Faults {
    by_peer: watch::Sender<BackendFaults>,
    /// How many there are, so that a success where all is well takes no lock.
    count: AtomicUsize,
}

impl Faults {
    pub(super) fn failed(&self, backend: &Backend, identity: Option<ContentHash>, fault: BackendTlsFault) {
        self.change(|faults| {
            let key = peer(backend, identity);
            if faults.len() >= MOST && !faults.contains_key(&key) {
                return false;
            }
            faults.insert(key, fault) != Some(fault)
        });
    }

    /// Forgets the fault of a backend, if `is_over` says so.
    pub(super) fn succeeded(&self, backend: &Backend, identity: Option<ContentHash>, is_over: impl Fn(BackendTlsFault) -> bool) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.change(|faults| {
                let key = peer(backend, identity);
                let over = faults.get(&key).is_some_and(|fault| is_over(*fault));
                over && faults.remove(&key).is_some()
            });
        }
    }

    /// Forgets backends for which `is_used` says no.
    pub(super) fn retain(&self, is_used: impl Fn(&BackendPeer) -> bool) {
        self.change(|faults| {
            let before = faults.len();
            faults.retain(|peer, _| is_used(peer));
            faults.len() != before
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<BackendFaults> {
        self.by_peer.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut BackendFaults) -> bool) {
        self.by_peer.send_if_modified(|faults| {
            let changed = change(faults);
            self.count.store(faults.len(), Ordering::Relaxed);
            changed
        });
    }
}

fn peer(backend: &Backend, identity: Option<ContentHash>) -> BackendPeer {
    BackendPeer {
        service: backend.service.clone(),
        port: backend.port,
        identity,
    }
}

/// Backends come from the configuration, but a status is not worth any amount of memory.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use sealway_api::ObjectKey;
    use sealway_core::{BackendProtocol, UpstreamTls};

    use super::*;

    #[test]
    fn faults_are_told_apart_by_the_certificate_that_was_shown() {
        let backend = Backend {
            service: ObjectKey::new("shop", "inside"),
            port: 443,
            endpoints: Vec::new(),
            proxy_protocol: None,
            protocol: BackendProtocol::Unstated,
            tls: UpstreamTls::Plain,
            retry_budget: None,
        };
        let faults = Faults::default();
        let own = Some(ContentHash([7; 32]));
        let fault = BackendTlsFault::ClientCertificateRefused;
        faults.failed(&backend, None, fault);
        faults.succeeded(&backend, own, |_| true);
        assert_eq!(*faults.watch().borrow(), BTreeMap::from([(peer(&backend, None), fault)]));
        faults.failed(&backend, own, BackendTlsFault::Broken);
        faults.succeeded(&backend, None, |_| true);
        let left = BTreeMap::from([(peer(&backend, own), BackendTlsFault::Broken)]);
        assert_eq!(*faults.watch().borrow(), left);
        faults.retain(|peer| peer.identity.is_none());
        assert!(faults.watch().borrow().is_empty());
    }
}
