//! Whole lives of certificates.

use std::time::Duration;

use super::lab::{Lab, ROOT, condition, key, labels, leaf, said};
use super::times::{earlier, later};
use super::*;
use crate::settings::Behaviour;

mod damage;
mod rest;
mod secrets;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

#[test]
fn root_intermediate_and_leaf_come_in_one_go() {
    let mut lab = Lab::new(ROOT);
    lab.add(
        "kind: Certificate
metadata: {name: middle, namespace: shop}
spec:
  isCA: true
  commonName: Middle
  usages: [cert sign, crl sign]
  secretName: middle
  duration: 8760h
  privateKey: {algorithm: ECDSA}
  issuerRef: {name: root}
---
kind: Issuer
metadata: {name: middle, namespace: shop}
spec: {ca: {secretName: middle}}
---
kind: Certificate
metadata: {name: web, namespace: shop}
spec: {dnsNames: [web.shop], secretName: web, privateKey: {algorithm: ECDSA}, issuerRef: {name: middle}}
",
    );
    let plan = lab.settle();
    let ready = "True Ready: Certificate is up to date and has not expired";
    for certificate in ["shop/root", "shop/middle", "shop/web"] {
        assert_eq!(said(&plan, certificate, "Ready"), ready);
        assert_eq!(said(&plan, certificate, "Issuing"), "");
        let status = &plan.statuses.certificates[&key(certificate)];
        assert_eq!(status.revision, Some(1));
        assert_eq!((status.last_failure_time, status.failed_issuance_attempts), (None, None));
        assert!(condition(status, "Ready").is_some_and(|ready| ready.observed_generation == 1));
    }
    assert_eq!(plan.findings, []);
    assert_eq!(lab.facts("shop/web").issuer_der, lab.facts("shop/middle").subject_der);
    assert_eq!(lab.part("shop/web", "ca.crt"), lab.part("shop/root", "tls.crt"));
    assert_eq!(plan.overlay.secrets.len(), 3);
    // Both CAs are kept with their keys, and have lists.
    assert_eq!(lab.issued.authorities.len(), 2);
    for authority in lab.issued.authorities.values() {
        assert!(authority.key.is_some() && authority.revocation_list.is_some());
        assert_eq!(authority.issuances.len(), 1);
    }
}

#[test]
fn ten_years_of_renewals() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("web", ""));
    let mut plan = lab.settle();
    let end = later(lab.now, DAY * 3650);
    while let Some(wake) = plan.wake_at.filter(|wake| *wake < end) {
        lab.now = wake;
        plan = lab.settle();
        let facts = lab.facts("shop/web");
        assert!(facts.not_before <= lab.now && lab.now <= facts.not_after, "{}", lab.now);
        assert_eq!(plan.statuses.certificates[&key("shop/web")].conditions.len(), 1);
    }
    // 2160 h, renewed after 1440 h; the root lives ten years and is renewed once.
    let web = lab.issued.secrets[&key("shop/web")].revision;
    assert!((60..=64).contains(&web), "{web}");
    assert_eq!(lab.issued.secrets[&key("shop/root")].revision, 2);
    assert_eq!(lab.issued.authorities.len(), 1, "the old root has left");
}

#[test]
fn a_jump_over_the_end_issues_at_once_and_back_again_too() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("web", ""));
    lab.settle();
    let start = lab.now;
    lab.now = later(start, DAY * 4000);
    lab.settle();
    let plan = lab.pass(Duration::from_secs(30));
    assert_eq!(
        said(&plan, "shop/web", "Ready"),
        "True Ready: Certificate is up to date and has not expired"
    );
    assert!(lab.facts("shop/web").not_after > lab.now);
    lab.now = start;
    lab.settle();
    let plan = lab.pass(Duration::from_secs(30));
    let (root, web) = (lab.facts("shop/root"), lab.facts("shop/web"));
    assert!(root.not_before <= lab.now && web.not_before <= lab.now, "{plan:?}");
    assert_eq!(web.issuer_der, root.subject_der);
    // cert-manager would serve what is not yet valid; ours says why it does not.
    assert!(
        lab.done
            .iter()
            .any(|(_, action)| matches!(action, Action::Issue(order) if order.reason == "NotYetValid"))
    );
}

