//! How long a compilation takes: full, with one route changed, with one endpoint changed, and with nothing changed; for TLSRoutes, for the
//! same over a hundred ListenerSets, for HTTPRoutes with a name each, and for HTTPRoutes that share ten names. Then how long it takes to
//! find a rule among so many.
//!
//! `cargo run --release -p sealway-core --example compile_scale [Connections|Sets|Names|Paths]`. Each figure is the least of several runs: other work on the machine can
//! only add to it. The gateway itself allocates with jemalloc, which is faster here than the system's allocator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use sealway_api::{Kind, ObjectKey, Resource, Resources, Timestamp};
use sealway_core::{
    Action, Compiled, Compiler, HelloFacts, HttpAction, NoTrace, Observed, RequestHead, ServerName, Settings, Transport,
};
use serde_json::json;

const SIZES: [usize; 3] = [10, 1_000, 10_000];
const RUNS: usize = 40;
/// Namespaces and Services that the routes share out among themselves.
const TENANTS: usize = 50;
/// ListenerSets, where there are any.
const SETS: usize = 100;

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn main() {
    println!(
        "{:>20} {:>7} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "", "routes", "first", "one route", "one endpoint", "nothing", "one lookup"
    );
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let cases = [Load::Connections, Load::Sets, Load::Names, Load::Paths];
    let is_wanted = |load: &Load| wanted.is_empty() || wanted.contains(&format!("{load:?}"));
    for (load, routes) in cases
        .into_iter()
        .filter(is_wanted)
        .flat_map(|load| SIZES.map(|routes| (load, routes)))
    {
        let resources = resources(load, routes);
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
            change_route(load, &mut changed, turn);
            timed(|| compiler.compile(&changed, &observed))
        });
        let endpoint = least(|| {
            turn += 1;
            change_endpoint(&mut changed, turn);
            timed(|| compiler.compile(&changed, &observed))
        });
        let nothing = least(|| timed(|| compiler.compile(&changed, &observed)));
        let lookup = least(|| lookups(load, routes, &compiler.compile(&changed, &observed)));
        let name = format!("{load:?}");
        println!("{name:>20} {routes:>7} {first:>12.2?} {route:>12.2?} {endpoint:>12.2?} {nothing:>12.2?} {lookup:>12.2?}");
    }
}

/// What the routes are made of.
#[derive(Clone, Copy, Debug)]
enum Load {
    /// TLSRoutes with two names each.
    Connections,
    /// The same, each at a ListenerSet's listener.
    Sets,
    /// HTTPRoutes with two names each.
    Names,
    /// HTTPRoutes with a path each, on ten names that they share.
    Paths,
}

