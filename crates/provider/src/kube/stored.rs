//! Statuses as the API server has them now, for the writer to compare with.
//!
//! Filled by the source, emptied of its news by the writer. Invariant: an older version never replaces a newer one, so what the writer
//! got back from its own write is not undone by an event that was under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealway_api::{Kind, ObjectKey, ObjectRef, Statuses};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::Notify;

/// One status as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Version of the API, as in `v1`.
    pub(super) version: String,
    pub(super) resource_version: String,
    /// JSON text, a third of the size of a tree; empty without a status.
    pub(super) status: Arc<str>,
}

/// The statuses of all objects that have one.
#[derive(Debug, Default)]
pub struct StoredStatuses {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    statuses: BTreeMap<ObjectRef, Stored>,
    changed: BTreeSet<ObjectRef>,
}

impl StoredStatuses {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, reference: &ObjectRef, stored: Stored) {
        let mut inner = self.lock();
        if let Some(before) = inner.statuses.get_mut(reference) {
            if is_older(&stored.resource_version, &before.resource_version) {
                return;
            }
            let is_same = before.status == stored.status;
            *before = stored;
            if is_same {
                return;
            }
        } else {
            inner.statuses.insert(reference.clone(), stored);
        }
        inner.changed.insert(reference.clone());
        drop(inner);
        self.news.notify_one();
    }

    pub(super) fn remove(&self, reference: &ObjectRef) {
        let mut inner = self.lock();
        inner.statuses.remove(reference);
        inner.changed.remove(reference);
    }

    pub(super) fn get(&self, reference: &ObjectRef) -> Option<Stored> {
        self.lock().statuses.get(reference).cloned()
    }

    /// What is stored of Gateways and ListenerSets, as far as it can be read: what another controller has said goes on to hold.
    #[must_use]
    pub fn said(&self) -> Statuses {
        Statuses {
            gateways: self.of_kind(&Kind::Gateway),
            listener_sets: self.of_kind(&Kind::ListenerSet),
            ..Statuses::default()
        }
    }

    /// All of them as [`Statuses`] serialises, with what it lacks: the times of conditions, and what others have said.
    #[must_use]
    pub fn tree(&self) -> Value {
        // Reading them takes a while, for which nobody should wait.
        let statuses: Vec<_> = {
            let inner = self.lock();
            let each = inner.statuses.iter();
            each.map(|(reference, stored)| (reference.clone(), Arc::clone(&stored.status)))
                .collect()
        };
        let mut tree = Map::new();
        for (reference, status) in statuses {
            let (Some(field), Ok(status)) = (Statuses::field_of(&reference.kind), serde_json::from_str(&status)) else {
                continue;
            };
            let name = match field {
                "routes" => reference.to_string(),
                _ => reference.key.to_string(),
            };
            let of_field = tree.entry(field).or_insert_with(|| Value::Object(Map::new()));
            of_field.as_object_mut().map(|statuses| statuses.insert(name, status));
        }
        Value::Object(tree)
    }

    fn of_kind<T: DeserializeOwned>(&self, kind: &Kind) -> BTreeMap<ObjectKey, T> {
        let inner = self.lock();
        let of_kind = inner.statuses.iter().filter(|(reference, _)| reference.kind == *kind);
        of_kind
            .filter_map(|(reference, stored)| Some((reference.key.clone(), serde_json::from_str(&stored.status).ok()?)))
            .collect()
    }

    pub(super) fn references(&self) -> BTreeSet<ObjectRef> {
        self.lock().statuses.keys().cloned().collect()
    }

    /// What changed since this was asked last.
    pub(super) fn take_changed(&self) -> BTreeSet<ObjectRef> {
        std::mem::take(&mut self.lock().changed)
    }

    /// Waits until something changes, or has changed since the last wait.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }
}

/// Resource versions are counted per resource; what does not look like a number cannot be compared.
fn is_older(one: &str, two: &str) -> bool {
    matches!((one.parse::<u64>(), two.parse::<u64>()), (Ok(one), Ok(two)) if one < two)
}

#[cfg(test)]
mod tests {
    use sealway_api::Kind;

    use super::super::kinds::WATCHED;
    use super::*;

    fn stored(resource_version: &str, status: &str) -> Stored {
        Stored {
            version: "v1".to_owned(),
            resource_version: resource_version.to_owned(),
            status: status.into(),
        }
    }

    #[test]
    fn an_event_that_was_under_way_does_not_undo_a_write() {
        let statuses = StoredStatuses::default();
        let route = ObjectRef::new(Kind::TlsRoute, "a", "b");
        statuses.put(&route, stored("9", "{}"));
        statuses.put(&route, stored("10", "{\"written\":1}"));
        statuses.put(&route, stored("9", "{}"));
        assert_eq!(statuses.get(&route), Some(stored("10", "{\"written\":1}")));
    }

    #[test]
    fn the_tree_has_the_names_that_statuses_have() {
        let mut wanted = Statuses::default();
        wanted.gateway_classes.insert("c".to_owned(), Default::default());
        wanted.gateways.insert(ObjectKey::new("a", "g"), Default::default());
        wanted.listener_sets.insert(ObjectKey::new("a", "s"), Default::default());
        wanted
            .routes
            .insert(ObjectRef::new(Kind::TlsRoute, "a", "r"), Default::default());
        wanted
            .backend_tls_policies
            .insert(ObjectKey::new("a", "p"), Default::default());
        wanted.x_backends.insert(ObjectKey::new("a", "x"), Default::default());
        wanted
            .x_backend_traffic_policies
            .insert(ObjectKey::new("a", "b"), Default::default());
        wanted
            .x_telemetry_policies
            .insert(ObjectKey::new("a", "t"), Default::default());
        let statuses = StoredStatuses::default();
        for watched in WATCHED.iter().filter(|watched| watched.has_status) {
            let (namespace, name) = match &watched.kind {
                Kind::GatewayClass => ("", "c"),
                Kind::Gateway => ("a", "g"),
                Kind::ListenerSet => ("a", "s"),
                Kind::TlsRoute => ("a", "r"),
                Kind::BackendTlsPolicy => ("a", "p"),
                Kind::XBackend => ("a", "x"),
                Kind::XBackendTrafficPolicy => ("a", "b"),
                Kind::XTelemetryPolicy => ("a", "t"),
                other => {
                    assert_eq!(Statuses::field_of(other), Some("routes"), "{other}");
                    continue;
                }
            };
            statuses.put(
                &ObjectRef::new(watched.kind.clone(), namespace, name),
                stored("1", "{\"of\": 1}"),
            );
        }
        let names = |tree: &Value| -> Vec<(String, String)> {
            let fields = tree.as_object().expect("an object").iter();
            let of_field = |(field, statuses): (&String, &Value)| {
                let name = statuses.as_object().and_then(|statuses| statuses.keys().next().cloned());
                (field.clone(), name.unwrap_or_default())
            };
            fields.map(of_field).collect()
        };
        assert_eq!(names(&statuses.tree()), names(&serde_json::to_value(&wanted).expect("JSON")));
    }

    #[test]
    fn a_change_of_the_spec_alone_is_no_news() {
        let statuses = StoredStatuses::default();
        let route = ObjectRef::new(Kind::TlsRoute, "a", "b");
        statuses.put(&route, stored("1", "{}"));
        assert_eq!(statuses.take_changed().len(), 1);
        statuses.put(&route, stored("2", "{}"));
        assert!(statuses.take_changed().is_empty());
        assert_eq!(
            statuses.get(&route).map(|stored| stored.resource_version),
            Some("2".to_owned())
        );
    }
}
