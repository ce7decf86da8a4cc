//! Pass 5: routes to listeners.
//!
//! Job: for every parent reference of ours, decide whether the route attaches, claim its names on the listeners that take it, and
//! write its status. Input: Gateways with examined listeners. Output: route statuses; `attached` and `routes` of the listeners.
//! Invariant: routes are entered oldest first, then by namespace and name, so the first claim on a hostname is the one that holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{
    FromNamespaces, GATEWAY_GROUP, Kind, L4RouteRule, NamespaceRule, ObjectKey, ObjectMeta, ObjectRef, ParentRef,
    RouteParentStatus, RouteStatus,
};

use super::world::{GatewayWork, ListenerWork, Stage, World};
use super::{backends, listeners, statuses, values};
use crate::hostname::HostnamePattern;
use crate::problem::Cause;
use crate::snapshot::Forward;

/// Attaches routes of every kind.
pub(super) fn attach(world: &mut World<'_>, gateways: &mut [GatewayWork<'_>]) -> BTreeMap<ObjectRef, RouteStatus> {
    let index: BTreeMap<ObjectKey, usize> = gateways
        .iter()
        .enumerate()
        .map(|(position, gateway)| (gateway.key.clone(), position))
        .collect();
    let mut statuses = BTreeMap::new();
    for route in in_order(world) {
        let object = &route.object;
        let forward = forward(world, &route, index.keys());
        let mut parents = Vec::new();
        let mut served = BTreeSet::new();
        for (position, parent) in route.parents.iter().enumerate() {
            let field = format!("spec.parentRefs[{position}]");
            let Some(gateway) = parent_gateway(world, &route, parent, &field, &index) else {
                continue;
            };
            let Some(gateway) = gateways.get_mut(gateway) else { continue };
            let outcome = attach_to(
                world,
                &route,
                parent,
                &field,
                gateway,
                forward.as_ref().map(|(forward, _)| forward),
                &mut served,
            );
            let unresolved = forward.as_ref().and_then(|(_, unresolved)| unresolved.as_ref());
            let conditions = statuses::route(route.metadata.generation, &outcome, unresolved);
            parents.push(RouteParentStatus {
                parent_ref: parent.clone(),
                controller_name: world.settings.controller_name().to_owned(),
                conditions,
            });
        }
        if !parents.is_empty() {
            report_ignored(world, &route, &served);
            statuses.insert(object.clone(), RouteStatus { parents });
        }
    }
    statuses
}

/// What all kinds of routes have in common.
struct Route<'a> {
    object: ObjectRef,
    metadata: &'a ObjectMeta,
    parents: &'a [ParentRef],
    hostnames: &'a [String],
    /// For kinds that carry traffic in this version.
    rules: Option<&'a [L4RouteRule]>,
}

/// How a route stands with one parent.
pub(super) enum Outcome {
    /// At least one listener took it.
    Attached,
    /// A listener took it, but this version does not serve such routes.
    NotYet(Cause),
    /// No listener took it; the reason of the one that came closest.
    Refused(Cause),
}

fn in_order<'a>(world: &World<'a>) -> Vec<Route<'a>> {
    let resources = world.resources;
    let route = |kind, key, metadata, parents, hostnames, rules| Route {
        object: ObjectRef::of(kind, key),
        metadata,
        parents,
        hostnames,
        rules,
    };
    let mut routes: Vec<Route<'a>> = Vec::new();
    routes.extend(resources.tls_routes.iter().map(|(key, object)| {
        route(
            Kind::TlsRoute,
            key,
            &object.metadata,
            &object.spec.parent_refs,
            &object.spec.hostnames,
            Some(&*object.spec.rules),
        )
    }));
    routes.extend(resources.http_routes.iter().map(|(key, object)| {
        route(
            Kind::HttpRoute,
            key,
            &object.metadata,
            &object.spec.parent_refs,
            &object.spec.hostnames,
            None,
        )
    }));
    routes.extend(resources.grpc_routes.iter().map(|(key, object)| {
        route(
            Kind::GrpcRoute,
            key,
            &object.metadata,
            &object.spec.parent_refs,
            &object.spec.hostnames,
            None,
        )
    }));
    routes.extend(
        resources
            .tcp_routes
            .iter()
            .map(|(key, object)| route(Kind::TcpRoute, key, &object.metadata, &object.spec.parent_refs, &[], None)),
    );
    routes.extend(
        resources
            .udp_routes
            .iter()
            .map(|(key, object)| route(Kind::UdpRoute, key, &object.metadata, &object.spec.parent_refs, &[], None)),
    );
    // Objects without a time are equally old, and older than any that has one: they stand in manifests, not in a cluster.
    routes.sort_by(|one, two| {
        (one.metadata.creation_timestamp, &one.object.key).cmp(&(two.metadata.creation_timestamp, &two.object.key))
    });
    routes
}

