//! Conditions, from what the passes found.

use sealway_api::{
    AddressType, Condition, ConditionStatus, ConditionType, GatewayAddress, GatewayStatus, ListenerStatus, Reason,
};

use super::attach::Outcome;
use super::routes::Dropped;
use super::world::{Binding, GatewayWork, ListenerWork, World};
use crate::problem::{Cause, text};

mod listener_sets;

pub(super) use listener_sets::listener_sets;

/// Status of a Gateway and its own listeners.
pub(super) fn gateway(world: &World<'_>, work: &GatewayWork<'_>) -> GatewayStatus {
    let generation = work.gateway.metadata.generation;
    let listeners: Vec<ListenerStatus> = work
        .own()
        .iter()
        .map(|listener| listener_status(work, listener, generation))
        .collect();
    GatewayStatus {
        addresses: addresses(work),
        conditions: [
            Some(accepted(work, generation)),
            Some(programmed(work, generation)),
            Some(resolved(work, generation)),
            insecure(work, generation),
            default_gateway(work, generation),
        ]
        .into_iter()
        .flatten()
        .collect(),
        listeners,
        attached_listener_sets: listener_sets::attached(world, work),
    }
}

/// What clients can connect to: the sockets that were bound, or in a cluster what the Services before the proxies have.
fn addresses(work: &GatewayWork<'_>) -> Vec<GatewayAddress> {
    if work.refused.is_some() {
        return Vec::new();
    }
    if let Some(fleet) = work.fleet {
        return fleet.addresses.clone();
    }
    let bound = work.bound.iter();
    let bound = bound.map(|address| GatewayAddress {
        kind: AddressType::IpAddress,
        value: address.to_string(),
        ..Default::default()
    });
    bound.collect()
}

/// Present only while it holds (apis/v1/gateway_types.go, GatewayConditionInsecureFrontendValidationMode).
fn insecure(work: &GatewayWork<'_>, generation: i64) -> Option<Condition> {
    let (kind, reason) = (ConditionType::InsecureFrontendValidationMode, Reason::ConfigurationChanged);
    let message = format!(
        "Clients without a valid certificate are served too: {}",
        text::some_of(&work.insecure)
    );
    (!work.insecure.is_empty()).then(|| condition(kind, ConditionStatus::True, reason, message, generation))
}

/// Present only while it holds: "it MUST NOT set the `DefaultGateway` condition" otherwise (GEP-3793, which names no reason).
fn default_gateway(work: &GatewayWork<'_>, generation: i64) -> Option<Condition> {
    let message = format!("Gateway has default scope {}", work.default_scope()?);
    let (kind, reason) = (ConditionType::DefaultGateway, Reason::DefaultGateway);
    Some(condition(kind, ConditionStatus::True, reason, message, generation))
}

fn accepted(work: &GatewayWork<'_>, generation: i64) -> Condition {
    let at = |status, reason, message| condition(ConditionType::Accepted, status, reason, message, generation);
    if let Some(cause) = &work.refused {
        return at(ConditionStatus::False, cause.reason(), cause.sentence());
    }
    let names = |is_refused: bool| -> Vec<&str> {
        let own = work.own().iter().filter(|listener| refused(listener) == is_refused);
        own.map(|listener| &*listener.listener.name).collect()
    };
    let (refused_names, taken) = (names(true), names(false));
    // A Gateway is what it and its ListenerSets are together.
    let status = match work.listeners.iter().all(refused) {
        true => ConditionStatus::False,
        false => ConditionStatus::True,
    };
    if refused_names.is_empty() && status == ConditionStatus::True {
        return at(ConditionStatus::True, Reason::Accepted, "The Gateway is accepted".to_owned());
    }
    let taken = if taken.is_empty() {
        "none".to_owned()
    } else {
        taken.join(", ")
    };
    at(
        status,
        Reason::ListenersNotValid,
        format!(
            "Listeners that are not accepted: {}; accepted: {taken}",
            refused_names.join(", ")
        ),
    )
}

/// Not accepted: for what it says, or because its port cannot be had.
fn refused(listener: &ListenerWork<'_>) -> bool {
    listener.refused.is_some() || matches!(&listener.binding, Binding::Failed(cause) if cause.reason() == Reason::PortUnavailable)
}

