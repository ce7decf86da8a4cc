//! Statuses as a table for people: one line for each object, listener and parent, with what holds and what does not.
//!
//! Input: [`Statuses`], and those of the embedded issuer. Output: styled text. Invariant: every condition that is not as it should be is named with its reason.

use std::fmt::Write as _;

use annotate_snippets::normalize_untrusted_str;
use anstyle::{AnsiColor, Style};
use sealway_api::{
    Condition, ConditionStatus, ConditionType, ListenerStatus, ObjectKey, ParentRef, Reason, StatusCondition, Statuses,
};
use sealway_issuer::{Issued, IssuedSecret, IssuerStatuses, Outlook};

/// The whole table; empty when there is nothing to say.
pub(crate) fn render(statuses: &Statuses, issuer: &Outlook) -> String {
    let conditions = IssuerConditions::of(&issuer.statuses);
    let mut rows = conditions.rows(&issuer.issued);
    for (name, status) in &statuses.gateway_classes {
        rows.push(Row::new(0, format!("GatewayClass {name}"), "", &status.conditions));
    }
    for (key, status) in &statuses.gateways {
        let addresses: Vec<&str> = status.addresses.iter().map(|address| address.value.as_str()).collect();
        rows.push(Row::new(0, format!("Gateway {key}"), addresses.join(" "), &status.conditions));
        rows.extend(status.listeners.iter().map(listener_row));
    }
    for (key, status) in &statuses.listener_sets {
        let gateway = format!("of Gateway {}", status.gateway);
        rows.push(Row::new(0, format!("ListenerSet {key}"), gateway, &status.conditions));
        rows.extend(status.listeners.iter().map(listener_row));
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
    let policies = statuses.backend_tls_policies.iter().map(|entry| ("BackendTLSPolicy", entry));
    let traffic = statuses.x_backend_traffic_policies.iter();
    let traffic = traffic.map(|entry| ("XBackendTrafficPolicy", entry));
    let backends = statuses.x_backends.iter().map(|entry| ("XBackend", entry));
    let telemetry = statuses.x_telemetry_policies.iter().map(|entry| ("XTelemetryPolicy", entry));
    for (kind, (key, status)) in policies.chain(traffic).chain(backends).chain(telemetry) {
        rows.push(Row::new(0, format!("{kind} {key}"), "", &[]));
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

fn listener_row(listener: &ListenerStatus) -> Row<'_> {
    let routes = match listener.attached_routes {
        1 => "1 route".to_owned(),
        count => format!("{count} routes"),
    };
    Row::new(1, format!("listener {}", listener.name), routes, &listener.conditions)
}

/// Conditions of the embedded issuer's objects, in the Gateway API's form, with the name of each object.
struct IssuerConditions {
    issuers: Vec<(String, Vec<Condition>)>,
    certificates: Vec<(ObjectKey, Vec<Condition>)>,
    bundles: Vec<(String, Vec<Condition>)>,
}

impl IssuerConditions {
    fn of(statuses: &IssuerStatuses) -> Self {
        let cluster_issuers = statuses.cluster_issuers.iter();
        let cluster_issuers = cluster_issuers.map(|(name, status)| (format!("ClusterIssuer {name}"), &status.conditions));
        let issuers = statuses.issuers.iter();
        let issuers = issuers.map(|(key, status)| (format!("Issuer {key}"), &status.conditions));
        let certificates = statuses.certificates.iter();
        let bundles = statuses.bundles.iter();
        Self {
            issuers: cluster_issuers
                .chain(issuers)
                .map(|(name, conditions)| (name, conditions.iter().map(in_form).collect()))
                .collect(),
            certificates: certificates
                .map(|(key, status)| (key.clone(), status.conditions.iter().map(in_form).collect()))
                .collect(),
            bundles: bundles
                .map(|(name, status)| (format!("Bundle {name}"), status.conditions.iter().map(in_form).collect()))
                .collect(),
        }
    }

    fn rows(&self, issued: &Issued) -> Vec<Row<'_>> {
        let issuers = self.issuers.iter();
        let mut rows: Vec<Row<'_>> = issuers
            .map(|(name, conditions)| Row::new(0, name.clone(), "", conditions))
            .collect();
        for (key, conditions) in &self.certificates {
            // Nothing was issued before `check` looked: what is there is what would be.
            let mut secrets = issued.secrets.values();
            let foreseen = secrets.find(|secret| secret.certificate == *key);
            let (detail, conditions) = match foreseen {
                Some(secret) => (format!("will be issued by {}", issuer_name(secret)), &[][..]),
                None => (String::new(), conditions.as_slice()),
            };
            rows.push(Row::new(0, format!("Certificate {key}"), detail, conditions));
        }
        let bundles = self.bundles.iter();
        rows.extend(bundles.map(|(name, conditions)| Row::new(0, name.clone(), "", conditions)));
        rows
    }
}

fn issuer_name(secret: &IssuedSecret) -> String {
    let (name, kind, _) = &secret.request.issuer;
    let kind = if kind.is_empty() { "Issuer" } else { kind };
    format!("{kind} {name}")
}

fn in_form(condition: &StatusCondition) -> Condition {
    Condition {
        kind: ConditionType::from(condition.kind.clone()),
        status: condition.status.clone(),
        reason: Reason::from(condition.reason.clone()),
        message: condition.message.clone(),
        observed_generation: condition.observed_generation,
    }
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
        // It is under way, and neither good nor bad.
        (ConditionStatus::True, false) if name == "Issuing" => (format!("{name}({})", condition.reason), OPEN),
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
    use sealway_api::{CertificateStatus, GatewayStatus, ListenerSetStatus};

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
        let set = ListenerSetStatus {
            listeners: gateway.listeners.clone(),
            gateway: ObjectKey::new("infra", "edge"),
            ..ListenerSetStatus::default()
        };
        statuses.listener_sets.insert(ObjectKey::new("apps", "more"), set.into());
        statuses.gateways.insert(ObjectKey::new("infra", "edge"), gateway);
        let shown = anstream::adapter::strip_str(&render(&statuses, &Outlook::default())).to_string();
        let listener = "  listener tls         1 route                Accepted=False(PortUnavailable)  ResolvedRefs";
        assert_eq!(
            shown,
            format!("Gateway infra/edge\n{listener}\nListenerSet apps/more  of Gateway infra/edge\n{listener}\n")
        );
    }

    #[test]
    fn what_can_be_issued_says_by_whom_and_what_cannot_says_why() {
        let condition = |kind: &str, status, reason: &str| StatusCondition {
            kind: kind.to_owned(),
            status,
            reason: reason.to_owned(),
            message: String::new(),
            observed_generation: 1,
        };
        let unready = condition("Ready", ConditionStatus::False, "DoesNotExist");
        let status = CertificateStatus {
            conditions: vec![unready, condition("Issuing", ConditionStatus::True, "DoesNotExist")],
            ..CertificateStatus::default()
        };
        let mut outlook = Outlook::default();
        let statuses = &mut outlook.statuses.certificates;
        statuses.insert(ObjectKey::new("shop", "later"), status.clone());
        statuses.insert(ObjectKey::new("shop", "never"), status);
        let mut issued = Issued::default();
        let secret = IssuedSecret {
            certificate: ObjectKey::new("shop", "later"),
            revision: 1,
            issued_at: sealway_api::Timestamp::UNIX_EPOCH,
            request: sealway_issuer::Request {
                issuer: ("root".to_owned(), "ClusterIssuer".to_owned(), String::new()),
                ..sealway_issuer::Request::default()
            },
            secret: std::sync::Arc::default(),
        };
        issued
            .secrets
            .insert(ObjectKey::new("shop", "tls"), std::sync::Arc::new(secret));
        outlook.issued = std::sync::Arc::new(issued);
        let shown = anstream::adapter::strip_str(&render(&Statuses::default(), &outlook)).to_string();
        assert_eq!(
            shown,
            "Certificate shop/later  will be issued by ClusterIssuer root\n\
             Certificate shop/never                                        Ready=False(DoesNotExist)  Issuing(DoesNotExist)\n"
        );
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(render(&Statuses::default(), &Outlook::default()), "");
    }
}
