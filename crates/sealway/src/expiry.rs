//! When certificates expire, as a metric.
//!
//! Input: the snapshots of a compilation, and what was issued. Output: `sealway_certificate_not_after_timestamp_seconds`, one series for each
//! Secret that a snapshot names (source `Secret`) and for each that was issued, served or not (source `Issued`); a Secret that is neither
//! any more loses its series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use sealway_api::{ObjectKey, ObjectRef, Resources, SecretBytes, Timestamp};
use sealway_core::{CertificateSlot, PortPlan, ServedCertificate, Snapshot};
use sealway_issuer::Issued;

use crate::certificates::chain;

/// The metric.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    not_after: Family<Labels, Gauge>,
    shown: BTreeSet<Labels>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Labels {
    namespace: String,
    name: String,
    source: &'static str,
}

impl Expiry {
    /// Registers it.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let expiry = Self::default();
        registry.register_with_unit(
            "sealway_certificate_not_after_timestamp",
            "When a certificate that the gateway serves, shows or has issued expires, in seconds since 1970",
            Unit::Seconds,
            expiry.not_after.clone(),
        );
        expiry
    }

    /// Shows the certificates of `snapshots` and those that were issued, and no others.
    pub(crate) fn show(&mut self, snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>, issued: &Issued, given: &Resources) {
        let before = std::mem::take(&mut self.shown);
        let served = snapshots.values().flat_map(|snapshot| certificates(snapshot));
        let served = served.map(|certificate| (certificate.secret.clone(), certificate.not_after));
        // What is served of it may be a step behind what is in the Secret.
        let mut ends: BTreeMap<ObjectKey, (Timestamp, &'static str)> =
            served.map(|(secret, not_after)| (secret, (not_after, "Secret"))).collect();
        for (key, secret) in issued.secrets.iter().filter(|(key, _)| !given.secrets.contains_key(*key)) {
            let text = secret.secret.data.get("tls.crt").map(SecretBytes::expose);
            let Some(leaf) = text.and_then(|text| chain(text).into_iter().next()) else {
                continue;
            };
            let end = ends.entry(key.clone()).or_insert((leaf.not_after, "Issued"));
            end.1 = "Issued";
        }
        for (key, (not_after, source)) in ends {
            let labels = Labels {
                namespace: key.namespace,
                name: key.name,
                source,
            };
            self.not_after.get_or_create(&labels).set(not_after.as_second());
            self.shown.insert(labels);
        }
        for gone in before.difference(&self.shown) {
            self.not_after.remove(gone);
        }
    }
}

/// Those that listeners serve, and the gateway's own.
fn certificates(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<ServedCertificate>> {
    let listeners = snapshot.ports.values().flat_map(|plan| match plan.as_ref() {
        PortPlan::Tls(plan) => plan.listeners.as_slice(),
        PortPlan::Http(_) | PortPlan::Tcp(_) => &[],
    });
    let slots = listeners
        .filter_map(|listener| listener.termination.as_ref())
        .flat_map(|termination| &termination.certificates);
    let served = slots.filter_map(|slot| match slot {
        CertificateSlot::Served(certificate) => Some(certificate),
        CertificateSlot::Broken { .. } => None,
    });
    served.chain(&snapshot.client_certificate)
}
