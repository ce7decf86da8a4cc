//! What is still known of a BackendTLSPolicy that is refused: its targets, to which nothing may be sent in plain text.
//!
//! Input: the object as it is written, whatever stands in it. Output: a policy with name and targets only. Invariant: rather a target
//! too many than one too few; what cannot be read of a target makes it wider.

use sealway_api::{BackendTlsPolicy, Kind, ObjectKey, ObjectRef, PolicyTarget};
use serde_json::Value;

/// `None` for other kinds, and when no target can be made out.
pub(crate) fn policy(reference: &ObjectRef, value: &Value) -> Option<BackendTlsPolicy> {
    if reference.kind != Kind::BackendTlsPolicy {
        return None;
    }
    let written = match value.pointer("/spec/targetRefs")? {
        Value::Array(targets) => targets.as_slice(),
        target => std::slice::from_ref(target),
    };
    let ObjectKey { namespace, name } = reference.key.clone();
    let mut policy = BackendTlsPolicy::default();
    policy.metadata.name = name;
    policy.metadata.namespace = Some(namespace);
    policy.metadata.generation = value
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(1)
        .max(1);
    policy.spec.target_refs = written.iter().filter_map(target).collect();
    (!policy.spec.target_refs.is_empty()).then_some(policy)
}

fn target(written: &Value) -> Option<PolicyTarget> {
    let text = |field| written.get(field).and_then(Value::as_str).map(str::to_owned);
    Some(PolicyTarget {
        group: text("group").unwrap_or_default(),
        kind: text("kind").unwrap_or_else(|| Kind::Service.to_string()),
        name: text("name")?,
        section_name: text("sectionName"),
    })
}
