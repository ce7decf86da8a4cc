//! What the feed costs: 5,000 HTTPRoutes and 5,000 TLSRoutes over a hundred ListenerSets in one snapshot, then one route that changes again
//! and again.
//!
//! `cargo run --release -p sealway-feed --example feed_scale`. The proxy is a process of its own, so that its memory is its own; times are
//! from `publish` until the controller has its acknowledgement, over TLS on loopback. The gateway itself allocates with jemalloc.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use sealway_api::{Kind, ObjectKey, ObjectRef, Resource, Resources, Timestamp};
use sealway_core::{Compiler, Keys, Observed, Parts, Settings};
use sealway_feed::{Authorised, Client, ClientSettings, Peer, Published, Report, SERVER_NAME, Server, server_config};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Of each kind.
const ROUTES: usize = 5_000;
const CHANGES: u32 = 200;
/// Namespaces and Services that the routes share out among themselves.
const TENANTS: usize = 50;
const SETS: usize = 100;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [address, directory] => proxy(address, Path::new(directory)).await,
        _ => controller().await,
    }
}

async fn proxy(address: &str, directory: &Path) -> Result<(), Failure> {
    let client = Client::new(ClientSettings {
        addresses: vec![address.to_owned()],
        authorities: directory.join("ca.crt"),
        token: directory.join("token"),
        version: "example".to_owned(),
        directory: Some(directory.to_owned()),
    });
    let mut received = client.received();
    let obey = async {
        while received.changed().await.is_ok() {
            let latest = received.borrow_and_update().clone();
            if let Some(latest) = latest {
                client.acknowledge(&latest, Report::default());
            }
        }
    };
    tokio::join!(client.run(), obey);
    Ok(())
}

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn controller() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let gateway = ObjectRef::new(Kind::Gateway, "infra", "edge");
    let peer = Peer::Proxy {
        gateway: gateway.key.clone(),
        pod: "pod".to_owned(),
    };
    let authorised = Authorised { peer, valid_for: None };
    let server = Server::new(
        Arc::new(move |_| {
            let authorised = authorised.clone();
            Box::pin(async move { Ok(authorised) }) as _
        }),
        "example",
    );
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (_tls, tls) = watch::channel(identity(directory.path())?);
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener, tls).await });

    let mut resources = resources();
    let mut compiler = Compiler::new(Settings::default());
    let mut compile = |resources: &Resources| {
        let compiled = compiler.compile(resources, &Observed::assumed(Timestamp::UNIX_EPOCH));
        compiled.snapshots.into_values().next().ok_or("nothing was compiled")
    };
    let snapshot = compile(&resources)?;
    let (parts, took) = timed(|| Parts::of(&snapshot, &Parts::default()));
    let size = parts.since([]).size();
    println!("full: {} parts, {size} bytes, taken apart in {took:.2?}", parts.len());
    let child = Command::new(std::env::current_exe()?)
        .arg(address.to_string())
        .arg(directory.path())
        .spawn()?;
    let child = Proxy(child);
    let mut proxies = server.proxies();
    proxies.wait_for(|proxies| !proxies.is_empty()).await?;
    println!("proxy without a snapshot: {}", memory(&child.0));
    let mut revision = 0;
    let mut tell = async |snapshot: &Arc<_>| -> Result<(Duration, Duration), Failure> {
        revision += 1;
        let published = Published {
            snapshot: Arc::clone(snapshot),
            keys: Keys::default(),
            revision,
        };
        let published = BTreeMap::from([(gateway.clone(), published)]);
        let begun = Instant::now();
        server.publish(&published);
        let apart = begun.elapsed();
        proxies
            .wait_for(|proxies| {
                let mut all = proxies.values().flat_map(BTreeMap::values);
                all.all(|proxy| {
                    proxy
                        .acknowledged
                        .is_some_and(|acknowledged| acknowledged.revision == revision)
                })
            })
            .await?;
        Ok((apart, begun.elapsed()))
    };
    let (apart, whole) = tell(&snapshot).await?;
    println!("full: published in {apart:.2?}, acknowledged after {whole:.2?}");
    println!("proxy with it: {}", memory(&child.0));

    let (mut compiled, mut aparts, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = parts;
    for turn in 0..CHANGES {
        let is_http = turn % 2 == 0;
        change(&mut resources, is_http, turn);
        let (snapshot, took) = timed(|| compile(&resources));
        let snapshot = snapshot?;
        let next = Parts::of(&snapshot, &last);
        let delta = next.since(last.digests());
        if turn < 2 {
            println!("one route: {} parts, {} bytes", delta.set.len(), delta.size());
        }
        last = next;
        let (apart, whole) = tell(&snapshot).await?;
        compiled.push(took);
        aparts.push(apart);
        wholes.push(whole);
    }
    for (name, times) in [("compiled", compiled), ("published", aparts), ("acknowledged", wholes)] {
        let [p50, p99] = [50, 99].map(|share| percentile(&times, share));
        println!("one route, {name}: p50 {p50:.2?}, p99 {p99:.2?}");
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    println!("proxy after {CHANGES} changes: {}", memory(&child.0));
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = work();
    (result, begun.elapsed())
}

fn percentile(times: &[Duration], share: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() * share / 100).copied().unwrap_or_default()
}

