//! Pass 5, second half: routes to listeners.
//!
//! Job: for every parent reference of ours, decide whether the route attaches, claim its names on the listeners that take it, and
//! write its status. Input: Gateways with examined listeners. Output: route statuses; `attached`, `routes` and `requests` of the listeners.
//! Invariant: routes are entered oldest first, then by namespace and name, so the first claim on a hostname is the one that holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{ObjectKey, ObjectRef, Reason, RouteParentStatus, RouteStatus};

use super::admission::{self, Refusal};
use super::http::{self, RouteRequests};
use super::parents::{self, Index, Parent};
use super::routes::{self, Carried, Route};
use super::world::{GatewayWork, ListenerWork, World};
use super::{listeners, policies, statuses, x_backends};
use crate::hostname::HostnamePattern;
use crate::problem::{Cause, Problem};
use crate::snapshot::Forward;

/// How a route stands with one parent.
pub(super) enum Outcome {
    /// At least one listener took it; with a cause, none of those is served itself.
    Attached(Option<Cause>),
    /// No listener took it, for the reason of the one that came closest; or nothing of it can be served.
    Refused(Cause),
}

/// Attaches the routes of every kind that are looked at.
pub(super) fn attach<'a>(world: &mut World<'a>, gateways: &mut [GatewayWork<'a>]) -> BTreeMap<ObjectRef, Arc<RouteStatus>> {
    let index = Index::new(gateways);
    let mut statuses = BTreeMap::new();
    for route in routes::in_order(world, world.extent) {
        let ours = parents::of(world, &route, &index, gateways);
        if ours.is_empty() {
            continue;
        }
        let traffic = routes::traffic(world, &route);
        let mut taken = Taken::default();
        let mut parents = Vec::with_capacity(ours.len());
        let mut passed_over = PassedOver::default();
        for parent in &ours {
            let Some(gateway) = gateways.get_mut(parent.place.gateway) else {
                continue;
            };
            let told = world.problems.len();
            let outcome = attach_to(world, &route, parent, gateway, &traffic.carried, &mut taken);
            let positions = parent.positions(gateway);
            let is_opened = taken.listeners.iter().any(|(position, listener)| {
                let is_its_own = *position == parent.place.gateway && positions.contains(listener);
                let work = gateway.listeners.get(*listener).filter(|_| is_its_own);
                work.is_some_and(|work| work.is_meant_by(&parent.reference) && opens(work))
            });
            let untrusted = traffic.untrusted.as_ref().filter(|_| is_opened);
            let status = RouteParentStatus {
                parent_ref: parent.reference.clone().into_owned(),
                controller_name: world.settings.controller_name().to_owned(),
                conditions: statuses::route(
                    route.metadata.generation,
                    &outcome,
                    traffic.unresolved.as_ref().or(untrusted),
                    &traffic.dropped,
                ),
            };
            if !parent.is_default() {
                parents.push(status);
            } else if is_passed_over(&outcome) {
                passed_over.problems.extend(world.problems.drain(told..));
                passed_over.parents.push(status);
            } else {
                passed_over.is_taken = true;
                parents.push(status);
            }
        }
        // Some have listeners of other kinds, or for other namespaces: that is nothing to tell a route that another one took.
        if !passed_over.is_taken {
            parents.append(&mut passed_over.parents);
            world.problems.append(&mut passed_over.problems);
        }
        for (gateway, listener) in &taken.listeners {
            let listeners = gateways.get_mut(*gateway).map(|gateway| &mut gateway.listeners);
            if let Some(work) = listeners.and_then(|listeners| listeners.get_mut(*listener)) {
                work.attached += 1;
            }
        }
        for (gateway, listener) in &taken.listeners {
            let Some(gateway) = gateways.get(*gateway) else { continue };
            x_backends::reach(world, &route.object, &gateway.key);
            if gateway.listeners.get(*listener).is_some_and(opens) {
                policies::reach(world, &route.object, &gateway.key);
            }
        }
        report_ignored(world, &route, &taken);
        report_unreachable(world, &route, gateways, &taken);
        statuses.insert(route.object, Arc::new(RouteStatus { parents }));
    }
    http::report_shadowed(world, gateways);
    statuses
}

