//! One row for each reason and message that an issued Secret can come to.

use std::time::Duration;

use super::super::lab::{Lab, ROOT, key, leaf, said};
use crate::order::Action;

/// What a change behind the issuer's back, or of the manifests, makes Issuing and Ready say.
#[test]
fn every_reason() {
    type Disturb = fn(&mut Lab);
    let table: [(&str, Disturb, &str, &str); 13] = [
        (
            "no Secret",
            |lab| drop(lab.issued.secrets.remove(&key("shop/web"))),
            "DoesNotExist: Issuing certificate as Secret does not exist",
            "",
        ),
        (
            "nothing in it",
            |lab| {
                for part in ["tls.crt", "tls.key", "ca.crt"] {
                    lab.tamper("shop/web", part, None);
                }
            },
            "MissingData: Issuing certificate as Secret does not contain any data",
            "",
        ),
        (
            "no key",
            |lab| lab.tamper("shop/web", "tls.key", None),
            "MissingData: Issuing certificate as Secret does not contain a private key",
            "",
        ),
        (
            "no certificate",
            |lab| lab.tamper("shop/web", "tls.crt", Some("")),
            "MissingData: Issuing certificate as Secret does not contain a certificate",
            "",
        ),
        (
            "a key that is none",
            |lab| lab.tamper("shop/web", "tls.key", Some("not a key")),
            "InvalidKeyPair: Issuing certificate as Secret contains invalid private key data: error decoding private key PEM block: no PEM \
             data was found in given input",
            "",
        ),
        (
            "a certificate that is none",
            |lab| lab.tamper("shop/web", "tls.crt", Some("not a certificate")),
            "InvalidCertificate: Issuing certificate as Secret contains an invalid certificate: error decoding certificate PEM block: no valid \
             certificates found",
            "",
        ),
        (
            "another's key",
            |lab| {
                let other = lab.part("shop/root", "tls.key");
                lab.tamper("shop/web", "tls.key", Some(&other));
            },
            "InvalidKeyPair: Issuing certificate as Secret contains a private key that does not match the certificate",
            "",
        ),
        (
            "another issuer",
            |lab| lab.add(&leaf("web", "").replace("{name: root}", "{name: selfsigned}")),
            "IncorrectIssuer: Issuing certificate as Secret was previously issued by \"Issuer.cert-manager.io/root\"",
            "",
        ),
        (
            "another kind of issuer",
            |lab| {
                lab.add("kind: ClusterIssuer\nmetadata: {name: root}\nspec: {selfSigned: {}}\n");
                lab.add(&leaf("web", "").replace("{name: root}", "{name: root, kind: ClusterIssuer}"));
            },
            "IncorrectIssuer: Issuing certificate as Secret was previously issued by \"Issuer.cert-manager.io/root\"",
            "",
        ),
        (
            "another size of key",
            |lab| lab.add(&leaf("web", "").replace("{algorithm: ECDSA}", "{algorithm: ECDSA, size: 384}")),
            "SecretMismatch: Existing private key is not up to date for spec: [spec.privateKey.size]",
            "",
        ),
        (
            "another algorithm",
            |lab| lab.add(&leaf("web", "").replace("{algorithm: ECDSA}", "{algorithm: Ed25519}")),
            "SecretMismatch: Existing private key is not up to date for spec: [spec.privateKey.algorithm]",
            "",
        ),
        (
            "other names",
            |lab| lab.add(&leaf("web", "  commonName: web\n  uris: ['spiffe://shop/web']\n").replace("web.shop", "www.shop")),
            "RequestChanged: Fields on existing CertificateRequest resource not up to date: [spec.uris spec.dnsNames spec.commonName]",
            "",
        ),
        (
            "due for renewal",
            |lab| lab.now = super::super::times::later(lab.now, Duration::from_hours(1440)),
            "Renewing: Renewing certificate as renewal was scheduled at 2027-03-02 00:00:00 +0000 UTC",
            "True Ready: Certificate is up to date and has not expired",
        ),
    ];
    let mut settled = Lab::new(ROOT);
    settled.add(&leaf("web", ""));
    settled.settle();
    for sealway in [true, false] {
        for (what, disturb, issuing, ready) in &table {
            let mut lab = Lab {
                now: settled.now,
                resources: settled.resources.clone(),
                issued: settled.issued.clone(),
                settings: settled.settings.clone(),
                done: Vec::new(),
            };
            if !sealway {
                lab = lab.cert_manager();
            }
            disturb(&mut lab);
            let plan = lab.plan();
            assert_eq!(said(&plan, "shop/web", "Issuing"), format!("True {issuing}"), "{what}");
            let ready = if ready.is_empty() {
                format!("False {issuing}")
            } else {
                (*ready).to_owned()
            };
            assert_eq!(said(&plan, "shop/web", "Ready"), ready, "{what}");
            let order = plan.actions.iter().find_map(|action| match action {
                Action::Issue(order) => Some(order),
                _ => None,
            });
            let order = order.unwrap_or_else(|| panic!("{what}: nothing is issued"));
            assert_eq!(format!("{}: {}", order.reason, order.message), *issuing, "{what}");
            let plan = lab.settle();
            assert_eq!(said(&plan, "shop/web", "Issuing"), "", "{what}");
            assert_eq!(
                said(&plan, "shop/web", "Ready"),
                "True Ready: Certificate is up to date and has not expired",
                "{what}"
            );
        }
    }
}

