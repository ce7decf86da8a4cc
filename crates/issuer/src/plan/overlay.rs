//! Issued Secrets, as they are added to the manifests.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{Kind, ObjectKey, ObjectRef};

use super::Overlay;
use super::certificates::Draft;
use super::owners::{Certificates, secret_key};
use super::trouble::Trouble;
use super::ways::Scene;

/// The issued Secrets.
pub(super) fn issued(scene: &Scene<'_>, certificates: &Certificates, draft: &mut Draft) -> Overlay {
    let mut overlay = Overlay::default();
    let named: BTreeMap<ObjectKey, ()> = certificates
        .values()
        .map(|certificate| (secret_key(certificate), ()))
        .collect();
    for (key, issued) in &scene.secrets.issued.secrets {
        if scene.secrets.is_given(key) {
            continue;
        }
        overlay.secrets.insert(key.clone(), Arc::clone(&issued.secret));
        if !named.contains_key(key) {
            let left_over = Trouble::SecretLeftOver(issued.certificate.clone());
            draft.findings.push(left_over.about(&ObjectRef::of(Kind::Secret, key)));
        }
    }
    overlay
}
