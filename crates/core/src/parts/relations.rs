//! Which of the parts that a proxy holds name a part, which hang on a listener, and which stand above all: so that a delta finds what it
//! concerns without a look at all parts.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use super::PartKey;
use super::assemble::Held;
use super::build::Built;

/// See the module. Sets are shared between one moment and the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Relations {
    users: Related,
    hung: Related,
    /// Heads, ports and what is traced.
    tops: BTreeSet<PartKey>,
}

type Related = OrdMap<PartKey, Arc<BTreeSet<PartKey>>>;

impl Relations {
    /// After a part has come, gone, or become another.
    pub(super) fn follow(&mut self, key: &PartKey, before: Option<&Held>, now: Option<&Held>) {
        let links = [before, now].map(|held| held.map_or(&[][..], |held| &held.links));
        relate(&mut self.users, key, links.map(|links| links.iter()));
        let places = [before, now].map(|held| held.map_or(&[][..], |held| &held.places));
        relate(
            &mut self.hung,
            key,
            places.map(|places| places.iter().map(|place| &place.listener)),
        );
        if now.is_some_and(|held| matches!(held.built, Built::Head(_) | Built::Port(_) | Built::Tracing(_))) {
            self.tops.insert(key.clone());
        } else {
            self.tops.remove(key);
        }
    }

    /// The parts that name this one.
    pub(super) fn users(&self, key: &PartKey) -> impl Iterator<Item = &PartKey> {
        self.users.get(key).into_iter().flat_map(|users| users.iter())
    }

    /// The parts that hang on a listener, in the order of their names.
    pub(super) fn hung(&self, listener: &PartKey) -> impl Iterator<Item = &PartKey> {
        self.hung.get(listener).into_iter().flat_map(|hung| hung.iter())
    }

    /// Heads, ports and what is traced, in the order of their names.
    pub(super) fn tops(&self) -> impl Iterator<Item = &PartKey> {
        self.tops.iter()
    }
}

/// Most parts that change go on naming what they have named: nothing is done then.
fn relate<'a>(related: &mut Related, key: &PartKey, [before, now]: [impl Iterator<Item = &'a PartKey> + Clone; 2]) {
    if before.clone().eq(now.clone()) {
        return;
    }
    for other in before {
        if let Some(keys) = related.get_mut(other) {
            Arc::make_mut(keys).remove(key);
            if keys.is_empty() {
                related.remove(other);
            }
        }
    }
    for other in now {
        Arc::make_mut(related.entry(other.clone()).or_default()).insert(key.clone());
    }
}
