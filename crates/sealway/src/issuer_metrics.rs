//! The embedded issuer's metrics: cert-manager's names, labels and meanings, and what renewals came to.
//!
//! Input: Certificates and issuers with their statuses, after each step of the issuer. Output: on each scrape one series for each object that
//! is there; an object that is gone has none. cert-manager's dashboards and alerts read them as its own (v1.21, internal/collectors).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use sealway_api::{CertificateStatus, ConditionStatus, ConditionsStatus, ObjectKey, Resources, StatusCondition, Timestamp};
use sealway_issuer::{Issued, Made, Outlook};
use sealway_provider::files::Loaded;
use tokio::sync::watch;

use crate::expiry::Expiry;
use crate::view::View;

/// The metrics.
#[derive(Debug)]
pub(crate) struct IssuerMetrics {
    shown: Arc<Mutex<Shown>>,
    renewals: Family<ResultLabels, Counter>,
    counted: Made,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

impl IssuerMetrics {
    /// Registers them.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            shown: Arc::default(),
            renewals: Family::default(),
            counted: Made::default(),
        };
        for result in ["success", "failure"] {
            // An alert on a rate needs the series before the first failure.
            let _ = metrics.renewals.get_or_create(&ResultLabels { result });
        }
        registry.register(
            "sealway_certificate_renewals",
            "Certificates that the embedded issuer has issued, the first time or anew, and attempts that failed",
            metrics.renewals.clone(),
        );
        registry.register_collector(Box::new(Series(Arc::clone(&metrics.shown))));
        registry.register_collector(Box::new(Clock));
        metrics
    }

    /// Shows what there is now, and nothing else. To be called after each step of the issuer.
    pub(crate) fn show(&mut self, resources: &Resources, outlook: &Outlook) {
        let Outlook { issued, statuses, .. } = outlook;
        self.count(outlook.made);
        let ready = |conditions: &[StatusCondition]| ready_status(conditions);
        let certificates = statuses.certificates.iter().map(|(key, status)| {
            let labels = CertificateLabels::of(key, resources, issued);
            (labels, Times::of(status), ready(&status.conditions))
        });
        let issuer = |(key, status): (&ObjectKey, &ConditionsStatus)| (key.clone(), ready(&status.conditions));
        let cluster_issuer = |(name, status): (&String, &ConditionsStatus)| (name.clone(), ready(&status.conditions));
        let shown = Shown {
            certificates: certificates.collect(),
            issuers: statuses.issuers.iter().map(issuer).collect(),
            cluster_issuers: statuses.cluster_issuers.iter().map(cluster_issuer).collect(),
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// What was issued, and what failed, since the last time.
    fn count(&mut self, made: Made) {
        let add = |result, count| self.renewals.get_or_create(&ResultLabels { result }).inc_by(count);
        add("success", made.issued.saturating_sub(self.counted.issued));
        add("failure", made.failed.saturating_sub(self.counted.failed));
        self.counted = made;
    }
}

/// Shows certificates and issuers in the metrics, and when certificates expire, until one of the channels is gone.
pub(crate) async fn run(
    mut expiry: Expiry,
    mut metrics: IssuerMetrics,
    mut views: watch::Receiver<Arc<View>>,
    mut outlooks: watch::Receiver<Arc<Outlook>>,
    loads: watch::Receiver<Loaded>,
) {
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        let outlook = Arc::clone(&outlooks.borrow_and_update());
        let resources = Arc::clone(&loads.borrow().resources);
        expiry.show(&view.snapshots, &outlook.issued, &resources);
        // Before the worker has looked for the first time there is nothing to show.
        if outlook.generation > 0 {
            metrics.show(&resources, &outlook);
        }
        let changed = tokio::select! {
            changed = views.changed() => changed,
            changed = outlooks.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// What a scrape gives out.
#[derive(Debug, Default)]
struct Shown {
    certificates: Vec<(CertificateLabels, Times, &'static str)>,
    issuers: Vec<(ObjectKey, &'static str)>,
    cluster_issuers: Vec<(String, &'static str)>,
}

/// Seconds since 1970; 0 where there is none, as cert-manager has it.
#[derive(Clone, Copy, Debug)]
struct Times {
    not_before: i64,
    not_after: i64,
    renewal: i64,
}

/// One of them.
type Which = fn(&Times) -> i64;

impl Times {
    fn of(status: &CertificateStatus) -> Self {
        let seconds = |time: Option<Timestamp>| time.map_or(0, Timestamp::as_second);
        Self {
            not_before: seconds(status.not_before),
            not_after: seconds(status.not_after),
            renewal: seconds(status.renewal_time),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    name: String,
    namespace: String,
    issuer_name: String,
    issuer_kind: String,
    issuer_group: String,
}

impl CertificateLabels {
    /// The issuer is named as the Certificate names it: what it leaves out is empty.
    fn of(key: &ObjectKey, resources: &Resources, issued: &Issued) -> Self {
        let (issuer_name, issuer_kind, issuer_group) = match resources.certificates.get(key) {
            Some(certificate) => {
                let issuer = certificate.spec.issuer_ref.clone();
                (issuer.name, issuer.kind.unwrap_or_default(), issuer.group.unwrap_or_default())
            }
            // One that a Gateway's annotations ask for.
            None => {
                let mut secrets = issued.secrets.values();
                let secret = secrets.find(|secret| secret.certificate == *key);
                secret.map(|secret| secret.request.issuer.clone()).unwrap_or_default()
            }
        };
        Self {
            name: key.name.clone(),
            namespace: key.namespace.clone(),
            issuer_name,
            issuer_kind,
            issuer_group,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadyLabels {
    condition: &'static str,
    name: String,
    namespace: String,
    issuer_name: String,
    issuer_kind: String,
    issuer_group: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabels {
    condition: &'static str,
    name: String,
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterIssuerLabels {
    condition: &'static str,
    name: String,
}

/// Without a condition Ready: Unknown.
fn ready_status(conditions: &[StatusCondition]) -> &'static str {
    let ready = conditions.iter().find(|condition| condition.kind == "Ready");
    match ready.map(|ready| &ready.status) {
        Some(ConditionStatus::True) => "True",
        Some(ConditionStatus::False) => "False",
        _ => "Unknown",
    }
}

/// For the registry.
#[derive(Debug)]
struct Series(Arc<Mutex<Shown>>);

impl Collector for Series {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times: [(&str, &str, Which); 4] = [
            (
                "certmanager_certificate_not_after_timestamp_seconds",
                "The timestamp after which the certificate is invalid, expressed as a Unix Epoch Time",
                |times| times.not_after,
            ),
            (
                "certmanager_certificate_not_before_timestamp_seconds",
                "The timestamp before which the certificate is invalid, expressed as a Unix Epoch Time",
                |times| times.not_before,
            ),
            (
                "certmanager_certificate_expiration_timestamp_seconds",
                "The timestamp after which the certificate expires, expressed in Unix Epoch Time",
                |times| times.not_after,
            ),
            (
                "certmanager_certificate_renewal_timestamp_seconds",
                "The timestamp after which the certificate should be renewed, expressed in Unix Epoch Time",
                |times| times.renewal,
            ),
        ];
        for (name, help, time) in times {
            let series = shown
                .certificates
                .iter()
                .map(|(labels, times, _)| (labels.clone(), time(times)));
            gauges(&mut encoder, name, help, series)?;
        }
        let certificates = shown.certificates.iter().flat_map(|(labels, _, ready)| {
            by_status(ready).map(|(condition, value)| {
                let CertificateLabels {
                    name,
                    namespace,
                    issuer_name,
                    issuer_kind,
                    issuer_group,
                } = labels.clone();
                let labels = ReadyLabels {
                    condition,
                    name,
                    namespace,
                    issuer_name,
                    issuer_kind,
                    issuer_group,
                };
                (labels, value)
            })
        });
        let help = "The ready status of the certificate";
        gauges(&mut encoder, "certmanager_certificate_ready_status", help, certificates)?;
        let issuers = shown.issuers.iter().flat_map(|(key, ready)| {
            by_status(ready).map(|(condition, value)| {
                let (name, namespace) = (key.name.clone(), key.namespace.clone());
                (
                    IssuerLabels {
                        condition,
                        name,
                        namespace,
                    },
                    value,
                )
            })
        });
        gauges(
            &mut encoder,
            "certmanager_issuer_ready_status",
            "The ready status of the Issuer",
            issuers,
        )?;
        let cluster_issuers = shown.cluster_issuers.iter().flat_map(|(name, ready)| {
            by_status(ready).map(|(condition, value)| {
                let name = name.clone();
                (ClusterIssuerLabels { condition, name }, value)
            })
        });
        let help = "The ready status of the ClusterIssuer";
        gauges(&mut encoder, "certmanager_clusterissuer_ready_status", help, cluster_issuers)
    }
}

/// 1 for what it is, 0 for what it is not.
fn by_status(ready: &'static str) -> impl Iterator<Item = (&'static str, i64)> {
    ["True", "False", "Unknown"]
        .map(|condition| (condition, i64::from(condition == ready)))
        .into_iter()
}

fn gauges<Labels: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl Iterator<Item = (Labels, i64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

/// cert-manager's clock, which its alerts compare with. The first was a counter there; as one its name could not be kept.
#[derive(Debug)]
struct Clock;

impl Collector for Clock {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = Timestamp::now().as_second();
        let help = "The clock time given in seconds (from 1970/01/01 UTC)";
        for name in ["certmanager_clock_time_seconds", "certmanager_clock_time_seconds_gauge"] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(now).encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
