//! What holds whatever the resources are: over every golden input, and over generated ones.

#[allow(dead_code, reason = "the golden runner uses the rest")]
#[path = "support/case.rs"]
mod case;
#[path = "support/reference.rs"]
mod reference;
#[path = "support/universe.rs"]
mod universe;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use sealway_api::{
    Condition, ConditionStatus, ConditionType, GatewayStatus, Kind, ListenerStatus, ObjectKey, ObjectRef, Resources,
};
use sealway_core::{
    Action, Backend, Cause, Compiled, Compiler, HelloFacts, ListenerFate, NoTrace, Placement, PortPlan, RejectReason, ServerName,
    Settings, Snapshot, Target, Transport,
};
use universe::{Input, KEY_MARKER, PORTS, input, resources};

/// Generated inputs for each property; enough to find every fault that was ever put in by hand, in a few seconds.
const CASES: u32 = 128;

/// Compiles with a compiler that has seen nothing.
fn compile(input: &Input) -> Compiled {
    Compiler::new(input.settings.clone()).compile(&input.resources, &input.observed)
}

/// Everything that a compilation gives out, as bytes.
fn bytes(compiled: &Compiled) -> String {
    let snapshots = serde_json::to_string(&compiled.snapshots).expect("JSON");
    let statuses = serde_json::to_string(&compiled.statuses).expect("JSON");
    let problems = serde_json::to_string(&compiled.problems).expect("JSON");
    format!("{snapshots}\n{statuses}\n{problems}\n{:?}", compiled.names)
}

fn goldens() -> Vec<Input> {
    case::cases()
        .into_iter()
        .map(|case| Input {
            resources: case.resources,
            settings: case.settings,
            observed: case.observed,
        })
        .collect()
}

/// Every property of a single input.
fn check(input: &Input) -> Result<(), TestCaseError> {
    let compiled = compile(input);
    two_runs_give_equal_bytes(input, &compiled)?;
    order_inside_objects_does_not_matter(input, &compiled)?;
    statuses_are_a_fixpoint(input, &compiled)?;
    every_parent_reference_of_ours_has_one_status(input, &compiled)?;
    conditions_are_well_formed(&compiled)?;
    attached_routes_are_the_accepted_ones(input, &compiled)?;
    no_output_holds_key_bytes(input, &compiled)?;
    conflicts_are_those_of_the_specification(input, &compiled)?;
    lookup_agrees_with_the_reference(input, &compiled)?;
    every_refusal_by_a_listener_shows_in_its_conditions(&compiled)?;
    no_grant_less_gives_more_access(input, &compiled)
}

#[test]
fn every_property_holds_for_every_golden() {
    for input in goldens() {
        if let Err(error) = check(&input) {
            panic!("{error}\n{:#?}", input.resources);
        }
    }
}

