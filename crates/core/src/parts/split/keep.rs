//! Which parts of the snapshot before go on: those of listeners that are the same `Arc`, unless something hangs on them that hangs on
//! another listener as well, which has changed.
//!
//! In: the listeners of the snapshot and the parts before. Out: the listeners that stay, and the parts that do not stay for their sake; no
//! other has to be looked at again. Takes as long as what has changed is large.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::{PartKey, Parts};
use super::index::Index;
use super::{Of, address, listener_name};
use crate::snapshot::{HttpRoutes, PortPlan, Snapshot};

/// What stays: the parts before, but for some.
pub(super) struct Kept {
    /// Those that are the same, with all that hangs on them.
    pub(super) listeners: BTreeSet<PartKey>,
    /// Of the parts before, those that do not stay unless they are entered again.
    pub(super) condemned: BTreeSet<PartKey>,
}

/// See the module. What no part names any more does not stay. None: nothing does.
pub(super) fn kept(snapshot: &Snapshot, before: &Parts) -> Option<Kept> {
    let listeners = listeners(snapshot);
    let is_same = |key: &str, of: &Of| before.parts.get(key).is_some_and(|entered| entered.part.source.of.is(of));
    let is_same = |(key, of): (&String, &Option<Of>)| {
        let same = of.as_ref().is_some_and(|of| is_same(key, of));
        same.then(|| PartKey(key.as_str().into()))
    };
    let mut same: BTreeSet<PartKey> = listeners.iter().filter_map(is_same).collect();
    if same.is_empty() {
        return None;
    }
    // Whatever hangs on a listener that is not the same is made anew, for all the places where it hangs.
    let known = before.index.listeners().filter(|key| !same.contains(*key)).cloned();
    let new = listeners.keys().filter(|key| !same.contains(key.as_str()));
    let mut changed: Vec<PartKey> = known.chain(new.map(|key| PartKey(key.as_str().into()))).collect();
    while let Some(listener) = changed.pop() {
        let now = listeners.get(listener.as_str()).and_then(Option::as_ref);
        let now = now.into_iter().flat_map(|of| hung(of, &before.index));
        let parts = before.index.hung(&listener).cloned().chain(now);
        for entered in parts.filter_map(|key| before.parts.get(&key)) {
            let places = entered.part.source.places.iter();
            changed.extend(places.filter_map(|place| same.take(&place.listener)));
        }
    }
    Some(Kept {
        condemned: condemned(before, before.index.made_anew(|listener| !same.contains(listener))),
        listeners: same,
    })
}

/// These, and what only they name.
fn condemned(before: &Parts, mut next: Vec<PartKey>) -> BTreeSet<PartKey> {
    let mut condemned = BTreeSet::new();
    let mut lost: BTreeMap<&PartKey, usize> = BTreeMap::new();
    while let Some(key) = next.pop() {
        let Some(entered) = before.parts.get(&key) else {
            continue;
        };
        if !condemned.insert(key) {
            continue;
        }
        for link in &entered.part.source.links {
            let lost = lost.entry(link).or_default();
            *lost += 1;
            if *lost == before.index.users(link) {
                next.push(link.clone());
            }
        }
    }
    condemned
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
fn hung<'a>(listener: &'a Of, index: &'a Index) -> Box<dyn Iterator<Item = PartKey> + 'a> {
    let hosts = |requests: &'a HttpRoutes| {
        requests
            .hosts
            .iter()
            .filter_map(|(_, host)| index.name(address(host)).cloned())
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
