//! Everything about one certificate: the document `Certificate`.

use sealway_api::{ObjectKey, Secret, SecretBytes, Timestamp};
use sealway_issuer::read_serial;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::authorities::issuances_of;
use super::inventory::{CERTIFICATES, Index, leaf};
use super::{Details, Entry, Inventory, Scene, details, inventory, nearest};

/// The document `Certificate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Inspection {
    /// As in `Certificates`; null for a file.
    pub(crate) certificate: Option<Entry>,
    /// `tls.crt`: the leaf first.
    pub(crate) chain: Vec<Details>,
    /// `ca.crt`.
    pub(crate) authorities: Vec<Details>,
    /// What the embedded issuer's CAs have signed for this Certificate and is not over, the latest to end first.
    pub(crate) history: Vec<Past>,
}

/// A certificate that was signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Past {
    pub(crate) serial: String,
    pub(crate) not_after: Timestamp,
    /// The CA's id.
    pub(crate) authority: String,
    /// Whether it is the one in the Secret now.
    pub(crate) current: bool,
    pub(crate) revoked_at: Option<Timestamp>,
    /// RFC 5280 section 5.3.1; empty: unspecified.
    pub(crate) reason: Option<String>,
}

/// There is no such certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no certificate {asked}{}", meant(.nearest))]
pub(crate) struct NotFound {
    asked: String,
    nearest: Vec<String>,
}

fn meant(nearest: &[String]) -> String {
    if nearest.is_empty() {
        "; `sealway certs list` shows those that there are".to_owned()
    } else {
        format!("; did you mean {}?", nearest.join(" or "))
    }
}

/// Finds a certificate by `NAMESPACE/NAME` of its Secret or its Certificate, or by a serial number, present or past.
pub(crate) fn inspect(scene: &Scene<'_>, asked: &str) -> Result<Inspection, NotFound> {
    let inventory = inventory(scene);
    let Some(key) = find(scene, &inventory, asked) else {
        return Err(not_found(&inventory, asked));
    };
    let lost = |entry: &&Entry| entry.certificate.as_deref() == Some(asked) && entry.key() == key;
    if let Some(entry) = inventory
        .certificates
        .iter()
        .find(lost)
        .filter(|entry| !owns(&inventory, entry))
    {
        // The Secret is another Certificate's: nothing of it is this one's.
        return Ok(Inspection {
            certificate: Some(entry.clone()),
            ..Inspection::default()
        });
    }
    let entry = Index::of(scene).entry(scene, &key);
    let given = scene.resources.secrets.get(&key).map(AsRef::as_ref);
    let issued = scene.issued.secrets.get(&key).map(AsRef::as_ref);
    let secret: Option<&Secret> = given.or_else(|| issued.map(|issued| issued.secret.as_ref()));
    let certificates = |name: &str| {
        let text = secret.and_then(|secret| secret.data.get(name)).map(SecretBytes::expose);
        text.map(details::chain).unwrap_or_default()
    };
    let present = leaf(secret).map(|leaf| leaf.serial);
    let history = issued.map(|issued| {
        let past = issuances_of(scene.issued, &issued.certificate).map(|(authority, issuance)| Past {
            serial: issuance.serial.clone(),
            not_after: issuance.not_after,
            authority: authority.to_string(),
            current: present.as_ref() == Some(&issuance.serial),
            revoked_at: issuance.revoked.as_ref().map(|revoked| revoked.at),
            reason: issuance.revoked.as_ref().map(|revoked| revoked.reason.clone()),
        });
        let mut past: Vec<Past> = past.collect();
        past.sort_by(|one, other| (other.not_after, &one.serial).cmp(&(one.not_after, &other.serial)));
        past
    });
    Ok(Inspection {
        certificate: Some(entry),
        chain: certificates(CERTIFICATES),
        authorities: certificates("ca.crt"),
        history: history.unwrap_or_default(),
    })
}

/// Whether the first entry of that Secret is this one.
fn owns(inventory: &Inventory, entry: &Entry) -> bool {
    let mut same = inventory.certificates.iter().filter(|other| other.key() == entry.key());
    same.clone().count() == 1 || same.all(|other| other.certificate == entry.certificate || other.leaf.is_none())
}

/// The Secret that is meant.
fn find(scene: &Scene<'_>, inventory: &Inventory, asked: &str) -> Option<ObjectKey> {
    let entries = || inventory.certificates.iter();
    if let Some((namespace, name)) = asked.split_once('/') {
        let key = ObjectKey::new(namespace, name);
        let by_certificate = || entries().find(|entry| entry.certificate.as_deref() == Some(asked));
        let found = entries().find(|entry| entry.key() == key).or_else(by_certificate);
        return found.map(Entry::key);
    }
    let asked = read_serial(asked)?;
    let is_it = |entry: &&Entry| entry.leaf.as_ref().is_some_and(|leaf| leaf.serial == asked);
    if let Some(entry) = entries().find(is_it) {
        return Some(entry.key());
    }
    let issuances = scene.issued.authorities.values().flat_map(|authority| &authority.issuances);
    let certificate = &issuances.into_iter().find(|issuance| issuance.serial == asked)?.certificate;
    let mut secrets = scene.issued.secrets.iter();
    secrets
        .find(|(_, issued)| issued.certificate == *certificate)
        .map(|(key, _)| key.clone())
}

fn not_found(inventory: &Inventory, asked: &str) -> NotFound {
    let names = inventory.certificates.iter().flat_map(|entry| {
        let serial = entry.leaf.as_ref().map(|leaf| leaf.serial.clone());
        [Some(entry.key().to_string()), entry.certificate.clone(), serial]
    });
    let written = read_serial(asked).unwrap_or_else(|| asked.to_owned());
    NotFound {
        asked: asked.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect(),
        nearest: nearest(&written, names.flatten()),
    }
}

/// As much as is said back.
const LONGEST: usize = 200;
