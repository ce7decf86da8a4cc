//! What one broken object may touch: each kind of object is broken in turn beside twenty healthy neighbours, and everything that the
//! neighbours' connections obey must stay the very same `Arc`.
//!
//! The world: 21 applications that share one Gateway. Each has a namespace, a TLS listener that ends TLS with its own Secret, an HTTPS listener, a
//! passthrough listener, a TLSRoute, an HTTPRoute and a GRPCRoute, a Service with an EndpointSlice, a CA ConfigMap, a BackendTLSPolicy and a
//! ReferenceGrant. The first one is the victim.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use sealway_api::{Kind, ObjectKey, Resource, Resources, SecretBytes};
use sealway_core::{Backend, Compiled, Compiler, Observed, PortPlan, Settings, Snapshot, Target, TlsListener};
use sealway_provider::files::Loader;

const NEIGHBOURS: usize = 20;
const VICTIM: &str = "app-00";

/// One change of the victim, and how it shows that it was felt.
struct Break {
    what: &'static str,
    change: fn(&mut Resources),
    /// Codes of the problems that it must bring; none where nothing is wrong, just other.
    says: &'static [&'static str],
    /// Whether the victim's own part of the snapshot must differ.
    is_felt: bool,
}

#[test]
fn a_broken_object_touches_nobody_else() {
    let healthy = world();
    for case in breaks() {
        let mut compiler = Compiler::new(Settings::default());
        let observed = Observed::assumed("2030-01-01T00:00:00Z".parse().expect("time"));
        let before = compiler.compile(&healthy, &observed);
        assert!(before.problems.is_empty(), "{:#?}", before.problems);

        let mut broken = healthy.clone();
        (case.change)(&mut broken);
        assert_ne!(broken, healthy, "{}: nothing was changed", case.what);
        let after = compiler.compile(&broken, &observed);
        neighbours_are_untouched(case.what, &before, &after);
        let said: Vec<&str> = after.problems.iter().map(|problem| problem.cause.code()).collect();
        for code in case.says {
            assert!(said.contains(code), "{}: {code} is not among {said:?}", case.what);
        }
        let felt =
            parts(&before).get(VICTIM).map(|part| part.to_string()) != parts(&after).get(VICTIM).map(|part| part.to_string());
        assert_eq!(felt, case.is_felt, "{}", case.what);

        // And mended, everything is as it was.
        let mended = compiler.compile(&healthy, &observed);
        assert_eq!(mended.snapshots, before.snapshots, "{}", case.what);
        assert_eq!(mended.statuses, before.statuses, "{}", case.what);
    }
}

/// What the data plane has for one application.
#[derive(Default)]
struct Part<'a> {
    listeners: Vec<&'a Arc<TlsListener>>,
    backends: Vec<&'a Arc<Backend>>,
}

impl std::fmt::Display for Part<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?} {:?}", self.listeners, self.backends)
    }
}

/// By application: a listener's name is `APP-KIND`.
fn parts(compiled: &Compiled) -> BTreeMap<String, Part<'_>> {
    let mut parts: BTreeMap<String, Part<'_>> = BTreeMap::new();
    let snapshots = compiled.snapshots.values().filter(|snapshot| snapshot.gateway.name == "edge");
    for plan in snapshots.flat_map(|snapshot| snapshot.ports.values()) {
        let PortPlan::Tls(plan) = &**plan else { continue };
        for listener in &plan.listeners {
            let app = listener.name.get(..VICTIM.len()).unwrap_or_default().to_owned();
            let part = parts.entry(app).or_default();
            part.listeners.push(listener);
            let forwards = listener.routes.iter().flat_map(|(_, forward)| &forward.backends);
            let hosts = listener.requests.iter().flat_map(|requests| requests.hosts.iter());
            let rules = hosts
                .flat_map(|(_, host)| host.matches())
                .flat_map(|matched| &matched.rule.backends);
            for backend in forwards.chain(rules.map(|backend| &backend.backend)) {
                if let Target::Backend(backend) = &backend.target {
                    part.backends.push(backend);
                }
            }
        }
    }
    parts
}

