//! Pass 5, the question in its middle: does a listener take a route, and if not, why.

use sealway_api::{FromNamespaces, Kind, NamespaceRule, Protocol, Reason};

use super::listeners;
use super::routes::Route;
use super::world::{GatewayWork, ListenerWork, World};
use crate::problem::Cause;

/// Why a listener does not take a route.
pub(super) struct Refusal {
    /// How close it came; the closest refusal is the one that is told.
    pub(super) closeness: Closeness,
    pub(super) cause: Cause,
}

/// The steps to attachment, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closeness {
    Protocol,
    Kind,
    Namespace,
    Hostname,
}

/// Kind first, then namespace, then hostname: the first that does not fit refuses the route.
pub(super) fn refusal(
    world: &World<'_>,
    route: &Route<'_>,
    gateway: &GatewayWork<'_>,
    work: &ListenerWork<'_>,
) -> Option<Refusal> {
    wrong_kind(route, gateway, work)
        .or_else(|| wrong_namespace(world, route, gateway, work))
        .or_else(|| wrong_hostname(route, gateway, work))
}

fn wrong_kind(route: &Route<'_>, gateway: &GatewayWork<'_>, work: &ListenerWork<'_>) -> Option<Refusal> {
    let kind = &route.object.kind;
    let is_kind = |allowed: &sealway_api::RouteGroupKind| allowed.group == kind.group() && allowed.kind == kind.as_str();
    if work.kinds.iter().any(is_kind) {
        return None;
    }
    let listener = work.listener.name.clone();
    let protocol = &work.listener.protocol;
    if listeners::fits(protocol, kind) {
        return Some(Refusal {
            closeness: Closeness::Kind,
            cause: Cause::KindNotAllowed {
                gateway: gateway.key.clone(),
                listener,
                kind: kind.to_string(),
            },
        });
    }
    let unserved = matches!(
        (protocol, kind),
        (Protocol::Tcp, Kind::TcpRoute) | (Protocol::Udp, Kind::UdpRoute)
    );
    let cause = if unserved {
        Cause::ListenerUnsupported {
            gateway: gateway.key.clone(),
            listener,
            reason: work.refused.as_ref().map_or(Reason::UnsupportedProtocol, Cause::reason),
        }
    } else {
        Cause::ListenerCannotHaveRoute {
            gateway: gateway.key.clone(),
            listener,
            protocol: protocol.to_string(),
            kind: kind.to_string(),
        }
    };
    Some(Refusal {
        closeness: if unserved { Closeness::Kind } else { Closeness::Protocol },
        cause,
    })
}

fn wrong_namespace(world: &World<'_>, route: &Route<'_>, gateway: &GatewayWork<'_>, work: &ListenerWork<'_>) -> Option<Refusal> {
    let rule = work
        .listener
        .allowed_routes
        .as_ref()
        .and_then(|allowed| allowed.namespaces.as_ref());
    let own = &work.owner.key.namespace;
    let namespace = &route.object.key.namespace;
    let (rule, labels) = namespace_refusal(world, rule, own, namespace)?;
    Some(Refusal {
        closeness: Closeness::Namespace,
        cause: Cause::NamespaceNotAllowed {
            gateway: gateway.key.clone(),
            listener: work.listener.name.clone(),
            namespace: namespace.clone(),
            rule,
            labels,
        },
    })
}

/// Why routes of a namespace are not taken: the rule in words and, where labels would help, those that are missing.
fn namespace_refusal(
    world: &World<'_>,
    rule: Option<&NamespaceRule>,
    own: &str,
    other: &str,
) -> Option<(String, Option<String>)> {
    match rule.and_then(|rule| rule.from.as_ref()) {
        Some(FromNamespaces::All) => None,
        // Same is the CRD's default.
        None | Some(FromNamespaces::Same) => (own != other).then(|| (format!("from: Same, that is only `{own}`"), None)),
        Some(FromNamespaces::Selector) => match rule.and_then(|rule| rule.selector.as_ref()) {
            Some(selector) if world.selects(selector, other) => None,
            Some(selector) => Some((
                format!("from: Selector, {}", listeners::selector_text(selector)),
                listeners::labels_to_set(selector),
            )),
            None => Some(("from: Selector without a selector".to_owned(), None)),
        },
        // A value that nobody knows admits nobody.
        Some(from @ (FromNamespaces::None | FromNamespaces::Other(_))) => Some((format!("from: {from}"), None)),
    }
}

fn wrong_hostname(route: &Route<'_>, gateway: &GatewayWork<'_>, work: &ListenerWork<'_>) -> Option<Refusal> {
    let meets = route.patterns.is_empty() || route.patterns.iter().any(|pattern| work.hostname.intersects(pattern));
    (!meets).then(|| Refusal {
        closeness: Closeness::Hostname,
        cause: Cause::NoMatchingHostname {
            gateway: gateway.key.clone(),
            hostnames: route.hostnames.to_vec(),
            listeners: vec![(work.listener.name.clone(), work.hostname.clone())],
        },
    })
}
