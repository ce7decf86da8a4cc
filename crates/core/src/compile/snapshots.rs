//! Pass 7: snapshots, sharing every part with the previous ones that did not change.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{ObjectRef, Protocol};

use super::extent::Extent;
use super::listeners;
use super::world::{GatewayWork, ListenerWork};
use crate::hostname::NameIndex;
use crate::keys::{KeyMaterial, Keys};
use crate::settings::Settings;
use crate::sharing::share;
use crate::snapshot::{
    ContentHash, HttpListener, HttpPlan, HttpRoutes, ListenerFate, PortKey, PortPlan, RelayPlan, SessionKey, Snapshot,
    TlsListener, TlsPlan,
};

/// One snapshot for each Gateway that is served at all.
pub(super) fn build(
    gateways: &mut [GatewayWork<'_>],
    settings: &Settings,
    session_key: Option<&SessionKey>,
    (last, extent): (&BTreeMap<ObjectRef, Arc<Snapshot>>, &Extent),
) -> BTreeMap<ObjectRef, Arc<Snapshot>> {
    let served = gateways.iter_mut().filter(|gateway| gateway.refused.is_none());
    served
        .map(|gateway| {
            let before = last.get(&gateway.object);
            (
                gateway.object.clone(),
                share(snapshot(gateway, settings, session_key, (before, extent)), before),
            )
        })
        .collect()
}

fn snapshot(
    gateway: &mut GatewayWork<'_>,
    settings: &Settings,
    session_key: Option<&SessionKey>,
    (last, extent): (Option<&Arc<Snapshot>>, &Extent),
) -> Snapshot {
    // A port is opened for the sake of a listener that serves; listeners that were refused go on claiming their names on it, save those
    // whose names are another's that comes first.
    let mut by_port: BTreeMap<PortKey, Vec<&mut ListenerWork<'_>>> = BTreeMap::new();
    for work in gateway.listeners.iter_mut().filter(|work| !work.beaten) {
        by_port.entry(work.port_key()).or_default().push(work);
    }
    by_port.retain(|_, works| works.iter().any(|work| work.serves()));
    let ports = by_port.into_iter().map(|(key, works)| {
        let before = last.and_then(|last| last.ports.get(&key));
        // What speaks otherwise on the port has lost to it.
        let served = works.iter().position(|work| work.serves()).unwrap_or_default();
        let plan = match works.get(served).map(|work| &work.listener.protocol) {
            Some(Protocol::Http) => PortPlan::Http(http_plan(works, before, extent)),
            Some(Protocol::Tcp) => PortPlan::Tcp(relay_plan(works, before, extent)),
            Some(Protocol::Udp) => PortPlan::Udp(relay_plan(works, before, extent)),
            _ => PortPlan::Tls(tls_plan(works, before, extent)),
        };
        (key, share(plan, before))
    });
    let ports = ports.collect();
    Snapshot {
        gateway: gateway.key.clone(),
        addresses: gateway.addresses.clone(),
        port_offset: settings.port_offset(),
        trusted_proxies: gateway.trusted_proxies.clone(),
        client_certificate: gateway.client_certificate.clone(),
        client_certificate_headers: gateway.client_certificate_headers,
        session_key: session_key.map(|key| key.of_gateway(&gateway.key)),
        tracing: gateway
            .tracing
            .take()
            .map(|new| match last.and_then(|last| last.tracing.as_ref()) {
                Some(old) if **old == *new => Arc::clone(old),
                _ => new,
            }),
        ports,
    }
}

fn tls_plan(works: Vec<&mut ListenerWork<'_>>, last: Option<&Arc<PortPlan>>, extent: &Extent) -> TlsPlan {
    let before = last.and_then(|plan| match &**plan {
        PortPlan::Tls(plan) => Some(&plan.listeners),
        PortPlan::Http(_) | PortPlan::Tcp(_) | PortPlan::Udp(_) => None,
    });
    let before: BTreeMap<&str, _> = before
        .into_iter()
        .flatten()
        .map(|listener| (&*listener.name, listener))
        .collect();
    let mut plan = TlsPlan::default();
    for work in works.into_iter().filter(|work| listeners::speaks_tls(work.listener)) {
        let before = before.get(&*work.name).copied();
        let position = plan.listeners.len();
        // What no change reaches is what it was, with everything that it holds.
        let listener = match before.filter(|_| !extent.covers(&work.owner)) {
            Some(before) => Arc::clone(before),
            None => share(tls_listener(work, before), before),
        };
        plan.listeners.push(listener);
        // Of two claims on one name both listeners were refused, so it does not matter which one answers.
        let _ = plan.names.claim(&work.hostname, position);
    }
    plan
}

fn http_plan(works: Vec<&mut ListenerWork<'_>>, last: Option<&Arc<PortPlan>>, extent: &Extent) -> HttpPlan {
    let before = last.and_then(|plan| match &**plan {
        PortPlan::Http(plan) => Some(&plan.listeners),
        PortPlan::Tls(_) | PortPlan::Tcp(_) | PortPlan::Udp(_) => None,
    });
    let before: BTreeMap<&str, _> = before
        .into_iter()
        .flatten()
        .map(|listener| (&*listener.name, listener))
        .collect();
    let mut plan = HttpPlan::default();
    for work in works.into_iter().filter(|work| work.listener.protocol == Protocol::Http) {
        let before = before.get(&*work.name).copied();
        let position = plan.listeners.len();
        let listener = match before.filter(|_| !extent.covers(&work.owner)) {
            Some(before) => Arc::clone(before),
            None => share(http_listener(work, before), before),
        };
        plan.listeners.push(listener);
        // Likewise.
        let _ = plan.names.claim(&work.hostname, position);
    }
    plan
}

fn http_listener(work: &mut ListenerWork<'_>, last: Option<&Arc<HttpListener>>) -> HttpListener {
    HttpListener {
        name: work.name.clone(),
        hostname: work.hostname.clone(),
        fate: work.fate(),
        requests: requests(work, last.map(|last| &last.requests)),
    }
}

/// Of the one listener that serves; it has the port for itself.
fn relay_plan(works: Vec<&mut ListenerWork<'_>>, last: Option<&Arc<PortPlan>>, extent: &Extent) -> RelayPlan {
    let before = last.and_then(|plan| match &**plan {
        PortPlan::Tcp(plan) | PortPlan::Udp(plan) => plan.forward.as_ref(),
        PortPlan::Tls(_) | PortPlan::Http(_) => None,
    });
    let work = works.into_iter().find(|work| work.serves());
    let name = work.as_ref().map(|work| work.name.clone());
    let forward = work.and_then(|work| match extent.covers(&work.owner) {
        true => work.routes.find(None).cloned(),
        false => before.cloned(),
    });
    RelayPlan {
        listener: name.unwrap_or_default(),
        forward: forward.map(|new| match before {
            Some(old) if **old == *new => Arc::clone(old),
            _ => new,
        }),
    }
}

/// Takes the routes out of `work`; one that refuses has none.
fn requests(work: &mut ListenerWork<'_>, last: Option<&Arc<HttpRoutes>>) -> Arc<HttpRoutes> {
    let requests = std::mem::take(&mut work.requests);
    let routes = if work.serves() {
        requests.into_routes(last.map(|last| &**last))
    } else {
        HttpRoutes::default()
    };
    share(routes, last)
}

/// Takes the routes out of `work`.
fn tls_listener(work: &mut ListenerWork<'_>, last: Option<&Arc<TlsListener>>) -> TlsListener {
    let fate = work.fate();
    let termination = work.termination().filter(|_| fate == ListenerFate::Serves);
    let takes_requests = work.listener.protocol == Protocol::Https && fate == ListenerFate::Serves;
    let last_requests = last.and_then(|last| last.requests.as_ref());
    let requests = takes_requests.then(|| requests(work, last_requests));
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
        name: work.name.clone(),
        hostname: work.hostname.clone(),
        mode: listeners::mode(work.listener),
        fate,
        routes,
        termination: termination.map(|termination| share(termination, last.and_then(|last| last.termination.as_ref()))),
        requests,
    }
}

/// For each snapshot the keys of the certificates that it names, and no others.
pub(super) fn keys(
    snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>,
    all: &BTreeMap<ContentHash, Arc<KeyMaterial>>,
) -> BTreeMap<ObjectRef, Keys> {
    let of = |snapshot: &Snapshot| {
        let contents = snapshot.certificates().map(|certificate| certificate.content);
        Keys(
            contents
                .filter_map(|content| Some((content, Arc::clone(all.get(&content)?))))
                .collect(),
        )
    };
    snapshots
        .iter()
        .map(|(gateway, snapshot)| (gateway.clone(), of(snapshot)))
        .collect()
}
