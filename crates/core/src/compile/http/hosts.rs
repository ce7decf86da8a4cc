//! Which routes a listener has under which hostname, and what that makes of the hostname.
//!
//! HTTPRoutes and GRPCRoutes are kept apart: a route that meets a name of the other kind's is refused (apis/v1/grpcroute_types.go,
//! Hostnames), so no hostname has both.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, LazyLock};

use http::Method;
use sealway_api::ObjectRef;

use super::super::routes::Route;
use super::super::world::{GatewayWork, World};
use super::{Place, RouteRequests};
use crate::hostname::{HostnamePattern, NameIndex};
use crate::problem::Cause;
use crate::snapshot::{HttpHost, HttpMatch, HttpRoutes, HttpRule, PathMatcher, RuleKind, ValueMatcher};

/// Routes by their own hostnames, each list oldest first.
#[derive(Default)]
pub(in crate::compile) struct ListenerRequests {
    /// Of the listener's filters.
    pub(super) before: Vec<Arc<HttpRule>>,
    http: NameIndex<Vec<Arc<RouteRequests>>>,
    grpc: NameIndex<Vec<Arc<RouteRequests>>>,
}

impl ListenerRequests {
    /// A hostname of a route on a listener that a route of the other kind has, and that route.
    pub(in crate::compile) fn rival(
        &self,
        route: &Route<'_>,
        requests: &RouteRequests,
        listener: &HostnamePattern,
    ) -> Option<(HostnamePattern, &RouteRequests)> {
        let others = match requests.kind {
            RuleKind::Http => &self.grpc,
            RuleKind::Grpc => &self.http,
        };
        let rival = |pattern: &HostnamePattern| {
            let first = others.intersecting(pattern)?.first()?;
            Some((pattern.clone(), &**first))
        };
        if route.patterns.is_empty() {
            return rival(&HostnamePattern::Any);
        }
        let mut patterns = route.patterns.iter().filter(|pattern| listener.intersects(pattern));
        patterns.find_map(rival)
    }

    /// Enters a route; routes come oldest first.
    pub(in crate::compile) fn claim(&mut self, pattern: &HostnamePattern, requests: &Arc<RouteRequests>) {
        let index = match requests.kind {
            RuleKind::Http => &mut self.http,
            RuleKind::Grpc => &mut self.grpc,
        };
        let routes = index.entry(pattern);
        // The same route by two parent references, or with a name twice, is one.
        if routes.last().is_none_or(|last| last.route != requests.route) {
            routes.push(Arc::clone(requests));
        }
    }

    /// What the data plane gets; hostnames of which nothing has changed keep their `Arc`.
    pub(in crate::compile) fn into_routes(self, last: Option<&HttpRoutes>) -> HttpRoutes {
        let mut hosts = self.http.map(host);
        hosts.absorb(self.grpc.map(host));
        if let Some(last) = last {
            hosts.update_with(&last.hosts, |new, old| {
                if new == old {
                    *new = Arc::clone(old);
                }
            });
        }
        HttpRoutes {
            before: self.before,
            hosts,
        }
    }

    /// Every hostname with each of its routes.
    pub(in crate::compile) fn names(&self) -> impl Iterator<Item = (HostnamePattern, &ObjectRef)> {
        let all = self.http.iter().chain(self.grpc.iter());
        all.flat_map(|(pattern, routes)| routes.iter().map(move |route| (pattern.clone(), &route.route)))
    }

    fn shared_hosts(&self) -> impl Iterator<Item = &Vec<Arc<RouteRequests>>> {
        let all = self.http.iter().chain(self.grpc.iter()).map(|(_, routes)| routes);
        all.filter(|routes| routes.len() > 1)
    }
}

