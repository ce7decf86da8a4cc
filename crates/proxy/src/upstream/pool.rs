//! Whose turn it is among a backend's endpoints, and who is set aside.
//!
//! Passive health: an endpoint that refuses [`FAILURES`] connections one after the other is set aside, for longer each time it fails
//! again. When its time is up it gets its turn as before; one success clears it. Those set aside are tried after all others: a guess
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
pub(super) struct Pool {
    turn: AtomicUsize,
    /// Entries of `failing`, so that a healthy backend takes no lock.
    troubled: AtomicUsize,
    failing: Mutex<HashMap<SocketAddr, Failing>>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    failures: u32,
    aside_until: Option<Instant>,
}

impl Pool {
    /// The endpoints in the order to try them: in turn, those that are set aside last.
    pub(super) fn order(&self, endpoints: &[SocketAddr], now: Instant) -> Vec<SocketAddr> {
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

    pub(super) fn succeeded(&self, endpoint: SocketAddr) {
        if self.troubled.load(Ordering::Relaxed) > 0 {
            let mut failing = lock(&self.failing);
            if failing.remove(&endpoint).is_some_and(|state| state.aside_until.is_some()) {
                tracing::info!(%endpoint, "endpoint answers again");
            }
            self.troubled.store(failing.len(), Ordering::Relaxed);
        }
    }

    pub(super) fn failed(&self, endpoint: SocketAddr, now: Instant) {
        let mut failing = lock(&self.failing);
        let state = failing.entry(endpoint).or_insert(Failing {
            failures: 0,
            aside_until: None,
        });
        state.failures = state.failures.saturating_add(1);
        if let Some(again) = state.failures.checked_sub(FAILURES) {
            let aside = SHORTEST_ASIDE.saturating_mul(1 << again.min(16)).min(LONGEST_ASIDE);
            state.aside_until = Some(now + aside);
            if again == 0 {
                tracing::warn!(%endpoint, failures = state.failures, "endpoint is set aside until it may be tried again");
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
