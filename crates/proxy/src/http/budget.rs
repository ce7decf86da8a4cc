//! How many of the requests to a backend may be retries (GEP-3388).
//!
//! In: the requests and retries of one Service, each with its time. Out: whether one more retry is permitted. A share of what went there
//! lately is, retries included, and never less than so many in so much time. A request costs one atomic number; only retries wait for each
//! other. What was counted outlives every change of the configuration that leaves the limits and the Service's use alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealway_api::ObjectKey;
use sealway_core::{Backend, RetryBudget};
use tokio::time::Instant;

use crate::proxy::Used;
use crate::scope::lock;

/// Those in use, by their Service.
#[derive(Default)]
pub(super) struct Budgets(Mutex<HashMap<ObjectKey, Arc<Budget>>>);

impl Budgets {
    /// The one of a backend; all ports of a Service share it.
    pub(super) fn of(&self, backend: &Backend, now: Instant) -> Option<Arc<Budget>> {
        let limits = backend.retry_budget?;
        let mut budgets = lock(&self.0);
        let known = budgets.get(&backend.service).filter(|known| known.limits == limits);
        if let Some(known) = known {
            return Some(Arc::clone(known));
        }
        let new = Arc::new(Budget::new(limits, now));
        budgets.insert(backend.service.clone(), Arc::clone(&new));
        Some(new)
    }

    /// Forgets those that no snapshot has any more.
    pub(super) fn follow(&self, used: &Used<'_>) {
        lock(&self.0).retain(|service, _| used.retry_budgets.contains(service));
    }
}

/// What was sent to one Service lately.
#[derive(Debug)]
pub(super) struct Budget {
    limits: RetryBudget,
    begun: Instant,
    /// Retries excluded.
    requests: Window,
    retries: Window,
    /// Retries too, over the time of the rate that is always permitted.
    recent: Window,
    /// To look and to count is one step, or many at once would all find room for one.
    deciding: Mutex<()>,
}

impl Budget {
    fn new(limits: RetryBudget, now: Instant) -> Self {
        Self {
            limits,
            begun: now,
            requests: Window::of(limits.interval),
            retries: Window::of(limits.interval),
            recent: Window::of(limits.least_interval),
            deciding: Mutex::new(()),
        }
    }

    /// Counts a request, once for all its tries.
    pub(super) fn count(&self, now: Instant) {
        self.requests.count(now.saturating_duration_since(self.begun));
    }

    /// Whether a request may be sent again; counts it if so.
    pub(super) fn permits(&self, now: Instant) -> bool {
        let _deciding = lock(&self.deciding);
        let at = now.saturating_duration_since(self.begun);
        let retries = self.retries.sum(at) + 1;
        let all = self.requests.sum(at) + retries;
        let is_share = retries * 100 <= all * u64::from(self.limits.percent);
        let permitted = is_share || self.recent.sum(at) < u64::from(self.limits.least);
        if permitted {
            self.retries.count(at);
            self.recent.count(at);
        }
        permitted
    }
}

/// How many there were lately: the slices of time that lie within, the one at hand included, so at most the whole time and at least all but
/// one slice of it.
#[derive(Debug)]
struct Window {
    /// Never zero.
    slice: Duration,
    /// In the upper half which slice it counts, in the lower half how many. Each serves every sixteenth slice; one of long ago counts nothing.
    slots: [AtomicU64; SLICES],
}

impl Window {
    fn of(time: Duration) -> Self {
        Self {
            slice: (time / 16).max(Duration::from_nanos(1)),
            slots: Default::default(),
        }
    }

    /// `at` is the time since the window began; so are all others.
    fn count(&self, at: Duration) {
        let slice = self.number(at);
        let Some(slot) = self.slots.get(slice as usize % SLICES) else {
            return;
        };
        let more = |held: u64| {
            let (of, count) = parts(held);
            match of.wrapping_sub(slice) {
                0 => Some(whole(slice, count.saturating_add(1))),
                // It is no longer of interest.
                1..LATE => None,
                _ => Some(whole(slice, 1)),
            }
        };
        // `Err` is what is not counted.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn sum(&self, at: Duration) -> u64 {
        let now = self.number(at);
        let counts = self.slots.iter().map(|slot| parts(slot.load(Ordering::Relaxed)));
        // Who looked at the clock a little later and was faster counts as well.
        let within = counts.filter(|(of, _)| now.wrapping_sub(*of) < SLICES as u32 || of.wrapping_sub(now) < LATE);
        within.map(|(_, count)| u64::from(count)).sum()
    }

    /// Which slice it is. Numbers begin again after as many as fit, which takes years where a slice is a
    /// tenth of a second, and at worst three days.
    fn number(&self, at: Duration) -> u32 {
        (at.as_nanos() / self.slice.as_nanos()) as u32
    }
}

fn parts(held: u64) -> (u32, u32) {
    ((held >> 32) as u32, held as u32)
}

fn whole(of: u32, count: u32) -> u64 {
    (u64::from(of) << 32) | u64::from(count)
}

/// Of the time that counts; a power of two, so that slices go on in turn when their numbers begin again.
const SLICES: usize = 16;
/// Slices by which a thread may be behind another one; what seems to be further behind is of long ago.
const LATE: u32 = 1 << 16;

#[cfg(test)]
mod tests;
