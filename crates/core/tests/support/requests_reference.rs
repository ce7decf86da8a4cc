//! The second matcher for requests: naive, slow, and written from the specification's words alone.

use std::cmp::Reverse;

use sealway_api::{
    GrpcRouteMatch, HttpRouteMatch, HttpValueMatch, Kind, ObjectKey, ObjectMeta, ObjectRef, ParentRef, PathMatchType, Resources,
};
use sealway_core::RequestHead;

use super::held::Held;
use super::reference::{hostname_matches, intersects, means, takes};
use super::universe::requests::BROKEN;

/// An HTTPRoute or GRPCRoute.
#[derive(Clone)]
pub(crate) struct AnyRoute<'a> {
    pub(crate) object: ObjectRef,
    metadata: &'a ObjectMeta,
    parents: &'a [ParentRef],
    hostnames: Vec<Option<&'a str>>,
    rules: Vec<Vec<Match<'a>>>,
}

#[derive(Clone, Copy)]
enum Match<'a> {
    Http(&'a HttpRouteMatch),
    Grpc(&'a GrpcRouteMatch),
    /// No match was written.
    Every,
}

/// All of them: "the oldest Route based on creation timestamp", then "alphabetical order by {namespace}/{name}".
fn all(resources: &Resources) -> Vec<AnyRoute<'_>> {
    let or_any = |hostnames: &'_ [String]| -> bool { hostnames.is_empty() };
    let mut routes = Vec::new();
    for (key, route) in &resources.http_routes {
        let rules = route
            .spec
            .rules
            .iter()
            .map(|rule| rule.matches.iter().map(Match::Http).collect());
        routes.push(AnyRoute {
            object: ObjectRef::of(Kind::HttpRoute, key),
            metadata: &route.metadata,
            parents: &route.spec.parent_refs,
            hostnames: match or_any(&route.spec.hostnames) {
                true => vec![None],
                false => route.spec.hostnames.iter().map(|name| Some(name.as_str())).collect(),
            },
            rules: rules.collect(),
        });
    }
    for (key, route) in &resources.grpc_routes {
        let rules = route
            .spec
            .rules
            .iter()
            .map(|rule| rule.matches.iter().map(Match::Grpc).collect());
        routes.push(AnyRoute {
            object: ObjectRef::of(Kind::GrpcRoute, key),
            metadata: &route.metadata,
            parents: &route.spec.parent_refs,
            hostnames: match or_any(&route.spec.hostnames) {
                true => vec![None],
                false => route.spec.hostnames.iter().map(|name| Some(name.as_str())).collect(),
            },
            rules: rules.collect(),
        });
    }
    for route in &mut routes {
        // "If no matches are specified, the default is a prefix path match on `/`"; HTTPRoutes have that for rules as well.
        if route.rules.is_empty() && route.object.kind == Kind::HttpRoute {
            route.rules.push(Vec::new());
        }
        for matches in route.rules.iter_mut().filter(|matches| matches.is_empty()) {
            matches.push(Match::Every);
        }
    }
    routes.sort_by(|one, two| {
        let age = |route: &AnyRoute<'_>| (route.metadata.creation_timestamp, route.object.key.clone());
        age(one).cmp(&age(two))
    });
    routes
}

/// Routes of a listener: those that it takes, save those that are invalid altogether and those that meet an earlier one of the other
/// kind on a name.
pub(crate) fn attached<'a>(resources: &'a Resources, listener: &Held<'_>) -> Vec<AnyRoute<'a>> {
    let mut attached: Vec<AnyRoute<'a>> = Vec::new();
    for mut route in all(resources) {
        let ObjectKey { namespace, .. } = &route.object.key;
        let is_meant = route.parents.iter().any(|parent| means(parent, namespace, listener));
        let here = listener.hostname.as_deref();
        route.hostnames.retain(|hostname| intersects(*hostname, here));
        let is_taken = takes(resources, listener, route.object.kind.as_str(), namespace);
        let is_good = route.rules.is_empty() || route.rules.iter().any(|matches| !matches.iter().any(is_broken));
        let meets = |other: &AnyRoute<'_>| {
            let mut pairs = route
                .hostnames
                .iter()
                .flat_map(|one| other.hostnames.iter().map(move |two| (*one, *two)));
            other.object.kind != route.object.kind && pairs.any(|(one, two)| intersects(one, two))
        };
        if is_meant && is_taken && is_good && !route.hostnames.is_empty() && !attached.iter().any(meets) {
            attached.push(route);
        }
    }
    attached
}

