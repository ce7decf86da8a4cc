//! BackendTLSPolicy: which Services the gateway speaks TLS to, and how they prove themselves (GEP-1897).
//!
//! Input: policies, CAs, what was observed of backends. Output: for each port of a Service its [`UpstreamTls`], and for each policy one
//! status entry a Gateway whose routes reach its targets. Invariant: a Service for which a policy asks for TLS is never spoken to without it.

use std::collections::{BTreeMap, BTreeSet};

use sealway_api::{
    BackendTlsPolicy, ConditionStatus, ConditionType, GATEWAY_GROUP, Kind, ObjectKey, ObjectRef, ParentRef, PolicyAncestorStatus,
    PolicyStatus, PolicyTarget, Reason, ServicePort,
};

use super::backends::Spoken;
use super::extent::Uses;
use super::statuses::condition;
use super::traffic;
use super::verification::{self, Asked};
use super::world::{GatewayWork, World};
use crate::problem::{Cause, text};
use crate::settings::{BackendPeer, PortSelector};
use crate::snapshot::{ContentHash, UpstreamTls};

/// All policies, by precedence, and what they target.
#[derive(Default)]
pub(super) struct Policies<'a> {
    list: Vec<Work<'a>>,
    targets: BTreeMap<(&'a str, &'a str), Targets<'a>>,
    /// Gateways through which the targets of a policy are reached, by its position.
    ancestors: BTreeMap<usize, BTreeSet<ObjectKey>>,
}

/// Who targets one Service.
#[derive(Default)]
struct Targets<'a> {
    /// Who has the whole of it, and each port by name.
    whole: Option<usize>,
    sections: BTreeMap<&'a str, usize>,
    /// Everybody, losers included.
    all: Vec<Claim<'a>>,
}

struct Claim<'a> {
    section: Option<&'a str>,
    /// Its section is no port that is known: it was meant for one of them.
    is_astray: bool,
    position: usize,
}

struct Work<'a> {
    object: ObjectRef,
    policy: &'a BackendTlsPolicy,
    tls: UpstreamTls,
    /// Targets that it has.
    held: Vec<String>,
    /// Why it is not accepted, with the reason of the condition. Good claims on other targets hold all the same.
    refused: Option<(Reason, Cause)>,
    /// The first CA reference that is not good.
    unresolved: Option<(Reason, Cause)>,
    /// What backends have been seen to do, each with the Gateways that saw it.
    evidence: Vec<(BTreeSet<ObjectKey>, Cause)>,
}

impl Work<'_> {
    fn refuse(&mut self, reason: Reason, cause: Cause) {
        self.refused.get_or_insert((reason, cause));
    }
}

impl Policies<'_> {
    /// What the gateway speaks to a Service's port.
    pub(super) fn upstream(&self, service: &ObjectKey, port: Option<&str>) -> UpstreamTls {
        self.holder(service, port).map_or(UpstreamTls::Plain, |(_, tls)| tls)
    }

    /// The policy that a Service's port has, by its position, and what follows from it.
    fn holder(&self, service: &ObjectKey, port: Option<&str>) -> Option<(usize, UpstreamTls)> {
        let targets = self.targets.get(&(service.namespace.as_str(), service.name.as_str()))?;
        // A port by name is more specific than the whole Service (GEP-713).
        let section = port.and_then(|port| targets.sections.get(port));
        if let Some(position) = section.or(targets.whole.as_ref()) {
            return Some((*position, self.list.get(*position)?.tls.clone()));
        }
        // A port without a name that is known may be the one that is meant; so may any port by a section that is none of them.
        let doubtful = targets.all.iter().find(|claim| claim.is_astray || port.is_none())?;
        let policy = self.list.get(doubtful.position)?.object.key.clone();
        Some((doubtful.position, UpstreamTls::Refused { policy }))
    }
}

/// Why nothing is sent to a backend whose policy cannot be honoured. The policy's own problem says more.
pub(super) fn refusal(backend: &Spoken) -> Option<Cause> {
    let UpstreamTls::Refused { policy } = &backend.tls else {
        return None;
    };
    Some(Cause::BackendPolicyRefused {
        service: backend.service.clone(),
        policy: policy.clone(),
    })
}

