//! What is done with requests: conditions, rules, filters, and what is told of them.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use super::super::{Unfit, wire};
use super::Builder;
use crate::snapshot::{
    ExternalAuth, Filters, HttpBackend, HttpHost, HttpMatch, HttpRule, Mirror, PathMatcher, Redirect, Retry, Session, Tracing,
    ValueMatcher,
};

impl Builder<'_> {
    pub(super) fn host(&mut self, host: wire::Host) -> Result<HttpHost, Unfit> {
        let wire::Host { matches } = host;
        let matches = matches.into_iter().map(|matched| self.matched(matched));
        Ok(HttpHost::new(matches.collect::<Result<_, _>>()?))
    }

    fn matched(&mut self, matched: wire::Match) -> Result<HttpMatch, Unfit> {
        let wire::Match {
            mut path,
            method,
            mut headers,
            mut query,
            rule,
        } = matched;
        if let PathMatcher::Pattern(pattern) = &mut path {
            self.patterns.share(pattern, self.held);
        }
        let values = headers.iter_mut().map(|matcher| &mut matcher.value);
        for value in values.chain(query.iter_mut().map(|matcher| &mut matcher.value)) {
            if let ValueMatcher::Pattern(pattern) = value {
                self.patterns.share(pattern, self.held);
            }
        }
        let method = method.map(|method| Method::from_bytes(method.as_bytes())).transpose();
        self.demand(method.is_ok(), "a method of HTTP")?;
        Ok(HttpMatch {
            path,
            method: method.ok().flatten(),
            headers,
            query,
            rule: self.named_rule(rule)?,
        })
    }

    pub(super) fn rule(&mut self, rule: wire::Rule) -> Result<HttpRule, Unfit> {
        let wire::Rule {
            route,
            position,
            name,
            kind,
            filters,
            backends,
            fault,
            request_timeout,
            backend_timeout,
            connect_timeout,
            retry,
        } = rule;
        let backends = backends.into_iter().map(|backend| {
            let wire::RuleBackend {
                backend,
                filters,
                session,
                fault,
            } = backend;
            Ok(HttpBackend {
                backend: self.weighted(backend)?,
                filters: self.filters(filters)?,
                session: session.map(|session| self.session(session)).transpose()?,
                fault,
            })
        });
        let backends = backends.collect::<Result<_, Unfit>>()?;
        let retry = retry.map(|retry| {
            let wire::Retry {
                codes,
                attempts,
                backoff,
            } = retry;
            Retry {
                codes,
                attempts,
                backoff,
            }
        });
        self.demand(retry.as_ref().is_none_or(|retry| retry.attempts > 0), "a number of retries")?;
        Ok(HttpRule {
            route: route.into(),
            position,
            name,
            kind,
            filters: self.filters(filters)?,
            backends,
            fault,
            request_timeout,
            backend_timeout,
            connect_timeout,
            retry,
        })
    }

    fn session(&self, session: wire::Session) -> Result<Arc<Session>, Unfit> {
        let wire::Session {
            owner,
            carrier,
            absolute_timeout,
            idle_timeout,
        } = session;
        self.demand(carrier.is_writable(), "a cookie that can be written")?;
        Ok(Arc::new(Session {
            owner,
            carrier,
            absolute_timeout,
            idle_timeout,
        }))
    }

    fn filters(&mut self, filters: wire::Filters) -> Result<Filters, Unfit> {
        let wire::Filters {
            cors,
            external_auth,
            request_headers,
            response_headers,
            redirect,
            rewrite,
            mirrors,
        } = filters;
        let is_redirect = |redirect: &Arc<Redirect>| matches!(redirect.status, 301 | 302 | 303 | 307 | 308);
        self.demand(redirect.as_ref().is_none_or(is_redirect), "the status of a redirect")?;
        let external_auth = external_auth.map(|auth| {
            let wire::ExternalAuth {
                backend,
                protocol,
                body_limit,
            } = auth;
            Ok(Arc::new(ExternalAuth {
                backend: self.weighted(backend)?,
                protocol,
                body_limit,
            }))
        });
        let external_auth = external_auth.transpose()?;
        let mirrors = mirrors.into_iter().map(|mirror| {
            let wire::Mirror {
                backend,
                numerator,
                denominator,
            } = mirror;
            self.demand(numerator <= denominator && denominator > 0, "a share of the requests")?;
            Ok(Arc::new(Mirror {
                backend: self.weighted(backend)?,
                numerator,
                denominator,
            }))
        });
        Ok(Filters {
            mirrors: mirrors.collect::<Result<_, Unfit>>()?,
            cors,
            external_auth,
            request_headers,
            response_headers,
            redirect,
            rewrite,
        })
    }

    pub(super) fn tracing(&mut self, tracing: wire::Tracing) -> Result<Tracing, Unfit> {
        let wire::Tracing {
            policy,
            collector,
            headers,
            sampling,
            sampled_parents,
            service_name,
            span_name,
            attributes,
        } = tracing;
        for share in [Some(sampling), sampled_parents].into_iter().flatten() {
            let is_share = share.numerator <= share.denominator && share.denominator > 0;
            self.demand(is_share, "a share of the requests")?;
        }
        let read: Option<Vec<_>> = headers
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                let mut value = HeaderValue::from_str(value).ok()?;
                value.set_sensitive(true);
                Some((name, value))
            })
            .collect();
        self.demand(read.is_some(), "a header of HTTP")?;
        Ok(Tracing {
            policy,
            collector: self.weighted(collector)?,
            headers: read.unwrap_or_default(),
            sampling,
            sampled_parents,
            service_name,
            span_name,
            attributes,
        })
    }
}
