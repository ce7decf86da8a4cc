use sealway_api::{Resource, Resources};
use serde_json::{Value, json};

use super::*;
use crate::{Compiler, Observed, Settings};

fn read(documents: impl IntoIterator<Item = Value>) -> Resources {
    let mut resources = Resources::default();
    for document in documents {
        let kind = Kind::from(document["kind"].as_str().expect("kind"));
        let resource = Resource::read(&kind, document).expect("a kind that is read");
        resources.insert(resource.expect("an object"));
    }
    resources
}

#[test]
fn of_more_gateways_than_a_status_has_room_for_the_first_are_told() {
    let names: Vec<String> = (10..30).map(|number| format!("g{number}")).collect();
    let gateway = |name: &String| {
        let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
        json!({"kind": "Gateway", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"gatewayClassName": "c", "listeners": listeners, "addresses": [{"value": "127.0.0.1"}]}})
    };
    let parents: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
    let others = [
        json!({"kind": "GatewayClass", "metadata": {"name": "c"}, "spec": {"controllerName": "sealway.dev/gateway-controller"}}),
        json!({"kind": "HTTPRoute", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"parentRefs": parents, "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}}),
        json!({"kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}}),
        json!({"kind": "XBackendTrafficPolicy", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"targetRefs": [{"kind": "Service", "name": "web"}], "retryConstraint": {}}}),
    ];
    let resources = read(names.iter().map(gateway).chain(others));
    let mut compiler = Compiler::new(Settings::default());
    let compiled = compiler.compile(&resources, &Observed::assumed(sealway_api::Timestamp::UNIX_EPOCH));
    let status = &compiled.statuses.x_backend_traffic_policies[&ObjectKey::new("shop", "web")];
    let told = status.ancestors.iter().map(|ancestor| &ancestor.ancestor_ref.name);
    assert!(told.eq(names.iter().take(16)));
}
