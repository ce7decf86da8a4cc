//! How far a change reaches: when nothing but routes and EndpointSlices differs from the compilation before, only the routes that hang
//! together with them are looked at again.
//!
//! Input: what the compilation before saw, and what it said of routes. Output: an [`Extent`], and what of that goes on to hold beyond it.
//! Invariant: a compilation within an extent gives what one of everything gives. Routes meet only at the listeners of a parent, so an
//! extent holds, with a route, all its parents, and with a parent all its routes; everything that is not of a route is worked out anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use sealway_api::{
    GATEWAY_GROUP, Kind, ObjectKey, ObjectMeta, ObjectRef, Objects, ParentRef, Resources, RouteStatus, SERVICE_NAME_LABEL,
    Timestamp,
};

use super::gateways;
use super::world::GatewayWork;
use crate::problem::Problem;
use crate::settings::Observed;

/// Which routes a compilation looks at.
#[derive(Debug, Default)]
pub(super) enum Extent {
    /// Every one.
    #[default]
    Everything,
    /// Some, with all parents that they name and all routes that name those.
    Within {
        /// Also those that are gone.
        routes: BTreeSet<ObjectRef>,
        /// Gateways and ListenerSets.
        parents: BTreeSet<ObjectRef>,
    },
}

impl Extent {
    /// Whether all routes of a Gateway's or ListenerSet's listeners are looked at.
    pub(super) fn covers(&self, parent: &ObjectRef) -> bool {
        match self {
            Self::Everything => true,
            Self::Within { parents, .. } => parents.contains(parent),
        }
    }

    /// The routes of a kind that are looked at.
    pub(super) fn select<'a, T>(&self, kind: &Kind, all: &'a Objects<T>) -> Vec<(&'a ObjectKey, &'a Arc<T>)> {
        match self {
            Self::Everything => all.iter().collect(),
            Self::Within { routes, .. } => {
                let some = routes.iter().filter(|route| route.kind == *kind);
                some.filter_map(|route| all.get_key_value(&route.key)).collect()
            }
        }
    }
}

/// What one route leads to.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Services that it names, there or not.
    pub(super) services: BTreeSet<ObjectKey>,
    /// Policies of its backends, by their position.
    pub(super) policies: BTreeSet<usize>,
    /// Gateways through which it is reached by a listener that does not pass TLS through.
    pub(super) gateways: BTreeSet<ObjectKey>,
}

/// What was seen, and what was said of routes; later, as much of that as an [`Extent`] leaves out.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) routes: OrdMap<ObjectRef, Arc<RouteStatus>>,
    pub(super) uses: BTreeMap<ObjectRef, Uses>,
    /// About routes.
    pub(super) problems: Vec<Problem>,
    /// Routes on each listener, by Gateway and name.
    attached: BTreeMap<ObjectKey, BTreeMap<String, i32>>,
    seen: Option<Seen>,
}

/// What a compilation was of.
#[derive(Debug)]
struct Seen {
    resources: Resources,
    neighbours: Neighbours,
    observed: Observed,
    wake_at: Option<Timestamp>,
    /// Compilations since one of everything.
    narrow: u32,
}

impl Kept {
    /// What has to be looked at. Leaves in `self` only what holds beyond, statuses apart: most of them stay.
    pub(super) fn narrow(&mut self, resources: &Resources, observed: &Observed) -> Extent {
        let extent = self.extent(resources, observed).unwrap_or_default();
        match &extent {
            Extent::Everything => *self = Self::default(),
            Extent::Within { routes, .. } => {
                for route in routes {
                    self.uses.remove(route);
                }
                self.problems
                    .retain(|problem| route(problem).is_none_or(|route| !routes.contains(route)));
            }
        }
        extent
    }

