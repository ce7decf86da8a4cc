//! What becomes of requests, against the reference; which backends they reach; and what a change leaves shared.

use super::*;
use requests_reference::AnyRoute;
use sealway_core::{HttpRejectReason, HttpRoutes, HttpRule, ListenerId, Recording};

/// Lookup, with its index and its order, gives the rule that the specification's words give.
pub(super) fn requests_agree_with_the_reference(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    let names = reference::server_names(&input.resources);
    let hosts: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).chain([None]).collect();
    for (object, snapshot) in &compiled.snapshots {
        let held = held::listeners(&input.resources, &object.key);
        for (key, plan) in &snapshot.ports {
            for host in &hosts {
                let through = match &**plan {
                    PortPlan::Tcp(_) | PortPlan::Udp(_) => continue,
                    PortPlan::Http(_) => None,
                    PortPlan::Tls(_) => match plan.connection(Some(&hello(*host)), &mut NoTrace) {
                        Action::Requests {
                            listener: Some((id, ..)),
                        } => {
                            misdirected_as_the_reference(&held, key.port, (plan, id, *host), &hosts)?;
                            Some(id)
                        }
                        _ => continue,
                    },
                };
                requests_of_one_host(input, &held, key.port, (plan, through, *host), compiled)?;
            }
        }
    }
    Ok(())
}

/// A plan, the listener that the connection came through, and a name.
type At<'a, L> = (&'a Arc<PortPlan>, L, Option<&'a str>);

