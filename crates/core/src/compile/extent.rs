//! How far a change reaches: when nothing but routes and EndpointSlices differs from the compilation before, only the routes that hang
//! together with them are looked at again.
//!
//! Input: what the compilation before saw, and what it said of routes. Output: an [`Extent`], and what of that goes on to hold beyond it.
//! Invariant: a compilation within an extent gives what one of everything gives. Routes meet only at the listeners of a parent, so an
//! extent holds, with a route, all its parents, and with a parent all its routes; everything that is not of a route is worked out anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{
    GATEWAY_GROUP, Kind, ObjectKey, ObjectMeta, ObjectRef, ParentRef, Resources, RouteStatus, SERVICE_NAME_LABEL, Timestamp,
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
    pub(super) fn select<'a, T>(&self, kind: &Kind, all: &'a BTreeMap<ObjectKey, Arc<T>>) -> Vec<(&'a ObjectKey, &'a Arc<T>)> {
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
    pub(super) routes: BTreeMap<ObjectRef, Arc<RouteStatus>>,
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
    observed: Observed,
    wake_at: Option<Timestamp>,
    /// Compilations since one of everything.
    narrow: u32,
}

impl Kept {
    /// What has to be looked at. Leaves in `self` only what holds beyond.
    pub(super) fn narrow(&mut self, resources: &Resources, observed: &Observed) -> Extent {
        let extent = self.extent(resources, observed).unwrap_or_default();
        match &extent {
            Extent::Everything => *self = Self::default(),
            Extent::Within { routes, .. } => {
                for route in routes {
                    self.routes.remove(route);
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
        let mut parents = Parents::default();
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
        for (route, uses) in &self.uses {
            if !uses.services.is_disjoint(&services) {
                // A listener's filter leads there.
                if !is_route(&route.kind) {
                    return None;
                }
                routes.insert(route.clone());
            }
        }
        for resources in [&seen.resources, resources] {
            for route in &routes {
                with_route(resources, route, |route| parents.add(resources, route));
            }
        }
        parents.close(resources)?;
        each_route(resources, |kind, key, route| {
            if parents.has_some_of(resources, route) {
                routes.insert(ObjectRef::of(kind, key));
            }
        });
        let parents = parents.into_references();
        if routes.len() > MOST_ROUTES {
            return None;
        }
        for change in changes {
            seen.resources.take_from(resources, &change);
        }
        seen.observed.now = observed.now;
        seen.narrow += 1;
        Some(Extent::Within { routes, parents })
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
/// Longest way from one route to another, by parents that they share, that is followed.
const FARTHEST: usize = 8;

/// Gateways and ListenerSets that routes name: kind, namespace and name.
#[derive(Default)]
struct Parents<'a> {
    all: BTreeSet<(IsSet, &'a str, &'a str)>,
}

type IsSet = bool;

impl<'a> Parents<'a> {
    fn add(&mut self, resources: &'a Resources, route: RouteParents<'a>) {
        self.all.extend(route.places(resources));
    }

    fn has_some_of(&self, resources: &Resources, route: RouteParents<'_>) -> bool {
        route.places(resources).any(|place| self.all.contains(&place))
    }

    /// Adds what is named along with any of them. `None` when that has no end.
    fn close(&mut self, resources: &'a Resources) -> Option<()> {
        for _ in 0..FARTHEST {
            let before = self.all.len();
            each_route(resources, |_, _, route| {
                // Most routes have one parent, and add nothing.
                if (route.references.len() > 1 || route.scope.is_some()) && self.has_some_of(resources, route) {
                    self.add(resources, route);
                }
            });
            if self.all.len() == before {
                return Some(());
            }
        }
        None
    }

    fn into_references(self) -> BTreeSet<ObjectRef> {
        let kind = |is_set| if is_set { Kind::ListenerSet } else { Kind::Gateway };
        let references = self.all.into_iter();
        references
            .map(|(is_set, namespace, name)| ObjectRef::new(kind(is_set), namespace, name))
            .collect()
    }
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

    fn places<'b>(self, resources: &'b Resources) -> impl Iterator<Item = (IsSet, &'b str, &'b str)>
    where
        'a: 'b,
    {
        let named = self.references.iter().filter_map(move |reference| {
            let is_set = match reference.kind.as_str() {
                _ if reference.group != GATEWAY_GROUP => return None,
                "Gateway" => false,
                "ListenerSet" => true,
                _ => return None,
            };
            let namespace = reference.namespace.as_deref().unwrap_or(self.namespace);
            Some((is_set, namespace, reference.name.as_str()))
        });
        let defaults = self.scope.into_iter().flat_map(|scope| gateways::defaults(resources, scope));
        named.chain(defaults.map(|key| (false, key.namespace.as_str(), key.name.as_str())))
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