/// What default Gateways would say that are not meant by a route.
#[derive(Default)]
struct PassedOver {
    parents: Vec<RouteParentStatus>,
    problems: Vec<Problem>,
    /// Whether one was meant.
    is_taken: bool,
}

/// Whether no listener of a Gateway takes such routes, or such names.
fn is_passed_over(outcome: &Outcome) -> bool {
    let Outcome::Refused(cause) = outcome else { return false };
    matches!(
        cause.reason(),
        Reason::NotAllowedByListeners | Reason::NoMatchingListenerHostname | Reason::NoMatchingParent
    )
}

/// Whether the gateway sees what is inside a listener's connections: what passes through is none of a BackendTLSPolicy's business.
fn opens(work: &ListenerWork<'_>) -> bool {
    work.ends_tls() || !listeners::speaks_tls(work.listener)
}

/// What a route has got, over all its parents.
#[derive(Default)]
struct Taken {
    /// Hostnames that some listener took, by position.
    hostnames: Vec<usize>,
    /// Gateway and listener, by position, that took it and count it: two references to one listener are one route
    /// (apis/v1/gateway_types.go, AttachedRoutes).
    listeners: Vec<(usize, usize)>,
}

fn add(list: &mut Vec<(usize, usize)>, entry: (usize, usize)) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}

