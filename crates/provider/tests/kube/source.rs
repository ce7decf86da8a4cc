//! Watching.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sealway_api::{Kind, ObjectKey, ObjectRef};
use sealway_provider::files::Loaded;
use sealway_provider::kube::{Scope, Source};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::server::{FaultKind, Server};

pub(crate) const ROUTES: &str = "gateway.networking.k8s.io/v1/tlsroutes";
pub(crate) const GATEWAYS: &str = "gateway.networking.k8s.io/v1/gateways";
pub(crate) const CLASSES: &str = "gateway.networking.k8s.io/v1/gatewayclasses";

pub(crate) fn scope() -> Scope {
    Scope {
        namespaces: BTreeSet::new(),
        controller: "ours".to_owned(),
    }
}

pub(crate) fn route(name: &str, host: &str) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "TLSRoute",
        "metadata": {"namespace": "team", "name": name, "generation": 1, "managedFields": [{"manager": "m"}]},
        "spec": {"hostnames": [host]}})
}

/// A class and a Gateway of ours, whose listener has Secret `infra/edge`; and a Secret that nothing names.
fn gateway(server: &Server) {
    server.put(
        CLASSES,
        json!({"metadata": {"name": "c"}, "spec": {"controllerName": "ours"}}),
    );
    server.put(
        GATEWAYS,
        json!({"metadata": {"namespace": "infra", "name": "edge"}, "spec": {"gatewayClassName": "c", "listeners": [
            {"name": "a", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "edge"}]}}]}}),
    );
    for name in ["edge", "other"] {
        server.put("v1/secrets", secret(name, "b25l"));
    }
}

fn secret(name: &str, key: &str) -> Value {
    json!({"metadata": {"namespace": "infra", "name": name}, "type": "kubernetes.io/tls", "data": {"tls.key": key}})
}

async fn start(server: &Server) -> (Source, watch::Receiver<Loaded>) {
    let mut source = Source::start(server.client().await, scope());
    let loads = timeout(Duration::from_secs(20), source.loads())
        .await
        .expect("in time")
        .expect("a load");
    (source, loads)
}

async fn until(loads: &mut watch::Receiver<Loaded>, what: &str, holds: impl FnMut(&Loaded) -> bool) {
    let waited = timeout(Duration::from_secs(20), loads.wait_for(holds)).await;
    waited.unwrap_or_else(|_| panic!("never: {what}")).expect("the source runs");
}

fn has(loaded: &Loaded, name: &str) -> bool {
    loaded.resources.contains(&ObjectRef::new(Kind::TlsRoute, "team", name))
}

fn key_of(loaded: &Loaded) -> Option<Vec<u8>> {
    let secret = loaded.resources.secrets.get(&ObjectKey::new("infra", "edge"))?;
    Some(secret.data.get("tls.key")?.expose().to_vec())
}

#[tokio::test]
async fn the_first_load_is_whole_whatever_the_pages() {
    let server = Server::start().await;
    gateway(&server);
    for number in 0..1200 {
        server.put(ROUTES, route(&format!("r{number}"), "h"));
    }
    let (_source, mut loads) = start(&server).await;
    let loaded = loads.borrow_and_update().clone();
    assert_eq!(loaded.resources.tls_routes.len(), 1200);
    assert_eq!(key_of(&loaded), Some(b"one".to_vec()));
    assert_eq!(loaded.resources.secrets.len(), 1, "only what something names");
    assert!(server.requests("GET /api/v1/namespaces/infra/secrets/other").is_empty());
    assert!(server.gzipped() > 0);
}

#[tokio::test]
async fn nothing_is_published_before_every_kind_is_listed() {
    let server = Server::start().await;
    gateway(&server);
    server.fault("GET", "/tlsroutes?", FaultKind::Status(500, None), 3);
    server.put(ROUTES, route("r", "h"));
    let mut source = Source::start(server.client().await, scope());
    let loads = timeout(Duration::from_secs(20), source.loads())
        .await
        .expect("in time")
        .expect("a load");
    assert!(has(&loads.borrow(), "r"));
    assert_eq!(
        server
            .requests("/tlsroutes?&limit")
            .len()
            .max(server.requests("/tlsroutes?limit").len()),
        4
    );
}

