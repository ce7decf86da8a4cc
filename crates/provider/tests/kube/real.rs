//! The same against a real API server with the Gateway API's CRDs, when there is one:
//! `SEALWAY_TEST_KUBECONFIG=FILE cargo test -p sealway-provider --test kube real -- --ignored --nocapture`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealway_api::{
    Condition, ConditionStatus, ConditionType, GatewayStatus, Kind, ListenerStatus, ObjectKey, ObjectRef, Reason, Resources,
    RouteParentStatus, RouteStatus, Statuses,
};
use sealway_core::{Cause, Problem};
use sealway_provider::kube::{
    Client, Election, ElectionSettings, EventSettings, Events, Leadership, LeaseTiming, Source, StatusWriter, WriterSettings,
    client,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::source::scope;

const NAMESPACE: &str = "sealway-test";
const GATEWAY_API: &str = "/apis/gateway.networking.k8s.io/v1";

async fn send(client: &Client, method: &str, path: &str, body: Option<Value>) -> Result<Value, kube::Error> {
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json");
    client.request(request.body(body).expect("a request")).await
}

fn condition(kind: ConditionType) -> Condition {
    Condition {
        kind,
        status: ConditionStatus::True,
        reason: Reason::Accepted,
        message: String::new(),
        observed_generation: 1,
    }
}

fn route(name: &str) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "TLSRoute", "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {"hostnames": [format!("{name}.example.com")], "parentRefs": [{"name": "edge"}],
            "rules": [{"backendRefs": [{"name": "s", "port": 443}]}]}})
}

