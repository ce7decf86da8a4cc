//! Which Certificate a Secret belongs to, when several name it (cert-manager's `CertificateOwnsSecret`), and which CAs would sign each
//! other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{Certificate, Kind, ObjectKey, Objects};

use super::issuers::{authority_secret, referenced};
use super::secrets::Secrets;
use crate::settings::Settings;

/// Certificates by key: those of the manifests and those that Gateways ask for.
pub(super) type Certificates = Objects<Certificate>;

/// See the module.
#[derive(Debug)]
pub(super) struct Owners {
    /// By Secret; only where several Certificates name it.
    contested: BTreeMap<ObjectKey, ObjectKey>,
    /// By Secret: the Secret of the CA that signs what is in it.
    parents: BTreeMap<ObjectKey, ObjectKey>,
}

impl Owners {
    pub(super) fn of(certificates: &Certificates, secrets: Secrets<'_>, settings: &Settings) -> Self {
        let mut claims: BTreeMap<(&str, &str), Vec<&Arc<Certificate>>> = BTreeMap::new();
        for certificate in certificates.values() {
            let namespace = certificate.metadata.namespace.as_deref().unwrap_or_default();
            claims
                .entry((namespace, &certificate.spec.secret_name))
                .or_default()
                .push(certificate);
        }
        let mut contested = BTreeMap::new();
        let mut parents = BTreeMap::new();
        for ((namespace, name), mut claimants) in claims {
            let secret = ObjectKey::new(namespace, name);
            claimants.sort_by(|one, other| {
                let age = |claimant: &Certificate| claimant.metadata.creation_timestamp;
                (age(one), &one.metadata.name).cmp(&(age(other), &other.metadata.name))
            });
            // Who was issued into it goes on, else the oldest.
            let annotated = secrets
                .get(&secret)
                .and_then(|secret| secret.metadata.annotations.get("cert-manager.io/certificate-name"));
            let owner = claimants
                .iter()
                .find(|claimant| Some(&claimant.metadata.name) == annotated)
                .or(claimants.first());
            let Some(owner) = owner else { continue };
            if claimants.len() > 1 {
                contested.insert(secret.clone(), owner.metadata.key());
            }
            if !secrets.is_given(&secret)
                && let Some(parent) = parent(owner, &secret, secrets, settings)
            {
                parents.insert(secret, parent);
            }
        }
        Self { contested, parents }
    }

    /// Who has the Secret, when it is not `certificate`.
    pub(super) fn other(&self, secret: &ObjectKey, certificate: &ObjectKey) -> Option<&ObjectKey> {
        self.contested.get(secret).filter(|owner| *owner != certificate)
    }

    /// Whether the CA that signs what is in a Secret is, some way up, the one in that very Secret.
    pub(super) fn is_circle(&self, secret: &ObjectKey) -> bool {
        let mut seen = BTreeSet::new();
        let mut place = secret;
        while let Some(parent) = self.parents.get(place) {
            if parent == secret {
                return true;
            }
            if !seen.insert(parent) {
                return false;
            }
            place = parent;
        }
        false
    }
}

/// The Secret that a Certificate names.
pub(super) fn secret_key(certificate: &Certificate) -> ObjectKey {
    let namespace = certificate.metadata.namespace.as_deref().unwrap_or_default();
    ObjectKey::new(namespace, &certificate.spec.secret_name)
}

fn parent(certificate: &Certificate, secret: &ObjectKey, secrets: Secrets<'_>, settings: &Settings) -> Option<ObjectKey> {
    let reference = referenced(&certificate.spec.issuer_ref, &secret.namespace)?;
    let issuers = match reference.kind {
        Kind::Issuer => &secrets.resources.issuers,
        _ => &secrets.resources.cluster_issuers,
    };
    let ca = issuers.get(&reference.key)?.spec.ca.as_ref()?;
    Some(authority_secret(&reference, ca, settings))
}
