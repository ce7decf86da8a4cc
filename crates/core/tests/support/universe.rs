//! Resources made of few names, so that they meet: the same ports, hostnames, namespaces and backends again and again.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option::{self, of};
use proptest::prelude::*;
use proptest::sample::select;
use sealway_api::{Kind, Resource, Resources, edit_each};
use sealway_core::{Observed, Settings};
use serde_json::{Value, json};

#[path = "requests.rs"]
pub(crate) mod requests;
#[path = "secured.rs"]
mod secured;
#[path = "surroundings.rs"]
mod surroundings;

use surroundings::{observed, settings};

/// Everything that a compilation depends on.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) resources: Resources,
    pub(crate) settings: Settings,
    pub(crate) observed: Observed,
}

/// Stands in every Secret's key.
pub(crate) const KEY_MARKER: &str = "MARKER-OF-A-PRIVATE-KEY";
pub(crate) const PORTS: [u16; 3] = [443, 8443, 60_000];
const HOSTNAMES: [&str; 7] = [
    "*.com",
    "example.com",
    "*.example.com",
    "a.example.com",
    "*.a.example.com",
    "b.a.example.com",
    "other.test",
];
const NAMESPACES: [&str; 3] = ["infra", "apps", "back"];
const GATEWAYS: [&str; 3] = ["east", "north", "west"];
const SERVICES: [&str; 3] = ["app", "db", "far"];

pub(crate) fn input() -> impl Strategy<Value = Input> {
    (resources(), settings(), observed()).prop_map(|(resources, settings, observed)| Input {
        resources,
        settings,
        observed,
    })
}

/// The same with all ListenerSets on one Gateway, which takes them, so that they really compete.
pub(crate) fn merged() -> impl Strategy<Value = Input> {
    input().prop_map(|mut input| {
        let Some(key) = input.resources.gateways.keys().next().cloned() else {
            return input;
        };
        let gateway = input.resources.gateways.get_mut(&key).map(Arc::make_mut).expect("its key");
        gateway.spec.allowed_listeners = serde_json::from_value(json!({"namespaces": {"from": "All"}})).expect("a rule");
        edit_each(&mut input.resources.listener_sets, |_, set| {
            set.spec.parent_ref.kind = None;
            set.spec.parent_ref.name.clone_from(&key.name);
            set.spec.parent_ref.namespace = Some(key.namespace.clone());
        });
        input
    })
}

/// Any resources, valid or not.
pub(crate) fn resources() -> impl Strategy<Value = Resources> {
    let parts = (
        (vec(gateway(), 1..4), vec(listener_set(), 0..9)),
        vec(route("TLSRoute"), 0..7),
        (
            vec(route("HTTPRoute"), 0..5),
            vec(route("GRPCRoute"), 0..3),
            vec(route("TCPRoute"), 0..3),
            vec(route("UDPRoute"), 0..4),
        ),
        vec(service(), 0..5),
        vec(endpoint_slice(), 0..5),
        vec(grant(), 0..4),
        vec(namespace(), 0..3),
        (
            vec(secured::secret(), 1..8),
            vec(secured::config_map(), 0..3),
            vec(secured::policy(), 0..4),
            vec(requests::traffic_policy(), 0..4),
            vec(secured::telemetry(), 0..3),
        ),
        select(vec!["sealway.dev/gateway-controller", "example.com/other"]),
    );
    parts.prop_map(
        |(
            (gateways, sets),
            routes,
            (http_routes, grpc_routes, tcp_routes, udp_routes),
            services,
            slices,
            grants,
            namespaces,
            secured,
            controller,
        )| {
            let (secrets, config_maps, policies, traffic, telemetry) = secured;
            let class = json!({"kind": "GatewayClass", "metadata": {"name": "sealway"}, "spec": {"controllerName": controller}});
            read(
                [
                    gateways,
                    sets,
                    routes,
                    http_routes,
                    grpc_routes,
                    tcp_routes,
                    udp_routes,
                    services,
                    slices,
                    grants,
                    namespaces,
                    secrets,
                    config_maps,
                    policies,
                    traffic,
                    telemetry,
                ]
                .concat()
                .into_iter()
                .chain([class]),
            )
        },
    )
}

