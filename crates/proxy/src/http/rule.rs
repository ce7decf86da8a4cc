//! What is worked out once for each rule that requests fall to: its counters, its total weight, the ways to its backends.
//!
//! Found by the rule's address, which stays the same for as long as a change leaves the rule alone. An entry holds its rule, so an address
//! is never another rule's.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, RwLock};

use sealway_core::{Backend, HttpRule, RuleKind, Target};

use super::upstream::{Channel, Channels, Speak};
use crate::Shared;
use crate::listeners::Binding;
use crate::metrics::{HttpMetrics, RouteCounters};
use crate::tls::ClientIdentity;

/// What all connections that carry requests share.
pub(crate) struct HttpShared {
    pub(super) channels: Channels,
    rules: RwLock<HashMap<(usize, usize), Arc<RuleState>>>,
    /// Of requests without a route.
    pub(super) nobody: Arc<RouteCounters>,
    pub(super) mirrors: Arc<tokio::sync::Semaphore>,
    pub(super) mirror_bytes: Arc<tokio::sync::Semaphore>,
    metrics: HttpMetrics,
}

/// A rule in use.
pub(super) struct RuleState {
    pub(super) rule: Arc<HttpRule>,
    identity: Option<Arc<ClientIdentity>>,
    pub(super) counters: Arc<RouteCounters>,
    pub(super) total_weight: u64,
    /// By the position of the backend, for requests and for upgrades.
    channels: Vec<[OnceLock<Arc<Channel>>; 2]>,
}

impl HttpShared {
    pub(crate) fn new(metrics: &HttpMetrics, limits: &super::HttpLimits) -> Self {
        Self {
            channels: Channels::default(),
            rules: RwLock::default(),
            nobody: Arc::new(metrics.route("")),
            mirrors: Arc::new(tokio::sync::Semaphore::new(limits.concurrent_mirrors)),
            mirror_bytes: Arc::new(tokio::sync::Semaphore::new(super::limits::COPY_BYTES)),
            metrics: metrics.clone(),
        }
    }

    /// Forgets rules that no snapshot has any more. A rule is the snapshot's and the entry's.
    pub(crate) fn forget_rules(&self) {
        let mut rules = self.rules.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        rules.retain(|_, state| Arc::strong_count(&state.rule) > 1);
    }

    /// Closes what was idle for too long. Called now and then.
    pub(crate) fn sweep(&self, limits: &super::HttpLimits) {
        self.channels.sweep(tokio::time::Instant::now(), limits);
    }

    pub(super) fn rule(&self, binding: &Binding, rule: &Arc<HttpRule>) -> Arc<RuleState> {
        let key = key(binding, rule);
        let rules = self.rules.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(state) = rules.get(&key) {
            return Arc::clone(state);
        }
        drop(rules);
        let state = Arc::new(RuleState {
            identity: binding.identity.clone(),
            counters: Arc::new(self.metrics.route(&rule.route.to_string())),
            total_weight: rule.total_weight(),
            channels: rule.backends.iter().map(|_| Default::default()).collect(),
            rule: Arc::clone(rule),
        });
        let mut rules = self.rules.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(rules.entry(key).or_insert(state))
    }
}

fn key(binding: &Binding, rule: &Arc<HttpRule>) -> (usize, usize) {
    let identity = binding.identity.as_ref().map_or(0, |identity| Arc::as_ptr(identity).addr());
    (Arc::as_ptr(rule).addr(), identity)
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
        let speak = match self.rule.kind {
            _ if upgrade => Speak::Http1,
            RuleKind::Grpc => Speak::Http2,
            RuleKind::Http => Speak::Either,
        };
        let make = || shared.http.channels.channel(shared, backend, self.identity.as_ref(), speak);
        match self.channels.get(position).and_then(|both| both.get(usize::from(upgrade))) {
            Some(known) => Arc::clone(known.get_or_init(make)),
            None => make(),
        }
    }

    /// The way to a backend that is none of the rule's own: a mirror, an authorization server.
    pub(super) fn other_channel(&self, shared: &Shared, backend: &Backend, speak: Speak) -> Arc<Channel> {
        shared.http.channels.channel(shared, backend, self.identity.as_ref(), speak)
    }

    pub(super) fn target(&self, position: usize) -> Option<&Target> {
        self.rule.backends.get(position).map(|backend| &backend.backend.target)
    }
}
