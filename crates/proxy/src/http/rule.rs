//! What is worked out once for each rule that requests fall to: its counters, its total weight, the ways to its backends.
//!
//! Found by the rule's address, which stays the same for as long as a change leaves the rule alone, and by that of the certificate that
//! backends see. An entry holds both, so an address is never another's; it goes when no snapshot has the two together any more.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, RwLock};

use sealway_core::{Backend, HttpRule, SessionKey, Target};

use super::budget::{Budget, Budgets};
use super::upstream::{Channel, Channels, Speak};
use crate::Shared;
use crate::listeners::Binding;
use crate::metrics::{HttpMetrics, RouteCounters};
use crate::proxy::Used;
use crate::tls::ClientIdentity;

/// What all connections that carry requests share.
pub(crate) struct HttpShared {
    pub(super) channels: Channels,
    budgets: Budgets,
    rules: RwLock<HashMap<RuleKey, Arc<RuleState>>>,
    /// Of requests without a route.
    pub(super) nobody: Arc<RouteCounters>,
    /// For snapshots that bring none; `None`: there is no randomness, so no session either.
    pub(super) session_key: Option<SessionKey>,
    pub(super) mirrors: Arc<tokio::sync::Semaphore>,
    pub(super) mirror_bytes: Arc<tokio::sync::Semaphore>,
    metrics: HttpMetrics,
}

/// The addresses of a rule and of the certificate that its backends see.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RuleKey {
    rule: usize,
    identity: usize,
}

/// A rule in use.
pub(super) struct RuleState {
    pub(super) rule: Arc<HttpRule>,
    identity: Option<Arc<ClientIdentity>>,
    pub(super) counters: Arc<RouteCounters>,
    pub(super) total_weight: u64,
    /// By the position of the backend, for requests and for upgrades.
    channels: Vec<[OnceLock<Arc<Channel>>; 2]>,
    /// By the position of the backend; `None`: retries as the rule has them.
    budgets: Vec<Option<Arc<Budget>>>,
    /// To mirrors and the authorization server. Held here, or their connections would be nobody's between two requests.
    others: Vec<(Arc<Backend>, Speak, OnceLock<Arc<Channel>>)>,
}

impl HttpShared {
    pub(crate) fn new(metrics: &HttpMetrics, limits: &super::HttpLimits) -> Self {
        Self {
            channels: Channels::default(),
            budgets: Budgets::default(),
            rules: RwLock::default(),
            nobody: Arc::new(metrics.route("")),
            session_key: own_key(),
            mirrors: Arc::new(tokio::sync::Semaphore::new(limits.concurrent_mirrors)),
            mirror_bytes: Arc::new(tokio::sync::Semaphore::new(super::limits::COPY_BYTES)),
            metrics: metrics.clone(),
        }
    }

    /// Forgets rules that no snapshot has any more, and lets go of endpoints that none lists.
    pub(crate) fn follow(&self, used: &Used<'_>) {
        let mut rules = self.rules.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        rules.retain(|key, _| used.rules.contains(key));
        drop(rules);
        self.channels.follow(used);
        self.budgets.follow(used);
    }

    /// Closes what was idle for too long. Called now and then.
    pub(crate) fn sweep(&self, limits: &super::HttpLimits) {
        self.channels.sweep(tokio::time::Instant::now(), limits);
    }

    pub(super) fn rule(&self, binding: &Binding, rule: &Arc<HttpRule>) -> Arc<RuleState> {
        self.rule_with(binding.identity.as_ref(), rule)
    }

