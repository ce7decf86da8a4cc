//! Secrets whose files cannot be read any more.

use std::time::Duration;

use super::super::lab::{Lab, ROOT, key, labels, leaf};
use super::super::*;
use super::DAY;

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
fn authorities_that_cannot_be_read_are_put_back() {
    let stores = "  keystores: {pkcs12: {create: true, password: secret}}\n";
    for nonsense in [
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n",
    ] {
        for (secret, settings) in [("shop/root", ""), ("shop/web", ""), ("shop/web", stores)] {
            let mut lab = Lab::new(ROOT);
            lab.add(&leaf("web", settings));
            lab.settle();
            let (authorities, chain) = (lab.part(secret, "ca.crt"), lab.part(secret, "tls.crt"));
            lab.tamper(secret, "ca.crt", Some(nonsense));
            let plan = lab.settle();
            assert_eq!(labels(&plan), [""; 0], "{secret} {settings}");
            assert_eq!(lab.part(secret, "ca.crt"), authorities, "{secret} {settings}");
            assert_eq!(lab.part(secret, "tls.crt"), chain, "nothing is issued for that");
        }
    }
}
