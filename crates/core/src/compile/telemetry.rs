//! XTelemetryPolicies: which Gateways trace their requests, and how (GEP-4768).
//!
//! Input: policies, Gateways. Output: a [`Tracing`] for each Gateway that has one, and for each policy one status entry a Gateway that it
//! targets. Invariant: of several policies for a Gateway the oldest holds; one that cannot be honoured traces nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{
    AttributeSource, ConditionStatus, ConditionType, Kind, ObjectKey, ObjectRef, PolicyAncestorStatus, PolicyStatus, Reason,
    TelemetryAttribute, TelemetryMode, TracingConfig, TracingProvider, XTelemetryPolicy,
};

use super::world::{GatewayWork, World};
use super::{http, policies, x_backends};
use crate::problem::Cause;
use crate::snapshot::{BackendFault, Share, SpanAttribute, SpanValue, StandardAttribute, Target, Tracing};

/// What a policy comes to.
#[derive(Default)]
struct Findings {
    tracing: Option<Arc<Tracing>>,
    /// Why it is not accepted.
    refused: Option<Cause>,
    /// Why its reference is not good.
    unresolved: Option<Cause>,
    /// What is left out of it.
    omitted: Vec<Cause>,
}

/// A Gateway that a policy targets.
struct Claim {
    gateway: ObjectKey,
    /// Among ours; `None`: there is none of this name.
    position: Option<usize>,
    /// Why the policy does not hold there.
    lost: Option<Cause>,
}

/// Reads every policy, the one that takes precedence first: the older, then by namespace and name. Gives Gateways what they have to do,
/// and returns what is said of the policies.
pub(super) fn apply<'a>(world: &mut World<'a>, gateways: &mut [GatewayWork<'a>]) -> BTreeMap<ObjectKey, PolicyStatus> {
    let resources = world.resources;
    let mut order: Vec<(&ObjectKey, &Arc<XTelemetryPolicy>)> = resources.x_telemetry_policies.iter().collect();
    order.sort_by_cached_key(|(key, policy)| (policy.metadata.creation_timestamp, *key));
    let mut holders: BTreeMap<ObjectKey, &ObjectKey> = BTreeMap::new();
    let mut statuses = BTreeMap::new();
    for (key, policy) in order {
        let object = ObjectRef::of(Kind::XTelemetryPolicy, key);
        let claims = claims(world, &object, policy, gateways, &mut holders);
        if claims.is_empty() {
            continue;
        }
        let found = read(world, &object, policy);
        for claim in &claims {
            let work = claim.position.and_then(|position| gateways.get_mut(position));
            let Some(work) = work.filter(|_| claim.lost.is_none()) else {
                continue;
            };
            if found.tracing.is_some() {
                policies::reach(world, &object, &claim.gateway);
                x_backends::reach(world, &object, &claim.gateway);
            }
            work.tracing.clone_from(&found.tracing);
        }
        let generation = policy.metadata.generation;
        let ancestors = claims.iter().take(policies::MOST_ANCESTORS);
        let ancestors = ancestors.map(|claim| ancestor(world, claim, &found, generation)).collect();
        statuses.insert(key.clone(), PolicyStatus { ancestors });
    }
    statuses
}

/// The Gateways of ours that a policy targets, and those that are not there.
fn claims<'a>(
    world: &mut World<'a>,
    object: &ObjectRef,
    policy: &'a XTelemetryPolicy,
    gateways: &[GatewayWork<'_>],
    holders: &mut BTreeMap<ObjectKey, &'a ObjectKey>,
) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for (number, target) in policy.spec.target_refs.iter().enumerate() {
        let field = |part: &str| format!("spec.targetRefs[{number}]{part}");
        let kind = Kind::from(target.kind.as_str());
        if kind != Kind::Gateway || target.group != kind.group() {
            let cause = Cause::TelemetryTargetKind {
                kind: target.kind.clone(),
            };
            world.report(object, field(".kind"), cause);
            continue;
        }
        let gateway = ObjectKey::new(&object.key.namespace, &target.name);
        if claims.iter().any(|claim| claim.gateway == gateway) {
            continue;
        }
        let position = gateways.iter().position(|work| work.key == gateway);
        let reference = ObjectRef::of(Kind::Gateway, &gateway);
        if position.is_none() && world.resources.contains(&reference) {
            // Another controller's.
            continue;
        }
        let mut lost = None;
        if position.is_none() {
            let missing = Cause::PolicyTargetMissing {
                target: reference.clone(),
            };
            lost = Some((".name", world.absence(&reference, missing)));
        } else {
            let resources = world.resources;
            let own = resources.x_telemetry_policies.get_key_value(&object.key).map(|(key, _)| key);
            let holder = own.map(|own| *holders.entry(gateway.clone()).or_insert(own));
            if let Some(by) = holder.filter(|by| **by != object.key) {
                let (gateway, by) = (gateway.clone(), by.clone());
                lost = Some(("", Cause::TelemetryConflicted { gateway, by }));
            }
        }
        if let Some((part, cause)) = &lost {
            world.report(object, field(part), cause.clone());
        }
        claims.push(Claim {
            gateway,
            position,
            lost: lost.map(|(_, cause)| cause),
        });
    }
    claims
}

