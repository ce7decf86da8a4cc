//! What every compilation's own words must hold: bytes, statuses, conditions, and no key anywhere.

use sealway_api::edit_each;

use super::*;

pub(super) fn two_runs_give_equal_bytes(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    prop_assert_eq!(bytes(&compile(input)), bytes(compiled));
    Ok(())
}

/// Problems name positions, which move with the order; nothing else may.
pub(super) fn order_inside_objects_does_not_matter(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let mut turned = input.clone();
    turned.settings.endpoints.reverse();
    edit_each(&mut turned.resources.endpoint_slices, |_, slice| {
        slice.endpoints.reverse();
        slice.ports.reverse();
    });
    edit_each(&mut turned.resources.reference_grants, |_, grant| {
        grant.spec.from.reverse();
        grant.spec.to.reverse();
    });
    edit_each(&mut turned.resources.services, |_, service| {
        service.spec.ports.reverse();
    });
    edit_each(&mut turned.resources.gateways, |_, gateway| {
        gateway.spec.addresses.reverse();
    });
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

pub(super) fn statuses_are_a_fixpoint(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let mut written = input.clone();
    edit_each(&mut written.resources.gateways, |key, gateway| {
        gateway.status = compiled.statuses.gateways.get(key).cloned();
    });
    edit_each(&mut written.resources.listener_sets, |key, set| {
        set.status = compiled.statuses.listener_sets.get(key).map(|status| (**status).clone());
    });
    macro_rules! write {
        ($($field:ident: $kind:ident),+) => {$(
            edit_each(&mut written.resources.$field, |key, route| {
                route.status = compiled.statuses.routes.get(&ObjectRef::of(Kind::$kind, key)).map(|status| (**status).clone());
            });
        )+};
    }
    write!(tls_routes: TlsRoute, http_routes: HttpRoute, grpc_routes: GrpcRoute, tcp_routes: TcpRoute, udp_routes: UdpRoute);
    prop_assert_eq!(bytes(&compile(&written)), bytes(compiled));
    Ok(())
}

/// Whether a Gateway's class is one that these settings serve.
pub(super) fn is_ours(input: &Input, gateway: &ObjectKey) -> bool {
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

/// Of the default Gateways in `named`, those that do not take the route may go without.
pub(super) fn every_parent_reference_of_ours_has_one_status(
    input: &Input,
    named: &Input,
    compiled: &Compiled,
) -> Result<(), TestCaseError> {
    let resources = &named.resources;
    let tls = resources
        .tls_routes
        .iter()
        .map(|(key, route)| (Kind::TlsRoute, key, &route.spec.parent_refs));
    let http = resources
        .http_routes
        .iter()
        .map(|(key, route)| (Kind::HttpRoute, key, &route.spec.parent_refs));
    for (kind, key, parents) in tls.chain(http) {
        let statuses = compiled.statuses.routes.get(&ObjectRef::of(kind.clone(), key));
        let written = statuses.map_or(&[][..], |status| &status.parents);
        for status in written {
            prop_assert!(
                parents.contains(&status.parent_ref),
                "a status for a reference that {key} has not"
            );
            prop_assert_eq!(&status.controller_name, input.settings.controller_name());
        }
        for parent in parents {
            let ours = reference::gateway_of(resources, parent, &key.namespace);
            let expected = usize::from(ours.is_some_and(|gateway| is_ours(input, &gateway)));
            let found: Vec<_> = written.iter().filter(|status| status.parent_ref == *parent).collect();
            let is_written = match kind {
                Kind::TlsRoute => input.resources.tls_routes.get(key).map(|route| &route.spec.parent_refs),
                _ => input.resources.http_routes.get(key).map(|route| &route.spec.parent_refs),
            };
            if found.is_empty() && !is_written.is_some_and(|parents| parents.contains(parent)) {
                continue;
            }
            prop_assert_eq!(found.len(), expected, "{} {:?}", key, parent);
        }
    }
    Ok(())
}

/// Beside a snapshot stand the keys of the certificates that it names, and no others.
pub(super) fn keys_are_those_of_the_snapshot(compiled: &Compiled) -> Result<(), TestCaseError> {
    for (gateway, snapshot) in &compiled.snapshots {
        let mut named = BTreeSet::new();
        for plan in snapshot.ports.values() {
            let PortPlan::Tls(plan) = &**plan else { continue };
            let terminations = plan.listeners.iter().filter_map(|listener| listener.termination.as_ref());
            for slot in terminations.flat_map(|termination| &termination.certificates) {
                if let CertificateSlot::Served(certificate) = slot {
                    named.insert(certificate.content);
                }
            }
        }
        named.extend(snapshot.client_certificate.iter().map(|certificate| certificate.content));
        let held: BTreeSet<_> = compiled
            .keys
            .get(gateway)
            .iter()
            .flat_map(|keys| keys.0.keys().copied())
            .collect();
        prop_assert_eq!(named, held, "{}", gateway);
    }
    Ok(())
}

pub(super) fn conditions_are_well_formed(compiled: &Compiled) -> Result<(), TestCaseError> {
    let statuses = &compiled.statuses;
    let classes = statuses.gateway_classes.values().map(|status| &status.conditions);
    let gateways = statuses.gateways.values().map(|status| &status.conditions);
    let sets = statuses.listener_sets.values();
    let listeners = statuses.gateways.values().flat_map(|status| &status.listeners);
    let listeners = listeners.chain(sets.clone().flat_map(|status| &status.listeners));
    let gateways = gateways.chain(sets.map(|status| &status.conditions));
    let routes = statuses.routes.values().flat_map(|status| &status.parents);
    let policies = (statuses.backend_tls_policies.values()).chain(statuses.x_backend_traffic_policies.values());
    let policies = policies.chain(statuses.x_telemetry_policies.values());
    let policies = policies.flat_map(|status| &status.ancestors);
    let all = classes.chain(gateways).chain(listeners.map(|listener| &listener.conditions));
    let all = all.chain(policies.map(|ancestor| &ancestor.conditions));
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

pub(super) fn condition<'a>(conditions: &'a [Condition], kind: &ConditionType) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == *kind)
}