fn neighbours_are_untouched(what: &str, before: &Compiled, after: &Compiled) {
    let (old, new) = (parts(before), parts(after));
    assert_eq!(old.len(), NEIGHBOURS + 1, "{what}");
    for (app, old) in old.iter().filter(|(app, _)| *app != VICTIM) {
        let new = new.get(app).unwrap_or_else(|| panic!("{what}: {app} is gone"));
        let sizes = |part: &Part<'_>| (part.listeners.len(), part.backends.len());
        assert_eq!((sizes(old), sizes(new)), ((4, 6), (4, 6)), "{what}: {app}");
        for (old, new) in old.listeners.iter().zip(&new.listeners) {
            assert!(Arc::ptr_eq(old, new), "{what}: listener {}\n{old:#?}\n{new:#?}", new.name);
        }
        for (old, new) in old.backends.iter().zip(&new.backends) {
            assert!(Arc::ptr_eq(old, new), "{what}: backend {}", new.service);
        }
        let statuses = |compiled: &Compiled| {
            let routes = compiled
                .statuses
                .routes
                .iter()
                .filter(|(object, _)| object.key.namespace == **app);
            let policies = compiled
                .statuses
                .backend_tls_policies
                .iter()
                .filter(|(key, _)| key.namespace == **app);
            format!("{:?}\n{:?}", routes.collect::<Vec<_>>(), policies.collect::<Vec<_>>())
        };
        assert_eq!(statuses(before), statuses(after), "{what}: statuses of {app}");
    }
    // Keys: every certificate that a snapshot names, and the same material as before.
    for (gateway, keys) in &after.keys {
        for (content, material) in before.keys.get(gateway).iter().flat_map(|keys| &keys.0) {
            let same = keys.get(content).is_none_or(|new| Arc::ptr_eq(new, material));
            assert!(same, "{what}: {content}");
        }
    }
    let neighbour = |snapshot: &&Arc<Snapshot>| snapshot.gateway.name != "edge";
    for old in before.snapshots.values().filter(neighbour) {
        let new = after.snapshots.values().find(|new| new.gateway == old.gateway);
        let same = new.is_some_and(|new| Arc::ptr_eq(old, new));
        assert!(same || what == OTHER_GATEWAY, "{what}: Gateway {}", old.gateway);
    }
}

/// Changes the victim's object.
macro_rules! changed {
    ($field:ident, $namespace:expr, $name:expr, |$object:ident| $change:expr) => {
        |resources: &mut Resources| {
            let $object = resources
                .$field
                .get_mut(&ObjectKey::new($namespace, $name))
                .map(Arc::make_mut)
                .expect("the victim's");
            $change;
        }
    };
}

/// Removes the victim's object.
macro_rules! removed {
    ($field:ident, $namespace:expr, $name:expr) => {
        |resources: &mut Resources| {
            resources
                .$field
                .remove(&ObjectKey::new($namespace, $name))
                .expect("the victim's");
        }
    };
}

