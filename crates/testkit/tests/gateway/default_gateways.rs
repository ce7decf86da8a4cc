//! Default Gateways (GEP-3793): a route that names none is served by each, as long as each is one.

use sealway_api::{ConditionType, Kind, ObjectRef};
use sealway_testkit::LOOPBACK;
use sealway_testkit::backends::Http;
use sealway_testkit::gateway::{Setup, TestGateway};

use crate::requests::status;

/// A Gateway for each name, scope and port, and a route that asks for default ones.
fn manifests(gateways: &[(&str, &str, u16)]) -> String {
    let mut yaml = "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sealway}
spec: {controllerName: sealway.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec:
  useDefaultGateways: All
  rules:
    - backendRefs: [{name: web, port: 80}]
"
    .to_owned();
    for (name, scope, port) in gateways {
        yaml += &format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  \
             gatewayClassName: sealway\n  defaultScope: {scope}\n  listeners: [{{name: http, port: {port}, protocol: HTTP}}]\n"
        );
    }
    yaml
}

/// The Gateways that have the route, by its status.
fn parents(gateway: &TestGateway) -> Vec<String> {
    let route = ObjectRef::new(Kind::HttpRoute, "default", "web");
    let status = gateway.statuses().routes.get(&route);
    let parents = status.into_iter().flat_map(|status| &status.parents);
    parents.map(|parent| parent.parent_ref.name.clone()).collect()
}

/// The Gateways that say that they are default ones.
fn defaults(gateway: &TestGateway) -> Vec<String> {
    let is_default = |kind: &ConditionType| *kind == ConditionType::DefaultGateway;
    let gateways = gateway.statuses().gateways.iter();
    let defaults = gateways.filter(|(_, status)| status.conditions.iter().any(|condition| is_default(&condition.kind)));
    defaults.map(|(key, _)| key.name.clone()).collect()
}

#[tokio::test]
async fn a_route_follows_the_default_gateways() {
    let backend = Http { name: "web" }.start(LOOPBACK).await.expect("backend");
    let setup = Setup::default().endpoint("default/web", 80, backend.address());
    let mut gateway = setup
        .start(&manifests(&[("old", "All", 8080), ("plain", "None", 8082)]))
        .await;
    assert_eq!(parents(&gateway), ["old"]);
    assert_eq!(defaults(&gateway), ["old"]);
    assert_eq!(status(&gateway, 8080).await, "200");
    assert_eq!(status(&gateway, 8082).await, "404");

    // Another one is tried beside it, and takes over.
    gateway.apply(&manifests(&[("new", "All", 8081), ("old", "All", 8080)])).await;
    assert_eq!(parents(&gateway), ["new", "old"]);
    assert_eq!(status(&gateway, 8080).await, "200");
    assert_eq!(status(&gateway, 8081).await, "200");

    gateway
        .apply(&manifests(&[("new", "All", 8081), ("old", "None", 8080)]))
        .await;
    assert_eq!(parents(&gateway), ["new"]);
    assert_eq!(defaults(&gateway), ["new"]);
    assert_eq!(status(&gateway, 8080).await, "404");
    assert_eq!(status(&gateway, 8081).await, "200");

    gateway
        .apply(&manifests(&[("new", "None", 8081), ("old", "None", 8080)]))
        .await;
    assert!(parents(&gateway).is_empty() && defaults(&gateway).is_empty());
    assert_eq!(status(&gateway, 8081).await, "404");
}