fn programmed(work: &GatewayWork<'_>, generation: i64) -> Condition {
    let at = |status, reason, message: &str| condition(ConditionType::Programmed, status, reason, message.to_owned(), generation);
    if work.refused.is_some() {
        return at(ConditionStatus::False, Reason::Invalid, "The Gateway is not accepted");
    }
    if let Some(cause) = &work.unusable_address {
        return at(ConditionStatus::False, Reason::AddressNotUsable, &cause.sentence());
    }
    if work.fleet.is_some_and(|fleet| fleet.addresses.is_empty()) {
        let message = "The Service before its proxies has no address yet";
        return at(ConditionStatus::False, Reason::AddressNotAssigned, message);
    }
    if work.listeners.iter().any(|listener| listener_ready(listener).is_ok()) {
        return at(
            ConditionStatus::True,
            Reason::Programmed,
            "The data plane serves the Gateway's listeners",
        );
    }
    if work.listeners.iter().all(refused) {
        return at(ConditionStatus::False, Reason::Invalid, "None of the listeners is accepted");
    }
    if work
        .listeners
        .iter()
        .any(|listener| listener.binding == Binding::Pending && listener.serves())
    {
        return at(
            ConditionStatus::Unknown,
            Reason::Pending,
            "The listeners' ports are being opened",
        );
    }
    at(
        ConditionStatus::False,
        Reason::Pending,
        "No listener is served yet; see their conditions",
    )
}

fn resolved(work: &GatewayWork<'_>, generation: i64) -> Condition {
    let names: Vec<&str> = work
        .own()
        .iter()
        .filter(|listener| listener.unresolved.is_some())
        .map(|listener| &*listener.listener.name)
        .collect();
    let (status, reason, message) = if let Some((reason, cause)) = &work.unresolved {
        (ConditionStatus::False, reason.clone(), cause.sentence())
    } else if names.is_empty() {
        (
            ConditionStatus::True,
            Reason::ResolvedRefs,
            "All references are resolved".to_owned(),
        )
    } else {
        let message = format!("References of these listeners lead nowhere: {}", names.join(", "));
        (ConditionStatus::False, Reason::ListenersNotResolved, message)
    };
    condition(ConditionType::ResolvedRefs, status, reason, message, generation)
}

fn listener_status(gateway: &GatewayWork<'_>, work: &ListenerWork<'_>, generation: i64) -> ListenerStatus {
    let at = |kind, status, reason, message| condition(kind, status, reason, message, generation);
    let mut conditions = Vec::new();

    let failed = match &work.binding {
        Binding::Failed(cause) if cause.reason() == Reason::PortUnavailable => Some(cause),
        _ => None,
    };
    conditions.push(match work.refused.as_ref().or(failed) {
        Some(cause) => at(
            ConditionType::Accepted,
            ConditionStatus::False,
            cause.reason(),
            cause.sentence(),
        ),
        None => at(
            ConditionType::Accepted,
            ConditionStatus::True,
            Reason::Accepted,
            "The listener is accepted".to_owned(),
        ),
    });
    let ready = match (&gateway.refused, &gateway.unusable_address) {
        (Some(_), _) => Err((
            ConditionStatus::False,
            Reason::Invalid,
            "The Gateway is not accepted".to_owned(),
        )),
        _ => listener_ready(work),
    };
    conditions.push(match ready {
        Ok(()) => at(
            ConditionType::Programmed,
            ConditionStatus::True,
            Reason::Programmed,
            "The data plane serves it".to_owned(),
        ),
        Err((status, reason, message)) => at(ConditionType::Programmed, status, reason, message),
    });
    conditions.push(match &work.unresolved {
        Some(cause) => at(
            ConditionType::ResolvedRefs,
            ConditionStatus::False,
            cause.reason(),
            cause.sentence(),
        ),
        None => {
            let message = "All references are resolved".to_owned();
            at(
                ConditionType::ResolvedRefs,
                ConditionStatus::True,
                Reason::ResolvedRefs,
                message,
            )
        }
    });
    conditions.push(match &work.refused {
        Some(cause) if work.conflicted => at(
            ConditionType::Conflicted,
            ConditionStatus::True,
            cause.reason(),
            cause.sentence(),
        ),
        _ => {
            let message = "No other listener claims its port and names".to_owned();
            at(
                ConditionType::Conflicted,
                ConditionStatus::False,
                Reason::NoConflicts,
                message,
            )
        }
    });
    // Negative polarity: never present when it does not hold.
    if !work.overlaps.is_empty() {
        let message = format!(
            "Names of this listener are covered by {} too: a client that reuses a connection for another name may reach the wrong one",
            text::some_of(&work.overlaps)
        );
        conditions.push(at(
            ConditionType::OverlappingTlsConfig,
            ConditionStatus::True,
            Reason::OverlappingHostnames,
            message,
        ));
    }
    ListenerStatus {
        name: work.listener.name.clone(),
        supported_kinds: work.kinds.clone(),
        attached_routes: work.attached,
        conditions,
    }
}

