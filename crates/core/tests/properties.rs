//! What holds whatever the resources are: over every golden input, and over generated ones.

#[path = "support/access.rs"]
mod access;
#[allow(dead_code, reason = "the golden runner uses the rest")]
#[path = "support/case.rs"]
mod case;
#[path = "support/defaults.rs"]
mod defaults;
#[path = "support/held.rs"]
mod held;
#[path = "support/outputs.rs"]
mod outputs;
#[path = "support/reference.rs"]
mod reference;
#[path = "support/requests_access.rs"]
mod requests_access;
#[path = "support/requests_reference.rs"]
mod requests_reference;
#[path = "support/universe.rs"]
mod universe;

use std::collections::BTreeSet;
use std::sync::Arc;

use access::*;
use defaults::*;
use held::Held;
use outputs::*;
use proptest::prelude::*;
use requests_access::*;
use sealway_api::{
    Condition, ConditionStatus, ConditionType, Kind, ListenerStatus, ObjectKey, ObjectRef, ParentRef, Protocol, Resources,
};
use sealway_core::{
    Action, Backend, Cause, CertificateSlot, Compiled, Compiler, Forward, HelloFacts, HttpAction, ListenerFate, NoTrace,
    Placement, PortPlan, RejectReason, RelayPlan, ServerName, Settings, Snapshot, Target, Transport,
};
use universe::{Input, KEY_MARKER, PORTS, crowded, input, merged, requests, resources};

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
    let named = written_out(input);
    two_runs_give_equal_bytes(input, &compiled)?;
    order_inside_objects_does_not_matter(input, &compiled)?;
    statuses_are_a_fixpoint(input, &compiled)?;
    default_gateways_serve_as_if_they_were_named(&named, &compiled)?;
    every_parent_reference_of_ours_has_one_status(input, &named, &compiled)?;
    conditions_are_well_formed(&compiled)?;
    attached_routes_are_the_accepted_ones(&named, &compiled)?;
    no_output_holds_key_bytes(input, &compiled)?;
    keys_are_those_of_the_snapshot(&compiled)?;
    conflicts_are_those_of_the_specification(input, &compiled)?;
    lookup_agrees_with_the_reference(&named, &compiled)?;
    relays_agree_with_the_reference(&named, &compiled)?;
    every_refusal_by_a_listener_shows_in_its_conditions(input, &compiled)?;
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_property_holds_for_generated_resources(input in prop_oneof![input(), merged()]) {
        check(&input)?;
    }

    #[test]
    fn requests_fall_to_the_rules_that_the_specification_says(input in prop_oneof![input(), merged(), crowded(), crowded()]) {
        let compiled = compile(&input);
        let named = written_out(&input);
        requests_agree_with_the_reference(&named, &compiled)?;
        requests_are_counted(&named, &compiled)?;
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
    fn a_compiler_that_follows_routes_and_endpoints_equals_a_fresh_one(
        first in prop_oneof![input(), merged(), crowded()],
        history in proptest::collection::vec((resources(), proptest::collection::vec(any::<prop::sample::Index>(), 1..4)), 1..6),
    ) {
        let mut compiler = Compiler::new(first.settings.clone());
        let mut last = compiler.compile(&first.resources, &first.observed);
        let mut input = first;
        for (other, choices) in history {
            let here = routes_and_endpoints(&input.resources);
            let there = routes_and_endpoints(&other);
            for choice in choices {
                let all: Vec<_> = here.union(&there).cloned().collect();
                if !all.is_empty() {
                    input.resources.take_from(&other, choice.get(&all));
                }
            }
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
        let named = written_out(&input);
        for (key, route) in &input.resources.tls_routes {
            let mut after = input.clone();
            let replacement = other.tls_routes.values().next();
            match replacement {
                Some(replacement) => {
                    let mut new = (**replacement).clone();
                    new.metadata = route.metadata.clone();
                    new.spec.parent_refs.clone_from(&route.spec.parent_refs);
                    new.spec.use_default_gateways.clone_from(&route.spec.use_default_gateways);
                    after.resources.tls_routes.insert(key.clone(), Arc::new(new));
                }
                None => {
                    after.resources.tls_routes.remove(key);
                }
            }
            others_are_equal(&before, &compile(&after), |gateway| {
                let leads_there = |parent| reference::gateway_of(&input.resources, parent, &key.namespace).as_ref() == Some(gateway);
                named.resources.tls_routes.get(key).is_some_and(|route| route.spec.parent_refs.iter().any(leads_there))
            })?;
        }
    }

    #[test]
    fn a_younger_set_takes_nothing_from_what_was_there(input in prop_oneof![input(), merged()], set in universe::listener_set()) {
        // Where Gateways share addresses the older one has a port, whoever of it wants that.
        let mut after = Input { settings: apart(&input.settings), ..input };
        let before = compile(&after);
        let mut young: sealway_api::ListenerSet = serde_json::from_value(set).expect("a ListenerSet");
        young.metadata.name = "young".to_owned();
        young.metadata.creation_timestamp = Some("2030-01-01T00:00:00Z".parse().expect("time"));
        let (key, gateway) = (young.metadata.key(), young.gateway());
        after.resources.listener_sets.insert(key, Arc::new(young));
        let after = compile(&after);
        others_are_equal(&before, &after, |other| Some(other) == gateway.as_ref())?;
        for (other, status) in &before.statuses.listener_sets {
            let now = after.statuses.listener_sets.get(other).expect("it is still there");
            for (before, now) in status.listeners.iter().zip(&now.listeners) {
                let accepted = |status: &ListenerStatus| condition(&status.conditions, &ConditionType::Accepted).cloned();
                prop_assert_eq!(accepted(before), accepted(now), "{} {}", other, before.name);
            }
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

/// What may change without everything being compiled again.
fn routes_and_endpoints(resources: &Resources) -> BTreeSet<ObjectRef> {
    let kinds = [
        Kind::EndpointSlice,
        Kind::GrpcRoute,
        Kind::HttpRoute,
        Kind::TcpRoute,
        Kind::TlsRoute,
        Kind::UdpRoute,
    ];
    let all = resources.iter().map(|resource| resource.reference());
    all.filter(|object| kinds.contains(&object.kind)).collect()
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

#[test]
fn the_universe_reaches_the_ports_that_it_asks_about() {
    // A generator that never opens a port would prove nothing.
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut open = 0;
    let mut passed = 0;
    let mut ended = 0;
    let mut served = 0;
    let mut misdirected = 0;
    let (mut of_sets, mut beaten) = (0, 0);
    let mut relayed = 0;
    for _ in 0..1024 {
        let input = prop_oneof![3 => input(), 1 => merged()]
            .new_tree(&mut runner)
            .expect("a value")
            .current();
        let compiled = compile(&input);
        for gateway in compiled.snapshots.keys() {
            let held = held::listeners(&input.resources, &gateway.key);
            of_sets += held
                .iter()
                .filter(|listener| listener.owner.kind == Kind::ListenerSet)
                .count();
            beaten += held.iter().filter(|listener| held::is_beaten(&held, listener)).count();
        }
        let plans = compiled.snapshots.values().flat_map(|snapshot| snapshot.ports.values());
        relayed += plans
            .filter(
                |plan| matches!(&***plan, PortPlan::Udp(RelayPlan { forward: Some(forward), .. }) if forward.total_weight() > 0),
            )
            .count();
        for plan in compiled
            .snapshots
            .values()
            .flat_map(|snapshot| PORTS.map(|port| snapshot.port(Transport::Tcp, port)))
        {
            let Some(plan) = plan else { continue };
            open += 1;
            for name in reference::server_names(&input.resources) {
                match plan.connection(Some(&hello(Some(&name))), &mut NoTrace) {
                    Action::Passthrough { .. } => passed += 1,
                    Action::Terminate { .. } => ended += 1,
                    Action::Requests { listener } => {
                        let through = listener.map(|(through, ..)| through);
                        for asked in requests::asked() {
                            match plan.request(through, &asked.head(Some(&name)), &mut NoTrace) {
                                HttpAction::Serve { .. } => served += 1,
                                HttpAction::Reject { .. } => {}
                            }
                        }
                        let asked = requests::asked().swap_remove(0);
                        misdirected += reference::server_names(&input.resources)
                            .iter()
                            .filter(|other| {
                                let action = plan.request(through, &asked.head(Some(other)), &mut NoTrace);
                                matches!(action, HttpAction::Reject { reason, .. } if reason.status() == 421)
                            })
                            .count();
                    }
                    Action::Relay { .. } | Action::Reject(_) => {}
                }
            }
        }
    }
    assert!(
        of_sets > 300 && beaten > 100,
        "{of_sets} listeners were added by ListenerSets, {beaten} lost"
    );
    assert!(
        open > 50 && passed > 50 && ended > 10 && served > 150 && misdirected > 20 && relayed > 5,
        "{open} ports were open, {passed} connections were passed on, of {ended} TLS was ended; {served} requests were served, {misdirected} \
         names asked for another's; {relayed} UDP ports had a route"
    );
}
