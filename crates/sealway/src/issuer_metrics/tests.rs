//! What a scrape gives, compared with cert-manager's names, labels and values.

use std::collections::BTreeSet;

use sealway_api::{Certificate, IssuerRef};
use sealway_issuer::IssuerStatuses;

use super::*;

fn condition(status: ConditionStatus) -> StatusCondition {
    StatusCondition {
        kind: "Ready".to_owned(),
        status,
        reason: String::new(),
        message: String::new(),
        observed_generation: 1,
    }
}

fn scrape(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).expect("text");
    text
}

/// As in cert-manager's own test: `test-certificate` of `test-issuer`.
fn stage() -> (Resources, IssuerStatuses) {
    let key = ObjectKey::new("test-ns", "test-certificate");
    let mut certificate = Certificate::default();
    certificate.spec.issuer_ref = IssuerRef {
        name: "test-issuer".to_owned(),
        kind: Some("test-issuer-kind".to_owned()),
        group: None,
    };
    let mut resources = Resources::default();
    resources.certificates.insert(key.clone(), Arc::new(certificate));
    let mut statuses = IssuerStatuses::default();
    let status = CertificateStatus {
        conditions: vec![condition(ConditionStatus::True)],
        not_before: Timestamp::from_second(100).ok(),
        not_after: Timestamp::from_second(2_208_988_804).ok(),
        ..CertificateStatus::default()
    };
    statuses.certificates.insert(key, status);
    let ready = ConditionsStatus {
        conditions: vec![condition(ConditionStatus::False)],
    };
    statuses.issuers.insert(ObjectKey::new("test-ns", "test-issuer"), ready);
    statuses
        .cluster_issuers
        .insert("everywhere".to_owned(), ConditionsStatus::default());
    (resources, statuses)
}

fn outlook(statuses: &IssuerStatuses) -> Outlook {
    Outlook {
        statuses: statuses.clone(),
        ..Outlook::default()
    }
}

#[test]
fn names_labels_and_values_are_cert_managers() {
    let mut registry = Registry::default();
    let mut metrics = IssuerMetrics::register(&mut registry);
    let (resources, statuses) = stage();
    metrics.show(&resources, &outlook(&statuses));
    let text = scrape(&registry);
    let labels = "name=\"test-certificate\",namespace=\"test-ns\",issuer_name=\"test-issuer\",issuer_kind=\"test-issuer-kind\",issuer_group=\"\"";
    for line in [
        format!("certmanager_certificate_not_after_timestamp_seconds{{{labels}}} 2208988804"),
        format!("certmanager_certificate_expiration_timestamp_seconds{{{labels}}} 2208988804"),
        format!("certmanager_certificate_not_before_timestamp_seconds{{{labels}}} 100"),
        format!("certmanager_certificate_renewal_timestamp_seconds{{{labels}}} 0"),
        format!("certmanager_certificate_ready_status{{condition=\"True\",{labels}}} 1"),
        format!("certmanager_certificate_ready_status{{condition=\"False\",{labels}}} 0"),
        format!("certmanager_certificate_ready_status{{condition=\"Unknown\",{labels}}} 0"),
        "certmanager_issuer_ready_status{condition=\"False\",name=\"test-issuer\",namespace=\"test-ns\"} 1".to_owned(),
        "certmanager_clusterissuer_ready_status{condition=\"Unknown\",name=\"everywhere\"} 1".to_owned(),
        "sealway_certificate_renewals_total{result=\"success\"} 0".to_owned(),
        "sealway_certificate_renewals_total{result=\"failure\"} 0".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let names: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .filter(|name| name.starts_with("certmanager_"))
        .collect();
    let expected = [
        "certmanager_certificate_expiration_timestamp_seconds",
        "certmanager_certificate_not_after_timestamp_seconds",
        "certmanager_certificate_not_before_timestamp_seconds",
        "certmanager_certificate_ready_status",
        "certmanager_certificate_renewal_timestamp_seconds",
        "certmanager_clock_time_seconds",
        "certmanager_clock_time_seconds_gauge",
        "certmanager_clusterissuer_ready_status",
        "certmanager_issuer_ready_status",
    ];
    assert_eq!(names, BTreeSet::from(expected));
}

#[test]
fn what_is_gone_has_no_series() {
    let mut registry = Registry::default();
    let mut metrics = IssuerMetrics::register(&mut registry);
    let (resources, statuses) = stage();
    metrics.show(&resources, &outlook(&statuses));
    metrics.show(&Resources::default(), &Outlook::default());
    assert!(!scrape(&registry).contains("test-certificate"));
}

#[test]
fn renewals_are_counted_from_the_first_step_on() {
    let mut registry = Registry::default();
    let mut metrics = IssuerMetrics::register(&mut registry);
    let mut show = |issued, failed| {
        let outlook = Outlook {
            made: Made { issued, failed },
            ..Outlook::default()
        };
        metrics.show(&Resources::default(), &outlook);
        let text = scrape(&registry);
        let count = |result: &str| {
            let start = format!("sealway_certificate_renewals_total{{result=\"{result}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&start));
            line.and_then(|count| count.parse::<u64>().ok()).expect("a count")
        };
        (count("success"), count("failure"))
    };
    assert_eq!(show(3, 1), (3, 1));
    assert_eq!(show(3, 1), (3, 1));
    assert_eq!(show(4, 3), (4, 3));
}
