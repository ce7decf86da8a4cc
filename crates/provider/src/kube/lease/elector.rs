//! Who leads, decided from what the Lease says and when it was last seen to change.
//!
//! The rules are client-go's (tools/leaderelection). Input: the Lease as it was read, the result of a write, and the local monotonic time.
//! Output: what to write, and who leads. Invariant: no I/O; times that others wrote are never compared with our clock: a Lease is held for
//! its duration after *we* saw it change last; a holder that could not renew for the deadline has stopped before anybody else may start.

use std::time::Duration;

use sealway_api::Timestamp;
use tokio::time::Instant;

/// When what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTiming {
    /// Others wait that long after the last renewal that they saw. Whole seconds.
    pub duration: Duration,
    /// A holder that has not renewed for that long stops. Less than `duration`.
    pub renew_deadline: Duration,
    /// Between attempts; others wait up to 2.2 times that.
    pub retry: Duration,
}

impl Default for LeaseTiming {
    /// client-go's: 15 s, 10 s, 2 s.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Empty: nobody.
    pub(super) holder: String,
    pub(super) duration_seconds: u64,
    pub(super) acquired: Option<Timestamp>,
    pub(super) renewed: Option<Timestamp>,
    pub(super) transitions: i64,
    /// Where the holder's feed listens.
    pub(super) feed_address: Option<String>,
}

/// Decides for one replica.
#[derive(Debug)]
pub(super) struct Elector {
    identity: String,
    feed_address: Option<String>,
    timing: LeaseTiming,
    /// The Lease as it was seen last, and when it was first seen so.
    seen: Option<(Record, Instant)>,
    /// When the last successful write of ours was begun.
    renewed: Option<Instant>,
}

impl Elector {
    pub(super) fn new(identity: String, feed_address: Option<String>, timing: LeaseTiming) -> Self {
        Self {
            identity,
            feed_address,
            timing,
            seen: None,
            renewed: None,
        }
    }

    /// What to write over a Lease that says `found` (`None`: there is no Lease). `None`: somebody else holds it.
    pub(super) fn claim(&mut self, found: Option<Record>, now: Instant, wall: Timestamp) -> Option<Record> {
        let mut claim = Record {
            holder: self.identity.clone(),
            duration_seconds: self.timing.duration.as_secs().max(1),
            acquired: Some(wall),
            renewed: Some(wall),
            transitions: 0,
            feed_address: self.feed_address.clone(),
        };
        let Some(found) = found else {
            self.renewed = None;
            return Some(claim);
        };
        if self.seen.as_ref().is_none_or(|(record, _)| *record != found) {
            self.seen = Some((found.clone(), now));
        }
        let since = self.seen.as_ref().map_or(now, |(_, since)| *since);
        if found.holder == self.identity {
            claim.acquired = found.acquired;
            claim.transitions = found.transitions;
            return Some(claim);
        }
        self.renewed = None;
        if !found.holder.is_empty() && now < since + Duration::from_secs(found.duration_seconds) {
            return None;
        }
        claim.transitions = found.transitions.saturating_add(1);
        Some(claim)
    }

    /// The same again, for a holder that need not look first.
    pub(super) fn renewal(&self, now: Instant, wall: Timestamp) -> Option<Record> {
        let (record, _) = self.seen.as_ref().filter(|_| self.leads(now))?;
        Some(Record {
            renewed: Some(wall),
            ..record.clone()
        })
    }

    /// A write of ours that was begun at `begun` was accepted.
    pub(super) fn wrote(&mut self, record: Record, begun: Instant) {
        self.renewed = Some(begun);
        self.seen = Some((record, begun));
    }

    /// Whether this replica may act as the leader.
    pub(super) fn leads(&self, now: Instant) -> bool {
        self.stops_at().is_some_and(|stops_at| now < stops_at)
    }

    /// When it must stop unless it renews.
    pub(super) fn stops_at(&self) -> Option<Instant> {
        Some(self.renewed? + self.timing.renew_deadline)
    }

    /// Who holds the Lease, by what was seen last.
    pub(super) fn holder(&self) -> Option<&Record> {
        self.seen
            .as_ref()
            .map(|(record, _)| record)
            .filter(|record| !record.holder.is_empty())
    }

    /// What to write at the end, so that others need not wait.
    pub(super) fn release(&mut self, now: Instant, wall: Timestamp) -> Option<Record> {
        let (record, _) = self.seen.as_ref().filter(|_| self.leads(now))?;
        let record = Record {
            holder: String::new(),
            duration_seconds: 1,
            renewed: Some(wall),
            acquired: Some(wall),
            transitions: record.transitions,
            feed_address: None,
        };
        self.renewed = None;
        Some(record)
    }

