//! What Issuers and ClusterIssuers can do, and their condition Ready.
//!
//! Input: the issuers and the Secrets in force. Output: for each how it signs, and its condition in cert-manager's words
//! (`pkg/issuer/{ca,selfsigned}/setup.go`). Invariant: an issuer that is Ready has everything that signing needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{
    CaIssuer, ConditionStatus, ConditionsStatus, Issuer, IssuerRef, Kind, ObjectKey, ObjectRef, Secret, SelfSignedIssuer,
    StatusCondition,
};

use super::held::first_certificate;
use super::secrets::Secrets;
use super::triggers::{issuer_group, issuer_kind};
use super::trouble::Trouble;
use super::{Finding, IssuerStatuses};
use crate::cause::issuer_findings;
use crate::chain::read_authority;
use crate::facts::Facts;
use crate::go_text::quote;
use crate::issued::AuthorityId;
use crate::keys::PrivateKey;
use crate::settings::{Behaviour, Settings};

const KEY_PAIR_MISSING: &str = "ErrGetKeyPair";
const KEY_PAIR_INVALID: &str = "ErrInvalidKeyPair";

/// How an issuer signs.
#[derive(Clone, Debug)]
pub(super) enum Means<'a> {
    /// Each certificate with its own key.
    Itself(&'a SelfSignedIssuer),
    /// With the CA of a Secret.
    Authority(&'a CaIssuer, Arc<StandingAuthority>),
    /// Not now, for this reason.
    None(String),
    /// Not here: of a kind that only cert-manager has.
    Elsewhere(&'static str),
}

/// A CA as it stands in a Secret.
#[derive(Debug)]
pub(super) struct StandingAuthority {
    pub(super) id: AuthorityId,
    /// Its own certificate.
    pub(super) facts: Facts,
    /// Its certificate and those above it, DER.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) key: ObjectKey,
    pub(super) secret: Arc<Secret>,
    /// Whether the manifests carry the Secret.
    pub(super) given: bool,
}

/// Every issuer, by reference.
#[derive(Debug, Default)]
pub(super) struct Issuers<'a> {
    by_reference: BTreeMap<ObjectRef, Means<'a>>,
}

impl<'a> Issuers<'a> {
    pub(super) fn of(
        secrets: Secrets<'a>,
        settings: &Settings,
        statuses: &mut IssuerStatuses,
        findings: &mut Vec<Finding>,
    ) -> Self {
        // Many issuers may share a Secret: it is read once.
        let mut read = BTreeMap::new();
        let mut by_reference = BTreeMap::new();
        let resources = secrets.resources;
        let namespaced = resources.issuers.iter().map(|(key, issuer)| (Kind::Issuer, key, issuer));
        let cluster = resources
            .cluster_issuers
            .iter()
            .map(|(key, issuer)| (Kind::ClusterIssuer, key, issuer));
        for (kind, key, issuer) in namespaced.chain(cluster) {
            let reference = ObjectRef::of(kind, key);
            let (means, condition) = means(&reference, issuer, secrets, settings, &mut read);
            findings.extend(issuer_findings(reference.kind.clone(), issuer));
            let trouble = condition.as_ref().and_then(|condition| trouble(issuer, condition));
            findings.extend(trouble.map(|trouble| trouble.about(&reference)));
            let status = ConditionsStatus {
                conditions: condition.into_iter().collect(),
            };
            if reference.kind == Kind::Issuer {
                statuses.issuers.insert(key.clone(), status);
            } else {
                statuses.cluster_issuers.insert(key.name.clone(), status);
            }
            by_reference.insert(reference, means);
        }
        Self { by_reference }
    }

    pub(super) fn get(&self, reference: &ObjectRef) -> Option<&Means<'a>> {
        self.by_reference.get(reference)
    }

    /// Issuers that sign with a CA, and the CA.
    pub(super) fn authorities(&self) -> impl Iterator<Item = (&ObjectRef, &Arc<StandingAuthority>)> {
        self.by_reference.iter().filter_map(|(reference, means)| match means {
            Means::Authority(_, authority) => Some((reference, authority)),
            _ => None,
        })
    }
}

/// The object that a Certificate's `issuerRef` means; `None` when it is of a group or kind that cert-manager itself leaves to others.
pub(super) fn referenced(reference: &IssuerRef, namespace: &str) -> Option<ObjectRef> {
    if issuer_group(reference.group.as_deref()) != "cert-manager.io" {
        return None;
    }
    match issuer_kind(reference.kind.as_deref()) {
        "Issuer" => Some(ObjectRef::new(Kind::Issuer, namespace, &reference.name)),
        "ClusterIssuer" => Some(ObjectRef::new(Kind::ClusterIssuer, "", &reference.name)),
        _ => None,
    }
}

/// The Secret of a CA issuer.
pub(super) fn authority_secret(reference: &ObjectRef, ca: &CaIssuer, settings: &Settings) -> ObjectKey {
    let namespace = match reference.kind {
        Kind::ClusterIssuer => &settings.cluster_resource_namespace,
        _ => &reference.key.namespace,
    };
    ObjectKey::new(namespace, &ca.secret_name)
}

