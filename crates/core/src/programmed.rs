//! When `Programmed` may speak of a generation: not before its proxies have it.
//!
//! Job: hold `Programmed=True` of a Gateway and of its ListenerSets back until every proxy that is connected, and at least one, has acknowledged what was compiled.
//! Input: statuses as compiled, those that were shown last, and for each Gateway whether it is served. Output: statuses to show.
//! Invariant: what is held back keeps its earlier value and generation; what is not true is said at once.

use std::sync::Arc;

use sealway_api::{Condition, ConditionStatus, ConditionType, ListenerStatus, ObjectKey, Reason, Statuses};

/// Replaces what may not be said yet.
pub fn hold_back(statuses: &mut Statuses, shown: &Statuses, is_served: impl Fn(&ObjectKey) -> bool) {
    for (key, status) in &mut statuses.gateways {
        if !is_served(key) {
            let shown = shown.gateways.get(key);
            let shown = shown.map(|shown| (&*shown.conditions, &*shown.listeners));
            hold_parent(&mut status.conditions, &mut status.listeners, shown);
        }
    }
    // Those of a ListenerSet are served by its Gateway's proxies.
    for (key, status) in &mut statuses.listener_sets {
        let shown = shown.listener_sets.get(key);
        if is_served(&status.gateway) || shown.is_some_and(|shown| shown == status) {
            continue;
        }
        let status = Arc::make_mut(status);
        let shown = shown.map(|shown| (&*shown.conditions, &*shown.listeners));
        hold_parent(&mut status.conditions, &mut status.listeners, shown);
    }
}

fn hold_parent(conditions: &mut [Condition], listeners: &mut [ListenerStatus], shown: Option<(&[Condition], &[ListenerStatus])>) {
    hold(conditions, shown.map(|(conditions, _)| conditions));
    for listener in listeners {
        let same = |other: &&ListenerStatus| other.name == listener.name;
        let shown = shown.and_then(|(_, listeners)| listeners.iter().find(same));
        hold(&mut listener.conditions, shown.map(|shown| &*shown.conditions));
    }
}

fn hold(conditions: &mut [Condition], shown: Option<&[Condition]>) {
    let is_programmed = |condition: &&Condition| condition.kind == ConditionType::Programmed;
    let earlier = shown.and_then(|shown| shown.iter().find(is_programmed));
    for condition in conditions.iter_mut().filter(|condition| is_programmed(&&**condition)) {
        if condition.status != ConditionStatus::True {
            continue;
        }
        // What was said of a later generation was said of another object of that name, which is gone.
        match earlier.filter(|earlier| earlier.observed_generation <= condition.observed_generation) {
            Some(earlier) => condition.clone_from(earlier),
            None => {
                condition.status = ConditionStatus::Unknown;
                condition.reason = Reason::Pending;
                "No proxy has it yet".clone_into(&mut condition.message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sealway_api::{GatewayStatus, ListenerSetStatus};

    use super::*;

    fn programmed(status: ConditionStatus, generation: i64) -> Condition {
        Condition {
            kind: ConditionType::Programmed,
            status,
            reason: Reason::Programmed,
            message: String::new(),
            observed_generation: generation,
        }
    }

    fn statuses(status: ConditionStatus, generation: i64) -> Statuses {
        let condition = programmed(status, generation);
        let listener = ListenerStatus {
            name: "tls".to_owned(),
            conditions: vec![condition.clone()],
            ..ListenerStatus::default()
        };
        let gateway = GatewayStatus {
            conditions: vec![condition],
            listeners: vec![listener],
            ..GatewayStatus::default()
        };
        let set = ListenerSetStatus {
            conditions: gateway.conditions.clone(),
            listeners: gateway.listeners.clone(),
            gateway: ObjectKey::new("infra", "edge"),
        };
        Statuses {
            gateways: [(ObjectKey::new("infra", "edge"), gateway)].into(),
            listener_sets: [(ObjectKey::new("apps", "more"), Arc::new(set))].into(),
            ..Statuses::default()
        }
    }

    #[test]
    fn a_generation_that_no_proxy_has_is_not_spoken_of() {
        let shown = statuses(ConditionStatus::True, 1);
        let mut now = statuses(ConditionStatus::True, 2);
        hold_back(&mut now, &shown, |_| false);
        assert_eq!(now, shown);
        let mut now = statuses(ConditionStatus::True, 2);
        hold_back(&mut now, &shown, |gateway| gateway.name == "edge");
        assert_eq!(now, statuses(ConditionStatus::True, 2));
    }

    #[test]
    fn what_was_said_of_an_object_that_is_gone_is_not_said_of_another() {
        let mut now = statuses(ConditionStatus::True, 1);
        hold_back(&mut now, &statuses(ConditionStatus::True, 5), |_| false);
        let mut pending = statuses(ConditionStatus::True, 1);
        hold_back(&mut pending, &Statuses::default(), |_| false);
        assert_eq!(now, pending);
    }

    #[test]
    fn what_is_not_so_is_said_at_once() {
        let mut now = statuses(ConditionStatus::False, 2);
        hold_back(&mut now, &statuses(ConditionStatus::True, 1), |_| false);
        assert_eq!(now, statuses(ConditionStatus::False, 2));
    }

    #[test]
    fn what_was_never_shown_is_pending() {
        let mut now = statuses(ConditionStatus::True, 1);
        hold_back(&mut now, &Statuses::default(), |_| false);
        let gateway = now.gateways.values().next().expect("gateway");
        let set = now.listener_sets.values().next().expect("ListenerSet");
        let of_gateway = [&gateway.conditions[0], &gateway.listeners[0].conditions[0]];
        for condition in of_gateway
            .into_iter()
            .chain([&set.conditions[0], &set.listeners[0].conditions[0]])
        {
            assert_eq!(
                (&condition.status, &condition.reason),
                (&ConditionStatus::Unknown, &Reason::Pending)
            );
        }
    }
}
