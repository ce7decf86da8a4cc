//! Pass 5, first half: routes of every kind, the order in which they take names, and where their backends are.
//!
//! Input: the routes. Output: [`Route`]s, oldest first, then by namespace and name; for each that is ours its [`Traffic`].

use std::sync::Arc;

use sealway_api::{BackendRef, GrpcRouteRule, HttpRouteRule, Kind, L4RouteRule, ObjectMeta, ObjectRef, ParentRef};

use super::extent::Extent;
use super::http::{self, RouteRequests};
use super::world::{Labels, World};
use super::{backends, gateways, policies, values};
use crate::hostname::HostnamePattern;
use crate::problem::Cause;
use crate::snapshot::{Forward, Transport};

/// What all kinds of routes have in common.
pub(super) struct Route<'a> {
    pub(super) object: ObjectRef,
    pub(super) metadata: &'a ObjectMeta,
    pub(super) parents: &'a [ParentRef],
    /// Scope of the default Gateways that it wants too.
    pub(super) default_scope: Option<&'a str>,
    pub(super) hostnames: &'a [String],
    /// The same, parsed.
    pub(super) patterns: Vec<HostnamePattern>,
    /// Of its namespace.
    pub(super) labels: Labels,
    pub(super) rules: Rules<'a>,
}

/// Rules by kind.
#[derive(Clone, Copy)]
pub(super) enum Rules<'a> {
    /// Of TLSRoutes, TCPRoutes and UDPRoutes: the first one serves.
    Connections(&'a [L4RouteRule]),
    /// Of HTTPRoutes.
    Http(&'a [HttpRouteRule]),
    /// Of GRPCRoutes.
    Grpc(&'a [GrpcRouteRule]),
}

/// Where a route sends what falls to it.
pub(super) struct Traffic {
    pub(super) carried: Carried,
    /// The first reference that leads nowhere.
    pub(super) unresolved: Option<Cause>,
    /// The first backend of a TLSRoute or TCPRoute whose BackendTLSPolicy cannot be honoured. Nothing to listeners that pass TLS through.
    pub(super) untrusted: Option<Cause>,
    /// Rules that are invalid, beside others that are not.
    pub(super) dropped: Vec<Dropped>,
}

/// What falls to a route.
pub(super) enum Carried {
    /// Whole connections, or the datagrams of each client.
    Connections(Arc<Forward>),
    /// Requests.
    Requests(Arc<RouteRequests>),
    /// Nothing: every rule is invalid, the first of them for this.
    Refused(Cause),
}

/// A rule that is invalid.
pub(super) struct Dropped {
    pub(super) number: usize,
    pub(super) name: Option<String>,
    pub(super) cause: Cause,
}

impl<'a> Route<'a> {
    /// As which another object refers to backends that requests go to.
    pub(super) fn of_object(world: &World<'a>, object: &ObjectRef, metadata: &'a ObjectMeta) -> Self {
        Self {
            object: object.clone(),
            metadata,
            parents: &[],
            default_scope: None,
            hostnames: &[],
            patterns: Vec::new(),
            labels: world.labels(&object.key.namespace),
            rules: Rules::Http(&[]),
        }
    }

    fn namespace(&self) -> &'a str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// What its backends are reached by.
    pub(super) fn transport(&self) -> Transport {
        match self.object.kind {
            Kind::UdpRoute => Transport::Udp,
            _ => Transport::Tcp,
        }
    }

    /// Namespace and name of the object that a parent reference means.
    pub(super) fn parent(&self, reference: &'a ParentRef) -> (&'a str, &'a str) {
        (reference.namespace.as_deref().unwrap_or(self.namespace()), &reference.name)
    }

    /// Namespace of the object that a backend reference means.
    pub(super) fn backend_namespace(&self, reference: &'a BackendRef) -> &'a str {
        reference.namespace.as_deref().unwrap_or(self.namespace())
    }
}

/// The routes within `extent`, oldest first, then by namespace and name. Objects without a time are equally old, and older than any that has one:
/// they stand in manifests, not in a cluster.
pub(super) fn in_order<'a>(world: &World<'a>, extent: &Extent) -> Vec<Route<'a>> {
    let mut routes: Vec<Route<'a>> = Vec::new();
    macro_rules! take {
        ($field:ident, $kind:ident, |$spec:ident| $hostnames:expr, $rules:expr) => {
            let some = extent.select(&Kind::$kind, &world.resources.$field);
            routes.extend(some.into_iter().map(|(key, object)| {
                let $spec = &object.spec;
                Route {
                    object: ObjectRef::of(Kind::$kind, key),
                    metadata: &object.metadata,
                    parents: &$spec.parent_refs,
                    default_scope: gateways::scope($spec.use_default_gateways.as_deref()),
                    hostnames: $hostnames,
                    patterns: patterns($hostnames),
                    labels: world.labels(&key.namespace),
                    rules: $rules,
                }
            }));
        };
    }
    take!(tls_routes, TlsRoute, |spec| &spec.hostnames, Rules::Connections(&spec.rules));
    take!(http_routes, HttpRoute, |spec| &spec.hostnames, Rules::Http(&spec.rules));
    take!(grpc_routes, GrpcRoute, |spec| &spec.hostnames, Rules::Grpc(&spec.rules));
    take!(tcp_routes, TcpRoute, |spec| &[], Rules::Connections(&spec.rules));
    take!(udp_routes, UdpRoute, |spec| &[], Rules::Connections(&spec.rules));
    routes.sort_by(|one, two| {
        (one.metadata.creation_timestamp, &one.object.key).cmp(&(two.metadata.creation_timestamp, &two.object.key))
    });
    routes
}

fn patterns(hostnames: &[String]) -> Vec<HostnamePattern> {
    hostnames.iter().map(|name| HostnamePattern::parse(Some(name))).collect()
}

/// Works out a route that is ours.
pub(super) fn traffic<'a>(world: &mut World<'a>, route: &Route<'a>) -> Traffic {
    match route.rules {
        Rules::Connections(rules) => forward(world, route, rules),
        Rules::Http(rules) => http::http(world, route, rules),
        Rules::Grpc(rules) => http::grpc(world, route, rules),
    }
}

