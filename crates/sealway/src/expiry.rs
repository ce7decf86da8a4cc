//! When the certificates that are served expire, as a metric.
//!
//! Input: the snapshots of a compilation. Output: `sealway_certificate_not_after_timestamp_seconds`, one series for each Secret that
//! a snapshot names; a Secret that is served no longer loses its series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use sealway_api::ObjectRef;
use sealway_core::{CertificateSlot, PortPlan, ServedCertificate, Snapshot};

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
            "When a certificate that the gateway serves or shows expires, in seconds since 1970",
            Unit::Seconds,
            expiry.not_after.clone(),
        );
        expiry
    }

    /// Shows the certificates of `snapshots`, and no others.
    pub(crate) fn show(&mut self, snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>) {
        let before = std::mem::take(&mut self.shown);
        for certificate in snapshots.values().flat_map(|snapshot| certificates(snapshot)) {
            let labels = Labels {
                namespace: certificate.secret.namespace.clone(),
                name: certificate.secret.name.clone(),
                source: "Secret",
            };
            self.not_after.get_or_create(&labels).set(certificate.not_after.as_second());
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
        PortPlan::Http(_) => &[],
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
