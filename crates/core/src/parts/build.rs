//! From what a part says to a value of a snapshot, with the values of the parts that it names.
//!
//! A part comes from a peer: what the data plane takes for granted is checked here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use rustls_pki_types::CertificateDer;

use super::assemble::Held;
use super::wire::{self, Place, Wire};
use super::{PartKey, Unfit};
use crate::hostname::NameIndex;
use crate::snapshot::{
    Backend, BackendAuthorities, BackendTls, CertificateSlot, ClientValidation, ExternalAuth, Filters, Forward, HttpBackend,
    HttpHost, HttpListener, HttpMatch, HttpRoutes, HttpRule, Mirror, PathMatcher, Pattern, Redirect, Retry, RetryBudget, Session,
    Target, Termination, TlsListener, Tracing, TrustBundle, UpstreamTls, ValueMatcher, WeightedBackend,
};

/// What a part is, ready for a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Built {
    Head(Arc<wire::Head>),
    Port(wire::Port),
    /// Without routes.
    TlsListener(Arc<TlsListener>),
    /// Without routes.
    HttpListener(Arc<HttpListener>),
    /// Its name.
    RelayListener(Arc<str>),
    Forward(Arc<Forward>),
    Host(Arc<HttpHost>),
    Rule(Arc<HttpRule>),
    Backend(Arc<Backend>),
    Bundle(Arc<TrustBundle>),
    Tracing(Arc<Tracing>),
}

/// Parts name only parts of an earlier rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Names none, or only what is looked up at the end.
    First,
    /// Names bundles.
    Bundles,
    /// Names backends.
    Backends,
    /// Names rules.
    Rules,
}

impl Rank {
    pub(super) const ALL: [Self; 4] = [Self::First, Self::Bundles, Self::Backends, Self::Rules];
}

impl Wire {
    pub(super) fn rank(&self) -> Rank {
        match self {
            Self::Head(_) | Self::Port(_) | Self::RelayListener(_) | Self::Bundle(_) => Rank::First,
            Self::Backend(_) => Rank::Bundles,
            Self::Forward(_) | Self::Rule(_) | Self::Tracing(_) => Rank::Backends,
            Self::Host(_) | Self::TlsListener(_) | Self::HttpListener(_) => Rank::Rules,
        }
    }
}

impl Built {
    pub(super) fn rank(&self) -> Rank {
        match self {
            Self::Head(_) | Self::Port(_) | Self::RelayListener(_) | Self::Bundle(_) => Rank::First,
            Self::Backend(_) => Rank::Bundles,
            Self::Forward(_) | Self::Rule(_) | Self::Tracing(_) => Rank::Backends,
            Self::Host(_) | Self::TlsListener(_) | Self::HttpListener(_) => Rank::Rules,
        }
    }
}

/// Expressions by their text: a thousand routes with one expression share it.
#[derive(Default)]
pub(super) struct Patterns(Option<HashMap<String, Pattern>>);

impl Patterns {
    fn share(&mut self, pattern: &mut Pattern, held: &BTreeMap<PartKey, Arc<Held>>) {
        let known = self.0.get_or_insert_with(|| {
            let hosts = held.values().filter_map(|held| match &held.built {
                Built::Host(host) => Some(host),
                _ => None,
            });
            let all = hosts.flat_map(|host| host.matches()).flat_map(patterns);
            all.map(|pattern| (pattern.as_str().to_owned(), pattern.clone())).collect()
        });
        match known.get(pattern.as_str()) {
            Some(shared) => *pattern = shared.clone(),
            None => {
                known.insert(pattern.as_str().to_owned(), pattern.clone());
            }
        }
    }
}

fn patterns(matched: &HttpMatch) -> impl Iterator<Item = &Pattern> {
    let path = match &matched.path {
        PathMatcher::Pattern(pattern) => Some(pattern),
        PathMatcher::Exact(_) | PathMatcher::Prefix(_) => None,
    };
    let headers = matched.headers.iter().map(|matcher| &matcher.value);
    let values = headers.chain(matched.query.iter().map(|matcher| &matcher.value));
    path.into_iter().chain(values.filter_map(|value| match value {
        ValueMatcher::Pattern(pattern) => Some(pattern),
        ValueMatcher::Exact(_) => None,
    }))
}

/// Builds one part.
pub(super) struct Builder<'a> {
    pub(super) part: &'a PartKey,
    pub(super) held: &'a BTreeMap<PartKey, Arc<Held>>,
    pub(super) patterns: &'a mut Patterns,
    /// The parts that it has named so far.
    pub(super) links: Vec<PartKey>,
}