fn forward<'a>(world: &mut World<'a>, route: &Route<'a>, rules: &'a [L4RouteRule]) -> Traffic {
    let annotations = &route.metadata.annotations;
    let timeout = |world: &mut World<'_>, key: &str| {
        values::duration(annotations, key).unwrap_or_else(|cause| {
            world.report(&route.object, format!("metadata.annotations[{key}]"), cause);
            None
        })
    };
    let connect_timeout = timeout(world, values::CONNECT_TIMEOUT).filter(|timeout| !timeout.is_zero());
    let idle_timeout = timeout(world, values::IDLE_TIMEOUT).unwrap_or(match route.transport() {
        Transport::Tcp => values::DEFAULT_IDLE_TIMEOUT,
        Transport::Udp => values::DEFAULT_FLOW_TIMEOUT,
    });
    if rules.len() > 1 {
        let count = rules.len() - 1;
        world.report(&route.object, "spec.rules[1]", Cause::RulesShadowed { count });
    }
    let references = rules.first().map_or(&[][..], |rule| &rule.backend_refs);
    let mut unresolved = None;
    let mut untrusted = None;
    let mut backends = Vec::with_capacity(references.len());
    for (position, reference) in references.iter().enumerate() {
        let at = format_args!("spec.rules[0].backendRefs[{position}]");
        let resolved = backends::resolve(world, route, at, reference);
        backends.push(resolved.backend);
        match resolved.found {
            Ok(found) => untrusted = untrusted.or_else(|| policies::refusal(&found.spoken)),
            Err(cause) => unresolved = unresolved.or(Some(cause)),
        }
    }
    if references.is_empty() {
        let field = if rules.is_empty() { "spec" } else { "spec.rules[0]" };
        let kind = route.object.kind.clone();
        world.report(&route.object, field, Cause::NoBackends { route: kind });
    } else if references.iter().all(|reference| reference.weight == 0) {
        world.report(
            &route.object,
            "spec.rules[0].backendRefs",
            Cause::AllWeightsZero {
                route: route.object.kind.clone(),
            },
        );
    }
    let forward = Forward {
        route: route.object.clone(),
        connect_timeout: connect_timeout.unwrap_or(values::DEFAULT_CONNECT_TIMEOUT),
        // Zero switches the timeout off, as it does for HTTPRoute's timeouts (apis/v1/httproute_types.go).
        idle_timeout: Some(idle_timeout).filter(|timeout| !timeout.is_zero()),
        backends,
    };
    Traffic {
        carried: Carried::Connections(Arc::new(forward)),
        unresolved,
        untrusted,
        dropped: Vec::new(),
    }
}
