//! Whose turn it is among a backend's endpoints, and who is set aside.
//!
//! Passive health: an endpoint that refuses [`FAILURES`] connections, or answers [`ERRORS`] requests with an error of the server, one
//! after the other is set aside, for longer each time it fails again. When its time is up it gets its turn as before; one success clears it. Those set aside are tried after all others: a guess
//! that everything is broken must not make it so. Time is passed in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::scope::lock;

/// The state of one backend's endpoints.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    turn: AtomicUsize,
    /// Entries of `failing`, so that a healthy backend takes no lock.
    troubled: AtomicUsize,
    failing: Mutex<HashMap<SocketAddr, Failing>>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    /// Connections that failed since the last that did not.
    failures: u32,
    /// Requests that were answered with an error since the last that was not.
    errors: u32,
    aside_until: Option<Instant>,
}

impl Pool {
    /// The endpoints in the order to try them: in turn, those that are set aside last.
    pub(crate) fn order(&self, endpoints: &[SocketAddr], now: Instant) -> Vec<SocketAddr> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = |endpoints: &[SocketAddr]| {
            let first = turn.checked_rem(endpoints.len()).unwrap_or(0);
            endpoints
                .iter()
                .cycle()
                .skip(first)
                .take(endpoints.len().min(MOST_TRIES))
                .copied()
                .collect::<Vec<_>>()
        };
        if self.troubled.load(Ordering::Relaxed) == 0 {
            return in_turn(endpoints);
        }
        let (aside, usable): (Vec<_>, Vec<_>) = self.set_aside(endpoints, now);
        let mut order = in_turn(&usable);
        order.extend(in_turn(&aside));
        order.truncate(MOST_TRIES);
        order
    }

    /// The position of the endpoint whose turn it is, while all are healthy; [`Self::order`] has the answer otherwise.
    pub(crate) fn next(&self, endpoints: usize) -> Option<usize> {
        if self.troubled.load(Ordering::Relaxed) > 0 {
            return None;
        }
        self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(endpoints)
    }

    /// A connection came about.
    pub(crate) fn succeeded(&self, endpoint: SocketAddr) {
        self.clear(endpoint, |state| state.failures = 0);
    }

    pub(crate) fn failed(&self, endpoint: SocketAddr, now: Instant) {
        self.count(endpoint, now, |state| {
            state.failures = state.failures.saturating_add(1);
            state.failures.checked_sub(FAILURES)
        });
    }

    /// A request was answered without an error of the server.
    pub(crate) fn answered(&self, endpoint: SocketAddr) {
        self.clear(endpoint, |state| state.errors = 0);
    }

    /// A request was answered with an error of the server, or not at all.
    pub(crate) fn erred(&self, endpoint: SocketAddr, now: Instant) {
        self.count(endpoint, now, |state| {
            state.errors = state.errors.saturating_add(1);
            state.errors.checked_sub(ERRORS)
        });
    }

    fn clear(&self, endpoint: SocketAddr, forgive: impl FnOnce(&mut Failing)) {
        if self.troubled.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut failing = lock(&self.failing);
        if let Some(state) = failing.get_mut(&endpoint) {
            forgive(state);
            if state.failures == 0 && state.errors == 0 {
                if state.aside_until.is_some() {
                    tracing::info!(%endpoint, "endpoint answers again");
                }
                failing.remove(&endpoint);
            }
        }
        self.troubled.store(failing.len(), Ordering::Relaxed);
    }

    /// `again` counts, and says how often the endpoint has failed beyond what is borne.
    fn count(&self, endpoint: SocketAddr, now: Instant, again: impl FnOnce(&mut Failing) -> Option<u32>) {
        let mut failing = lock(&self.failing);
        let state = failing.entry(endpoint).or_insert(Failing {
            failures: 0,
            errors: 0,
            aside_until: None,
        });
        if let Some(again) = again(state) {
            let aside = SHORTEST_ASIDE.saturating_mul(1 << again.min(16)).min(LONGEST_ASIDE);
            state.aside_until = Some(now + aside);
            if again == 0 {
                tracing::warn!(%endpoint, failures = state.failures, errors = state.errors, "endpoint is set aside until it may be tried again");
            }
        }
        self.troubled.store(failing.len(), Ordering::Relaxed);
    }

    /// Those that are set aside, and the others.
    fn set_aside(&self, endpoints: &[SocketAddr], now: Instant) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let mut failing = lock(&self.failing);
        // Endpoints that are gone need not be remembered.
        failing.retain(|endpoint, _| endpoints.contains(endpoint));
        self.troubled.store(failing.len(), Ordering::Relaxed);
        let is_aside = |endpoint: &SocketAddr| {
            failing
                .get(endpoint)
                .and_then(|state| state.aside_until)
                .is_some_and(|until| until > now)
        };
        endpoints.iter().copied().partition(is_aside)
    }
}

