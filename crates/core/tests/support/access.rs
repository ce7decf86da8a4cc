//! Who reaches what: conflicts, lookup, refusals and grants against the reference, and what a change may touch.

use super::*;

/// The status of a listener, wherever it is held.
pub(super) fn status_of<'a>(compiled: &'a Compiled, listener: &Held<'_>) -> Option<&'a ListenerStatus> {
    let Held { owner, position, .. } = listener;
    let statuses = match owner.kind {
        Kind::ListenerSet => &compiled.statuses.listener_sets.get(&owner.key)?.listeners,
        _ => &compiled.statuses.gateways.get(&owner.key)?.listeners,
    };
    statuses.get(*position)
}

/// Of every listener that a Gateway of ours has, with those of its ListenerSets.
pub(super) fn held_and_said<'a, 'b>(
    input: &'a Input,
    compiled: &'b Compiled,
    gateway: &ObjectKey,
) -> Result<Vec<(Held<'a>, &'b ListenerStatus)>, TestCaseError> {
    let held = held::listeners(&input.resources, gateway).into_iter();
    held.map(|listener| {
        let status = status_of(compiled, &listener);
        let status = status.ok_or_else(|| TestCaseError::fail(format!("no status for {listener:?}")))?;
        prop_assert_eq!(&status.name, listener.section);
        Ok((listener, status))
    })
    .collect()
}