/// Reads every policy, the one that takes precedence first: the older, then by namespace and name. One that is refused takes a target
/// from no good one.
pub(super) fn collect(world: &mut World<'_>) {
    let mut order: Vec<(&ObjectKey, &BackendTlsPolicy)> = Vec::new();
    order.extend(
        world
            .resources
            .backend_tls_policies
            .iter()
            .map(|(key, policy)| (key, &**policy)),
    );
    let is_refused = |key| world.resources.refused.contains(&ObjectRef::of(Kind::BackendTlsPolicy, key));
    order.sort_by_cached_key(|(key, policy)| (is_refused(key), policy.metadata.creation_timestamp, *key));
    for (key, policy) in order {
        let object = ObjectRef::of(Kind::BackendTlsPolicy, key);
        let is_refused = world.resources.refused.contains(&object);
        let mut work = Work {
            object,
            policy,
            tls: UpstreamTls::Refused { policy: key.clone() },
            held: Vec::new(),
            refused: None,
            unresolved: None,
            evidence: Vec::new(),
        };
        if is_refused {
            // What is wrong stands in a problem of the manifests.
            let detail = "an API server would refuse the policy as it is written".to_owned();
            work.refuse(Reason::Invalid, Cause::PolicyInvalid { detail });
        } else {
            let found = verification::read(world, &work.object.clone(), &Asked::of_policy(&policy.spec), key.clone());
            work.unresolved = found.unresolved;
            work.refused = found.refused;
            if let Some(tls) = found.tls {
                work.tls = UpstreamTls::Verified(tls);
            }
        }
        let position = world.policies.list.len();
        for (target, reference) in policy.spec.target_refs.iter().enumerate() {
            claim(world, &mut work, position, target, reference);
        }
        world.policies.list.push(work);
    }
}

/// Enters a policy at one of its targets, unless another one has it.
fn claim<'a>(world: &mut World<'a>, work: &mut Work<'a>, position: usize, target: usize, reference: &'a PolicyTarget) {
    let field = |part: &str| format!("spec.targetRefs[{target}]{part}");
    let kind = Kind::from(reference.kind.as_str());
    if kind != Kind::Service || !reference.group.is_empty() {
        let cause = Cause::PolicyTargetKind {
            group: reference.group.clone(),
            kind: reference.kind.clone(),
        };
        world.report(&work.object, field(".kind"), cause.clone());
        return work.refuse(Reason::Invalid, cause);
    }
    let namespace = work.policy.metadata.namespace.as_deref().unwrap_or_default();
    let service = ObjectRef::new(Kind::Service, namespace, &reference.name);
    let section = reference.section_name.as_deref().filter(|section| !section.is_empty());
    let missing = missing(world, &service, section);
    let is_there = missing.is_none();
    if let Some((part, cause)) = missing {
        world.report(&work.object, field(part), cause.clone());
        work.refuse(Reason::TargetNotFound, cause);
    }
    let targets = world.policies.targets.entry((namespace, &reference.name)).or_default();
    targets.all.push(Claim {
        section,
        is_astray: section.is_some() && !is_there,
        position,
    });
    let holder = match section {
        Some(section) => *targets.sections.entry(section).or_insert(position),
        None => *targets.whole.get_or_insert(position),
    };
    if holder != position
        && let Some(by) = world.policies.list.get(holder)
    {
        let cause = Cause::PolicyConflicted {
            service: service.key,
            section: section.map(str::to_owned),
            by: by.object.clone(),
        };
        world.report(&work.object, field(""), cause.clone());
        work.refuse(Reason::Conflicted, cause);
    } else if is_there {
        let port = section.map(|section| format!(" port `{section}`")).unwrap_or_default();
        work.held.push(format!("{service}{port}"));
    }
}