type Read = BTreeMap<ObjectKey, Result<Arc<StandingAuthority>, (&'static str, String)>>;

fn means<'a>(
    reference: &ObjectRef,
    issuer: &'a Issuer,
    secrets: Secrets<'a>,
    settings: &Settings,
    read: &mut Read,
) -> (Means<'a>, Option<StatusCondition>) {
    let condition = |status, reason: &str, message: &str| {
        Some(StatusCondition {
            kind: "Ready".to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: issuer.metadata.generation,
        })
    };
    let spec = &issuer.spec;
    let ways = [
        spec.acme.is_some(),
        spec.ca.is_some(),
        spec.vault.is_some(),
        spec.self_signed.is_some(),
        spec.venafi.is_some(),
    ];
    if settings.behaviour == Behaviour::Sealway && ways.iter().filter(|way| **way).count() > 1 {
        // cert-manager's webhook would not have taken it; which way is meant is not for us to guess.
        let message = "it names more than one way to sign";
        return (
            Means::None(message.to_owned()),
            condition(ConditionStatus::False, "InvalidSpec", message),
        );
    }
    // In the order of cert-manager's NameForIssuer.
    let elsewhere = |name: &'static str| {
        let message = format!(
            "{name} issuers need cert-manager in a cluster, whose Secrets Sealway serves. Here, use ca or selfSigned, or put the Secrets into \
             the manifests"
        );
        (
            Means::Elsewhere(name),
            condition(ConditionStatus::False, "NotServedHere", &message),
        )
    };
    if spec.acme.is_some() {
        return elsewhere("ACME");
    }
    if let Some(ca) = &spec.ca {
        let key = authority_secret(reference, ca, settings);
        let standing = read
            .entry(key.clone())
            .or_insert_with(|| standing_authority(&key, secrets, settings.behaviour));
        return match standing {
            Ok(authority) => (
                Means::Authority(ca, Arc::clone(authority)),
                condition(ConditionStatus::True, "KeyPairVerified", "Signing CA verified"),
            ),
            Err((reason, fault)) => {
                let message = format!("Error getting keypair for CA issuer: {fault}");
                (
                    Means::None(message.clone()),
                    condition(ConditionStatus::False, reason, &message),
                )
            }
        };
    }
    if spec.vault.is_some() {
        return elsewhere("Vault");
    }
    if let Some(self_signed) = &spec.self_signed {
        return (Means::Itself(self_signed), condition(ConditionStatus::True, "IsReady", ""));
    }
    if spec.venafi.is_some() {
        return elsewhere("Venafi");
    }
    let message = "it names no way to sign";
    // cert-manager leaves it without a condition; its webhook would not have taken it.
    let unset = settings.behaviour == Behaviour::Sealway;
    let condition = condition(ConditionStatus::False, "InvalidSpec", message).filter(|_| unset);
    (Means::None(message.to_owned()), condition)
}

fn standing_authority(
    key: &ObjectKey,
    secrets: Secrets<'_>,
    behaviour: Behaviour,
) -> Result<Arc<StandingAuthority>, (&'static str, String)> {
    let secret = secrets
        .get(key)
        .ok_or_else(|| (KEY_PAIR_MISSING, format!("secrets {} not found", quote(&key.name))))?;
    let part = |name: &str| {
        let bytes = secret.data.get(name);
        bytes
            .map(|bytes| bytes.expose())
            .ok_or_else(|| (KEY_PAIR_MISSING, format!("no data for {} in secret '{key}'", quote(name))))
    };
    let certificate = part("tls.crt")?;
    let facts = first_certificate(certificate).map_err(|fault| (KEY_PAIR_MISSING, fault))?;
    let private = PrivateKey::read(part("tls.key")?).map_err(|fault| (KEY_PAIR_MISSING, fault.to_string()))?;
    if !facts.is_ca {
        return Err((KEY_PAIR_INVALID, "certificate is not a CA".to_owned()));
    }
    // cert-manager finds out when it signs.
    if behaviour == Behaviour::Sealway && private.public_key_info() != facts.public_key_info {
        return Err((KEY_PAIR_INVALID, "the private key is not that of the certificate".to_owned()));
    }
    let above = secret.data.get("ca.crt").map(|bytes| bytes.expose());
    let mut chain = read_authority(certificate, above).map_err(|fault| (KEY_PAIR_MISSING, fault.to_string()))?;
    let mut seen = std::collections::BTreeSet::new();
    chain.retain(|certificate| seen.insert(certificate.clone()));
    Ok(Arc::new(StandingAuthority {
        id: AuthorityId(facts.fingerprint.clone()),
        facts,
        chain,
        key: key.clone(),
        secret: Arc::clone(secret),
        given: secrets.is_given(key),
    }))
}

fn trouble(issuer: &Issuer, condition: &StatusCondition) -> Option<Trouble> {
    let message = condition.message.clone();
    match condition.reason.as_str() {
        KEY_PAIR_INVALID => Some(Trouble::KeyPairInvalid(message)),
        KEY_PAIR_MISSING => Some(Trouble::KeyPairMissing(message, issuer.spec.ca.as_ref()?.secret_name.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