pub(super) fn conflicts_are_those_of_the_specification(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    for key in compiled.statuses.gateways.keys() {
        let all = held::listeners(&input.resources, key);
        for (listener, status) in held_and_said(input, compiled, key)? {
            let conflicted = is_true(&status.conditions, ConditionType::Conflicted);
            prop_assert_eq!(conflicted, held::conflicts(&all, &listener), "{} {}", key, listener.name);
            if conflicted {
                prop_assert!(!is_true(&status.conditions, ConditionType::Accepted));
            }
            let overlaps = all.iter().any(|other| {
                let meet = |name: &String| {
                    let matches = |listener: &Held<'_>| reference::hostname_matches(listener.hostname.as_deref(), Some(name));
                    matches(&listener) && matches(other)
                };
                other.name != listener.name
                    && other.port == listener.port
                    && reference::reads_hello(other)
                    && reference::reads_hello(&listener)
                    && ![other, &listener].iter().any(|one| held::is_beaten(&all, one))
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

pub(super) fn lookup_agrees_with_the_reference(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let names = reference::server_names(&input.resources);
    let questions: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).chain([None]).collect();
    for (object, snapshot) in &compiled.snapshots {
        let held = held::listeners(&input.resources, &object.key);
        for port in held.iter().map(|listener| listener.port).collect::<BTreeSet<_>>() {
            let accepted = |listener: &Held<'_>| {
                let status = status_of(compiled, listener).expect("each has one");
                // A port that cannot be bound is not the snapshot's affair: the data plane goes on trying.
                is_true(&status.conditions, ConditionType::Accepted) || cannot_be_bound(compiled, listener)
            };
            let is_served = |listener: &Held<'_>| reference::has_names(listener) || listener.protocol == Protocol::Tcp;
            let serves = |listener: &Held<'_>| accepted(listener) && is_served(listener);
            let plan = snapshot.port(Transport::Tcp, port);
            let open = held.iter().any(|listener| listener.port == port && serves(listener));
            // Without any good certificate the port is open, and tells so by an alert.
            let has_references = |listener: &Held<'_>| {
                let status = status_of(compiled, listener);
                reference::is_passthrough(listener)
                    || status.is_some_and(|status| is_true(&status.conditions, ConditionType::ResolvedRefs))
            };
            prop_assert_eq!(plan.is_some(), open, "{} {}", object, port);
            let Some(plan) = plan else { continue };
            for name in &questions {
                let expected = match reference::listener(&held, port, *name) {
                    // No name is read there: see [`relays_agree_with_the_reference`].
                    _ if matches!(**plan, PortPlan::Tcp(_)) => continue,
                    None => None,
                    Some(listener) if !serves(listener) => Some(Err(())),
                    Some(listener) if !has_references(listener) => continue,
                    Some(listener) => reference::route(&input.resources, listener, *name).map(|(route, _)| Ok(route)),
                };
                let found = match plan.connection(Some(&hello(*name)), &mut NoTrace) {
                    Action::Passthrough { forward, .. } | Action::Terminate { forward, .. } | Action::Relay { forward, .. } => {
                        Some(Ok(forward.route.clone()))
                    }
                    Action::Requests { .. } => continue,
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

/// A TCP or UDP listener that is accepted has its port, whose traffic its oldest route has; weights stay whatever is behind them.
pub(super) fn relays_agree_with_the_reference(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    for (object, snapshot) in &compiled.snapshots {
        let held = held::listeners(&input.resources, &object.key);
        for listener in held.iter().filter(|listener| !held::is_beaten(&held, listener)) {
            let status = status_of(compiled, listener).expect("each has one");
            let transport = match listener.protocol {
                Protocol::Tcp => Transport::Tcp,
                Protocol::Udp => Transport::Udp,
                _ => continue,
            };
            let accepted = is_true(&status.conditions, ConditionType::Accepted) || cannot_be_bound(compiled, listener);
            let plan = snapshot.port(transport, listener.port).map(|plan| &**plan);
            let own = match (plan, transport) {
                (Some(PortPlan::Tcp(plan)), Transport::Tcp) | (Some(PortPlan::Udp(plan)), Transport::Udp) => Some(plan),
                (Some(PortPlan::Tls(_) | PortPlan::Http(_)), Transport::Tcp) | (None, _) => None,
                (Some(plan), _) => return Err(TestCaseError::fail(format!("{object} {}: {plan:?}", listener.name))),
            };
            let own = own.filter(|plan| plan.listener == listener.name);
            prop_assert_eq!(own.is_some(), accepted, "{} {}", object, &listener.name);
            let attached = reference::relays(&input.resources, listener);
            prop_assert_eq!(
                status.attached_routes as usize,
                attached.len(),
                "{} {}",
                object,
                &listener.name
            );
            let Some(plan) = own else { continue };
            let found = plan.forward.as_ref().map(|forward| &forward.route);
            prop_assert_eq!(
                found,
                attached.first().map(|(route, _)| route),
                "{} {}",
                object,
                &listener.name
            );
            let (Some(forward), Some((route, rules))) = (&plan.forward, attached.first()) else {
                continue;
            };
            let references = rules.first().map_or(&[][..], |rule| &rule.backend_refs);
            let weights = |forward: &Forward| forward.backends.iter().map(|backend| backend.weight).collect::<Vec<_>>();
            prop_assert_eq!(
                weights(forward),
                references.iter().map(|reference| reference.weight).collect::<Vec<_>>()
            );
            for backend in &forward.backends {
                let Target::Backend(backend) = &backend.target else { continue };
                // One that the command line gives endpoints need not be there.
                let service = input.resources.services.get(&backend.service).map(|service| &service.spec);
                let protocol = transport.to_string();
                let is_meant = |port: &sealway_api::ServicePort| {
                    port.port == backend.port && port.protocol.as_deref().unwrap_or("TCP") == protocol
                };
                let is_elsewhere = service.is_some_and(|service| service.kind.as_deref() == Some("ExternalName"))
                    || input.settings.endpoints.iter().any(|entry| entry.service == backend.service);
                prop_assert!(
                    is_elsewhere || service.is_some_and(|service| service.ports.iter().any(is_meant)),
                    "{} {}",
                    route,
                    &backend.service
                );
            }
        }
    }
    Ok(())
}

pub(super) fn cannot_be_bound(compiled: &Compiled, listener: &Held<'_>) -> bool {
    compiled.problems.iter().any(|problem| {
        problem.object.as_ref() == Some(&listener.owner)
            && problem.field == format!("spec.listeners[{}].port", listener.position)
            && matches!(
                problem.cause,
                Cause::PortInUse { .. } | Cause::PortNotPermitted { .. } | Cause::PortFailed { .. }
            )
    })
}

pub(super) fn hello(name: Option<&str>) -> HelloFacts<'_> {
    HelloFacts {
        server_name: name.map_or(ServerName::Absent, ServerName::Name),
        alpn: &[],
        source: "192.0.2.9:40000".parse().expect("socket"),
    }
}

pub(super) fn every_refusal_by_a_listener_shows_in_its_conditions(
    input: &Input,
    compiled: &Compiled,
) -> Result<(), TestCaseError> {
    for (object, snapshot) in &compiled.snapshots {
        let statuses = held_and_said(input, compiled, &object.key)?;
        for plan in snapshot.ports.values() {
            let PortPlan::Tls(plan) = &**plan else { continue };
            for listener in &plan.listeners {
                let status = statuses.iter().find(|(held, _)| held.name == listener.name);
                let programmed = status.is_some_and(|(_, status)| is_true(&status.conditions, ConditionType::Programmed));
                prop_assert!(status.is_some(), "{object} {}", listener.name);
                prop_assert!(
                    !programmed || listener.fate == ListenerFate::Serves,
                    "{object} {}",
                    listener.name
                );
                prop_assert!(listener.fate == ListenerFate::Serves || listener.routes.is_empty());
            }
        }
    }
    Ok(())
}

/// Who may be reached: Gateway, port, listener, hostname, route, backend.
pub(super) fn access(compiled: &Compiled) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for snapshot in compiled.snapshots.values() {
        let Snapshot {
            gateway, ports, tracing, ..
        } = &**snapshot;
        if let Some(tracing) = tracing
            .as_ref()
            .filter(|tracing| matches!(tracing.collector.target, Target::Backend(_)))
        {
            found.insert(format!(
                "{gateway} spans XTelemetryPolicy {} {}",
                tracing.policy, tracing.collector.name
            ));
        }
        for (port, plan) in ports {
            let PortPlan::Tls(plan) = &**plan else { continue };
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
    found.extend(reached_by_requests(compiled));
    found
}

pub(super) fn no_grant_less_gives_more_access(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
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
pub(super) fn backends(compiled: &Compiled) -> Vec<&Arc<Backend>> {
    let plans = compiled.snapshots.values().flat_map(|snapshot| snapshot.ports.values());
    let listeners = plans.flat_map(|plan| match &**plan {
        PortPlan::Tls(plan) => &plan.listeners[..],
        PortPlan::Http(_) | PortPlan::Tcp(_) | PortPlan::Udp(_) => &[],
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

/// Where a route reaches a Service or XBackend of another namespace, a grant there names both.
pub(super) fn every_crossing_has_a_grant(input: &Input, access: &BTreeSet<String>) -> Result<(), TestCaseError> {
    for line in access {
        let mut words = line.rsplit(' ');
        let (backend, route) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let kind = words.next().unwrap_or_default();
        let from = route.split('/').next().unwrap_or_default();
        let (to, service) = backend.split_once('/').unwrap_or_default();
        let service = service.split(':').next().unwrap_or_default();
        let (group, to_kind, service) = match service.strip_prefix("xbackend/") {
            Some(name) => ("gateway.networking.x-k8s.io", "XBackend", name),
            None => ("", "Service", service),
        };
        let mut grants = input.resources.reference_grants.iter().filter(|(key, _)| key.namespace == to);
        let granted = grants.any(|(_, grant)| {
            let mut entries = grant.spec.from.iter();
            let names_route = entries.any(|entry| entry.kind == kind && entry.namespace == from);
            let mut entries = grant.spec.to.iter();
            let named = |name: &Option<String>| name.as_deref().is_none_or(|name| name == service);
            names_route && entries.any(|entry| entry.kind == to_kind && entry.group == group && named(&entry.name))
        });
        prop_assert!(from == to || granted, "{line}");
    }
    Ok(())
}

pub(super) fn unchanged_parts_are_shared(before: &Compiled, after: &Compiled) -> Result<(), TestCaseError> {
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
            unchanged_requests_are_shared(old, new)?;
            let (PortPlan::Tls(old), PortPlan::Tls(new)) = (&**old, &**new) else {
                continue;
            };
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