const FAILURES: u32 = 3;
/// More than [`FAILURES`]: an error may be the request's own.
const ERRORS: u32 = 5;
const SHORTEST_ASIDE: Duration = Duration::from_secs(1);
const LONGEST_ASIDE: Duration = Duration::from_secs(60);
/// Of a backend with many endpoints no more are tried for one connection.
const MOST_TRIES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(count: u8) -> Vec<SocketAddr> {
        (1..=count).map(|last| SocketAddr::from(([10, 0, 0, last], 443))).collect()
    }

    #[test]
    fn each_gets_its_turn() {
        let (pool, endpoints, now) = (Pool::default(), endpoints(3), Instant::now());
        let firsts: Vec<_> = (0..6).map(|_| pool.order(&endpoints, now)[0]).collect();
        assert_eq!(firsts, [&endpoints[..], &endpoints[..]].concat());
        assert_eq!(pool.order(&endpoints[..2], now).len(), 2);
    }

    #[test]
    fn endpoint_is_set_aside_for_a_growing_time_and_comes_back() {
        let (pool, endpoints, start) = (Pool::default(), endpoints(2), Instant::now());
        let bad = endpoints[0];
        let is_used = |now| (0..2).any(|_| pool.order(&endpoints, now)[0] == bad);
        for _ in 0..FAILURES - 1 {
            pool.failed(bad, start);
        }
        assert!(is_used(start), "a few failures are no reason");
        pool.failed(bad, start);
        assert!(!is_used(start));
        assert!(is_used(start + SHORTEST_ASIDE));
        pool.failed(bad, start + SHORTEST_ASIDE);
        assert!(!is_used(start + 2 * SHORTEST_ASIDE), "aside for twice as long");
        assert!(is_used(start + 3 * SHORTEST_ASIDE));
        for _ in 0..40 {
            pool.failed(bad, start);
        }
        assert!(is_used(start + LONGEST_ASIDE), "never longer than that");
        pool.succeeded(bad);
        pool.failed(bad, start);
        assert!(is_used(start), "one success clears it");
    }

    #[test]
    fn endpoint_that_errs_is_set_aside_and_comes_back_for_good_when_it_answers() {
        let (pool, endpoints, start) = (Pool::default(), endpoints(2), Instant::now());
        let bad = endpoints[0];
        let is_used = |now| (0..2).any(|_| pool.order(&endpoints, now)[0] == bad);
        (1..ERRORS).for_each(|_| pool.erred(bad, start));
        pool.answered(bad);
        (1..ERRORS).for_each(|_| pool.erred(bad, start));
        assert!(is_used(start), "errors count one after the other only");
        pool.erred(bad, start);
        assert!(!is_used(start));
        pool.succeeded(bad);
        assert!(!is_used(start), "that it takes connections does not clear it");
        let later = start + SHORTEST_ASIDE;
        assert!(is_used(later));
        pool.answered(bad);
        assert!(is_used(start) && pool.troubled.load(Ordering::Relaxed) == 0);
        pool.erred(bad, later);
        assert!(is_used(later), "it begins anew");
    }

    #[test]
    fn endpoint_that_is_set_aside_is_the_last_resort() {
        let (pool, endpoints, now) = (Pool::default(), endpoints(3), Instant::now());
        (0..FAILURES).for_each(|_| pool.failed(endpoints[1], now));
        for _ in 0..4 {
            assert_eq!(pool.order(&endpoints, now)[2], endpoints[1]);
        }
    }

    #[test]
    fn all_are_used_when_all_are_set_aside() {
        let (pool, endpoints, now) = (Pool::default(), endpoints(2), Instant::now());
        for endpoint in &endpoints {
            (0..FAILURES).for_each(|_| pool.failed(*endpoint, now));
        }
        assert_eq!(pool.order(&endpoints, now).len(), 2);
    }

    #[test]
    fn endpoints_that_are_gone_are_forgotten() {
        let (pool, endpoints, now) = (Pool::default(), endpoints(2), Instant::now());
        pool.failed(endpoints[0], now);
        pool.order(&endpoints[1..], now);
        assert_eq!(pool.troubled.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nothing_to_try_without_endpoints() {
        assert!(Pool::default().order(&[], Instant::now()).is_empty());
    }
}
