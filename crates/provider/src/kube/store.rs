//! What the watches have brought so far.
//!
//! Job: keep [`Resources`] equal to what the API server has. Input: changes of one watch each, and Secrets and ConfigMaps that were
//! fetched. Output: resources, problems, and what is to be fetched. Invariant: no I/O; a watch that starts over takes nothing away until
//! its list is complete; an object that cannot be read is refused and named, and concerns no other. It does not fall back to what it was
//! before: replicas that started at different times would disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{ObjectKey, ObjectRef, Resource, Resources};
use sealway_core::Problem;

use super::kinds::{self, Watched};
use super::raw::{Raw, odd};
use super::referenced::referenced;
use super::stored::{Stored, StoredStatuses};
use crate::files::refused;

/// One watch: a kind, in one namespace or (empty) in all.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchOf<'a> {
    pub(super) watched: &'static Watched,
    pub(super) namespace: &'a str,
}

/// What a watch says.
#[derive(Debug)]
pub(super) enum Change {
    /// It lists again from the start.
    Restarted,
    /// An object as it is now, in that version of the API.
    Object(Raw, &'static str),
    /// An object is gone.
    Removed(Raw),
    /// The list is complete.
    Listed,
    /// The cluster does not have the kind.
    Absent,
}

/// What came of fetching a Secret or ConfigMap.
#[derive(Debug)]
pub(super) enum Fetched {
    Found(Raw),
    /// It is not there.
    Missing,
    /// The API server does not show it, in its words: rights come late, or come and go while somebody writes them anew.
    Refused(String),
    /// Nobody answered.
    Unreachable,
}

/// See the module.
pub(super) struct Store {
    controller: String,
    resources: Resources,
    problems: BTreeMap<ObjectRef, Problem>,
    stored: Arc<StoredStatuses>,
    /// Resource versions of all Secrets and ConfigMaps.
    index: BTreeMap<ObjectRef, String>,
    /// Of those that were fetched, the versions that need no further look: the one asked for, and the one that came.
    fetched: BTreeMap<ObjectRef, [String; 2]>,
    fetching: BTreeSet<ObjectRef>,
    /// What the API server did not show when it was asked last.
    refused: BTreeSet<ObjectRef>,
    /// What lists that are under way have brought, by watch.
    listing: BTreeMap<usize, BTreeSet<ObjectKey>>,
    /// Watches without a first list.
    waiting: BTreeSet<usize>,
}

impl Store {
    /// Waits for that many watches.
    pub(super) fn new(controller: String, watches: usize, stored: Arc<StoredStatuses>) -> Self {
        Self {
            controller,
            resources: Resources::default(),
            problems: BTreeMap::new(),
            stored,
            index: BTreeMap::new(),
            fetched: BTreeMap::new(),
            fetching: BTreeSet::new(),
            refused: BTreeSet::new(),
            listing: BTreeMap::new(),
            waiting: (0..watches).collect(),
        }
    }

    /// Whether every first list is complete.
    pub(super) fn is_listed(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Watches whose first list is missing.
    pub(super) fn waiting(&self) -> impl Iterator<Item = usize> + '_ {
        self.waiting.iter().copied()
    }

    /// The objects as they are now.
    pub(super) fn resources(&self) -> Arc<Resources> {
        Arc::new(self.resources.clone())
    }

    /// What is wrong with objects by themselves.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.problems.values().cloned().collect();
        Problem::sort(&mut problems);
        problems
    }

    /// Takes in a change of watch number `watch`; whether what is served may be another.
    pub(super) fn apply(&mut self, watch: usize, of: WatchOf<'_>, change: Change) -> bool {
        match change {
            Change::Restarted => {
                self.listing.insert(watch, BTreeSet::new());
                false
            }
            Change::Object(raw, version) => {
                let Some(key) = raw.key() else { return false };
                if let Some(listed) = self.listing.get_mut(&watch) {
                    listed.insert(key.clone());
                }
                self.put(of.watched, &key, raw, version)
            }
            Change::Removed(raw) => raw
                .key()
                .is_some_and(|key| self.remove(&ObjectRef::of(of.watched.kind.clone(), &key))),
            Change::Listed => {
                let listed = self.listing.remove(&watch).unwrap_or_default();
                let is_first = self.waiting.remove(&watch);
                self.keep_only(of, &listed) || is_first
            }
            Change::Absent => {
                self.listing.remove(&watch);
                let is_first = self.waiting.remove(&watch);
                self.keep_only(of, &BTreeSet::new()) || is_first
            }
        }
    }

    fn put(&mut self, watched: &'static Watched, key: &ObjectKey, raw: Raw, version: &str) -> bool {
        let reference = ObjectRef::of(watched.kind.clone(), key);
        if watched.is_on_demand() {
            self.index.insert(reference, raw.resource_version().to_owned());
            return false;
        }
        if watched.has_status {
            let status = raw.0.get("status").map(ToString::to_string).unwrap_or_default();
            let stored = Stored {
                version: version.to_owned(),
                resource_version: raw.resource_version().to_owned(),
                status: status.into(),
            };
            self.stored.put(&reference, stored);
        }
        self.read(watched, key, raw, version)
    }

