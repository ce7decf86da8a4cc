//! XBackendTrafficPolicy: how much may be sent again to a Service, and its sessions (GEP-3388, GEP-1619).
//!
//! Input: the policies. Output: for each Service its [`RetryBudget`] and [`Session`], and for each policy one status entry a Gateway whose
//! routes send requests to its targets. Invariant: one policy holds for a Service, whole or not at all; one that is invalid takes no
//! Service from a good one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sealway_api::{
    ConditionStatus, ConditionType, Kind, ObjectKey, ObjectRef, PolicyAncestorStatus, PolicyStatus, PolicyTarget, Reason,
    RetryConstraint, XBackendTrafficPolicy,
};

use super::values::parse_duration;
use super::world::World;
use super::{http, policies};
use crate::problem::{Cause, text};
use crate::snapshot::{RetryBudget, Session};

/// All policies, by precedence, and what they target.
#[derive(Default)]
pub(super) struct TrafficPolicies<'a> {
    list: Vec<Work<'a>>,
    targets: BTreeMap<ObjectKey, Targets>,
    /// Gateways through which the targets of a policy get requests, by its position.
    ancestors: BTreeMap<usize, BTreeSet<ObjectKey>>,
}

/// Who targets one Service.
#[derive(Default)]
struct Targets {
    holder: Option<usize>,
    /// Everybody, losers included.
    all: Vec<usize>,
}

struct Work<'a> {
    object: ObjectRef,
    policy: &'a XBackendTrafficPolicy,
    retry_budget: Option<RetryBudget>,
    session: Option<Arc<Session>>,
    /// Whether what it asks for can be honoured, whatever its targets are.
    is_valid: bool,
    /// Targets that it has.
    held: Vec<String>,
    /// Why it is not accepted, with the reason of the condition. Good claims on other targets hold all the same.
    refused: Option<(Reason, Cause)>,
}

impl Work<'_> {
    fn refuse(&mut self, reason: Reason, cause: Cause) {
        self.refused.get_or_insert((reason, cause));
    }
}

impl TrafficPolicies<'_> {
    /// How much may be sent again to a Service; `None`: as much as rules say.
    pub(super) fn retry_budget(&self, service: &ObjectKey) -> Option<RetryBudget> {
        self.holder(service)?.retry_budget
    }

    /// The sessions of a Service, for rules that have none of their own.
    pub(super) fn session(&self, service: &ObjectKey) -> Option<&Arc<Session>> {
        self.holder(service)?.session.as_ref()
    }

    fn holder(&self, service: &ObjectKey) -> Option<&Work<'_>> {
        self.list.get(self.targets.get(service)?.holder?)
    }

    /// Whether any of these Services is a target.
    pub(super) fn concern(&self, services: &BTreeSet<ObjectKey>) -> bool {
        !self.targets.is_empty() && services.iter().any(|service| self.targets.contains_key(service))
    }
}

/// Whether the policies are about such routes: what others carry is no requests.
pub(super) fn are_about(route: &ObjectRef) -> bool {
    matches!(route.kind, Kind::HttpRoute | Kind::GrpcRoute)
}

/// Reads every policy, the one that takes precedence first: the older, then by namespace and name.
pub(super) fn collect(world: &mut World<'_>) {
    let mut order: Vec<(&ObjectKey, &XBackendTrafficPolicy)> = Vec::new();
    let all = world.resources.x_backend_traffic_policies.iter();
    order.extend(all.map(|(key, policy)| (key, &**policy)));
    order.sort_by_key(|(key, policy)| (policy.metadata.creation_timestamp, *key));
    for (key, policy) in order {
        let mut work = Work {
            object: ObjectRef::of(Kind::XBackendTrafficPolicy, key),
            policy,
            retry_budget: None,
            session: None,
            is_valid: true,
            held: Vec::new(),
            refused: None,
        };
        examine(world, &mut work);
        let position = world.traffic.list.len();
        for (target, reference) in policy.spec.target_refs.iter().enumerate() {
            claim(world, &mut work, position, target, reference);
        }
        world.traffic.list.push(work);
    }
}

/// What it asks for.
fn examine(world: &mut World<'_>, work: &mut Work<'_>) {
    let object = work.object.clone();
    let mut refused = None;
    let mut fail = |field: &str, cause: Cause| {
        world.report(&object, format!("spec.{field}"), cause.clone());
        refused.get_or_insert(cause);
    };
    if let Some(written) = &work.policy.spec.retry_constraint {
        work.retry_budget = retry_budget(written, &mut fail);
    }
    if let Some(written) = &work.policy.spec.session_persistence {
        let mut fail = |field: &str, cause| fail(&format!("sessionPersistence.{field}"), cause);
        let session = http::session(&object.to_string(), &object.to_string(), written, &mut fail);
        work.session = session.map(Arc::new);
    }
    if let Some(cause) = refused {
        work.is_valid = false;
        work.refuse(Reason::Invalid, cause);
    }
}