async fn until(client: &Client, path: String, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let waited = timeout(Duration::from_secs(20), async {
        loop {
            let found = send(client, "GET", &path, None).await.unwrap_or_default();
            if holds(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"))
}

#[tokio::test]
#[ignore = "needs a real API server"]
async fn everything_against_a_real_api_server() {
    let path = PathBuf::from(std::env::var_os("SEALWAY_TEST_KUBECONFIG").expect("SEALWAY_TEST_KUBECONFIG"));
    let client = client(Some(&path)).await.expect("a client");
    let namespaced = format!("{GATEWAY_API}/namespaces/{NAMESPACE}");
    let objects = [
        ("/api/v1/namespaces".to_owned(), json!({"metadata": {"name": NAMESPACE}})),
        (
            format!("/api/v1/namespaces/{NAMESPACE}/secrets"),
            json!({"metadata": {"name": "edge"}, "data": {"tls.key": "b25l"}}),
        ),
        (
            format!("{GATEWAY_API}/gatewayclasses"),
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "sealway-test"},
                "spec": {"controllerName": "sealway.dev/test"}}),
        ),
        (
            format!("{namespaced}/gateways"),
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge"}, "spec": {
                "gatewayClassName": "sealway-test", "listeners": [{"name": "a", "port": 443, "protocol": "HTTPS",
                    "tls": {"certificateRefs": [{"name": "edge"}]}}]}}),
        ),
        (format!("{namespaced}/tlsroutes"), route("r")),
    ];
    for (path, object) in objects {
        send(&client, "POST", &path, Some(object)).await.expect("created");
    }
    let begun = Instant::now();
    let mut source = Source::start(
        client.clone(),
        sealway_provider::kube::Scope {
            controller: "sealway.dev/test".to_owned(),
            ..scope()
        },
    );
    let mut loads = timeout(Duration::from_secs(30), source.loads())
        .await
        .expect("in time")
        .expect("a load");
    let first = loads.borrow_and_update().clone();
    println!(
        "first load after {:?}: {} objects",
        begun.elapsed(),
        first.resources.iter().count()
    );
    println!("absent: {:?}", source.served().borrow().absent().collect::<Vec<_>>());
    assert!(first.problems.is_empty(), "{:?}", first.problems);
    assert!(first.resources.secrets.contains_key(&ObjectKey::new(NAMESPACE, "edge")));

    let election = Election::start(
        client.clone(),
        ElectionSettings {
            namespace: NAMESPACE.to_owned(),
            name: "sealway-controller".to_owned(),
            identity: "one".to_owned(),
            feed_address: Some("127.0.0.1:15443".to_owned()),
            timing: LeaseTiming::default(),
        },
    );
    let mut leadership = election.leadership();
    let leads = timeout(Duration::from_secs(10), leadership.wait_for(|now| *now == Leadership::Leader)).await;
    leads.expect("in time").expect("the candidate runs");

    let settings = WriterSettings {
        controller: "sealway.dev/test".to_owned(),
        features: vec!["TLSRoute".to_owned(), "Gateway".to_owned()],
        at_once: 8,
    };
    let writer = StatusWriter::start(client.clone(), source.stored(), election.leadership(), settings);
    let events = Events::start(
        client.clone(),
        source.served(),
        election.leadership(),
        EventSettings {
            controller: "sealway.dev/test".to_owned(),
            instance: "one".to_owned(),
        },
    );
    writer.want(Some(Arc::new(statuses(&first.resources))));
    let class = until(
        &client,
        format!("{GATEWAY_API}/gatewayclasses/sealway-test"),
        "the class",
        |class| class["status"]["conditions"][0]["status"] == "True",
    );
    println!("GatewayClass status: {}", class.await["status"]);
    let gateway = until(&client, format!("{namespaced}/gateways/edge"), "the Gateway", |gateway| {
        gateway["status"]["listeners"][0]["conditions"][0]["status"] == "True"
    });
    println!("Gateway status: {}", gateway.await["status"]);
    let written = until(&client, format!("{namespaced}/tlsroutes/r"), "the route", |route| {
        route["status"]["parents"][0]["controllerName"] == "sealway.dev/test"
    });
    let written = written.await;
    println!("TLSRoute status: {}", written["status"]);

    // Settled: nothing is written again.
    writer.want(Some(Arc::new(statuses(&loads.borrow().resources))));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = send(&client, "GET", &format!("{namespaced}/tlsroutes/r"), None)
        .await
        .expect("the route");
    assert_eq!(again["metadata"]["resourceVersion"], written["metadata"]["resourceVersion"]);

    let problem = Problem::new(ObjectRef::new(Kind::TlsRoute, NAMESPACE, "r"), "spec", Cause::SelectorMissing);
    events.tell(Arc::new(vec![problem]), Arc::clone(&loads.borrow().resources));
    let told = until(
        &client,
        format!("/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"),
        "an Event",
        |list| list["items"].as_array().is_some_and(|items| !items.is_empty()),
    );
    println!("Event: {}", told.await["items"][0]["note"]);

    let mut waits = Vec::new();
    for number in 0..300 {
        let name = format!("s{number}");
        let begun = Instant::now();
        send(&client, "POST", &format!("{namespaced}/tlsroutes"), Some(route(&name)))
            .await
            .expect("created");
        let answered = begun.elapsed();
        let reference = ObjectRef::new(Kind::TlsRoute, NAMESPACE, &name);
        let waited = timeout(
            Duration::from_secs(10),
            loads.wait_for(|loaded| loaded.resources.contains(&reference)),
        )
        .await;
        waited.expect("in time").expect("the source runs");
        waits.push((begun.elapsed(), answered));
    }
    waits.sort();
    println!(
        "from write begun to load (of that, the API server's answer): p50 {:?}, p99 {:?}",
        waits[150], waits[297]
    );
    election.release().await;
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/sealway-controller");
    let lease = send(&client, "GET", &path, None).await.expect("the Lease");
    println!("Lease: {} {}", lease["spec"], lease["metadata"]["annotations"]);
    assert!(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().is_empty());
}

fn statuses(resources: &Resources) -> Statuses {
    let mut statuses = Statuses::default();
    let class = json!({"conditions": [condition(ConditionType::Accepted)]});
    statuses
        .gateway_classes
        .insert("sealway-test".to_owned(), serde_json::from_value(class).expect("a status"));
    let listener = ListenerStatus {
        name: "a".to_owned(),
        conditions: vec![condition(ConditionType::Accepted)],
        ..ListenerStatus::default()
    };
    let gateway = GatewayStatus {
        conditions: vec![condition(ConditionType::Accepted), condition(ConditionType::Programmed)],
        listeners: vec![listener],
        ..GatewayStatus::default()
    };
    statuses.gateways.insert(ObjectKey::new(NAMESPACE, "edge"), gateway);
    for (key, route) in &resources.tls_routes {
        let parents = route.spec.parent_refs.iter().map(|parent| RouteParentStatus {
            parent_ref: parent.clone(),
            controller_name: "sealway.dev/test".to_owned(),
            conditions: vec![condition(ConditionType::Accepted)],
        });
        let status = RouteStatus {
            parents: parents.collect(),
        };
        statuses.routes.insert(ObjectRef::of(Kind::TlsRoute, key), Arc::new(status));
    }
    statuses
}
