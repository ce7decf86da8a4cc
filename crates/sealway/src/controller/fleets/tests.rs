use std::collections::BTreeSet;

use sealway_api::Resource;
use sealway_core::{BindFailure, SocketKey, Transport};
use sealway_feed::{Content, ProxyState, RefusedDelta, Report};
use sealway_provider::kube::Applied;
use serde_json::{Value, json};

use super::*;

const CONTROLLER: &str = "sealway.dev/gateway-controller";

fn resources(objects: Vec<Value>) -> Resources {
    let mut resources = Resources::default();
    for object in objects {
        let kind = object["kind"].as_str().expect("a kind").into();
        let resource = Resource::read(&kind, object).expect("a kind that is read");
        resources.insert(resource.expect("reads"));
    }
    resources
}

fn cluster(class_parameters: &Value, service_status: &Value) -> Resources {
    resources(vec![
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": { "name": "sealway" },
            "spec": { "controllerName": CONTROLLER, "parametersRef": {
                "group": "", "kind": "ConfigMap", "namespace": "infra", "name": "defaults",
            } },
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "defaults", "namespace": "infra" },
            "data": class_parameters,
        }),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": { "name": "edge", "namespace": "infra", "uid": "u" },
            "spec": { "gatewayClassName": "sealway", "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }] },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "sealway-edge", "namespace": "infra", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "clusterIPs": ["10.96.0.9"] }, "status": service_status,
        }),
    ])
}

fn seen<'a>(applied: &'a AppliedByGateway, proxies: &'a Proxies) -> Seen<'a> {
    Seen {
        applied,
        proxies,
        now: Timestamp::UNIX_EPOCH,
    }
}

fn edge() -> ObjectKey {
    ObjectKey::new("infra", "edge")
}

#[test]
fn a_gateway_has_the_addresses_that_its_service_was_given() {
    let with = cluster(
        &json!({}),
        &json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }, { "hostname": "lb.example.com" }] } }),
    );
    let (applied, proxies) = (AppliedByGateway::new(), Proxies::new());
    let fleets = observe(&with, CONTROLLER, seen(&applied, &proxies));
    let addresses = &fleets.fleets[&edge()].addresses;
    let values: Vec<&str> = addresses.iter().map(|address| &*address.value).collect();
    assert_eq!(values, ["192.0.2.7", "lb.example.com"]);
    let without = cluster(&json!({}), &json!({}));
    let fleets = observe(&without, CONTROLLER, seen(&applied, &proxies));
    assert_eq!(fleets.fleets[&edge()], Fleet::default());
    assert!(
        observe(&without, "somebody.else/controller", seen(&applied, &proxies))
            .fleets
            .is_empty()
    );
}

#[test]
fn a_cluster_address_is_had_from_a_cluster_service() {
    let with = cluster(&json!({ "serviceType": "ClusterIP" }), &json!({}));
    let (applied, proxies) = (AppliedByGateway::new(), Proxies::new());
    let fleets = observe(&with, CONTROLLER, seen(&applied, &proxies));
    assert_eq!(fleets.fleets[&edge()].addresses[0].value, "10.96.0.9");
    let refused = Applied {
        refused_services: BTreeSet::from(["sealway-edge".to_owned()]),
        faults: Vec::new(),
    };
    let applied = AppliedByGateway::from([(edge(), refused)]);
    let fleets = observe(&with, CONTROLLER, seen(&applied, &proxies));
    assert_eq!(
        fleets.fleets[&edge()].addresses,
        [],
        "what the API server refused is not there"
    );
}

#[test]
fn parameters_that_mean_nothing_are_the_class_fault_and_no_gateway_is_looked_at() {
    let with = cluster(&json!({ "replicas": "many" }), &json!({}));
    let (applied, proxies) = (AppliedByGateway::new(), Proxies::new());
    let fleets = observe(&with, CONTROLLER, seen(&applied, &proxies));
    let class = ObjectRef::new(Kind::GatewayClass, "", "sealway");
    assert_eq!(fleets.faults.keys().collect::<Vec<_>>(), [&class]);
    assert!(fleets.faults[&class].contains("replicas"), "{}", fleets.faults[&class]);
    assert!(fleets.parameters.is_empty());
}

fn proxy(content: Option<Content>, draining: bool, silent: bool) -> ProxyState {
    let socket = SocketKey {
        transport: Transport::Tcp,
        address: ([0, 0, 0, 0], 80).into(),
    };
    ProxyState {
        connected_since: Timestamp::UNIX_EPOCH,
        version: String::new(),
        acknowledged: content.map(|routing| Acknowledged {
            revision: 1,
            content: self::content('f'),
            routing,
        }),
        refused: None,
        silent_since: silent.then_some(Timestamp::UNIX_EPOCH),
        report: Report {
            ports: vec![(socket, PortState::Failed(BindFailure::InUse))],
            backend_tls: Vec::new(),
            draining,
        },
    }
}