/// The route's forwarding, and the first reference of it that leads nowhere. `None` for kinds that carry no traffic yet, and for
/// routes without a parent of ours: they are somebody else's.
fn forward<'k>(
    world: &mut World<'_>,
    route: &Route<'_>,
    mut ours: impl Iterator<Item = &'k ObjectKey>,
) -> Option<(Arc<Forward>, Option<Cause>)> {
    let rules = route.rules?;
    let is_parent = |key: &ObjectKey| route.parents.iter().any(|parent| parent_key(route, parent) == *key);
    if !ours.any(is_parent) {
        return None;
    }
    let annotations = &route.metadata.annotations;
    let timeout = |world: &mut World<'_>, key: &str| {
        values::duration(annotations, key).unwrap_or_else(|cause| {
            world.report(&route.object, format!("metadata.annotations[{key}]"), cause);
            None
        })
    };
    let connect_timeout = timeout(world, values::CONNECT_TIMEOUT).filter(|timeout| !timeout.is_zero());
    let idle_timeout = timeout(world, values::IDLE_TIMEOUT).unwrap_or(values::DEFAULT_IDLE_TIMEOUT);
    if rules.len() > 1 {
        world.report(
            &route.object,
            "spec.rules[1]",
            Cause::RulesShadowed { count: rules.len() - 1 },
        );
    }
    let references = rules.first().map_or(&[][..], |rule| &rule.backend_refs);
    let mut unresolved = None;
    let mut backends = Vec::new();
    for (position, reference) in references.iter().enumerate() {
        let field = format!("spec.rules[0].backendRefs[{position}]");
        let (backend, cause) = backends::resolve(world, &route.object, &field, reference);
        backends.push(backend);
        unresolved = unresolved.or(cause);
    }
    if references.is_empty() {
        world.report(&route.object, "spec.rules[0]", Cause::NoBackends);
    } else if references.iter().all(|reference| reference.weight == 0) {
        world.report(&route.object, "spec.rules[0].backendRefs", Cause::AllWeightsZero);
    }
    let forward = Forward {
        route: route.object.clone(),
        connect_timeout: connect_timeout.unwrap_or(values::DEFAULT_CONNECT_TIMEOUT),
        // Zero switches the timeout off (GEP-2257).
        idle_timeout: Some(idle_timeout).filter(|timeout| !timeout.is_zero()),
        backends,
    };
    Some((Arc::new(forward), unresolved))
}

fn parent_key(route: &Route<'_>, parent: &ParentRef) -> ObjectKey {
    ObjectKey::new(
        parent.namespace.as_deref().unwrap_or(&route.object.key.namespace),
        &parent.name,
    )
}

/// Position of the parent among our Gateways; `None` when it is not one of ours, which is reported only if it is nobody's.
fn parent_gateway(
    world: &mut World<'_>,
    route: &Route<'_>,
    parent: &ParentRef,
    field: &str,
    index: &BTreeMap<ObjectKey, usize>,
) -> Option<usize> {
    let key = parent_key(route, parent);
    let kind = Kind::from(parent.kind.as_str());
    if parent.group != GATEWAY_GROUP || kind != Kind::Gateway {
        // Services are parents for meshes, and ListenerSets report for themselves.
        if !matches!(kind, Kind::Service | Kind::ListenerSet) {
            world.report(
                &route.object,
                format!("{field}.kind"),
                Cause::ParentKindUnsupported {
                    kind: parent.kind.clone(),
                },
            );
        }
        return None;
    }
    if let Some(position) = index.get(&key) {
        return Some(*position);
    }
    if !world.resources.gateways.contains_key(&key) {
        let elsewhere = world
            .resources
            .gateways
            .keys()
            .filter(|other| other.name == key.name)
            .cloned()
            .collect();
        let part = if parent.namespace.is_some() { "namespace" } else { "name" };
        world.report(
            &route.object,
            format!("{field}.{part}"),
            Cause::ParentNotFound {
                parent: ObjectRef::of(Kind::Gateway, &key),
                elsewhere,
            },
        );
    }
    None
}