/// Many routes for requests on few names of one Gateway, so that rules really compete.
pub(crate) fn crowded() -> impl Strategy<Value = Input> {
    let hostname = || of(select(vec!["*.example.com", "a.example.com"]));
    let listeners = vec(hostname(), 1..3).prop_map(|hostnames| {
        let listeners = hostnames.into_iter().enumerate().map(|(position, hostname)| {
            json!({"name": format!("l{position}"), "port": 443, "protocol": "HTTP", "hostname": hostname,
                "allowedRoutes": {"namespaces": {"from": "All"}}})
        });
        let spec = json!({"gatewayClassName": "sealway", "listeners": listeners.collect::<Vec<_>>()});
        json!({"kind": "Gateway", "metadata": {"name": "west", "namespace": "infra"}, "spec": spec})
    });
    let route = |kind: &'static str, rules: BoxedStrategy<Value>| {
        let names: &'static [&'static str] = &["r0", "r1", "r2", "r3"];
        (metadata(names), vec(hostname(), 0..3), vec(rules, 1..4)).prop_map(move |(metadata, hostnames, rules)| {
            let parents = json!([{"name": "west", "namespace": "infra"}]);
            let hostnames: Vec<_> = hostnames.into_iter().flatten().collect();
            json!({"kind": kind, "apiVersion": "v1", "metadata": metadata,
                "spec": {"parentRefs": parents, "hostnames": hostnames, "rules": rules}})
        })
    };
    let backend = || Just(json!({"name": "app", "port": 443})).boxed();
    let http = vec(route("HTTPRoute", requests::http_rule(backend()).boxed()), 0..7);
    let grpc = vec(route("GRPCRoute", requests::grpc_rule(backend()).boxed()), 0..4);
    (listeners, http, prop_oneof![2 => Just(Vec::new()), 1 => grpc]).prop_map(|(gateway, http, grpc)| {
        let class = json!({"kind": "GatewayClass", "metadata": {"name": "sealway"}, "spec": {"controllerName": "x.test/y"}});
        let backends = NAMESPACES.iter().flat_map(|namespace| {
            let service = json!({"name": "app", "namespace": namespace});
            let slice = json!({"name": "app-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": "app"}});
            [
                json!({"kind": "Service", "metadata": service, "spec": {"ports": [{"port": 443}]}}),
                json!({"kind": "EndpointSlice", "metadata": slice, "addressType": "IPv4", "ports": [{"port": 8443}],
                    "endpoints": [{"addresses": ["10.0.0.1"]}]}),
            ]
        });
        Input {
            resources: read([http, grpc, vec![gateway, class], backends.collect()].concat()),
            settings: Settings::default(),
            observed: Observed::assumed(jiff::Timestamp::UNIX_EPOCH),
        }
    })
}

fn read(documents: impl IntoIterator<Item = Value>) -> Resources {
    let mut resources = Resources::default();
    for document in documents {
        let kind = Kind::from(document["kind"].as_str().expect("kind"));
        let resource = Resource::read(&kind, document.clone()).expect("a kind that is read");
        resources.insert(resource.unwrap_or_else(|error| panic!("{error}: {document}")));
    }
    resources
}

fn metadata(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    (select(names), select(&NAMESPACES[..]), of(0..3_u8), 0..4_i64).prop_map(|(name, namespace, second, generation)| {
        let mut metadata = json!({"name": name, "namespace": namespace, "generation": generation});
        if let Some(second) = second {
            metadata["creationTimestamp"] = json!(format!("2026-01-01T00:00:0{second}Z"));
        }
        metadata
    })
}

