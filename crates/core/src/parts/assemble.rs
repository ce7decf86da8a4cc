//! From parts to a snapshot, at the proxy.
//!
//! An [`Assembly`] keeps the bytes of every part as they came, those of a newer version's fields included, and what was made of them.
//! A delta makes a new assembly beside the old one, which stays as it is when parts do not fit. What a delta does not concern, directly
//! or through parts that it names, keeps its `Arc`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

use super::build::{Builder, Built, Patterns, Rank};
use super::indexes::Indexes;
use super::relations::Relations;
use super::wire::{Place, Wire};
use super::{Delta, PartDigest, PartKey, Unfit};
use crate::snapshot::{Snapshot, TlsListener};

/// Everything that a proxy has been told.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    held: HeldParts,
    /// Beside what is held: all of them are read for each change, and that in one go.
    digests: OrdMap<PartKey, PartDigest>,
    relations: Relations,
    indexes: Indexes,
}

pub(super) type HeldParts = OrdMap<PartKey, Arc<Held>>;

/// A part and what was made of it.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Arc<[u8]>,
    pub(super) built: Built,
    pub(super) places: Vec<Place>,
    pub(super) links: Vec<PartKey>,
}

impl Assembly {
    /// The snapshot; `None` before the first delta.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.indexes.snapshot.as_ref()
    }

    /// Every name with the digest of its part, in the order of the names.
    pub fn digests(&self) -> impl Iterator<Item = (&PartKey, PartDigest)> {
        self.digests.iter().map(|(key, digest)| (key, *digest))
    }

    /// Every name with the bytes of its part, in the order of the names.
    pub fn parts(&self) -> impl Iterator<Item = (&PartKey, &Arc<[u8]>)> {
        self.held.iter().map(|(key, held)| (key, &held.bytes))
    }

    /// What comes of a delta.
    pub fn apply(&self, delta: &Delta) -> Result<Self, Unfit> {
        let mut change = Change {
            last: self,
            held: self.held.clone(),
            digests: self.digests.clone(),
            relations: self.relations.clone(),
            changed: BTreeSet::new(),
            listeners: BTreeSet::new(),
            patterns: Patterns::default(),
        };
        for key in &delta.remove {
            change.remove(key);
        }
        let mut ranked: BTreeMap<Rank, Vec<Said<'_>>> = BTreeMap::new();
        for (key, bytes) in &delta.set {
            let wire = read(key, bytes)?;
            if self.held.get(key).is_some_and(|held| held.built.rank() != wire.rank()) {
                // Who names it must not find what it was.
                change.remove(key);
            }
            ranked.entry(wire.rank()).or_default().push((key, bytes, wire));
        }
        for rank in Rank::ALL {
            for (key, bytes, wire) in ranked.remove(&rank).unwrap_or_default() {
                change.set(key, bytes, wire)?;
            }
            change.follow(rank, delta)?;
        }
        let Change {
            held,
            digests,
            relations,
            changed,
            listeners,
            ..
        } = change;
        let indexes = self.indexes.follow((&held, &relations), &changed, &listeners)?;
        Ok(Self {
            held,
            digests,
            relations,
            indexes,
        })
    }
}

/// A part of a delta, read.
type Said<'a> = (&'a PartKey, &'a Arc<[u8]>, Wire);

fn read(part: &PartKey, bytes: &[u8]) -> Result<Wire, Unfit> {
    serde_json::from_slice(bytes).map_err(|error| {
        let mut detail = error.to_string();
        detail.truncate(detail.floor_char_boundary(LONGEST_DETAIL));
        Unfit::Unreadable {
            part: part.clone(),
            detail,
        }
    })
}

/// Bytes of what a reader says: it may quote a peer.
const LONGEST_DETAIL: usize = 300;

/// An assembly on its way to the next.
struct Change<'a> {
    last: &'a Assembly,
    held: HeldParts,
    digests: OrdMap<PartKey, PartDigest>,
    relations: Relations,
    /// Parts whose value is new, other, or gone.
    changed: BTreeSet<PartKey>,
    /// Listeners whose routes are to be gathered anew.
    listeners: BTreeSet<PartKey>,
    patterns: Patterns,
}

