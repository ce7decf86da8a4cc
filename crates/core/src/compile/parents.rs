//! Pass 5, second half: the parents of a route.
//!
//! Job: find the Gateways and ListenerSets of ours that a route means: those that it names, and the default Gateways if it asks for them
//! (GEP-3793). Input: the route and our Gateways. Output: [`Parent`]s, named ones first. Invariant: a Gateway that a reference names is not
//! its parent a second time for being a default one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use sealway_api::{GATEWAY_GROUP, Kind, ObjectKey, ObjectRef, ParentRef};

use super::gateways;
use super::routes::Route;
use super::sets::SetWork;
use super::world::{GatewayWork, World};
use crate::problem::Cause;

/// Our Gateways, and the ListenerSets that name them, by namespace and name.
#[derive(Default)]
pub(super) struct Index<'a> {
    gateways: BTreeMap<ObjectKey, Place>,
    sets: BTreeMap<ObjectKey, Place>,
    /// Those of the Gateways that are default Gateways, each with its scope.
    defaults: Vec<(&'a str, Place)>,
}

/// Where the listeners are that a reference can mean: those of a Gateway, or of one of its sets, never both.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Position among the Gateways.
    pub(super) gateway: usize,
    /// Position among its sets.
    set: Option<usize>,
}

impl<'a> Index<'a> {
    pub(super) fn new(gateways: &[GatewayWork<'a>]) -> Self {
        let mut index = Self::default();
        for (gateway, work) in gateways.iter().enumerate() {
            let place = Place { gateway, set: None };
            index.gateways.insert(work.key.clone(), place);
            index.defaults.extend(work.default_scope().map(|scope| (scope, place)));
            for (position, set) in work.sets.iter().enumerate() {
                let place = Place {
                    gateway,
                    set: Some(position),
                };
                index.sets.insert(set.object.key.clone(), place);
            }
        }
        index
    }

    fn find(&self, route: &Route<'_>, reference: &ParentRef) -> Option<Place> {
        let (namespace, name) = route.parent(reference);
        let places = match Kind::from(reference.kind.as_str()) {
            _ if reference.group != GATEWAY_GROUP => return None,
            Kind::Gateway => &self.gateways,
            Kind::ListenerSet => &self.sets,
            _ => return None,
        };
        places.get(&ObjectKey::new(namespace, name)).copied()
    }
}

/// A parent of a route that is ours.
pub(super) struct Parent<'a> {
    /// As the route has it; made up for a default Gateway.
    pub(super) reference: Cow<'a, ParentRef>,
    /// Position among the route's references; `None` for a default Gateway.
    position: Option<usize>,
    pub(super) place: Place,
}

impl Parent<'_> {
    pub(super) fn is_default(&self) -> bool {
        self.position.is_none()
    }

    pub(super) fn field(&self) -> String {
        match self.position {
            Some(position) => format!("spec.parentRefs[{position}]"),
            None => USE_DEFAULT_GATEWAYS.to_owned(),
        }
    }

    /// The set that it means.
    pub(super) fn set<'b, 'c>(&self, gateway: &'b GatewayWork<'c>) -> Option<&'b SetWork<'c>> {
        self.place.set.and_then(|position| gateway.sets.get(position))
    }

    /// Of the listeners that it can mean, among those of the Gateway.
    pub(super) fn positions(&self, gateway: &GatewayWork<'_>) -> Range<usize> {
        match self.set(gateway) {
            Some(set) => set.listeners.clone(),
            None => 0..gateway.own().len(),
        }
    }
}

const USE_DEFAULT_GATEWAYS: &str = "spec.useDefaultGateways";

/// The parents that are ours, each once. References that are nobody's are reported; those of another controller are not.
pub(super) fn of<'a>(
    world: &mut World<'a>,
    route: &Route<'a>,
    index: &Index<'_>,
    gateways: &[GatewayWork<'_>],
) -> Vec<Parent<'a>> {
    if route.parents.is_empty() && route.default_scope.is_none() {
        world.report(&route.object, "spec", Cause::NoParents);
    }
    let mut ours: Vec<Parent<'a>> = Vec::new();
    for (position, reference) in route.parents.iter().enumerate() {
        match index.find(route, reference) {
            Some(_) if ours.iter().any(|other| *other.reference == *reference) => {}
            Some(place) => ours.push(Parent {
                reference: Cow::Borrowed(reference),
                position: Some(position),
                place,
            }),
            None => report_foreign(world, route, reference, position),
        }
    }
    let Some(scope) = route.default_scope else { return ours };
    // Another controller's may take it.
    if gateways::defaults(world.resources, scope).next().is_none() {
        let scope = scope.to_owned();
        world.report(&route.object, USE_DEFAULT_GATEWAYS, Cause::NoDefaultGateway { scope });
    }
    for (_, place) in index.defaults.iter().filter(|(of, _)| *of == scope) {
        // A reference to the Gateway stands, with the listeners that it narrows it to.
        let is_named = ours.iter().any(|other| other.place == *place);
        let Some(work) = gateways.get(place.gateway).filter(|_| !is_named) else {
            continue;
        };
        ours.push(Parent {
            reference: Cow::Owned(ParentRef {
                group: GATEWAY_GROUP.to_owned(),
                kind: work.object.kind.to_string(),
                namespace: Some(work.key.namespace.clone()),
                name: work.key.name.clone(),
                section_name: None,
                port: None,
            }),
            position: None,
            place: *place,
        });
    }
    ours
}

/// A parent that is neither a Gateway of ours nor a set of one: reported if it is nobody's.
fn report_foreign(world: &mut World<'_>, route: &Route<'_>, reference: &ParentRef, position: usize) {
    let field = format!("spec.parentRefs[{position}]");
    let (namespace, name) = route.parent(reference);
    let key = ObjectKey::new(namespace, name);
    let kind = Kind::from(reference.kind.as_str());
    let cause = match (reference.group.as_str(), &kind) {
        (GATEWAY_GROUP, Kind::Gateway) if world.resources.gateways.contains_key(&key) => return,
        (GATEWAY_GROUP, Kind::Gateway) => {
            let namesakes = world.resources.gateways.keys().filter(|other| other.name == key.name);
            not_found(world, ObjectRef { kind, key: key.clone() }, namesakes.cloned().collect())
        }
        // Whether its Gateway is there, is told at the set.
        (GATEWAY_GROUP, Kind::ListenerSet) if world.resources.listener_sets.contains_key(&key) => return,
        (GATEWAY_GROUP, Kind::ListenerSet) => {
            let namesakes = world.resources.listener_sets.keys().filter(|other| other.name == key.name);
            not_found(world, ObjectRef { kind, key: key.clone() }, namesakes.cloned().collect())
        }
        // Services are parents for meshes.
        ("", Kind::Service) => return,
        _ => {
            let kind = reference.kind.clone();
            world.report(&route.object, format!("{field}.kind"), Cause::ParentKindUnsupported { kind });
            return;
        }
    };
    let part = if reference.namespace.is_some() { "namespace" } else { "name" };
    world.report(&route.object, format!("{field}.{part}"), cause);
}

fn not_found(world: &World<'_>, parent: ObjectRef, elsewhere: Vec<ObjectKey>) -> Cause {
    world.absence(&parent.clone(), Cause::ParentNotFound { parent, elsewhere })
}