fn gateway() -> impl Strategy<Value = Value> {
    let addresses = option::weighted(
        0.3,
        select(vec![
            json!([{"value": "127.0.0.1"}]),
            json!([{"value": "127.0.0.2"}, {"value": "::1"}]),
            json!([{"value": "0.0.0.0"}]),
            json!([{"value": "::"}]),
            json!([{"type": "IPAddress"}]),
            json!([{"type": "Hostname", "value": "a.example.com"}]),
            json!([{"value": "nonsense"}]),
        ]),
    );
    let class = prop_oneof![9 => Just("sealway"), 1 => Just("missing")];
    let parameters = option::weighted(0.1, Just(json!({"parametersRef": {"group": "x", "kind": "Y", "name": "z"}})));
    let proxies = option::weighted(0.2, select(vec!["10.0.0.0/8", "nonsense"]));
    (
        metadata(&GATEWAYS),
        class,
        vec(listener(), 1..6),
        addresses,
        parameters,
        proxies,
        option::weighted(0.3, secured::gateway()),
        (option::weighted(0.8, allowed_listeners()), default_scope()),
    )
        .prop_map(
            |(mut metadata, class, mut listeners, addresses, parameters, proxies, tls, (sets, scope))| {
                for (position, listener) in listeners.iter_mut().enumerate() {
                    listener["name"] = json!(format!("l{position}"));
                }
                if let Some(proxies) = proxies {
                    metadata["annotations"] = json!({"sealway.dev/accept-proxy-protocol": proxies});
                }
                let mut spec = json!({"gatewayClassName": class, "listeners": listeners, "defaultScope": scope});
                if let Some(tls) = tls {
                    spec["tls"] = tls;
                }
                if let Some(sets) = sets {
                    spec["allowedListeners"] = json!({"namespaces": sets});
                }
                if let Some(addresses) = addresses {
                    spec["addresses"] = addresses;
                }
                if let Some(parameters) = parameters {
                    spec["infrastructure"] = parameters;
                }
                json!({"kind": "Gateway", "metadata": metadata, "spec": spec})
            },
        )
}

fn allowed_listeners() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => Just(json!({"from": "All"})),
        2 => Just(json!({"from": "Same"})),
        2 => Just(json!({"from": "Selector", "selector": {"matchLabels": {"team": "one"}}})),
        1 => Just(json!({"from": "Selector"})),
        1 => Just(json!({"from": "None"})),
        1 => Just(json!({"from": "Everywhere"})),
    ]
}

/// Sets have the names of Gateways, so that references often mean one.
pub(crate) fn listener_set() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![12 => Just("Gateway"), 1 => Just("Service")];
    let parent = (select(&GATEWAYS[..]), of(select(&NAMESPACES[..])), kind);
    (metadata(&GATEWAYS), parent, vec(listener(), 1..4)).prop_map(|(metadata, (name, namespace, kind), mut listeners)| {
        for (position, listener) in listeners.iter_mut().enumerate() {
            listener["name"] = json!(format!("l{position}"));
        }
        let mut parent = json!({"kind": kind, "name": name});
        if let Some(namespace) = namespace {
            parent["namespace"] = json!(namespace);
        }
        json!({"kind": "ListenerSet", "metadata": metadata, "spec": {"parentRef": parent, "listeners": listeners}})
    })
}

