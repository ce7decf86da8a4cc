//! Steps of the lookup of a request: the rule that is chosen, those that held too and by what they lost, and the nearest misses.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sealway_api::{ObjectRef, Reason};

use super::{Step, covers, specificity, state};
use crate::hostname::HostnamePattern;
use crate::problem::text;
use crate::snapshot::{
    HttpHost, HttpListener, HttpMatch, HttpPlan, HttpRoutes, HttpRule, ListenerFate, ListenerId, PathMatcher, RequestHead,
    RetryBudget, RuleFault, RuleKind, Target, TlsListener, TlsPlan, ValueMatcher,
};

/// A rule as people find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleName {
    /// The route.
    pub route: ObjectRef,
    /// Its position.
    pub position: usize,
    /// Its name, if it has one.
    pub name: Option<String>,
}

impl RuleName {
    fn of(rule: &HttpRule) -> Self {
        Self {
            route: rule.route.clone(),
            position: rule.position,
            name: rule.name.clone(),
        }
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} rule {}", self.route, self.position)?;
        self.name.iter().try_for_each(|name| write!(formatter, " (`{name}`)"))
    }
}

/// Why a match that held was not the one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Its route has a less specific hostname.
    Hostname,
    /// A pattern or prefix against an exact path, or a prefix against a pattern.
    PathKind,
    /// A shorter prefix or pattern.
    PathLength,
    /// Of a GRPCRoute: fewer characters of service and method.
    Call,
    /// It has no method.
    Method,
    /// Fewer headers.
    Headers,
    /// Fewer query parameters.
    Query,
    /// A younger route, or one whose name comes later.
    Age,
    /// It stands later in the same route.
    Order,
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hostname => "less specific hostname",
            Self::PathKind => "less specific kind of path",
            Self::PathLength => "shorter path",
            Self::Call => "less specific service or method",
            Self::Method => "no method",
            Self::Headers => "fewer headers",
            Self::Query => "fewer query parameters",
            Self::Age => "younger, or later by name",
            Self::Order => "later in its route",
        })
    }
}

/// The first condition of a match that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The path.
    Path(String),
    /// The method.
    Method(String),
    /// A header.
    Header(String),
    /// A query parameter.
    Query(String),
}

impl fmt::Display for Miss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(formatter, "path {path}"),
            Self::Method(method) => write!(formatter, "method {method}"),
            Self::Header(header) => write!(formatter, "header {header}"),
            Self::Query(parameter) => write!(formatter, "query parameter {parameter}"),
        }
    }
}

impl Step {
    pub(crate) fn no_http_listener(plan: &HttpPlan) -> Self {
        Self::NoListener {
            claims: plan.listeners.iter().map(|listener| claim(listener)).collect(),
        }
    }

    pub(crate) fn http_listener(plan: &HttpPlan, chosen: &Arc<HttpListener>, host: Option<&str>) -> Self {
        let others = plan.listeners.iter();
        let others = others.filter(|other| !Arc::ptr_eq(other, chosen) && covers(&other.hostname, host));
        Self::Listener {
            chosen: claim(chosen),
            others: others.map(|listener| claim(listener)).collect(),
        }
    }

    pub(crate) fn misdirected(plan: &TlsPlan, through: ListenerId, belongs: &TlsListener) -> Self {
        let through = plan.listeners.get(through.0).map(|listener| listener.name.clone());
        Self::Misdirected {
            through: through.unwrap_or_default(),
            belongs: (belongs.name.clone(), belongs.hostname.clone()),
        }
    }

    /// A listener that passes TLS through, relays what is inside, or refuses.
    pub(crate) fn takes_no_requests(listener: &TlsListener) -> Self {
        Self::ListenerRefuses {
            listener: listener.name.clone(),
            reason: match &listener.fate {
                ListenerFate::Refuses(reason) => reason.clone(),
                ListenerFate::Serves => Reason::UnsupportedProtocol,
            },
        }
    }

    pub(crate) fn rule(routes: &HttpRoutes, chosen: &HttpMatch, head: &RequestHead<'_>) -> Self {
        let hosts = covering(routes, head);
        let holding = hosts.iter().enumerate().flat_map(|(order, (_, host))| {
            let matches = host.matches().iter().filter(|matched| matched.holds(head));
            matches.map(move |matched| (order, matched))
        });
        let holding: Vec<(usize, &HttpMatch)> = holding.collect();
        let winner = holding.first().map_or(0, |(order, _)| *order);
        let mut outranked: Vec<(RuleName, Lost)> = Vec::new();
        // Each rule once, and not the chosen one by another of its matches.
        for (order, matched) in holding {
            let lost = if order == winner {
                lost(chosen, matched)
            } else {
                Lost::Hostname
            };
            let name = RuleName::of(&matched.rule);
            if !Arc::ptr_eq(&matched.rule, &chosen.rule) && !outranked.iter().any(|(other, _)| *other == name) {
                outranked.push((name, lost));
            }
        }
        Self::Rule {
            chosen: RuleName::of(&chosen.rule),
            hostname: hosts.get(winner).map_or(HostnamePattern::Any, |(pattern, _)| pattern.clone()),
            path: path(&chosen.path),
            outranked,
            answer: answer(&chosen.rule),
        }
    }

