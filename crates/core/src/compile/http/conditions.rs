//! Matches: conditions on a request, and which of two that hold comes first.
//!
//! Precedence within one hostname is that of apis/v1/httproute_types.go (Matches): exact path, then the longest prefix, then a method,
//! then the number of headers, then that of query parameters. Where it leaves regular expressions to implementations: after exact paths,
//! before prefixes, the longer expression first. Of GRPCRoutes (apis/v1/grpcroute_types.go, Matches): characters of the service, then of
//! the method, then the number of headers; regular expressions after what is exact. Names are compared before all this, the age of routes
//! and the order of writing after it.

use std::cmp::Reverse;
use std::sync::Arc;

use http::Method;
use sealway_api::{
    GrpcMethodMatch, GrpcMethodMatchType, GrpcRouteMatch, HttpPathMatch, HttpRouteMatch, HttpValueMatch, PathMatchType,
    ValueMatchType,
};

use super::{Context, values};
use crate::problem::Cause;
use crate::snapshot::{HeaderMatcher, HttpMatch, HttpRule, PathMatcher, QueryMatcher, ValueMatcher};

/// The matches of a rule as they are written.
pub(super) enum Written<'a> {
    Http(&'a [HttpRouteMatch]),
    Grpc(&'a [GrpcRouteMatch]),
}

impl Written<'_> {
    /// How many conditions there are; no match at all is one that every request meets.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Http(matches) => matches.len(),
            Self::Grpc(matches) => matches.len(),
        }
        .max(1)
    }

    /// Whether every one of them is on a prefix of the path.
    pub(super) fn are_prefixes(&self) -> bool {
        let is_prefix = |path: &HttpPathMatch| path.kind.as_ref().is_none_or(|kind| *kind == PathMatchType::PathPrefix);
        match self {
            Self::Http(matches) => matches.iter().all(|written| written.path.as_ref().is_none_or(is_prefix)),
            Self::Grpc(_) => false,
        }
    }
}

/// How specific a match is; the least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    class: Class,
    /// Of the path; of GRPCRoutes, of the service.
    characters: Reverse<usize>,
    /// Of GRPCRoutes only.
    method_characters: Reverse<usize>,
    is_for_every_method: bool,
    headers: Reverse<usize>,
    query: Reverse<usize>,
}

/// How a path, or a service and method, are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Exact,
    Pattern,
    Prefix,
}

/// Everything of an [`HttpMatch`] but the rule.
pub(super) struct Conditions {
    path: PathMatcher,
    method: Option<Method>,
    headers: Vec<HeaderMatcher>,
    query: Vec<QueryMatcher>,
}

impl Conditions {
    pub(super) fn leading_to(self, rule: &Arc<HttpRule>) -> HttpMatch {
        HttpMatch {
            path: self.path,
            method: self.method,
            headers: self.headers,
            query: self.query,
            rule: Arc::clone(rule),
        }
    }
}

impl Context<'_, '_> {
    /// One match of a rule; `None` when it cannot be understood, and the rule is invalid.
    pub(super) fn condition(&mut self, field: &str, written: &Written<'_>, position: usize) -> Option<(Rank, Conditions)> {
        match written {
            Written::Http(matches) => match matches.get(position) {
                Some(written) => self.http_condition(field, written),
                None => self.http_condition(field, &HttpRouteMatch::default()),
            },
            Written::Grpc(matches) => match matches.get(position) {
                Some(written) => self.grpc_condition(field, written),
                None => self.grpc_condition(field, &GrpcRouteMatch::default()),
            },
        }
    }

