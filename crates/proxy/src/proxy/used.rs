//! What the snapshots name: what was learnt about anything else may be forgotten.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use sealway_api::ObjectKey;
use sealway_core::{ContentHash, Filters, HttpRoutes, HttpRule, PortPlan, Snapshot, Target, WeightedBackend};

use crate::http::RuleKey;
use crate::tls::ClientIdentity;

#[derive(Default)]
pub(crate) struct Used<'a> {
    /// By Service and port, their endpoints.
    pub(crate) backends: HashMap<(&'a ObjectKey, u16), HashSet<SocketAddr>>,
    /// What the Gateways show to backends.
    pub(crate) identities: HashSet<Option<ContentHash>>,
    /// With the certificate that backends see of the rule's Gateway.
    pub(crate) rules: HashSet<RuleKey>,
    /// Services with a limit for retries.
    pub(crate) retry_budgets: HashSet<&'a ObjectKey>,
}

impl<'a> Used<'a> {
    /// Each snapshot comes with what its Gateway shows to backends.
    pub(super) fn by(snapshots: &'a [(Option<Arc<ClientIdentity>>, Arc<Snapshot>)]) -> Self {
        let mut used = Self::default();
        for (identity, snapshot) in snapshots {
            used.spans(snapshot);
            used.identities.insert(identity.as_ref().map(|identity| identity.content));
            for plan in snapshot.ports.values() {
                used.enter_plan(plan, identity.as_ref());
            }
        }
        used
    }

    fn spans(&mut self, snapshot: &'a Snapshot) {
        if let Some(tracing) = &snapshot.tracing {
            self.enter(&tracing.collector);
        }
    }

    fn enter_plan(&mut self, plan: &'a PortPlan, identity: Option<&Arc<ClientIdentity>>) {
        match plan {
            PortPlan::Tls(plan) => {
                for listener in &plan.listeners {
                    let forwards = listener.routes.iter().flat_map(|(_, forward)| &forward.backends);
                    forwards.for_each(|backend| self.enter(backend));
                    listener
                        .requests
                        .iter()
                        .for_each(|routes| self.enter_routes(routes, identity));
                }
            }
            PortPlan::Tcp(plan) | PortPlan::Udp(plan) => {
                let backends = plan.forward.iter().flat_map(|forward| &forward.backends);
                backends.for_each(|backend| self.enter(backend));
            }
            PortPlan::Http(plan) => plan
                .listeners
                .iter()
                .for_each(|listener| self.enter_routes(&listener.requests, identity)),
        }
    }

    fn enter_routes(&mut self, routes: &'a HttpRoutes, identity: Option<&Arc<ClientIdentity>>) {
        for rule in &routes.before {
            if self.rules.insert(RuleKey::new(rule, identity)) {
                self.enter_rule(rule);
            }
        }
        for found in routes.hosts.iter().flat_map(|(_, host)| host.matches()) {
            // The matches of a rule share it.
            if self.rules.insert(RuleKey::new(&found.rule, identity)) {
                self.enter_rule(&found.rule);
            }
        }
    }

    fn enter_rule(&mut self, rule: &'a HttpRule) {
        self.enter_filters(&rule.filters);
        for backend in &rule.backends {
            self.enter(&backend.backend);
            self.enter_filters(&backend.filters);
        }
    }

    fn enter_filters(&mut self, filters: &'a Filters) {
        filters.mirrors.iter().for_each(|mirror| self.enter(&mirror.backend));
        filters.external_auth.iter().for_each(|auth| self.enter(&auth.backend));
    }

    fn enter(&mut self, backend: &'a WeightedBackend) {
        if let Target::Backend(backend) = &backend.target {
            let endpoints = self.backends.entry((&backend.service, backend.port)).or_default();
            endpoints.extend(&backend.endpoints);
            if backend.retry_budget.is_some() {
                self.retry_budgets.insert(&backend.service);
            }
        }
    }
}