fn read<'a>(world: &mut World<'a>, object: &ObjectRef, policy: &'a XTelemetryPolicy) -> Findings {
    let mut found = Findings::default();
    let Some(config) = &policy.spec.tracing else {
        return found;
    };
    match &config.mode {
        TelemetryMode::Enabled => {}
        // What is not asked for is not done.
        TelemetryMode::Disabled | TelemetryMode::ImplementationDefault => return found,
        TelemetryMode::Other(other) => {
            let cause = http::unsupported(other, MODES);
            world.report(object, "spec.tracing.mode", cause.clone());
            found.refused = Some(cause);
            return found;
        }
    }
    found.tracing = tracing(world, object, policy, config, &mut found).filter(|_| found.refused.is_none());
    found
}

fn tracing<'a>(
    world: &mut World<'a>,
    object: &ObjectRef,
    policy: &'a XTelemetryPolicy,
    config: &'a TracingConfig,
    found: &mut Findings,
) -> Option<Arc<Tracing>> {
    let Some(provider) = &config.provider else {
        let detail = "`mode: Enabled` needs a `provider`".to_owned();
        let cause = Cause::TelemetryInvalid { detail };
        world.report(object, "spec.tracing", cause.clone());
        found.refused = Some(cause);
        return None;
    };
    let at = "spec.tracing.provider.backendRef";
    let (collector, unresolved) = http::collector(world, object, &policy.metadata, at, &provider.backend_ref);
    found.unresolved = unresolved;
    let mut check = Check { world, object, found };
    let share =
        |fraction: Option<&_>| http::share(None, fraction).map(|(numerator, denominator)| Share { numerator, denominator });
    let sampling = check.of("samplingRate", share(config.sampling_rate.as_ref()));
    let parents = config.parent_based_sampling.clone().unwrap_or_default();
    let sampled_parents = match &parents.mode {
        TelemetryMode::Enabled | TelemetryMode::ImplementationDefault => {
            let share = share(parents.sampling_rate.as_ref());
            Some(check.of("parentBasedSampling.samplingRate", share)?)
        }
        TelemetryMode::Disabled => None,
        TelemetryMode::Other(other) => check.of("parentBasedSampling.mode", Err(http::unsupported(other, MODES))),
    };
    let headers = check.headers(provider);
    let attributes = check.attributes(&config.attributes);
    let tracing = Tracing {
        policy: object.key.clone(),
        collector,
        headers: headers?,
        sampling: sampling?,
        sampled_parents,
        service_name: config.service_name.clone().unwrap_or_else(|| DEFAULT_SERVICE_NAME.to_owned()),
        span_name: config.span_name.clone(),
        attributes: attributes?,
    };
    // A collector that may come yet is waited for; one that is named wrongly never comes.
    let is_there = match &tracing.collector.target {
        Target::Backend(_) | Target::Refuse(BackendFault::NoEndpoints | BackendFault::NameUnresolved) => true,
        Target::Refuse(_) => false,
    };
    is_there.then(|| Arc::new(tracing))
}

/// Reads fields of a policy; the first that is wrong refuses it.
struct Check<'w, 'a, 'f> {
    world: &'w mut World<'a>,
    object: &'f ObjectRef,
    found: &'f mut Findings,
}