/// Equal hosts are one `Arc`, but for those that several routes make up: each hostname has its own. What a hostname had before equals only
/// what comes about in the same way, so that which hosts are one, and with that their parts, does not depend on what was there before.
fn host(mut routes: Vec<Arc<RouteRequests>>) -> Arc<HttpHost> {
    static NOTHING: LazyLock<Arc<HttpHost>> = LazyLock::new(|| Arc::new(HttpHost::new(Vec::new())));
    routes.retain(|route| !route.places.is_empty());
    match routes.as_slice() {
        [] => Arc::clone(&NOTHING),
        [alone] => Arc::clone(&alone.host),
        routes => Arc::new(HttpHost::new(in_order(routes).map(|(_, matched)| matched.clone()).collect())),
    }
}

/// Matches of all routes of a hostname, by precedence.
fn in_order<'a>(routes: &'a [Arc<RouteRequests>]) -> impl Iterator<Item = (Place, &'a HttpMatch)> + use<'a> {
    let each = routes
        .iter()
        .flat_map(|route| route.places.iter().copied().zip(route.host.matches()));
    let mut all: Vec<(Place, &HttpMatch)> = each.collect();
    // Stable: among equals the older route comes first, then what is written first.
    all.sort_by_key(|(place, _)| place.rank);
    all.into_iter()
}

/// Reports matches that an earlier one of the same hostname takes everything from.
pub(in crate::compile) fn report_shadowed(world: &mut World<'_>, gateways: &[GatewayWork<'_>]) {
    let listeners = gateways.iter().flat_map(|gateway| &gateway.listeners);
    for routes in listeners.flat_map(|work| work.requests.shared_hosts()) {
        shadowed(world, in_order(routes));
    }
}

/// The same within one route.
pub(super) fn report_shadowed_within(world: &mut World<'_>, requests: &RouteRequests) {
    if requests.places.len() > 1 {
        shadowed(world, requests.places.iter().copied().zip(requests.host.matches()));
    }
}

fn shadowed<'a>(world: &mut World<'_>, matches: impl Iterator<Item = (Place, &'a HttpMatch)>) {
    let mut seen: BTreeMap<Conditions<'_>, &HttpRule> = BTreeMap::new();
    for (place, matched) in matches {
        match seen.entry(conditions(matched)) {
            Entry::Occupied(winner) => {
                let cause = Cause::MatchShadowed {
                    by: winner.get().route.clone(),
                    rule: winner.get().position,
                };
                let field = format!("spec.rules[{}].matches[{}]", matched.rule.position, place.position);
                world.report(&matched.rule.route, field, cause);
            }
            Entry::Vacant(place) => drop(place.insert(&matched.rule)),
        }
    }
}

/// How a text is compared, and the text.
type Compared<'a> = (u8, &'a str);
/// Of path, method, headers and query parameters.
type Conditions<'a> = (
    Compared<'a>,
    Option<&'a str>,
    Vec<(&'a str, Compared<'a>)>,
    Vec<(&'a str, Compared<'a>)>,
);

/// All that a match asks of a request, in a form that has an order: many routes of one hostname may differ in a header alone.
fn conditions(matched: &HttpMatch) -> Conditions<'_> {
    let HttpMatch {
        path,
        method,
        headers,
        query,
        rule: _,
    } = matched;
    let path = match path {
        PathMatcher::Exact(path) => (0, path.as_str()),
        PathMatcher::Prefix(path) => (1, path.as_str()),
        PathMatcher::Pattern(pattern) => (2, pattern.as_str()),
    };
    let headers = headers.iter().map(|header| (header.name.as_str(), compared(&header.value)));
    let query = query
        .iter()
        .map(|parameter| (parameter.name.as_str(), compared(&parameter.value)));
    (path, method.as_ref().map(Method::as_str), headers.collect(), query.collect())
}

fn compared(value: &ValueMatcher) -> Compared<'_> {
    match value {
        ValueMatcher::Exact(exact) => (0, exact.as_str()),
        ValueMatcher::Pattern(pattern) => (1, pattern.as_str()),
    }
}