    /// `None`: everything.
    fn extent(&mut self, resources: &Resources, observed: &Observed) -> Option<Extent> {
        let seen = self.seen.as_mut()?;
        let same_time = Observed {
            now: seen.observed.now,
            ..observed.clone()
        };
        let is_awake = seen.wake_at.is_some_and(|wake_at| observed.now >= wake_at) || observed.now < seen.observed.now;
        if is_awake || seen.narrow >= MOST_NARROW || seen.observed != same_time || seen.resources.refused != resources.refused {
            return None;
        }
        let changes = resources.changes_since(&seen.resources);
        let mut services = BTreeSet::new();
        let mut routes = BTreeSet::new();
        for change in &changes {
            if change.kind == Kind::EndpointSlice {
                let slices = [&seen.resources, resources].map(|all| all.endpoint_slices.get(&change.key));
                let of = slices.into_iter().flatten();
                let of = of.filter_map(|slice| slice.metadata.labels.get(SERVICE_NAME_LABEL));
                services.extend(of.map(|service| ObjectKey::new(&change.key.namespace, service)));
            } else if is_route(&change.kind) {
                routes.insert(change.clone());
            } else {
                return None;
            }
        }
        if !services.is_empty() {
            let users = self.uses.iter().filter(|(_, uses)| !uses.services.is_disjoint(&services));
            routes.extend(users.map(|(route, _)| route.clone()));
        }
        // A listener's filter leads there.
        if !routes.iter().all(|route| is_route(&route.kind)) {
            return None;
        }
        let extent = seen.neighbours.follow(&seen.resources, resources, routes)?;
        for change in changes {
            seen.resources.take_from(resources, &change);
        }
        seen.observed.now = observed.now;
        seen.narrow += 1;
        Some(extent)
    }

    /// What is said of the routes that were looked at. Where that is what was said before, it stays: whoever compares finds it the same.
    pub(super) fn take_statuses(&mut self, extent: &Extent, found: BTreeMap<ObjectRef, Arc<RouteStatus>>) {
        if let Extent::Within { routes, .. } = extent {
            for gone in routes.iter().filter(|route| !found.contains_key(*route)) {
                self.routes.remove(gone);
            }
        }
        for (route, status) in found {
            if self.routes.get(&route) != Some(&status) {
                self.routes.insert(route, status);
            }
        }
    }

    /// Counts again what is attached to listeners whose routes were not looked at.
    pub(super) fn count_attached(&self, extent: &Extent, gateways: &mut [GatewayWork<'_>]) {
        for gateway in gateways {
            let Some(attached) = self.attached.get(&gateway.key) else {
                continue;
            };
            for work in gateway.listeners.iter_mut().filter(|work| !extent.covers(&work.owner)) {
                work.attached = attached.get(&work.name).copied().unwrap_or_default();
            }
        }
    }

    /// Remembers for the next time. `is_of_routes`: whether all that was said, or asked for, on account of routes was said of routes.
    pub(super) fn remember(
        &mut self,
        (resources, observed): (&Resources, &Observed),
        gateways: &[GatewayWork<'_>],
        wake_at: Option<Timestamp>,
        is_of_routes: bool,
    ) {
        let of_gateway = |gateway: &GatewayWork<'_>| {
            let listeners = gateway.listeners.iter();
            listeners.map(|work| (work.name.clone(), work.attached)).collect()
        };
        self.attached = gateways
            .iter()
            .map(|gateway| (gateway.key.clone(), of_gateway(gateway)))
            .collect();
        self.seen = match self.seen.take() {
            _ if !is_of_routes => None,
            Some(seen) => Some(Seen { wake_at, ..seen }),
            None => Some(Seen {
                resources: resources.clone(),
                neighbours: Neighbours::of(resources),
                observed: observed.clone(),
                wake_at,
                narrow: 0,
            }),
        };
    }
}

/// So many in a row, then one of everything: what is kept of Services and expressions that no route names any more goes with it.
const MOST_NARROW: u32 = 1_000;
/// Of more routes it costs more to tell them from the others than to look at all.
const MOST_ROUTES: usize = 2_000;

/// Routes by the Gateways and ListenerSets that they name.
#[derive(Debug, Default)]
struct Neighbours(BTreeMap<ObjectRef, BTreeSet<ObjectRef>>);

impl Neighbours {
    fn of(resources: &Resources) -> Self {
        let mut neighbours = Self::default();
        each_route(resources, |kind, key, route| {
            let object = ObjectRef::of(kind, key);
            for parent in route.places(resources) {
                neighbours.0.entry(parent).or_default().insert(object.clone());
            }
        });
        neighbours
    }