    pub(crate) fn no_rule(listener: &str, routes: &HttpRoutes, head: &RequestHead<'_>) -> Self {
        let hosts = covering(routes, head);
        if hosts.is_empty() {
            return Self::NoHost {
                listener: listener.to_owned(),
                hostnames: routes.hosts.iter().map(|(pattern, _)| pattern).collect(),
            };
        }
        let matches = hosts.iter().flat_map(|(_, host)| host.matches());
        let mut nearest: Vec<(RuleName, Miss)> = matches
            .filter_map(|matched| Some((RuleName::of(&matched.rule), miss(matched, head)?)))
            .collect();
        // Where the path was right, it is the rest that is of interest.
        if nearest.iter().any(|(_, miss)| !matches!(miss, Miss::Path(_))) {
            nearest.retain(|(_, miss)| !matches!(miss, Miss::Path(_)));
        }
        Self::NoRule {
            listener: listener.to_owned(),
            nearest,
        }
    }
}

fn claim(listener: &HttpListener) -> (String, HostnamePattern) {
    (listener.name.clone(), listener.hostname.clone())
}

/// Hostnames that cover the host, the most specific first.
fn covering<'a>(routes: &'a HttpRoutes, head: &RequestHead<'_>) -> Vec<(HostnamePattern, &'a HttpHost)> {
    let hosts = routes.hosts.iter().filter(|(pattern, _)| covers(pattern, head.host));
    let mut hosts: Vec<_> = hosts.map(|(pattern, host)| (pattern, &**host)).collect();
    hosts.sort_by_key(|(pattern, _)| std::cmp::Reverse(specificity(pattern)));
    hosts
}

fn lost(winner: &HttpMatch, loser: &HttpMatch) -> Lost {
    let kind = |matched: &HttpMatch| match matched.path {
        PathMatcher::Exact(_) => 0,
        PathMatcher::Pattern(_) => 1,
        PathMatcher::Prefix(_) => 2,
    };
    if winner.path != loser.path && winner.rule.kind == RuleKind::Grpc {
        Lost::Call
    } else if kind(winner) != kind(loser) {
        Lost::PathKind
    } else if winner.path != loser.path {
        Lost::PathLength
    } else if winner.method.is_some() && loser.method.is_none() {
        Lost::Method
    } else if winner.headers.len() != loser.headers.len() {
        Lost::Headers
    } else if winner.query.len() != loser.query.len() {
        Lost::Query
    } else if winner.rule.route == loser.rule.route {
        Lost::Order
    } else {
        Lost::Age
    }
}

fn miss(matched: &HttpMatch, head: &RequestHead<'_>) -> Option<Miss> {
    if !matched.path.holds(head.path) {
        return Some(Miss::Path(path(&matched.path)));
    }
    if let Some(method) = matched.method.as_ref().filter(|method| *method != head.method) {
        return Some(Miss::Method(method.to_string()));
    }
    if let Some(header) = matched.headers.iter().find(|header| !header.holds(head.headers)) {
        return Some(Miss::Header(format!("{}{}", header.name, value(&header.value))));
    }
    let parameter = matched.query.iter().find(|parameter| !parameter.holds(head.query))?;
    Some(Miss::Query(format!("{}{}", parameter.name, value(&parameter.value))))
}

fn path(path: &PathMatcher) -> String {
    match path {
        PathMatcher::Exact(path) => format!("= {path}"),
        PathMatcher::Prefix(prefix) => format!("{prefix}/*"),
        PathMatcher::Pattern(pattern) => format!("~ {}", pattern.as_str()),
    }
}

fn value(value: &ValueMatcher) -> String {
    match value {
        ValueMatcher::Exact(text) => format!(" = {text}"),
        ValueMatcher::Pattern(pattern) => format!(" ~ {}", pattern.as_str()),
    }
}

fn answer(rule: &HttpRule) -> String {
    match (&rule.fault, &rule.filters.redirect) {
        (Some(RuleFault::Filter), _) => "refused: a filter is not known".to_owned(),
        (Some(RuleFault::Invalid), _) => "refused: the rule is invalid".to_owned(),
        (None, Some(redirect)) => format!("redirect {}", redirect.status),
        (None, None) if rule.backends.is_empty() => "backends: none".to_owned(),
        (None, None) => {
            let backends = rule.backends.iter().map(|backend| match backend.fault {
                Some(_) => format!(
                    "{} weight {} (refused: a filter is not known)",
                    backend.backend.name, backend.backend.weight
                ),
                None => state(&backend.backend),
            });
            let backends = text::some_of(&backends.collect::<Vec<_>>());
            let budgets = budgets(rule);
            match (&rule.retry, budgets.is_empty()) {
                (Some(_), false) => format!("backends: {backends}; retries: at most {}", text::some_of(&budgets)),
                _ => format!("backends: {backends}"),
            }
        }
    }
}

/// How much may be sent again to each Service that has a limit.
fn budgets(rule: &HttpRule) -> Vec<String> {
    let of_target = |target: &Target| match target {
        Target::Backend(backend) => Some((backend.service.to_string(), backend.retry_budget?)),
        Target::Refuse(_) => None,
    };
    let budgets = rule.backends.iter().filter_map(|backend| of_target(&backend.backend.target));
    let budgets: BTreeMap<String, RetryBudget> = budgets.collect();
    let texts = budgets
        .into_iter()
        .map(|(service, budget)| format!("{budget} (to {service})"));
    texts.collect()
}

/// A list whose entries have a reason in brackets.
pub(super) fn with_reasons<T: fmt::Display, R: fmt::Display>(entries: &[(T, R)]) -> String {
    let entries: Vec<String> = entries.iter().map(|(entry, reason)| format!("{entry} ({reason})")).collect();
    text::some_of(&entries)
}
