//! An API server that speaks as much as a controller needs: discovery, paged lists, watches with bookmarks, statuses with conflicts.
//!
//! And fails as one does: refusals, cut connections, forgotten history.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sealway_provider::kube::{Client, client};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

type Body = BoxBody<Bytes, std::io::Error>;

/// What is to go wrong with requests whose method and path (with query) hold these words.
pub(crate) struct Fault {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) kind: FaultKind,
    pub(crate) times: usize,
}

#[derive(Clone)]
pub(crate) enum FaultKind {
    /// Refused, perhaps with Retry-After.
    Status(u16, Option<u64>),
    /// Somebody else changes the object just before.
    Before(fn(&mut Value)),
    /// A watch sends half an event of the next change, and the connection ends.
    CutInMidEvent,
}

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<Place, Value>,
    history: Vec<(u64, Place, &'static str, Value)>,
    /// Older versions cannot be watched from.
    compacted: u64,
    served: BTreeMap<(String, String), BTreeSet<String>>,
    faults: Vec<Fault>,
    requests: Vec<(Instant, String)>,
    gzipped: usize,
}

/// Group, version, plural; namespace; name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    collection: String,
    namespace: String,
    name: String,
}

pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    address: std::net::SocketAddr,
    directory: tempfile::TempDir,
    tasks: JoinSet<()>,
}

pub(crate) const GROUP: &str = "gateway.networking.k8s.io";

impl Server {
    /// Starts one that serves the Gateway API's standard kinds, but no UDPRoute.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State {
            version: 100,
            ..State::default()
        }));
        let (changed, _) = watch::channel(0);
        let mut server = Self {
            state,
            changed,
            address,
            directory: tempfile::tempdir().expect("a directory"),
            tasks: JoinSet::new(),
        };
        for plural in [
            "gatewayclasses",
            "gateways",
            "httproutes",
            "tlsroutes",
            "backendtlspolicies",
            "listenersets",
        ] {
            server.serve("v1", plural);
        }
        server.serve("v1beta1", "referencegrants");
        server.serve("v1beta1", "gateways");
        let (state, changed) = (Arc::clone(&server.state), server.changed.clone());
        server.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, changed) = (Arc::clone(&state), changed.clone());
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), changed.clone(), request));
                    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    // A cut connection ends with an error, as it is meant to.
                    connection.await.ok();
                });
            }
        });
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client by a kubeconfig, as a user has it.
    pub(crate) async fn client(&self) -> Client {
        let path: PathBuf = self.directory.path().join("config");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}]\nusers: [{{name: u, user: {{}}}}]\n",
            self.address
        );
        std::fs::write(&path, text).expect("a kubeconfig");
        client(Some(&path)).await.expect("a client")
    }

    /// Installs a kind.
    pub(crate) fn serve(&self, version: &str, plural: &str) {
        let key = (GROUP.to_owned(), version.to_owned());
        self.state().served.entry(key).or_default().insert(plural.to_owned());
    }

    pub(crate) fn fault(&self, method: &'static str, path: &'static str, kind: FaultKind, times: usize) {
        self.state().faults.push(Fault {
            method,
            path,
            kind,
            times,
        });
    }

    /// Ends what goes wrong.
    pub(crate) fn mend(&self) {
        self.state().faults.clear();
    }

    /// Creates or replaces an object of a collection such as `gateway.networking.k8s.io/v1/tlsroutes`.
    pub(crate) fn put(&self, collection: &str, object: Value) {
        self.state().put(collection, object);
        self.tell();
    }

    pub(crate) fn delete(&self, collection: &str, namespace: &str, name: &str) {
        let place = place(collection, namespace, name);
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let mut object = state.objects.remove(&place).expect("an object");
        object["metadata"]["resourceVersion"] = version.to_string().into();
        state.history.push((version, place, "DELETED", object));
        drop(state);
        self.tell();
    }

    /// Deletes an object so that no watch hears of it.
    pub(crate) fn delete_and_forget(&self, collection: &str, namespace: &str, name: &str) {
        let mut state = self.state();
        state.version += 1;
        state.objects.remove(&place(collection, namespace, name)).expect("an object");
        state.compacted = state.version;
        state.history.clear();
        drop(state);
        self.tell();
    }

    pub(crate) fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        self.state().objects.get(&place(collection, namespace, name)).cloned()
    }

    /// Every object of a collection.
    pub(crate) fn all(&self, collection: &str) -> Vec<Value> {
        let state = self.state();
        let of = state.objects.iter().filter(|(place, _)| place.collection == collection);
        of.map(|(_, object)| object.clone()).collect()
    }

    /// When requests came that hold this word, as `METHOD PATH?QUERY`.
    pub(crate) fn requests(&self, word: &str) -> Vec<Instant> {
        let state = self.state();
        state
            .requests
            .iter()
            .filter(|(_, line)| line.contains(word))
            .map(|(at, _)| *at)
            .collect()
    }

    pub(crate) fn gzipped(&self) -> usize {
        self.state().gzipped
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Waits until that holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !holds(self) {
                changed.changed().await.expect("the server is there");
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never: {what}"));
    }
}

