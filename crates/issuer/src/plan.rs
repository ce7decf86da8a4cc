//! What is to be done now, and when to look again: the one decision of the issuer.
//!
//! Input: the time, the resources in force, what was issued before, the settings. Output: a [`Plan`]. Pure and total: no I/O, no clock,
//! no chance, never an error and never a panic; the same input gives the same plan. What is wrong with an object becomes its status and
//! a [`Finding`], and no other object notices.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{CertificateStatus, ConditionsStatus, ConfigMap, ObjectKey, ObjectRef, Resources, Secret, Timestamp};

use crate::bundle::bundles;
use crate::issued::Issued;
use crate::order::Action;
use crate::settings::Settings;
use crate::shim::gateway_certificates;

use authorities::Authorities;
use certificates::Draft;
use issuers::Issuers;
use owners::Owners;
use secrets::Secrets;
use wake::Wake;
use ways::Scene;

mod authorities;
mod backoff;
mod certificates;
mod expiry;
mod form;
mod held;
mod issuers;
#[cfg(test)]
mod lab;
pub(crate) mod lists;
mod overlay;
mod owners;
mod renewal;
mod secrets;
mod status;
pub(crate) mod times;
mod triggers;
mod trouble;
mod wake;
mod ways;

/// What is to be done now, what is to be shown, and when to look again.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// To be done in this order. Each is safe to do alone, and safe to do twice.
    pub actions: Vec<Action>,
    /// Objects that the manifests lack and the issuer gives.
    pub overlay: Overlay,
    /// By object.
    pub statuses: IssuerStatuses,
    /// What is wrong, or worth knowing.
    pub findings: Vec<Finding>,
    /// When time alone changes the outcome.
    pub wake_at: Option<Timestamp>,
}

/// Objects that the issuer adds to those of the manifests, never in place of one of those.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overlay {
    /// Issued Secrets, and those that Bundles write.
    pub secrets: BTreeMap<ObjectKey, Arc<Secret>>,
    /// Those that Bundles write.
    pub config_maps: BTreeMap<ObjectKey, Arc<ConfigMap>>,
}

/// Statuses, keyed as in [`sealway_api::Statuses`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerStatuses {
    /// Certificates of the manifests, and those that Gateway annotations ask for.
    pub certificates: BTreeMap<ObjectKey, CertificateStatus>,
    /// Issuers.
    pub issuers: BTreeMap<ObjectKey, ConditionsStatus>,
    /// ClusterIssuers, by name.
    pub cluster_issuers: BTreeMap<String, ConditionsStatus>,
    /// Bundles, by name.
    pub bundles: BTreeMap<String, ConditionsStatus>,
}

/// Something that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Stable name of the variant, as `secret-given`.
    pub label: &'static str,
    /// Whom it is about.
    pub object: ObjectRef,
    /// Path of the field to blame, as `spec.issuerRef.name`; empty for the whole object.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What mends it.
    pub hint: Option<String>,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something asked for is not done.
    Error,
    /// Something cannot be meant, or will go wrong.
    Warning,
    /// Worth knowing.
    Note,
}

/// Decides. See the module.
#[must_use]
pub fn plan(now: Timestamp, resources: &Resources, issued: &Issued, settings: &Settings) -> Plan {
    let secrets = Secrets { resources, issued };
    let mut statuses = IssuerStatuses::default();
    let mut draft = Draft {
        actions: Vec::new(),
        findings: Vec::new(),
        wake: Wake::new(now),
    };
    let shim = gateway_certificates(resources);
    draft.findings.extend(shim.findings);
    let mut certificates = Cow::Borrowed(&resources.certificates);
    for certificate in shim.certificates {
        let key = certificate.metadata.key();
        certificates.to_mut().entry(key).or_insert_with(|| Arc::new(certificate));
    }
    let issuers = Issuers::of(secrets, settings, &mut statuses, &mut draft.findings);
    let authorities = Authorities::of(now, &issuers, &certificates, issued, settings);
    let owners = Owners::of(&certificates, secrets, settings);
    let scene = Scene {
        now,
        settings,
        secrets,
        issuers: &issuers,
        authorities: &authorities,
        owners: &owners,
    };

    // A CA is kept, with its key, before anything is signed with it.
    draft.actions.extend(authorities.adoptions.iter().cloned());
    let revisions = revisions(issued);
    for (key, certificate) in certificates.iter() {
        let status = certificates::decide(&scene, certificate, revisions.get(key).copied(), &mut draft);
        statuses.certificates.insert(key.clone(), status);
    }
    authorities::watch(&scene, &mut draft);
    let mut overlay = overlay::issued(&scene, &certificates, &mut draft);
    let bundles = bundles(now, resources, &overlay.secrets, &authorities.beside_sources(), settings);
    overlay.secrets.extend(bundles.secrets);
    overlay.config_maps.extend(bundles.config_maps);
    statuses.bundles.extend(bundles.statuses);
    draft.findings.extend(bundles.findings);
    // What others are to believe is handed out before anything is signed that needs it.
    draft.actions.sort_by_key(|action| matches!(action, Action::Issue(_)));
    Plan {
        actions: draft.actions,
        overlay,
        statuses,
        findings: draft.findings,
        wake_at: draft.wake.earliest(),
    }
}

/// How many times each Certificate was issued.
fn revisions(issued: &Issued) -> BTreeMap<&ObjectKey, u64> {
    let mut revisions = BTreeMap::new();
    for secret in issued.secrets.values() {
        let revision: &mut u64 = revisions.entry(&secret.certificate).or_default();
        *revision = secret.revision.max(*revision);
    }
    revisions
}

#[cfg(test)]
mod tests;
