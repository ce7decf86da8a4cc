//! When certificates expire, as a metric.
//!
//! Input: the snapshots of a compilation, and what was issued. Output: `sealway_certificate_not_after_timestamp_seconds`, one series for each
//! Secret that a snapshot names or the manifests carry (source `manifest`) and for each that was issued (source `issued`), served or not; a
//! Secret that is neither any more loses its series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use sealway_api::{ObjectKey, ObjectRef, Resources, Secret, SecretBytes, Timestamp};
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
            "When a certificate that the gateway serves, was given or has issued expires, in seconds since 1970",
            Unit::Seconds,
            expiry.not_after.clone(),
        );
        expiry
    }

    /// Shows the certificates of `snapshots`, those that were `given` by manifests and those that were issued, and no others.
    pub(crate) fn show(&mut self, snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>, issued: &Issued, given: &Resources) {
        let before = std::mem::take(&mut self.shown);
        let served = snapshots.values().flat_map(|snapshot| certificates(snapshot));
        let served = served.map(|certificate| (certificate.secret.clone(), certificate.not_after));
        // What is served of it may be a step behind what is in the Secret.
        let mut ends: BTreeMap<ObjectKey, Timestamp> = served.collect();
        let kept = issued.secrets.iter().map(|(key, issued)| (key, issued.secret.as_ref()));
        // What the manifests carry hides what was issued.
        for (key, secret) in given.secrets.iter().map(|(key, secret)| (key, secret.as_ref())).chain(kept) {
            if !ends.contains_key(key)
                && let Some(end) = end(secret)
            {
                ends.insert(key.clone(), end);
            }
        }
        for (key, not_after) in ends {
            let is_issued = issued.secrets.contains_key(&key) && !given.secrets.contains_key(&key);
            let labels = Labels {
                namespace: key.namespace,
                name: key.name,
                source: if is_issued { "issued" } else { "manifest" },
            };
            self.not_after.get_or_create(&labels).set(not_after.as_second());
            self.shown.insert(labels);
        }
        for gone in before.difference(&self.shown) {
            self.not_after.remove(gone);
        }
    }
}

/// When a Secret's first certificate expires.
fn end(secret: &Secret) -> Option<Timestamp> {
    let text = secret.data.get("tls.crt").map(SecretBytes::expose)?;
    chain(text).into_iter().next().map(|leaf| leaf.not_after)
}

/// Those that listeners serve, and the gateway's own.
fn certificates(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<ServedCertificate>> {
    let listeners = snapshot.ports.values().flat_map(|plan| match plan.as_ref() {
        PortPlan::Tls(plan) => plan.listeners.as_slice(),
        PortPlan::Http(_) | PortPlan::Tcp(_) | PortPlan::Udp(_) => &[],
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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use sealway_issuer::{IssuedSecret, Request};

    use super::*;

    fn secret(year: i32) -> Arc<Secret> {
        let mut params = CertificateParams::new(vec!["web.example.com".to_owned()]).expect("parameters");
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().expect("key")).expect("signed");
        let mut secret = Secret::default();
        let text = certificate.pem().into_bytes();
        secret.data.insert("tls.crt".to_owned(), SecretBytes::new(text));
        Arc::new(secret)
    }

    #[test]
    fn every_secret_has_one_series_which_says_where_it_is_from() {
        let key = |name: &str| ObjectKey::new("shop", name);
        let mut issued = Issued::default();
        for name in ["ours", "hidden"] {
            let kept = IssuedSecret {
                certificate: key(name),
                revision: 1,
                issued_at: Timestamp::UNIX_EPOCH,
                request: Request::default(),
                secret: secret(2030),
            };
            issued.secrets.insert(key(name), Arc::new(kept));
        }
        let mut given = Resources::default();
        for (name, secret) in [
            ("hidden", secret(2040)),
            ("theirs", secret(2050)),
            ("no-certificate", Arc::default()),
        ] {
            given.secrets.insert(key(name), secret);
        }
        let mut registry = Registry::default();
        let mut expiry = Expiry::register(&mut registry);
        let mut show = |issued: &Issued, given: &Resources| {
            expiry.show(&BTreeMap::new(), issued, given);
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
            let series = text.lines().filter(|line| line.starts_with("sealway_"));
            let mut series: Vec<String> = series.map(str::to_owned).collect();
            series.sort();
            series
        };
        let line = |name: &str, source: &str, end: i64| {
            format!(
                "sealway_certificate_not_after_timestamp_seconds{{namespace=\"shop\",name=\"{name}\",source=\"{source}\"}} {end}"
            )
        };
        let expected = [
            line("hidden", "manifest", 2_208_988_800),
            line("ours", "issued", 1_893_456_000),
            line("theirs", "manifest", 2_524_608_000),
        ];
        assert_eq!(show(&issued, &given), expected);
        let expected = [line("hidden", "issued", 1_893_456_000), line("ours", "issued", 1_893_456_000)];
        assert_eq!(show(&issued, &Resources::default()), expected);
    }
}