/// The mean time of one lookup, for the last of the routes.
fn lookups(load: Load, routes: usize, compiled: &Compiled) -> Duration {
    const TIMES: u32 = 1_000;
    let Some(snapshot) = compiled.snapshots.values().next() else {
        return Duration::ZERO;
    };
    let last = routes - 1;
    let host = match load {
        Load::Connections | Load::Names => format!("a{last}.zone{}.test", last % 4),
        Load::Sets => format!("a{last}.zone{}.test", last % SETS),
        Load::Paths => format!("n{}.zone0.test", last % 10),
    };
    let path = format!("/api/{last}/items");
    let Some(plan) = snapshot.port(Transport::Tcp, 8443) else {
        return Duration::ZERO;
    };
    let hello = HelloFacts {
        server_name: ServerName::Name(&host),
        alpn: &[],
        source: SocketAddr::from(([192, 0, 2, 9], 40_000)),
    };
    let head = RequestHead {
        method: &Method::GET,
        host: Some(&host),
        path: &path,
        query: None,
        headers: &HeaderMap::new(),
    };
    let took = timed(|| {
        for _ in 0..TIMES {
            let found = match load {
                Load::Connections | Load::Sets => {
                    matches!(plan.connection(Some(&hello), &mut NoTrace), Action::Passthrough { .. })
                }
                Load::Names | Load::Paths => matches!(plan.request(None, &head, &mut NoTrace), HttpAction::Serve { .. }),
            };
            assert!(found, "no rule for {host}{path}");
        }
    });
    took / TIMES
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
fn resources(load: Load, routes: usize) -> Resources {
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
    let own = if matches!(load, Load::Sets) { 1 } else { 4 };
    let listeners: Vec<_> = (0..own)
        .map(|number| {
            let mut listener = json!({"name": format!("l{number}"), "port": 8443, "protocol": "HTTP",
                "hostname": format!("*.{}zone{number}.test", if own == 1 { "own" } else { "" }), "allowedRoutes": selector});
            if matches!(load, Load::Connections | Load::Sets) {
                listener["protocol"] = json!("TLS");
                listener["tls"] = json!({"mode": "Passthrough"});
            }
            listener
        })
        .collect();
    add(json!({"kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra"},
        "spec": {"gatewayClassName": "sealway", "listeners": listeners, "allowedListeners": {"namespaces": {"from": "Same"}}}}));
    for number in 0..SETS {
        if matches!(load, Load::Sets) {
            let listener = json!({"name": "tls", "port": 8443, "protocol": "TLS", "tls": {"mode": "Passthrough"},
                "hostname": format!("*.zone{number}.test"), "allowedRoutes": selector});
            add(
                json!({"kind": "ListenerSet", "metadata": {"name": format!("set{number}"), "namespace": "infra"},
                "spec": {"parentRef": {"name": "edge"}, "listeners": [listener]}}),
            );
        }
    }
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
        let zone = number % if matches!(load, Load::Sets) { SETS } else { 4 };
        let own = vec![format!("a{number}.zone{zone}.test"), format!("b{number}.zone{zone}.test")];
        let path = json!([{"path": {"type": "PathPrefix", "value": format!("/api/{number}")}}]);
        let (kind, hostnames, matches) = match load {
            Load::Connections | Load::Sets => ("TLSRoute", own, json!(null)),
            Load::Names => ("HTTPRoute", own, json!([{"path": {"type": "PathPrefix", "value": "/"}}])),
            Load::Paths => ("HTTPRoute", vec![format!("n{}.zone0.test", number % 10)], path),
        };
        let mut rule = json!({"backendRefs": [{"name": "blue", "port": 443, "weight": 9}, {"name": "green", "port": 443}]});
        let parent = match load {
            Load::Sets => json!({"kind": "ListenerSet", "name": format!("set{zone}"), "namespace": "infra"}),
            Load::Connections | Load::Names | Load::Paths => json!({"name": "edge", "namespace": "infra"}),
        };
        if !matches.is_null() {
            rule["matches"] = matches;
        }
        add(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
            "metadata": {"name": format!("route{number}"), "namespace": format!("tenant{}", number % TENANTS)},
            "spec": {"parentRefs": [parent], "hostnames": hostnames, "rules": [rule]}}));
    }
    resources
}

fn change_route(load: Load, resources: &mut Resources, turn: u32) {
    let key = ObjectKey::new("tenant1", "route1");
    let reference = match load {
        Load::Connections | Load::Sets => {
            let route = resources.tls_routes.get_mut(&key).map(Arc::make_mut);
            let mut rules = route.into_iter().flat_map(|route| &mut route.spec.rules);
            rules.next().and_then(|rule| rule.backend_refs.first_mut())
        }
        Load::Names | Load::Paths => {
            let route = resources.http_routes.get_mut(&key).map(Arc::make_mut);
            let mut rules = route.into_iter().flat_map(|route| &mut route.spec.rules);
            let rule = rules.next().and_then(|rule| rule.backend_refs.first_mut());
            rule.map(|reference| &mut reference.backend)
        }
    };
    if let Some(reference) = reference {
        reference.weight = turn;
    }
}

fn change_endpoint(resources: &mut Resources, turn: u32) {
    let slice = resources.endpoint_slices.get_mut(&ObjectKey::new("tenant1", "blue"));
    if let Some(endpoint) = slice.and_then(|slice| Arc::make_mut(slice).endpoints.first_mut()) {
        endpoint.addresses = vec![format!("10.1.0.{}", turn % 250)];
    }
}
