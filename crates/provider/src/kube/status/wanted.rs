//! What the compiler's statuses want of each object.

use std::collections::{BTreeMap, BTreeSet};

use sealway_api::{Kind, ObjectKey, ObjectRef, Statuses, differing};
use serde::Serialize;
use serde_json::{Value, json};

use super::merge::{Shared, Wanted};

/// `None` for objects whose status is not ours to write. Routes and policies always are, as far as their entries are ours.
pub(super) fn wanted(statuses: &Statuses, reference: &ObjectRef, features: &[String]) -> Option<Wanted> {
    let key = &reference.key;
    match reference.kind {
        Kind::GatewayClass => {
            let mut status = tree(statuses.gateway_classes.get(&key.name)?);
            if !features.is_empty() {
                status["supportedFeatures"] = features.iter().map(|name| json!({"name": name})).collect();
            }
            Some(Wanted::Whole(status))
        }
        Kind::Gateway => Some(Wanted::Whole(tree(statuses.gateways.get(key)?))),
        Kind::ListenerSet => Some(Wanted::Whole(tree(statuses.listener_sets.get(key)?))),
        Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute | Kind::TcpRoute | Kind::UdpRoute => {
            let parents = statuses.routes.get(reference).into_iter().flat_map(|status| &status.parents);
            Some(Wanted::Entries(Shared::Parents, parents.map(tree).collect()))
        }
        Kind::BackendTlsPolicy => {
            let ancestors = statuses
                .backend_tls_policies
                .get(key)
                .into_iter()
                .flat_map(|status| &status.ancestors);
            Some(Wanted::Entries(Shared::Ancestors, ancestors.map(tree).collect()))
        }
        Kind::XBackend => {
            let ancestors = statuses.x_backends.get(key).into_iter().flat_map(|status| &status.ancestors);
            Some(Wanted::Entries(Shared::Ancestors, ancestors.map(tree).collect()))
        }
        Kind::XBackendTrafficPolicy => {
            let status = statuses.x_backend_traffic_policies.get(key);
            let ancestors = status.into_iter().flat_map(|status| &status.ancestors);
            Some(Wanted::Entries(Shared::Ancestors, ancestors.map(tree).collect()))
        }
        Kind::XTelemetryPolicy => {
            let status = statuses.x_telemetry_policies.get(key);
            let ancestors = status.into_iter().flat_map(|status| &status.ancestors);
            Some(Wanted::Entries(Shared::Ancestors, ancestors.map(tree).collect()))
        }
        _ => None,
    }
}

fn tree(status: &impl Serialize) -> Value {
    serde_json::to_value(status).unwrap_or_default()
}

/// Objects whose status is wanted otherwise than before.
pub(super) fn differences(before: &Statuses, now: &Statuses) -> BTreeSet<ObjectRef> {
    let mut found = BTreeSet::new();
    compare(&before.gateway_classes, &now.gateway_classes, |name| {
        found.insert(ObjectRef::new(Kind::GatewayClass, "", name.clone()));
    });
    compare(&before.gateways, &now.gateways, |key: &ObjectKey| {
        found.insert(ObjectRef::of(Kind::Gateway, key));
    });
    compare(&before.listener_sets, &now.listener_sets, |key: &ObjectKey| {
        found.insert(ObjectRef::of(Kind::ListenerSet, key));
    });
    // Of thousands of routes few have changed.
    found.extend(differing(&before.routes, &now.routes).cloned());
    compare(&before.backend_tls_policies, &now.backend_tls_policies, |key| {
        found.insert(ObjectRef::of(Kind::BackendTlsPolicy, key));
    });
    compare(&before.x_backends, &now.x_backends, |key| {
        found.insert(ObjectRef::of(Kind::XBackend, key));
    });
    compare(&before.x_backend_traffic_policies, &now.x_backend_traffic_policies, |key| {
        found.insert(ObjectRef::of(Kind::XBackendTrafficPolicy, key));
    });
    compare(&before.x_telemetry_policies, &now.x_telemetry_policies, |key| {
        found.insert(ObjectRef::of(Kind::XTelemetryPolicy, key));
    });
    found
}

/// Walks both in the order of their keys.
fn compare<K: Ord, V: PartialEq>(before: &BTreeMap<K, V>, now: &BTreeMap<K, V>, mut differs: impl FnMut(&K)) {
    let mut before = before.iter().peekable();
    for (key, value) in now {
        while let Some((gone, _)) = before.next_if(|(other, _)| *other < key) {
            differs(gone);
        }
        if before
            .next_if(|(other, _)| *other == key)
            .is_none_or(|(_, before)| before != value)
        {
            differs(key);
        }
    }
    before.for_each(|(gone, _)| differs(gone));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealway_api::{GatewayClassStatus, GatewayStatus, ListenerSetStatus, PolicyStatus};

    use super::*;

    #[test]
    fn what_came_what_went_and_what_changed_differs() {
        let route = |name: &str| ObjectRef::new(Kind::TlsRoute, "a", name);
        let mut before = Statuses::default();
        before.routes.insert(route("went"), Arc::default());
        before.routes.insert(route("stays"), Arc::default());
        let mut now = Statuses::default();
        now.routes.insert(route("stays"), Arc::default());
        now.gateways.insert(ObjectKey::new("a", "came"), GatewayStatus::default());
        let set = ListenerSetStatus {
            gateway: ObjectKey::new("a", "came"),
            ..ListenerSetStatus::default()
        };
        now.listener_sets.insert(ObjectKey::new("b", "came"), Arc::new(set));
        now.x_backends.insert(ObjectKey::new("c", "came"), PolicyStatus::default());
        let policies = &mut now.x_backend_traffic_policies;
        policies.insert(ObjectKey::new("d", "came"), PolicyStatus::default());
        let expected = [
            ObjectRef::new(Kind::Gateway, "a", "came"),
            ObjectRef::new(Kind::XBackendTrafficPolicy, "d", "came"),
            ObjectRef::new(Kind::XBackend, "c", "came"),
            ObjectRef::new(Kind::ListenerSet, "b", "came"),
            route("went"),
        ];
        assert_eq!(differences(&before, &now), BTreeSet::from(expected));
    }

    #[test]
    fn a_route_without_a_status_of_ours_loses_our_entries_and_a_foreign_gateway_nothing() {
        let statuses = Statuses::default();
        let route = wanted(&statuses, &ObjectRef::new(Kind::UdpRoute, "a", "b"), &[]);
        assert_eq!(route, Some(Wanted::Entries(Shared::Parents, vec![])));
        for kind in [Kind::Gateway, Kind::ListenerSet] {
            assert_eq!(wanted(&statuses, &ObjectRef::new(kind, "a", "b"), &[]), None);
        }
    }

    #[test]
    fn what_nobody_reaches_loses_our_entries() {
        for kind in [Kind::XBackend, Kind::XBackendTrafficPolicy] {
            let entries = wanted(&Statuses::default(), &ObjectRef::new(kind, "a", "b"), &[]);
            assert_eq!(entries, Some(Wanted::Entries(Shared::Ancestors, vec![])));
        }
    }

    #[test]
    fn a_class_of_ours_names_the_features() {
        let mut statuses = Statuses::default();
        statuses.gateway_classes.insert("c".to_owned(), GatewayClassStatus::default());
        let class = wanted(
            &statuses,
            &ObjectRef::new(Kind::GatewayClass, "", "c"),
            &["Gateway".to_owned()],
        );
        let expected = json!({"conditions": [], "supportedFeatures": [{"name": "Gateway"}]});
        assert_eq!(class, Some(Wanted::Whole(expected)));
    }
}
