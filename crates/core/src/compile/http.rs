//! Pass 5 for HTTPRoutes and GRPCRoutes: from rules to what the data plane obeys.
//!
//! Input: a route of ours. Output: [`RouteRequests`], or why nothing of the route may be served. Invariants: each rule is worked out
//! once, however many hostnames and listeners it serves; what did not change since the last compilation keeps its `Arc`; an invalid rule
//! refuses the requests that meet its conditions, so that they do not fall to a rule that asks less of them.

mod backend;
mod conditions;
mod filters;
mod hosts;
mod listener;
mod session;
mod timing;
mod values;

use std::fmt;
use std::sync::Arc;

use sealway_api::{
    GrpcRouteRule, HttpBackendRef, HttpRouteFilter, HttpRouteRetry, HttpRouteRule, HttpRouteTimeouts, ObjectRef,
    SessionPersistence,
};

pub(super) use backend::{collector, protocol};
pub(super) use hosts::{ListenerRequests, report_shadowed};
pub(super) use listener::listener_filters;
pub(super) use session::session;
pub(super) use values::{editable_header, header_name, header_value, share, unsupported};

use super::routes::{Carried, Dropped, Route, Traffic};
use super::values::DEFAULT_CONNECT_TIMEOUT;
use super::world::World;
use crate::problem::Cause;
use crate::sharing;
use crate::snapshot::{Filters, HttpBackend, HttpHost, HttpMatch, HttpRule, Pattern, RuleFault, RuleKind, Target};
use conditions::{Conditions, Rank, Written as WrittenConditions};
use filters::Owner;

/// Everything that one route does with requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RouteRequests {
    pub(super) route: ObjectRef,
    pub(super) kind: RuleKind,
    /// By position.
    rules: Vec<Arc<HttpRule>>,
    /// What a hostname gets that no other route claims.
    host: Arc<HttpHost>,
    /// For each match of `host`.
    places: Vec<Place>,
}

/// Where a match comes from, and how specific it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    rank: Rank,
    /// In its rule.
    position: usize,
}

/// A rule of either kind.
struct Written<'a> {
    name: Option<&'a String>,
    conditions: WrittenConditions<'a>,
    filters: &'a [HttpRouteFilter],
    backends: &'a [HttpBackendRef],
    timeouts: Option<&'a HttpRouteTimeouts>,
    retry: Option<&'a HttpRouteRetry>,
    session: Option<&'a SessionPersistence>,
}

/// Works out an HTTPRoute.
pub(super) fn http<'a>(world: &mut World<'a>, route: &Route<'a>, rules: &'a [HttpRouteRule]) -> Traffic {
    let written = rules.iter().map(|rule| Written {
        name: rule.name.as_ref(),
        conditions: WrittenConditions::Http(&rule.matches),
        filters: &rule.filters,
        backends: &rule.backend_refs,
        timeouts: rule.timeouts.as_ref(),
        retry: rule.retry.as_ref(),
        session: rule.session_persistence.as_ref(),
    });
    let mut written: Vec<Written<'a>> = written.collect();
    if written.is_empty() {
        // What the CRD puts where no rules are written: one that every request meets.
        written.push(Written {
            name: None,
            conditions: WrittenConditions::Http(&[]),
            filters: &[],
            backends: &[],
            timeouts: None,
            retry: None,
            session: None,
        });
    }
    build(world, route, RuleKind::Http, &written)
}

/// Works out a GRPCRoute.
pub(super) fn grpc<'a>(world: &mut World<'a>, route: &Route<'a>, rules: &'a [GrpcRouteRule]) -> Traffic {
    let written = rules.iter().map(|rule| Written {
        name: rule.name.as_ref(),
        conditions: WrittenConditions::Grpc(&rule.matches),
        filters: &rule.filters,
        backends: &rule.backend_refs,
        timeouts: None,
        retry: None,
        session: rule.session_persistence.as_ref(),
    });
    let written: Vec<Written<'a>> = written.collect();
    if written.is_empty() {
        let cause = Cause::NoBackends {
            route: route.object.kind.clone(),
        };
        world.report(&route.object, "spec", cause);
    }
    build(world, route, RuleKind::Grpc, &written)
}

fn build<'a>(world: &mut World<'a>, route: &Route<'a>, kind: RuleKind, written: &[Written<'a>]) -> Traffic {
    let last = world.last.requests.get(&route.object).cloned();
    let mut context = Context {
        world,
        route,
        kind,
        unresolved: None,
        fault: None,
    };
    let mut rules = Vec::with_capacity(written.len());
    let mut matches: Vec<(Place, HttpMatch)> = Vec::new();
    let mut dropped = Vec::new();
    for (number, written) in written.iter().enumerate() {
        let conditions = context.conditions(number, &written.conditions);
        let rule = context.rule(number, written);
        if let Some(cause) = context.fault.take() {
            let name = written.name.cloned();
            dropped.push(Dropped { number, name, cause });
        }
        let rule = sharing::share(rule, last.as_ref().and_then(|last| last.rules.get(number)));
        matches.extend(
            conditions
                .into_iter()
                .map(|(place, conditions)| (place, conditions.leading_to(&rule))),
        );
        rules.push(rule);
    }
    let unresolved = context.unresolved.take();
    if let (Some(first), true) = (dropped.first(), dropped.len() == written.len()) {
        let carried = Carried::Refused(first.cause.clone());
        return Traffic {
            carried,
            unresolved,
            untrusted: None,
            dropped: Vec::new(),
        };
    }
    // Stable: the order of writing decides among equals.
    matches.sort_by_key(|(place, _)| place.rank);
    let (places, matches) = matches.into_iter().unzip();
    // Though something else of the route differs: what is equal is one, or parts would depend on what was there before.
    let host = sharing::share(HttpHost::new(matches), last.as_ref().map(|last| &last.host));
    let new = RouteRequests {
        route: route.object.clone(),
        kind,
        rules,
        host,
        places,
    };
    hosts::report_shadowed_within(world, &new);
    let requests = last.filter(|last| **last == new).unwrap_or_else(|| Arc::new(new));
    world.memory.requests.insert(route.object.clone(), Arc::clone(&requests));
    Traffic {
        carried: Carried::Requests(requests),
        unresolved,
        untrusted: None,
        dropped,
    }
}