pub(super) fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    condition(conditions, &kind).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// "The AttachedRoutes number represents the number of Routes with the Accepted condition set to True that have been attached".
pub(super) fn attached_routes_are_the_accepted_ones(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    for key in compiled.statuses.gateways.keys() {
        for (listener, status) in held_and_said(input, compiled, key)? {
            if !reference::is_passthrough(&listener) {
                continue;
            }
            let routes = input.resources.tls_routes.iter().filter(|(name, route)| {
                let accepted = compiled.statuses.routes.get(&ObjectRef::of(Kind::TlsRoute, name));
                let accepted = accepted.is_some_and(|status| {
                    status.parents.iter().any(|parent| {
                        reference::names(&parent.parent_ref, &name.namespace, &listener.owner)
                            && is_true(&parent.conditions, ConditionType::Accepted)
                    })
                });
                accepted && reference::attaches(&input.resources, route, &listener)
            });
            prop_assert_eq!(status.attached_routes as usize, routes.count(), "{} {}", key, listener.name);
        }
    }
    Ok(())
}

pub(super) fn no_output_holds_key_bytes(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let texts = [bytes(compiled), format!("{compiled:?}"), format!("{input:?}")];
    // Real keys: no line of their PEM, nor a part of what it stands for, in hexadecimal or as Rust prints bytes.
    for (secret, value) in input
        .resources
        .secrets
        .iter()
        .filter_map(|(name, secret)| Some((name, secret.data.get("tls.key")?)))
    {
        let pem = String::from_utf8_lossy(value.expose());
        for line in pem.lines().filter(|line| line.len() >= 40 && !line.starts_with("--")) {
            prop_assert!(texts.iter().all(|text| !text.contains(line)), "{} {}", secret, "PEM");
        }
    }
    for (content, material) in compiled.keys.values().flat_map(|keys| &keys.0) {
        let der = material.key.secret_der();
        // Past the header, which is the same for every key of a kind, and public.
        for part in der.chunks_exact(16).skip(2) {
            let hexadecimal: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
            let decimal = part.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            for text in &texts {
                prop_assert!(!text.contains(&hexadecimal) && !text.contains(&decimal), "{}", content);
            }
        }
    }
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