impl Builder<'_> {
    pub(super) fn build(&mut self, wire: Wire) -> Result<(Built, Vec<Place>), Unfit> {
        let built = match wire {
            Wire::Head(head) => Built::Head(Arc::from(head)),
            Wire::Port(port) => Built::Port(port),
            Wire::TlsListener(listener) => Built::TlsListener(Arc::new(self.tls_listener(listener)?)),
            Wire::HttpListener(wire::HttpListener {
                name,
                hostname,
                fate,
                before,
            }) => Built::HttpListener(Arc::new(HttpListener {
                name,
                hostname,
                fate,
                requests: Arc::new(self.without_hosts(before)?),
            })),
            Wire::RelayListener(wire::RelayListener { name }) => Built::RelayListener(name.into()),
            Wire::Forward(placed) => {
                let forward = self.forward(placed.value)?;
                return Ok((Built::Forward(Arc::new(forward)), placed.places));
            }
            Wire::Host(placed) => {
                let host = self.host(placed.value)?;
                return Ok((Built::Host(Arc::new(host)), placed.places));
            }
            Wire::Rule(rule) => Built::Rule(Arc::new(self.rule(*rule)?)),
            Wire::Backend(backend) => Built::Backend(Arc::new(self.backend(backend)?)),
            Wire::Bundle(bundle) => Built::Bundle(Arc::new(built_bundle(bundle))),
            Wire::Tracing(tracing) => Built::Tracing(Arc::new(self.tracing(*tracing)?)),
        };
        Ok((built, Vec::new()))
    }

    /// The same conditions with the rules as they are now.
    pub(super) fn relink(&mut self, host: &HttpHost, links: &[PartKey]) -> Result<HttpHost, Unfit> {
        let matches = host.matches().iter().zip(links).map(|(matched, link)| {
            Ok(HttpMatch {
                rule: self.named_rule(link.clone())?,
                ..matched.clone()
            })
        });
        Ok(HttpHost::new(matches.collect::<Result<_, Unfit>>()?))
    }

    fn named(&mut self, key: PartKey) -> Result<(&Built, PartKey), Unfit> {
        self.links.push(key.clone());
        match self.held.get(&key) {
            Some(held) => Ok((&held.built, key)),
            None => Err(Unfit::Missing {
                part: self.part.clone(),
                needs: key,
            }),
        }
    }

    fn misfit(&self, needs: PartKey) -> Unfit {
        Unfit::Misfit {
            part: self.part.clone(),
            needs,
        }
    }

    fn named_bundle(&mut self, key: PartKey) -> Result<Arc<TrustBundle>, Unfit> {
        match self.named(key)? {
            (Built::Bundle(bundle), _) => Ok(Arc::clone(bundle)),
            (_, key) => Err(self.misfit(key)),
        }
    }

    fn named_backend(&mut self, key: PartKey) -> Result<Arc<Backend>, Unfit> {
        match self.named(key)? {
            (Built::Backend(backend), _) => Ok(Arc::clone(backend)),
            (_, key) => Err(self.misfit(key)),
        }
    }

    fn named_rule(&mut self, key: PartKey) -> Result<Arc<HttpRule>, Unfit> {
        match self.named(key)? {
            (Built::Rule(rule), _) => Ok(Arc::clone(rule)),
            (_, key) => Err(self.misfit(key)),
        }
    }

    fn demand(&self, holds: bool, expected: &'static str) -> Result<(), Unfit> {
        if holds {
            return Ok(());
        }
        Err(Unfit::Value {
            part: self.part.clone(),
            expected,
        })
    }

    /// What goes before the routes of a listener.
    fn without_hosts(&mut self, before: Vec<PartKey>) -> Result<HttpRoutes, Unfit> {
        let before = before.into_iter().map(|key| self.named_rule(key));
        Ok(HttpRoutes {
            before: before.collect::<Result<_, _>>()?,
            hosts: NameIndex::default(),
        })
    }

    fn tls_listener(&mut self, listener: wire::TlsListener) -> Result<TlsListener, Unfit> {
        let wire::TlsListener {
            name,
            hostname,
            mode,
            fate,
            termination,
            takes_requests,
            before,
        } = listener;
        let requests = takes_requests.then(|| self.without_hosts(before)).transpose()?;
        let termination = termination.map(|termination| self.termination(termination));
        Ok(TlsListener {
            name,
            hostname,
            mode,
            fate,
            routes: NameIndex::default(),
            termination: termination.transpose()?.map(Arc::new),
            requests: requests.map(Arc::new),
        })
    }

    fn termination(&mut self, termination: wire::Termination) -> Result<Termination, Unfit> {
        let wire::Termination {
            certificates,
            client_validation,
            options,
        } = termination;
        let slot = |slot| match slot {
            wire::Slot::Served(certificate) => CertificateSlot::Served(Arc::new(certificate.into())),
            wire::Slot::Broken { secret, names } => CertificateSlot::Broken { secret, names },
        };
        let validation = client_validation.map(|validation| {
            let wire::ClientValidation { mode, authorities } = validation;
            let authorities = self.named_bundle(authorities)?;
            Ok(Arc::new(ClientValidation { mode, authorities }))
        });
        Ok(Termination {
            certificates: certificates.into_iter().map(slot).collect(),
            client_validation: validation.transpose()?,
            options,
        })
    }

    fn forward(&mut self, forward: wire::Forward) -> Result<Forward, Unfit> {
        let wire::Forward {
            route,
            connect_timeout,
            idle_timeout,
            backends,
        } = forward;
        let backends = backends.into_iter().map(|backend| self.weighted(backend));
        Ok(Forward {
            route: route.into(),
            connect_timeout,
            idle_timeout,
            backends: backends.collect::<Result<_, _>>()?,
        })
    }

    fn weighted(&mut self, backend: wire::Weighted) -> Result<WeightedBackend, Unfit> {
        let wire::Weighted { name, weight, target } = backend;
        let target = match target {
            wire::Target::Backend(key) => Target::Backend(self.named_backend(key)?),
            wire::Target::Refuse(fault) => Target::Refuse(fault),
        };
        Ok(WeightedBackend { name, weight, target })
    }

    fn host(&mut self, host: wire::Host) -> Result<HttpHost, Unfit> {
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

    fn rule(&mut self, rule: wire::Rule) -> Result<HttpRule, Unfit> {
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

    fn tracing(&mut self, tracing: wire::Tracing) -> Result<Tracing, Unfit> {
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

    fn backend(&mut self, backend: wire::Backend) -> Result<Backend, Unfit> {
        let wire::Backend {
            service,
            port,
            endpoints,
            proxy_protocol,
            protocol,
            tls,
            retry_budget,
        } = backend;
        self.demand(!endpoints.is_empty(), "a list of at least one endpoint")?;
        let tls = match tls {
            wire::UpstreamTls::Plain => UpstreamTls::Plain,
            wire::UpstreamTls::Refused { policy } => UpstreamTls::Refused { policy },
            wire::UpstreamTls::Verified {
                policy,
                server_name,
                names,
                authorities,
                options,
            } => UpstreamTls::Verified(Arc::new(BackendTls {
                policy,
                server_name,
                names,
                authorities: match authorities {
                    wire::Authorities::System => BackendAuthorities::System,
                    wire::Authorities::Bundle(key) => BackendAuthorities::Bundle(self.named_bundle(key)?),
                },
                options,
            })),
        };
        Ok(Backend {
            service,
            port,
            endpoints,
            proxy_protocol,
            protocol,
            tls,
            retry_budget: retry_budget.map(|budget| self.retry_budget(&budget)).transpose()?,
        })
    }

    fn retry_budget(&self, budget: &wire::RetryBudget) -> Result<RetryBudget, Unfit> {
        let wire::RetryBudget {
            percent,
            interval,
            least,
            least_interval,
        } = *budget;
        let is_share = percent <= 100 && interval >= RetryBudget::SHORTEST;
        self.demand(is_share && !least_interval.is_zero(), "a share of the requests in a time")?;
        Ok(RetryBudget {
            percent,
            interval,
            least,
            least_interval,
        })
    }
}

fn built_bundle(bundle: wire::Bundle) -> TrustBundle {
    let wire::Bundle {
        content,
        sources,
        certificates,
        subjects,
        revocation_lists,
        crl_failure,
    } = bundle;
    TrustBundle {
        content,
        sources: sources.into_iter().map(Into::into).collect(),
        certificates: certificates.into_iter().map(CertificateDer::from).collect(),
        subjects,
        revocation_lists: revocation_lists.into_iter().map(Into::into).collect(),
        crl_failure,
    }
}
