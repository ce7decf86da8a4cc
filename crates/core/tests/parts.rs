//! A snapshot that has gone through its parts is the snapshot that it was, however it came to be.

#[allow(dead_code, reason = "the golden runner uses the rest")]
#[path = "support/case.rs"]
mod case;
#[allow(dead_code, reason = "the properties use the rest")]
#[path = "support/universe.rs"]
mod universe;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use sealway_api::{Gateway, Resources};
use sealway_core::{Assembly, Compiler, Delta, PartKey, Parts, PortPlan, Snapshot, Transport, Unfit};
use serde_json::json;
use universe::{Input, KEY_MARKER, crowded, input, merged, resources};

fn snapshots(input: &Input) -> Vec<Arc<Snapshot>> {
    let compiled = Compiler::new(input.settings.clone()).compile(&input.resources, &input.observed);
    compiled.snapshots.into_values().collect()
}

fn told(snapshot: &Snapshot) -> Delta {
    Parts::of(snapshot, &Parts::default()).since([])
}

/// Everything that holds for one snapshot after another.
fn follows(last: &Snapshot, next: &Snapshot) -> Result<(), TestCaseError> {
    let before = Parts::of(last, &Parts::default());
    let after = Parts::of(next, &before);
    let held = Assembly::default().apply(&before.since([])).expect("fits");
    prop_assert_eq!(held.snapshot().expect("there").as_ref(), last);
    prop_assert!(held.digests().eq(before.digests()));

    let delta = after.since(held.digests());
    prop_assert_eq!(&delta, &after.since(before.digests()));
    prop_assert_eq!(&delta, &after.since_parts(&before));
    let new = held.apply(&delta).expect("fits");
    prop_assert_eq!(new.snapshot().expect("there").as_ref(), next);
    prop_assert!(new.digests().eq(after.digests()));
    prop_assert!(after.since(new.digests()).is_empty());

    // By another way it is the same: from nothing, and there and back.
    let fresh = Assembly::default().apply(&told(next)).expect("fits");
    prop_assert_eq!(fresh.snapshot().expect("there").as_ref(), next);
    let back = Parts::of(last, &after).since(new.digests());
    let back = new.apply(&back).expect("fits");
    prop_assert_eq!(back.snapshot().expect("there").as_ref(), last);
    for bytes in told(next).set.values() {
        prop_assert!(!String::from_utf8_lossy(bytes).contains(KEY_MARKER));
    }
    shared(held.snapshot().expect("there"), new.snapshot().expect("there"))
}

