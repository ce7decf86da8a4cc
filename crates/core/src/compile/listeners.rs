//! Pass 2: each listener by itself: protocol, kinds of routes, TLS settings, selector; and names that overlap on a port.

use std::collections::BTreeSet;

use sealway_api::{
    FromNamespaces, HttpFilterType, Kind, LabelOperator, LabelSelector, Listener, NAMESPACE_NAME_LABEL, Protocol, RouteGroupKind,
    TlsMode,
};

use super::http::ListenerRequests;
use super::world::{Binding, GatewayWork, ListenerWork, World};
use super::{certificates, routes};
use crate::hostname::{HostnamePattern, NameIndex};
use crate::problem::Cause;
use crate::snapshot::{TlsOptions, Transport};

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
            refused: None,
            certificates: Vec::new(),
            client_validation: None,
            options: TlsOptions::default(),
            conflicted: false,
            is_awaited: false,
            unresolved: None,
            overlaps: Vec::new(),
            binding: Binding::Bound,
            attached: 0,
            routes: NameIndex::default(),
            requests: ListenerRequests::default(),
        };
        protocol(world, &mut work);
        filters(world, &mut work);
        kinds(world, &mut work);
        certificates::read(world, &mut work);
        selector(world, &work);
        gateway.listeners.push(work);
    }
    for (position, work) in gateway
        .listeners
        .iter()
        .enumerate()
        .filter(|(_, work)| has_names(work.listener))
    {
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

/// Namespaces of the routes that would attach to a listener.
fn knocking(world: &World<'_>, work: &ListenerWork<'_>) -> Vec<String> {
    let owner = &work.owner.key;
    let routes = routes::in_order(world);
    let knocks = |route: &&routes::Route<'_>| {
        fits(&work.listener.protocol, &route.object.kind)
            && route
                .parents
                .iter()
                .any(|parent| route.parent(parent) == (owner.namespace.as_str(), owner.name.as_str()) && work.is_meant_by(parent))
    };
    let namespaces: BTreeSet<&String> = routes
        .iter()
        .filter(knocks)
        .map(|route| &route.object.key.namespace)
        .collect();
    namespaces.into_iter().cloned().collect()
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
