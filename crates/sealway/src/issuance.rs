//! The embedded issuer beside the gateway.
//!
//! Job: give the issuer's worker the resources of each load, and give what comes of it to the rest of the process: Secrets and ConfigMaps
//! that the manifests lack, statuses, findings. Input: loads and commands. Output: a channel that always holds the newest [`Outlook`].
//! Invariant: what the manifests carry is never replaced by what was issued.

use std::sync::Arc;

use sealway_api::{ObjectKey, Resources, StatusCondition};
use sealway_core::{Cause, Problem, Told};
use sealway_issuer::{Finding, IssuerStatuses, Outlook, Overlay, Severity};
use serde::Serialize;
use serde_json::Value;

/// `resources` with what the issuer adds to them.
pub(crate) fn with_overlay(resources: &Arc<Resources>, overlay: &Overlay) -> Arc<Resources> {
    if overlay.secrets.is_empty() && overlay.config_maps.is_empty() {
        return Arc::clone(resources);
    }
    let mut whole = Resources::clone(resources);
    for (key, secret) in &overlay.secrets {
        whole.secrets.entry(key.clone()).or_insert_with(|| Arc::clone(secret));
    }
    for (key, config_map) in &overlay.config_maps {
        whole.config_maps.entry(key.clone()).or_insert_with(|| Arc::clone(config_map));
    }
    Arc::new(whole)
}

/// What the issuer has found, as problems like all others.
pub(crate) fn problems(findings: &[Finding]) -> impl Iterator<Item = Problem> + '_ {
    findings.iter().map(|finding| {
        let told = Told {
            severity: match finding.severity {
                Severity::Error => sealway_core::Severity::Error,
                Severity::Warning => sealway_core::Severity::Warning,
                Severity::Note => sealway_core::Severity::Note,
            },
            code: finding.label,
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        };
        Problem::new(finding.object.clone(), finding.field.clone(), Cause::Told(Box::new(told)))
    })
}

/// Adds the statuses of certificates, issuers and bundles to those of the gateway, in the same shape (docs/json.md).
pub(crate) fn add_statuses(statuses: &mut Value, of_issuer: &IssuerStatuses) {
    let Some(statuses) = statuses.as_object_mut() else { return };
    statuses.insert("certificates".to_owned(), by_text(of_issuer.certificates.iter()));
    statuses.insert("issuers".to_owned(), by_text(of_issuer.issuers.iter()));
    statuses.insert("clusterIssuers".to_owned(), by_text(of_issuer.cluster_issuers.iter()));
    statuses.insert("bundles".to_owned(), by_text(of_issuer.bundles.iter()));
}

fn by_text<'a, K: ToString + 'a, S: Serialize + 'a>(statuses: impl Iterator<Item = (&'a K, &'a S)>) -> Value {
    let entry = |(key, status): (&K, &S)| (key.to_string(), serde_json::to_value(status).unwrap_or(Value::Null));
    Value::Object(statuses.map(entry).collect())
}