/// What is equal is the same `Arc`.
fn shared(last: &Arc<Snapshot>, next: &Arc<Snapshot>) -> Result<(), TestCaseError> {
    prop_assert_eq!(last == next, Arc::ptr_eq(last, next));
    for (key, plan) in &next.ports {
        let Some(before) = last.ports.get(key) else { continue };
        prop_assert_eq!(before == plan, Arc::ptr_eq(before, plan));
        let (PortPlan::Tls(before), PortPlan::Tls(plan)) = (&**before, &**plan) else {
            continue;
        };
        for listener in &plan.listeners {
            let Some(old) = before.listeners.iter().find(|old| old.name == listener.name) else {
                continue;
            };
            prop_assert_eq!(old == listener, Arc::ptr_eq(old, listener));
            if let (Some(one), Some(two)) = (&old.termination, &listener.termination) {
                prop_assert_eq!(one == two, Arc::ptr_eq(one, two));
            }
            for (hostname, forward) in listener.routes.iter() {
                let same = old.routes.iter().find(|(other, _)| *other == hostname);
                if let Some((_, same)) = same.filter(|(_, same)| same.route == forward.route) {
                    prop_assert_eq!(same == forward, Arc::ptr_eq(same, forward));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn every_golden_comes_back_from_its_parts_and_follows_every_other() {
    let mut last: Option<Arc<Snapshot>> = None;
    for case in case::cases() {
        let input = Input {
            resources: case.resources,
            settings: case.settings,
            observed: case.observed,
        };
        for snapshot in snapshots(&input) {
            let before = last.as_ref().unwrap_or(&snapshot);
            if let Err(error) = follows(before, &snapshot) {
                panic!("{}: {error}", case.directory.display());
            }
            last = Some(snapshot);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_follows_another_by_the_parts_that_differ(
        first in prop_oneof![input(), crowded()], history in proptest::collection::vec(resources(), 1..3),
    ) {
        let mut compiler = Compiler::new(first.settings.clone());
        let mut last = compiler.compile(&first.resources, &first.observed).snapshots;
        for resources in history.into_iter().chain([first.resources.clone()]) {
            let next = compiler.compile(&resources, &first.observed).snapshots;
            for (gateway, snapshot) in &next {
                follows(last.get(gateway).unwrap_or(snapshot), snapshot)?;
            }
            last = next;
        }
    }

    /// Where little changes, most listeners do not, and what hangs on them is not looked at. Every controller has the same parts, whatever it
    /// has seen before: they compare what proxies acknowledge.
    #[test]
    fn parts_follow_small_changes(
        first in prop_oneof![input(), crowded(), merged()],
        history in proptest::collection::vec(
            (resources(), proptest::collection::vec(any::<prop::sample::Index>(), 0..3), proptest::collection::vec(edit(), 0..3)),
            1..6,
        ),
    ) {
        let mut compiler = Compiler::new(first.settings.clone());
        let mut input = first;
        let mut told: BTreeMap<_, (Parts, Assembly)> = BTreeMap::new();
        for (other, choices, edits) in history {
            let compiled = compiler.compile(&input.resources, &input.observed);
            // Of a controller that has just started.
            let fresh = Compiler::new(input.settings.clone()).compile(&input.resources, &input.observed);
            prop_assert_eq!(&compiled, &fresh);
            for (gateway, snapshot) in compiled.snapshots {
                let of_fresh = Parts::of(&fresh.snapshots[&gateway], &Parts::default());
                let (parts, held) = told.entry(gateway).or_default();
                let next = Parts::of(&snapshot, parts);
                let delta = next.since_parts(parts);
                prop_assert_eq!(&delta, &next.since(parts.digests()));
                *held = held.apply(&delta).expect("fits");
                prop_assert_eq!(held.snapshot(), Some(&snapshot));
                prop_assert!(held.digests().eq(next.digests()));
                let digests = |parts: &Parts| -> Vec<_> { parts.digests().map(|(key, digest)| (key.clone(), digest)).collect() };
                prop_assert_eq!(digests(&next), digests(&of_fresh));
                *parts = next;
            }
            let here: BTreeSet<_> = input.resources.iter().map(|resource| resource.reference()).collect();
            let there = other.iter().map(|resource| resource.reference()).collect();
            let all: Vec<_> = here.union(&there).cloned().collect();
            for choice in choices {
                input.resources.take_from(&other, choice.get(&all));
            }
            for (edit, which) in edits {
                edit.apply(&mut input.resources, which);
            }
        }
    }

    /// A part that is missing, cut, or another's changes nothing and is named.
    #[test]
    fn parts_that_do_not_fit_are_refused(input in prop_oneof![input(), crowded()], choice: prop::sample::Index, how in 0..3) {
        for snapshot in snapshots(&input) {
            let mut delta = told(&snapshot);
            let keys: Vec<PartKey> = delta.set.keys().cloned().collect();
            let key = choice.get(&keys).clone();
            let other = choice.get(&delta.set.values().cloned().collect::<Vec<_>>()).clone();
            match how {
                0 => {
                    delta.set.remove(&key);
                }
                1 => {
                    delta.set.insert(key.clone(), other.get(..other.len() / 2).expect("half").into());
                }
                _ => {
                    delta.set.insert(key.clone(), br#"{"tunnel":{}}"#.as_slice().into());
                }
            }
            let outcome = Assembly::default().apply(&delta);
            // A part that nothing names is one that its snapshot can be without: a port, or a route of a listener.
            let may_be_left_out = how == 0 && key.as_str() != "head";
            match outcome {
                Ok(_) => prop_assert!(may_be_left_out, "{}", key),
                Err(Unfit::Unreadable { part, .. }) => prop_assert!(part == key && how != 0),
                Err(Unfit::Missing { needs, .. }) => prop_assert!(needs == key && how == 0),
                Err(Unfit::Head) => prop_assert!(key.as_str() == "head" && how == 0),
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever bytes come: no panic, nothing changes when they are refused, and what is obeyed is a snapshot like any other.
    #[test]
    fn parts_that_were_changed_on_the_way_do_no_harm(
        input in prop_oneof![input(), crowded()],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        for snapshot in snapshots(&input) {
            let whole = told(&snapshot);
            let held = Assembly::default().apply(&whole).expect("fits");
            let keys: Vec<PartKey> = whole.set.keys().cloned().collect();
            for (key, position, byte) in &changes {
                let mut delta = Delta::default();
                let key = key.get(&keys);
                let mut bytes = whole.set[key].to_vec();
                *position.get_mut(&mut bytes) = *byte;
                delta.set.insert(key.clone(), bytes.into());
                let Ok(next) = held.apply(&delta) else { continue };
                let next = next.snapshot().expect("there");
                let again = Assembly::default().apply(&told(next)).expect("our own parts");
                prop_assert_eq!(again.snapshot().expect("there"), next);
            }
            prop_assert_eq!(held.snapshot().expect("there"), &snapshot);
        }
    }
}

/// An object goes on, and something of it is another.
#[derive(Clone, Copy, Debug)]
enum Edit {
    Listener,
    Hostname,
    OrderOfMatches,
    Rules,
}

fn edit() -> impl Strategy<Value = (Edit, prop::sample::Index)> {
    const EDITS: [Edit; 4] = [Edit::Listener, Edit::Hostname, Edit::OrderOfMatches, Edit::Rules];
    (prop::sample::select(&EDITS[..]), any::<prop::sample::Index>())
}

impl Edit {
    fn apply(self, resources: &mut Resources, which: prop::sample::Index) {
        fn one<T: Clone>(objects: &mut sealway_api::Objects<T>, which: prop::sample::Index) -> Option<&mut T> {
            let keys: Vec<_> = objects.keys().cloned().collect();
            (!keys.is_empty()).then(|| Arc::make_mut(objects.get_mut(which.get(&keys)).expect("there")))
        }
        fn more_or_less(hostnames: &mut Vec<String>) {
            match hostnames.as_slice() {
                [] | [_] => hostnames.push("more.example.com".to_owned()),
                [_, ..] => drop(hostnames.pop()),
            }
        }
        match self {
            Self::Listener => {
                if let Some(gateway) = one(&mut resources.gateways, which) {
                    listener_more_or_less(gateway);
                }
            }
            Self::Hostname => {
                let Resources {
                    http_routes,
                    grpc_routes,
                    tls_routes,
                    ..
                } = resources;
                let http = one(http_routes, which).map(|route| &mut route.spec.hostnames);
                let grpc = one(grpc_routes, which).map(|route| &mut route.spec.hostnames);
                let tls = one(tls_routes, which).map(|route| &mut route.spec.hostnames);
                [http, grpc, tls].into_iter().flatten().for_each(more_or_less);
            }
            Self::OrderOfMatches => {
                for rule in one(&mut resources.http_routes, which)
                    .into_iter()
                    .flat_map(|route| &mut route.spec.rules)
                {
                    rule.matches.reverse();
                }
            }
            Self::Rules => {
                if let Some(route) = one(&mut resources.http_routes, which) {
                    route.spec.rules.truncate(1);
                }
                if let Some(route) = one(&mut resources.grpc_routes, which) {
                    route.spec.rules.pop();
                }
            }
        }
    }
}

/// What hangs on one of its listeners hangs on the other as well.
fn listener_more_or_less(gateway: &mut Gateway) {
    let listeners = &mut gateway.spec.listeners;
    match listeners.as_slice() {
        [] => {}
        [only] => {
            let mut more = only.clone();
            more.name = "more".to_owned();
            more.port += 1;
            listeners.push(more);
        }
        [_, ..] => drop(listeners.pop()),
    }
}

/// Its host is the same, though its rules are written in another order, when the second hostname comes.
#[test]
fn equal_hosts_are_one_whatever_was_there_before() {
    let route = |matches: [&str; 2], hostnames: &[&str]| {
        let matches = matches.map(|path| json!({"path": {"type": "PathPrefix", "value": path}}));
        let spec = json!({"parentRefs": [{"name": "edge"}], "hostnames": hostnames, "rules": [{"matches": matches}]});
        let route = json!({"kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "infra"}, "spec": spec});
        let read = sealway_api::Resource::read(&sealway_api::Kind::HttpRoute, route);
        read.expect("known").expect("read")
    };
    let mut input = many(0);
    let mut compiler = Compiler::new(input.settings.clone());
    input.resources.insert(route(["/a", "/b/c"], &["a.test"]));
    let first = compiler.compile(&input.resources, &input.observed);
    input.resources.insert(route(["/b/c", "/a"], &["a.test", "b.test"]));
    let second = compiler.compile(&input.resources, &input.observed);
    let [first, second] = [first, second].map(|compiled| compiled.snapshots.into_values().next().expect("one"));
    let parts = Parts::of(&second, &Parts::of(&first, &Parts::default()));
    let fresh = told(&snapshots(&input)[0]);
    assert_eq!(parts.since([]), fresh);
}

#[test]
fn all_that_hung_on_the_one_listener_hangs_on_another_as_well() {
    let mut input = many(5);
    let edge = sealway_api::ObjectKey::new("infra", "edge");
    let gateway = Arc::make_mut(input.resources.gateways.get_mut(&edge).expect("there"));
    gateway.spec.listeners.retain(|listener| listener.name == "http");
    let mut compiler = Compiler::new(input.settings.clone());
    let mut parts = Parts::default();
    for listeners in [1, 2, 1, 2] {
        let compiled = compiler.compile(&input.resources, &input.observed);
        let snapshot = compiled.snapshots.into_values().next().expect("one");
        assert_eq!(snapshot.ports.len(), listeners);
        parts = Parts::of(&snapshot, &parts);
        let held = Assembly::default().apply(&parts.since([])).expect("nothing is missing");
        assert_eq!(held.snapshot(), Some(&snapshot));
        listener_more_or_less(Arc::make_mut(input.resources.gateways.get_mut(&edge).expect("there")));
    }
}

/// A Gateway with one passthrough listener and one for requests, and so many routes of each kind.
fn many(routes: u32) -> Input {
    let mut resources = Resources::default();
    let mut add = |object: serde_json::Value| {
        let kind = sealway_api::Kind::from(object["kind"].as_str().unwrap_or_default());
        resources.insert(sealway_api::Resource::read(&kind, object).expect("known").expect("read"));
    };
    add(
        json!({"kind": "GatewayClass", "metadata": {"name": "sealway"}, "spec": {"controllerName": "sealway.dev/gateway-controller"}}),
    );
    add(
        json!({"kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra"}, "spec": {"gatewayClassName": "sealway", "listeners": [
        {"name": "tls", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
        {"name": "http", "port": 80, "protocol": "HTTP"}]}}),
    );
    add(json!({"kind": "Service", "metadata": {"name": "app", "namespace": "infra"}, "spec": {"ports": [{"port": 443}]}}));
    add(
        json!({"kind": "EndpointSlice", "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 8443}],
        "metadata": {"name": "app", "namespace": "infra", "labels": {"kubernetes.io/service-name": "app"}}}),
    );
    for (kind, number) in ["TLSRoute", "HTTPRoute"]
        .into_iter()
        .flat_map(|kind| (0..routes).map(move |number| (kind, number)))
    {
        add(
            json!({"kind": kind, "apiVersion": "gateway.networking.k8s.io/v1", "metadata": {"name": format!("r{number}"), "namespace": "infra"},
            "spec": {"parentRefs": [{"name": "edge"}], "hostnames": [format!("a{number}.test"), format!("b{number}.test")],
                "rules": [{"backendRefs": [{"name": "app", "port": 443}]}]}}),
        );
    }
    Input {
        resources,
        settings: Default::default(),
        observed: sealway_core::Observed::assumed(sealway_api::Timestamp::UNIX_EPOCH),
    }
}

#[test]
fn a_delta_is_as_large_as_the_change() {
    let mut input = many(500);
    let mut compiler = Compiler::new(input.settings.clone());
    let mut compile = |input: &Input| {
        let compiled = compiler.compile(&input.resources, &input.observed);
        compiled.snapshots.into_values().next().expect("one")
    };
    let first = compile(&input);
    let parts = Parts::of(&first, &Parts::default());
    let names = |delta: &Delta| delta.set.keys().map(PartKey::to_string).collect::<Vec<_>>();

    let key = sealway_api::ObjectKey::new("infra", "r7");
    let route = Arc::make_mut(input.resources.http_routes.get_mut(&key).expect("there"));
    route.spec.rules[0].backend_refs[0].backend.weight = 7;
    let weighed = Parts::of(&compile(&input), &parts);
    let delta = weighed.since(parts.digests());
    assert_eq!(names(&delta), ["rule/HTTPRoute infra/r7/0"]);
    assert!(delta.remove.is_empty() && delta.size() < 1_000, "{}", delta.size());

    input.resources.tls_routes.remove(&key);
    let removed = Parts::of(&compile(&input), &weighed);
    let delta = removed.since(weighed.digests());
    assert!(delta.set.is_empty(), "{:?}", names(&delta));
    assert_eq!(
        delta.remove.iter().map(PartKey::as_str).collect::<Vec<_>>(),
        ["forward/TLSRoute infra/r7"]
    );

    // A thousand routes lead to it, and it is told once.
    let slice = input
        .resources
        .endpoint_slices
        .get_mut(&sealway_api::ObjectKey::new("infra", "app"));
    Arc::make_mut(slice.expect("there")).endpoints[0].addresses = vec!["10.0.0.2".to_owned()];
    let last = compile(&input);
    let moved = Parts::of(&last, &removed);
    let delta = moved.since(removed.digests());
    assert_eq!(names(&delta), ["backend/infra/app:443"]);
    let held = Assembly::default().apply(&removed.since([])).expect("fits");
    let held = held.apply(&delta).expect("fits");
    assert_eq!(held.snapshot(), Some(&last));

    let policy = json!({"kind": "XBackendTrafficPolicy", "metadata": {"name": "app", "namespace": "infra"},
        "spec": {"targetRefs": [{"kind": "Service", "name": "app"}], "retryConstraint": {}}});
    let policy = sealway_api::Resource::read(&sealway_api::Kind::XBackendTrafficPolicy, policy);
    input.resources.insert(policy.expect("known").expect("read"));
    let limited = Parts::of(&compile(&input), &moved);
    let mut delta = limited.since(moved.digests());
    assert_eq!(names(&delta), ["backend/infra/app:443"]);
    assert!(held.apply(&delta).is_ok());
    // A share of nothing is none.
    let bytes = delta.set.get_mut("backend/infra/app:443").expect("there");
    let text = String::from_utf8_lossy(bytes).replace(r#""interval":{"secs":10"#, r#""interval":{"secs":0"#);
    *bytes = text.into_bytes().into();
    assert!(matches!(held.apply(&delta), Err(Unfit::Value { .. })));
    assert!(held.snapshot().expect("there").port(Transport::Tcp, 443).is_some());
}

#[test]
fn a_neighbouring_version_may_say_more_but_nothing_else() {
    let snapshot = snapshots(&many(1)).remove(0);
    let mut delta = told(&snapshot);
    let change = |delta: &mut Delta, part: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let bytes = delta.set.get_mut(part).expect("there");
        let mut value = serde_json::from_slice(bytes).expect("JSON");
        change(&mut value);
        *bytes = serde_json::to_vec(&value).expect("JSON").into();
    };
    change(&mut delta, "head", &|head| {
        head["head"]["newInSomeVersion"] = json!({"a": [1]})
    });
    change(&mut delta, "forward/TLSRoute infra/r0", &|forward| {
        forward["forward"]["value"]["mood"] = json!("good")
    });
    let held = Assembly::default().apply(&delta).expect("what is not known does no harm");
    assert_eq!(held.snapshot(), Some(&snapshot));
    // It is kept all the same: after an update it is known.
    assert!(
        held.parts()
            .any(|(_, bytes)| String::from_utf8_lossy(bytes).contains("newInSomeVersion"))
    );

    change(&mut delta, "forward/TLSRoute infra/r0", &|forward| {
        forward["forward"]["value"]["backends"][0]["target"] = json!({"teleport": "x"});
    });
    let error = held.apply(&delta).map(|_| ()).expect_err("not known");
    assert!(
        error.to_string().contains("forward/TLSRoute infra/r0") && error.to_string().contains("teleport"),
        "{error}"
    );
    assert_eq!(held.snapshot(), Some(&snapshot));
}