    /// What hangs together with these routes, some of which have changed. `None` when that is much; then `self` is of no use any more.
    fn follow(&mut self, before: &Resources, now: &Resources, mut routes: BTreeSet<ObjectRef>) -> Option<Extent> {
        let mut parents = BTreeSet::new();
        for route in &routes {
            for parent in places(before, route) {
                if let Some(neighbours) = self.0.get_mut(&parent) {
                    neighbours.remove(route);
                }
                parents.insert(parent);
            }
            for parent in places(now, route) {
                self.0.entry(parent.clone()).or_default().insert(route.clone());
                parents.insert(parent);
            }
        }
        let mut next: Vec<ObjectRef> = parents.iter().cloned().collect();
        while let Some(parent) = next.pop() {
            let neighbours = self.0.get(&parent).into_iter().flatten();
            for route in neighbours {
                if !routes.insert(route.clone()) {
                    continue;
                }
                if routes.len() > MOST_ROUTES {
                    return None;
                }
                next.extend(places(now, route).into_iter().filter(|parent| parents.insert(parent.clone())));
            }
        }
        self.0.retain(|_, neighbours| !neighbours.is_empty());
        Some(Extent::Within { routes, parents })
    }
}

fn places(resources: &Resources, route: &ObjectRef) -> Vec<ObjectRef> {
    let mut places = Vec::new();
    with_route(resources, route, |route| places.extend(route.places(resources)));
    places
}

/// What a route says of its parents.
#[derive(Clone, Copy)]
struct RouteParents<'a> {
    namespace: &'a str,
    references: &'a [ParentRef],
    /// Of the default Gateways that it wants.
    scope: Option<&'a str>,
}

impl<'a> RouteParents<'a> {
    fn new(metadata: &'a ObjectMeta, references: &'a [ParentRef], scope: Option<&'a str>) -> Self {
        Self {
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            references,
            scope: gateways::scope(scope),
        }
    }

    /// Gateways and ListenerSets.
    fn places(self, resources: &Resources) -> impl Iterator<Item = ObjectRef> {
        let named = self.references.iter().filter_map(move |reference| {
            let kind = match reference.kind.as_str() {
                _ if reference.group != GATEWAY_GROUP => return None,
                "Gateway" => Kind::Gateway,
                "ListenerSet" => Kind::ListenerSet,
                _ => return None,
            };
            let namespace = reference.namespace.as_deref().unwrap_or(self.namespace);
            Some(ObjectRef::new(kind, namespace, reference.name.as_str()))
        });
        let defaults = self.scope.into_iter().flat_map(|scope| gateways::defaults(resources, scope));
        named.chain(defaults.map(|key| ObjectRef::of(Kind::Gateway, key)))
    }
}

macro_rules! route_kinds {
    ($($kind:ident: $field:ident,)+) => {
        fn is_route(kind: &Kind) -> bool {
            matches!(kind, $(Kind::$kind)|+)
        }

        fn each_route<'a>(resources: &'a Resources, mut tell: impl FnMut(Kind, &'a ObjectKey, RouteParents<'a>)) {
            $(for (key, route) in &resources.$field {
                let scope = route.spec.use_default_gateways.as_deref();
                tell(Kind::$kind, key, RouteParents::new(&route.metadata, &route.spec.parent_refs, scope));
            })+
        }

        fn with_route<'a>(resources: &'a Resources, route: &ObjectRef, tell: impl FnOnce(RouteParents<'a>)) {
            match route.kind {
                $(Kind::$kind => if let Some(route) = resources.$field.get(&route.key) {
                    let scope = route.spec.use_default_gateways.as_deref();
                    tell(RouteParents::new(&route.metadata, &route.spec.parent_refs, scope));
                },)+
                _ => {}
            }
        }
    };
}

route_kinds! {
    GrpcRoute: grpc_routes,
    HttpRoute: http_routes,
    TcpRoute: tcp_routes,
    TlsRoute: tls_routes,
    UdpRoute: udp_routes,
}

fn route(problem: &Problem) -> Option<&ObjectRef> {
    problem.object.as_ref().filter(|object| is_route(&object.kind))
}

/// Whether all of these are about routes.
pub(super) fn are_of_routes(problems: &[Problem]) -> bool {
    problems.iter().all(|problem| route(problem).is_some())
}

/// Those that are about routes.
pub(super) fn of_routes(problems: &[Problem]) -> impl Iterator<Item = &Problem> {
    problems.iter().filter(|problem| route(problem).is_some())
}
