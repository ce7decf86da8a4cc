//! A controller and its proxies, as tests need them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealway_api::{Kind, ObjectKey, ObjectRef, Resource, Resources, Timestamp};
use sealway_core::{Compiler, Observed, Settings};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::message::{self, Down, PROTOCOL, Up};
use crate::server::{Authorised, Peer, Published, Server, Unauthorised};
use crate::{Client, ClientSettings, Proxies, ProxyState, Received, Report, Token};

/// Compiles what Gateways named `a`, `b`, … have: an HTTPS listener with its own certificate, and routes.
pub(super) struct Cluster {
    compiler: Compiler,
    resources: Resources,
    pub(super) revision: u64,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let mut cluster = Self {
            compiler: Compiler::new(Settings::default()),
            resources: Resources::default(),
            revision: 0,
        };
        cluster.add(json!({"kind": "GatewayClass", "metadata": {"name": "sealway"},
            "spec": {"controllerName": "sealway.dev/gateway-controller"}}));
        cluster
    }

    fn add(&mut self, object: serde_json::Value) {
        let kind = Kind::from(object["kind"].as_str().expect("a kind"));
        self.resources
            .insert(Resource::read(&kind, object).expect("known").expect("read"));
    }

    /// A Gateway of this name on this port, with a new certificate.
    pub(super) fn gateway(&mut self, name: &str, port: u16) {
        let certificate = rcgen::generate_simple_self_signed(vec![format!("{name}.test")]).expect("a certificate");
        let data = |text: &str| sealway_base64(text.as_bytes());
        self.add(
            json!({"kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name, "namespace": "infra"},
            "data": {"tls.crt": data(&certificate.cert.pem()), "tls.key": data(&certificate.signing_key.serialize_pem())}}),
        );
        self.add(
            json!({"kind": "Gateway", "metadata": {"name": name, "namespace": "infra"}, "spec": {"gatewayClassName": "sealway",
            "listeners": [{"name": "https", "port": port, "protocol": "HTTPS", "hostname": format!("{name}.test"),
                "tls": {"certificateRefs": [{"name": name}]}}]}}),
        );
    }

    /// An HTTPRoute of a Gateway, which redirects a path there.
    pub(super) fn route(&mut self, gateway: &str, name: &str, target: &str) {
        self.add(json!({"kind": "HTTPRoute", "apiVersion": "gateway.networking.k8s.io/v1", "metadata": {"name": name, "namespace": "infra"},
            "spec": {"parentRefs": [{"name": gateway}], "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": format!("/{name}")}}],
                "filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": target}}]}]}}));
    }

    /// Everything as it is now.
    pub(super) fn published(&mut self) -> BTreeMap<ObjectRef, Published> {
        self.revision += 1;
        let compiled = self
            .compiler
            .compile(&self.resources, &Observed::assumed(Timestamp::UNIX_EPOCH));
        // Every Gateway's keys for everybody: proxies must get their own all the same.
        let all = compiled.keys.values().flat_map(|keys| keys.0.clone()).collect();
        let keys = sealway_core::Keys(all);
        let each = compiled.snapshots.into_iter().map(|(gateway, snapshot)| {
            let published = Published {
                snapshot,
                keys: keys.clone(),
                revision: self.revision,
            };
            (gateway, published)
        });
        each.collect()
    }
}

fn sealway_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(super) fn gateway(name: &str) -> ObjectKey {
    ObjectKey::new("infra", name)
}

/// What the authenticator says of each token.
pub(super) type Tokens = Arc<Mutex<BTreeMap<String, Result<Authorised, Unauthorised>>>>;

pub(super) fn proxy_of(name: &str, pod: &str) -> Result<Authorised, Unauthorised> {
    Ok(Authorised {
        peer: Peer::Proxy {
            gateway: gateway(name),
            pod: pod.to_owned(),
        },
        valid_for: None,
    })
}

pub(super) fn controller(pod: &str) -> Result<Authorised, Unauthorised> {
    Ok(Authorised {
        peer: Peer::Controller { pod: pod.to_owned() },
        valid_for: None,
    })
}

/// A server that believes these tokens.
pub(super) fn server<'a>(tokens: impl IntoIterator<Item = (&'a str, Result<Authorised, Unauthorised>)>) -> (Server, Tokens) {
    let tokens: BTreeMap<_, _> = tokens.into_iter().map(|(token, says)| (token.to_owned(), says)).collect();
    let tokens: Tokens = Arc::new(Mutex::new(tokens));
    let review = Arc::clone(&tokens);
    let authenticate = Arc::new(move |token: Token| {
        let says = review.lock().expect("whole").get(token.expose()).cloned();
        Box::pin(async move { says.unwrap_or(Err(Unauthorised::Refused)) }) as _
    });
    (Server::new(authenticate, "test"), tokens)
}

