//! The last fault of each backend: evidence for the status of its policy.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealway_api::ObjectKey;
use sealway_core::{Backend, BackendTlsFault};
use tokio::sync::watch;

/// Backends by Service and port, with what went wrong in the last handshake.
pub(crate) type BackendFaults = BTreeMap<(ObjectKey, u16), BackendTlsFault>;

#[derive(Debug, Default)]
pub(super) struct Faults {
    by_backend: watch::Sender<BackendFaults>,
    /// How many there are, so that a success where all is well takes no lock.
    count: AtomicUsize,
}

impl Faults {
    pub(super) fn failed(&self, backend: &Backend, fault: BackendTlsFault) {
        self.change(|faults| {
            let key = (backend.service.clone(), backend.port);
            if faults.len() >= MOST && !faults.contains_key(&key) {
                return false;
            }
            faults.insert(key, fault) != Some(fault)
        });
    }

    /// Forgets the fault of a backend, if `is_over` says so.
    pub(super) fn succeeded(&self, backend: &Backend, is_over: impl Fn(BackendTlsFault) -> bool) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.change(|faults| {
                let key = (backend.service.clone(), backend.port);
                let over = faults.get(&key).is_some_and(|fault| is_over(*fault));
                over && faults.remove(&key).is_some()
            });
        }
    }

    /// Forgets backends for which `is_used` says no.
    pub(super) fn retain(&self, is_used: impl Fn(&ObjectKey, u16) -> bool) {
        self.change(|faults| {
            let before = faults.len();
            faults.retain(|(service, port), _| is_used(service, *port));
            faults.len() != before
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<BackendFaults> {
        self.by_backend.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut BackendFaults) -> bool) {
        self.by_backend.send_if_modified(|faults| {
            let changed = change(faults);
            self.count.store(faults.len(), Ordering::Relaxed);
            changed
        });
    }
}

/// Backends come from the configuration, but a status is not worth any amount of memory.
const MOST: usize = 10_000;
