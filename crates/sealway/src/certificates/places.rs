//! Where a Secret's certificate is shown to others.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{ObjectKey, ObjectRef};
use sealway_core::{CertificateSlot, HostnamePattern, PortPlan, ServedCertificate, Snapshot, TlsListener};
use serde::{Deserialize, Serialize};

/// One listener that serves it, or the Gateway that shows it to backends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Place {
    /// As `namespace/name`.
    pub(crate) gateway: String,
    /// Absent: shown to backends, as the gateway's own.
    pub(crate) listener: Option<String>,
    /// The listener's, without the offset.
    pub(crate) port: Option<u16>,
    /// Names of the certificate that the listener claims.
    pub(crate) names: Vec<String>,
    /// Serial number of what is served; another than the Secret's while a new one is on its way.
    pub(crate) serial: String,
}

/// Every place, by Secret.
pub(super) fn places(snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>) -> BTreeMap<ObjectKey, Vec<Place>> {
    let mut places: BTreeMap<ObjectKey, Vec<Place>> = BTreeMap::new();
    for snapshot in snapshots.values() {
        let gateway = snapshot.gateway.to_string();
        for (port, plan) in &snapshot.ports {
            let PortPlan::Tls(plan) = plan.as_ref() else { continue };
            for listener in &plan.listeners {
                for certificate in served(listener) {
                    places.entry(certificate.secret.clone()).or_default().push(Place {
                        gateway: gateway.clone(),
                        listener: Some(listener.name.clone()),
                        port: Some(port.port),
                        names: names(certificate, listener),
                        serial: certificate.serial.clone(),
                    });
                }
            }
        }
        if let Some(certificate) = &snapshot.client_certificate {
            places.entry(certificate.secret.clone()).or_default().push(Place {
                gateway,
                serial: certificate.serial.clone(),
                ..Place::default()
            });
        }
    }
    places
}

fn served(listener: &TlsListener) -> impl Iterator<Item = &Arc<ServedCertificate>> {
    let slots = listener.termination.iter().flat_map(|termination| &termination.certificates);
    slots.filter_map(|slot| match slot {
        CertificateSlot::Served(certificate) => Some(certificate),
        CertificateSlot::Broken { .. } => None,
    })
}

/// What both have, by the narrower of the two.
fn names(certificate: &ServedCertificate, listener: &TlsListener) -> Vec<String> {
    let claimed = &listener.hostname;
    let common = certificate.names.iter().filter(|name| name.intersects(claimed));
    let narrower = common.map(|name| if claimed.includes(name) { name } else { claimed });
    let mut names: Vec<String> = narrower.map(HostnamePattern::to_string).collect();
    names.sort();
    names.dedup();
    names
}