/// Tries every listener that the reference means.
fn attach_to(
    world: &mut World<'_>,
    route: &Route<'_>,
    parent: &ParentRef,
    field: &str,
    gateway: &mut GatewayWork<'_>,
    forward: Option<&Arc<Forward>>,
    served: &mut BTreeSet<String>,
) -> Outcome {
    let gateway_key = gateway.key.clone();
    let meant = |work: &ListenerWork<'_>| {
        parent
            .section_name
            .as_ref()
            .is_none_or(|section| *section == work.listener.name)
            && parent.port.is_none_or(|port| port == work.port())
    };
    if !gateway.listeners.iter().any(meant) {
        let there = gateway
            .listeners
            .iter()
            .map(|work| format!("{} ({})", work.listener.name, work.port()))
            .collect();
        let cause = Cause::SectionNotFound {
            gateway: gateway_key,
            section: parent.section_name.clone(),
            port: parent.port,
            there,
        };
        let part = if parent.section_name.is_some() {
            ".sectionName"
        } else {
            ".port"
        };
        world.report(&route.object, format!("{field}{part}"), cause.clone());
        return Outcome::Refused(cause);
    }

    let mut closest: Option<(u8, Cause)> = None;
    let mut attached = false;
    let mut carried = false;
    let mut shadows = Vec::new();
    for work in gateway.listeners.iter_mut().filter(|work| meant(work)) {
        match refusal(world, route, &gateway_key, work) {
            Some(refusal) => {
                if closest.as_ref().is_none_or(|(rank, _)| refusal.0 > *rank) {
                    closest = Some(refusal);
                }
            }
            None => {
                work.attached += 1;
                served.extend(
                    route
                        .hostnames
                        .iter()
                        .filter(|name| work.hostname.intersects(&pattern(name)))
                        .cloned(),
                );
                if let Some(cause) = &work.refused {
                    let reason = cause.reason();
                    let cause = Cause::ListenerNotAccepted {
                        gateway: gateway_key.clone(),
                        listener: work.listener.name.clone(),
                        reason,
                    };
                    if closest.as_ref().is_none_or(|(rank, _)| *rank < LISTENER_REFUSED) {
                        closest = Some((LISTENER_REFUSED, cause));
                    }
                    continue;
                }
                attached = true;
                carried |= work.stage == Stage::Served;
                if let Some(forward) = forward {
                    claim(route, &gateway_key, work, forward, &mut shadows);
                }
            }
        }
    }
    for (field, cause) in shadows {
        world.report(&route.object, field, cause);
    }
    match (attached, closest) {
        (true, _) if !carried => Outcome::NotYet(Cause::NotServedYet {
            what: format!("A {} on such a listener", route.object.kind),
        }),
        (true, _) | (false, None) => Outcome::Attached,
        (false, Some((_, cause))) => {
            let part = match &cause {
                Cause::NoMatchingHostname { .. } => "spec.hostnames".to_owned(),
                _ => field.to_owned(),
            };
            world.report(&route.object, part, cause.clone());
            Outcome::Refused(cause)
        }
    }
}

// How close a listener came to taking the route; the closest refusal is the one that is told.
const WRONG_PROTOCOL: u8 = 0;
const KIND_REFUSED: u8 = 1;
const NAMESPACE_REFUSED: u8 = 2;
const HOSTNAME_REFUSED: u8 = 3;
const LISTENER_REFUSED: u8 = 4;

