//! What has to be known of the parts of a snapshot to find those that a change concerns without looking at all.
//!
//! Invariant: it says of parts that were entered and not removed since; addresses in it are of what those parts hold.

use imbl::{OrdMap, OrdSet};

use super::super::{Entered, PartKey};
use super::{Of, Source};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Index {
    /// Names of what is shared, by its address.
    names: OrdMap<usize, PartKey>,
    /// By listener: what hangs on it.
    hung: OrdMap<PartKey, OrdSet<PartKey>>,
    /// How often parts name this one.
    users: OrdMap<PartKey, usize>,
    /// Parts that are made anew each time, for they hold nothing that is shared.
    values: OrdSet<PartKey>,
    /// Whether a part has not the name that it wanted, for another has it.
    pub(super) has_copies: bool,
}

impl Index {
    /// Notes a part.
    pub(super) fn enter(&mut self, key: &PartKey, Source { of, links, places }: &Source) {
        match of {
            Of::Values => drop(self.values.insert(key.clone())),
            Of::TlsListener(_) | Of::HttpListener(_) => {
                self.hung.entry(key.clone()).or_default();
            }
            shared => {
                if let Some(address) = shared.address() {
                    self.names.insert(address, key.clone());
                }
            }
        }
        for link in links {
            *self.users.entry(link.clone()).or_default() += 1;
        }
        for place in places {
            self.hung.entry(place.listener.clone()).or_default().insert(key.clone());
        }
    }

    /// Takes back what [`Index::enter`] noted. What hangs on a listener goes on to hang on whatever has its name.
    pub(super) fn leave(&mut self, key: &PartKey, Source { of, links, places }: &Source) {
        if let Of::Values = of {
            self.values.remove(key);
        }
        if let Some(address) = of.address()
            && self.names.get(&address) == Some(key)
        {
            self.names.remove(&address);
        }
        for place in places {
            if let Some(hung) = self.hung.get_mut(&place.listener) {
                hung.remove(key);
            }
        }
        for link in links {
            match self.users.get(link) {
                Some(1) => drop(self.users.remove(link)),
                Some(users) => drop(self.users.insert(link.clone(), users - 1)),
                None => {}
            }
        }
    }

    /// Forgets that something could hang on this name.
    pub(super) fn forget(&mut self, key: &PartKey) {
        self.hung.remove(key);
    }

    /// How often parts name this one.
    pub(super) fn users(&self, key: &PartKey) -> usize {
        self.users.get(key).copied().unwrap_or_default()
    }

    /// Whether it says what one says into which these parts are entered anew, and every part that is named is among them.
    pub(super) fn is_of(&self, parts: &OrdMap<PartKey, Entered>) -> bool {
        let mut anew = Self::default();
        for (key, entered) in parts {
            anew.enter(key, &entered.part.source);
        }
        let in_use = |index: &Self| -> OrdMap<PartKey, OrdSet<PartKey>> {
            let hung = index.hung.iter().filter(|(_, hung)| !hung.is_empty());
            hung.map(|(listener, hung)| (listener.clone(), hung.clone())).collect()
        };
        let none_is_missing = self.users.keys().all(|named| parts.contains_key(named));
        let is_same = self.names == anew.names && self.users == anew.users && self.values == anew.values;
        none_is_missing && is_same && in_use(self) == in_use(&anew)
    }

    /// The name of what is shared and lies there.
    pub(super) fn name(&self, address: usize) -> Option<&PartKey> {
        self.names.get(&address)
    }

    /// Those that have a part of their own, and those that something hangs on.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &PartKey> {
        self.hung.keys()
    }

    /// What hangs on a listener.
    pub(super) fn hung(&self, listener: &PartKey) -> impl Iterator<Item = &PartKey> {
        self.hung.get(listener).into_iter().flatten()
    }

    /// The parts that do not outlive a snapshot in which these listeners have changed.
    pub(super) fn made_anew(&self, has_changed: impl Fn(&PartKey) -> bool) -> Vec<PartKey> {
        let changed = self.hung.iter().filter(|(listener, _)| has_changed(listener));
        let of_listeners = changed.flat_map(|(listener, hung)| std::iter::once(listener).chain(hung));
        self.values.iter().chain(of_listeners).cloned().collect()
    }
}