fn requests_of_one_host(
    input: &Input,
    held: &[Held<'_>],
    port: u16,
    (plan, through, host): At<'_, Option<ListenerId>>,
    compiled: &Compiled,
) -> Result<(), TestCaseError> {
    let listener = reference::listener(held, port, host);
    let attached: Vec<AnyRoute<'_>> =
        listener.map_or_else(Vec::new, |listener| requests_reference::attached(&input.resources, listener));
    for asked in requests::asked() {
        let head = asked.head(host);
        let mut trace = Recording::default();
        let action = plan.request(through, &head, &mut trace);
        prop_assert!(!trace.0.is_empty(), "an answer without an explanation");
        prop_assert_eq!(&action, &plan.request(through, &head, &mut NoTrace));
        let found = match action {
            HttpAction::Serve { matched, .. } => Some((matched.rule.route.clone(), matched.rule.position)),
            HttpAction::Reject {
                reason: HttpRejectReason::NoRoute | HttpRejectReason::NoListener,
                ..
            } => None,
            HttpAction::Reject {
                reason: HttpRejectReason::ListenerRefuses,
                listener: id,
            } => {
                let name = listener.map(|listener| &listener.name);
                let status = listener.and_then(|listener| status_of(compiled, listener));
                let programmed = status.is_some_and(|status| is_true(&status.conditions, ConditionType::Programmed));
                prop_assert!(!programmed, "{:?} {:?}", name, id);
                return Ok(());
            }
            HttpAction::Reject { reason, .. } => return Err(TestCaseError::fail(format!("{reason:?}"))),
        };
        prop_assert_eq!(
            found,
            requests_reference::rule(&attached, &head),
            "{} {:?} {:?}",
            port,
            host,
            asked
        );
    }
    Ok(())
}

/// 421 exactly where the host's listener is another one than the server name's.
fn misdirected_as_the_reference(
    held: &[Held<'_>],
    port: u16,
    (plan, through, name): At<'_, ListenerId>,
    hosts: &[Option<&str>],
) -> Result<(), TestCaseError> {
    let asked = requests::asked().swap_remove(0);
    let here = reference::listener(held, port, name).map(|listener| &listener.name);
    for host in hosts {
        let there = reference::listener(held, port, *host).map(|listener| &listener.name);
        let reason = match plan.request(Some(through), &asked.head(*host), &mut NoTrace) {
            HttpAction::Reject { reason, .. } => Some(reason),
            HttpAction::Serve { .. } => None,
        };
        prop_assert_eq!(
            reason == Some(HttpRejectReason::Misdirected),
            there.is_some() && there != here,
            "{:?}",
            host
        );
        prop_assert_eq!(reason == Some(HttpRejectReason::NoListener), there.is_none(), "{:?}", host);
    }
    Ok(())
}

/// "The number of Routes with the Accepted condition set to True that have been attached".
pub(super) fn requests_are_counted(input: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    for key in compiled.statuses.gateways.keys() {
        for (listener, status) in held_and_said(input, compiled, key)? {
            if matches!(listener.protocol.as_str(), "HTTP" | "HTTPS") {
                let attached = requests_reference::attached(&input.resources, &listener);
                prop_assert_eq!(status.attached_routes as usize, attached.len(), "{} {}", key, listener.name);
            }
        }
    }
    Ok(())
}

/// The requests of every listener, with its name.
pub(super) fn listeners_of(plan: &PortPlan) -> Vec<(&String, &Arc<HttpRoutes>)> {
    match plan {
        PortPlan::Tcp(_) | PortPlan::Udp(_) => Vec::new(),
        PortPlan::Http(plan) => plan
            .listeners
            .iter()
            .map(|listener| (&listener.name, &listener.requests))
            .collect(),
        PortPlan::Tls(plan) => {
            let listeners = plan.listeners.iter();
            listeners
                .filter_map(|listener| Some((&listener.name, listener.requests.as_ref()?)))
                .collect()
        }
    }
}

/// Everything that a rule may send to, mirrors and authorization servers included.
pub(super) fn targets(rule: &HttpRule) -> impl Iterator<Item = &sealway_core::WeightedBackend> {
    let filters = rule.backends.iter().map(|backend| &backend.filters).chain([&rule.filters]);
    let beside = filters.flat_map(|filters| {
        let mirrors = filters.mirrors.iter().map(|mirror| &mirror.backend);
        mirrors.chain(filters.external_auth.iter().map(|auth| &auth.backend))
    });
    rule.backends.iter().map(|backend| &backend.backend).chain(beside)
}

/// Who is reached by requests: Gateway, port, listener, hostname, route, backend.
pub(super) fn reached_by_requests(compiled: &Compiled) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for snapshot in compiled.snapshots.values() {
        for (port, plan) in &snapshot.ports {
            for (listener, routes) in listeners_of(plan) {
                for (hostname, host) in routes.hosts.iter() {
                    for rule in host.matches().iter().map(|matched| &matched.rule) {
                        let targets = targets(rule).filter(|backend| matches!(backend.target, Target::Backend(_)));
                        found.extend(targets.map(|backend| {
                            let hostname = hostname.to_string().replace(' ', "");
                            format!(
                                "{} {port} {listener} {hostname} {} {}",
                                snapshot.gateway, rule.route, backend.name
                            )
                        }));
                    }
                }
            }
        }
    }
    found
}

/// Hostnames and rules that say what they said are what they were.
pub(super) fn unchanged_requests_are_shared(before: &PortPlan, after: &PortPlan) -> Result<(), TestCaseError> {
    // A port that changed between clear text and TLS is another port altogether.
    if std::mem::discriminant(before) != std::mem::discriminant(after) {
        return Ok(());
    }
    let before = listeners_of(before);
    for (name, new) in listeners_of(after) {
        let Some((_, old)) = before.iter().find(|(other, _)| *other == name) else {
            continue;
        };
        prop_assert_eq!(Arc::ptr_eq(old, new), *old == new, "{}", name);
        for (pattern, new) in new.hosts.iter() {
            let Some((_, old)) = old.hosts.iter().find(|(other, _)| *other == pattern) else {
                continue;
            };
            prop_assert_eq!(Arc::ptr_eq(old, new), old == new, "{} {}", name, pattern);
            for rule in new.matches().iter().map(|matched| &matched.rule) {
                for old in old.matches().iter().map(|matched| &matched.rule).filter(|old| *old == rule) {
                    prop_assert!(Arc::ptr_eq(old, rule), "{} rule {}", rule.route, rule.position);
                }
            }
        }
    }
    Ok(())
}