/// What of a target is not there. The command line may make Services.
pub(super) fn missing(world: &World<'_>, service: &ObjectRef, section: Option<&str>) -> Option<(&'static str, Cause)> {
    let made: Vec<&PortSelector> = world
        .settings
        .endpoints
        .iter()
        .filter(|entry| entry.service == service.key)
        .map(|entry| &entry.port)
        .collect();
    let found = world.resources.services.get(&service.key);
    if found.is_none() && made.is_empty() {
        let target = service.clone();
        return Some((".name", world.absence(service, Cause::PolicyTargetMissing { target })));
    }
    let section = section?;
    let mut there: Vec<String> = Vec::new();
    there.extend(found.iter().flat_map(|found| &found.spec.ports).map(|port| port.name.clone()));
    there.extend(made.iter().filter_map(|port| match port {
        PortSelector::Name(name) => Some(name.clone()),
        PortSelector::Number(_) => None,
    }));
    there.retain(|name| !name.is_empty());
    if there.iter().any(|name| name == section) {
        return None;
    }
    let cause = Cause::PolicySectionMissing {
        service: service.key.clone(),
        section: section.to_owned(),
        there,
    };
    Some((".sectionName", cause))
}

/// Notes that a route needs the policies of a Service's port.
pub(super) fn need(world: &mut World<'_>, route: &ObjectRef, service: &ObjectKey, port: Option<&ServicePort>) {
    let Some(targets) = world
        .policies
        .targets
        .get(&(service.namespace.as_str(), service.name.as_str()))
    else {
        return;
    };
    let name = port.map(|port| port.name.as_str());
    let concerned = targets.all.iter().filter(|claim| match (claim.section, name) {
        (Some(section), Some(name)) => section == name || claim.is_astray,
        // A Service that is not there may have any port.
        (None, _) | (_, None) => true,
    });
    let uses = world.uses.entry(route.clone()).or_default();
    uses.policies.extend(concerned.map(|claim| claim.position));
}

/// Notes that a route, and so the Services behind it, is reached through a Gateway by a listener that does not pass TLS through.
pub(super) fn reach(world: &mut World<'_>, route: &ObjectRef, gateway: &ObjectKey) {
    let traffic = &world.traffic;
    let is_concerned =
        |uses: &&mut Uses| !uses.policies.is_empty() || (traffic::are_about(route) && traffic.concern(&uses.services));
    if let Some(uses) = world.uses.get_mut(route).filter(is_concerned) {
        uses.gateways.insert(gateway.clone());
    }
}

/// Notes for each policy the Gateways through which its targets are reached.
pub(super) fn settle(world: &mut World<'_>) {
    if world.policies.list.is_empty() {
        return;
    }
    for uses in world.uses.values() {
        for position in &uses.policies {
            let ancestors = world.policies.ancestors.entry(*position).or_default();
            ancestors.extend(uses.gateways.iter().cloned());
        }
    }
    world.policies.ancestors.retain(|_, gateways| !gateways.is_empty());
}

/// What backends have been seen to do, told where it can be mended.
pub(super) fn tell_evidence(world: &mut World<'_>, gateways: &[GatewayWork<'_>]) {
    let mut identities: BTreeMap<Option<ContentHash>, BTreeSet<&ObjectKey>> = BTreeMap::new();
    for gateway in gateways {
        let identity = gateway.client_certificate.as_ref().map(|served| served.content);
        identities.entry(identity).or_default().insert(&gateway.key);
    }
    let mut found = Vec::new();
    for (BackendPeer { service, port, identity }, fault) in &world.observed.backend_tls {
        let ports = world.resources.services.get(service).map(|found| &found.spec.ports);
        let name = ports
            .and_then(|ports| ports.iter().find(|entry| entry.port == *port))
            .map(|entry| entry.name.as_str());
        // A fault of a time when another policy held, or none, says nothing.
        let Some((position, UpstreamTls::Verified(tls))) = world.policies.holder(service, name) else {
            continue;
        };
        let cause = Cause::BackendTlsFailed {
            service: service.clone(),
            port: *port,
            fault: *fault,
            server_name: tls.server_name.clone(),
        };
        // Nor does what befell a certificate that is no longer shown.
        let ancestors = world.policies.ancestors.get(&position).into_iter().flatten();
        let witnesses = identities.get(identity);
        let seen_by = ancestors.filter(|gateway| witnesses.is_some_and(|witnesses| witnesses.contains(gateway)));
        let seen_by: BTreeSet<ObjectKey> = seen_by.cloned().collect();
        if !seen_by.is_empty() {
            found.push((position, seen_by, cause));
        }
    }
    for (position, seen_by, cause) in found {
        let Some(work) = world.policies.list.get_mut(position) else {
            continue;
        };
        work.evidence.push((seen_by, cause.clone()));
        let object = work.object.clone();
        world.report(&object, "spec.validation", cause);
    }
}

