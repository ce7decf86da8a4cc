//! A second matcher, naive and slow, written from the specification's words and from nothing of ours.
//!
//! It answers from the resources: which listener takes a server name, and which route of that listener. Only which listeners are
//! accepted it takes from the statuses, save conflicts, which it finds by itself.

use std::collections::BTreeMap;

use sealway_api::{
    FromNamespaces, Kind, L4RouteRule, Listener, ObjectKey, ObjectRef, ParentRef, Protocol, Resources, TlsMode, TlsRoute,
};

use super::held::{self, Held};

/// "the most specific to least specific Hostname values": exact, then wildcards with more dots, then none.
pub(crate) fn listener<'a, 'b>(held: &'b [Held<'a>], port: u16, name: Option<&str>) -> Option<&'b Held<'a>> {
    let claims = held.iter().filter(|listener| {
        listener.port == port
            && has_names(listener)
            && hostname_matches(listener.hostname.as_deref(), name)
            && !held::is_beaten(held, listener)
    });
    claims.max_by_key(|listener| match listener.hostname.as_deref() {
        None | Some("") => (0, 0),
        Some(wildcard) if wildcard.starts_with("*.") => (1, wildcard.matches('.').count()),
        Some(_) => (2, 0),
    })
}

/// The first by: characters in a matching non-wildcard hostname, characters in a matching hostname, age, namespace/name.
pub(crate) fn route<'a>(resources: &'a Resources, listener: &Held<'_>, name: Option<&str>) -> Option<(ObjectRef, &'a TlsRoute)> {
    let mut candidates = Vec::new();
    for (key, route) in &resources.tls_routes {
        if !attaches(resources, route, listener) {
            continue;
        }
        let hostnames: Vec<Option<&str>> = match route.spec.hostnames.as_slice() {
            [] => vec![None],
            some => some.iter().map(|hostname| Some(hostname.as_str())).collect(),
        };
        for hostname in hostnames {
            if !hostname_matches(hostname, name) || !intersects(hostname, listener.hostname.as_deref()) {
                continue;
            }
            let exact = hostname.filter(|hostname| !hostname.contains('*')).map_or(0, str::len);
            let characters = hostname.map_or(0, str::len);
            let order = (
                std::cmp::Reverse(exact),
                std::cmp::Reverse(characters),
                route.metadata.creation_timestamp,
                key,
            );
            candidates.push((order, route));
        }
    }
    let (order, route) = candidates.into_iter().min_by(|one, two| one.0.cmp(&two.0))?;
    Some((ObjectRef::new("TLSRoute".into(), &order.3.namespace, &order.3.name), &**route))
}

/// Whether a TLSRoute attaches to a listener, by any of its parent references.
pub(crate) fn attaches(resources: &Resources, route: &TlsRoute, listener: &Held<'_>) -> bool {
    let namespace = route.metadata.namespace.as_deref().unwrap_or_default();
    route.spec.parent_refs.iter().any(|parent| means(parent, namespace, listener))
        && takes(resources, listener, "TLSRoute", namespace)
        && (route.spec.hostnames.is_empty()
            || route
                .spec
                .hostnames
                .iter()
                .any(|hostname| intersects(Some(hostname), listener.hostname.as_deref())))
}

/// The TCPRoutes or UDPRoutes that attach to a listener, oldest first: "only the oldest route is bound to the listener".
pub(crate) fn relays<'a>(resources: &'a Resources, listener: &Held<'_>) -> Vec<(ObjectRef, &'a [L4RouteRule])> {
    let kind = format!("{}Route", listener.protocol);
    let tcp = resources
        .tcp_routes
        .iter()
        .map(|(key, route)| ("TCPRoute", key, &route.metadata, &route.spec.parent_refs, &route.spec.rules));
    let udp = resources
        .udp_routes
        .iter()
        .map(|(key, route)| ("UDPRoute", key, &route.metadata, &route.spec.parent_refs, &route.spec.rules));
    let of_kind = tcp.chain(udp).filter(|(of, ..)| *of == kind);
    let mut attached: Vec<_> = of_kind
        .filter(|(kind, key, _, parents, _)| {
            parents.iter().any(|parent| means(parent, &key.namespace, listener))
                && takes(resources, listener, kind, &key.namespace)
        })
        .collect();
    attached.sort_by_key(|(_, key, metadata, ..)| (metadata.creation_timestamp, *key));
    let named = attached
        .into_iter()
        .map(|(kind, key, _, _, rules)| (ObjectRef::new(kind.into(), &key.namespace, &key.name), &rules[..]));
    named.collect()
}

/// Whether a parent reference of a route in `namespace` names a Gateway or ListenerSet.
pub(crate) fn names(parent: &ParentRef, namespace: &str, object: &ObjectRef) -> bool {
    parent.group == "gateway.networking.k8s.io"
        && parent.kind == object.kind.as_str()
        && parent.name == object.key.name
        && parent.namespace.as_deref().unwrap_or(namespace) == object.key.namespace
}