fn listener() -> impl Strategy<Value = Value> {
    let protocol =
        prop_oneof![16 => Just("TLS"), 5 => Just("HTTPS"), 4 => Just("HTTP"), 1 => Just("TCP"), 3 => Just("UDP"), 1 => Just("X")];
    let mode = prop_oneof![6 => Just("Passthrough"), 4 => Just("Terminate"), 1 => Just("Inspect")];
    let namespaces = prop_oneof![
        5 => Just(json!({"from": "All"})),
        2 => Just(json!({"from": "Same"})),
        2 => Just(json!({"from": "Selector", "selector": {"matchLabels": {"team": "one"}}})),
        2 => Just(json!({"from": "Selector", "selector": {"matchExpressions": [
            {"key": "team", "operator": "NotIn", "values": ["two"]}, {"key": "gone", "operator": "DoesNotExist"}]}})),
        1 => Just(json!({"from": "Selector"})),
        1 => Just(json!({"from": "None"})),
    ];
    let kinds = prop_oneof![
        6 => Just(json!([])),
        2 => Just(json!([{"kind": "TLSRoute"}])),
        1 => Just(json!([{"kind": "TCPRoute"}, {"kind": "UDPRoute"}, {"kind": "TLSRoute"}])),
        1 => Just(json!([{"kind": "HTTPRoute"}])),
    ];
    let hostname = option::weighted(0.75, select(&HOSTNAMES[..]));
    let certificate = prop_oneof![
        1 => Just(json!([])),
        4 => Just(json!([{"name": "web"}])),
        1 => Just(json!([{"name": "web", "namespace": "back"}])),
        1 => Just(json!([{"name": "web"}, {"name": "web", "namespace": "back"}])),
    ];
    (select(&PORTS[..]), protocol, mode, hostname, namespaces, kinds, certificate).prop_map(
        |(port, protocol, mode, hostname, namespaces, kinds, certificate)| {
            let mut listener =
                json!({"port": port, "protocol": protocol, "allowedRoutes": {"namespaces": namespaces, "kinds": kinds}});
            if matches!(protocol, "TLS" | "HTTPS") {
                listener["tls"] = json!({"mode": mode, "certificateRefs": certificate});
            }
            if let Some(hostname) = hostname {
                listener["hostname"] = json!(hostname);
            }
            listener
        },
    )
}

fn route(kind: &'static str) -> impl Strategy<Value = Value> {
    let rule = match kind {
        "HTTPRoute" => requests::http_rule(backend_ref().boxed()).boxed(),
        "GRPCRoute" => requests::grpc_rule(backend_ref().boxed()).boxed(),
        _ => vec(backend_ref(), 0..4)
            .prop_map(|references| json!({"backendRefs": references}))
            .boxed(),
    };
    let timeout = option::weighted(0.2, select(vec!["5s", "0s", "soon"]));
    (
        metadata(&["r0", "r1", "r2", "r3"]),
        vec(parent_ref(), 0..4),
        vec(select(&HOSTNAMES[..]), 0..4),
        vec(rule, 1..3),
        timeout,
        default_scope(),
    )
        .prop_map(move |(mut metadata, parents, hostnames, rules, timeout, scope)| {
            if let Some(timeout) = timeout {
                metadata["annotations"] = json!({"sealway.dev/idle-timeout": timeout});
            }
            let spec = json!({"parentRefs": parents, "hostnames": hostnames, "rules": rules, "useDefaultGateways": scope});
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec})
        })
}

/// Of a Gateway, or of a route that asks for one.
fn default_scope() -> impl Strategy<Value = Value> {
    prop_oneof![6 => Just(json!(null)), 1 => Just(json!("None")), 2 => Just(json!("All"))]
}

fn parent_ref() -> impl Strategy<Value = Value> {
    let section = option::weighted(0.3, select(vec!["l0", "l1", "l2", "nowhere"]));
    let kind = prop_oneof![12 => Just("Gateway"), 6 => Just("ListenerSet"), 1 => Just("Router")];
    (
        select(&GATEWAYS[..]),
        of(select(&NAMESPACES[..])),
        section,
        option::weighted(0.2, select(&PORTS[..])),
        kind,
    )
        .prop_map(|(name, namespace, section, port, kind)| {
            let mut parent = json!({"kind": kind, "name": name});
            if let Some(namespace) = namespace {
                parent["namespace"] = json!(namespace);
            }
            if let Some(section) = section {
                parent["sectionName"] = json!(section);
            }
            if let Some(port) = port {
                parent["port"] = json!(port);
            }
            parent
        })
}