#[test]
fn a_compiler_that_has_seen_every_golden_gives_what_a_fresh_one_gives() {
    // One compiler for each setting, since settings are fixed for its life.
    let mut used: Vec<(Settings, Compiler)> = Vec::new();
    for input in goldens().into_iter().chain(goldens().into_iter().rev()) {
        if !used.iter().any(|(settings, _)| *settings == input.settings) {
            used.push((input.settings.clone(), Compiler::new(input.settings.clone())));
        }
        let compiler = used.iter_mut().find(|(settings, _)| *settings == input.settings);
        let (_, compiler) = compiler.expect("just made");
        assert_eq!(
            bytes(&compiler.compile(&input.resources, &input.observed)),
            bytes(&compile(&input))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_property_holds_for_generated_resources(input in input()) {
        check(&input)?;
    }

    #[test]
    fn a_used_compiler_equals_a_fresh_one_and_keeps_what_did_not_change(
        first in input(), history in proptest::collection::vec(resources(), 1..4),
    ) {
        let mut compiler = Compiler::new(first.settings.clone());
        let mut last = compiler.compile(&first.resources, &first.observed);
        for resources in history.into_iter().chain([first.resources.clone()]) {
            let input = Input { resources, ..first.clone() };
            let compiled = compiler.compile(&input.resources, &input.observed);
            prop_assert_eq!(bytes(&compiled), bytes(&compile(&input)));
            unchanged_parts_are_shared(&last, &compiled)?;
            last = compiled;
        }
    }

    #[test]
    fn a_gateway_that_breaks_changes_no_other_gateway(input in input(), broken in gateway_spec()) {
        let before = compile(&Input { settings: apart(&input.settings), ..input.clone() });
        for key in input.resources.gateways.keys() {
            let mut after = Input { settings: apart(&input.settings), ..input.clone() };
            let gateway = after.resources.gateways.get_mut(key).map(Arc::make_mut).expect("its key");
            gateway.spec = broken.clone();
            let after = compile(&after);
            others_are_equal(&before, &after, |gateway| gateway == key)?;
        }
    }

    #[test]
    fn a_route_that_changes_reaches_only_its_own_parents(input in input(), other in resources()) {
        let input = Input { settings: apart(&input.settings), ..input };
        let before = compile(&input);
        for (key, route) in &input.resources.tls_routes {
            let mut after = input.clone();
            let replacement = other.tls_routes.values().next();
            match replacement {
                Some(replacement) => {
                    let mut new = (**replacement).clone();
                    new.metadata = route.metadata.clone();
                    new.spec.parent_refs.clone_from(&route.spec.parent_refs);
                    after.resources.tls_routes.insert(key.clone(), Arc::new(new));
                }
                None => {
                    after.resources.tls_routes.remove(key);
                }
            }
            others_are_equal(&before, &compile(&after), |gateway| {
                route.spec.parent_refs.iter().any(|parent| reference::names(parent, &key.namespace, gateway))
            })?;
        }
    }

    #[test]
    fn a_younger_gateway_takes_nothing_from_an_older_one(input in input(), spec in gateway_spec()) {
        let before = compile(&input);
        let mut after = input;
        let mut young = sealway_api::Gateway { spec, ..Default::default() };
        young.metadata.namespace = Some("young".to_owned());
        young.metadata.name = "young".to_owned();
        young.metadata.creation_timestamp = Some("2030-01-01T00:00:00Z".parse().expect("time"));
        after.resources.gateways.insert(young.metadata.key(), Arc::new(young));
        others_are_equal(&before, &compile(&after), |gateway| gateway.namespace == "young")?;
    }
}

fn gateway_spec() -> impl Strategy<Value = sealway_api::GatewaySpec> {
    resources().prop_filter_map("a Gateway", |resources| {
        resources.gateways.values().next().map(|gateway| gateway.spec.clone())
    })
}

/// Settings under which Gateways share no sockets.
fn apart(settings: &Settings) -> Settings {
    Settings {
        placement: Placement::Cluster,
        ..settings.clone()
    }
}

fn others_are_equal(before: &Compiled, after: &Compiled, is_meant: impl Fn(&ObjectKey) -> bool) -> Result<(), TestCaseError> {
    for (gateway, snapshot) in &before.snapshots {
        if !is_meant(&gateway.key) {
            prop_assert_eq!(Some(snapshot), after.snapshots.get(gateway));
        }
    }
    Ok(())
}

fn two_runs_give_equal_bytes(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    prop_assert_eq!(bytes(&compile(input)), bytes(compiled));
    Ok(())
}

/// Problems name positions, which move with the order; nothing else may.
fn order_inside_objects_does_not_matter(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let mut turned = input.clone();
    turned.settings.endpoints.reverse();
    for slice in turned.resources.endpoint_slices.values_mut().map(Arc::make_mut) {
        slice.endpoints.reverse();
        slice.ports.reverse();
    }
    for grant in turned.resources.reference_grants.values_mut().map(Arc::make_mut) {
        grant.spec.from.reverse();
        grant.spec.to.reverse();
    }
    for service in turned.resources.services.values_mut().map(Arc::make_mut) {
        service.spec.ports.reverse();
    }
    for gateway in turned.resources.gateways.values_mut().map(Arc::make_mut) {
        gateway.spec.addresses.reverse();
    }
    let after = compile(&turned);
    prop_assert_eq!(&after.snapshots, &compiled.snapshots);
    let said = |compiled: &Compiled| -> BTreeSet<(Option<ObjectRef>, &'static str)> {
        let problems = compiled.problems.iter();
        problems
            .map(|problem| (problem.object.clone(), problem.cause.code()))
            .collect()
    };
    prop_assert_eq!(said(&after), said(compiled));
    Ok(())
}

fn statuses_are_a_fixpoint(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let mut written = input.clone();
    for (key, gateway) in &mut written.resources.gateways {
        Arc::make_mut(gateway).status = compiled.statuses.gateways.get(key).cloned();
    }
    macro_rules! write {
        ($($field:ident: $kind:ident),+) => {$(
            for (key, route) in &mut written.resources.$field {
                Arc::make_mut(route).status = compiled.statuses.routes.get(&ObjectRef::of(Kind::$kind, key)).cloned();
            }
        )+};
    }
    write!(tls_routes: TlsRoute, http_routes: HttpRoute, grpc_routes: GrpcRoute, tcp_routes: TcpRoute, udp_routes: UdpRoute);
    prop_assert_eq!(bytes(&compile(&written)), bytes(compiled));
    Ok(())
}

/// Whether a Gateway's class is one that these settings serve.
fn is_ours(input: &Input, gateway: &ObjectKey) -> bool {
    let gateway = input.resources.gateways.get(gateway);
    let class = gateway.and_then(|gateway| {
        let name = ObjectKey::new("", &gateway.spec.gateway_class_name);
        input.resources.gateway_classes.get(&name)
    });
    class.is_some_and(|class| match &input.settings.classes {
        sealway_core::Classes::Every => true,
        sealway_core::Classes::Named(name) => class.spec.controller_name == *name,
    })
}

fn every_parent_reference_of_ours_has_one_status(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let resources = &input.resources;
    let tls = resources
        .tls_routes
        .iter()
        .map(|(key, route)| (Kind::TlsRoute, key, &route.spec.parent_refs));
    let http = resources
        .http_routes
        .iter()
        .map(|(key, route)| (Kind::HttpRoute, key, &route.spec.parent_refs));
    for (kind, key, parents) in tls.chain(http) {
        let statuses = compiled.statuses.routes.get(&ObjectRef::of(kind, key));
        let written = statuses.map_or(&[][..], |status| &status.parents);
        for status in written {
            prop_assert!(
                parents.contains(&status.parent_ref),
                "a status for a reference that {key} has not"
            );
            prop_assert_eq!(&status.controller_name, input.settings.controller_name());
        }
        for parent in parents {
            let ours = resources
                .gateways
                .keys()
                .find(|gateway| reference::names(parent, &key.namespace, gateway));
            let expected = usize::from(ours.is_some_and(|gateway| is_ours(input, gateway)));
            let found = written.iter().filter(|status| status.parent_ref == *parent).count();
            prop_assert_eq!(found, expected, "{} {:?}", key, parent);
        }
    }
    Ok(())
}

fn conditions_are_well_formed(compiled: &Compiled) -> Result<(), TestCaseError> {
    let statuses = &compiled.statuses;
    let classes = statuses.gateway_classes.values().map(|status| &status.conditions);
    let gateways = statuses.gateways.values().map(|status| &status.conditions);
    let listeners = statuses.gateways.values().flat_map(|status| &status.listeners);
    let routes = statuses.routes.values().flat_map(|status| &status.parents);
    let all = classes.chain(gateways).chain(listeners.map(|listener| &listener.conditions));
    for conditions in all.chain(routes.map(|parent| &parent.conditions)) {
        let kinds: BTreeSet<_> = conditions.iter().map(|condition| &condition.kind).collect();
        prop_assert_eq!(kinds.len(), conditions.len(), "one condition of each type");
        prop_assert!(conditions.len() <= 8, "the CRDs take eight");
        for condition in conditions {
            prop_assert!(condition.message.len() <= 32_768 && !condition.message.is_empty());
            prop_assert!(!matches!(condition.reason, sealway_api::Reason::Other(_)));
        }
    }
    Ok(())
}

fn condition<'a>(conditions: &'a [Condition], kind: &ConditionType) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == *kind)
}

fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    condition(conditions, &kind).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// "The AttachedRoutes number represents the number of Routes with the Accepted condition set to True that have been attached".
fn attached_routes_are_the_accepted_ones(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    for (key, status) in &compiled.statuses.gateways {
        let Some(gateway) = input.resources.gateways.get(key) else {
            continue;
        };
        for (listener, status) in gateway.spec.listeners.iter().zip(&status.listeners) {
            if !reference::is_passthrough(listener) {
                continue;
            }
            let routes = input.resources.tls_routes.iter().filter(|(name, route)| {
                let accepted = compiled.statuses.routes.get(&ObjectRef::of(Kind::TlsRoute, name));
                let accepted = accepted.is_some_and(|status| {
                    status.parents.iter().any(|parent| {
                        reference::names(&parent.parent_ref, &name.namespace, key)
                            && is_true(&parent.conditions, ConditionType::Accepted)
                    })
                });
                accepted && reference::attaches(&input.resources, route, gateway, listener)
            });
            prop_assert_eq!(status.attached_routes as usize, routes.count(), "{} {}", key, listener.name);
        }
    }
    Ok(())
}

fn no_output_holds_key_bytes(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let texts = [bytes(compiled), format!("{compiled:?}"), format!("{input:?}")];
    let in_decimal = format!("{:?}", KEY_MARKER.as_bytes());
    let in_decimal = in_decimal.trim_matches(['[', ']']);
    for text in &texts {
        prop_assert!(!text.contains(KEY_MARKER) && !text.contains(in_decimal));
        // base64 of the marker, at each of the three alignments less their edges.
        for part in [
            "TUFSS0VSLU9GLUEtUFJJVkFURS1LRV",
            "1BUktFUi1PRi1BLVBSSVZBVEUtS0VZ",
            "NQVJLRVItT0YtQS1QUklWQVRFLUtFW",
        ] {
            prop_assert!(!text.contains(part));
        }
    }
    Ok(())
}

