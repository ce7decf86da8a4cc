//! Conditions of Certificates, in the words that cert-manager leaves behind when nothing moves any more.

use sealway_api::{CertificateStatus, ConditionStatus, StatusCondition};

use super::held::Violation;
use super::renewal::Renewal;
use super::times::whole_seconds;
use crate::facts::Facts;
use crate::issued::Attempt;

/// The condition Issuing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Issuing {
    /// Nothing to do: no condition.
    No,
    /// Something is to be issued: now, or as soon as what is missing is there.
    Pending(Violation),
    /// Something is to be issued, and this is in the way.
    Waiting(Violation, String),
    /// The last attempt failed, and what it said.
    Failed(String),
}

/// `ready`: what keeps it from being Ready.
pub(super) fn status(
    generation: i64,
    ready: Result<&str, &Violation>,
    issuing: &Issuing,
    held: Option<(&Facts, &Renewal)>,
    revision: Option<u64>,
    attempt: Option<&Attempt>,
) -> CertificateStatus {
    let condition = |kind: &str, status, reason: &str, message: String| StatusCondition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        observed_generation: generation,
    };
    let window_fault = held.and_then(|(_, renewal)| renewal.fault.as_ref());
    let ready = match (ready, window_fault) {
        // cert-manager writes the one over the other.
        (_, Some(fault)) => condition(
            "Ready",
            ConditionStatus::False,
            "WindowError",
            format!("Could not calculate renewal time: {fault}"),
        ),
        (Ok(message), None) => condition("Ready", ConditionStatus::True, "Ready", message.to_owned()),
        (Err(violation), None) => condition("Ready", ConditionStatus::False, violation.reason, violation.message.clone()),
    };
    let issuing = match issuing {
        Issuing::No => None,
        Issuing::Pending(violation) => Some(condition(
            "Issuing",
            ConditionStatus::True,
            violation.reason,
            violation.message.clone(),
        )),
        Issuing::Waiting(violation, why) => Some(condition(
            "Issuing",
            ConditionStatus::False,
            "Waiting",
            if why.starts_with(&violation.message) {
                why.clone()
            } else {
                format!("{}, but not yet: {why}", violation.message)
            },
        )),
        Issuing::Failed(message) => Some(condition(
            "Issuing",
            ConditionStatus::False,
            "Failed",
            format!("The certificate request has failed to complete and will be retried: {message}"),
        )),
    };
    let failed = attempt.filter(|attempt| attempt.failures > 0);
    CertificateStatus {
        conditions: std::iter::once(ready).chain(issuing).collect(),
        last_failure_time: failed.and_then(|attempt| attempt.last_failure).map(whole_seconds),
        not_before: held.map(|(facts, _)| facts.not_before),
        not_after: held.map(|(facts, _)| facts.not_after),
        renewal_time: held.and_then(|(_, renewal)| renewal.shown),
        revision,
        failed_issuance_attempts: failed.map(|attempt| attempt.failures),
    }
}