fn backend_ref() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![12 => Just("Service"), 1 => Just("Thing")];
    (
        select(&SERVICES[..]),
        of(select(&NAMESPACES[..])),
        of(select(vec![443_u16, 5432, 1])),
        of(0..4_u32),
        kind,
    )
        .prop_map(|(name, namespace, port, weight, kind)| {
            let mut reference = json!({"kind": kind, "name": name});
            if let Some(namespace) = namespace {
                reference["namespace"] = json!(namespace);
            }
            if let Some(port) = port {
                reference["port"] = json!(port);
            }
            if let Some(weight) = weight {
                reference["weight"] = json!(weight);
            }
            reference
        })
}

fn service() -> impl Strategy<Value = Value> {
    let spec = select(vec![
        json!({"ports": [{"name": "tls", "port": 443}, {"name": "db", "port": 5432, "appProtocol": "kubernetes.io/ws"}]}),
        json!({"ports": [{"port": 443}], "publishNotReadyAddresses": true}),
        json!({"ports": [{"port": 443, "protocol": "UDP"}]}),
        json!({"ports": [{"name": "tls", "port": 443}, {"name": "quic", "port": 443, "protocol": "UDP"}]}),
        json!({"type": "ExternalName", "externalName": "far.example.org"}),
        json!({"type": "ExternalName", "externalName": "192.0.2.1"}),
    ]);
    let proxy = option::weighted(0.2, select(vec!["v1", "v2", "v9"]));
    (metadata(&SERVICES), spec, proxy).prop_map(|(mut metadata, spec, proxy)| {
        if let Some(proxy) = proxy {
            metadata["annotations"] = json!({"sealway.dev/proxy-protocol": proxy});
        }
        json!({"kind": "Service", "metadata": metadata, "spec": spec})
    })
}

fn endpoint_slice() -> impl Strategy<Value = Value> {
    let names: &'static [&'static str] = &["s0", "s1", "s2", "s3", "s4"];
    let condition = || of(any::<bool>());
    let endpoint = (0..6_u8, condition(), condition(), condition()).prop_map(|(last, ready, serving, terminating)| {
        json!({"addresses": [format!("10.0.0.{last}")], "conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
    });
    (metadata(names), select(&SERVICES[..]), vec(endpoint, 0..4)).prop_map(|(mut metadata, service, endpoints)| {
        metadata["labels"] = json!({"kubernetes.io/service-name": service});
        let ports = json!([{"name": "tls", "port": 8443}, {"name": "", "port": 8443}, {"name": "db", "port": 15432},
            {"name": "quic", "port": 8443, "protocol": "UDP"}]);
        json!({"kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports})
    })
}

fn grant() -> impl Strategy<Value = Value> {
    let from = (
        select(vec![
            "TLSRoute",
            "HTTPRoute",
            "GRPCRoute",
            "UDPRoute",
            "Gateway",
            "ListenerSet",
            "XTelemetryPolicy",
        ]),
        select(&NAMESPACES[..]),
    )
        .prop_map(|(kind, namespace)| {
            let group = match kind {
                "XTelemetryPolicy" => "gateway.networking.x-k8s.io",
                _ => "gateway.networking.k8s.io",
            };
            json!({"group": group, "kind": kind, "namespace": namespace})
        });
    let to = (
        select(vec!["Service", "Secret", "ConfigMap"]),
        of(select(vec!["app", "db", "web", "ca"])),
    )
        .prop_map(|(kind, name)| {
            let mut to = json!({"group": "", "kind": kind});
            if let Some(name) = name {
                to["name"] = json!(name);
            }
            to
        });
    (metadata(&["g0", "g1", "g2"]), vec(from, 1..3), vec(to, 1..3)).prop_map(
        |(metadata, from, to)| json!({"kind": "ReferenceGrant", "metadata": metadata, "spec": {"from": from, "to": to}}),
    )
}

fn namespace() -> impl Strategy<Value = Value> {
    (select(&NAMESPACES[..]), of(select(vec!["one", "two"]))).prop_map(|(name, team)| {
        let labels = team.map_or_else(|| json!({}), |team| json!({"team": team}));
        json!({"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    })
}