fn listener_statuses<'a>(compiled: &'a Compiled, gateway: &ObjectKey) -> &'a [ListenerStatus] {
    compiled
        .statuses
        .gateways
        .get(gateway)
        .map_or(&[], |status: &GatewayStatus| &status.listeners)
}

fn conflicts_are_those_of_the_specification(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    for (key, gateway) in &input.resources.gateways {
        for (listener, status) in gateway.spec.listeners.iter().zip(listener_statuses(compiled, key)) {
            let conflicted = is_true(&status.conditions, ConditionType::Conflicted);
            prop_assert_eq!(
                conflicted,
                reference::conflicts(gateway, listener),
                "{} {}",
                key,
                listener.name
            );
            if conflicted {
                prop_assert!(!is_true(&status.conditions, ConditionType::Accepted));
            }
            let overlaps = gateway.spec.listeners.iter().any(|other| {
                let meet = |name: &String| {
                    let matches =
                        |listener: &sealway_api::Listener| reference::hostname_matches(listener.hostname.as_deref(), Some(name));
                    matches(listener) && matches(other)
                };
                other.name != listener.name
                    && other.port == listener.port
                    && reference::reads_hello(other)
                    && reference::reads_hello(listener)
                    && reference::server_names(&input.resources).iter().any(meet)
            });
            prop_assert_eq!(
                condition(&status.conditions, &ConditionType::OverlappingTlsConfig).is_some(),
                overlaps
            );
        }
    }
    Ok(())
}

