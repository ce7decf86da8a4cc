//! The reference's view of a Gateway with its ListenerSets: one list of listeners, and who loses to whom. Naive, and from the
//! specification's words: "1. parent Gateway 2. ListenerSet ordered by creation time (oldest first) 3. … by {namespace}/{name}".

use std::ops::Deref;

use sealway_api::{FromNamespaces, Kind, Listener, ListenerSet, ObjectKey, ObjectRef, Resources};

use super::reference::{family, labels};

/// A listener, by whom it is held.
#[derive(Clone, Debug)]
pub(crate) struct Held<'a> {
    listener: &'a Listener,
    /// Its name in snapshots.
    pub(crate) name: String,
    /// Its name in its object.
    pub(crate) section: &'a str,
    pub(crate) owner: ObjectRef,
    /// Position in its object.
    pub(crate) position: usize,
    rank: usize,
}

impl Deref for Held<'_> {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        self.listener
    }
}

/// All listeners of a Gateway, its own and those of the ListenerSets that it allows.
pub(crate) fn listeners<'a>(resources: &'a Resources, gateway: &ObjectKey) -> Vec<Held<'a>> {
    let Some(found) = resources.gateways.get(gateway) else {
        return Vec::new();
    };
    let own = (ObjectRef::of(Kind::Gateway, gateway), &found.spec.listeners);
    let mut sets: Vec<(&ObjectKey, &ListenerSet)> = (resources.listener_sets.iter())
        .filter(|(key, set)| set.gateway().as_ref() == Some(gateway) && is_allowed(resources, gateway, key))
        .map(|(key, set)| (key, &**set))
        .collect();
    sets.sort_by_key(|(key, set)| (set.metadata.creation_timestamp, *key));
    let sets = sets
        .into_iter()
        .map(|(key, set)| (ObjectRef::of(Kind::ListenerSet, key), &set.spec.listeners));
    let objects = std::iter::once(own).chain(sets).enumerate();
    objects
        .flat_map(|(rank, (owner, listeners))| {
            let held = move |(position, listener): (usize, &'a Listener)| Held {
                listener,
                name: match rank {
                    0 => listener.name.clone(),
                    _ => format!("{}/{}", owner.key, listener.name),
                },
                section: &listener.name,
                owner: owner.clone(),
                position,
                rank,
            };
            listeners.iter().enumerate().map(held).collect::<Vec<_>>()
        })
        .collect()
}

/// "The default value is to allow no ListenerSets".
pub(crate) fn is_allowed(resources: &Resources, gateway: &ObjectKey, set: &ObjectKey) -> bool {
    let spec = resources.gateways.get(gateway).map(|gateway| &gateway.spec);
    let rule = spec.and_then(|spec| spec.allowed_listeners.as_ref()?.namespaces.clone());
    let rule = rule.unwrap_or_default();
    match rule.from {
        Some(FromNamespaces::All) => true,
        Some(FromNamespaces::Same) => set.namespace == gateway.namespace,
        Some(FromNamespaces::Selector) => {
            let selector = rule.selector.as_ref();
            selector.is_some_and(|selector| selector.matches(&labels(resources, &set.namespace)))
        }
        _ => false,
    }
}

/// Whether a listener loses to one of an object that comes first, and that has not lost itself.
pub(crate) fn is_beaten(all: &[Held<'_>], one: &Held<'_>) -> bool {
    all.iter()
        .any(|two| two.rank < one.rank && clash(one, two) && !is_beaten(all, two))
}

/// Whether it is conflicted: beaten, or in the way of another one of its own object.
pub(crate) fn conflicts(all: &[Held<'_>], one: &Held<'_>) -> bool {
    is_beaten(all, one)
        || all
            .iter()
            .any(|two| two.rank == one.rank && two.position != one.position && clash(one, two) && !is_beaten(all, two))
}

/// "All the Listeners that share a port with the TCP Listener are not distinct"; HTTP beside TLS; equal hostnames in one family.
fn clash(one: &Held<'_>, two: &Held<'_>) -> bool {
    let (Some(first), Some(second)) = (family(one), family(two)) else {
        return false;
    };
    let is_udp = |family: &str| family == "UDP";
    one.port == two.port
        && is_udp(first) == is_udp(second)
        && (first != second || matches!(first, "TCP" | "UDP") || one.hostname == two.hostname)
}
