//! Secrets that are not the issuer's alone: of the manifests, of two Certificates, of none any more.

use super::super::lab::{Lab, ROOT, START, key, labels, leaf, said};
use super::super::times::{earlier, later};
use super::super::*;
use super::DAY;

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
