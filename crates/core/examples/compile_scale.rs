//! How long a compilation takes: full, with one route changed, with one endpoint changed, and with nothing changed.
//!
//! `cargo run --release -p sealway-core --example compile_scale`. Each figure is the least of several runs: other work on the machine can
//! only add to it. The gateway itself allocates with jemalloc, which is faster here than the system's allocator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealway_api::{Kind, ObjectKey, Resource, Resources, Timestamp};
use sealway_core::{Compiler, Observed, Settings};
use serde_json::json;

const SIZES: [usize; 3] = [10, 1_000, 10_000];
const RUNS: usize = 40;
/// Namespaces and Services that the routes share out among themselves.
const TENANTS: usize = 50;

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn main() {
    println!(
        "{:>7} {:>12} {:>12} {:>12} {:>12}",
        "routes", "first", "one route", "one endpoint", "nothing"
    );
    for routes in SIZES {
        let resources = resources(routes);
        let observed = Observed::assumed(Timestamp::UNIX_EPOCH);
        let first = least(|| {
            let mut compiler = Compiler::new(Settings::default());
            timed(|| compiler.compile(&resources, &observed))
        });
        let mut compiler = Compiler::new(Settings::default());
        compiler.compile(&resources, &observed);
        let mut changed = resources.clone();
        let mut turn = 0;
        let route = least(|| {
            turn += 1;
            change_route(&mut changed, turn);
            timed(|| compiler.compile(&changed, &observed))
        });
        let endpoint = least(|| {
            turn += 1;
            change_endpoint(&mut changed, turn);
            timed(|| compiler.compile(&changed, &observed))
        });
        let nothing = least(|| timed(|| compiler.compile(&changed, &observed)));
        println!("{routes:>7} {first:>12.2?} {route:>12.2?} {endpoint:>12.2?} {nothing:>12.2?}");
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    drop(result);
    took
}

fn least(mut run: impl FnMut() -> Duration) -> Duration {
    (0..RUNS).map(|_| run()).min().unwrap_or_default()
}

/// One Gateway with four listeners; routes with two names and two backends each; three endpoints behind each Service.
fn resources(routes: usize) -> Resources {
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
    let selector = json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"tls": "true"}}}});
    let listeners: Vec<_> = (0..4)
        .map(|number| {
            json!({"name": format!("l{number}"), "port": 8443, "protocol": "TLS", "hostname": format!("*.zone{number}.test"),
                "tls": {"mode": "Passthrough"}, "allowedRoutes": selector})
        })
        .collect();
    add(json!({"kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra"},
        "spec": {"gatewayClassName": "sealway", "listeners": listeners}}));
    for tenant in 0..TENANTS {
        let namespace = format!("tenant{tenant}");
        add(json!({"kind": "Namespace", "metadata": {"name": namespace, "labels": {"tls": "true"}}}));
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
    for number in 0..routes {
        let zone = number % 4;
        add(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "TLSRoute",
            "metadata": {"name": format!("route{number}"), "namespace": format!("tenant{}", number % TENANTS)},
            "spec": {"parentRefs": [{"name": "edge", "namespace": "infra"}],
                "hostnames": [format!("a{number}.zone{zone}.test"), format!("b{number}.zone{zone}.test")],
                "rules": [{"backendRefs": [{"name": "blue", "port": 443, "weight": 9}, {"name": "green", "port": 443}]}]}}));
    }
    resources
}

fn change_route(resources: &mut Resources, turn: u32) {
    if let Some(route) = resources.tls_routes.get_mut(&ObjectKey::new("tenant1", "route1")) {
        let reference = Arc::make_mut(route)
            .spec
            .rules
            .iter_mut()
            .flat_map(|rule| &mut rule.backend_refs)
            .next();
        if let Some(reference) = reference {
            reference.weight = turn;
        }
    }
}

fn change_endpoint(resources: &mut Resources, turn: u32) {
    let slice = resources.endpoint_slices.get_mut(&ObjectKey::new("tenant1", "blue"));
    if let Some(endpoint) = slice.and_then(|slice| Arc::make_mut(slice).endpoints.first_mut()) {
        endpoint.addresses = vec![format!("10.1.0.{}", turn % 250)];
    }
}
