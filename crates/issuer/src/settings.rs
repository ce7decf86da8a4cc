//! What is fixed for the life of the process.

use std::sync::Arc;
use std::time::Duration;

/// Fixed for the life of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether we do better than cert-manager where we can, or exactly as it does.
    pub behaviour: Behaviour,
    /// Where ClusterIssuers find their Secrets (cert-manager's cluster resource namespace).
    pub cluster_resource_namespace: String,
    /// Where Bundles find their sources (trust-manager's trust namespace).
    pub trust_namespace: String,
    /// The authorities that this system believes, PEM, for Bundles that ask for default CAs; `None`: it has none.
    pub system_authorities: Option<Arc<str>>,
    /// CA roll-over: how long a new CA stands in every bundle before anything is signed by it. Long enough for whoever mounts a bundle
    /// to read it again.
    pub publication_lead: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            behaviour: Behaviour::Sealway,
            cluster_resource_namespace: "cert-manager".to_owned(),
            trust_namespace: "cert-manager".to_owned(),
            system_authorities: None,
            publication_lead: Duration::from_secs(10),
        }
    }
}

/// `--issuer-behaviour`. Each difference is an ADR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Leaves end with their CA at the latest; a CA's successor is published before it signs; leaves are issued again when their CA
    /// changed.
    #[default]
    Sealway,
    /// None of that.
    CertManager,
}
