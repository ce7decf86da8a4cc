//! Pass 2: each listener by itself: protocol, kinds of routes, TLS settings, selector; and, once conflicts are found, names that overlap on
//! a port.

use std::collections::{BTreeMap, BTreeSet};

use sealway_api::{
    FromNamespaces, HttpFilterType, Kind, LabelOperator, LabelSelector, Listener, NAMESPACE_NAME_LABEL, ObjectRef, ParentRef,
    Protocol, RouteGroupKind, TlsMode,
};

use super::extent::Extent;
use super::http::ListenerRequests;
use super::world::{Binding, GatewayWork, ListenerWork, World};
use super::{certificates, gateways, routes};
use crate::hostname::{HostnamePattern, NameIndex};
use crate::problem::Cause;
use crate::snapshot::{TlsOptions, Transport};

/// Examines the listeners of a Gateway, and then of the ListenerSets that it takes.
pub(super) fn examine<'a>(world: &mut World<'a>, gateway: &mut GatewayWork<'a>) {
    let own = gateway.gateway.spec.listeners.iter().enumerate();
    for (position, listener) in own {
        let work = open(gateway.object.clone(), 0, position, listener);
        gateway.listeners.push(examined(world, work));
    }
    for (order, set) in gateway.sets.iter_mut().enumerate() {
        let start = gateway.listeners.len();
        let taken = set.set.spec.listeners.iter().filter(|_| set.refused.is_none());
        for (position, listener) in taken.enumerate() {
            let mut work = open(set.object.clone(), order + 1, position, listener);
            // No name of a listener holds a slash.
            work.name = format!("{}/{}", set.object.key, listener.name);
            gateway.listeners.push(examined(world, work));
        }
        set.listeners = start..gateway.listeners.len();
    }
}

fn open(owner: ObjectRef, rank: usize, position: usize, listener: &Listener) -> ListenerWork<'_> {
    ListenerWork {
        listener,
        name: listener.name.clone(),
        owner,
        field: format!("spec.listeners[{position}]"),
        rank,
        hostname: HostnamePattern::parse(listener.hostname.as_deref()),
        transport: if listener.protocol == Protocol::Udp {
            Transport::Udp
        } else {
            Transport::Tcp
        },
        kinds: Vec::new(),
        refused: None,
        certificates: Vec::new(),
        client_validation: None,
        options: TlsOptions::default(),
        conflicted: false,
        beaten: false,
        is_awaited: false,
        unresolved: None,
        overlaps: Vec::new(),
        binding: Binding::Bound,
        attached: 0,
        routes: NameIndex::default(),
        requests: ListenerRequests::default(),
    }
}

fn examined<'a>(world: &mut World<'a>, mut work: ListenerWork<'a>) -> ListenerWork<'a> {
    protocol(world, &mut work);
    filters(world, &mut work);
    kinds(world, &mut work);
    certificates::read(world, &mut work);
    selector(world, &work);
    work
}

/// Enters the names that listeners claim, and finds those that overlap.
pub(super) fn names(gateway: &mut GatewayWork<'_>) {
    let claiming = gateway.listeners.iter().enumerate();
    for (position, work) in claiming.filter(|(_, work)| has_names(work.listener) && !work.beaten) {
        // Of two claims on one name both listeners are refused, so it does not matter which one is found.
        let _ = gateway.names.entry(work.port()).or_default().claim(&work.hostname, position);
    }
    overlaps(&mut gateway.listeners);
}

fn protocol(world: &mut World<'_>, work: &mut ListenerWork<'_>) {
    let listener = work.listener;
    let mode = mode(listener);
    let refused = match (&listener.protocol, &mode) {
        (Protocol::Tls, TlsMode::Passthrough)
        | (Protocol::Https | Protocol::Tls, TlsMode::Terminate)
        | (Protocol::Http | Protocol::Tcp | Protocol::Udp, _) => None,
        (protocol @ (Protocol::Tls | Protocol::Https), mode) => Some((
            "tls.mode",
            Cause::TlsModeUnsupported {
                mode: mode.to_string(),
                protocol: protocol.to_string(),
            },
        )),
        (protocol, _) => Some((
            "protocol",
            Cause::ProtocolUnsupported {
                protocol: protocol.to_string(),
            },
        )),
    };
    if let Some((field, cause)) = refused {
        world.report(&work.owner, format!("{}.{field}", work.field), cause.clone());
        work.refused = Some(cause);
    }
}

