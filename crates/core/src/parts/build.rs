//! From what a part says to a value of a snapshot, with the values of the parts that it names.
//!
//! A part comes from a peer: what the data plane takes for granted is checked here.

use std::collections::HashMap;
use std::sync::Arc;

use super::assemble::HeldParts;
use super::wire::{self, Place, Wire};
use super::{PartKey, Unfit};
use crate::snapshot::{
    Backend, Forward, HttpHost, HttpListener, HttpMatch, HttpRule, PathMatcher, Pattern, Target, TlsListener, Tracing,
    TrustBundle, ValueMatcher, WeightedBackend,
};

mod backends;
mod listeners;
mod requests;

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
    fn share(&mut self, pattern: &mut Pattern, held: &HeldParts) {
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
    pub(super) held: &'a HeldParts,
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
            Wire::Bundle(bundle) => Built::Bundle(Arc::new(backends::bundle(bundle))),
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
}