/// Whether the data plane serves the listener; if not, its Programmed condition.
fn listener_ready(work: &ListenerWork<'_>) -> Result<(), (ConditionStatus, Reason, String)> {
    if let Some(cause) = &work.refused {
        // Conflicts are told in every condition, as the tests ListenerSetHostnameConflict and ListenerSetProtocolConflict ask.
        let reason = if work.conflicted { cause.reason() } else { Reason::Invalid };
        return Err((ConditionStatus::False, reason, cause.message()));
    }
    if let Some(cause) = work.lacks_certificate() {
        return Err((ConditionStatus::False, Reason::Invalid, cause.message()));
    }
    match &work.binding {
        Binding::Bound => Ok(()),
        Binding::Pending => Err((
            ConditionStatus::Unknown,
            Reason::Pending,
            "Its port is being opened".to_owned(),
        )),
        Binding::Failed(cause) => Err((ConditionStatus::False, Reason::Invalid, cause.message())),
    }
}

/// Conditions of a route at one parent.
pub(super) fn route(generation: i64, outcome: &Outcome, unresolved: Option<&Cause>, invalid: &[Dropped]) -> Vec<Condition> {
    let accepted = match outcome {
        Outcome::Attached(None) => (ConditionStatus::True, Reason::Accepted, "The route is accepted".to_owned()),
        Outcome::Attached(Some(cause)) => {
            let message = format!("The route is accepted, but not served: {}", cause.sentence());
            (ConditionStatus::True, Reason::Accepted, message)
        }
        Outcome::Refused(cause) => (ConditionStatus::False, cause.reason(), cause.sentence()),
    };
    let resolved = match unresolved {
        Some(cause) => (ConditionStatus::False, cause.reason(), cause.sentence()),
        None => (
            ConditionStatus::True,
            Reason::ResolvedRefs,
            "All references are resolved".to_owned(),
        ),
    };
    let mut conditions = vec![
        condition(ConditionType::Accepted, accepted.0, accepted.1, accepted.2, generation),
        condition(ConditionType::ResolvedRefs, resolved.0, resolved.1, resolved.2, generation),
    ];
    // Never present when it does not hold, nor when the route is not accepted (apis/v1/shared_types.go, PartiallyInvalid).
    if let (Outcome::Attached(_), Some(first)) = (outcome, invalid.first()) {
        let message = invalid.iter().map(dropped).collect::<Vec<_>>().join(". ");
        let reason = first.cause.reason();
        conditions.push(condition(
            ConditionType::PartiallyInvalid,
            ConditionStatus::True,
            reason,
            message,
            generation,
        ));
    }
    conditions
}

/// The specification asks for the first two words.
fn dropped(rule: &Dropped) -> String {
    let name = rule.name.as_ref().map(|name| format!(" (`{name}`)")).unwrap_or_default();
    format!(
        "Dropped Rule {}{name}: {}; what meets it is refused",
        rule.number,
        rule.cause.sentence()
    )
}

pub(super) fn condition(
    kind: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    mut message: String,
    generation: i64,
) -> Condition {
    if message.len() > MAXIMUM_MESSAGE {
        message.truncate(message.floor_char_boundary(MAXIMUM_MESSAGE));
    }
    Condition {
        kind,
        status,
        reason,
        message,
        observed_generation: generation,
    }
}

/// Longest message of a condition that an API server takes, in bytes (metav1.Condition, maxLength).
const MAXIMUM_MESSAGE: usize = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_where_the_api_server_would_refuse_it() {
        let message = "€".repeat(MAXIMUM_MESSAGE);
        let cut = condition(ConditionType::Accepted, ConditionStatus::False, Reason::Invalid, message, 1);
        assert_eq!(cut.message.len(), MAXIMUM_MESSAGE - MAXIMUM_MESSAGE % "€".len());
    }
}