/// On the way through one route.
struct Context<'w, 'a> {
    world: &'w mut World<'a>,
    route: &'w Route<'a>,
    kind: RuleKind,
    /// The first reference that leads nowhere.
    unresolved: Option<Cause>,
    /// The first thing that makes the rule at hand invalid.
    fault: Option<Cause>,
}

impl<'a> Context<'_, 'a> {
    /// Notes something that is wrong and does not keep the rule from being served.
    fn report(&mut self, field: impl fmt::Display, cause: Cause) {
        self.world.report(&self.route.object, field.to_string(), cause);
    }

    /// Notes something for which the rule is invalid.
    fn fail(&mut self, field: impl fmt::Display, cause: Cause) {
        self.report(field, cause.clone());
        self.fault.get_or_insert(cause);
    }

    /// The value, or `None` and the rule is invalid.
    fn check<T>(&mut self, field: impl fmt::Display, value: Result<T, Cause>) -> Option<T> {
        value.map_err(|cause| self.fail(field, cause)).ok()
    }

    /// An expression, compiled once for all routes and all time.
    fn pattern(&mut self, expression: &str) -> Result<Pattern, Cause> {
        let known = self.world.memory.patterns.get(expression);
        if let Some(pattern) = known.or_else(|| self.world.last.patterns.get(expression)) {
            let pattern = pattern.clone();
            self.world.memory.patterns.insert(expression.to_owned(), pattern.clone());
            return Ok(pattern);
        }
        let pattern = Pattern::new(expression).map_err(|error| Cause::RegexInvalid {
            expression: expression.to_owned(),
            detail: values::last_line(&error.to_string()),
        })?;
        self.world.memory.patterns.insert(expression.to_owned(), pattern.clone());
        Ok(pattern)
    }

    /// The conditions of a rule that can be understood.
    fn conditions(&mut self, number: usize, written: &WrittenConditions<'_>) -> Vec<(Place, Conditions)> {
        let mut all = Vec::new();
        for position in 0..written.len() {
            let field = format!("spec.rules[{number}].matches[{position}]");
            if let Some((rank, conditions)) = self.condition(&field, written, position) {
                all.push((Place { rank, position }, conditions));
            }
        }
        all
    }

    fn rule(&mut self, number: usize, written: &Written<'a>) -> HttpRule {
        let at = format!("spec.rules[{number}]");
        let replaces_prefix = written.conditions.are_prefixes();
        let (filters, filter_fault) = self.filters(&at, written.filters, Owner::Rule, replaces_prefix);
        let (request_timeout, backend_timeout) = self.timeouts(&at, written.timeouts);
        let retry = self.retry(&at, written.retry);
        let session = self.session(&at, number, written.session).map(Arc::new);
        let mut backends = Vec::with_capacity(written.backends.len());
        for (position, reference) in written.backends.iter().enumerate() {
            let backend = self.backend(format_args!("{at}.backendRefs[{position}]"), &reference.backend);
            let of_service = || match &backend.target {
                Target::Backend(backend) => self.world.traffic.session(&backend.service).cloned(),
                Target::Refuse(_) => None,
            };
            // The rule's own is the more specific (GEP-1619 leaves it to us).
            let session = session.clone().or_else(of_service);
            let (filters, fault) = if reference.filters.is_empty() {
                (Filters::default(), None)
            } else {
                let at = format!("{at}.backendRefs[{position}]");
                self.filters(&at, &reference.filters, Owner::Backend, replaces_prefix)
            };
            backends.push(HttpBackend {
                backend,
                filters,
                session,
                fault,
            });
        }
        self.warn(&at, written, &filters);
        let fault = self.fault.as_ref().map(|_| RuleFault::Invalid).or(filter_fault);
        let mut rule = HttpRule {
            route: self.route.object.clone(),
            position: number,
            name: written.name.cloned(),
            kind: self.kind,
            filters,
            backends,
            fault,
            request_timeout,
            backend_timeout,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            retry,
        };
        if rule.fault.is_some() {
            // Nothing of it is done, so nothing of it is handed out.
            rule.filters = Filters::default();
            rule.backends = Vec::new();
        }
        rule
    }

    /// What is accepted and cannot be meant.
    fn warn(&mut self, at: &str, written: &Written<'_>, filters: &Filters) {
        let route = self.route.object.kind.clone();
        if let Some(redirect) = &filters.redirect {
            let stays = redirect.scheme.is_none() && redirect.hostname.is_none() && redirect.port.is_none();
            if stays && redirect.path.is_none() {
                self.report(format_args!("{at}.filters"), Cause::RedirectToItself);
            }
            if !written.backends.is_empty() {
                let cause = Cause::FiltersIncompatible {
                    one: "RequestRedirect".to_owned(),
                    other: "backendRefs".to_owned(),
                };
                self.fail(format_args!("{at}.backendRefs"), cause);
            }
        } else if self.fault.is_none() && written.backends.is_empty() {
            self.report(at, Cause::NoBackends { route });
        } else if !written.backends.is_empty() && written.backends.iter().all(|reference| reference.backend.weight == 0) {
            self.report(format_args!("{at}.backendRefs"), Cause::AllWeightsZero { route });
        }
    }
}
