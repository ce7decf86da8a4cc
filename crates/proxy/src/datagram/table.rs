//! The flows of one listening socket, by client; and which of them was silent for the longest.
//!
//! Activity costs nothing while there is room: a flow stands in line where it was when it was last looked at, and moves back only when
//! somebody has to go.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::FlowKey;
use super::flow::Flow;

pub(super) struct Table {
    flows: HashMap<FlowKey, Arc<Flow>>,
    /// Each flow of `flows`, and some that have ended, by the time at which it was last active when it was put there.
    line: BTreeMap<(u64, u64), Weak<Flow>>,
    /// Tells those of one time apart.
    number: u64,
    epoch: Instant,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            flows: HashMap::new(),
            line: BTreeMap::new(),
            number: 0,
            epoch: Instant::now(),
        }
    }
}

impl Table {
    pub(super) fn get(&self, key: &FlowKey) -> Option<Arc<Flow>> {
        self.flows.get(key).cloned()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    pub(super) fn insert(&mut self, flow: &Arc<Flow>) {
        // Those that have ended leave the line before they are more than the others.
        if self.line.len() > 2 * self.flows.len() + LEFT_IN_LINE {
            self.line.retain(|_, flow| flow.strong_count() > 0);
        }
        self.flows.insert(flow.key, Arc::clone(flow));
        self.stand(flow.active_at(self.epoch), flow);
    }

    fn stand(&mut self, active: u64, flow: &Arc<Flow>) {
        self.number = self.number.wrapping_add(1);
        self.line.insert((active, self.number), Arc::downgrade(flow));
    }

    /// Forgets a flow, unless its client has another by now.
    pub(super) fn remove(&mut self, flow: &Arc<Flow>) {
        if self.flows.get(&flow.key).is_some_and(|known| Arc::ptr_eq(known, flow)) {
            self.flows.remove(&flow.key);
        }
    }

    /// The flow that was silent for the longest, as far as a bounded look can tell.
    pub(super) fn take_oldest(&mut self) -> Option<Arc<Flow>> {
        let mut looked = 0;
        while let Some(((seen, _), flow)) = self.line.pop_first() {
            let known = flow.upgrade();
            let known = known.filter(|flow| self.flows.get(&flow.key).is_some_and(|known| Arc::ptr_eq(known, flow)));
            let Some(flow) = known else { continue };
            let active = flow.active_at(self.epoch);
            looked += 1;
            if active <= seen || looked > MOST_LOOKED_AT {
                self.flows.remove(&flow.key);
                return Some(flow);
            }
            self.stand(active, &flow);
        }
        None
    }

    /// Those that do not fit any more.
    pub(super) fn take_unless(&mut self, fits: impl Fn(&Flow) -> bool) -> Vec<Arc<Flow>> {
        self.flows.extract_if(|_, flow| !fits(flow)).map(|(_, flow)| flow).collect()
    }

    pub(super) fn take_all(&mut self) -> Vec<Arc<Flow>> {
        self.line.clear();
        self.flows.drain().map(|(_, flow)| flow).collect()
    }
}

const LEFT_IN_LINE: usize = 64;
const MOST_LOOKED_AT: usize = 64;