    /// How long until the next attempt. `random` is from 0 to 1.
    pub(super) fn wait(&self, now: Instant, random: f64) -> Duration {
        if self.leads(now) {
            self.timing.retry
        } else {
            self.timing.retry.mul_f64(1.0 + 1.2 * random.clamp(0.0, 1.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Timestamp = Timestamp::UNIX_EPOCH;

    fn elector(identity: &str) -> Elector {
        Elector::new(identity.to_owned(), Some(format!("{identity}:15443")), LeaseTiming::default())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// One attempt of `elector` against `lease`.
    fn attempt(elector: &mut Elector, lease: &mut Option<Record>, now: Instant) -> bool {
        let Some(claim) = elector.claim(lease.clone(), now, WALL) else {
            return false;
        };
        *lease = Some(claim.clone());
        elector.wrote(claim, now);
        true
    }

    /// The Lease as if its holder had renewed: what it says changed.
    fn renew(lease: &mut Option<Record>, at: i64) {
        let record = lease.as_mut().expect("a Lease");
        record.renewed = Some(Timestamp::from_second(at).expect("a time"));
    }

    #[test]
    fn the_first_takes_it_and_others_learn_its_address() {
        let (mut one, mut two) = (elector("one"), elector("two"));
        let (mut lease, start) = (None, Instant::now());
        assert!(attempt(&mut one, &mut lease, start));
        assert!(one.leads(start + seconds(9)));
        assert!(!attempt(&mut two, &mut lease, start));
        assert!(!two.leads(start));
        assert_eq!(
            two.holder().and_then(|record| record.feed_address.as_deref()),
            Some("one:15443")
        );
    }

    #[test]
    fn a_dead_holder_is_followed_only_a_duration_after_its_last_change_was_seen() {
        let (mut one, mut two) = (elector("one"), elector("two"));
        let (mut lease, start) = (None, Instant::now());
        attempt(&mut one, &mut lease, start);
        assert!(!attempt(&mut two, &mut lease, start + seconds(5)));
        renew(&mut lease, 7);
        assert!(!attempt(&mut two, &mut lease, start + seconds(8)));
        assert!(!attempt(&mut two, &mut lease, start + seconds(22)), "15 s after 8 s");
        assert!(attempt(&mut two, &mut lease, start + seconds(23)));
        assert_eq!(lease.expect("a Lease").transitions, 1);
    }

    #[test]
    fn times_of_another_clock_mean_nothing() {
        let mut two = elector("two");
        let mut lease = Some(Record {
            holder: "one".to_owned(),
            duration_seconds: 15,
            // A clock that is decades behind: by its word the Lease ran out long ago.
            renewed: Some(Timestamp::UNIX_EPOCH),
            ..Record::default()
        });
        let start = Instant::now();
        assert!(!attempt(&mut two, &mut lease, start));
        assert!(!attempt(&mut two, &mut lease, start + seconds(14)));
        assert!(attempt(&mut two, &mut lease, start + seconds(15)));
    }

    #[test]
    fn a_holder_that_cannot_renew_stops_before_another_may_start() {
        let (mut one, mut two) = (elector("one"), elector("two"));
        let (mut lease, start) = (None, Instant::now());
        attempt(&mut one, &mut lease, start);
        attempt(&mut two, &mut lease, start);
        assert!(one.leads(start + seconds(9)) && !one.leads(start + seconds(10)));
        assert!(one.renewal(start + seconds(10), WALL).is_none(), "it has to look first");
        assert!(!attempt(&mut two, &mut lease, start + seconds(14)));
        assert!(attempt(&mut two, &mut lease, start + seconds(15)));
    }

    #[test]
    fn the_deadline_counts_from_when_a_renewal_was_begun() {
        let mut one = elector("one");
        let begun = Instant::now();
        let claim = one.claim(None, begun, WALL).expect("a claim");
        // The answer took nine seconds.
        one.wrote(claim, begun);
        assert!(!one.leads(begun + seconds(10)));
    }

    #[test]
    fn whoever_lost_it_notices_and_follows() {
        let mut one = elector("one");
        let (mut lease, start) = (None, Instant::now());
        attempt(&mut one, &mut lease, start);
        let mut other = lease.clone().expect("a Lease");
        other.holder = "two".to_owned();
        assert!(one.claim(Some(other), start + seconds(1), WALL).is_none());
        assert!(!one.leads(start + seconds(1)));
    }

    #[test]
    fn a_renewal_keeps_when_it_was_acquired_and_how_often_it_changed_hands() {
        let mut one = elector("one");
        let start = Instant::now();
        let old = Record {
            holder: "gone".to_owned(),
            transitions: 4,
            ..Record::default()
        };
        let mut lease = Some(old);
        assert!(attempt(&mut one, &mut lease, start), "a duration of 0 has run out");
        let later = Timestamp::from_second(9).expect("a time");
        let renewal = one.renewal(start + seconds(2), later).expect("it leads");
        assert_eq!(
            (renewal.transitions, renewal.acquired, renewal.renewed),
            (5, Some(WALL), Some(later))
        );
        // The same through a look at the Lease.
        let claim = one.claim(lease, start + seconds(2), later).expect("it is ours");
        assert_eq!((claim.transitions, claim.acquired), (5, Some(WALL)));
    }

    #[test]
    fn a_released_lease_is_free_at_once() {
        let (mut one, mut two) = (elector("one"), elector("two"));
        let (mut lease, start) = (None, Instant::now());
        attempt(&mut one, &mut lease, start);
        attempt(&mut two, &mut lease, start);
        lease = one.release(start + seconds(1), WALL);
        assert!(!one.leads(start + seconds(1)));
        assert!(attempt(&mut two, &mut lease, start + seconds(1)));
        assert!(
            two.release(start + seconds(30), WALL).is_none(),
            "what ran out is not ours to release"
        );
    }

    #[test]
    fn those_who_wait_do_not_all_ask_at_once() {
        let two = elector("two");
        let now = Instant::now();
        assert_eq!(two.wait(now, 0.0), seconds(2));
        assert_eq!(two.wait(now, 1.0), Duration::from_millis(4400));
    }
}