    fn http_condition(&mut self, field: &str, written: &HttpRouteMatch) -> Option<(Rank, Conditions)> {
        let path = self.path(field, written.path.as_ref());
        let headers = self.headers(field, &written.headers);
        let query = self.query(field, &written.query_params);
        let method = match &written.method {
            Some(method) => {
                let parsed = values::method(method);
                if parsed == Ok(Method::CONNECT) {
                    self.report(format_args!("{field}.method"), Cause::ConnectNotServed);
                }
                Some(self.check(format_args!("{field}.method"), parsed))
            }
            None => None,
        };
        // All of them are looked at, so that all that is wrong is told at once.
        let (path, headers, query) = (path?, headers?, query?);
        let method = match method {
            Some(method) => Some(method?),
            None => None,
        };
        let (class, characters) = match &path {
            PathMatcher::Exact(path) => (Class::Exact, path.len()),
            PathMatcher::Prefix(path) => (Class::Prefix, path.len()),
            PathMatcher::Pattern(_) => {
                let expression = written.path.as_ref().and_then(|path| path.value.as_ref());
                (Class::Pattern, expression.map_or(0, String::len))
            }
        };
        let rank = Rank {
            class,
            characters: Reverse(characters),
            method_characters: Reverse(0),
            is_for_every_method: method.is_none(),
            headers: Reverse(headers.len()),
            query: Reverse(query.len()),
        };
        let conditions = Conditions {
            path,
            method,
            headers,
            query,
        };
        Some((rank, conditions))
    }

    fn path(&mut self, field: &str, written: Option<&HttpPathMatch>) -> Option<PathMatcher> {
        let value = written.and_then(|path| path.value.as_deref()).unwrap_or("/");
        let kind = written
            .and_then(|path| path.kind.as_ref())
            .unwrap_or(&PathMatchType::PathPrefix);
        match kind {
            PathMatchType::Exact => {
                let path = self.check(format_args!("{field}.path.value"), values::path(value))?;
                Some(PathMatcher::Exact(path.to_owned()))
            }
            PathMatchType::PathPrefix => {
                let path = self.check(format_args!("{field}.path.value"), values::path(value))?;
                Some(PathMatcher::Prefix(path.trim_end_matches('/').to_owned()))
            }
            PathMatchType::RegularExpression => {
                let pattern = self.pattern(value);
                self.check(format_args!("{field}.path.value"), pattern)
                    .map(PathMatcher::Pattern)
            }
            PathMatchType::Other(other) => {
                let cause = values::unsupported(other, "one of `Exact`, `PathPrefix`, `RegularExpression`");
                self.fail(format_args!("{field}.path.type"), cause);
                None
            }
        }
    }

    /// Of equivalent names only the first counts.
    fn headers(&mut self, field: &str, written: &[HttpValueMatch]) -> Option<Vec<HeaderMatcher>> {
        let mut headers: Vec<HeaderMatcher> = Vec::with_capacity(written.len());
        let mut is_good = true;
        for (position, written) in written.iter().enumerate() {
            let at = format!("{field}.headers[{position}]");
            let name = self.check(format_args!("{at}.name"), values::header_name(&written.name));
            let value = self.value(&at, written);
            let (Some(name), Some(value)) = (name, value) else {
                is_good = false;
                continue;
            };
            if !headers.iter().any(|header| header.name == name) {
                headers.push(HeaderMatcher { name, value });
            }
        }
        is_good.then_some(headers)
    }

    fn query(&mut self, field: &str, written: &[HttpValueMatch]) -> Option<Vec<QueryMatcher>> {
        let mut query: Vec<QueryMatcher> = Vec::with_capacity(written.len());
        let mut is_good = true;
        for (position, written) in written.iter().enumerate() {
            match self.value(&format!("{field}.queryParams[{position}]"), written) {
                Some(value) if !query.iter().any(|parameter| parameter.name == written.name) => query.push(QueryMatcher {
                    name: written.name.clone(),
                    value,
                }),
                Some(_) => {}
                None => is_good = false,
            }
        }
        is_good.then_some(query)
    }

