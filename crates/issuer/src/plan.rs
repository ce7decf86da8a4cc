//! What is to be done now, and when to look again: the one decision of the issuer.
//!
//! Input: the time, the resources in force, what was issued before, the settings. Output: a [`Plan`]. Pure and total: no I/O, no clock,
//! no chance, never an error and never a panic; the same input gives the same plan. What is wrong with an object becomes its status and
//! a [`Finding`], and no other object notices.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{CertificateStatus, ConditionsStatus, ConfigMap, ObjectKey, ObjectRef, Resources, Secret, Timestamp};

use crate::issued::Issued;
use crate::order::Action;
use crate::settings::Settings;

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
    /// Stable name of the variant, in snake_case.
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
pub fn plan(_now: Timestamp, _resources: &Resources, _issued: &Issued, _settings: &Settings) -> Plan {
    Plan::default()
}