fn place(collection: &str, namespace: &str, name: &str) -> Place {
    Place {
        collection: collection.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

impl State {
    fn put(&mut self, collection: &str, mut object: Value) -> Value {
        self.version += 1;
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let place = place(collection, &text("namespace"), &text("name"));
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let kind = if self.objects.contains_key(&place) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.objects.insert(place.clone(), object.clone());
        self.history.push((self.version, place, kind, object.clone()));
        object
    }

    fn take_fault(&mut self, method: &str, path: &str) -> Option<FaultKind> {
        let found = |fault: &&mut Fault| fault.times > 0 && method == fault.method && path.contains(fault.path);
        let fault = self.faults.iter_mut().find(found)?;
        fault.times -= 1;
        Some(fault.kind.clone())
    }
}

fn full(code: u16, body: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|error| match error {});
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(body.boxed())
        .expect("a response")
}

fn refusal(code: u16) -> Response<Body> {
    full(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "as the test wants it"}),
    )
}

async fn answer(
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let query: BTreeMap<String, String> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let header = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let only_metadata = header("accept").contains("PartialObjectMetadata");
    let with_gzip = header("accept-encoding").contains("gzip");
    let response = {
        let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{} {}", head.method, head.uri);
        locked.requests.push((Instant::now(), line));
        let fault = locked.take_fault(head.method.as_str(), &head.uri.to_string());
        if let Some(FaultKind::Status(code, retry_after)) = fault {
            let mut response = refusal(code);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert("retry-after", seconds.into());
            }
            drop(locked);
            changed.send_modify(|count| *count += 1);
            return Ok(response);
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let api = match parts.as_slice() {
            ["apis", group, version, ..] => format!("{group}/{version}"),
            ["api", version, ..] => (*version).to_owned(),
            _ => String::new(),
        };
        match parts.as_slice() {
            ["apis", group] => locked.group(group),
            ["apis", group, version] => locked.resources(group, version),
            ["apis", _, _, rest @ ..] | ["api", _, rest @ ..] => locked.objects(
                &api,
                rest,
                head.method.as_str(),
                &query,
                &body,
                fault,
                only_metadata,
                with_gzip,
                &state,
                &changed,
            ),
            _ => refusal(404),
        }
    };
    changed.send_modify(|count| *count += 1);
    Ok(response)
}

impl State {
    fn group(&self, group: &str) -> Response<Body> {
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

    fn resources(&self, group: &str, version: &str) -> Response<Body> {
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
    fn objects(
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

fn shown(object: &Value, only_metadata: bool) -> Value {
    if only_metadata {
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
    } else {
        object.clone()
    }
}

struct Watcher {
    state: Arc<Mutex<State>>,
    changed: watch::Receiver<u64>,
    collection: String,
    namespace: String,
    from: u64,
    only_metadata: bool,
    cut: bool,
    pending: VecDeque<Value>,
    ended: bool,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, std::io::Error>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(event) = self.pending.pop_front() {
                let line = format!("{event}\n");
                if self.cut && event["type"] != "BOOKMARK" {
                    self.ended = true;
                    return Some(Ok(Frame::data(Bytes::copy_from_slice(&line.as_bytes()[..line.len() / 2]))));
                }
                self.ended = event["type"] == "ERROR";
                return Some(Ok(Frame::data(Bytes::from(line))));
            }
            self.look();
            if self.pending.is_empty() && self.changed.changed().await.is_err() {
                return None;
            }
        }
    }

    fn look(&mut self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.from < state.compacted {
            let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"});
            self.pending.push_back(json!({"type": "ERROR", "object": gone}));
            return;
        }
        for (version, place, kind, object) in &state.history {
            if *version > self.from
                && place.collection == self.collection
                && (self.namespace.is_empty() || place.namespace == self.namespace)
            {
                self.pending
                    .push_back(json!({"type": kind, "object": shown(object, self.only_metadata)}));
            }
        }
        if self.from < state.version {
            self.from = state.version;
            let metadata = json!({"resourceVersion": self.from.to_string()});
            let bookmark = json!({"kind": "K", "apiVersion": "v1", "metadata": metadata});
            self.pending.push_back(json!({"type": "BOOKMARK", "object": bookmark}));
        }
    }
}
