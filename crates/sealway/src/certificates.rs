//! Certificates for people and scripts: who issued, who serves, until when.
//!
//! Input: a [`Scene`]: manifests, what was issued, how it stands, what the data plane obeys, the time. Output: the documents
//! `Certificates` and `Certificate` of docs/json.md, as values that can be read back. Invariants: pure and total; of a Secret nothing is
//! looked at but `tls.crt` and `ca.crt`, so no byte of a key can get in.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{ObjectKey, ObjectRef, Resources, Timestamp};
use sealway_core::Snapshot;
use sealway_issuer::{Finding, Issued, IssuerStatuses, Overlay};
use serde::{Deserialize, Serialize};

mod authorities;
mod details;
mod inspection;
mod inventory;
mod places;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use authorities::{AuthorityEntry, BundleEntry, list_times, signs_now};
pub(crate) use details::{Details, chain};
pub(crate) use inspection::{Inspection, inspect};
pub(crate) use inventory::inventory;
pub(crate) use places::Place;
pub(crate) use sealway_issuer::nearest;
pub(crate) use table::{inspection_text, inventory_text};
pub(crate) use text::{NameConstraints, printable, timestamp};

/// What there is to tell about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) now: Timestamp,
    /// Of the manifests, without what was issued.
    pub(crate) resources: &'a Resources,
    pub(crate) issued: &'a Issued,
    /// Empty when nothing runs.
    pub(crate) statuses: &'a IssuerStatuses,
    /// What the issuer found.
    pub(crate) findings: &'a [Finding],
    /// What handshakes found, by Certificate; empty when nothing runs.
    pub(crate) seen: &'a BTreeMap<ObjectKey, Seen>,
    /// What the issuer adds to the manifests; empty when nothing runs.
    pub(crate) overlay: &'a Overlay,
    /// What is served; empty when nothing runs.
    pub(crate) snapshots: &'a BTreeMap<ObjectRef, Arc<Snapshot>>,
}

/// What handshakes found of a Certificate: its condition `Served`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Seen {
    /// Whether what is in the Secret arrives everywhere.
    pub(crate) holds: bool,
    pub(crate) message: String,
}

/// The document `Certificates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Inventory {
    /// Those that are not there yet first, then those that end soonest.
    pub(crate) certificates: Vec<Entry>,
    pub(crate) authorities: Vec<AuthorityEntry>,
    pub(crate) bundles: Vec<BundleEntry>,
}

/// One Secret with a certificate, or one that is to get one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Entry {
    /// Of the Secret.
    pub(crate) namespace: String,
    /// Of the Secret.
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) state: State,
    /// Why it is in that state, where there is more to say.
    pub(crate) message: Option<String>,
    /// The Certificate that asks for it, as `namespace/name`.
    pub(crate) certificate: Option<String>,
    /// As `Issuer namespace/name` or `ClusterIssuer name`.
    pub(crate) issuer: Option<String>,
    /// Counts issuances of the Certificate, from 1.
    pub(crate) revision: Option<u64>,
    pub(crate) renewal_time: Option<Timestamp>,
    /// Until `notAfter`; below 0 when it is over.
    pub(crate) seconds_left: Option<i64>,
    /// The leaf of `tls.crt`, flattened; absent when there is none.
    #[serde(flatten)]
    pub(crate) leaf: Option<Leaf>,
    pub(crate) served_by: Vec<Place>,
    /// Absent when nobody has looked.
    pub(crate) seen: Option<Seen>,
}

/// What stands in the leaf, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Leaf {
    pub(crate) subject: String,
    pub(crate) signed_by: String,
    /// Subject alternative names.
    pub(crate) names: Vec<String>,
    pub(crate) serial: String,
    pub(crate) sha256: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) key: String,
    #[serde(rename = "isCA")]
    pub(crate) is_ca: bool,
}

impl Leaf {
    fn of(details: &Details) -> Self {
        Self {
            subject: details.subject.clone(),
            signed_by: details.signed_by.clone(),
            names: details.plain_names(),
            serial: details.serial.clone(),
            sha256: details.sha256.clone(),
            not_before: details.not_before,
            not_after: details.not_after,
            key: details.key.clone(),
            is_ca: details.is_ca,
        }
    }
}

impl Entry {
    /// Of the Secret.
    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.name)
    }
}

/// Who made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Source {
    /// Sealway's issuer.
    Issued,
    /// It stands in the manifests.
    #[default]
    Manifest,
}

/// How it stands; the first that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// It cannot be read.
    Damaged,
    Revoked,
    Expired,
    NotYetValid,
    /// Issuing it, or its renewal, failed and is tried again.
    Failing,
    /// It is to be issued, for the first time or anew.
    Issuing,
    /// It is not what was asked for, or something keeps it from being issued.
    NotReady,
    /// Its Certificate is gone, or names another Secret: nothing renews it.
    LeftOver,
    #[default]
    Ready,
}

impl State {
    /// As in the document.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Failing => "failing",
            Self::Issuing => "issuing",
            Self::NotReady => "not-ready",
            Self::LeftOver => "left-over",
            Self::Ready => "ready",
        }
    }
}
