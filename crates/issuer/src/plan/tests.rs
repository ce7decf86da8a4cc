//! Whole lives of certificates.

use std::time::Duration;

use super::lab::{Lab, ROOT, START, condition, key, labels, leaf, said};
use super::times::{earlier, later};
use super::*;
use crate::settings::Behaviour;

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
fn a_secret_of_the_manifests_is_left_as_it_is() {
    let mut maker = Lab::new(ROOT);
    maker.add(&leaf("web", ""));
    maker.settle();
    let indent = |text: String| text.replace('\n', "\n    ");
    let secret = |name: &str, cert: String, key: String| {
        format!(
            "kind: Secret\nmetadata: {{name: {name}, namespace: shop}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
            indent(cert),
            indent(key)
        )
    };
    let mut lab = Lab::new(ROOT);
    lab.add(&secret(
        "web",
        maker.part("shop/web", "tls.crt"),
        maker.part("shop/web", "tls.key"),
    ));
    lab.add(&leaf("web", ""));
    let plan = lab.settle();
    let ready = said(&plan, "shop/web", "Ready");
    assert!(
        ready.starts_with("True Ready: Secret shop/web is carried by the manifests"),
        "{ready}"
    );
    assert!(!plan.overlay.secrets.contains_key(&key("shop/web")));
    assert_eq!(labels(&plan), ["secret-given"]);
    // Its end comes nearer, and nobody will do anything about it.
    lab.pass(DAY * 68);
    assert_eq!(labels(&lab.plan()), ["secret-given"]);
    let wake = lab.plan().wake_at.unwrap();
    assert_eq!(wake, earlier(maker.facts("shop/web").not_after, DAY * 21));
    for (days, words) in [
        (69, "less than 21 days"),
        (83, "less than 7 days"),
        (89, "less than a day"),
        (91, "ended at"),
    ] {
        lab.now = later(START.parse().unwrap(), DAY * days);
        let plan = lab.settle();
        assert!(
            plan.findings.iter().any(|finding| finding.message.contains(words)),
            "{words} {:?}",
            plan.findings
        );
    }
    let ready = said(&lab.plan(), "shop/web", "Ready");
    assert!(
        ready.starts_with("False Expired: Certificate expired on Thu, 01 Apr 2027 00:00:00 UTC"),
        "{ready}"
    );
    // Names that are not those of the Certificate, a key that is not the certificate's, and no key at all.
    lab.add(&leaf("web", "").replace("web.shop", "other.shop"));
    let ready = said(&lab.plan(), "shop/web", "Ready");
    assert!(
        ready.starts_with("False SecretMismatch: Certificate of the Secret is not up to date for spec: [spec.dnsNames]."),
        "{ready}"
    );
    lab.add(&secret(
        "web",
        maker.part("shop/web", "tls.crt"),
        maker.part("shop/root", "tls.key"),
    ));
    let ready = said(&lab.plan(), "shop/web", "Ready");
    assert!(
        ready.starts_with("False InvalidKeyPair: Secret contains a private key that does not match the certificate."),
        "{ready}"
    );
    lab.add("kind: Secret\nmetadata: {name: web, namespace: shop}\n");
    let ready = said(&lab.plan(), "shop/web", "Ready");
    assert!(
        ready.starts_with("False MissingData: Secret does not contain any data."),
        "{ready}"
    );
    assert!(lab.plan().actions.is_empty());
}

#[test]
fn of_two_certificates_with_one_secret_the_first_has_it() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("alpha", "").replace("secretName: alpha", "secretName: shared"));
    lab.add(&leaf("beta", "").replace("secretName: beta", "secretName: shared"));
    let plan = lab.settle();
    assert_eq!(lab.issued.secrets[&key("shop/shared")].certificate, key("shop/alpha"));
    assert_eq!(labels(&plan), ["secret-taken"]);
    let ready = said(&plan, "shop/beta", "Ready");
    assert_eq!(
        ready,
        "False IncorrectCertificate: Secret was issued for \"alpha\". If this message is not transient, you might have two conflicting \
         Certificates pointing to the same secret."
    );
    assert_eq!(said(&plan, "shop/beta", "Issuing"), "");
    // Who has it keeps it, whoever comes later; and hands it on when it goes.
    lab.add(&leaf("aaa", "").replace("secretName: aaa", "secretName: shared"));
    lab.settle();
    assert_eq!(lab.issued.secrets[&key("shop/shared")].revision, 1);
    lab.resources.certificates.remove(&key("shop/alpha"));
    lab.resources.certificates.remove(&key("shop/aaa"));
    lab.settle();
    assert_eq!(lab.issued.secrets[&key("shop/shared")].certificate, key("shop/beta"));
    let reason = lab.done.iter().rev().find_map(|(_, action)| match action {
        Action::Issue(order) => Some(order.reason.clone()),
        _ => None,
    });
    assert_eq!(reason.as_deref(), Some("IncorrectCertificate"));
}