    /// Whether anything differs: a write of a status changes nothing that is read.
    fn read(&mut self, watched: &'static Watched, key: &ObjectKey, raw: Raw, version: &str) -> bool {
        let policy = refused::policy(&ObjectRef::of(watched.kind.clone(), key), &raw.0);
        let read = raw.read(watched, key, version);
        match read.resource {
            Ok(resource) => {
                let was_refused = self.resources.refused.remove(&read.reference);
                self.problems.remove(&read.reference);
                if !was_refused && self.resources.get(&read.reference).as_ref() == Some(&resource) {
                    return false;
                }
                self.resources.insert(resource);
            }
            Err(detail) => {
                self.resources.remove(&read.reference);
                if let Some(policy) = policy {
                    self.resources.insert(Resource::BackendTlsPolicy(Arc::new(policy)));
                }
                self.resources.refused.insert(read.reference.clone());
                self.problems.insert(read.reference.clone(), odd(read.reference, detail));
            }
        }
        true
    }

    fn remove(&mut self, reference: &ObjectRef) -> bool {
        self.index.remove(reference);
        self.fetched.remove(reference);
        self.refused.remove(reference);
        self.stored.remove(reference);
        self.forget(reference)
    }

    fn forget(&mut self, reference: &ObjectRef) -> bool {
        self.problems.remove(reference);
        let was_refused = self.resources.refused.remove(reference);
        self.resources.remove(reference) || was_refused
    }

    /// Drops what a complete list does not have.
    fn keep_only(&mut self, of: WatchOf<'_>, listed: &BTreeSet<ObjectKey>) -> bool {
        let kind = &of.watched.kind;
        let is_gone = |reference: &ObjectRef| {
            reference.kind == *kind
                && (of.namespace.is_empty() || reference.key.namespace == of.namespace)
                && !listed.contains(&reference.key)
        };
        let mut gone: BTreeSet<ObjectRef> = self.index.keys().filter(|reference| is_gone(reference)).cloned().collect();
        gone.extend(self.resources.refused.iter().filter(|reference| is_gone(reference)).cloned());
        if !of.watched.is_on_demand() {
            let read = self
                .resources
                .of_kind(kind)
                .into_iter()
                .map(|key| ObjectRef::of(kind.clone(), &key));
            gone.extend(read.filter(|reference| is_gone(reference)));
        }
        // Each of them, not only up to the first that was there.
        let mut changed = false;
        for reference in &gone {
            changed |= self.remove(reference);
        }
        changed
    }

    /// What has to be fetched, each once until [`Store::took`] is told; and drops what nothing refers to any more. Whether something was
    /// dropped comes second.
    pub(super) fn fetches(&mut self) -> (Vec<ObjectRef>, bool) {
        let wanted = referenced(&self.resources, &self.controller);
        let idle: Vec<ObjectRef> = self
            .fetched
            .keys()
            .filter(|reference| !wanted.contains(reference))
            .cloned()
            .collect();
        let dropped = idle.iter().fold(false, |changed, reference| {
            self.fetched.remove(reference);
            self.refused.remove(reference);
            self.forget(reference) || changed
        });
        let fetches = wanted
            .into_iter()
            .filter(|reference| self.is_stale(reference) && !self.fetching.contains(reference))
            .filter(|reference| !self.refused.contains(reference));
        let fetches: Vec<ObjectRef> = fetches.collect();
        self.fetching.extend(fetches.iter().cloned());
        (fetches, dropped)
    }

    fn is_stale(&self, reference: &ObjectRef) -> bool {
        let Some(version) = self.index.get(reference) else {
            return false;
        };
        self.fetched.get(reference).is_none_or(|known| !known.contains(version))
    }

    /// Whether something is under way of which no earlier form is in force.
    pub(super) fn lacks_fetches(&self) -> bool {
        self.fetching.iter().any(|reference| !self.fetched.contains_key(reference))
    }

    /// Version of a Secret or ConfigMap by the index.
    pub(super) fn indexed(&self, reference: &ObjectRef) -> String {
        self.index.get(reference).cloned().unwrap_or_default()
    }

    /// Takes in what came of a fetch that was asked for when the index said `asked`. What cannot be reached stays as it was.
    pub(super) fn took(&mut self, reference: &ObjectRef, asked: String, fetched: Fetched) -> bool {
        self.fetching.remove(reference);
        let Some(watched) = kinds::find(&reference.kind) else {
            return false;
        };
        // It may have gone, or nobody may want it, in the meantime.
        if !self.index.contains_key(reference) {
            return false;
        }
        match fetched {
            Fetched::Found(raw) => {
                self.refused.remove(reference);
                let came = raw.resource_version().to_owned();
                self.fetched.insert(reference.clone(), [asked, came]);
                self.read(watched, &reference.key, raw, "v1")
            }
            Fetched::Missing => {
                self.refused.remove(reference);
                self.fetched.insert(reference.clone(), [asked.clone(), asked]);
                self.forget(reference)
            }
            Fetched::Refused(_) => {
                self.refused.insert(reference.clone());
                // Nothing waits for what was never shown.
                self.fetched.entry(reference.clone()).or_default();
                false
            }
            Fetched::Unreachable => false,
        }
    }

    /// Whether the API server did not show it when it was asked last.
    pub(super) fn is_refused(&self, reference: &ObjectRef) -> bool {
        self.refused.contains(reference)
    }

    /// Whether there are such.
    pub(super) fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// They are to be fetched once more, each until [`Store::took`] is told.
    pub(super) fn ask_again(&mut self) -> Vec<ObjectRef> {
        let again: Vec<ObjectRef> = self.refused.difference(&self.fetching).cloned().collect();
        self.fetching.extend(again.iter().cloned());
        again
    }

    /// Whether that object is in force.
    #[cfg(test)]
    pub(super) fn holds(&self, kind: sealway_api::Kind, namespace: &str, name: &str) -> bool {
        self.resources.contains(&ObjectRef::new(kind, namespace, name))
    }
}

#[cfg(test)]
mod tests;
