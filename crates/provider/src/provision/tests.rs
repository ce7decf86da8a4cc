use std::collections::BTreeMap;

use jiff::Timestamp;
use sealway_api::{AddressType, Gateway, GatewayAddress, ParametersReference};
use serde_json::{Value, json};

use super::{
    Identity, Installation, Parameters, ParametersFault, Present, SeenService, changes, provision, reached, wanted_services,
};

fn gateway(name: &str, addresses: &[(&str, &str, &str)]) -> Gateway {
    let mut gateway = Gateway::default();
    gateway.metadata.name = name.to_owned();
    gateway.metadata.namespace = Some("infra".to_owned());
    gateway.metadata.uid = Some("u1".to_owned());
    gateway.spec.gateway_class_name = "sealway".to_owned();
    let address = |&(kind, value, routability): &(&str, &str, &str)| GatewayAddress {
        kind: serde_json::from_value(json!(kind)).expect("a type"),
        value: value.to_owned(),
        routability: routability.to_owned(),
    };
    gateway.spec.addresses = addresses.iter().map(address).collect();
    gateway
}

fn objects(gateway: &Gateway) -> Vec<Value> {
    let installation = Installation {
        image: "sealway:1".to_owned(),
        version: "1.0.0+x".to_owned(),
        feed: vec!["10.0.0.1:15443".to_owned()],
        feed_ca: "PEM".to_owned(),
        rejections: "alert".to_owned(),
    };
    let ports = [(sealway_core::Transport::Tcp, 443), (sealway_core::Transport::Udp, 443)].into();
    provision(gateway, &Parameters::default(), &ports, &installation)
}

fn seen(created: &str, ingress: &[&str]) -> SeenService {
    SeenService::Present {
        created: created.parse().expect("a time"),
        ingress: ingress.iter().map(|&value| value.to_owned()).collect(),
        cluster_ips: vec!["10.96.0.7".to_owned()],
    }
}

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_name_fits_and_different_gateways_have_different_ones() {
    let long = "g".repeat(253);
    let names = ["a.b", "a-b", &long, &format!("{}h", "g".repeat(252))].map(|name| {
        let objects = objects(&gateway(name, &[]));
        for object in &objects {
            let name = object["metadata"]["name"].as_str().expect("a name");
            assert!(name.len() <= 63 && !name.contains('.'), "{name}");
            for (key, value) in object["metadata"]["labels"].as_object().expect("labels") {
                assert!(value.as_str().expect("text").len() <= 63, "{key}");
            }
        }
        Identity::of(&objects[0]).name
    });
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), 4, "{names:?}");
}

#[test]
fn a_label_of_the_user_cannot_redirect_the_service() {
    let mut gateway = gateway("g", &[]);
    let infrastructure = gateway.spec.infrastructure.get_or_insert_default();
    infrastructure
        .labels
        .insert(super::GATEWAY_NAME_LABEL.to_owned(), "other".to_owned());
    for object in objects(&gateway) {
        assert_eq!(object["metadata"]["labels"][super::GATEWAY_NAME_LABEL], "g");
    }
}

#[test]
fn proxies_hold_no_token_for_the_api_server() {
    let objects = objects(&gateway("g", &[]));
    let pod = objects
        .iter()
        .find_map(|object| object.pointer("/spec/template/spec"))
        .expect("a Deployment");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(
        pod.pointer("/volumes/1/projected/sources/0/serviceAccountToken/audience"),
        Some(&json!("sealway.dev/feed"))
    );
    assert_eq!(pod.pointer("/volumes/2/emptyDir/medium"), Some(&json!("Memory")));
}