fn broken(what: &'static str, change: fn(&mut Resources), says: &'static [&'static str]) -> Break {
    Break {
        what,
        change,
        says,
        is_felt: true,
    }
}

fn breaks() -> Vec<Break> {
    [certificates_and_authorities(), routes(), backends(), around()]
        .into_iter()
        .flatten()
        .collect()
}

fn certificates_and_authorities() -> Vec<Break> {
    vec![
        broken(
            "a Secret without its key",
            changed!(secrets, "infra", VICTIM, |secret| secret.data.remove("tls.key")),
            &["certificate-secret-invalid"],
        ),
        broken(
            "a Secret of garbage",
            changed!(secrets, "infra", VICTIM, |secret| {
                let garbage = SecretBytes::new(b"\0garbage".to_vec());
                secret.data.values_mut().for_each(|value| *value = garbage.clone());
            }),
            &["certificate-secret-invalid"],
        ),
        broken(
            "no Secret",
            removed!(secrets, "infra", VICTIM),
            &["certificate-secret-missing"],
        ),
        broken(
            "a CA ConfigMap of garbage",
            changed!(config_maps, VICTIM, "app", |map| map
                .data
                .insert("ca.crt".to_owned(), "garbage".to_owned())),
            &["ca-ref-invalid"],
        ),
        broken("no CA ConfigMap", removed!(config_maps, VICTIM, "app"), &["ca-ref-missing"]),
        broken(
            "a BackendTLSPolicy without a name to verify",
            changed!(backend_tls_policies, VICTIM, "app", |policy| policy
                .spec
                .validation
                .hostname
                .clear()),
            &["policy-invalid"],
        ),
        broken("no BackendTLSPolicy", removed!(backend_tls_policies, VICTIM, "app"), &[]),
    ]
}

fn routes() -> Vec<Break> {
    vec![
        broken(
            "a TLSRoute with a backend that is not there",
            changed!(tls_routes, VICTIM, "app", |route| {
                let mut backends = route.spec.rules.iter_mut().flat_map(|rule| &mut rule.backend_refs);
                backends.next().expect("one").name = "gone".to_owned();
            }),
            &["backend-not-found"],
        ),
        broken(
            "a TLSRoute that claims every name",
            changed!(tls_routes, VICTIM, "app", |route| route.spec.hostnames =
                vec!["*.test".to_owned()]),
            &[],
        ),
        broken("no TLSRoute", removed!(tls_routes, VICTIM, "app"), &[]),
        broken(
            "an HTTPRoute with a backend that is not there",
            changed!(http_routes, VICTIM, "app", |route| {
                let mut backends = route.spec.rules.iter_mut().flat_map(|rule| &mut rule.backend_refs);
                backends.next().expect("one").backend.name = "gone".to_owned();
            }),
            &["backend-not-found"],
        ),
        broken(
            "an HTTPRoute that claims every name of every listener",
            changed!(http_routes, VICTIM, "app", |route| {
                route.spec.hostnames.clear();
                route
                    .spec
                    .parent_refs
                    .iter_mut()
                    .for_each(|parent| parent.section_name = None);
            }),
            &[],
        ),
        broken("no HTTPRoute", removed!(http_routes, VICTIM, "app"), &[]),
        broken(
            "a GRPCRoute with a backend that is not there",
            changed!(grpc_routes, VICTIM, "app", |route| {
                let mut backends = route.spec.rules.iter_mut().flat_map(|rule| &mut rule.backend_refs);
                backends.next().expect("one").backend.name = "gone".to_owned();
            }),
            &["backend-not-found"],
        ),
        broken("no GRPCRoute", removed!(grpc_routes, VICTIM, "app"), &[]),
    ]
}

fn backends() -> Vec<Break> {
    vec![
        broken(
            "a Service without ports",
            changed!(services, VICTIM, "app", |service| service.spec.ports.clear()),
            &["backend-port-not-found"],
        ),
        broken(
            "no Service",
            removed!(services, VICTIM, "app"),
            &["backend-not-found", "policy-target-missing"],
        ),
        broken(
            "an EndpointSlice of nonsense",
            changed!(endpoint_slices, VICTIM, "app", |slice| {
                slice
                    .endpoints
                    .iter_mut()
                    .for_each(|endpoint| endpoint.addresses = vec!["nonsense".to_owned()]);
            }),
            &["endpoint-invalid"],
        ),
        broken("no EndpointSlice", removed!(endpoint_slices, VICTIM, "app"), &[]),
        broken(
            "no ReferenceGrant",
            removed!(reference_grants, "far", VICTIM),
            &["ref-not-permitted"],
        ),
        broken(
            "a Namespace without its label",
            changed!(namespaces, "", VICTIM, |namespace| namespace.metadata.labels.clear()),
            &["namespace-not-allowed"],
        ),
    ]
}

fn around() -> Vec<Break> {
    vec![
        broken(
            "listeners with unknown options",
            changed!(gateways, "infra", "edge", |gateway| {
                for listener in gateway
                    .spec
                    .listeners
                    .iter_mut()
                    .filter(|listener| listener.name.starts_with(VICTIM))
                {
                    let options = &mut listener.tls.get_or_insert_default().options;
                    options.insert("sealway.dev/groups".to_owned(), "none".to_owned());
                }
            }),
            &["tls-option-invalid"],
        ),
        broken(
            "listeners that claim one name",
            changed!(gateways, "infra", "edge", |gateway| {
                for listener in gateway
                    .spec
                    .listeners
                    .iter_mut()
                    .filter(|listener| listener.name.starts_with(VICTIM))
                {
                    listener.hostname = Some("same.test".to_owned());
                }
            }),
            &["hostname-conflict"],
        ),
        Break {
            what: OTHER_GATEWAY,
            change: changed!(gateways, "infra", "other", |gateway| {
                let nonsense = sealway_api::GatewayAddress {
                    value: "nonsense".to_owned(),
                    ..Default::default()
                };
                gateway.spec.addresses = vec![nonsense];
            }),
            says: &["address-invalid"],
            is_felt: false,
        },
        Break {
            what: "a ListenerSet that wants everything",
            change: |resources| {
                let mut set = sealway_api::ListenerSet::default();
                set.metadata.name = "greedy".to_owned();
                set.metadata.namespace = Some(VICTIM.to_owned());
                set.spec.parent_ref.name = "edge".to_owned();
                set.spec.parent_ref.namespace = Some("infra".to_owned());
                let edge = &resources.gateways[&ObjectKey::new("infra", "edge")];
                set.spec.listeners.clone_from(&edge.spec.listeners);
                resources.listener_sets.insert(set.metadata.key(), Arc::new(set));
            },
            says: &[],
            is_felt: false,
        },
    ]
}

const OTHER_GATEWAY: &str = "the other Gateway";

/// 21 applications on one Gateway, and another Gateway beside it.
fn world() -> Resources {
    let pki = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/pki");
    let (_, loaded) = Loader::open(&[pki.join("secrets.yaml"), pki.join("authorities.yaml")]).expect("readable");
    let sample = &loaded.resources;
    let certificate = &sample.secrets[&ObjectKey::new("infra", "any-test")];
    let authorities = &sample.config_maps[&ObjectKey::new("infra", "ca")];
    let mut resources = Resources::default();
    let mut listeners = String::new();
    let mut text = String::new();
    for number in 0..=NEIGHBOURS {
        let app = format!("app-{number:02}");
        let mut secret = (**certificate).clone();
        secret.metadata.name.clone_from(&app);
        resources.secrets.insert(secret.metadata.key(), Arc::new(secret));
        let mut map = (**authorities).clone();
        map.metadata.name = "app".to_owned();
        map.metadata.namespace = Some(app.clone());
        resources.config_maps.insert(map.metadata.key(), Arc::new(map));
        write!(listeners, "{}", LISTENERS.replace("APP", &app)).expect("text");
        write!(text, "{}", APPLICATION.replace("APP", &app)).expect("text");
    }
    let text = format!("{}{text}", GATEWAYS.replace("LISTENERS", &listeners));
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{error}"));
    for document in documents {
        let kind = Kind::from(document["kind"].as_str().expect("kind"));
        let resource = Resource::read(&kind, document).expect("a kind that is read");
        resources.insert(resource.unwrap_or_else(|error| panic!("{error}")));
    }
    resources
}

const GATEWAYS: &str = r#"
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "sealway"}, "spec": {"controllerName": "sealway.dev/gateway-controller"}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "other", "namespace": "infra"}, "spec": {"gatewayClassName": "sealway",
 "listeners": [{"name": "tls", "port": 9443, "protocol": "TLS", "tls": {"mode": "Passthrough"}}]}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra"}, "spec": {"gatewayClassName": "sealway", "listeners": [LISTENERS]}}
