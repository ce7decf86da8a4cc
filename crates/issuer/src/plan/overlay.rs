//! Issued Secrets, as they are added to the manifests.

use std::collections::BTreeSet;
use std::sync::Arc;

use sealway_api::{Kind, ObjectRef};

use super::Overlay;
use super::certificates::Draft;
use super::owners::Certificates;
use super::trouble::Trouble;
use super::ways::Scene;

/// The issued Secrets.
pub(super) fn issued(scene: &Scene<'_>, certificates: &Certificates, draft: &mut Draft) -> Overlay {
    let mut overlay = Overlay::default();
    let named: BTreeSet<(&str, &str)> = certificates
        .values()
        .map(|certificate| {
            (
                certificate.metadata.namespace.as_deref().unwrap_or_default(),
                certificate.spec.secret_name.as_str(),
            )
        })
        .collect();
    for (key, issued) in &scene.secrets.issued.secrets {
        if scene.secrets.is_given(key) {
            continue;
        }
        overlay.secrets.insert(key.clone(), Arc::clone(&issued.secret));
        if !named.contains(&(key.namespace.as_str(), key.name.as_str())) {
            let left_over = Trouble::SecretLeftOver(issued.certificate.clone());
            draft.findings.push(left_over.about(&ObjectRef::of(Kind::Secret, key)));
        }
    }
    overlay
}