/// Why a listener does not take the route, if it does not.
fn refusal(world: &World<'_>, route: &Route<'_>, gateway: &ObjectKey, work: &ListenerWork<'_>) -> Option<(u8, Cause)> {
    let listener = work.listener.name.clone();
    let kind = &route.object.kind;
    if !work
        .kinds
        .iter()
        .any(|allowed| allowed.group == kind.group() && allowed.kind == kind.as_str())
    {
        let protocol_fits = listeners::fits(&work.listener.protocol, kind);
        return Some(if protocol_fits {
            (
                KIND_REFUSED,
                Cause::KindNotAllowed {
                    gateway: gateway.clone(),
                    listener,
                    kind: kind.to_string(),
                },
            )
        } else {
            let protocol = work.listener.protocol.to_string();
            (
                WRONG_PROTOCOL,
                Cause::ListenerCannotHaveRoute {
                    gateway: gateway.clone(),
                    listener,
                    protocol,
                },
            )
        });
    }
    let rule = work
        .listener
        .allowed_routes
        .as_ref()
        .and_then(|allowed| allowed.namespaces.as_ref());
    if let Err(rule) = namespace_allowed(world, rule, &work.owner.key.namespace, &route.object.key.namespace) {
        return Some((
            NAMESPACE_REFUSED,
            Cause::NamespaceNotAllowed {
                gateway: gateway.clone(),
                listener,
                rule,
            },
        ));
    }
    let meets = route.hostnames.is_empty() || route.hostnames.iter().any(|name| work.hostname.intersects(&pattern(name)));
    (!meets).then(|| {
        let listeners = vec![format!("listener `{listener}`: {}", work.hostname)];
        (
            HOSTNAME_REFUSED,
            Cause::NoMatchingHostname {
                gateway: gateway.clone(),
                hostnames: route.hostnames.to_vec(),
                listeners,
            },
        )
    })
}

/// Whether a listener takes routes of a namespace; if not, the rule in words.
fn namespace_allowed(world: &World<'_>, rule: Option<&NamespaceRule>, own: &str, other: &str) -> Result<(), String> {
    let same = || {
        if own == other {
            Ok(())
        } else {
            Err(format!("from: Same, that is `{own}`"))
        }
    };
    match rule.and_then(|rule| rule.from.as_ref()) {
        None | Some(FromNamespaces::Same) => same(),
        Some(FromNamespaces::All) => Ok(()),
        Some(FromNamespaces::Selector) => match rule.and_then(|rule| rule.selector.as_ref()) {
            Some(selector) if selector.matches(&world.resources.namespace_labels(other)) => Ok(()),
            Some(selector) => Err(format!("it needs the label {}", listeners::selector_text(selector))),
            None => Err("from: Selector without a selector".to_owned()),
        },
        Some(from @ (FromNamespaces::None | FromNamespaces::Other(_))) => Err(format!("from: {from}")),
    }
}

fn pattern(hostname: &str) -> HostnamePattern {
    HostnamePattern::parse(Some(hostname))
}

/// Enters the route's hostnames on a listener, by the names as the route has them.
fn claim(
    route: &Route<'_>,
    gateway: &ObjectKey,
    work: &mut ListenerWork<'_>,
    forward: &Arc<Forward>,
    shadows: &mut Vec<(String, Cause)>,
) {
    let claims: Vec<(String, HostnamePattern)> = if route.hostnames.is_empty() {
        vec![("spec.hostnames".to_owned(), HostnamePattern::Any)]
    } else {
        let named = route.hostnames.iter().enumerate();
        named
            .map(|(position, name)| (format!("spec.hostnames[{position}]"), pattern(name)))
            .collect()
    };
    for (field, pattern) in claims.into_iter().filter(|(_, pattern)| work.hostname.intersects(pattern)) {
        let listener = work.listener.name.clone();
        if let Err(holder) = work.routes.claim(&pattern, Arc::clone(forward)) {
            // The same route by two parent references, or with a name twice, shadows nobody.
            if holder.route != route.object {
                let cause = Cause::Shadowed {
                    hostname: pattern.to_string(),
                    by: holder.route.clone(),
                    gateway: gateway.clone(),
                    listener,
                };
                shadows.push((field, cause));
            }
        }
    }
}

/// Hostnames that no listener took, of a route that attached somewhere.
fn report_ignored(world: &mut World<'_>, route: &Route<'_>, served: &BTreeSet<String>) {
    if served.is_empty() {
        return;
    }
    for (position, hostname) in route.hostnames.iter().enumerate().filter(|(_, name)| !served.contains(*name)) {
        let cause = Cause::HostnameIgnored {
            hostname: hostname.clone(),
        };
        world.report(&route.object, format!("spec.hostnames[{position}]"), cause);
    }
}
