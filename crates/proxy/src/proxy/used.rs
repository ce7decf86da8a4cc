//! Which backends the snapshots name: what was learnt about any other may be forgotten.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use sealway_api::{ObjectKey, ObjectRef};
use sealway_core::{Filters, HttpRoutes, PortPlan, Snapshot, Target, WeightedBackend};

/// By Service and port.
pub(super) fn backends(snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>) -> HashSet<(&ObjectKey, u16)> {
    let mut used = HashSet::new();
    for plan in snapshots.values().flat_map(|snapshot| snapshot.ports.values()) {
        match plan.as_ref() {
            PortPlan::Tls(plan) => {
                for listener in &plan.listeners {
                    let forwards = listener.routes.iter().flat_map(|(_, forward)| &forward.backends);
                    forwards.for_each(|backend| enter(&mut used, backend));
                    listener.requests.iter().for_each(|routes| of_requests(&mut used, routes));
                }
            }
            PortPlan::Http(plan) => plan
                .listeners
                .iter()
                .for_each(|listener| of_requests(&mut used, &listener.requests)),
        }
    }
    used
}

type Used<'a> = HashSet<(&'a ObjectKey, u16)>;

fn of_requests<'a>(used: &mut Used<'a>, routes: &'a HttpRoutes) {
    let mut rules = HashSet::new();
    for found in routes.hosts.iter().flat_map(|(_, host)| host.matches()) {
        // The matches of a rule share it.
        if rules.insert(Arc::as_ptr(&found.rule)) {
            of_filters(used, &found.rule.filters);
            for backend in &found.rule.backends {
                enter(used, &backend.backend);
                of_filters(used, &backend.filters);
            }
        }
    }
}

fn of_filters<'a>(used: &mut Used<'a>, filters: &'a Filters) {
    filters.mirrors.iter().for_each(|mirror| enter(used, &mirror.backend));
    filters.external_auth.iter().for_each(|auth| enter(used, &auth.backend));
}

fn enter<'a>(used: &mut Used<'a>, backend: &'a WeightedBackend) {
    if let Target::Backend(backend) = &backend.target {
        used.insert((&backend.service, backend.port));
    }
}