#[test]
fn the_secret_of_a_certificate_that_is_gone_is_served_on() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("web", ""));
    lab.settle();
    lab.resources.certificates.remove(&key("shop/web"));
    let plan = lab.settle();
    assert!(plan.overlay.secrets.contains_key(&key("shop/web")));
    assert_eq!(labels(&plan), ["secret-left-over"]);
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

/// A root with a leaf, and the Secret files of both cannot be read any more.
fn damaged(root: &str) -> Lab {
    let mut lab = Lab::new(root);
    lab.add(&leaf("web", ""));
    lab.settle();
    for secret in ["shop/root", "shop/web"] {
        lab.issued.secrets.remove(&key(secret));
        lab.issued.damaged.insert(key(secret));
    }
    lab
}

#[test]
fn a_damaged_root_waits_for_a_word_and_a_damaged_leaf_does_not() {
    let mut lab = damaged(ROOT);
    // Nor has its record the key.
    for authority in lab.issued.authorities.values_mut() {
        Arc::make_mut(authority).key = None;
    }
    lab.pass(DAY * 100);
    let plan = lab.settle();
    assert!(labels(&plan).contains(&"secret-damaged"));
    assert!(!lab.issued.authorities.is_empty());
    assert!(!lab.issued.secrets.contains_key(&key("shop/root")));
    let asked = crate::issued::Attempt {
        renewal_asked: Some(lab.now),
        ..Default::default()
    };
    lab.issued.attempts.insert(key("shop/root"), asked.into());
    lab.settle();
    lab.pass(Duration::from_secs(20));
    assert!(lab.issued.secrets.contains_key(&key("shop/root")));
    assert!(lab.issued.secrets.contains_key(&key("shop/web")));
}