fn memory(child: &Child) -> String {
    let status = std::fs::read_to_string(PathBuf::from("/proc").join(child.id().to_string()).join("status"));
    let status = status.unwrap_or_default();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}

fn identity(directory: &Path) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(directory.join("ca.crt"), authority.as_ref().pem())?;
    std::fs::write(directory.join("token"), "token")?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![SERVER_NAME.to_owned()])?.signed_by(&key, &authority)?;
    Ok(server_config(
        vec![certificate.der().clone()],
        PrivateKeyDer::try_from(key.serialize_der())?,
    )?)
}

fn resources() -> Resources {
    let mut resources = Resources::default();
    let mut add = |object: serde_json::Value| {
        let kind = Kind::from(object["kind"].as_str().unwrap_or_default());
        if let Some(Ok(resource)) = Resource::read(&kind, object) {
            resources.insert(resource);
        }
    };
    add(
        json!({"kind": "GatewayClass", "metadata": {"name": "sealway"}, "spec": {"controllerName": "sealway.dev/gateway-controller"}}),
    );
    let all = json!({"namespaces": {"from": "All"}});
    let own = json!({"name": "own", "port": 80, "protocol": "HTTP", "hostname": "own.test"});
    add(json!({"kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra"},
        "spec": {"gatewayClassName": "sealway", "listeners": [own], "allowedListeners": {"namespaces": {"from": "Same"}}}}));
    for set in 0..SETS {
        let hostname = format!("*.s{set}.test");
        let listeners = json!([
            {"name": "tls", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}, "hostname": hostname, "allowedRoutes": all},
            {"name": "http", "port": 80, "protocol": "HTTP", "hostname": hostname, "allowedRoutes": all}]);
        add(
            json!({"kind": "ListenerSet", "metadata": {"name": format!("s{set}"), "namespace": "infra"},
            "spec": {"parentRef": {"name": "edge"}, "listeners": listeners}}),
        );
    }
    for tenant in 0..TENANTS {
        let namespace = format!("tenant{tenant}");
        add(json!({"kind": "Namespace", "metadata": {"name": namespace}}));
        for service in ["blue", "green"] {
            add(
                json!({"kind": "Service", "metadata": {"name": service, "namespace": namespace}, "spec": {"ports": [{"port": 443}]}}),
            );
            let endpoints: Vec<_> = (1..4)
                .map(|last| json!({"addresses": [format!("10.0.{tenant}.{last}")]}))
                .collect();
            add(
                json!({"kind": "EndpointSlice", "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8443}],
                "metadata": {"name": service, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}}}),
            );
        }
    }
    for (kind, number) in ["TLSRoute", "HTTPRoute"]
        .into_iter()
        .flat_map(|kind| (0..ROUTES).map(move |number| (kind, number)))
    {
        let rule = json!({"backendRefs": [{"name": "blue", "port": 443, "weight": 9}, {"name": "green", "port": 443}]});
        add(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
            "metadata": {"name": format!("route{number}"), "namespace": format!("tenant{}", number % TENANTS)},
            "spec": {"parentRefs": [{"kind": "ListenerSet", "name": format!("s{}", number % SETS), "namespace": "infra"}], "rules": [rule],
                "hostnames": [format!("a{number}.s{}.test", number % SETS), format!("b{number}.s{}.test", number % SETS)]}}));
    }
    resources
}

fn change(resources: &mut Resources, is_http: bool, turn: u32) {
    let key = ObjectKey::new("tenant1", "route1");
    let weight = if is_http {
        let route = resources.http_routes.get_mut(&key).map(Arc::make_mut);
        let rule = route.and_then(|route| route.spec.rules.first_mut());
        rule.and_then(|rule| rule.backend_refs.first_mut())
            .map(|reference| &mut reference.backend.weight)
    } else {
        let route = resources.tls_routes.get_mut(&key).map(Arc::make_mut);
        let rule = route.and_then(|route| route.spec.rules.first_mut());
        rule.and_then(|rule| rule.backend_refs.first_mut())
            .map(|reference| &mut reference.weight)
    };
    if let Some(weight) = weight {
        *weight = turn + 10;
    }
}