impl Check<'_, '_, '_> {
    fn of<T>(&mut self, field: &str, read: Result<T, Cause>) -> Option<T> {
        read.map_err(|cause| {
            self.world.report(self.object, format!("spec.tracing.{field}"), cause.clone());
            self.found.refused.get_or_insert(cause);
        })
        .ok()
    }

    /// Of equivalent names the first counts.
    fn headers(&mut self, provider: &TracingProvider) -> Option<Vec<(::http::HeaderName, ::http::HeaderValue)>> {
        let mut headers: Vec<(::http::HeaderName, ::http::HeaderValue)> = Vec::new();
        for (number, header) in provider.headers.iter().enumerate() {
            let name = http::header_name(&header.name).and_then(|name| {
                // These are the call's own.
                let is_own = matches!(name.as_str(), "host" | "content-type" | "grpc-timeout" | "grpc-encoding");
                match is_own || http::editable_header(&header.name).is_err() {
                    true => Err(http::unsupported(&header.name, "a header that a policy may write")),
                    false => Ok(name),
                }
            });
            let name = self.of(&format!("provider.headers[{number}].name"), name);
            // What the value is stays out of problems and logs: it may be a token.
            let value = http::header_value(&header.value).map_err(|_| Cause::TelemetryInvalid {
                detail: "the value is none that a header can have".to_owned(),
            });
            let value = self.of(&format!("provider.headers[{number}].value"), value);
            let (name, mut value) = (name?, value?);
            value.set_sensitive(true);
            if !headers.iter().any(|(other, _)| *other == name) {
                headers.push((name, value));
            }
        }
        Some(headers)
    }

    fn attributes(&mut self, written: &[TelemetryAttribute]) -> Option<Vec<SpanAttribute>> {
        if written.len() > MOST_ATTRIBUTES {
            let detail = format!("there are {} attributes; a span has {MOST_ATTRIBUTES} at most", written.len());
            return self.of("attributes", Err(Cause::TelemetryInvalid { detail }));
        }
        let mut attributes: Vec<SpanAttribute> = Vec::new();
        for (number, attribute) in written.iter().enumerate() {
            let field = format!("attributes[{number}]");
            let missing = |name: &str| Cause::TelemetryInvalid {
                detail: format!("`sourceType: {}` needs `{name}`", attribute.source_type),
            };
            let value = match &attribute.source_type {
                AttributeSource::Literal => {
                    let value = attribute.literal_value.clone();
                    value.map(SpanValue::Literal).ok_or_else(|| missing("literalValue"))
                }
                AttributeSource::Header => {
                    let name = attribute.header_name.as_deref().ok_or_else(|| missing("headerName"));
                    name.and_then(http::header_name).map(SpanValue::Header)
                }
                AttributeSource::Attribute => match attribute.attribute_key.as_deref() {
                    None => Err(missing("attributeKey")),
                    Some(key) => match StandardAttribute::parse(key) {
                        Some(standard) => Ok(SpanValue::Standard(standard)),
                        None => {
                            let cause = Cause::AttributeNotKnown { key: key.to_owned() };
                            let at = format!("spec.tracing.{field}.attributeKey");
                            self.world.report(self.object, at, cause.clone());
                            self.found.omitted.push(cause);
                            continue;
                        }
                    },
                },
                AttributeSource::Other(other) => Err(http::unsupported(other, "one of `Header`, `Literal`, `Attribute`")),
            };
            let value = self.of(&field, value)?;
            if !attributes.iter().any(|other| other.name == attribute.name) {
                let name = attribute.name.clone();
                attributes.push(SpanAttribute { name, value });
            }
        }
        Some(attributes)
    }
}

fn ancestor(world: &World<'_>, claim: &Claim, found: &Findings, generation: i64) -> PolicyAncestorStatus {
    let refused = claim.lost.as_ref().or(found.refused.as_ref());
    let accepted = match refused {
        Some(cause) => {
            let reason = match cause.reason() {
                reason @ (Reason::TargetNotFound | Reason::Conflicted) => reason,
                _ => Reason::Invalid,
            };
            (ConditionStatus::False, reason, cause.sentence())
        }
        None => policies::accepted_but(found.omitted.iter()),
    };
    let resolved = policies::resolved(found.unresolved.as_ref().map(|cause| (cause.reason(), cause)));
    let conditions = [(ConditionType::Accepted, accepted), (ConditionType::ResolvedRefs, resolved)];
    policies::entry(world, &claim.gateway, generation, conditions)
}

const MODES: &str = "one of `Enabled`, `Disabled`, `ImplementationDefault`";
/// The resource's name where a policy gives none.
const DEFAULT_SERVICE_NAME: &str = "sealway";
/// Of a policy: each costs in every span. The CRD has no bound.
const MOST_ATTRIBUTES: usize = 64;