    fn value(&mut self, field: &str, written: &HttpValueMatch) -> Option<ValueMatcher> {
        match &written.kind {
            None | Some(ValueMatchType::Exact) => Some(ValueMatcher::Exact(written.value.clone())),
            Some(ValueMatchType::RegularExpression) => {
                let pattern = self.pattern(&written.value);
                self.check(format_args!("{field}.value"), pattern).map(ValueMatcher::Pattern)
            }
            Some(ValueMatchType::Other(other)) => {
                let cause = values::unsupported(other, "one of `Exact`, `RegularExpression`");
                self.fail(format_args!("{field}.type"), cause);
                None
            }
        }
    }

    fn grpc_condition(&mut self, field: &str, written: &GrpcRouteMatch) -> Option<(Rank, Conditions)> {
        let path = self.call(field, written.method.as_ref());
        let headers = self.headers(field, &written.headers);
        let ((class, path), headers) = (path?, headers?);
        let characters = |part: fn(&GrpcMethodMatch) -> &Option<String>| {
            let part = written.method.as_ref().and_then(|method| part(method).as_ref());
            Reverse(part.map_or(0, String::len))
        };
        let rank = Rank {
            class,
            characters: characters(|method| &method.service),
            method_characters: characters(|method| &method.method),
            is_for_every_method: true,
            headers: Reverse(headers.len()),
            query: Reverse(0),
        };
        let conditions = Conditions {
            path,
            method: None,
            headers,
            query: Vec::new(),
        };
        Some((rank, conditions))
    }

    /// A call's path is `/service/method`.
    fn call(&mut self, field: &str, written: Option<&GrpcMethodMatch>) -> Option<(Class, PathMatcher)> {
        let part = |part: fn(&GrpcMethodMatch) -> &Option<String>| {
            let text = written.and_then(|written| part(written).as_deref());
            text.filter(|text| !text.is_empty())
        };
        let (service, method) = (part(|written| &written.service), part(|written| &written.method));
        if service.is_none() && method.is_none() {
            return Some((Class::Prefix, PathMatcher::Prefix(String::new())));
        }
        match written.and_then(|written| written.kind.as_ref()) {
            None | Some(GrpcMethodMatchType::Exact) => {
                for (name, text) in [("service", service), ("method", method)] {
                    if let Some(text) = text.filter(|text| text.contains('/')) {
                        let cause = values::unsupported(text, "a name without `/`");
                        self.fail(format_args!("{field}.method.{name}"), cause);
                        return None;
                    }
                }
                Some(match (service, method) {
                    (Some(service), Some(method)) => (Class::Exact, PathMatcher::Exact(format!("/{service}/{method}"))),
                    (Some(service), None) => (Class::Exact, PathMatcher::Prefix(format!("/{service}"))),
                    (None, method) => {
                        let expression = format!("/[^/]+/{}", regex::escape(method.unwrap_or_default()));
                        let pattern = self.pattern(&expression);
                        let pattern = self.check(format_args!("{field}.method.method"), pattern)?;
                        (Class::Exact, PathMatcher::Pattern(pattern))
                    }
                })
            }
            Some(GrpcMethodMatchType::RegularExpression) => {
                // Each by itself first, so that none reaches out of its part.
                for (name, text) in [("service", service), ("method", method)] {
                    if let Some(text) = text {
                        let pattern = self.pattern(text);
                        self.check(format_args!("{field}.method.{name}"), pattern)?;
                    }
                }
                let expression = format!("/(?:{})/(?:{})", service.unwrap_or("[^/]+"), method.unwrap_or("[^/]+"));
                let pattern = self.pattern(&expression);
                let pattern = self.check(format_args!("{field}.method"), pattern)?;
                Some((Class::Pattern, PathMatcher::Pattern(pattern)))
            }
            Some(GrpcMethodMatchType::Other(other)) => {
                let cause = values::unsupported(other, "one of `Exact`, `RegularExpression`");
                self.fail(format_args!("{field}.method.type"), cause);
                None
            }
        }
    }
}