#[tokio::test]
async fn changes_of_every_sort_arrive() {
    let server = Server::start().await;
    gateway(&server);
    server.put(ROUTES, route("r", "h"));
    let (_source, mut loads) = start(&server).await;
    server.put(ROUTES, route("new", "h"));
    until(&mut loads, "an added route", |loaded| has(loaded, "new")).await;
    server.delete(ROUTES, "team", "r");
    until(&mut loads, "a deleted route", |loaded| !has(loaded, "r")).await;
    server.put("v1/secrets", secret("edge", "dHdv"));
    until(&mut loads, "a changed Secret", |loaded| {
        key_of(loaded) == Some(b"two".to_vec())
    })
    .await;
    server.put("v1/namespaces", json!({"metadata": {"name": "team", "labels": {"a": "b"}}}));
    until(&mut loads, "a labelled Namespace", |loaded| {
        loaded.resources.namespace_labels("team").contains_key("a")
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_cut_in_mid_event_loses_nothing() {
    let server = Server::start().await;
    server.fault("GET", "/tlsroutes?&watch=true", FaultKind::CutInMidEvent, 1);
    server.fault("GET", "/tlsroutes?watch=true", FaultKind::CutInMidEvent, 1);
    let (_source, mut loads) = start(&server).await;
    server.put(ROUTES, route("r", "h"));
    until(&mut loads, "the route after the cut", |loaded| has(loaded, "r")).await;
}

#[tokio::test]
async fn forgotten_history_is_listed_anew_and_the_last_good_state_stays_meanwhile() {
    let server = Server::start().await;
    for name in ["stays", "goes"] {
        server.put(ROUTES, route(name, "h"));
    }
    let (_source, mut loads) = start(&server).await;
    // The API server is away for lists of routes while its history is compacted.
    server.fault("GET", "/tlsroutes?", FaultKind::Status(503, None), 3);
    server.delete_and_forget(ROUTES, "team", "goes");
    until(&mut loads, "what went while nobody watched", |loaded| !has(loaded, "goes")).await;
    assert!(has(&loads.borrow(), "stays"));
}

#[tokio::test]
async fn an_odd_object_stalls_nothing() {
    let server = Server::start().await;
    server.put(
        ROUTES,
        json!({"metadata": {"namespace": "team", "name": "odd"}, "spec": {"hostnames": 7}}),
    );
    server.put(
        ROUTES,
        json!({"metadata": {"namespace": "team", "name": "odder", "annotations": 3, "labels": []}, "spec": []}),
    );
    server.put(ROUTES, route("good", "h"));
    let (_source, mut loads) = start(&server).await;
    let loaded = loads.borrow_and_update().clone();
    assert!(has(&loaded, "good"));
    assert_eq!(loaded.resources.refused.len(), 2);
    assert_eq!(loaded.problems.len(), 2);
    server.put(ROUTES, route("odd", "h"));
    until(&mut loads, "the mended route", |loaded| {
        has(loaded, "odd") && loaded.problems.len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_kind_that_is_installed_later_is_found() {
    let server = Server::start().await;
    let (source, mut loads) = start(&server).await;
    assert!(source.served().borrow().absent().any(|kind| *kind == Kind::UdpRoute));
    assert_eq!(
        source.served().borrow().api_version(&Kind::ReferenceGrant).as_deref(),
        Some("gateway.networking.k8s.io/v1beta1")
    );
    server.serve("v1alpha2", "udproutes");
    server.put(
        "gateway.networking.k8s.io/v1alpha2/udproutes",
        json!({"metadata": {"namespace": "team", "name": "u"}, "spec": {}}),
    );
    until(&mut loads, "a route of the new kind", |loaded| {
        loaded.resources.udp_routes.len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_burst_costs_few_loads_and_a_single_change_little_time() {
    let server = Server::start().await;
    let (_source, mut loads) = start(&server).await;
    let mut waits = Vec::new();
    for number in 0..100 {
        let name = format!("single{number}");
        let begun = Instant::now();
        server.put(ROUTES, route(&name, "h"));
        until(&mut loads, "a single change", |loaded| has(loaded, &name)).await;
        waits.push(begun.elapsed());
    }
    waits.sort();
    println!("from write to load: p50 {:?}, p99 {:?}", waits[50], waits[98]);
    assert!(waits[50] < Duration::from_millis(100), "{:?}", waits[50]);
    let mut count = 0;
    for number in 0..500 {
        server.put(ROUTES, route(&format!("burst{number}"), "h"));
    }
    while !has(&loads.borrow_and_update(), "burst499") {
        loads.changed().await.expect("the source runs");
        count += 1;
    }
    println!("loads for 500 changes: {count}");
    assert!(count < 100, "{count} loads for 500 changes");
}

#[tokio::test]
async fn a_throttled_list_is_asked_for_again() {
    let server = Server::start().await;
    server.fault("GET", "/gateways?", FaultKind::Status(429, Some(1)), 2);
    gateway(&server);
    let (_source, loads) = start(&server).await;
    assert_eq!(loads.borrow().resources.gateways.len(), 1);
}

#[tokio::test]
async fn chosen_namespaces_only() {
    let server = Server::start().await;
    server.put(ROUTES, route("r", "h"));
    let mut other = route("r", "h");
    other["metadata"]["namespace"] = "elsewhere".into();
    server.put(ROUTES, other);
    let scope = Scope {
        namespaces: BTreeSet::from(["team".to_owned()]),
        ..scope()
    };
    let mut source = Source::start(server.client().await, scope);
    let loads = timeout(Duration::from_secs(20), source.loads())
        .await
        .expect("in time")
        .expect("a load");
    let keys: Vec<String> = loads.borrow().resources.tls_routes.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["team/r"]);
    assert!(server.requests("GET /apis/gateway.networking.k8s.io/v1/tlsroutes").is_empty());
}
