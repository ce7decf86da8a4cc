//! Which parts of the snapshot before go on: those of listeners that are the same `Arc`, unless something hangs on them that hangs on
//! another listener as well, which has changed.
//!
//! In: the listeners of the snapshot and the parts before. Out: the parts that stay, none of which has to be looked at again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::{Part, PartKey, Parts};
use super::{Of, address, listener_name};
use crate::snapshot::{HttpRoutes, PortPlan, Snapshot};

/// What stays.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) parts: BTreeMap<PartKey, Arc<Part>>,
    pub(super) listeners: BTreeSet<PartKey>,
}

/// See the module. What no part names any more does not stay.
pub(super) fn kept(snapshot: &Snapshot, before: &Parts) -> Kept {
    let listeners = listeners(snapshot);
    let is_same = |key: &str, of: &Of| before.0.get(key).is_some_and(|part| part.source.of.is(of));
    let mut same: BTreeSet<&str> = BTreeSet::new();
    for (key, of) in &listeners {
        if of.as_ref().is_some_and(|of| is_same(key, of)) {
            same.insert(key);
        }
    }
    if same.is_empty() {
        return Kept::default();
    }
    let names = names(&before.0);
    // Whatever hangs on a listener that is not the same is made anew, for all the places where it hangs.
    loop {
        let mut others: BTreeSet<&str> = BTreeSet::new();
        for part in before.0.values() {
            let places = part.source.places.iter().map(|place| place.listener.as_str());
            if places.clone().any(|listener| !same.contains(listener)) {
                others.extend(places);
            }
        }
        let changed = listeners.iter().filter(|(key, _)| !same.contains(key.as_str()));
        for of in changed.filter_map(|(_, of)| of.as_ref()) {
            for part in hung(of, &names).filter_map(|key| before.0.get(key.as_str())) {
                others.extend(part.source.places.iter().map(|place| place.listener.as_str()));
            }
        }
        let count = same.len();
        same.retain(|listener| !others.contains(listener));
        if same.len() == count {
            break;
        }
    }
    let stays = |(key, part): &(&PartKey, &Arc<Part>)| match part.source.of {
        Of::Values => false,
        Of::TlsListener(_) | Of::HttpListener(_) => same.contains(key.as_str()),
        Of::Forward(_) | Of::Host(_) => part.source.places.iter().all(|place| same.contains(place.listener.as_str())),
        Of::Rule(_) | Of::Backend(_) | Of::Bundle(_) => true,
    };
    let mut parts: BTreeMap<_, _> = before
        .0
        .iter()
        .filter(stays)
        .map(|(key, part)| (key.clone(), Arc::clone(part)))
        .collect();
    let gone = before.0.iter().filter(|(key, _)| !parts.contains_key(*key));
    let mut loose: BTreeSet<PartKey> = gone.flat_map(|(_, part)| &part.source.links).cloned().collect();
    while !loose.is_empty() {
        for link in parts.values().flat_map(|part| &part.source.links) {
            loose.remove(link);
        }
        let gone: Vec<_> = loose.iter().filter_map(|key| parts.remove(key)).collect();
        loose = gone.iter().flat_map(|part| part.source.links.iter().cloned()).collect();
    }
    let listeners = same.iter().map(|key| PartKey((*key).into())).collect();
    Kept { parts, listeners }
}

/// The names of what is shared, by its address.
pub(super) fn names(parts: &BTreeMap<PartKey, Arc<Part>>) -> HashMap<usize, PartKey> {
    let shared = parts.iter().filter_map(|(key, part)| {
        let address = match &part.source.of {
            Of::Values | Of::TlsListener(_) | Of::HttpListener(_) => return None,
            Of::Forward(value) => address(value),
            Of::Host(value) => address(value),
            Of::Rule(value) => address(value),
            Of::Backend(value) => address(value),
            Of::Bundle(value) => address(value),
        };
        Some((address, key.clone()))
    });
    shared.collect()
}

/// Those that can be the same, by the names that their parts want. Two of one name are none.
fn listeners(snapshot: &Snapshot) -> BTreeMap<String, Option<Of>> {
    let mut listeners: BTreeMap<String, Option<Of>> = BTreeMap::new();
    let mut enter = |key: String, of: Of| {
        listeners.entry(key).and_modify(|of| *of = None).or_insert(Some(of));
    };
    for (port, plan) in &snapshot.ports {
        match &**plan {
            PortPlan::Tls(plan) => {
                for listener in &plan.listeners {
                    enter(listener_name(*port, &listener.name), Of::TlsListener(Arc::clone(listener)));
                }
            }
            PortPlan::Http(plan) => {
                for listener in &plan.listeners {
                    enter(listener_name(*port, &listener.name), Of::HttpListener(Arc::clone(listener)));
                }
            }
            PortPlan::Tcp(_) | PortPlan::Udp(_) => {}
        }
    }
    listeners
}

/// The names under which what hangs on a listener was hung before.
fn hung<'a>(listener: &'a Of, names: &'a HashMap<usize, PartKey>) -> Box<dyn Iterator<Item = PartKey> + 'a> {
    let hosts = |requests: &'a HttpRoutes| {
        requests
            .hosts
            .iter()
            .filter_map(|(_, host)| names.get(&address(host)).cloned())
    };
    match listener {
        Of::TlsListener(listener) => {
            // By its route: what is equal is one part, whether or not it is shared.
            let forwards = listener.routes.iter();
            let forwards = forwards.map(|(_, forward)| PartKey(format!("forward/{}", forward.route).into()));
            Box::new(forwards.chain(listener.requests.iter().flat_map(move |requests| hosts(requests))))
        }
        Of::HttpListener(listener) => Box::new(hosts(&listener.requests)),
        _ => Box::new(std::iter::empty()),
    }
}
