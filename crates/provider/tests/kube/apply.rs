//! Objects of Gateways, made by the leader alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sealway_api::ObjectKey;
use sealway_provider::kube::{Applied, Leadership, Needed, Provisioner};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::server::{FaultKind, Server};

const SERVICES: &str = "v1/services";
const DEPLOYMENTS: &str = "apps/v1/deployments";

fn edge() -> ObjectKey {
    ObjectKey::new("infra", "edge")
}

fn object(api: &str, kind: &str, name: &str, owner: &str) -> Value {
    json!({
        "apiVersion": api, "kind": kind,
        "metadata": {
            "name": name, "namespace": "infra",
            "labels": {
                "gateway.networking.k8s.io/gateway-name": "edge",
                "gateway.networking.k8s.io/gateway-class-name": "ours",
            },
            "ownerReferences": [{ "kind": "Gateway", "name": "edge", "uid": owner, "controller": true }],
        },
    })
}

fn needed(objects: Vec<Value>) -> BTreeMap<ObjectKey, Needed> {
    BTreeMap::from([(
        edge(),
        Needed {
            uid: "u".to_owned(),
            class: "ours".to_owned(),
            objects,
        },
    )])
}

struct Bench {
    server: Server,
    leadership: watch::Sender<Leadership>,
    provisioner: Provisioner,
}

async fn bench(leadership: Leadership) -> Bench {
    let server = Server::start().await;
    let (sender, receiver) = watch::channel(leadership);
    Bench {
        provisioner: Provisioner::start(server.client().await, receiver),
        server,
        leadership: sender,
    }
}

impl Bench {
    async fn applied(&self, what: &str, holds: impl Fn(&Applied) -> bool) {
        let mut applied = self.provisioner.applied();
        let waited = timeout(
            Duration::from_secs(20),
            applied.wait_for(|all| all.get(&edge()).is_some_and(&holds)),
        );
        waited.await.unwrap_or_else(|_| panic!("never: {what}")).expect("it runs");
    }

    fn has(&self, collection: &str, name: &str) -> bool {
        self.server.get(collection, "infra", name).is_some()
    }
}

#[tokio::test]
async fn what_is_needed_is_made_and_what_is_not_any_more_is_removed() {
    let bench = bench(Leadership::Leader).await;
    let service = object("v1", "Service", "sealway-edge", "u");
    let deployment = object("apps/v1", "Deployment", "sealway-edge", "u");
    bench.provisioner.need(needed(vec![service.clone(), deployment]));
    bench.applied("made", |applied| *applied == Applied::default()).await;
    assert!(bench.has(SERVICES, "sealway-edge") && bench.has(DEPLOYMENTS, "sealway-edge"));
    bench.provisioner.need(needed(vec![service]));
    bench
        .server
        .until("the Deployment is gone", |server| {
            server.get(DEPLOYMENTS, "infra", "sealway-edge").is_none()
        })
        .await;
    bench.provisioner.need(BTreeMap::new());
    bench
        .server
        .until("everything is gone", |server| server.all(SERVICES).is_empty())
        .await;
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_left_alone_and_said() {
    let bench = bench(Leadership::Leader).await;
    let mut foreign = object("v1", "Service", "sealway-edge", "somebody");
    foreign["spec"] = json!({ "theirs": true });
    bench.server.put(SERVICES, foreign);
    let deployment = object("apps/v1", "Deployment", "sealway-edge", "u");
    bench
        .provisioner
        .need(needed(vec![object("v1", "Service", "sealway-edge", "u"), deployment]));
    bench
        .applied("said", |applied| {
            applied.faults.iter().any(|fault| fault.contains("Service sealway-edge"))
        })
        .await;
    let kept = bench.server.get(SERVICES, "infra", "sealway-edge").expect("there");
    assert_eq!(kept["spec"]["theirs"], true);
    assert!(bench.has(DEPLOYMENTS, "sealway-edge"), "the rest is made all the same");
}

#[tokio::test]
async fn what_another_controller_has_taken_over_with_its_gateway_stays() {
    let bench = bench(Leadership::Leader).await;
    let service = object("v1", "Service", "sealway-edge", "u");
    let deployment = object("apps/v1", "Deployment", "sealway-edge", "u");
    bench.provisioner.need(needed(vec![service.clone(), deployment]));
    bench.applied("made", |applied| *applied == Applied::default()).await;
    let mut theirs = service;
    theirs["metadata"]["labels"]["gateway.networking.k8s.io/gateway-class-name"] = json!("theirs");
    let begun = Instant::now();
    bench.provisioner.need(needed(Vec::new()));
    // It has the time for that.
    bench.server.put(SERVICES, theirs);
    bench
        .server
        .until("what is ours is gone", |server| {
            server.get(DEPLOYMENTS, "infra", "sealway-edge").is_none()
        })
        .await;
    assert!(begun.elapsed() > Duration::from_secs(5), "at once");
    let mut applied = bench.provisioner.applied();
    let settled = applied.wait_for(|all| all.is_empty());
    timeout(Duration::from_secs(20), settled)
        .await
        .expect("settled")
        .expect("it runs");
    assert!(bench.has(SERVICES, "sealway-edge"));
}

#[tokio::test]
async fn a_service_that_the_api_server_does_not_take_is_told_of_and_not_tried_for_ever() {
    let bench = bench(Leadership::Leader).await;
    bench.server.fault("PATCH", "/services/", FaultKind::Status(422, None), 1);
    bench.provisioner.need(needed(vec![object("v1", "Service", "taken", "u")]));
    bench
        .applied("refused", |applied| {
            applied.refused_services.contains("taken") && applied.faults.is_empty()
        })
        .await;
}

#[tokio::test]
async fn an_api_server_that_fails_is_asked_again() {
    let bench = bench(Leadership::Leader).await;
    bench.server.fault("PATCH", "/services/", FaultKind::Status(503, None), 2);
    bench
        .provisioner
        .need(needed(vec![object("v1", "Service", "sealway-edge", "u")]));
    bench.applied("a failure", |applied| !applied.faults.is_empty()).await;
    bench.applied("made", |applied| *applied == Applied::default()).await;
    assert!(bench.has(SERVICES, "sealway-edge"));
}

#[tokio::test]
async fn only_the_leader_makes_anything() {
    let bench = bench(Leadership::Follower(None)).await;
    bench
        .provisioner
        .need(needed(vec![object("v1", "Service", "sealway-edge", "u")]));
    bench.leadership.send_replace(Leadership::Leader);
    bench
        .server
        .until("made", |server| server.get(SERVICES, "infra", "sealway-edge").is_some())
        .await;
    let begun = bench.server.requests("PATCH").len();
    bench.leadership.send_replace(Leadership::Follower(None));
    bench.applied("settled", |applied| *applied == Applied::default()).await;
    bench.provisioner.need(needed(vec![object("v1", "Service", "another", "u")]));
    bench.leadership.send_replace(Leadership::Leader);
    bench
        .server
        .until("the other", |server| server.get(SERVICES, "infra", "another").is_some())
        .await;
    assert_eq!((begun, bench.server.requests("PATCH").len()), (1, 2));
}