    fn rule_with(&self, identity: Option<&Arc<ClientIdentity>>, rule: &Arc<HttpRule>) -> Arc<RuleState> {
        let key = RuleKey::new(rule, identity);
        let rules = self.rules.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(state) = rules.get(&key) {
            return Arc::clone(state);
        }
        drop(rules);
        let now = tokio::time::Instant::now();
        let targets = rule.backends.iter().map(|backend| &backend.backend.target);
        let budgets = targets.map(|target| match target {
            Target::Backend(backend) => self.budgets.of(backend, now),
            Target::Refuse(_) => None,
        });
        let state = Arc::new(RuleState {
            budgets: budgets.collect(),
            identity: identity.cloned(),
            counters: Arc::new(self.metrics.route(&rule.route.to_string())),
            total_weight: rule.total_weight(),
            channels: rule.backends.iter().map(|_| Default::default()).collect(),
            others: others(rule),
            rule: Arc::clone(rule),
        });
        let mut rules = self.rules.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(rules.entry(key).or_insert(state))
    }
}

/// Of this process alone.
fn own_key() -> Option<SessionKey> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(SessionKey::new(bytes))
}

impl RuleKey {
    pub(crate) fn new(rule: &Arc<HttpRule>, identity: Option<&Arc<ClientIdentity>>) -> Self {
        Self {
            rule: Arc::as_ptr(rule).addr(),
            identity: identity.map_or(0, |identity| Arc::as_ptr(identity).addr()),
        }
    }
}

impl RuleState {
    /// Whether this is of that rule, with the certificate of that binding.
    pub(super) fn is_of(&self, binding: &Binding, rule: &Arc<HttpRule>) -> bool {
        Arc::ptr_eq(&self.rule, rule)
            && match (&self.identity, &binding.identity) {
                (None, None) => true,
                (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
                _ => false,
            }
    }

    /// The way to the backend at a position.
    pub(super) fn channel(&self, shared: &Shared, position: usize, backend: &Backend, upgrade: bool) -> Arc<Channel> {
        let speak = match upgrade {
            true => Speak::Http1,
            false => Speak::of_rule(self.rule.kind),
        };
        let make = || shared.http.channels.channel(shared, backend, self.identity.as_ref(), speak);
        match self.channels.get(position).and_then(|both| both.get(usize::from(upgrade))) {
            Some(known) => Arc::clone(known.get_or_init(make)),
            None => make(),
        }
    }

    /// The way to a backend that is none of the rule's own: a mirror, an authorization server.
    pub(super) fn other_channel(&self, shared: &Shared, backend: &Arc<Backend>, speak: Speak) -> Arc<Channel> {
        let make = || shared.http.channels.channel(shared, backend, self.identity.as_ref(), speak);
        let mut others = self.others.iter();
        match others.find(|(other, how, _)| Arc::ptr_eq(other, backend) && *how == speak) {
            Some((_, _, known)) => Arc::clone(known.get_or_init(make)),
            None => make(),
        }
    }

    /// How much may be sent again to the backend at a position.
    pub(super) fn budget(&self, position: usize) -> Option<&Budget> {
        self.budgets.get(position)?.as_deref()
    }

    pub(super) fn target(&self, position: usize) -> Option<&Target> {
        self.rule.backends.get(position).map(|backend| &backend.backend.target)
    }
}

/// The backends of a rule's filters.
fn others(rule: &HttpRule) -> Vec<(Arc<Backend>, Speak, OnceLock<Arc<Channel>>)> {
    let of_backends = rule.backends.iter().map(|backend| &backend.filters);
    let filters = std::iter::once(&rule.filters).chain(of_backends);
    let targets = filters.flat_map(|filters| {
        let mirrors = filters
            .mirrors
            .iter()
            .map(|mirror| (&mirror.backend, Speak::of_rule(rule.kind)));
        let auth = filters.external_auth.iter();
        mirrors.chain(auth.map(|auth| (&auth.backend, Speak::of_auth(&auth.protocol))))
    });
    let backends = targets.filter_map(|(backend, speak)| match &backend.target {
        Target::Backend(backend) => Some((Arc::clone(backend), speak, OnceLock::new())),
        Target::Refuse(_) => None,
    });
    backends.collect()
}

#[cfg(test)]
mod tests;