/// `None` when something is wrong with it.
fn retry_budget(written: &RetryConstraint, fail: &mut dyn FnMut(&str, Cause)) -> Option<RetryBudget> {
    let mut unsupported = |field: &str, value: String, expected| {
        fail(
            &format!("retryConstraint.{field}"),
            Cause::ValueUnsupported { value, expected },
        );
    };
    let budget = written.budget.clone().unwrap_or_default();
    let percent = budget.percent.unwrap_or(20);
    let percent = u8::try_from(percent).ok().filter(|percent| *percent <= 100).or_else(|| {
        unsupported("budget.percent", percent.to_string(), "a number from 0 to 100");
        None
    });
    let interval = budget.interval.unwrap_or_else(|| "10s".to_owned());
    let within = |interval: &Duration| (RetryBudget::SHORTEST..=LONGEST).contains(interval);
    let interval = parse_duration(&interval).filter(within).or_else(|| {
        unsupported("budget.interval", interval, "a duration from `1s` to `1h`");
        None
    });
    let rate = written.min_retry_rate.clone().unwrap_or_default();
    let count = rate.count.unwrap_or(10);
    let least = u32::try_from(count)
        .ok()
        .filter(|count| (1..=MOST).contains(count))
        .or_else(|| {
            unsupported("minRetryRate.count", count.to_string(), "a number from 1 to 1000000");
            None
        });
    let of_least = rate.interval.unwrap_or_else(|| "1s".to_owned());
    let within = |interval: &Duration| !interval.is_zero() && *interval <= LONGEST;
    let least_interval = parse_duration(&of_least).filter(within).or_else(|| {
        unsupported("minRetryRate.interval", of_least, "a duration above zero, at most `1h`");
        None
    });
    Some(RetryBudget {
        percent: percent?,
        interval: interval?,
        least: least?,
        least_interval: least_interval?,
    })
}

const LONGEST: Duration = Duration::from_secs(3_600);
const MOST: u32 = 1_000_000;

/// Enters a policy at one of its targets, unless another one has it.
fn claim(world: &mut World<'_>, work: &mut Work<'_>, position: usize, target: usize, reference: &PolicyTarget) {
    let field = |part: &str| format!("spec.targetRefs[{target}]{part}");
    if Kind::from(reference.kind.as_str()) != Kind::Service || !reference.group.is_empty() {
        let cause = Cause::PolicyTargetKind {
            group: reference.group.clone(),
            kind: reference.kind.clone(),
        };
        world.report(&work.object, field(".kind"), cause.clone());
        return work.refuse(Reason::Invalid, cause);
    }
    let namespace = work.policy.metadata.namespace.as_deref().unwrap_or_default();
    let service = ObjectRef::new(Kind::Service, namespace, &reference.name);
    let missing = policies::missing(world, &service, None);
    let is_there = missing.is_none();
    if let Some((part, cause)) = missing {
        world.report(&work.object, field(part), cause.clone());
        work.refuse(Reason::TargetNotFound, cause);
    }
    let targets = world.traffic.targets.entry(service.key.clone()).or_default();
    targets.all.push(position);
    if !work.is_valid {
        return;
    }
    let holder = *targets.holder.get_or_insert(position);
    if let Some(by) = world.traffic.list.get(holder) {
        let cause = Cause::PolicyConflicted {
            service: service.key,
            section: None,
            by: by.object.clone(),
        };
        world.report(&work.object, field(""), cause.clone());
        work.refuse(Reason::Conflicted, cause);
    } else if is_there {
        work.held.push(service.to_string());
    }
}

/// Notes for each policy the Gateways through which its targets get requests.
pub(super) fn settle(world: &mut World<'_>) {
    let World { traffic, uses, .. } = world;
    if traffic.list.is_empty() {
        return;
    }
    for (_, uses) in uses.iter().filter(|(route, _)| are_about(route)) {
        let targets = uses.services.iter().filter_map(|service| traffic.targets.get(service));
        for position in targets.flat_map(|targets| &targets.all) {
            let ancestors = traffic.ancestors.entry(*position).or_default();
            ancestors.extend(uses.gateways.iter().cloned());
        }
    }
    traffic.ancestors.retain(|_, gateways| !gateways.is_empty());
}

/// Statuses of the policies that Gateways of ours use.
pub(super) fn statuses(world: &World<'_>) -> BTreeMap<ObjectKey, PolicyStatus> {
    let traffic = &world.traffic;
    let entries = traffic.ancestors.iter().filter_map(|(position, gateways)| {
        let work = traffic.list.get(*position)?;
        let ancestors = gateways.iter().take(policies::MOST_ANCESTORS);
        let ancestors = ancestors.map(|gateway| ancestor(world, work, gateway)).collect();
        Some((work.object.key.clone(), PolicyStatus { ancestors }))
    });
    entries.collect()
}

fn ancestor(world: &World<'_>, work: &Work<'_>, gateway: &ObjectKey) -> PolicyAncestorStatus {
    let accepted = match &work.refused {
        Some((reason, cause)) => {
            let mut message = cause.sentence();
            if !work.held.is_empty() {
                // One condition speaks of all targets.
                message = format!("{message}; in force all the same for {}", text::some_of(&work.held));
            }
            (ConditionStatus::False, reason.clone(), message)
        }
        None => policies::accepted_but(std::iter::empty()),
    };
    policies::entry(
        world,
        gateway,
        work.policy.metadata.generation,
        [(ConditionType::Accepted, accepted)],
    )
}

#[cfg(test)]
mod tests;
