//! How long a compilation takes with many ListenerSets: full, with one route changed, with one set changed, and with nothing changed.
//!
//! `cargo run --release -p sealway-core --example compile_sets`. Each figure is the least of several runs. `conflicts` are sets that all
//! claim the names of the first one; `selectors` are sets whose listeners ask for namespaces that nobody has labelled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealway_api::{Kind, ListenerSet, ObjectKey, Resource, Resources, Timestamp};
use sealway_core::{Compiler, Observed, Settings};
use serde_json::{Value, json};

const RUNS: usize = 10;

/// Sets, and routes of each of the two kinds.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    sets: usize,
    routes: usize,
    /// Whether each set has names of its own.
    apart: bool,
    /// Whom its listeners take routes from.
    from: &'static str,
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn main() {
    println!(
        "{:>12} {:>6} {:>7} {:>10} {:>10} {:>10} {:>10}",
        "", "sets", "routes", "first", "one route", "one set", "nothing"
    );
    let load = |name, sets, routes, apart, from| Load {
        name,
        sets,
        routes,
        apart,
        from,
    };
    for load in [
        load("sets", 10, 0, true, "All"),
        load("sets", 2_500, 0, true, "All"),
        load("conflicts", 2_500, 0, false, "All"),
        load("selectors", 2_500, 2_500, true, "Selector"),
        load("routes", 100, 5_000, true, "All"),
        load("routes", 2_500, 5_000, true, "All"),
    ] {
        let mut resources = resources(load);
        let observed = Observed::assumed(Timestamp::UNIX_EPOCH);
        let first = least(|_| {
            let mut compiler = Compiler::new(Settings::default());
            timed(|| compiler.compile(&resources, &observed))
        });
        let mut compiler = Compiler::new(Settings::default());
        compiler.compile(&resources, &observed);
        let nothing = least(|_| timed(|| compiler.compile(&resources, &observed)));
        let route = least(|turn| {
            change_route(&mut resources, turn);
            timed(|| compiler.compile(&resources, &observed))
        });
        let set = least(|turn| {
            change_set(&mut resources, turn);
            timed(|| compiler.compile(&resources, &observed))
        });
        let Load { name, sets, routes, .. } = load;
        let routes = routes * 2;
        println!("{name:>12} {sets:>6} {routes:>7} {first:>10.1?} {route:>10.1?} {set:>10.1?} {nothing:>10.1?}");
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    drop(result);
    took
}

fn least(mut run: impl FnMut(usize) -> Duration) -> Duration {
    (0..RUNS).map(&mut run).min().unwrap_or_default()
}

/// One Gateway; each set, in a namespace of its own, has an HTTP listener and a TLS listener; routes go round the sets.
fn resources(load: Load) -> Resources {
    let mut resources = Resources::default();
    let mut add = |object: Value| {
        let kind = Kind::from(object["kind"].as_str().unwrap_or_default());
        if let Some(Ok(resource)) = Resource::read(&kind, object) {
            resources.insert(resource);
        }
    };
    add(json!({"kind": "GatewayClass", "metadata": {"name": "sealway"}, "spec": {"controllerName": "x.test/y"}}));
    let own = json!({"name": "own", "port": 8443, "protocol": "TLS", "tls": {"mode": "Passthrough"}, "hostname": "*.test"});
    add(
        json!({"kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra"}, "spec": {"gatewayClassName": "sealway",
        "listeners": [own], "allowedListeners": {"namespaces": {"from": "All"}}}}),
    );
    for set in 0..load.sets {
        let namespace = format!("team{set}");
        let zone = if load.apart { set } else { 0 };
        let allowed = json!({"namespaces": {"from": load.from, "selector": {"matchLabels": {"nobody": "has"}}}});
        let hostname = format!("*.zone{zone}.test");
        let http = json!({"name": "http", "port": 8080, "protocol": "HTTP", "hostname": hostname, "allowedRoutes": allowed});
        let tls = json!({"name": "tls", "port": 8443, "protocol": "TLS", "tls": {"mode": "Passthrough"},
            "hostname": hostname, "allowedRoutes": allowed});
        add(
            json!({"kind": "ListenerSet", "metadata": {"name": "more", "namespace": namespace},
            "spec": {"parentRef": {"name": "edge", "namespace": "infra"}, "listeners": [http, tls]}}),
        );
        add(json!({"kind": "Service", "metadata": {"name": "app", "namespace": namespace}, "spec": {"ports": [{"port": 443}]}}));
        add(
            json!({"kind": "EndpointSlice", "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 8443}],
            "metadata": {"name": "app", "namespace": namespace, "labels": {"kubernetes.io/service-name": "app"}}}),
        );
    }
    for number in 0..load.routes {
        let set = number % load.sets;
        for (kind, section) in [("HTTPRoute", "http"), ("TLSRoute", "tls")] {
            add(
                json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"name": format!("route{number}"),
                "namespace": format!("team{set}")}, "spec": {"hostnames": [format!("a{number}.zone{set}.test")],
                "parentRefs": [{"kind": "ListenerSet", "name": "more", "sectionName": section}],
                "rules": [{"backendRefs": [{"name": "app", "port": 443}]}]}}),
            );
        }
    }
    resources
}

fn change_route(resources: &mut Resources, turn: usize) {
    let route = resources
        .tls_routes
        .get_mut(&ObjectKey::new("team1", "route1"))
        .map(Arc::make_mut);
    let mut rules = route.into_iter().flat_map(|route| &mut route.spec.rules);
    if let Some(reference) = rules.next().and_then(|rule| rule.backend_refs.first_mut()) {
        reference.weight = u32::try_from(turn).unwrap_or_default() + 2;
    }
}

fn change_set(resources: &mut Resources, turn: usize) {
    let set = resources
        .listener_sets
        .get_mut(&ObjectKey::new("team1", "more"))
        .map(Arc::make_mut);
    if let Some(listener) = set.and_then(|set: &mut ListenerSet| set.spec.listeners.first_mut()) {
        listener.hostname = Some(format!("*.changed{turn}.test"));
    }
}