fn lookup_agrees_with_the_reference(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let names = reference::server_names(&input.resources);
    let questions: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).chain([None]).collect();
    for (object, snapshot) in &compiled.snapshots {
        let gateway = &input.resources.gateways[&object.key];
        for port in gateway
            .spec
            .listeners
            .iter()
            .map(|listener| listener.port)
            .collect::<BTreeSet<_>>()
        {
            let statuses = listener_statuses(compiled, &object.key);
            let accepted = |name: &str| {
                let (position, status) = (0..)
                    .zip(statuses)
                    .find(|(_, status)| status.name == name)
                    .expect("each has one");
                // A port that cannot be bound is not the snapshot's affair: the data plane goes on trying.
                is_true(&status.conditions, ConditionType::Accepted) || cannot_be_bound(compiled, object, position)
            };
            let serves = |listener: &sealway_api::Listener| accepted(&listener.name) && reference::is_passthrough(listener);
            let plan = snapshot.port(Transport::Tcp, port);
            let open = gateway
                .spec
                .listeners
                .iter()
                .any(|listener| listener.port == port && serves(listener));
            prop_assert_eq!(plan.is_some(), open, "{} {}", object, port);
            let Some(plan) = plan else { continue };
            for name in &questions {
                let expected = match reference::listener(gateway, port, *name) {
                    None => None,
                    Some(listener) if !serves(listener) => Some(Err(())),
                    Some(listener) => reference::route(&input.resources, gateway, listener, *name).map(|(route, _)| Ok(route)),
                };
                let found = match plan.connection(Some(&hello(*name)), &mut NoTrace) {
                    Action::Passthrough { forward, .. } => Some(Ok(forward.route.clone())),
                    Action::Reject(rejection) => match rejection.reason {
                        RejectReason::ListenerRefuses => Some(Err(())),
                        RejectReason::NoWeight => continue,
                        _ => None,
                    },
                };
                prop_assert_eq!(found, expected, "{} {} {:?}", object, port, name);
            }
        }
    }
    Ok(())
}

fn cannot_be_bound(compiled: &Compiled, gateway: &ObjectRef, listener: usize) -> bool {
    compiled.problems.iter().any(|problem| {
        problem.object.as_ref() == Some(gateway)
            && problem.field == format!("spec.listeners[{listener}].port")
            && matches!(
                problem.cause,
                Cause::PortInUse { .. } | Cause::PortNotPermitted { .. } | Cause::PortFailed { .. }
            )
    })
}

fn hello(name: Option<&str>) -> HelloFacts<'_> {
    HelloFacts {
        server_name: name.map_or(ServerName::Absent, ServerName::Name),
        alpn: &[],
        source: "192.0.2.9:40000".parse().expect("socket"),
    }
}

fn every_refusal_by_a_listener_shows_in_its_conditions(compiled: &Compiled) -> Result<(), TestCaseError> {
    for (object, snapshot) in &compiled.snapshots {
        let statuses = listener_statuses(compiled, &object.key);
        for plan in snapshot.ports.values() {
            let PortPlan::Tls(plan) = &**plan;
            for listener in &plan.listeners {
                let status = statuses.iter().find(|status| status.name == listener.name);
                let programmed = status.is_some_and(|status| is_true(&status.conditions, ConditionType::Programmed));
                prop_assert!(
                    !programmed || listener.fate == ListenerFate::Serves,
                    "{object} {}",
                    listener.name
                );
                prop_assert!(
                    listener.fate == ListenerFate::Serves || !programmed,
                    "{object} {}",
                    listener.name
                );
            }
        }
    }
    Ok(())
}

/// Who may be reached: Gateway, port, listener, hostname, route, backend.
fn access(compiled: &Compiled) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for snapshot in compiled.snapshots.values() {
        let Snapshot { gateway, ports, .. } = &**snapshot;
        for (port, plan) in ports {
            let PortPlan::Tls(plan) = &**plan;
            for listener in &plan.listeners {
                for (hostname, forward) in listener.routes.iter() {
                    for backend in forward
                        .backends
                        .iter()
                        .filter(|backend| matches!(backend.target, Target::Backend(_)))
                    {
                        found.insert(format!(
                            "{gateway} {port} {} {hostname} {} {}",
                            listener.name, forward.route, backend.name
                        ));
                    }
                }
            }
        }
    }
    found
}

fn no_grant_less_gives_more_access(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let with_all = access(compiled);
    for key in input.resources.reference_grants.keys() {
        let mut less: Resources = input.resources.clone();
        less.reference_grants.remove(key);
        let less = compile(&Input {
            resources: less,
            ..input.clone()
        });
        prop_assert!(access(&less).is_subset(&with_all), "without grant {key}");
    }
    every_crossing_has_a_grant(input, &with_all)?;
    // And none at all gives nothing across namespaces.
    let mut none = input.clone();
    none.resources.reference_grants.clear();
    for line in access(&compile(&none)) {
        let mut words = line.rsplit(' ');
        let (backend, route) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        prop_assert_eq!(backend.split('/').next(), route.split('/').next(), "{}", line);
    }
    Ok(())
}

