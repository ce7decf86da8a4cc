//! What each path answers: discovery, objects, lists.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::Response;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::watches::Watcher;
use super::{Body, FaultKind, GROUP, Place, State, full, place, refusal};

impl State {
    pub(super) fn group(&self, group: &str) -> Response<Body> {
        let versions: Vec<Value> = self
            .served
            .keys()
            .filter(|(of, _)| of == group)
            .map(|(_, version)| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
            .collect();
        if versions.is_empty() {
            return refusal(404);
        }
        full(
            200,
            &json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": versions}),
        )
    }

    pub(super) fn resources(&self, group: &str, version: &str) -> Response<Body> {
        let Some(plurals) = self.served.get(&(group.to_owned(), version.to_owned())) else {
            return refusal(404);
        };
        let resources: Vec<Value> = plurals
            .iter()
            .map(|name| json!({"name": name, "singularName": "", "namespaced": true, "kind": "K", "verbs": ["list"]}))
            .collect();
        full(
            200,
            &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/{version}"), "resources": resources}),
        )
    }

    #[expect(clippy::too_many_arguments, reason = "one request, taken apart")]
    pub(super) fn objects(
        &mut self,
        api: &str,
        rest: &[&str],
        method: &str,
        query: &BTreeMap<String, String>,
        body: &Bytes,
        fault: Option<FaultKind>,
        only_metadata: bool,
        with_gzip: bool,
        state: &Arc<Mutex<Self>>,
        changed: &watch::Sender<u64>,
    ) -> Response<Body> {
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let Some((plural, rest)) = rest.split_first() else {
            return refusal(404);
        };
        let collection = format!("{api}/{plural}");
        if let Some((group, version)) = api.split_once('/')
            && group == GROUP
            && !self
                .served
                .get(&(group.to_owned(), version.to_owned()))
                .is_some_and(|plurals| plurals.contains(*plural))
        {
            return refusal(404);
        }
        let sent = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        match (method, rest) {
            ("GET", []) if query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") => {
                let from = query
                    .get("resourceVersion")
                    .and_then(|version| version.parse().ok())
                    .unwrap_or(0);
                let watcher = Watcher {
                    state: Arc::clone(state),
                    changed: changed.subscribe(),
                    collection,
                    namespace: namespace.to_owned(),
                    from,
                    only_metadata,
                    cut: matches!(fault, Some(FaultKind::CutInMidEvent)),
                    pending: VecDeque::new(),
                    ended: false,
                };
                let events = stream::unfold(watcher, |mut watcher| async move { Some((watcher.next().await?, watcher)) });
                Response::new(StreamBody::new(events).boxed())
            }
            ("GET", []) => self.list(&collection, namespace, query, only_metadata, with_gzip),
            ("GET", [name]) => match self.objects.get(&place(&collection, namespace, name)) {
                Some(object) => full(200, object),
                None => refusal(404),
            },
            ("POST", []) => {
                let object = sent();
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                if self.objects.contains_key(&place(&collection, namespace, name)) {
                    return refusal(409);
                }
                full(201, &self.put(&collection, object))
            }
            ("PATCH", [name]) if query.contains_key("fieldManager") => {
                // Server-side apply, as far as one manager has all of an object; statuses are another's.
                let mut object = sent();
                if let Some(before) = self.objects.get(&place(&collection, namespace, name)) {
                    object["status"] = before["status"].clone();
                }
                full(200, &self.put(&collection, object))
            }
            ("DELETE", [name]) => match self.objects.remove(&place(&collection, namespace, name)) {
                Some(object) => full(200, &object),
                None => refusal(404),
            },
            ("PUT" | "PATCH", [name, sub @ ..]) => {
                let at = place(&collection, namespace, name);
                let Some(mut object) = self.objects.get(&at).cloned() else {
                    return refusal(404);
                };
                if let Some(FaultKind::Before(change)) = fault {
                    change(&mut object);
                    object = self.put(&collection, object);
                }
                let sent = sent();
                if method == "PATCH" {
                    object["series"] = sent["series"].clone();
                    return full(200, &self.put(&collection, object));
                }
                if sent["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
                    return refusal(409);
                }
                if sub == ["status"] {
                    object["status"] = sent["status"].clone();
                } else {
                    object = sent;
                }
                full(200, &self.put(&collection, object))
            }
            _ => refusal(405),
        }
    }

    fn list(
        &mut self,
        collection: &str,
        namespace: &str,
        query: &BTreeMap<String, String>,
        only_metadata: bool,
        with_gzip: bool,
    ) -> Response<Body> {
        let limit: usize = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let offset: usize = query.get("continue").and_then(|token| token.parse().ok()).unwrap_or(0);
        let of = |place: &Place| place.collection == collection && (namespace.is_empty() || place.namespace == namespace);
        let selector = query
            .get("labelSelector")
            .map(|text| text.replace("%2F", "/").replace("%3D", "="));
        let is_selected = |object: &Value| {
            let pair = selector.as_deref().and_then(|text| text.split_once('='));
            pair.is_none_or(|(label, value)| object["metadata"]["labels"][label] == value)
        };
        let all: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(place, object)| of(place) && is_selected(object))
            .map(|(_, object)| object)
            .collect();
        let items: Vec<Value> = all
            .iter()
            .skip(offset)
            .take(limit)
            .map(|object| shown(object, only_metadata))
            .collect();
        let next = offset + items.len();
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if next < all.len() {
            metadata["continue"] = next.to_string().into();
        }
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items});
        if !with_gzip {
            return full(200, &list);
        }
        self.gzipped += 1;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(list.to_string().as_bytes()).expect("memory");
        let body = Full::new(Bytes::from(encoder.finish().expect("memory"))).map_err(|error| match error {});
        Response::builder()
            .header("content-encoding", "gzip")
            .header("content-type", "application/json")
            .body(body.boxed())
            .expect("a response")
    }
}

pub(super) fn shown(object: &Value, only_metadata: bool) -> Value {
    if only_metadata {
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
    } else {
        object.clone()
    }
}