#[test]
fn a_damaged_root_comes_from_its_record() {
    let label = "  secretTemplate: {labels: {found: again}}\n";
    for (root, settings) in [
        (
            ROOT.replace("  isCA: true\n", &format!("  isCA: true\n{label}")),
            "common name",
        ),
        (
            ROOT.replace(
                "  commonName: Root\n",
                "  literalSubject: \"CN=Root,O=Shop\"\n  dnsNames: [root.shop]\n",
            ),
            "literal subject",
        ),
    ] {
        let mut lab = Lab::new(&root);
        lab.add(&leaf("web", ""));
        lab.settle();
        let before = (*lab.issued.secrets[&key("shop/root")]).clone();
        let done = lab.done.len();
        lab.issued.secrets.remove(&key("shop/root"));
        lab.issued.damaged.insert(key("shop/root"));
        let plan = lab.settle();
        let after = &lab.issued.secrets[&key("shop/root")];
        assert_eq!(
            (&after.secret, &after.request),
            (&before.secret, &before.request),
            "{settings}"
        );
        assert!(lab.issued.damaged.is_empty(), "{settings}");
        assert_eq!(labels(&plan), [""; 0], "{settings}");
        let is_issue = |(_, action): &(Timestamp, Action)| matches!(action, Action::Issue(_));
        assert!(!lab.done[done..].iter().any(is_issue), "nothing is signed anew: {settings}");
    }

    // What was changed meanwhile rolls over as it would have.
    let mut lab = damaged(ROOT);
    let old = lab.issued.authorities.keys().next().cloned().expect("a CA");
    lab.add(&ROOT.replace("commonName: Root", "commonName: Other"));
    lab.settle();
    assert_eq!(lab.facts("shop/root").subject.common_name, "Other");
    assert!(lab.issued.authorities.contains_key(&old), "who believes it goes on");

    // As cert-manager, which has no record.
    let mut lab = damaged(ROOT).cert_manager();
    let plan = lab.settle();
    assert!(labels(&plan).contains(&"secret-damaged"));
    // Asked for is asked for.
    let mut lab = damaged(ROOT);
    let asked = crate::issued::Attempt {
        renewal_asked: Some(lab.now),
        renewal_of: Some(0),
        ..Default::default()
    };
    lab.issued.attempts.insert(key("shop/root"), asked.into());
    lab.settle();
    assert!(lab.issued.authorities.len() == 2 && lab.issued.attempts.is_empty());
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

/// Something that happens between two plans.
#[derive(Clone, Debug)]
enum Event {
    /// Seconds, to and fro.
    Clock(i64),
    Leaf(usize, &'static str),
    NoLeaf(usize),
    Root(&'static str),
    Renew(&'static str),
    Tamper(&'static str, &'static str),
    Lost(&'static str),
    Behaviour(Behaviour),
}

fn events() -> impl proptest::strategy::Strategy<Value = Vec<Event>> {
    use proptest::prelude::*;
    let secret = || prop::sample::select(vec!["root", "leaf-0", "leaf-1", "leaf-2"]);
    let spec = prop::sample::select(vec![
        "",
        "  duration: 1h\n",
        "  duration: 1h\n  renewBefore: 59m59s\n",
        "  renewBeforePercentage: 99\n",
        "  renewal: {policy: Disabled}\n",
        "  renewal: {policy: RenewBefore, windows: [{cron: '0 3 * * 6', windowDuration: 2h, timezone: Europe/Berlin}]}\n",
        "  isCA: true\n  commonName: sub\n",
        "  secretTemplate: {labels: {a: b}}\n",
    ]);
    let root = prop::sample::select(vec!["87600h", "720h", "1h", "20h"]);
    let behaviour = prop::sample::select(vec![Behaviour::Sealway, Behaviour::CertManager]);
    let second = prop_oneof![-40_000_000..40_000_000_i64, -20..4000_i64, 0..2_000_000_i64];
    let event = prop_oneof![
        5 => second.prop_map(Event::Clock),
        4 => (0..3_usize, spec).prop_map(|(number, spec)| Event::Leaf(number, spec)),
        1 => (0..3_usize).prop_map(Event::NoLeaf),
        1 => root.prop_map(Event::Root),
        1 => secret().prop_map(Event::Renew),
        1 => (secret(), prop::sample::select(vec!["tls.crt", "tls.key", "ca.crt"])).prop_map(|(secret, part)| Event::Tamper(secret, part)),
        1 => secret().prop_map(Event::Lost),
        1 => behaviour.prop_map(Event::Behaviour),
    ];
    prop::collection::vec(event, 1..25)
}

fn happen(lab: &mut Lab, event: &Event) {
    match event {
        Event::Clock(seconds) => {
            let span = jiff::SignedDuration::from_secs(*seconds);
            lab.now = lab.now.checked_add(span).unwrap_or(lab.now);
        }
        Event::Leaf(number, spec) => lab.add(&leaf(&format!("leaf-{number}"), spec)),
        Event::NoLeaf(number) => drop(lab.resources.certificates.remove(&key(&format!("shop/leaf-{number}")))),
        Event::Root(duration) => lab.add(&ROOT.replace("87600h", duration)),
        Event::Renew(name) => {
            let asked = crate::issued::Attempt {
                renewal_asked: Some(lab.now),
                ..Default::default()
            };
            lab.issued.attempts.insert(key(&format!("shop/{name}")), asked.into());
        }
        Event::Tamper(name, part) => {
            let name = format!("shop/{name}");
            if lab.issued.secrets.contains_key(&key(&name)) {
                lab.tamper(&name, part, Some("nonsense"));
            }
        }
        Event::Lost(name) => drop(lab.issued.secrets.remove(&key(&format!("shop/{name}")))),
        Event::Behaviour(behaviour) => lab.settings.behaviour = *behaviour,
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 12, ..Default::default() })]

    /// Whatever happens: the same input gives the same plan, its actions lead to a plan without any at the same moment, and it wants to be made
    /// again in the future only.
    #[test]
    fn every_plan_comes_to_rest(events in events()) {
        let mut lab = Lab::new(ROOT);
        for event in events {
            happen(&mut lab, &event);
            let (one, two) = (lab.plan(), lab.plan());
            proptest::prop_assert_eq!(format!("{one:?}"), format!("{two:?}"));
            lab.settle();
        }
    }
}