/// The rule of a listener for a request: route and position.
pub(crate) fn rule(attached: &[AnyRoute<'_>], head: &RequestHead<'_>) -> Option<(ObjectRef, usize)> {
    let mut candidates = Vec::new();
    for (order, route) in attached.iter().enumerate() {
        for hostname in route
            .hostnames
            .iter()
            .filter(|hostname| hostname_matches(**hostname, head.host))
        {
            let exact = hostname.filter(|hostname| !hostname.contains('*')).map_or(0, str::len);
            let by_name = (Reverse(exact), Reverse(hostname.map_or(0, str::len)));
            for (position, matches) in route.rules.iter().enumerate() {
                let holding = matches.iter().filter(|matched| !is_broken(matched) && holds(matched, head));
                candidates.extend(holding.map(|matched| ((by_name, precedence(matched), order, position), route)));
            }
        }
    }
    let (order, route) = candidates.into_iter().min_by(|one, two| one.0.cmp(&two.0))?;
    Some((route.object.clone(), order.3))
}

fn is_broken(matched: &Match<'_>) -> bool {
    match matched {
        Match::Http(matched) => matched
            .path
            .as_ref()
            .is_some_and(|path| path.value.as_deref() == Some(BROKEN)),
        Match::Grpc(matched) => matched
            .method
            .as_ref()
            .is_some_and(|method| method.service.as_deref() == Some(BROKEN)),
        Match::Every => false,
    }
}

type Precedence = (u8, Reverse<usize>, Reverse<usize>, bool, Reverse<usize>, Reverse<usize>);

/// HTTP: exact path, (expressions), longest prefix, method, headers, query. gRPC: characters of service, of method, headers.
fn precedence(matched: &Match<'_>) -> Precedence {
    match matched {
        Match::Every => (2, Reverse(0), Reverse(0), true, Reverse(0), Reverse(0)),
        Match::Http(matched) => {
            let (kind, value) = path(matched);
            let (class, characters) = match kind {
                PathMatchType::Exact => (0, value.len()),
                PathMatchType::RegularExpression => (1, value.len()),
                _ => (2, value.trim_end_matches('/').len()),
            };
            let headers = Reverse(distinct(&matched.headers));
            let query = Reverse(matched.query_params.len());
            (
                class,
                Reverse(characters),
                Reverse(0),
                matched.method.is_none(),
                headers,
                query,
            )
        }
        Match::Grpc(matched) => {
            let length = |part: Option<&String>| Reverse(part.map_or(0, String::len));
            let method = matched.method.as_ref();
            let service = length(method.and_then(|method| method.service.as_ref()));
            let name = length(method.and_then(|method| method.method.as_ref()));
            let headers = Reverse(distinct(&matched.headers));
            (if method.is_some() { 0 } else { 2 }, service, name, true, headers, Reverse(0))
        }
    }
}

/// "If multiple entries specify equivalent header names, only the first entry" counts.
fn distinct(headers: &[HttpValueMatch]) -> usize {
    let mut names: Vec<String> = headers.iter().map(|header| header.name.to_lowercase()).collect();
    names.dedup();
    names.len()
}

fn path(matched: &HttpRouteMatch) -> (PathMatchType, &str) {
    let path = matched.path.as_ref();
    let kind = path.and_then(|path| path.kind.clone()).unwrap_or(PathMatchType::PathPrefix);
    (kind, path.and_then(|path| path.value.as_deref()).unwrap_or("/"))
}

fn holds(matched: &Match<'_>, head: &RequestHead<'_>) -> bool {
    match matched {
        Match::Every => true,
        Match::Http(matched) => {
            let path_holds = match path(matched) {
                (PathMatchType::Exact, value) => head.path == value,
                (PathMatchType::RegularExpression, "/a.*") => head.path.starts_with("/a"),
                (PathMatchType::RegularExpression, _) => matches!(head.path, "/a" | "/b"),
                (_, value) => {
                    let elements = |path: &str| {
                        path.split('/')
                            .filter(|part| !part.is_empty())
                            .map(str::to_owned)
                            .collect::<Vec<_>>()
                    };
                    elements(head.path).starts_with(&elements(value))
                }
            };
            let query_holds = matched.query_params.is_empty() || head.query.is_some_and(|query| query.contains("q=1"));
            path_holds
                && query_holds
                && matched.method.as_deref().is_none_or(|method| head.method == method)
                && headers_hold(&matched.headers, head)
        }
        Match::Grpc(matched) => {
            let mut parts = head.path.split('/').skip(1);
            let (service, method) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let is_call = matched.method.as_ref().is_none_or(|wanted| {
                wanted.service.as_deref().is_none_or(|wanted| wanted == service)
                    && wanted.method.as_deref().is_none_or(|wanted| wanted == method)
            });
            is_call && headers_hold(&matched.headers, head)
        }
    }
}

fn headers_hold(headers: &[HttpValueMatch], head: &RequestHead<'_>) -> bool {
    let mut seen: Vec<String> = Vec::new();
    headers.iter().all(|header| {
        let name = header.name.to_lowercase();
        let is_again = seen.contains(&name);
        let value = head.headers.get(&name).map(|value| value.as_bytes());
        seen.push(name);
        is_again || value == Some(header.value.as_bytes())
    })
}