fn content(digit: char) -> Content {
    let text = digit.to_string().repeat(64);
    serde_json::from_value(text.into()).expect("a digest")
}

fn proxies(each: Vec<ProxyState>) -> Proxies {
    let pods = each
        .into_iter()
        .enumerate()
        .map(|(number, state)| (format!("p{number}"), state));
    Proxies::from([(edge(), pods.collect())])
}

#[test]
fn a_port_that_a_proxy_cannot_open_is_the_gateways_unless_the_proxy_is_gone_or_going() {
    let cluster = cluster(&json!({}), &json!({}));
    let applied = AppliedByGateway::new();
    let failed = |proxies: Proxies| {
        observe(&cluster, CONTROLLER, seen(&applied, &proxies)).fleets[&edge()]
            .failed
            .len()
    };
    assert_eq!(failed(proxies(vec![proxy(None, false, false)])), 1);
    assert_eq!(failed(proxies(vec![proxy(None, true, false), proxy(None, false, true)])), 0);
}

#[test]
fn who_is_silent_for_ten_seconds_who_refuses_and_what_cannot_be_made_is_told() {
    let cluster = cluster(&json!({}), &json!({}));
    let fault = Applied {
        refused_services: BTreeSet::new(),
        faults: vec!["Deployment sealway-edge: forbidden".to_owned()],
    };
    let refused = ProxyState {
        refused: Some(RefusedDelta {
            revision: 2,
            reason: "part `head` cannot be read".to_owned(),
        }),
        ..proxy(None, false, false)
    };
    let (none, proxies) = (AppliedByGateway::new(), proxies(vec![proxy(None, false, true), refused]));
    let at = |second| Timestamp::from_second(second).expect("in range");
    let told = |applied, second| {
        let now = at(second);
        let proxies = &proxies;
        let fleets = observe(&cluster, CONTROLLER, Seen { applied, proxies, now });
        let codes: Vec<&str> = fleets.problems.iter().map(|problem| problem.cause.code()).collect();
        (codes.join(" "), fleets.wake_at)
    };
    assert_eq!(told(&none, 9), ("proxy-refuses".to_owned(), Some(at(10))));
    assert_eq!(told(&none, 10), ("proxy-silent proxy-refuses".to_owned(), None));
    let applied = AppliedByGateway::from([(edge(), fault)]);
    assert_eq!(told(&applied, 10).0, "objects-not-applied proxy-silent proxy-refuses");
}

#[test]
fn faults_of_backends_are_looked_at_once_a_second_at_most() {
    let at = |millisecond| Timestamp::from_millisecond(millisecond).expect("in range");
    let peer = BackendPeer {
        service: ObjectKey::new("apps", "app"),
        port: 443,
        identity: None,
    };
    let failing = ProxyState {
        report: Report {
            backend_tls: vec![(peer, BackendTlsFault::Expired)],
            ..Report::default()
        },
        ..proxy(None, false, false)
    };
    let (good, bad) = (proxies(vec![proxy(None, false, false)]), proxies(vec![failing]));
    let mut faults = BackendFaults::default();
    assert_eq!((faults.look(&bad, at(5_000)), faults.known.len()), (None, 1));
    assert_eq!((faults.look(&good, at(5_100)), faults.known.len()), (Some(at(6_000)), 1));
    assert_eq!(faults.look(&bad, at(5_200)), None, "as it is known");
    assert_eq!((faults.look(&good, at(6_000)), faults.known.len()), (None, 0));
    assert_eq!(
        (faults.look(&bad, at(3_000)), faults.known.len()),
        (None, 1),
        "the clock was set back"
    );
}

#[test]
fn a_gateway_is_served_when_every_proxy_that_stays_obeys_and_there_is_one() {
    let (old, new) = (content('0'), content('1'));
    let published = BTreeMap::from([(
        edge(),
        Acknowledged {
            revision: 9,
            content: content('e'),
            routing: new,
        },
    )]);
    let served = |each| is_served(&edge(), &proxies(each), &published);
    assert!(served(vec![proxy(Some(new), false, false)]));
    assert!(!served(vec![proxy(Some(new), false, false), proxy(Some(old), false, false)]));
    assert!(!served(vec![proxy(Some(new), false, false), proxy(None, false, false)]));
    assert!(served(vec![
        proxy(Some(new), false, false),
        proxy(Some(old), false, true),
        proxy(None, true, false)
    ]));
    assert!(!served(vec![proxy(Some(new), false, true)]), "nobody is connected");
    assert!(!served(Vec::new()));
    assert!(!is_served(
        &ObjectKey::new("infra", "other"),
        &proxies(Vec::new()),
        &published
    ));
}