#[test]
fn a_clock_that_was_set_back_leaves_cert_manager_as_it_is() {
    let mut lab = Lab::new(ROOT).cert_manager();
    lab.add(&leaf("web", ""));
    lab.settle();
    let done = lab.done.len();
    lab.now = earlier(lab.now, DAY * 400);
    lab.settle();
    let issued = |(_, action): &(Timestamp, Action)| matches!(action, Action::Issue(_));
    assert!(!lab.done[done..].iter().any(issued));
}

#[test]
fn an_issuer_of_another_namespace_is_explained() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("client", "").replace("namespace: shop", "namespace: payment"));
    let plan = lab.settle();
    let waiting = "DoesNotExist: Issuing certificate as Secret does not exist";
    assert_eq!(said(&plan, "payment/client", "Ready"), format!("False {waiting}"));
    let why = "Issuer payment/root does not exist: namespace shop has one, but an Issuer serves only its own namespace";
    let shown = format!("False Waiting: Issuing certificate as Secret does not exist, but not yet: {why}");
    assert_eq!(said(&plan, "payment/client", "Issuing"), shown);
    lab.settings.behaviour = Behaviour::CertManager;
    assert_eq!(said(&lab.plan(), "payment/client", "Issuing"), format!("True {waiting}"));
    let finding = plan
        .findings
        .iter()
        .find(|finding| finding.label == "issuer-missing")
        .unwrap();
    assert_eq!(finding.field, "spec.issuerRef.name");
    assert!(finding.message.contains("namespace shop has one"), "{finding:?}");
    assert!(finding.hint.as_deref().is_some_and(|hint| hint.contains("ClusterIssuer")));
}

#[test]
fn what_was_asked_to_be_renewed_is() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("web", "  renewal: {policy: Disabled}\n"));
    lab.settle();
    let attempt = crate::issued::Attempt {
        renewal_asked: Some(lab.now),
        ..Default::default()
    };
    lab.issued.attempts.insert(key("shop/web"), attempt.into());
    let plan = lab.plan();
    assert_eq!(
        said(&plan, "shop/web", "Issuing"),
        "True ManuallyTriggered: Certificate re-issuance manually triggered"
    );
    lab.settle();
    assert_eq!(lab.issued.secrets[&key("shop/web")].revision, 2);
    assert!(lab.issued.attempts.is_empty());

    // The process ended after the new one was kept, and before the asking was forgotten.
    let attempt = crate::issued::Attempt {
        renewal_asked: Some(lab.now),
        renewal_of: Some(1),
        ..Default::default()
    };
    lab.issued.attempts.insert(key("shop/web"), attempt.into());
    lab.settle();
    assert_eq!(lab.issued.secrets[&key("shop/web")].revision, 2);
}

#[test]
fn a_first_one_that_was_asked_for_is_issued_once() {
    let mut lab = Lab::new(ROOT);
    lab.settle();
    lab.add(&leaf("web", ""));
    let attempt = crate::issued::Attempt {
        renewal_asked: Some(lab.now),
        renewal_of: Some(0),
        ..Default::default()
    };
    lab.issued.attempts.insert(key("shop/web"), attempt.clone().into());
    lab.settle();
    // The process ended before the asking was forgotten.
    lab.issued.attempts.insert(key("shop/web"), attempt.into());
    lab.settle();
    assert_eq!(lab.issued.secrets[&key("shop/web")].revision, 1);
}

#[test]
fn everything_is_published_before_anything_is_signed() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("zebra", ""));
    lab.settle();
    lab.add(&leaf("zebra", "  secretTemplate: {labels: {stripes: many}}\n"));
    lab.add(&leaf("ant", ""));
    let order: Vec<&str> = lab
        .plan()
        .actions
        .iter()
        .map(|action| match action {
            Action::Issue(_) => "issue",
            Action::Amend { .. } => "amend",
            _ => "other",
        })
        .collect();
    assert_eq!(order, ["amend", "issue"]);
}