/// Every backend that a compilation names.
fn backends(compiled: &Compiled) -> Vec<&Arc<Backend>> {
    let plans = compiled.snapshots.values().flat_map(|snapshot| snapshot.ports.values());
    let listeners = plans.flat_map(|plan| {
        let PortPlan::Tls(plan) = &**plan;
        &plan.listeners
    });
    let forwards = listeners.flat_map(|listener| listener.routes.iter().map(|(_, forward)| forward));
    let targets = forwards.flat_map(|forward| &forward.backends).map(|backend| &backend.target);
    targets
        .filter_map(|target| match target {
            Target::Backend(backend) => Some(backend),
            Target::Refuse(_) => None,
        })
        .collect()
}

/// Where a route reaches a Service of another namespace, a grant there names both.
fn every_crossing_has_a_grant(input: &Input, access: &BTreeSet<String>) -> Result<(), TestCaseError> {
    for line in access {
        let mut words = line.rsplit(' ');
        let (backend, route) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let from = route.split('/').next().unwrap_or_default();
        let (to, service) = backend.split_once('/').unwrap_or_default();
        let service = service.split(':').next().unwrap_or_default();
        let mut grants = input.resources.reference_grants.iter().filter(|(key, _)| key.namespace == to);
        let granted = grants.any(|(_, grant)| {
            let mut entries = grant.spec.from.iter();
            let names_route = entries.any(|entry| entry.kind == "TLSRoute" && entry.namespace == from);
            let mut entries = grant.spec.to.iter();
            let named = |name: &Option<String>| name.as_deref().is_none_or(|name| name == service);
            names_route && entries.any(|entry| entry.kind == "Service" && entry.group.is_empty() && named(&entry.name))
        });
        prop_assert!(from == to || granted, "{line}");
    }
    Ok(())
}

fn unchanged_parts_are_shared(before: &Compiled, after: &Compiled) -> Result<(), TestCaseError> {
    for new in backends(after) {
        for old in backends(before).into_iter().filter(|old| *old == new) {
            prop_assert!(Arc::ptr_eq(old, new), "{}:{}", new.service, new.port);
        }
    }
    for (object, new) in &after.snapshots {
        let Some(old) = before.snapshots.get(object) else { continue };
        prop_assert_eq!(Arc::ptr_eq(old, new), old == new, "snapshot of {}", object);
        for (key, new) in &new.ports {
            let Some(old) = old.ports.get(key) else { continue };
            prop_assert_eq!(Arc::ptr_eq(old, new), old == new, "{} {}", object, key);
            let (PortPlan::Tls(old), PortPlan::Tls(new)) = (&**old, &**new);
            for new in &new.listeners {
                let Some(old) = old.listeners.iter().find(|old| old.name == new.name) else {
                    continue;
                };
                prop_assert_eq!(Arc::ptr_eq(old, new), old == new, "{} {} {}", object, key, new.name);
                for (pattern, new) in new.routes.iter() {
                    for (_, old) in old
                        .routes
                        .iter()
                        .filter(|(other, old)| *other == pattern && old.route == new.route)
                    {
                        prop_assert_eq!(Arc::ptr_eq(old, new), old == new, "{} {} {}", object, key, pattern);
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn the_universe_reaches_the_ports_that_it_asks_about() {
    // A generator that never opens a port would prove nothing.
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut open = 0;
    let mut passed = 0;
    for _ in 0..128 {
        let input = input().new_tree(&mut runner).expect("a value").current();
        let compiled = compile(&input);
        for plan in compiled
            .snapshots
            .values()
            .flat_map(|snapshot| PORTS.map(|port| snapshot.port(Transport::Tcp, port)))
        {
            let Some(plan) = plan else { continue };
            open += 1;
            passed += reference::server_names(&input.resources)
                .iter()
                .filter(|name| {
                    matches!(
                        plan.connection(Some(&hello(Some(name))), &mut NoTrace),
                        Action::Passthrough { .. }
                    )
                })
                .count();
        }
    }
    assert!(
        open > 50 && passed > 50,
        "{open} ports were open, {passed} connections were passed on"
    );
}