#[test]
fn a_requested_address_is_awaited_ten_seconds() {
    let gateway = gateway("g", &[("IPAddress", "192.0.2.1", ""), ("IPAddress", "172.30.0.190", "")]);
    let wanted = wanted_services(&gateway, &Parameters::default());
    assert_eq!(wanted.len(), 2);
    let seen = |ip: &str| {
        if ip == "192.0.2.1" {
            seen("2026-01-01T00:00:00Z", &[])
        } else {
            seen("2026-01-01T00:00:00Z", &[ip])
        }
    };
    let services = wanted
        .iter()
        .map(|service| {
            (
                service.name.clone(),
                seen(&service.requested.as_ref().expect("a request").value),
            )
        })
        .collect();
    let early = reached(&wanted, &services, at("2026-01-01T00:00:09Z"));
    assert_eq!((early.unusable, early.wake_at), (None, Some(at("2026-01-01T00:00:10Z"))));
    let late = reached(&wanted, &services, at("2026-01-01T00:00:10Z"));
    assert_eq!(late.unusable.as_deref(), Some("192.0.2.1"));
    assert_eq!(late.addresses, vec![gateway.spec.addresses[1].clone()]);
    assert_eq!(late.wake_at, None);
}

#[test]
fn addresses_have_the_type_and_routability_that_they_are_of() {
    let gateway = gateway("g", &[("IPAddress", "", ""), ("IPAddress", "", "Cluster")]);
    let wanted = wanted_services(&gateway, &Parameters::default());
    let services = wanted
        .iter()
        .map(|service| (service.name.clone(), seen("2026-01-01T00:00:00Z", &["lb.example"])))
        .collect();
    let shown = reached(&wanted, &services, at("2026-01-01T01:00:00Z")).addresses;
    assert_eq!(shown.len(), 2);
    assert_eq!(
        (&shown[0].kind, &*shown[0].value, &*shown[0].routability),
        (&AddressType::Hostname, "lb.example", "")
    );
    assert_eq!(
        (&shown[1].kind, &*shown[1].value, &*shown[1].routability),
        (&AddressType::IpAddress, "10.96.0.7", "Cluster")
    );
}

#[test]
fn what_belongs_to_somebody_else_is_left_alone() {
    let wanted = objects(&gateway("g", &[]));
    let own = |kind: &str, name: &str, owner: Option<&str>| Present {
        identity: Identity {
            kind: kind.to_owned(),
            namespace: "infra".to_owned(),
            name: name.to_owned(),
        },
        owner: owner.map(str::to_owned),
        class: None,
        version: "1".to_owned(),
    };
    let present = [
        own("Service", "sealway-g", None),
        own("Service", "sealway-g-0a0a0a0a", Some("u1")),
        own("Service", "labelled", Some("u2")),
        own("Deployment", "sealway-g", Some("u1")),
    ];
    let count = wanted.len();
    let changes = changes(wanted, &present, "u1", "c");
    assert_eq!(changes.taken, vec![present[0].identity.clone()]);
    assert_eq!(changes.delete, vec![(present[1].identity.clone(), "1".to_owned())]);
    assert_eq!(changes.apply.len(), count - 1);
}

#[test]
fn a_gateways_parameters_win_over_its_classes() {
    let class = data(&[("replicas", "1"), ("serviceType", "ClusterIP")]);
    let read = Parameters::read(&class, &data(&[("replicas", "3")])).expect("parameters");
    assert_eq!((read.replicas, read.service_type), (3, super::ServiceType::ClusterIp));
}

#[test]
fn what_is_not_understood_is_named() {
    let refused = |key: &str, value: &str| {
        Parameters::read(&data(&[(key, value)]), &data(&[]))
            .expect_err("a fault")
            .to_string()
    };
    assert!(refused("replicsa", "2").starts_with("data.replicsa is not a parameter"));
    assert_eq!(
        refused("replicas", "0"),
        "data.replicas: \"0\" is not a number from 1 to 1000"
    );
    for (key, value) in [
        ("memoryLimit", "1.Gi"),
        ("cpuRequest", "m"),
        ("memoryLimit", "-1"),
        ("serviceType", "ExternalName"),
        ("image", "a b"),
        ("serviceAnnotations", "no colon"),
    ] {
        assert!(refused(key, value).starts_with(&format!("data.{key}: ")), "{key}");
    }
    assert_eq!(
        Parameters::read(&data(&[("minReplicas", "2")]), &data(&[])),
        Err(ParametersFault::Bounds)
    );
    let reference = ParametersReference {
        group: "invalid.io".to_owned(),
        kind: "Thing".to_owned(),
        ..Default::default()
    };
    assert!(matches!(Parameters::readable(&reference), Err(ParametersFault::Kind { .. })));
}