/// Statuses of the policies that Gateways of ours use.
pub(super) fn statuses(world: &World<'_>) -> BTreeMap<ObjectKey, PolicyStatus> {
    let policies = &world.policies;
    let entries = policies.ancestors.iter().filter_map(|(position, gateways)| {
        let work = policies.list.get(*position)?;
        let ancestors = gateways
            .iter()
            .take(MOST_ANCESTORS)
            .map(|gateway| ancestor(world, work, gateway));
        Some((
            work.object.key.clone(),
            PolicyStatus {
                ancestors: ancestors.collect(),
            },
        ))
    });
    entries.collect()
}

/// A Gateway as statuses refer to it.
fn ancestor_ref(gateway: &ObjectKey) -> ParentRef {
    ParentRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: Kind::Gateway.to_string(),
        namespace: Some(gateway.namespace.clone()),
        name: gateway.name.clone(),
        section_name: None,
        port: None,
    }
}

fn ancestor(world: &World<'_>, work: &Work<'_>, gateway: &ObjectKey) -> PolicyAncestorStatus {
    let generation = work.policy.metadata.generation;
    let accepted = match &work.refused {
        Some((reason, cause)) => {
            let mut message = cause.sentence();
            if matches!(work.tls, UpstreamTls::Verified(_)) && !work.held.is_empty() {
                // One condition speaks of all targets. To fail the others for one would be the greater harm.
                message = format!("{message}; in force all the same for {}", text::some_of(&work.held));
            }
            (ConditionStatus::False, reason.clone(), message)
        }
        None => {
            let seen = work.evidence.iter().filter(|(seen_by, _)| seen_by.contains(gateway));
            accepted_but(seen.map(|(_, cause)| cause))
        }
    };
    let unresolved = work.unresolved.as_ref();
    let resolved = resolved(unresolved.map(|(reason, cause)| (reason.clone(), cause)));
    let conditions = [(ConditionType::Accepted, accepted), (ConditionType::ResolvedRefs, resolved)];
    entry(world, gateway, generation, conditions)
}

/// Entries of one policy's status: more the API server does not take (apis/v1/policy_types.go, Ancestors).
pub(super) const MOST_ANCESTORS: usize = 16;

/// What a condition says.
pub(super) type Said = (ConditionStatus, Reason, String);

/// `Accepted` of a policy that is, with what is not as it should be all the same.
pub(super) fn accepted_but<'a>(remarks: impl Iterator<Item = &'a Cause>) -> Said {
    let said: Vec<String> = remarks.map(Cause::sentence).collect();
    let message = match said.is_empty() {
        true => "The policy is accepted".to_owned(),
        false => format!("The policy is accepted; but {}", said.join("; ")),
    };
    (ConditionStatus::True, Reason::Accepted, message)
}

/// `ResolvedRefs`, with the first reference that is not good.
pub(super) fn resolved(unresolved: Option<(Reason, &Cause)>) -> Said {
    match unresolved {
        Some((reason, cause)) => (ConditionStatus::False, reason, cause.sentence()),
        None => {
            let message = "All references are resolved".to_owned();
            (ConditionStatus::True, Reason::ResolvedRefs, message)
        }
    }
}

/// What a policy's status says for a Gateway.
pub(super) fn entry(
    world: &World<'_>,
    gateway: &ObjectKey,
    generation: i64,
    conditions: impl IntoIterator<Item = (ConditionType, Said)>,
) -> PolicyAncestorStatus {
    let conditions = conditions.into_iter();
    PolicyAncestorStatus {
        ancestor_ref: ancestor_ref(gateway),
        controller_name: world.settings.controller_name().to_owned(),
        conditions: conditions
            .map(|(kind, (status, reason, message))| condition(kind, status, reason, message, generation))
            .collect(),
    }
}
