//! What one Gateway's proxies shall have, taken apart once for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_core::{ContentHash, Delta, Keys, PartDigest, PartKey, Parts, Snapshot};

use super::{Acknowledged, Published};
use crate::content::Content;

pub(super) struct Wanted {
    snapshot: Arc<Snapshot>,
    pub(super) parts: Arc<Parts>,
    /// Those that the snapshot names.
    pub(super) keys: Keys,
    pub(super) revision: u64,
    pub(super) content: Content,
    /// See [`Acknowledged`].
    pub(super) routing: Content,
}

/// What a proxy says that it has.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) parts: BTreeMap<PartKey, PartDigest>,
    pub(super) keys: BTreeSet<ContentHash>,
}

/// What a proxy lacks, and what it has too much.
pub(super) struct Difference {
    pub(super) parts: Delta,
    pub(super) keys: Keys,
    pub(super) removed_keys: Vec<ContentHash>,
}

impl Wanted {
    pub(super) fn new(published: &Published, last: Option<&Self>) -> Self {
        let Published {
            snapshot,
            keys,
            revision,
        } = published;
        let parts = match last {
            Some(last) if Arc::ptr_eq(&last.snapshot, snapshot) => Arc::clone(&last.parts),
            Some(last) => Arc::new(Parts::of(snapshot, &last.parts)),
            None => Arc::new(Parts::of(snapshot, &Parts::default())),
        };
        let named: BTreeSet<ContentHash> = snapshot.certificates().map(|certificate| certificate.content).collect();
        let keys = named
            .into_iter()
            .filter_map(|content| Some((content, Arc::clone(keys.get(&content)?))));
        let keys = Keys(keys.collect());
        let is_same = |last: &&Self| Arc::ptr_eq(&last.parts, &parts) && last.keys.0.keys().eq(keys.0.keys());
        let known = last.filter(is_same).map(|last| (last.content, last.routing));
        let (content, routing) = known.unwrap_or_else(|| {
            let but_backends = parts.digests().filter(|(key, _)| !key.is_backend());
            (
                Content::of(parts.digests(), keys.0.keys()),
                Content::of(but_backends, keys.0.keys()),
            )
        });
        Self {
            content,
            routing,
            snapshot: Arc::clone(snapshot),
            parts,
            keys,
            revision: *revision,
        }
    }

    /// As who obeys it has acknowledged it.
    pub(super) fn acknowledged(&self) -> Acknowledged {
        Acknowledged {
            revision: self.revision,
            content: self.content,
            routing: self.routing,
        }
    }

    /// Whether both say the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.revision == other.revision && self.content == other.content
    }

    pub(super) fn since(&self, held: &Inventory) -> Difference {
        let parts = self.parts.since(held.parts.iter().map(|(key, digest)| (key, *digest)));
        self.difference(parts, |content| held.keys.contains(content), held.keys.iter())
    }

    pub(super) fn since_wanted(&self, held: &Self) -> Difference {
        let parts = self.parts.since_parts(&held.parts);
        self.difference(parts, |content| held.keys.get(content).is_some(), held.keys.0.keys())
    }

    fn difference<'a>(
        &self,
        parts: Delta,
        is_held: impl Fn(&ContentHash) -> bool,
        held: impl Iterator<Item = &'a ContentHash>,
    ) -> Difference {
        let lacking = self.keys.0.iter().filter(|(content, _)| !is_held(content));
        Difference {
            parts,
            keys: Keys(lacking.map(|(content, key)| (*content, Arc::clone(key))).collect()),
            removed_keys: held.filter(|content| self.keys.get(content).is_none()).copied().collect(),
        }
    }
}
