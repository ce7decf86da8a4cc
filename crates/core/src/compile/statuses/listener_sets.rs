//! Statuses of ListenerSets, and how many of them a Gateway has.
//!
//! Input: Gateways as the passes left them. Output: statuses with the reasons of apis/v1/listenerset_types.go.

use std::sync::Arc;

use sealway_api::{Condition, ConditionStatus, ConditionType, Kind, ListenerSetStatus, ObjectKey, Reason};

use super::{condition, listener_ready, listener_status, refused};
use crate::compile::sets::SetWork;
use crate::compile::world::{Binding, GatewayWork, ListenerWork, World};

/// Statuses of the sets that name a Gateway of ours.
pub(in crate::compile) fn listener_sets<'a>(
    gateway: &'a GatewayWork<'_>,
) -> impl Iterator<Item = (ObjectKey, Arc<ListenerSetStatus>)> + use<'a> {
    let statuses = gateway.sets.iter().map(|set| Arc::new(status(gateway, set)));
    gateway.sets.iter().map(|set| set.object.key.clone()).zip(statuses)
}

/// How many sets are attached: those that the Gateway allows and that are accepted. `None` where the field may not exist: CRDs that have no
/// ListenerSets do not have it either.
pub(super) fn attached(world: &World<'_>, gateway: &GatewayWork<'_>) -> Option<i32> {
    let served = world.observed.served.as_ref();
    let is_served = served.is_some_and(|served| served.kinds.contains(&Kind::ListenerSet));
    let is_asked = gateway.gateway.spec.allowed_listeners.is_some() || !gateway.sets.is_empty();
    (is_served || is_asked).then(|| {
        let accepted = gateway
            .sets
            .iter()
            .filter(|set| accepted(gateway, set).0 == ConditionStatus::True);
        i32::try_from(accepted.count()).unwrap_or(i32::MAX)
    })
}

fn status(gateway: &GatewayWork<'_>, work: &SetWork<'_>) -> ListenerSetStatus {
    let generation = work.set.metadata.generation;
    let at = |kind, (status, reason, message): Said| -> Condition { condition(kind, status, reason, message, generation) };
    let listeners = gateway.listeners_at(&work.listeners).iter();
    ListenerSetStatus {
        conditions: vec![
            at(ConditionType::Accepted, accepted(gateway, work)),
            at(ConditionType::Programmed, programmed(gateway, work)),
        ],
        listeners: listeners
            .map(|listener| listener_status(gateway, listener, generation))
            .collect(),
        gateway: gateway.key.clone(),
    }
}

type Said = (ConditionStatus, Reason, String);

fn accepted(gateway: &GatewayWork<'_>, work: &SetWork<'_>) -> Said {
    if let Some(cause) = &work.refused {
        return (ConditionStatus::False, cause.reason(), cause.sentence());
    }
    if gateway.refused.is_some() {
        let message = format!("Gateway {} is not accepted", gateway.key);
        return (ConditionStatus::False, Reason::ParentNotAccepted, message);
    }
    let (valid, invalid): (Vec<_>, Vec<_>) = gateway
        .listeners_at(&work.listeners)
        .iter()
        .partition(|listener| is_valid(listener));
    if invalid.is_empty() && !valid.is_empty() {
        return (
            ConditionStatus::True,
            Reason::Accepted,
            "The ListenerSet is accepted".to_owned(),
        );
    }
    let names = |listeners: &[&ListenerWork<'_>]| match listeners {
        [] => "none".to_owned(),
        listeners => (listeners.iter().map(|work| &*work.listener.name).collect::<Vec<_>>()).join(", "),
    };
    let status = match valid.is_empty() {
        true => ConditionStatus::False,
        false => ConditionStatus::True,
    };
    let message = format!("Listeners that are not valid: {}; valid: {}", names(&invalid), names(&valid));
    (status, Reason::ListenersNotValid, message)
}

/// A listener without a certificate that it may use counts as invalid here, as the test ListenerSetReferenceGrant asks.
fn is_valid(listener: &ListenerWork<'_>) -> bool {
    !refused(listener) && listener.lacks_certificate().is_none()
}

fn programmed(gateway: &GatewayWork<'_>, work: &SetWork<'_>) -> Said {
    let no = |reason, message: &str| (ConditionStatus::False, reason, message.to_owned());
    if let Some(cause) = &work.refused {
        return no(cause.reason(), &cause.message());
    }
    if gateway.refused.is_some() {
        return no(
            Reason::ParentNotProgrammed,
            &format!("Gateway {} is not accepted", gateway.key),
        );
    }
    if let Some(cause) = &gateway.unusable_address {
        return no(Reason::ParentNotProgrammed, &cause.message());
    }
    if gateway.fleet.is_some_and(|fleet| fleet.addresses.is_empty()) {
        let message = format!("The Service before the proxies of Gateway {} has no address yet", gateway.key);
        return no(Reason::ParentNotProgrammed, &message);
    }
    let listeners = gateway.listeners_at(&work.listeners);
    if listeners.iter().any(|listener| listener_ready(listener).is_ok()) {
        let message = "The data plane serves the set's listeners".to_owned();
        return (ConditionStatus::True, Reason::Programmed, message);
    }
    if !listeners.iter().any(is_valid) {
        return no(Reason::ListenersNotValid, "None of the listeners is valid");
    }
    if listeners
        .iter()
        .any(|listener| listener.binding == Binding::Pending && listener.serves())
    {
        let message = "The listeners' ports are being opened".to_owned();
        return (ConditionStatus::Unknown, Reason::Pending, message);
    }
    no(Reason::Pending, "No listener is served yet; see their conditions")
}