/// A listener without the filters that were asked of it would let pass what they are to stop, so it serves nothing.
fn filters(world: &mut World<'_>, work: &mut ListenerWork<'_>) {
    let requests = work.listener.filters.requests.iter();
    let others = requests.filter(|filter| filter.kind != HttpFilterType::ExternalAuth);
    let kinds: Vec<String> = others.map(|filter| filter.kind.to_string()).collect();
    if kinds.is_empty() {
        return;
    }
    let cause = Cause::ListenerFiltersUnsupported { kinds };
    world.report(&work.owner, format!("{}.filters", work.field), cause.clone());
    work.refused.get_or_insert(cause);
}

/// Where TLS ends; Terminate unless the listener says otherwise (the CRD's default).
pub(super) fn mode(listener: &Listener) -> TlsMode {
    listener
        .tls
        .as_ref()
        .and_then(|tls| tls.mode.clone())
        .unwrap_or(TlsMode::Terminate)
}

/// Kinds of routes that fit a protocol.
fn fitting(protocol: &Protocol) -> &'static [Kind] {
    match protocol {
        Protocol::Http | Protocol::Https => &[Kind::HttpRoute, Kind::GrpcRoute],
        Protocol::Tls => &[Kind::TlsRoute],
        Protocol::Tcp => &[Kind::TcpRoute],
        Protocol::Udp => &[Kind::UdpRoute],
        Protocol::Other(_) => &[],
    }
}

/// Whether a listener of this protocol can have routes of this kind.
pub(super) fn fits(protocol: &Protocol, kind: &Kind) -> bool {
    fitting(protocol).contains(kind)
}

fn kinds(world: &mut World<'_>, work: &mut ListenerWork<'_>) {
    let fitting = fitting(&work.listener.protocol);
    let supported = |kind: &Kind| RouteGroupKind {
        group: kind.group().to_owned(),
        kind: kind.to_string(),
    };
    let wanted = work
        .listener
        .allowed_routes
        .as_ref()
        .map_or(&[][..], |allowed| &allowed.kinds);
    if wanted.is_empty() {
        work.kinds = fitting.iter().map(supported).collect();
        return;
    }
    for (position, wanted) in wanted.iter().enumerate() {
        if fitting
            .iter()
            .any(|kind| kind.group() == wanted.group && kind.as_str() == wanted.kind)
        {
            if !work.kinds.contains(wanted) {
                work.kinds.push(wanted.clone());
            }
            continue;
        }
        let there = fitting.iter().map(ToString::to_string).collect();
        let cause = Cause::RouteKindUnsupported {
            kind: wanted.kind.clone(),
            supported: there,
        };
        // A listener that is refused for its protocol has no kinds at all: one problem is enough.
        if work.refused.is_none() {
            world.report(
                &work.owner,
                format!("{}.allowedRoutes.kinds[{position}].kind", work.field),
                cause.clone(),
            );
        }
        work.unresolved.get_or_insert(cause);
    }
}

fn selector(world: &mut World<'_>, work: &ListenerWork<'_>) {
    let Some(rule) = work
        .listener
        .allowed_routes
        .as_ref()
        .and_then(|allowed| allowed.namespaces.as_ref())
    else {
        return;
    };
    if rule.from != Some(FromNamespaces::Selector) {
        return;
    }
    let field = format!("{}.allowedRoutes.namespaces.selector", work.field);
    let Some(selector) = &rule.selector else {
        world.report(
            &work.owner,
            format!("{}.allowedRoutes.namespaces", work.field),
            Cause::SelectorMissing,
        );
        return;
    };
    if !world.selects_any(selector) {
        let cause = Cause::SelectorMatchesNothing {
            selector: selector_text(selector),
            labels: labels_to_set(selector),
            namespaces: knocking(world, work),
        };
        world.report(&work.owner, field, cause);
    }
}

/// Routes by the parent that they name: kind and namespace of the route, and its reference.
pub(super) type Knocking<'a> = BTreeMap<ObjectRef, Vec<(Kind, Option<&'a ParentRef>, String)>>;

/// Namespaces of the routes that would attach to a listener.
fn knocking(world: &mut World<'_>, work: &ListenerWork<'_>) -> Vec<String> {
    if world.knocking.is_none() {
        world.knocking = Some(routes_by_parent(world));
    }
    let by_parent = world.knocking.as_ref().and_then(|by_parent| by_parent.get(&work.owner));
    // Without a reference all listeners are meant.
    let knocks = |(kind, parent, _): &&(Kind, Option<&ParentRef>, String)| {
        fits(&work.listener.protocol, kind) && parent.is_none_or(|parent| work.is_meant_by(parent))
    };
    let namespaces: BTreeSet<&String> = by_parent
        .into_iter()
        .flatten()
        .filter(knocks)
        .map(|(.., namespace)| namespace)
        .collect();
    namespaces.into_iter().cloned().collect()
}

