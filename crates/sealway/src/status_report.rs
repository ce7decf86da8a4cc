//! Statuses as a table for people: one line for each object, listener and parent, with what holds and what does not.
//!
//! Input: [`Statuses`]. Output: styled text. Invariant: every condition that is not as it should be is named with its reason.

use std::fmt::Write as _;

use annotate_snippets::normalize_untrusted_str;
use anstyle::{AnsiColor, Style};
use sealway_api::{Condition, ConditionStatus, ConditionType, ParentRef, Statuses};

/// The whole table; empty when there is nothing to say.
pub(crate) fn render(statuses: &Statuses) -> String {
    let mut rows = Vec::new();
    for (name, status) in &statuses.gateway_classes {
        rows.push(Row::new(0, format!("GatewayClass {name}"), "", &status.conditions));
    }
    for (key, status) in &statuses.gateways {
        let addresses: Vec<&str> = status.addresses.iter().map(|address| address.value.as_str()).collect();
        rows.push(Row::new(0, format!("Gateway {key}"), addresses.join(" "), &status.conditions));
        for listener in &status.listeners {
            let routes = match listener.attached_routes {
                1 => "1 route".to_owned(),
                count => format!("{count} routes"),
            };
            rows.push(Row::new(
                1,
                format!("listener {}", listener.name),
                routes,
                &listener.conditions,
            ));
        }
    }
    for (route, status) in &statuses.routes {
        rows.push(Row::new(0, route.to_string(), "", &[]));
        for parent in &status.parents {
            rows.push(Row::new(
                1,
                parent_name("parent", &parent.parent_ref, &route.key.namespace),
                "",
                &parent.conditions,
            ));
        }
    }
    for (key, status) in &statuses.backend_tls_policies {
        rows.push(Row::new(0, format!("BackendTLSPolicy {key}"), "", &[]));
        for ancestor in &status.ancestors {
            rows.push(Row::new(
                1,
                parent_name("ancestor", &ancestor.ancestor_ref, &key.namespace),
                "",
                &ancestor.conditions,
            ));
        }
    }
    table(&rows)
}

struct Row<'a> {
    name: String,
    detail: String,
    conditions: &'a [Condition],
}

impl<'a> Row<'a> {
    fn new(depth: usize, name: String, detail: impl Into<String>, conditions: &'a [Condition]) -> Self {
        Self {
            name: format!("{}{}", "  ".repeat(depth), normalize_untrusted_str(&name)),
            detail: normalize_untrusted_str(&detail.into()),
            conditions,
        }
    }
}

fn table(rows: &[Row<'_>]) -> String {
    let width = |of: fn(&Row<'_>) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let names = width(|row| row.name.chars().count());
    let details = width(|row| row.detail.chars().count());
    let mut text = String::new();
    for row in rows {
        let conditions: Vec<String> = row.conditions.iter().filter_map(shown).collect();
        let line = format!("{:names$}  {:details$}  {}", row.name, row.detail, conditions.join("  "));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A parent as `Gateway namespace/name`, with listener and port where the reference names them.
fn parent_name(role: &str, parent: &ParentRef, own_namespace: &str) -> String {
    let namespace = parent.namespace.as_deref().unwrap_or(own_namespace);
    let section = parent.section_name.as_deref().map(|section| format!(" {section}"));
    let port = parent.port.map(|port| format!(" port {port}"));
    format!(
        "{role} {} {namespace}/{}{}{}",
        parent.kind,
        parent.name,
        section.unwrap_or_default(),
        port.unwrap_or_default()
    )
}

/// A condition in one word when it is as it should be; `None` for a complaint that does not hold.
fn shown(condition: &Condition) -> Option<String> {
    let complains = matches!(
        condition.kind,
        ConditionType::Conflicted
            | ConditionType::OverlappingTlsConfig
            | ConditionType::PartiallyInvalid
            | ConditionType::InsecureFrontendValidationMode
    );
    let name = condition.kind.to_string();
    let (text, style) = match (&condition.status, complains) {
        (ConditionStatus::False, true) => return None,
        (ConditionStatus::True, false) => (name, GOOD),
        (ConditionStatus::Unknown, _) => (format!("{name}=Unknown({})", condition.reason), OPEN),
        (ConditionStatus::True, true) => (format!("{name}({})", condition.reason), BAD),
        (status, _) => (format!("{name}={status}({})", condition.reason), BAD),
    };
    Some(format!("{style}{text}{style:#}"))
}

const GOOD: Style = AnsiColor::Green.on_default();
const OPEN: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

#[cfg(test)]
mod tests {
    use sealway_api::{GatewayStatus, ListenerStatus, ObjectKey, Reason};

    use super::*;

    fn condition(kind: ConditionType, status: ConditionStatus, reason: Reason) -> Condition {
        Condition {
            kind,
            status,
            reason,
            message: String::new(),
            observed_generation: 1,
        }
    }

    #[test]
    fn what_does_not_hold_is_named_with_its_reason() {
        let listener = ListenerStatus {
            name: "tls".to_owned(),
            attached_routes: 1,
            conditions: vec![
                condition(ConditionType::Accepted, ConditionStatus::False, Reason::PortUnavailable),
                condition(ConditionType::Conflicted, ConditionStatus::False, Reason::NoConflicts),
                condition(ConditionType::ResolvedRefs, ConditionStatus::True, Reason::ResolvedRefs),
            ],
            ..ListenerStatus::default()
        };
        let mut statuses = Statuses::default();
        let gateway = GatewayStatus {
            listeners: vec![listener],
            ..GatewayStatus::default()
        };
        statuses.gateways.insert(ObjectKey::new("infra", "edge"), gateway);
        let shown = anstream::adapter::strip_str(&render(&statuses)).to_string();
        assert_eq!(
            shown,
            "Gateway infra/edge\n  listener tls      1 route  Accepted=False(PortUnavailable)  ResolvedRefs\n"
        );
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(render(&Statuses::default()), "");
    }
}