/// Tries every listener that the reference means.
fn attach_to(
    world: &mut World<'_>,
    route: &Route<'_>,
    parent: &Parent<'_>,
    gateway: &mut GatewayWork<'_>,
    carried: &Carried,
    taken: &mut Taken,
) -> Outcome {
    if let Some(set) = parent.set(gateway).filter(|set| set.refused.is_some()) {
        let cause = Cause::ListenerSetNotAttached {
            set: set.object.key.clone(),
            gateway: gateway.key.clone(),
        };
        world.report(&route.object, parent.field(), cause.clone());
        return Outcome::Refused(cause);
    }
    let meant = |(_, work): &(usize, &ListenerWork<'_>)| work.is_meant_by(&parent.reference);
    let positions = parent.positions(gateway);
    let start = positions.start;
    let among = gateway.listeners_at(&positions).iter().enumerate();
    let among = among.map(|(offset, work)| (start + offset, work));
    let mut refused: Vec<(Refusal, &ListenerWork<'_>)> = Vec::new();
    let mut rivals: Vec<Cause> = Vec::new();
    let mut attached: Vec<usize> = Vec::new();
    for (position, work) in among.filter(meant) {
        match admission::refusal(route, work) {
            None => match rival(route, carried, gateway, work) {
                None => attached.push(position),
                Some(cause) => rivals.push(cause),
            },
            Some(refusal) => refused.push((refusal, work)),
        }
    }
    if let (true, Some(cause)) = (attached.is_empty(), rivals.first()) {
        world.report(&route.object, "spec.hostnames", cause.clone());
        return Outcome::Refused(cause.clone());
    }
    if attached.is_empty() {
        let (at, cause) = closest(route, parent, gateway, &refused);
        world.report(&route.object, at, cause.clone());
        return Outcome::Refused(cause);
    }
    // Its rules' problems have been told.
    if let Carried::Refused(cause) = carried {
        return Outcome::Refused(cause.clone());
    }
    for cause in rivals {
        world.report(&route.object, "spec.hostnames", cause);
    }

    let outcome = unserved(gateway, &attached);
    let is_awaited = |position: &usize| gateway.listeners.get(*position).is_some_and(|work| work.is_awaited);
    if let Outcome::Attached(Some(cause)) = &outcome
        && !attached.iter().any(is_awaited)
    {
        world.report(&route.object, parent.field(), cause.clone());
    }
    let mut shadows = Vec::new();
    let key = gateway.key.clone();
    for position in attached {
        let Some(work) = gateway.listeners.get_mut(position) else {
            continue;
        };
        let served = route
            .patterns
            .iter()
            .enumerate()
            .filter(|(_, pattern)| work.hostname.intersects(pattern));
        taken.hostnames.extend(served.map(|(position, _)| position));
        add(&mut taken.listeners, (parent.place.gateway, position));
        match carried {
            Carried::Connections(forward) => claim(route, &key, work, forward, &mut shadows),
            Carried::Requests(requests) => claim_requests(route, work, requests),
            Carried::Refused(_) => {}
        }
    }
    for (field, cause) in shadows {
        world.report(&route.object, field, cause);
    }
    outcome
}

/// Attached; unless what took it serves nothing. The specification counts a route on a refused listener ("Listener or Route status does
/// not impact successful attachment"), and counts accepted routes only: so such a route is accepted, and its message says the rest.
fn unserved(gateway: &GatewayWork<'_>, attached: &[usize]) -> Outcome {
    if let Some(cause) = &gateway.refused {
        return Outcome::Attached(Some(Cause::ParentNotServed {
            gateway: gateway.key.clone(),
            listener: None,
            reason: cause.reason(),
        }));
    }
    let mut refused = None;
    for work in attached.iter().filter_map(|position| gateway.listeners.get(*position)) {
        let Some(cause) = &work.refused else {
            return Outcome::Attached(None);
        };
        refused.get_or_insert_with(|| Cause::ParentNotServed {
            gateway: gateway.key.clone(),
            listener: Some(work.name.clone()),
            reason: cause.reason(),
        });
    }
    Outcome::Attached(refused)
}

/// HTTPRoutes and GRPCRoutes do not meet on a name of a listener: "An implementation that does so MUST accept exactly one of them", the
/// older, then the first by name (apis/v1/grpcroute_types.go, Hostnames). Routes are entered in that order.
fn rival(route: &Route<'_>, carried: &Carried, gateway: &GatewayWork<'_>, work: &ListenerWork<'_>) -> Option<Cause> {
    let Carried::Requests(requests) = carried else { return None };
    let (hostname, rival) = work.requests.rival(route, requests, &work.hostname)?;
    Some(Cause::RouteKindConflict {
        hostname,
        by: rival.route.clone(),
        gateway: gateway.key.clone(),
        listener: work.name.clone(),
    })
}

/// The reference means no listener of its object.
fn no_section(parent: &Parent<'_>, gateway: &GatewayWork<'_>) -> (String, Cause) {
    let there = gateway.listeners_at(&parent.positions(gateway)).iter();
    let there = there
        .map(|work| format!("{} ({})", work.listener.name, work.port()))
        .collect();
    let reference = &parent.reference;
    let cause = Cause::SectionNotFound {
        parent: parent.set(gateway).map_or(&gateway.object, |set| &set.object).clone(),
        section: reference.section_name.clone(),
        port: reference.port,
        there,
    };
    let part = match (&reference.section_name, reference.port) {
        (Some(_), _) => ".sectionName",
        (None, Some(_)) => ".port",
        (None, None) => "",
    };
    (format!("{}{part}", parent.field()), cause)
}

/// The refusal that came closest, and the field that it blames; those for a hostname are told together.
fn closest(
    route: &Route<'_>,
    parent: &Parent<'_>,
    gateway: &GatewayWork<'_>,
    refused: &[(Refusal, &ListenerWork<'_>)],
) -> (String, Cause) {
    let Some(closest) = refused.iter().map(|(refusal, _)| *refusal).max() else {
        return no_section(parent, gateway);
    };
    let mut works = refused
        .iter()
        .filter(|(refusal, _)| *refusal == closest)
        .map(|(_, work)| work);
    let Some(first) = works.next() else {
        return no_section(parent, gateway);
    };
    let mut cause = admission::cause(closest, route, gateway, first);
    match &mut cause {
        Cause::NoMatchingHostname { listeners, .. } => {
            listeners.extend(works.map(|work| (work.name.clone(), work.hostname.clone())));
            ("spec.hostnames".to_owned(), cause)
        }
        _ => (parent.field(), cause),
    }
}

/// Enters the route's hostnames on a listener, by the names as the route has them.
fn claim(
    route: &Route<'_>,
    gateway: &ObjectKey,
    work: &mut ListenerWork<'_>,
    forward: &Arc<Forward>,
    shadows: &mut Vec<(String, Cause)>,
) {
    let mut enter = |position: Option<usize>, pattern: &HostnamePattern| {
        // The same route by two parent references, or with a name twice, shadows nobody.
        if let Err(holder) = work.routes.claim(pattern, Arc::clone(forward))
            && holder.route != route.object
        {
            let cause = Cause::Shadowed {
                hostname: pattern.to_string(),
                by: holder.route.clone(),
                gateway: gateway.clone(),
                listener: work.name.clone(),
            };
            let field = position.map_or_else(|| "spec".to_owned(), hostname_field);
            shadows.push((field, cause));
        }
    };
    if route.patterns.is_empty() {
        enter(None, &HostnamePattern::Any);
    }
    for (position, pattern) in route.patterns.iter().enumerate() {
        if work.hostname.intersects(pattern) {
            enter(Some(position), pattern);
        }
    }
}

/// Likewise for requests, where several routes may have one hostname.
fn claim_requests(route: &Route<'_>, work: &mut ListenerWork<'_>, requests: &Arc<RouteRequests>) {
    if route.patterns.is_empty() {
        work.requests.claim(&HostnamePattern::Any, requests);
    }
    for pattern in route.patterns.iter().filter(|pattern| work.hostname.intersects(pattern)) {
        work.requests.claim(pattern, requests);
    }
}

fn hostname_field(position: usize) -> String {
    format!("spec.hostnames[{position}]")
}

/// Hostnames that no listener took, of a route that attached somewhere.
fn report_ignored(world: &mut World<'_>, route: &Route<'_>, taken: &Taken) {
    if taken.hostnames.is_empty() {
        return;
    }
    for (position, hostname) in route.hostnames.iter().enumerate() {
        if !taken.hostnames.contains(&position) {
            let hostname = hostname.clone();
            world.report(&route.object, hostname_field(position), Cause::HostnameIgnored { hostname });
        }
    }
}

/// Hostnames whose connections all go to another, more specific listener, to which the route is not attached.
fn report_unreachable(world: &mut World<'_>, route: &Route<'_>, gateways: &[GatewayWork<'_>], taken: &Taken) {
    for (gateway_position, position) in &taken.listeners {
        let Some(gateway) = gateways.get(*gateway_position) else {
            continue;
        };
        let Some(work) = gateway.listeners.get(*position) else {
            continue;
        };
        let Some(names) = gateway.names.get(&work.port()) else {
            continue;
        };
        let claims = route.patterns.iter().enumerate();
        for (index, pattern) in claims.filter(|(_, pattern)| work.hostname.includes(pattern)) {
            let Some(winner) = names.most_specific(pattern).copied() else {
                continue;
            };
            let Some(other) = gateway.listeners.get(winner) else {
                continue;
            };
            if winner == *position || taken.listeners.contains(&(*gateway_position, winner)) {
                continue;
            }
            let cause = Cause::HostnameUnreachable {
                hostname: pattern.to_string(),
                gateway: gateway.key.clone(),
                listener: work.name.clone(),
                other: other.name.clone(),
                claims: other.hostname.clone(),
            };
            world.report(&route.object, hostname_field(index), cause);
        }
    }
}