impl Change<'_> {
    fn remove(&mut self, key: &PartKey) {
        self.digests.remove(key);
        if let Some(gone) = self.held.remove(key) {
            self.relations.follow(key, Some(&gone), None);
            self.listeners.extend(gone.places.iter().map(|place| place.listener.clone()));
            self.listeners.insert(key.clone());
            self.changed.insert(key.clone());
        }
    }

    fn set(&mut self, key: &PartKey, bytes: &Arc<[u8]>, wire: Wire) -> Result<(), Unfit> {
        let mut builder = Builder {
            part: key,
            held: &self.held,
            patterns: &mut self.patterns,
            links: Vec::new(),
        };
        let (built, places) = builder.build(wire)?;
        let links = builder.links;
        self.digests.insert(key.clone(), PartDigest::of(key, bytes));
        self.enter(
            key,
            Held {
                bytes: Arc::clone(bytes),
                built,
                places,
                links,
            },
        );
        Ok(())
    }

    /// Makes parts of a rank anew that are as they were and name one that is not.
    fn follow(&mut self, rank: Rank, delta: &Delta) -> Result<(), Unfit> {
        if self.changed.is_empty() || rank == Rank::First {
            return Ok(());
        }
        let users = self.changed.iter().flat_map(|key| self.relations.users(key));
        let users: BTreeSet<&PartKey> = users.filter(|key| !delta.set.contains_key(*key)).collect();
        let held = users.into_iter().filter_map(|key| self.held.get_key_value(key));
        let followers = held.filter(|(_, held)| held.built.rank() == rank);
        let followers: Vec<_> = followers.map(|(key, held)| (key.clone(), Arc::clone(held))).collect();
        for (key, held) in followers {
            let Built::Host(host) = &held.built else {
                self.set(&key, &held.bytes, read(&key, &held.bytes)?)?;
                continue;
            };
            let mut builder = Builder {
                part: &key,
                held: &self.held,
                patterns: &mut self.patterns,
                links: Vec::new(),
            };
            let built = Built::Host(Arc::new(builder.relink(host, &held.links)?));
            self.enter(
                &key,
                Held {
                    bytes: Arc::clone(&held.bytes),
                    built,
                    places: held.places.clone(),
                    links: held.links.clone(),
                },
            );
        }
        Ok(())
    }

    fn enter(&mut self, key: &PartKey, mut held: Held) {
        let last = self.last.held.get(key);
        let is_same = last.is_some_and(|last| last.built == held.built);
        match last {
            Some(last) if is_same => held.built = last.built.clone(),
            _ => {
                self.changed.insert(key.clone());
            }
        }
        match (&mut held.built, last.map(|last| &last.built)) {
            (Built::TlsListener(listener), Some(Built::TlsListener(last))) if !is_same => keep_termination(listener, last),
            _ => {}
        }
        let places = last.map_or(&[][..], |last| &last.places[..]);
        if !is_same || places != held.places {
            let places = places.iter().chain(&held.places);
            self.listeners.extend(places.map(|place| place.listener.clone()));
            if is_listener(&held.built) || last.is_some_and(|last| is_listener(&last.built)) {
                self.listeners.insert(key.clone());
            }
        }
        let held = Arc::new(held);
        let before = self.held.insert(key.clone(), Arc::clone(&held));
        self.relations.follow(key, before.as_deref(), Some(&held));
    }
}

fn is_listener(built: &Built) -> bool {
    matches!(
        built,
        Built::TlsListener(_) | Built::HttpListener(_) | Built::RelayListener(_)
    )
}

/// A listener of which something else has changed ends TLS as before.
fn keep_termination(listener: &mut Arc<TlsListener>, last: &TlsListener) {
    if let (Some(new), Some(old)) = (&listener.termination, &last.termination)
        && new == old
    {
        Arc::make_mut(listener).termination = Some(Arc::clone(old));
    }
}