#[test]
fn after_a_failure_it_waits_and_says_so() {
    let mut lab = Lab::new(ROOT);
    lab.settle();
    lab.add(&leaf("web", ""));
    let Some(Action::Issue(order)) = lab
        .plan()
        .actions
        .into_iter()
        .find(|action| matches!(action, Action::Issue(_)))
    else {
        panic!("nothing is issued");
    };
    let attempt = crate::issued::Attempt {
        failures: 2,
        last_failure: Some(lab.now),
        message: "Error signing certificate: no".to_owned(),
        request: Some(order.request),
        ..Default::default()
    };
    lab.issued.attempts.insert(key("shop/web"), attempt.into());
    let plan = lab.settle();
    let failed =
        "False Failed: The certificate request has failed to complete and will be retried: Error signing certificate: no";
    assert_eq!(said(&plan, "shop/web", "Issuing"), failed);
    let status = &plan.statuses.certificates[&key("shop/web")];
    assert_eq!(
        (status.last_failure_time, status.failed_issuance_attempts),
        (Some(lab.now), Some(2))
    );
    assert_eq!(labels(&plan), ["issuance-failed"]);
    assert_eq!(plan.wake_at, Some(later(lab.now, HOUR * 2)));
    let mut changed = Lab {
        issued: lab.issued.clone(),
        resources: lab.resources.clone(),
        settings: lab.settings.clone(),
        done: Vec::new(),
        ..lab
    };
    changed.add(&leaf("web", "").replace("web.shop", "www.shop"));
    changed.settle();
    assert_eq!(changed.issued.secrets[&key("shop/web")].revision, 1);
    lab.now = later(lab.now, HOUR * 2);
    lab.settle();
    assert_eq!(lab.issued.secrets[&key("shop/web")].revision, 1);
}

#[test]
fn two_cas_that_sign_each_other_are_refused() {
    let mut lab = Lab::new(ROOT);
    lab.settle();
    lab.add(&ROOT.replace("issuerRef: {name: selfsigned}", "issuerRef: {name: root}"));
    let plan = lab.settle();
    assert!(labels(&plan).contains(&"authority-circle"), "{:?}", plan.findings);
    assert_eq!(lab.issued.secrets[&key("shop/root")].revision, 1);
}

#[test]
fn a_spec_that_a_webhook_would_refuse_issues_nothing() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("web", "  renewBefore: 9000h\n"));
    let plan = lab.settle();
    assert!(said(&plan, "shop/web", "Ready").starts_with("False InvalidSpec: spec.renewBefore"));
    assert_eq!(labels(&plan), ["refused"]);
    assert!(!lab.issued.secrets.contains_key(&key("shop/web")));
}

#[test]
fn a_key_that_must_not_change_and_does_not_fit_waits() {
    let mut lab = Lab::new(ROOT);
    let spec = "  duration: 3h\n";
    lab.add(&leaf("web", spec).replace("{algorithm: ECDSA}", "{algorithm: ECDSA, rotationPolicy: Never}"));
    lab.settle();
    let before = lab.facts("shop/web").public_key_info;
    lab.pass(HOUR * 4);
    assert_eq!(lab.facts("shop/web").public_key_info, before);
    assert_eq!(lab.issued.secrets[&key("shop/web")].revision, 3);
    lab.add(&leaf("web", spec).replace("{algorithm: ECDSA}", "{algorithm: ECDSA, size: 384, rotationPolicy: Never}"));
    let plan = lab.settle();
    assert!(labels(&plan).contains(&"key-fixed"));
    assert_eq!(
        said(&plan, "shop/web", "Issuing"),
        "False Waiting: Existing private key is not up to date for spec: [spec.privateKey.size], and rotationPolicy Never forbids a new one"
    );
}

