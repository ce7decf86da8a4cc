//! What one broken object may touch: each kind of object is broken in turn beside twenty healthy neighbours, and everything that the
//! neighbours' connections obey must stay the very same `Arc`.

#[path = "support/neighbours.rs"]
mod neighbours;

use std::collections::BTreeMap;
use std::sync::Arc;

use neighbours::{NEIGHBOURS, VICTIM, world};
use sealway_api::{ObjectKey, Resources, SecretBytes};
use sealway_core::{Backend, Compiled, Compiler, Observed, PortPlan, Settings, Snapshot, Target, TlsListener};

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
        let felt = parts(&before).get(VICTIM) != parts(&after).get(VICTIM);
        assert_eq!(felt, case.is_felt, "{}", case.what);

        // And mended, everything is as it was.
        let mended = compiler.compile(&healthy, &observed);
        assert_eq!(mended.snapshots, before.snapshots, "{}", case.what);
        assert_eq!(mended.statuses, before.statuses, "{}", case.what);
    }
}

/// What the data plane has for one application.
#[derive(Default, PartialEq)]
struct Part<'a> {
    listeners: Vec<&'a Arc<TlsListener>>,
    backends: Vec<&'a Arc<Backend>>,
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
        assert_eq!((sizes(old), sizes(new)), ((5, 8), (5, 8)), "{what}: {app}");
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
        assert!(same || what.starts_with(OTHER_GATEWAY), "{what}: Gateway {}", old.gateway);
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
        broken(
            "a CA Secret of garbage",
            changed!(secrets, VICTIM, "app", |secret| {
                let garbage = SecretBytes::new(b"garbage".to_vec());
                secret.data.insert("ca.crt".to_owned(), garbage);
            }),
            &["ca-ref-invalid"],
        ),
        broken("no CA Secret", removed!(secrets, VICTIM, "app"), &["ca-ref-missing"]),
        broken(
            "a ClusterTrustBundle of garbage",
            changed!(cluster_trust_bundles, "", VICTIM, |bundle| bundle.spec.trust_bundle =
                "garbage".to_owned()),
            &["ca-ref-invalid"],
        ),
        broken(
            "no ClusterTrustBundle",
            removed!(cluster_trust_bundles, "", VICTIM),
            &["ca-ref-missing"],
        ),
        broken(
            "a CA of clients of garbage",
            changed!(config_maps, "infra", "clients-of-victim", |map| map
                .data
                .insert("ca.crt".to_owned(), "garbage".to_owned())),
            &["ca-ref-invalid"],
        ),
        broken(
            "no CA of clients",
            removed!(config_maps, "infra", "clients-of-victim"),
            &["ca-ref-missing"],
        ),
        broken(
            "a revocation list of clients of garbage",
            changed!(config_maps, "infra", "clients-of-victim", |map| map
                .data
                .insert("ca.crl".to_owned(), "garbage".to_owned())),
            &["crl-unreadable"],
        ),
        // Only backends that ask for one miss it.
        Break {
            what: "no certificate of the Gateway's own",
            change: removed!(secrets, "infra", "gateway"),
            says: &["certificate-secret-missing"],
            is_felt: false,
        },
        broken("no BackendTLSPolicy", removed!(backend_tls_policies, VICTIM, "app"), &[]),
        broken(
            "an XBackendTrafficPolicy with a budget that is none",
            changed!(x_backend_traffic_policies, VICTIM, "app", |policy| {
                let constraint = policy.spec.retry_constraint.as_mut().expect("a constraint");
                constraint.budget.as_mut().expect("a budget").interval = Some("0s".to_owned());
            }),
            &["value-unsupported"],
        ),
        broken(
            "an XBackendTrafficPolicy for a Service that is not there",
            changed!(x_backend_traffic_policies, VICTIM, "app", |policy| policy.spec.target_refs
                [0]
            .name = "gone".to_owned()),
            &["policy-target-missing"],
        ),
        broken(
            "no XBackendTrafficPolicy",
            removed!(x_backend_traffic_policies, VICTIM, "app"),
            &[],
        ),
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
            what: "the other Gateway's class",
            change: removed!(gateway_classes, "", "other"),
            says: &["class-not-found"],
            is_felt: false,
        },
        Break {
            what: "a class with parameters that mean nothing",
            change: changed!(gateway_classes, "", "sealway", |class| class.spec.parameters_ref =
                Some(Default::default())),
            says: &["class-parameters-ignored"],
            is_felt: false,
        },
        Break {
            what: "a class of another controller",
            change: changed!(gateway_classes, "", "sealway", |class| class.spec.controller_name =
                "example.com/other".to_owned()),
            says: &["foreign-controller"],
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
                let edge = resources
                    .gateways
                    .get_mut(&ObjectKey::new("infra", "edge"))
                    .map(Arc::make_mut)
                    .expect("edge");
                let all = sealway_api::NamespaceRule {
                    from: Some(sealway_api::FromNamespaces::All),
                    selector: None,
                };
                edge.spec.allowed_listeners = Some(sealway_api::AllowedListeners { namespaces: Some(all) });
                set.spec.listeners.clone_from(&edge.spec.listeners);
                resources.listener_sets.insert(set.metadata.key(), Arc::new(set));
            },
            says: &["hostname-conflict"],
            is_felt: false,
        },
    ]
}

const OTHER_GATEWAY: &str = "the other Gateway";
