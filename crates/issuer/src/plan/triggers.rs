//! Why a certificate is out of date: cert-manager's policy chain, which decides both what is issued and what is Ready.
//!
//! Input: a Certificate, what it asks for, its Secret and what that was issued for. Output: the first violation, with cert-manager's
//! reason and message. Invariant: the order of the checks is cert-manager's (`NewTriggerPolicyChain`, `NewReadinessPolicyChain`).

use std::collections::BTreeSet;
use std::time::Duration;

use sealway_api::{Certificate, IssuerRef, Secret, Timestamp};

use super::held::{Held, Violation};
use super::renewal::Renewal;
use super::times::{later, plain, rfc1123};
use crate::facts::Facts;
use crate::go_text::{list, quote};
use crate::request::Request;

/// What the chain looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) certificate: &'a Certificate,
    /// What it asks for now.
    pub(super) wanted: &'a Request,
    pub(super) secret: Option<&'a Secret>,
    pub(super) held: &'a Held,
    /// What the Secret was issued for, when that was for this Certificate.
    pub(super) request: Option<&'a Request>,
}

/// The part that is common to triggers and readiness.
pub(super) fn out_of_date(case: &Case<'_>) -> Option<Violation> {
    if let Some(violation) = &case.held.violation {
        return Some(violation.clone());
    }
    let (secret, facts) = (case.secret?, case.held.facts.as_ref()?);
    other_issuer(secret, &case.certificate.spec.issuer_ref)
        .or_else(|| other_certificate(secret, &case.certificate.metadata.name))
        .or_else(|| case.held.key_violation(case.wanted))
        .or_else(|| match case.request {
            Some(request) => request_changed(request, case.wanted),
            None => names_violation(facts, &case.certificate.spec, "Issuing certificate as Existing issued Secret"),
        })
}

/// The last trigger: the certificate is due for renewal (`CurrentCertificateNearingExpiry`).
pub(super) fn renewing(now: Timestamp, facts: &Facts, renewal: &Renewal) -> Option<Violation> {
    let due = not_before_its_first_minute(facts, renewal.due?);
    let shown = renewal.shown.map_or_else(|| "<nil>".to_owned(), plain);
    (due <= now).then(|| {
        let message = if renewal.fault.is_some() {
            format!("Renewing certificate without satisfying renewal windows at: {shown}")
        } else {
            format!("Renewing certificate as renewal was scheduled at {shown}")
        };
        Violation::new("Renewing", message)
    })
}

/// A `renewBefore` one second short of the lifetime would have cert-manager renew without pause: a certificate stays for a minute.
pub(super) fn not_before_its_first_minute(facts: &Facts, due: Timestamp) -> Timestamp {
    due.max(later(facts.not_before, Duration::from_mins(1)))
}

/// The last check of readiness (`CurrentCertificateHasExpired`). X.509 times are whole seconds, and the last one still counts.
pub(super) fn expired(now: Timestamp, facts: &Facts) -> Option<Violation> {
    (now > facts.not_after).then(|| Violation::new("Expired", format!("Certificate expired on {}", rfc1123(facts.not_after))))
}

/// `SecretIssuerAnnotationsMismatch`. A Secret without any of the three annotations passes for one of an Issuer.
fn other_issuer(secret: &Secret, wanted: &IssuerRef) -> Option<Violation> {
    let annotation = |key: &str| secret.metadata.annotations.get(key).map(String::as_str);
    let (name, kind, group) = (
        annotation("cert-manager.io/issuer-name"),
        annotation("cert-manager.io/issuer-kind"),
        annotation("cert-manager.io/issuer-group"),
    );
    let stated = name.is_some() || kind.is_some() || group.is_some();
    let name = name.unwrap_or_default();
    let (kind, group) = (issuer_kind(kind), issuer_group(group));
    let same = (!stated || name == wanted.name)
        && kind == issuer_kind(wanted.kind.as_deref())
        && group == issuer_group(wanted.group.as_deref());
    (!same).then(|| {
        let issuer = quote(&format!("{kind}.{group}/{name}"));
        Violation::new(
            "IncorrectIssuer",
            format!("Issuing certificate as Secret was previously issued by {issuer}"),
        )
    })
}

pub(super) fn issuer_kind(kind: Option<&str>) -> &str {
    kind.filter(|kind| !kind.is_empty()).unwrap_or("Issuer")
}

pub(super) fn issuer_group(group: Option<&str>) -> &str {
    group.filter(|group| !group.is_empty()).unwrap_or("cert-manager.io")
}

/// `SecretCertificateNameAnnotationsMismatch`.
fn other_certificate(secret: &Secret, name: &str) -> Option<Violation> {
    let issued_for = secret.metadata.annotations.get("cert-manager.io/certificate-name")?;
    (issued_for != name).then(|| {
        let issued_for = quote(issued_for);
        Violation::new(
            "IncorrectCertificate",
            format!(
                "Secret was issued for {issued_for}. If this message is not transient, you might have two conflicting \
                 Certificates pointing to the same secret."
            ),
        )
    })
}

/// `CurrentCertificateRequestMismatchesSpec`.
fn request_changed(request: &Request, wanted: &Request) -> Option<Violation> {
    let fields = request.differences(wanted);
    (!fields.is_empty()).then(|| {
        let fields = list(fields);
        Violation::new(
            "RequestChanged",
            format!("Fields on existing CertificateRequest resource not up to date: {fields}"),
        )
    })
}

/// Whether a certificate of which it is not known how it came about has the names that are asked for (`FuzzyX509AltNamesMatchSpec`):
/// authorities move names between common name and DNS names.
pub(super) fn names_violation(facts: &Facts, spec: &sealway_api::CertificateSpec, whose: &str) -> Option<Violation> {
    let mut fields = Vec::new();
    let common_name = |name: &'_ str| (!name.is_empty()).then(|| name.to_owned());
    let wanted: BTreeSet<String> = spec.dns_names.iter().cloned().chain(common_name(&spec.common_name)).collect();
    let found: BTreeSet<String> = facts
        .dns_names
        .iter()
        .cloned()
        .chain(common_name(&facts.subject.common_name))
        .collect();
    if wanted != found {
        let missing = common_name(&spec.common_name).is_some_and(|name| !found.contains(&name));
        if missing || common_name(&facts.subject.common_name).is_some_and(|name| !wanted.contains(&name)) {
            fields.push("spec.commonName");
        }
        if !spec.dns_names.iter().all(|name| found.contains(name)) || !facts.dns_names.iter().all(|name| wanted.contains(name)) {
            fields.push("spec.dnsNames");
        }
    }
    let addresses = |texts: &[String]| sorted(texts.iter().map(|text| text.parse::<std::net::IpAddr>().ok().map(canonical)));
    if addresses(&spec.ip_addresses) != sorted(facts.ip_addresses.iter().map(|address| Some(canonical(*address)))) {
        fields.push("spec.ipAddresses");
    }
    if sorted(spec.uris.iter()) != sorted(facts.uris.iter()) {
        fields.push("spec.uris");
    }
    if sorted(spec.email_addresses.iter()) != sorted(facts.email_addresses.iter()) {
        fields.push("spec.emailAddresses");
    }
    (!fields.is_empty()).then(|| {
        let fields = list(fields);
        Violation::new("SecretMismatch", format!("{whose} is not up to date for spec: {fields}"))
    })
}

fn canonical(address: std::net::IpAddr) -> std::net::IpAddr {
    address.to_canonical()
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}

#[cfg(test)]
mod tests;