#[test]
fn a_certificate_that_ended_is_not_ready() {
    let mut lab = Lab::new(ROOT).cert_manager();
    lab.add(&leaf("web", "  renewal: {policy: Disabled}\n"));
    let plan = lab.settle();
    assert_eq!(plan.statuses.certificates[&key("shop/web")].renewal_time, None);
    lab.now = lab.facts("shop/web").not_after;
    assert!(
        said(&lab.plan(), "shop/web", "Ready").starts_with("True"),
        "the last second counts"
    );
    let wake = lab.plan().wake_at.unwrap();
    lab.now = wake;
    let plan = lab.settle();
    assert_eq!(
        said(&plan, "shop/web", "Ready"),
        "False Expired: Certificate expired on Thu, 01 Apr 2027 00:00:00 UTC"
    );
    assert_eq!(said(&plan, "shop/web", "Issuing"), "");
}

#[test]
fn windows_that_cannot_be_kept_to() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf(
        "web",
        "  duration: 2h\n  renewBefore: 40m\n  renewal: {policy: RenewBefore, windows: [{cron: '0 0 29 2 *', windowDuration: 1h}]}\n",
    ));
    let plan = lab.settle();
    let fault = "cannot find a time with the given windows between 2027-01-01 00:00:00 +0000 UTC and 2027-01-01 02:00:00 +0000 UTC for: \
                 2027-01-01 01:20:00 +0000 UTC";
    assert_eq!(
        said(&plan, "shop/web", "Ready"),
        format!("False WindowError: Could not calculate renewal time: {fault}")
    );
    lab.now = plan.wake_at.unwrap();
    assert_eq!(
        said(&lab.plan(), "shop/web", "Issuing"),
        "True Renewing: Renewing certificate without satisfying renewal windows at: 2027-01-01 01:20:00 +0000 UTC"
    );
}

#[test]
fn a_renewal_that_would_never_stop_has_a_minute_between() {
    let mut lab = Lab::new(ROOT).cert_manager();
    lab.add(&leaf("web", "  duration: 1h\n  renewBefore: 59m59s\n"));
    let plan = lab.settle();
    let start = lab.now;
    assert_eq!(plan.wake_at, Some(super::later(start, Duration::from_mins(1))));
    lab.pass(Duration::from_mins(10));
    assert_eq!(lab.issued.secrets[&key("shop/web")].revision, 11);
}
