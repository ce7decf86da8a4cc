use super::super::lab::{Lab, ROOT, labels, leaf};
use super::*;

fn ready(lab: &Lab, name: &str) -> String {
    let plan = lab.plan();
    let status = plan.statuses.issuers.get(&ObjectKey::new("shop", name));
    let status = status.or_else(|| plan.statuses.cluster_issuers.get(name)).unwrap();
    let said = status.conditions.iter().map(|condition| {
        assert_eq!(condition.kind, "Ready");
        format!("{:?} {}: {}", condition.status, condition.reason, condition.message)
    });
    said.collect::<Vec<_>>().join(" ")
}

/// The texts are those that cert-manager's controllers gave.
#[test]
fn conditions() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("web", ""));
    lab.settle();
    lab.add(
        "kind: Issuer
metadata: {name: missing, namespace: shop}
spec: {ca: {secretName: nowhere}}
---
kind: ClusterIssuer
metadata: {name: far}
spec: {ca: {secretName: root}}
---
kind: Secret
metadata: {name: no-authority, namespace: shop}
stringData: {password: nothing else}
---
kind: Issuer
metadata: {name: no-part, namespace: shop}
spec: {ca: {secretName: no-authority}}
---
kind: Secret
metadata: {name: garbage, namespace: shop}
stringData: {tls.crt: not a certificate, tls.key: not a key}
---
kind: Issuer
metadata: {name: garbage, namespace: shop}
spec: {ca: {secretName: garbage}}
---
kind: Issuer
metadata: {name: leaf, namespace: shop}
spec: {ca: {secretName: web}}
---
kind: Issuer
metadata: {name: acme, namespace: shop}
spec: {acme: {server: 'https://acme.example'}}
---
kind: Issuer
metadata: {name: vault, namespace: shop}
spec: {vault: {path: pki}}
---
kind: Issuer
metadata: {name: venafi, namespace: shop}
spec: {venafi: {zone: z}}
---
kind: Issuer
metadata: {name: nothing, namespace: shop}
spec: {}
",
    );
    let table = [
        ("selfsigned", "True IsReady: "),
        ("root", "True KeyPairVerified: Signing CA verified"),
        (
            "missing",
            "False ErrGetKeyPair: Error getting keypair for CA issuer: secrets \"nowhere\" not found",
        ),
        (
            "far",
            "False ErrGetKeyPair: Error getting keypair for CA issuer: secrets \"root\" not found",
        ),
        (
            "no-part",
            "False ErrGetKeyPair: Error getting keypair for CA issuer: no data for \"tls.crt\" in secret 'shop/no-authority'",
        ),
        (
            "garbage",
            "False ErrGetKeyPair: Error getting keypair for CA issuer: error decoding certificate PEM block: no valid certificates found",
        ),
        (
            "leaf",
            "False ErrInvalidKeyPair: Error getting keypair for CA issuer: certificate is not a CA",
        ),
        ("nothing", "False InvalidSpec: it names no way to sign"),
    ];
    for (name, expected) in table {
        assert_eq!(ready(&lab, name), expected, "{name}");
    }
    for (name, kind) in [("acme", "ACME"), ("vault", "Vault"), ("venafi", "Venafi")] {
        let said = ready(&lab, name);
        assert!(
            said.starts_with(&format!("False NotServedHere: {kind} issuers need cert-manager")),
            "{said}"
        );
    }
    lab.tamper("shop/root", "tls.key", None);
    assert_eq!(
        ready(&lab, "root"),
        "False ErrGetKeyPair: Error getting keypair for CA issuer: no data for \"tls.key\" in secret 'shop/root'"
    );
    let other = lab.part("shop/web", "tls.key");
    lab.tamper("shop/root", "tls.key", Some(&other));
    assert!(ready(&lab, "root").starts_with("False ErrInvalidKeyPair"));
    assert!(labels(&lab.plan()).contains(&"key-pair-invalid"));
    // cert-manager does not look at that before it signs.
    assert!(ready(&lab.cert_manager(), "root").starts_with("True KeyPairVerified"));
}

#[test]
fn a_cluster_issuer_finds_its_secret_in_the_cluster_resource_namespace() {
    let mut lab = Lab::new(&ROOT.replace("namespace: shop", "namespace: cert-manager").replace(
        "kind: Issuer\nmetadata: {name: root, namespace: cert-manager}",
        "kind: ClusterIssuer\nmetadata: {name: root}",
    ));
    lab.add(&leaf("web", "").replace("{name: root}", "{name: root, kind: ClusterIssuer}"));
    let plan = lab.settle();
    assert_eq!(plan.findings, []);
    assert_eq!(lab.facts("shop/web").issuer_der, lab.facts("cert-manager/root").subject_der);
}

#[test]
fn references() {
    let reference = |kind: Option<&str>, group: Option<&str>| IssuerRef {
        name: "ca".to_owned(),
        kind: kind.map(str::to_owned),
        group: group.map(str::to_owned),
    };
    let of = |kind, group| referenced(&reference(kind, group), "shop").map(|object| object.to_string());
    assert_eq!(of(None, None).as_deref(), Some("Issuer shop/ca"));
    assert_eq!(of(Some(""), Some("")).as_deref(), Some("Issuer shop/ca"));
    assert_eq!(
        of(Some("ClusterIssuer"), Some("cert-manager.io")).as_deref(),
        Some("ClusterIssuer ca")
    );
    assert_eq!(of(Some("Wonder"), None), None);
    assert_eq!(of(None, Some("example.com")), None);
}