/// The files of one proxy.
pub(super) struct Files {
    pub(super) directory: TempDir,
}

impl Files {
    pub(super) fn new(token: &str) -> Self {
        let files = Self {
            directory: tempfile::tempdir().expect("a directory"),
        };
        std::fs::write(files.path("token"), token).expect("written");
        std::fs::create_dir(files.path("kept")).expect("made");
        files
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn settings(&self, address: &str) -> ClientSettings {
        ClientSettings {
            addresses: vec![address.to_owned()],
            authorities: self.path("ca.crt"),
            token: self.path("token"),
            version: "test".to_owned(),
            directory: Some(self.path("kept")),
        }
    }
}

/// A client that is connected to a server by a pipe.
pub(super) struct Piped {
    pub(super) client: Client,
    pub(super) files: Files,
    pub(super) ends: JoinHandle<Result<(), crate::LinkFault>>,
    pub(super) served: JoinHandle<()>,
}

pub(super) fn piped(server: &Server, token: &str) -> Piped {
    let files = Files::new(token);
    let client = Client::new(files.settings("nowhere"));
    let (near, far) = duplex(1 << 16);
    Piped {
        ends: connect(&client, near),
        served: serve(server, far),
        client,
        files,
    }
}

pub(super) fn connect(client: &Client, stream: DuplexStream) -> JoinHandle<Result<(), crate::LinkFault>> {
    let client = client.clone();
    tokio::spawn(async move { client.connection(stream, false).await })
}

pub(super) fn serve(server: &Server, stream: DuplexStream) -> JoinHandle<()> {
    let server = server.clone();
    tokio::spawn(async move { server.connection(stream).await })
}

/// Obeys everything at once.
pub(super) fn obedient(client: &Client) -> JoinHandle<()> {
    let client = client.clone();
    tokio::spawn(async move {
        let mut received = client.received();
        received.mark_changed();
        while received.changed().await.is_ok() {
            let latest = received.borrow_and_update().clone();
            if let Some(latest) = latest {
                client.acknowledge(&latest, Report::default());
            }
        }
    })
}

/// Waits until something holds, for half a minute at most.
pub(super) async fn until<T: Clone>(watch: &mut watch::Receiver<T>, holds: impl FnMut(&T) -> bool) -> T {
    let value = timeout(Duration::from_secs(30), watch.wait_for(holds)).await;
    value.expect("in time").expect("the sender is there").clone()
}

/// Waits for a snapshot of this revision.
pub(super) async fn received(client: &Client, revision: u64) -> Arc<Received> {
    let is_it = |received: &Option<Arc<Received>>| received.as_ref().is_some_and(|received| received.revision == Some(revision));
    until(&mut client.received(), is_it).await.expect("just seen")
}

/// Waits until a proxy is so.
pub(super) async fn proxy_is(server: &Server, name: &str, pod: &str, holds: impl Fn(&ProxyState) -> bool) -> ProxyState {
    let find = |proxies: &Proxies| proxies.get(&gateway(name)).and_then(|pods| pods.get(pod)).cloned();
    let proxies = until(&mut server.proxies(), |proxies| {
        find(proxies).is_some_and(|proxy| holds(&proxy))
    })
    .await;
    find(&proxies).expect("just seen")
}

/// Somebody who speaks frames by hand.
pub(super) struct ByHand<S> {
    pub(super) stream: S,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> ByHand<S> {
    pub(super) async fn hello(stream: S, token: &str) -> Self {
        let mut hand = Self { stream };
        hand.say(&Up::Hello {
            protocol: PROTOCOL,
            token: Token::new(token),
            version: "by hand".to_owned(),
            content: None,
        })
        .await;
        hand
    }

    pub(super) async fn say(&mut self, message: &impl serde::Serialize) {
        self.send(&message::encode(message)).await;
    }

    /// Whether or not anybody listens.
    pub(super) async fn send(&mut self, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let _ = crate::frame::write(&mut self.stream, &[&length, payload].concat()).await;
    }

    /// The next frame; `None`: there is no other.
    pub(super) async fn next(&mut self) -> Option<crate::frame::Payload> {
        let frame = timeout(
            Duration::from_secs(30),
            crate::frame::read(&mut self.stream, crate::frame::LONGEST),
        )
        .await;
        frame.expect("in time").ok()
    }

    /// The next message that is no ping.
    pub(super) async fn message(&mut self) -> Option<Down> {
        loop {
            let payload = self.next().await?;
            if payload.first() != Some(&b'{') {
                continue;
            }
            match message::decode(&payload, Down::Unknown).expect("JSON") {
                Down::Ping => {}
                message => return Some(message),
            }
        }
    }
}
