//! When to look again: the earliest of the moments at which time alone changes the outcome.

use sealway_api::Timestamp;

/// Collects moments and keeps the earliest that is yet to come.
#[derive(Debug)]
pub(super) struct Wake {
    now: Timestamp,
    earliest: Option<Timestamp>,
}

impl Wake {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, earliest: None }
    }

    /// Moments that have been are passed over: what they change has been looked at.
    pub(super) fn at(&mut self, moment: Timestamp) {
        if moment > self.now {
            self.earliest = Some(self.earliest.map_or(moment, |earliest| earliest.min(moment)));
        }
    }

    pub(super) fn earliest(&self) -> Option<Timestamp> {
        self.earliest
    }
}
