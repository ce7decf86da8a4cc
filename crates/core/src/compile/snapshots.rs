//! Pass 7: snapshots, sharing every part with the previous ones that did not change.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::ObjectRef;

use super::listeners;
use super::world::{GatewayWork, ListenerWork};
use crate::hostname::NameIndex;
use crate::settings::Settings;
use crate::snapshot::{ListenerFate, PortKey, PortPlan, Snapshot, TlsListener, TlsPlan};

/// One snapshot for each Gateway that is served at all.
pub(super) fn build(
    gateways: &mut [GatewayWork<'_>],
    settings: &Settings,
    last: &BTreeMap<ObjectRef, Arc<Snapshot>>,
) -> BTreeMap<ObjectRef, Arc<Snapshot>> {
    let served = gateways.iter_mut().filter(|gateway| gateway.refused.is_none());
    served
        .map(|gateway| {
            let before = last.get(&gateway.object);
            (gateway.object.clone(), share(snapshot(gateway, settings, before), before))
        })
        .collect()
}

fn snapshot(gateway: &mut GatewayWork<'_>, settings: &Settings, last: Option<&Arc<Snapshot>>) -> Snapshot {
    // A port is opened for the sake of a listener that serves; listeners that were refused go on claiming their names on it.
    let mut by_port: BTreeMap<PortKey, Vec<&mut ListenerWork<'_>>> = BTreeMap::new();
    for work in &mut gateway.listeners {
        by_port
            .entry(PortKey {
                transport: work.transport,
                port: work.port(),
            })
            .or_default()
            .push(work);
    }
    by_port.retain(|_, works| works.iter().any(|work| work.serves()));
    let ports = by_port.into_iter().map(|(key, works)| {
        let before = last.and_then(|last| last.ports.get(&key));
        (key, share(PortPlan::Tls(tls_plan(works, before)), before))
    });
    let ports = ports.collect();
    Snapshot {
        gateway: gateway.key.clone(),
        addresses: gateway.addresses.clone(),
        port_offset: settings.port_offset(),
        trusted_proxies: gateway.trusted_proxies.clone(),
        ports,
    }
}

fn tls_plan(works: Vec<&mut ListenerWork<'_>>, last: Option<&Arc<PortPlan>>) -> TlsPlan {
    let before = last.map(|plan| {
        let PortPlan::Tls(plan) = &**plan;
        plan
    });
    let mut plan = TlsPlan::default();
    for work in works.into_iter().filter(|work| listeners::speaks_tls(work.listener)) {
        let before = before.and_then(|plan| plan.listeners.iter().find(|listener| listener.name == work.listener.name));
        let position = plan.listeners.len();
        plan.listeners.push(share(tls_listener(work, before), before));
        // Of two claims on one name both listeners were refused, so it does not matter which one answers.
        let _ = plan.names.claim(&work.hostname, position);
    }
    plan
}

/// Takes the routes out of `work`.
fn tls_listener(work: &mut ListenerWork<'_>, last: Option<&Arc<TlsListener>>) -> TlsListener {
    let fate = match (&work.refused, work.serves()) {
        (Some(cause), _) => ListenerFate::Refuses(cause.reason()),
        (None, false) => ListenerFate::Refuses(sealway_api::Reason::Pending),
        (None, true) => ListenerFate::Serves,
    };
    let mut routes = std::mem::take(&mut work.routes);
    match last {
        _ if fate != ListenerFate::Serves => routes = NameIndex::default(),
        Some(last) => routes.update_with(&last.routes, |new, old| {
            if new == old {
                *new = Arc::clone(old);
            }
        }),
        None => {}
    }
    TlsListener {
        name: work.listener.name.clone(),
        hostname: work.hostname.clone(),
        mode: listeners::mode(work.listener),
        fate,
        routes,
    }
}

/// The old one when nothing changed.
fn share<T: Eq>(new: T, old: Option<&Arc<T>>) -> Arc<T> {
    match old {
        Some(old) if **old == new => Arc::clone(old),
        _ => Arc::new(new),
    }
}
