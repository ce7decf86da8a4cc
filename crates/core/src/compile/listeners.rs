//! Pass 2: each listener by itself: protocol, kinds of routes, TLS settings, selector; and names that overlap on a port.

use sealway_api::{FromNamespaces, Kind, Listener, Namespace, Protocol, RouteGroupKind, TlsMode};

use super::certificates;
use super::world::{Binding, GatewayWork, ListenerWork, Stage, World};
use crate::hostname::{HostnamePattern, NameIndex};
use crate::problem::Cause;
use crate::snapshot::Transport;

/// Examines the listeners of a Gateway and finds those whose names overlap.
pub(super) fn examine<'a>(world: &mut World<'a>, gateway: &mut GatewayWork<'a>) {
    for (position, listener) in gateway.gateway.spec.listeners.iter().enumerate() {
        let mut work = ListenerWork {
            listener,
            owner: gateway.object.clone(),
            field: format!("spec.listeners[{position}]"),
            rank: 0,
            hostname: HostnamePattern::parse(listener.hostname.as_deref()),
            transport: if listener.protocol == Protocol::Udp {
                Transport::Udp
            } else {
                Transport::Tcp
            },
            kinds: Vec::new(),
            stage: Stage::NotYet,
            refused: None,
            conflicted: false,
            unresolved: None,
            overlaps: Vec::new(),
            binding: Binding::Bound,
            attached: 0,
            routes: NameIndex::default(),
        };
        protocol(world, &mut work);
        kinds(world, &mut work);
        certificates::check(world, &mut work);
        selector(world, &work);
        gateway.listeners.push(work);
    }
    overlaps(&mut gateway.listeners);
}

fn protocol(world: &mut World<'_>, work: &mut ListenerWork<'_>) {
    let listener = work.listener;
    let mode = mode(listener);
    let refused = match (&listener.protocol, &mode) {
        (Protocol::Tls, TlsMode::Passthrough) => {
            work.stage = Stage::Served;
            None
        }
        (Protocol::Https | Protocol::Tls, TlsMode::Terminate) | (Protocol::Http, _) => None,
        (Protocol::Tls | Protocol::Https, mode) => Some(("tls.mode", Cause::TlsModeUnsupported { mode: mode.to_string() })),
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
        Protocol::Tcp | Protocol::Udp | Protocol::Other(_) => &[],
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
    // Namespaces exist even without a manifest; whoever holds an object of ours is one.
    let mut names: Vec<&str> = world
        .resources
        .namespaces
        .values()
        .map(|namespace: &std::sync::Arc<Namespace>| &*namespace.metadata.name)
        .collect();
    names.extend(route_namespaces(world));
    if !names
        .into_iter()
        .any(|name| selector.matches(&world.resources.namespace_labels(name)))
    {
        world.report(
            &work.owner,
            field,
            Cause::SelectorMatchesNothing {
                selector: selector_text(selector),
            },
        );
    }
}

fn route_namespaces<'a>(world: &World<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let resources = world.resources;
    let of = |key: &'a sealway_api::ObjectKey| key.namespace.as_str();
    (resources.tls_routes.keys().map(of))
        .chain(resources.http_routes.keys().map(of))
        .chain(resources.grpc_routes.keys().map(of))
}

/// A selector as kubectl writes it.
pub(super) fn selector_text(selector: &sealway_api::LabelSelector) -> String {
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

/// OverlappingTLSConfig: every HTTPS or TLS listener of a port whose names another one covers too (apis/v1/gateway_types.go).
fn overlaps(listeners: &mut [ListenerWork<'_>]) {
    let overlapping: Vec<Vec<String>> = listeners
        .iter()
        .enumerate()
        .map(|(position, one)| {
            let others = listeners.iter().enumerate().filter(|(other, two)| {
                *other != position
                    && speaks_tls(one.listener)
                    && speaks_tls(two.listener)
                    && one.port() == two.port()
                    && one.hostname.intersects(&two.hostname)
            });
            others.map(|(_, two)| two.listener.name.clone()).collect()
        })
        .collect();
    for (work, names) in listeners.iter_mut().zip(overlapping) {
        work.overlaps = names;
    }
}

/// Whether the listener reads a ClientHello.
pub(super) fn speaks_tls(listener: &Listener) -> bool {
    matches!(listener.protocol, Protocol::Https | Protocol::Tls)
}