#[test]
fn keystores_wait_for_their_password() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf(
        "web",
        "  keystores: {jks: {create: true, passwordSecretRef: {name: pass, key: word}}}\n",
    ));
    let plan = lab.settle();
    assert_eq!(labels(&plan), ["password-missing"]);
    assert!(!lab.issued.secrets.contains_key(&key("shop/web")));
    assert!(lab.issued.attempts.is_empty(), "waiting is no failure");
    lab.add("kind: Secret\nmetadata: {name: pass, namespace: shop}\nstringData: {word: changeit}\n");
    let plan = lab.settle();
    assert_eq!(plan.findings, []);
    assert!(lab.issued.secrets[&key("shop/web")].secret.data.contains_key("keystore.jks"));
}

#[test]
fn labels_and_formats_change_without_a_new_certificate() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("web", ""));
    lab.settle();
    let before = lab.facts("shop/web");
    lab.add(&leaf(
        "web",
        "  secretTemplate: {labels: {team: shop}}\n  additionalOutputFormats: [{type: CombinedPEM}]\n",
    ));
    lab.settle();
    assert_eq!(lab.facts("shop/web"), before);
    let secret = &lab.issued.secrets[&key("shop/web")].secret;
    assert_eq!(secret.metadata.labels.get("team").map(String::as_str), Some("shop"));
    assert!(secret.data.contains_key("tls-combined.pem"));
}

#[test]
fn times_of_the_status_are_those_of_the_certificate() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("web", "  duration: 3h\n"));
    let plan = lab.settle();
    let status = &plan.statuses.certificates[&key("shop/web")];
    assert_eq!(status.not_before, Some(lab.now));
    assert_eq!(status.not_after, Some(later(lab.now, HOUR * 3)));
    assert_eq!(status.renewal_time, Some(later(lab.now, HOUR * 2)));
    assert_eq!(plan.wake_at, status.renewal_time);
}

#[test]
fn a_gateway_and_a_bundle_are_served_too() {
    let mut lab = Lab::new(&ROOT.replace("namespace: shop", "namespace: cert-manager"));
    lab.settings.publication_lead = HOUR;
    lab.add(
        "kind: Gateway
metadata: {name: edge, namespace: cert-manager, annotations: {cert-manager.io/issuer: root}}
spec:
  gatewayClassName: sealway
  listeners:
  - {name: web, port: 443, protocol: HTTPS, hostname: shop.example, tls: {mode: Terminate, certificateRefs: [{name: edge-cert}]}}
---
kind: Bundle
metadata: {name: internal-ca-cert}
spec:
  sources: [{secret: {name: root, key: tls.crt}}]
  target: {configMap: {key: ca.crt}}
---
kind: Namespace
metadata: {name: payment}
",
    );
    let plan = lab.settle();
    let ready = said(&plan, "cert-manager/edge-cert", "Ready");
    assert_eq!(ready, "True Ready: Certificate is up to date and has not expired");
    assert_eq!(lab.facts("cert-manager/edge-cert").dns_names, ["shop.example"]);
    let roots = |plan: &Plan| {
        plan.overlay.config_maps[&key("payment/internal-ca-cert")].data["ca.crt"]
            .matches("BEGIN")
            .count()
    };
    assert_eq!(roots(&plan), 1);
    assert_eq!(plan.statuses.bundles["internal-ca-cert"].conditions[0].reason, "Synced");
    // Both roots from the moment at which there are two, an hour before the second signs, until the first has nothing in use.
    let asked = crate::issued::Attempt {
        renewal_asked: Some(lab.now),
        ..Default::default()
    };
    lab.issued.attempts.insert(key("cert-manager/root"), asked.into());
    let plan = lab.settle();
    assert_eq!(roots(&plan), 2);
    assert_eq!(plan.wake_at, Some(later(lab.now, HOUR)));
    let plan = lab.pass(DAY * 59);
    assert_eq!(roots(&plan), 2);
    let plan = lab.pass(DAY * 33);
    assert_eq!(roots(&plan), 1);
}
