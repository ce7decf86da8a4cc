//! Pass 1, second half: which ListenerSets add listeners to which Gateway, and in which order.
//!
//! Input: the Gateways that are ours, and the ListenerSets. Output: `sets` of each Gateway, oldest first, then by namespace and name: the
//! order in which their listeners take ports and names (apis/v1/listenerset_types.go, Listeners). Invariant: a set that its Gateway does
//! not allow adds nothing, claims nothing, and costs its neighbours nothing; a set whose Gateway is not ours is none of our business.

use std::collections::BTreeMap;
use std::ops::Range;

use sealway_api::{FromNamespaces, Kind, ListenerSet, NamespaceRule, ObjectKey, ObjectRef};

use super::listeners;
use super::world::{GatewayWork, World};
use crate::problem::Cause;

/// A ListenerSet of a Gateway of ours on its way through the passes.
pub(super) struct SetWork<'a> {
    pub(super) object: ObjectRef,
    pub(super) set: &'a ListenerSet,
    /// Why the Gateway takes none of its listeners.
    pub(super) refused: Option<Cause>,
    /// Positions of its listeners among those of the Gateway.
    pub(super) listeners: Range<usize>,
}

/// Hands every ListenerSet to its Gateway.
pub(super) fn collect<'a>(world: &mut World<'a>, gateways: &mut [GatewayWork<'a>]) {
    let positions = gateways.iter().enumerate();
    let positions: BTreeMap<ObjectKey, usize> = positions.map(|(position, work)| (work.key.clone(), position)).collect();
    let mut sets: Vec<(&ObjectKey, &'a ListenerSet)> =
        world.resources.listener_sets.iter().map(|(key, set)| (key, &**set)).collect();
    // Without a time they are equally old, and older than any that has one, as routes are.
    sets.sort_by_key(|(key, set)| (set.metadata.creation_timestamp, *key));
    for (key, set) in sets {
        let object = ObjectRef::of(Kind::ListenerSet, key);
        let Some(gateway) = set.gateway() else {
            let kind = set.spec.parent_ref.kind.clone().unwrap_or_else(|| "Gateway".to_owned());
            world.report(&object, "spec.parentRef.kind", Cause::ParentKindUnsupported { kind });
            continue;
        };
        let Some(work) = positions.get(&gateway).and_then(|position| gateways.get_mut(*position)) else {
            report_missing(world, &object, set, gateway);
            continue;
        };
        let refused = refusal(world, &object, work);
        if let Some(cause) = &refused {
            world.report(&object, "spec.parentRef", cause.clone());
        }
        work.sets.push(SetWork {
            object,
            set,
            refused,
            listeners: 0..0,
        });
    }
}

/// Reported if the Gateway is nobody's.
fn report_missing(world: &mut World<'_>, object: &ObjectRef, set: &ListenerSet, gateway: ObjectKey) {
    let gateways = &world.resources.gateways;
    if gateways.contains_key(&gateway) {
        return;
    }
    let namesakes = gateways.keys().filter(|other| other.name == gateway.name).cloned();
    let elsewhere = namesakes.collect();
    let parent = ObjectRef::of(Kind::Gateway, &gateway);
    let cause = world.absence(&parent.clone(), Cause::ParentNotFound { parent, elsewhere });
    let part = if set.spec.parent_ref.namespace.is_some() {
        "namespace"
    } else {
        "name"
    };
    world.report(object, format!("spec.parentRef.{part}"), cause);
}

/// Why a Gateway does not take a set: by default it takes none (apis/v1/gateway_types.go, AllowedListeners).
fn refusal(world: &World<'_>, set: &ObjectRef, gateway: &GatewayWork<'_>) -> Option<Cause> {
    let allowed = gateway.gateway.spec.allowed_listeners.as_ref();
    let rule = allowed.and_then(|allowed| allowed.namespaces.as_ref());
    let from = rule.and_then(|rule| rule.from.as_ref());
    let selector = rule.and_then(|rule| rule.selector.as_ref());
    let namespace = &set.key.namespace;
    let is_allowed = match from {
        Some(FromNamespaces::All) => true,
        Some(FromNamespaces::Same) => *namespace == gateway.key.namespace,
        Some(FromNamespaces::Selector) => selector.is_some_and(|selector| selector.matches(&world.labels(namespace))),
        // A value that nobody knows admits nobody.
        None | Some(FromNamespaces::None | FromNamespaces::Other(_)) => false,
    };
    (!is_allowed).then(|| Cause::ListenerSetNotAllowed {
        gateway: gateway.key.clone(),
        namespace: namespace.clone(),
        rule: rule_in_words(rule, &gateway.key.namespace),
        labels: selector
            .filter(|_| from == Some(&FromNamespaces::Selector))
            .and_then(listeners::labels_to_set),
    })
}

fn rule_in_words(rule: Option<&NamespaceRule>, own: &str) -> String {
    let from = rule.and_then(|rule| rule.from.as_ref());
    match (from, rule.and_then(|rule| rule.selector.as_ref())) {
        (None, _) => "none, which is the default".to_owned(),
        (Some(FromNamespaces::Same), _) => format!("from: Same, that is only `{own}`"),
        (Some(FromNamespaces::Selector), Some(selector)) => format!("from: Selector, {}", listeners::selector_text(selector)),
        (Some(FromNamespaces::Selector), None) => "from: Selector without a selector".to_owned(),
        (Some(from), _) => format!("from: {from}"),
    }
}
