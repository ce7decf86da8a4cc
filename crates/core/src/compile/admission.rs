//! Pass 5, the question in its middle: does a listener take a route, and if not, why.

use sealway_api::{FromNamespaces, NamespaceRule};

use super::listeners;
use super::routes::Route;
use super::world::{GatewayWork, ListenerWork};
use crate::problem::Cause;

/// Where a route was refused: how close it came. The closest refusal is the one that is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    Protocol,
    Kind,
    Namespace,
    Hostname,
}

/// Kind first, then namespace, then hostname: the first that does not fit refuses the route.
pub(super) fn refusal(route: &Route<'_>, work: &ListenerWork<'_>) -> Option<Refusal> {
    let kind = &route.object.kind;
    let is_kind = |allowed: &sealway_api::RouteGroupKind| allowed.kind == kind.as_str() && allowed.group == kind.group();
    if !work.kinds.iter().any(is_kind) {
        let fits = listeners::fits(&work.listener.protocol, kind);
        return Some(if fits { Refusal::Kind } else { Refusal::Protocol });
    }
    if !takes_namespace(rule(work), &work.owner.key.namespace, route) {
        return Some(Refusal::Namespace);
    }
    let meets = route.patterns.is_empty() || route.patterns.iter().any(|pattern| work.hostname.intersects(pattern));
    (!meets).then_some(Refusal::Hostname)
}

/// Why a listener refused a route, for people; `refusal` is what [`refusal`] said.
pub(super) fn cause(refusal: Refusal, route: &Route<'_>, gateway: &GatewayWork<'_>, work: &ListenerWork<'_>) -> Cause {
    let kind = &route.object.kind;
    let gateway = gateway.key.clone();
    let listener = work.name.clone();
    match refusal {
        Refusal::Protocol => Cause::ListenerCannotHaveRoute {
            gateway,
            listener,
            protocol: work.listener.protocol.to_string(),
            kind: kind.to_string(),
        },
        Refusal::Kind => Cause::KindNotAllowed {
            gateway,
            listener,
            kind: kind.to_string(),
        },
        Refusal::Namespace => {
            let (rule, labels) = rule_in_words(rule(work), &work.owner.key.namespace);
            Cause::NamespaceNotAllowed {
                gateway,
                listener,
                namespace: route.object.key.namespace.clone(),
                rule,
                labels,
            }
        }
        Refusal::Hostname => Cause::NoMatchingHostname {
            gateway,
            hostnames: route.hostnames.to_vec(),
            listeners: vec![(listener, work.hostname.clone())],
        },
    }
}

fn rule<'a>(work: &ListenerWork<'a>) -> Option<&'a NamespaceRule> {
    work.listener
        .allowed_routes
        .as_ref()
        .and_then(|allowed| allowed.namespaces.as_ref())
}

fn takes_namespace(rule: Option<&NamespaceRule>, own: &str, route: &Route<'_>) -> bool {
    match rule.and_then(|rule| rule.from.as_ref()) {
        Some(FromNamespaces::All) => true,
        // Same is the CRD's default.
        None | Some(FromNamespaces::Same) => own == route.object.key.namespace,
        Some(FromNamespaces::Selector) => {
            let selector = rule.and_then(|rule| rule.selector.as_ref());
            selector.is_some_and(|selector| selector.matches(&route.labels))
        }
        // A value that nobody knows admits nobody.
        Some(FromNamespaces::None | FromNamespaces::Other(_)) => false,
    }
}

/// A rule about namespaces and, where labels would help, those to set.
fn rule_in_words(rule: Option<&NamespaceRule>, own: &str) -> (String, Option<String>) {
    let from = rule.and_then(|rule| rule.from.as_ref());
    match (from, rule.and_then(|rule| rule.selector.as_ref())) {
        (None | Some(FromNamespaces::Same), _) => (format!("from: Same, that is only `{own}`"), None),
        (Some(FromNamespaces::Selector), Some(selector)) => (
            format!("from: Selector, {}", listeners::selector_text(selector)),
            listeners::labels_to_set(selector),
        ),
        (Some(FromNamespaces::Selector), None) => ("from: Selector without a selector".to_owned(), None),
        (Some(from), _) => (format!("from: {from}"), None),
    }
}