/// The Gateway that a parent reference leads to, itself or through a ListenerSet.
pub(crate) fn gateway_of(resources: &Resources, parent: &ParentRef, namespace: &str) -> Option<ObjectKey> {
    let gateways = resources.gateways.keys();
    let mut gateways = gateways.filter(|key| names(parent, namespace, &ObjectRef::of(Kind::Gateway, key)));
    let sets = resources.listener_sets.iter();
    let mut sets = sets.filter(|(key, _)| names(parent, namespace, &ObjectRef::of(Kind::ListenerSet, key)));
    gateways.next().cloned().or_else(|| sets.next()?.1.gateway())
}

pub(crate) fn means(parent: &ParentRef, namespace: &str, listener: &Held<'_>) -> bool {
    names(parent, namespace, &listener.owner)
        && parent.section_name.as_ref().is_none_or(|section| section == listener.section)
        && parent.port.is_none_or(|port| port == listener.port)
}

pub(crate) fn takes(resources: &Resources, listener: &Held<'_>, kind: &str, namespace: &str) -> bool {
    let allowed = listener.allowed_routes.clone().unwrap_or_default();
    let kind_fits = allowed.kinds.is_empty() || allowed.kinds.iter().any(|allowed| allowed.kind == kind);
    let rule = allowed.namespaces.unwrap_or_default();
    let namespace_fits = match rule.from.unwrap_or(FromNamespaces::Same) {
        FromNamespaces::All => true,
        FromNamespaces::Same => listener.owner.key.namespace == namespace,
        FromNamespaces::Selector => {
            let selector = rule.selector.as_ref();
            selector.is_some_and(|selector| selector.matches(&labels(resources, namespace)))
        }
        FromNamespaces::None | FromNamespaces::Other(_) => false,
    };
    let protocol_fits = match kind {
        "TLSRoute" => listener.protocol == Protocol::Tls,
        "TCPRoute" => listener.protocol == Protocol::Tcp,
        "UDPRoute" => listener.protocol == Protocol::Udp,
        _ => matches!(listener.protocol, Protocol::Http | Protocol::Https),
    };
    protocol_fits && kind_fits && namespace_fits
}

/// Labels of a namespace, its name among them.
pub(crate) fn labels(resources: &Resources, namespace: &str) -> BTreeMap<String, String> {
    let written = resources.namespaces.get(&ObjectKey::new("", namespace));
    let mut labels = written.map(|namespace| namespace.metadata.labels.clone()).unwrap_or_default();
    labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
    labels
}

pub(crate) fn family(listener: &Listener) -> Option<&'static str> {
    match listener.protocol.as_str() {
        "HTTP" => Some("HTTP"),
        "HTTPS" | "TLS" => Some("TLS"),
        "TCP" => Some("TCP"),
        "UDP" => Some("UDP"),
        _ => None,
    }
}

/// Whether names tell a listener from the others of its port.
pub(crate) fn has_names(listener: &Listener) -> bool {
    matches!(family(listener), Some("TLS" | "HTTP"))
}

pub(crate) fn reads_hello(listener: &Listener) -> bool {
    family(listener) == Some("TLS")
}

/// Whether this version serves such a listener, if it is accepted.
pub(crate) fn is_passthrough(listener: &Listener) -> bool {
    let mode = listener.tls.as_ref().and_then(|tls| tls.mode.clone());
    listener.protocol == Protocol::Tls && mode == Some(TlsMode::Passthrough)
}

/// "a match for `*.example.com` would match both `test.example.com`, and `foo.test.example.com`, but not `example.com`".
pub(crate) fn hostname_matches(hostname: Option<&str>, name: Option<&str>) -> bool {
    match (hostname, name) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(hostname), Some(name)) => match hostname.strip_prefix('*') {
            Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
            None => name == hostname,
        },
    }
}

/// "there must be at least one intersecting hostname": some name that either of them suggests matches both.
pub(crate) fn intersects(one: Option<&str>, two: Option<&str>) -> bool {
    let mut names = names_around([one, two].into_iter().flatten());
    names.push("nothing.at.all".to_owned());
    names
        .iter()
        .any(|name| hostname_matches(one, Some(name)) && hostname_matches(two, Some(name)))
}

/// Names that tell every two hostnames of the resources apart.
pub(crate) fn server_names(resources: &Resources) -> Vec<String> {
    let listeners = resources.gateways.values().flat_map(|gateway| &gateway.spec.listeners);
    let of_sets = resources.listener_sets.values().flat_map(|set| &set.spec.listeners);
    let listeners = listeners.chain(of_sets).filter_map(|listener| listener.hostname.as_deref());
    let routes = resources.tls_routes.values().flat_map(|route| &route.spec.hostnames);
    let http = resources.http_routes.values().flat_map(|route| &route.spec.hostnames);
    let grpc = resources.grpc_routes.values().flat_map(|route| &route.spec.hostnames);
    let routes = routes.chain(http).chain(grpc);
    let mut names = names_around(listeners.chain(routes.map(String::as_str)));
    names.sort();
    names.dedup();
    names
}

fn names_around<'a>(hostnames: impl Iterator<Item = &'a str>) -> Vec<String> {
    let bare = hostnames.map(|hostname| hostname.trim_start_matches("*.").to_owned());
    bare.flat_map(|name| [format!("x.{name}"), format!("x.y.{name}"), name])
        .collect()
}
