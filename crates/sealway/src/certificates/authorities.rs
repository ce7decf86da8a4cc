//! CAs of the embedded issuer, and the bundles that hand them out.

use std::collections::BTreeMap;
use std::time::Duration;

use sealway_api::{ConditionStatus, ObjectKey, ObjectRef, SecretBytes, Timestamp};
use sealway_issuer::{Authority, AuthorityId, Issued};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::details::chain;
use super::inventory::leaf;
use super::{Scene, timestamp};

/// A CA that has signed, or will.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AuthorityEntry {
    /// SHA-256 of its certificate.
    pub(crate) id: String,
    pub(crate) subject: String,
    pub(crate) not_after: Option<Timestamp>,
    /// The Secret that holds it, or held it, as `namespace/name`.
    pub(crate) secret: String,
    /// As `Issuer namespace/name` or `ClusterIssuer name`.
    pub(crate) issuers: Vec<String>,
    /// Since when bundles have it.
    pub(crate) published: Timestamp,
    /// Whether its Secret holds another one by now.
    pub(crate) retired: bool,
    /// How many certificates it has signed that are not over.
    pub(crate) issuances: usize,
    /// Those among them that were taken back.
    pub(crate) revoked: Vec<RevokedEntry>,
    /// Of its revocation list; absent when it has none.
    pub(crate) list_number: Option<u64>,
    /// When the next list is due at the latest.
    pub(crate) list_next_update: Option<Timestamp>,
}

/// A certificate that was taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RevokedEntry {
    pub(crate) serial: String,
    /// As `namespace/name`.
    pub(crate) certificate: String,
    pub(crate) at: Timestamp,
    /// RFC 5280 section 5.3.1.
    pub(crate) reason: String,
}

/// What a Bundle hands out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BundleEntry {
    pub(crate) name: String,
    pub(crate) synced: bool,
    /// Where it was written, as `ConfigMap namespace/name`.
    pub(crate) targets: Vec<String>,
    /// SHA-256 of each certificate in it.
    pub(crate) authorities: Vec<String>,
}

pub(super) fn authorities(scene: &Scene<'_>) -> Vec<AuthorityEntry> {
    let entries = scene.issued.authorities.iter().map(|(id, authority)| {
        let own = chain(authority.chain.as_bytes()).into_iter().next();
        let revoked = authority.issuances.iter().filter_map(|issuance| {
            let revocation = issuance.revoked.as_ref()?;
            Some(RevokedEntry {
                serial: issuance.serial.clone(),
                certificate: issuance.certificate.to_string(),
                at: revocation.at,
                reason: revocation.reason.clone(),
            })
        });
        AuthorityEntry {
            id: id.to_string(),
            subject: own.as_ref().map(|own| own.subject.clone()).unwrap_or_default(),
            not_after: own.map(|own| own.not_after),
            secret: authority.secret.to_string(),
            issuers: authority.issuers.iter().map(ObjectRef::to_string).collect(),
            published: authority.published,
            retired: !stands(scene, id, authority),
            issuances: authority.issuances.len(),
            revoked: revoked.collect(),
            list_number: authority.revocation_list.as_ref().map(|_| authority.list_number),
            list_next_update: authority
                .revocation_list
                .as_deref()
                .and_then(list_times)
                .and_then(|(_, next_update)| next_update),
        }
    });
    let mut entries: Vec<AuthorityEntry> = entries.collect();
    entries.sort_by(|one, other| (&one.secret, one.published).cmp(&(&other.secret, other.published)));
    entries
}

/// Whether its Secret still holds it; of a Secret of the manifests nothing is known when there are none.
fn stands(scene: &Scene<'_>, id: &AuthorityId, authority: &Authority) -> bool {
    let given = scene.resources.secrets.get(&authority.secret).map(AsRef::as_ref);
    let issued = scene
        .issued
        .secrets
        .get(&authority.secret)
        .map(|issued| issued.secret.as_ref());
    match leaf(given.or(issued)) {
        Some(leaf) => leaf.sha256 == id.0,
        None => scene.resources.secrets.is_empty(),
    }
}

pub(super) fn bundles(scene: &Scene<'_>) -> Vec<BundleEntry> {
    let mut bundles: BTreeMap<String, BundleEntry> = BTreeMap::new();
    for (name, status) in &scene.statuses.bundles {
        let synced = status.conditions.iter().find(|condition| condition.kind == "Synced");
        bundles.entry(name.clone()).or_default().synced = synced.is_some_and(|synced| synced.status == ConditionStatus::True);
    }
    let maps = scene.overlay.config_maps.iter().filter_map(|(key, map)| {
        let texts: Vec<&[u8]> = map.data.values().map(String::as_bytes).collect();
        Some(("ConfigMap", key, map.metadata.labels.get(BUNDLE_LABEL)?, texts))
    });
    let secrets = scene.overlay.secrets.iter().filter_map(|(key, secret)| {
        let texts: Vec<&[u8]> = secret.data.values().map(SecretBytes::expose).collect();
        Some(("Secret", key, secret.metadata.labels.get(BUNDLE_LABEL)?, texts))
    });
    for (kind, key, bundle, texts) in maps.chain(secrets) {
        let entry = bundles.entry(bundle.clone()).or_default();
        entry.targets.push(format!("{kind} {key}"));
        // Every target of a Bundle holds the same.
        if entry.authorities.is_empty() {
            let certificates = texts.into_iter().flat_map(chain);
            entry.authorities = certificates.map(|certificate| certificate.sha256).collect();
            entry.authorities.sort();
            entry.authorities.dedup();
        }
    }
    let named = bundles.into_iter().map(|(name, entry)| BundleEntry { name, ..entry });
    named.collect()
}

/// Among the CAs of an issuer the one that signs now: the newest that is published long enough, else the oldest. During a roll-over there
/// are several.
pub(crate) fn signs_now<'a>(
    issued: &'a Issued,
    issuer: &ObjectRef,
    now: Timestamp,
    publication_lead: Duration,
) -> Option<(&'a AuthorityId, &'a Authority)> {
    let mut all: Vec<(&AuthorityId, &Authority)> = issued
        .authorities
        .iter()
        .map(|(id, authority)| (id, authority.as_ref()))
        .filter(|(_, authority)| authority.issuers.contains(issuer))
        .collect();
    all.sort_by_key(|(id, authority)| (authority.published, *id));
    let is_published = |authority: &Authority| {
        let from = authority.published.checked_add(publication_lead).unwrap_or(Timestamp::MAX);
        from <= now
    };
    let newest = all.iter().rev().find(|(_, authority)| is_published(authority));
    newest.or_else(|| all.first()).copied()
}

/// `thisUpdate` and `nextUpdate` of a revocation list (DER).
pub(crate) fn list_times(der: &[u8]) -> Option<(Timestamp, Option<Timestamp>)> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    Some((timestamp(list.last_update()), list.next_update().map(timestamp)))
}

/// Certificates that a CA has signed for one Certificate, with who has.
pub(super) fn issuances_of<'a>(
    issued: &'a Issued,
    certificate: &'a ObjectKey,
) -> impl Iterator<Item = (&'a AuthorityId, &'a sealway_issuer::Issuance)> {
    let all = issued.authorities.iter();
    let all = all.flat_map(|(id, authority)| authority.issuances.iter().map(move |issuance| (id, issuance)));
    all.filter(move |(_, issuance)| issuance.certificate == *certificate)
}

/// Of every object that a Bundle writes, as trust-manager has it.
const BUNDLE_LABEL: &str = "trust.cert-manager.io/bundle";