fn routes_by_parent<'a>(world: &World<'a>) -> Knocking<'a> {
    let mut by_parent = Knocking::new();
    for route in routes::in_order(world, &Extent::Everything) {
        for parent in route.parents {
            let (namespace, name) = route.parent(parent);
            let of = ObjectRef::new(Kind::from(parent.kind.as_str()), namespace, name);
            let knock = (route.object.kind.clone(), Some(parent), route.object.key.namespace.clone());
            by_parent.entry(of).or_default().push(knock);
        }
        let defaults = route.default_scope.map(|scope| gateways::defaults(world.resources, scope));
        for key in defaults.into_iter().flatten() {
            let knock = (route.object.kind.clone(), None, route.object.key.namespace.clone());
            by_parent.entry(ObjectRef::of(Kind::Gateway, key)).or_default().push(knock);
        }
    }
    by_parent
}

/// A selector as kubectl writes it.
pub(super) fn selector_text(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().map(|requirement| {
        let values = requirement.values.join(",");
        match requirement.values.is_empty() {
            true => format!("{} {}", requirement.key, requirement.operator),
            false => format!("{} {} ({values})", requirement.key, requirement.operator),
        }
    });
    let text = labels.chain(expressions).collect::<Vec<_>>().join(",");
    if text.is_empty() { "every namespace".to_owned() } else { text }
}

/// Labels that would make a namespace selected, as `kubectl label` takes them; `None` where labels that may be set cannot do it.
pub(super) fn labels_to_set(selector: &LabelSelector) -> Option<String> {
    let mut labels: Vec<String> = Vec::new();
    for (key, value) in &selector.match_labels {
        labels.push(format!("{key}={value}"));
    }
    for requirement in &selector.match_expressions {
        match (&requirement.operator, requirement.values.first()) {
            (LabelOperator::In, Some(value)) => labels.push(format!("{}={value}", requirement.key)),
            (LabelOperator::Exists, _) => labels.push(format!("{}=true", requirement.key)),
            _ => return None,
        }
    }
    // The name's label is Kubernetes' own.
    let is_free = labels.iter().all(|label| !label.starts_with(NAMESPACE_NAME_LABEL));
    (is_free && !labels.is_empty()).then(|| labels.join(" "))
}

/// OverlappingTLSConfig: every HTTPS or TLS listener of a port whose names another one covers too (apis/v1/gateway_types.go). Those that
/// lost to an object that comes first cover nothing.
fn overlaps(listeners: &mut [ListenerWork<'_>]) {
    let speaking = |work: &&ListenerWork<'_>| speaks_tls(work.listener) && !work.beaten;
    let mut by_name: BTreeMap<u16, NameIndex<Vec<usize>>> = BTreeMap::new();
    for (position, work) in listeners.iter().enumerate().filter(|(_, work)| speaking(work)) {
        let names = by_name.entry(work.port()).or_default();
        names.entry(&work.hostname).push(position);
    }
    // Of two patterns that meet, one includes the other: so each has only to look upwards, and tells both.
    let mut overlapping: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); listeners.len()];
    for (position, work) in listeners.iter().enumerate().filter(|(_, work)| speaking(work)) {
        let wider = by_name.get(&work.port()).map(|names| names.including(&work.hostname));
        for other in wider.into_iter().flatten().flatten().filter(|other| **other != position) {
            for (one, two) in [(position, *other), (*other, position)] {
                if let Some(found) = overlapping.get_mut(one) {
                    found.insert(two);
                }
            }
        }
    }
    let name = |position: usize| listeners.get(position).map(|work| work.name.clone());
    let overlapping: Vec<Vec<String>> = overlapping
        .into_iter()
        .map(|others| others.into_iter().filter_map(name).collect())
        .collect();
    for (work, names) in listeners.iter_mut().zip(overlapping) {
        work.overlaps = names;
    }
}

/// Whether names tell the listener from others of its port.
fn has_names(listener: &Listener) -> bool {
    speaks_tls(listener) || listener.protocol == Protocol::Http
}

/// Whether the listener reads a ClientHello.
pub(super) fn speaks_tls(listener: &Listener) -> bool {
    matches!(listener.protocol, Protocol::Https | Protocol::Tls)
}

/// Whether requests arrive on it.
pub(super) fn takes_requests(listener: &Listener) -> bool {
    matches!(listener.protocol, Protocol::Http | Protocol::Https)
}
