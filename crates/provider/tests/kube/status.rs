//! Writing statuses, and Events.

use std::sync::Arc;
use std::time::Duration;

use sealway_api::{
    Condition, ConditionStatus, ConditionType, GatewayClassStatus, Kind, ObjectRef, ParentRef, Reason, RouteParentStatus,
    RouteStatus, Statuses,
};
use sealway_core::{Cause, Problem};
use sealway_provider::kube::{EventSettings, Events, Leadership, Source, StatusWriter, WriterSettings};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::server::{FaultKind, Server};
use crate::source::{CLASSES, ROUTES, route, scope};

const OURS: &str = "ours";

fn accepted() -> Condition {
    Condition {
        kind: ConditionType::Accepted,
        status: ConditionStatus::True,
        reason: Reason::Accepted,
        message: "m".to_owned(),
        observed_generation: 1,
    }
}

fn wanted(names: &[&str]) -> Arc<Statuses> {
    let mut statuses = Statuses::default();
    for name in names {
        let parent = RouteParentStatus {
            parent_ref: ParentRef {
                group: "gateway.networking.k8s.io".to_owned(),
                kind: "Gateway".to_owned(),
                namespace: None,
                name: "edge".to_owned(),
                section_name: None,
                port: None,
            },
            controller_name: OURS.to_owned(),
            conditions: vec![accepted()],
        };
        let status = RouteStatus { parents: vec![parent] };
        statuses
            .routes
            .insert(ObjectRef::new(Kind::TlsRoute, "team", *name), Arc::new(status));
    }
    Arc::new(statuses)
}

struct Scene {
    server: Server,
    source: Source,
    writer: StatusWriter,
    leadership: watch::Sender<Leadership>,
}

async fn scene(server: Server, leadership: Leadership) -> Scene {
    let mut source = Source::start(server.client().await, scope());
    timeout(Duration::from_secs(20), source.loads())
        .await
        .expect("in time")
        .expect("a load");
    let (leadership, receiver) = watch::channel(leadership);
    let settings = WriterSettings {
        controller: OURS.to_owned(),
        features: vec!["TLSRoute".to_owned(), "Gateway".to_owned()],
        at_once: 4,
    };
    let writer = StatusWriter::start(server.client().await, source.stored(), receiver, settings);
    Scene {
        server,
        source,
        writer,
        leadership,
    }
}

fn controllers(server: &Server, name: &str) -> Vec<String> {
    let route = server.get(ROUTES, "team", name).unwrap_or_default();
    let parents = route["status"]["parents"].as_array().cloned().unwrap_or_default();
    parents
        .iter()
        .filter_map(|parent| parent["controllerName"].as_str().map(str::to_owned))
        .collect()
}

fn add_other(route: &mut Value) {
    route["status"] = json!({"parents": [{"parentRef": {"name": "x"}, "controllerName": "other", "conditions": []}]});
}

#[tokio::test]
async fn a_status_is_written_once_and_foreign_entries_stay() {
    let server = Server::start().await;
    let mut object = route("r", "h");
    add_other(&mut object);
    server.put(ROUTES, object);
    server.put(CLASSES, json!({"metadata": {"name": "c"}, "spec": {"controllerName": OURS}}));
    let scene = scene(server, Leadership::Leader).await;
    let mut statuses = (*wanted(&["r"])).clone();
    let class: GatewayClassStatus = serde_json::from_value(json!({"conditions": [accepted()]})).expect("a status");
    statuses.gateway_classes.insert("c".to_owned(), class);
    let statuses = Arc::new(statuses);
    scene.writer.want(Some(Arc::clone(&statuses)));
    scene
        .server
        .until("our entry", |server| controllers(server, "r") == ["other", OURS])
        .await;
    scene
        .server
        .until("the features", |server| {
            let class = server.get(CLASSES, "", "c").unwrap_or_default();
            class["status"]["supportedFeatures"] == json!([{"name": "Gateway"}, {"name": "TLSRoute"}])
        })
        .await;
    // The same again, and a change of something else: nothing to write.
    scene.writer.want(Some(statuses));
    let mut object = scene.server.get(ROUTES, "team", "r").expect("the route");
    object["metadata"]["labels"] = json!({"a": "b"});
    scene.server.put(ROUTES, object);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(scene.server.requests("/tlsroutes/r/status").len(), 1);
    assert!(scene.source.served().borrow().api_version(&Kind::TlsRoute).is_some());
}

#[tokio::test]
async fn a_conflict_is_merged_with_the_fresh_object() {
    let server = Server::start().await;
    server.put(ROUTES, route("r", "h"));
    server.fault("PUT", "/tlsroutes/r/status", FaultKind::Before(add_other), 1);
    let scene = scene(server, Leadership::Leader).await;
    scene.writer.want(Some(wanted(&["r"])));
    scene
        .server
        .until("both entries", |server| controllers(server, "r") == ["other", OURS])
        .await;
}