"#;

/// Of one application; more than the 64 that the API server takes of one Gateway, which is all the same to the compiler.
const LISTENERS: &str = r#"
{"name": "APP-ends", "hostname": "APP.ends.test", "port": 443, "protocol": "TLS", "tls": {"mode": "Terminate", "certificateRefs": [{"name": "APP"}]}, "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"app": "APP"}}}}},
{"name": "APP-passes", "hostname": "APP.passes.test", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}, "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"app": "APP"}}}}},
{"name": "APP-https", "hostname": "APP.https.test", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "APP"}]}, "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"app": "APP"}}}}},
{"name": "APP-grpc", "hostname": "APP.grpc.test", "port": 8443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "APP"}]}, "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"app": "APP"}}}}},
"#;

const APPLICATION: &str = r#"
---
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "APP", "labels": {"app": "APP"}}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "TLSRoute", "metadata": {"name": "app", "namespace": "APP"}, "spec": {"parentRefs": [{"name": "edge", "namespace": "infra"}],
 "hostnames": ["APP.ends.test", "APP.passes.test"], "rules": [{"backendRefs": [{"name": "app", "port": 443}, {"name": "APP", "namespace": "far", "port": 443}]}]}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "app", "namespace": "APP"}, "spec": {"parentRefs": [{"name": "edge", "namespace": "infra", "sectionName": "APP-https"}],
 "hostnames": ["APP.https.test"], "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [{"name": "app", "port": 443}]}]}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"name": "app", "namespace": "APP"}, "spec": {"parentRefs": [{"name": "edge", "namespace": "infra", "sectionName": "APP-grpc"}],
 "hostnames": ["APP.grpc.test"], "rules": [{"backendRefs": [{"name": "app", "port": 443}]}]}}
---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app", "namespace": "APP"}, "spec": {"ports": [{"name": "tls", "port": 443}]}}
---
{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "app", "namespace": "APP", "labels": {"kubernetes.io/service-name": "app"}}, "addressType": "IPv4",
 "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"name": "tls", "port": 8443}]}
---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "APP", "namespace": "far"}, "spec": {"type": "ExternalName", "externalName": "192.0.2.1"}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "ReferenceGrant", "metadata": {"name": "APP", "namespace": "far"}, "spec": {
 "from": [{"group": "gateway.networking.k8s.io", "kind": "TLSRoute", "namespace": "APP"}], "to": [{"group": "", "kind": "Service", "name": "APP"}]}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy", "metadata": {"name": "app", "namespace": "APP"}, "spec": {
 "targetRefs": [{"group": "", "kind": "Service", "name": "app"}], "validation": {"hostname": "APP.backend.test", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "app"}]}}}
"#;
