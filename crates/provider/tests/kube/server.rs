//! An API server that speaks as much as a controller needs: discovery, paged lists, watches with bookmarks, statuses with conflicts.
//!
//! And fails as one does: refusals, cut connections, forgotten history.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sealway_provider::kube::{Client, client};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

mod answers;
mod watches;

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