#[tokio::test]
async fn what_others_undo_is_written_again_and_what_is_stale_is_taken_away() {
    let server = Server::start().await;
    server.put(ROUTES, route("r", "h"));
    let scene = scene(server, Leadership::Leader).await;
    scene.writer.want(Some(wanted(&["r"])));
    scene
        .server
        .until("our entry", |server| controllers(server, "r") == [OURS])
        .await;
    let mut object = scene.server.get(ROUTES, "team", "r").expect("the route");
    add_other(&mut object);
    scene.server.put(ROUTES, object);
    scene
        .server
        .until("our entry again", |server| controllers(server, "r") == ["other", OURS])
        .await;
    scene.writer.want(Some(wanted(&[])));
    scene
        .server
        .until("no stale entry", |server| controllers(server, "r") == ["other"])
        .await;
}

#[tokio::test]
async fn only_the_leader_writes_and_a_new_one_writes_everything() {
    let server = Server::start().await;
    for name in ["one", "two"] {
        server.put(ROUTES, route(name, "h"));
    }
    let scene = scene(server, Leadership::Follower(None)).await;
    scene.writer.want(Some(wanted(&["one", "two"])));
    sleep(Duration::from_millis(300)).await;
    // What is to be said is looked at anew by who begins to lead.
    scene.writer.want(None);
    scene.leadership.send_replace(Leadership::Leader);
    sleep(Duration::from_millis(300)).await;
    assert!(scene.server.requests("/status").is_empty());
    scene.writer.want(Some(wanted(&["one", "two"])));
    for name in ["one", "two"] {
        scene.server.until("both", |server| controllers(server, name) == [OURS]).await;
    }
}

#[tokio::test]
async fn a_throttled_write_waits_as_it_is_told_and_others_go_on() {
    let server = Server::start().await;
    for name in ["slow", "quick"] {
        server.put(ROUTES, route(name, "h"));
    }
    server.fault("PUT", "/tlsroutes/slow/status", FaultKind::Status(429, Some(1)), 1);
    let scene = scene(server, Leadership::Leader).await;
    scene.writer.want(Some(wanted(&["slow", "quick"])));
    scene
        .server
        .until("the quick one", |server| controllers(server, "quick") == [OURS])
        .await;
    scene
        .server
        .until("the slow one", |server| controllers(server, "slow") == [OURS])
        .await;
    let attempts = scene.server.requests("/tlsroutes/slow/status");
    assert_eq!(attempts.len(), 2);
    assert!(attempts[1] - attempts[0] >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_full_list_is_a_problem_of_the_object_and_no_write() {
    let server = Server::start().await;
    let mut object = route("r", "h");
    let parents: Vec<Value> = (0..32)
        .map(|number| json!({"parentRef": {"name": format!("g{number}")}, "controllerName": "other", "conditions": []}))
        .collect();
    object["status"] = json!({"parents": parents});
    server.put(ROUTES, object);
    let scene = scene(server, Leadership::Leader).await;
    scene.writer.want(Some(wanted(&["r"])));
    let mut problems = scene.writer.problems();
    let found = timeout(Duration::from_secs(10), problems.wait_for(|problems| !problems.is_empty())).await;
    let found = found.expect("in time").expect("the writer runs").clone();
    assert_eq!(found[0].object, Some(ObjectRef::new(Kind::TlsRoute, "team", "r")));
    assert!(scene.server.requests("/status").is_empty());
}

#[tokio::test]
async fn a_problem_is_told_once_beside_its_object() {
    let server = Server::start().await;
    server.put(ROUTES, route("r", "h"));
    let scene = scene(server, Leadership::Leader).await;
    let events = Events::start(
        scene.server.client().await,
        scene.source.served(),
        scene.leadership.subscribe(),
        EventSettings {
            controller: OURS.to_owned(),
            instance: "pod".to_owned(),
        },
    );
    let problem = Problem::new(ObjectRef::new(Kind::TlsRoute, "team", "r"), "spec", Cause::SelectorMissing);
    let problems = Arc::new(vec![problem]);
    let all = |server: &Server| server.all("events.k8s.io/v1/events");
    events.tell(Arc::clone(&problems), Arc::default());
    scene.server.until("an Event", |server| all(server).len() == 1).await;
    let event = all(&scene.server).remove(0);
    assert_eq!(event["regarding"]["apiVersion"], "gateway.networking.k8s.io/v1");
    assert_eq!(
        (&event["metadata"]["namespace"], &event["type"]),
        (&json!("team"), &json!("Warning"))
    );
    events.tell(problems, Arc::default());
    sleep(Duration::from_millis(800)).await;
    assert_eq!(scene.server.requests("POST /apis/events.k8s.io").len(), 1);
}
