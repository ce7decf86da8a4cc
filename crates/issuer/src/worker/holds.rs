//! What has failed, and waits before it is tried again: later each time, and at once after a success.

use std::time::Duration;

use sealway_api::Timestamp;

use crate::order::Action;
use crate::plan::Finding;

/// The first wait; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// Actions that wait, and whether all do.
#[derive(Debug, Default)]
pub(super) struct Holds {
    actions: Vec<(Action, Hold)>,
    all: Option<Hold>,
}

#[derive(Debug)]
struct Hold {
    failures: u32,
    /// The hold is over outside of these: a clock that was set back must not make it longer.
    since: Timestamp,
    until: Timestamp,
    finding: Finding,
}

impl Hold {
    fn new(now: Timestamp, failures_before: u32, finding: Finding) -> Self {
        let wait = FIRST.saturating_mul(1 << failures_before.min(16)).min(LONGEST);
        Self {
            failures: failures_before.saturating_add(1),
            since: now,
            until: now.checked_add(wait).unwrap_or(Timestamp::MAX),
            finding,
        }
    }

    fn is_on(&self, now: Timestamp) -> bool {
        self.since <= now && now < self.until
    }
}

impl Holds {
    /// Whether it has to wait.
    pub(super) fn is_held(&self, action: &Action, now: Timestamp) -> bool {
        self.all.as_ref().is_some_and(|hold| hold.is_on(now))
            || self.actions.iter().any(|(held, hold)| held == action && hold.is_on(now))
    }

    /// It failed by itself.
    pub(super) fn hold(&mut self, now: Timestamp, action: &Action, finding: Finding) {
        match self.actions.iter_mut().find(|(held, _)| held == action) {
            Some((_, hold)) => *hold = Hold::new(now, hold.failures, finding),
            None => self.actions.push((action.clone(), Hold::new(now, 0, finding))),
        }
    }

    /// Nothing can be done for a while.
    pub(super) fn stop(&mut self, now: Timestamp, finding: Finding) {
        let failures = self.all.as_ref().map_or(0, |hold| hold.failures);
        self.all = Some(Hold::new(now, failures, finding));
    }

    /// Whether nothing can be done at all.
    pub(super) fn is_stopped(&self, now: Timestamp) -> bool {
        self.all.as_ref().is_some_and(|hold| hold.is_on(now))
    }

    /// It was done.
    pub(super) fn succeeded(&mut self, action: &Action) {
        self.actions.retain(|(held, _)| held != action);
    }

    /// At the end of a step: forgets what nobody asks for any more. How often all was stopped is remembered as long as anything is left.
    pub(super) fn keep_only(&mut self, actions: &[Action]) {
        self.actions.retain(|(held, _)| actions.contains(held));
        if actions.is_empty() {
            self.all = None;
        }
    }

    pub(super) fn findings(&self, now: Timestamp) -> impl Iterator<Item = Finding> {
        let all = self.all.iter().filter(move |hold| hold.is_on(now));
        all.chain(self.actions.iter().map(|(_, hold)| hold))
            .map(|hold| hold.finding.clone())
    }

    /// When the next of them may be tried again.
    pub(super) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.all.as_ref().filter(|hold| hold.is_on(now)) {
            Some(all) => Some(all.until),
            None => self.actions.iter().map(|(_, hold)| hold.until).min(),
        }
    }
}
