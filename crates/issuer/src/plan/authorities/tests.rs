//! Roll-over, moment by moment.

use std::time::Duration;

use super::super::lab::{Lab, ROOT, START, key, leaf, said};
use super::super::times::{earlier, later};
use super::*;
use crate::issued::Revocation;
use crate::order::Action;

const DAY: Duration = Duration::from_hours(24);

fn second(seconds: u64) -> Timestamp {
    later(START.parse().unwrap(), Duration::from_secs(seconds))
}

/// Which root stands in a Secret's `ca.crt`, by the names that `roots` gives them, in order.
fn roots(lab: &Lab, secret: &str, roots: &[(&str, &str)]) -> String {
    let held = lab.part(secret, "ca.crt");
    let mut found: Vec<(usize, &str)> = roots
        .iter()
        .filter_map(|(name, pem)| Some((held.find(pem.trim())?, *name)))
        .collect();
    found.sort_unstable();
    found.iter().map(|(_, name)| *name).collect()
}

fn issuances(lab: &Lab, from: usize) -> Vec<String> {
    let issued = lab.done[from..].iter().filter_map(|(time, action)| match action {
        Action::Issue(order) => {
            let seconds = time.duration_since(START.parse().unwrap()).as_secs();
            Some(format!("{seconds} {} {}", order.certificate.name, order.reason))
        }
        _ => None,
    });
    issued.collect()
}

/// A root that lives 30 days, with two leaves that live 90, so that all end together.
#[test]
fn the_whole_of_a_roll_over() {
    let mut lab = Lab::new(&ROOT.replace("87600h", "720h"));
    lab.settings.publication_lead = Duration::from_secs(600);
    lab.add(&leaf("web", ""));
    lab.add(&leaf("client", ""));
    lab.settle();
    let old = lab.part("shop/root", "tls.crt");
    // They end with their root.
    let end = lab.facts("shop/root").not_after;
    assert_eq!(lab.facts("shop/web").not_after, end);
    assert_eq!(roots(&lab, "shop/web", &[("old", &old)]), "old");

    // Day 20: the root is renewed. So it would be with the leaves, but another of the old root would end no later.
    let done = lab.done.len();
    let renewal = 20 * 86_400;
    lab.now = second(renewal - 1);
    lab.settle();
    assert_eq!(issuances(&lab, done), Vec::<String>::new());
    lab.now = second(renewal);
    let plan = lab.settle();
    assert_eq!(issuances(&lab, done), [format!("{renewal} root Renewing")]);
    let new = lab.part("shop/root", "tls.crt");
    let names = [("old ", old.as_str()), ("new ", new.as_str())];
    assert_eq!(roots(&lab, "shop/root", &names), "new old ");
    for leaf in ["shop/web", "shop/client"] {
        assert_eq!(roots(&lab, leaf, &names), "old new ", "published before anything is signed");
        assert_eq!(
            said(&plan, leaf, "Ready"),
            "True Ready: Certificate is up to date and has not expired"
        );
    }
    assert_eq!(plan.wake_at, Some(second(renewal + 600)));

    // Who comes now is signed by the old root, at once.
    lab.now = second(renewal + 300);
    lab.add(&leaf("late", ""));
    lab.settle();
    assert_eq!(roots(&lab, "shop/late", &names), "old new ");
    assert_eq!(lab.facts("shop/late").not_after, end);

    // The lead is over: everything is issued anew, and both roots go on being believed.
    let done = lab.done.len();
    lab.now = second(renewal + 600);
    lab.settle();
    let at = renewal + 600;
    let expected = ["client", "late", "web"].map(|name| format!("{at} {name} AuthorityChanged"));
    assert_eq!(issuances(&lab, done), expected);
    for leaf in ["shop/web", "shop/client", "shop/late"] {
        assert_eq!(roots(&lab, leaf, &names), "new old ");
    }

    // To the last second of the last certificate that the old root signed.
    let done = lab.done.len();
    lab.now = end;
    lab.settle();
    assert_eq!(lab.issued.authorities.len(), 2);
    assert_eq!(roots(&lab, "shop/web", &names), "new old ");
    let wake = lab.plan().wake_at.unwrap();
    assert_eq!(wake, later(end, Duration::from_secs(1)));
    lab.now = wake;
    lab.settle();
    assert_eq!(lab.issued.authorities.len(), 1);
    for secret in ["shop/web", "shop/client", "shop/late", "shop/root"] {
        assert_eq!(roots(&lab, secret, &names), "new ");
    }
    assert_eq!(issuances(&lab, done), Vec::<String>::new());
}

/// Four months of roots that live a month: whoever signs has been believed by the other side for the length of the lead.
#[test]
fn nobody_is_ever_shown_a_root_that_is_news() {
    let mut lab = Lab::new(&ROOT.replace("87600h", "720h"));
    lab.settings.publication_lead = Duration::from_hours(1);
    lab.add(&leaf("web", "  duration: 100h\n"));
    lab.add(&leaf("client", ""));
    lab.settle();
    let blocks = |lab: &Lab, secret: &str| -> Vec<String> {
        let held = lab.part(secret, "ca.crt");
        held.split_inclusive("-----END CERTIFICATE-----\n")
            .map(str::to_owned)
            .collect()
    };
    let mut believed: BTreeMap<String, Timestamp> = BTreeMap::new();
    let first = blocks(&lab, "shop/web").remove(0);
    let end = later(lab.now, DAY * 120);
    let mut signers = BTreeSet::new();
    loop {
        for root in blocks(&lab, "shop/client") {
            believed.entry(root).or_insert(lab.now);
        }
        let signer = blocks(&lab, "shop/web").remove(0);
        let since = believed[&signer];
        let issued_at = lab.issued.secrets[&key("shop/web")].issued_at;
        assert!(
            signer == first || later(since, lab.settings.publication_lead) <= issued_at,
            "{}",
            lab.now
        );
        assert!(blocks(&lab, "shop/client").contains(&signer));
        signers.insert(signer);
        match lab.plan().wake_at {
            Some(wake) if wake < end => lab.now = wake,
            _ => break,
        }
        lab.settle();
    }
    assert!(signers.len() >= 5, "{}", signers.len());
}

#[test]
fn cert_manager_does_none_of_it() {
    let mut lab = Lab::new(&ROOT.replace("87600h", "720h")).cert_manager();
    lab.add(&leaf("web", ""));
    lab.settle();
    let old = lab.part("shop/root", "tls.crt");
    assert!(lab.facts("shop/web").not_after > lab.facts("shop/root").not_after);
    lab.pass(DAY * 25);
    let new = lab.part("shop/root", "tls.crt");
    assert_eq!(roots(&lab, "shop/web", &[("old ", &old), ("new ", &new)]), "old ");
    assert_eq!(lab.issued.secrets[&key("shop/web")].revision, 1);
    lab.add(&leaf("late", ""));
    lab.settle();
    assert_eq!(roots(&lab, "shop/late", &[("old ", &old), ("new ", &new)]), "new ");
    assert!(
        lab.issued
            .authorities
            .values()
            .all(|authority| authority.revocation_list.is_none())
    );
}

/// A CA that keeps its key and name needs no roll-over: what the one signed, the other did too.
#[test]
fn a_ca_that_keeps_its_key_is_renewed_without_a_stir() {
    let mut lab = Lab::new(
        &ROOT
            .replace("87600h", "720h")
            .replace("{algorithm: ECDSA}", "{algorithm: ECDSA, rotationPolicy: Never}"),
    );
    lab.add(&leaf("web", "  duration: 300h\n"));
    lab.settle();
    lab.pass(DAY * 20);
    let done = lab.done.len();
    lab.pass(Duration::from_hours(1));
    assert_eq!(issuances(&lab, done), Vec::<String>::new());
    assert_eq!(lab.issued.secrets[&key("shop/root")].revision, 2);
}

fn given(name: &str, of: &Lab) -> String {
    let indent = |part: &str| of.part("shop/root", part).replace('\n', "\n    ");
    format!(
        "kind: Secret\nmetadata: {{name: {name}, namespace: shop}}\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        indent("tls.crt"),
        indent("tls.key")
    )
}

/// The CA stands in the manifests, and they change: its key is gone, so that nothing is signed for the length of the lead.
#[test]
fn a_ca_of_the_manifests_is_replaced() {
    let (mut one, mut two) = (Lab::new(ROOT), Lab::new(ROOT));
    one.settle();
    two.settle();
    let mut lab = Lab::new("kind: Issuer\nmetadata: {name: root, namespace: shop}\nspec: {ca: {secretName: root}}\n");
    lab.settings.publication_lead = Duration::from_secs(60);
    lab.add(&given("root", &one));
    lab.add(&leaf("web", ""));
    lab.settle();
    let (old, new) = (one.part("shop/root", "tls.crt"), two.part("shop/root", "tls.crt"));
    let names = [("old ", old.as_str()), ("new ", new.as_str())];
    assert!(
        lab.issued
            .authorities
            .values()
            .all(|authority| authority.key.is_none() && authority.revocation_list.is_some())
    );
    lab.add(&given("root", &two));
    lab.add(&leaf("late", ""));
    let plan = lab.settle();
    assert_eq!(roots(&lab, "shop/web", &names), "old new ");
    assert!(!lab.issued.secrets.contains_key(&key("shop/late")));
    assert_eq!(super::super::lab::labels(&plan), ["authority-unpublished"]);
    assert_eq!(plan.wake_at, Some(second(60)));
    lab.now = second(60);
    lab.settle();
    assert_eq!(roots(&lab, "shop/web", &names), "new old ");
    assert_eq!(roots(&lab, "shop/late", &names), "new old ");
    // Three times in a row, faster than the lead: what is in use decides.
    lab.add(&given("root", &one));
    lab.now = second(61);
    lab.settle();
    lab.now = second(62);
    lab.add(&given("root", &two));
    let plan = lab.settle();
    assert!(
        plan.statuses
            .issuers
            .values()
            .all(|status| status.conditions[0].reason == "KeyPairVerified")
    );
    lab.pass(Duration::from_secs(120));
    assert_eq!(roots(&lab, "shop/web", &names), "new old ");
}

/// One of two issuers of a CA goes over to another CA; the other stays, and its peers never come to believe the new one.
#[test]
fn an_issuer_that_changes_its_secret_rolls_over_alone() {
    let (mut one, mut two) = (Lab::new(ROOT), Lab::new(ROOT));
    one.settle();
    two.settle();
    let issuer = |name: &str, secret: &str| {
        format!("kind: Issuer\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{ca: {{secretName: {secret}}}}}\n")
    };
    let mut lab = Lab::new(&issuer("root", "one"));
    lab.settings.publication_lead = Duration::from_secs(60);
    lab.add(&issuer("stays", "one"));
    lab.add(&given("one", &one));
    lab.add(&given("two", &two));
    lab.add(&leaf("web", ""));
    lab.add(&leaf("other", "").replace("{name: root}", "{name: stays}"));
    lab.settle();
    let (old, new) = (one.part("shop/root", "tls.crt"), two.part("shop/root", "tls.crt"));
    let names = [("old ", old.as_str()), ("new ", new.as_str())];
    lab.add(&issuer("root", "two"));
    lab.settle();
    assert_eq!(roots(&lab, "shop/web", &names), "old new ");
    assert_eq!(roots(&lab, "shop/other", &names), "old ");
    lab.pass(Duration::from_secs(60));
    assert_eq!(roots(&lab, "shop/web", &names), "new old ");
    assert_eq!(roots(&lab, "shop/other", &names), "old ");
    lab.pass(DAY * 91);
    assert_eq!(
        roots(&lab, "shop/web", &names),
        "new ",
        "the old one is in use by others only"
    );
    assert_eq!(roots(&lab, "shop/other", &names), "old ");
}

#[test]
fn a_ca_of_the_manifests_warns_before_its_end() {
    let mut maker = Lab::new(&ROOT.replace("87600h", "720h"));
    maker.settle();
    let mut lab = Lab::new("kind: Issuer\nmetadata: {name: root, namespace: shop}\nspec: {ca: {secretName: root}}\n");
    lab.add(&given("root", &maker));
    lab.add(&leaf("web", ""));
    assert_eq!(lab.settle().findings, []);
    let plan = lab.pass(DAY * 10);
    assert_eq!(super::super::lab::labels(&plan), ["certificate-ends-soon"]);
    let plan = lab.pass(DAY * 21);
    assert!(
        plan.findings.iter().any(|finding| finding.label == "certificate-ended"),
        "{:?}",
        plan.findings
    );
    assert!(plan.findings.iter().any(|finding| finding.label == "authority-ended"));
}

/// The process dies between any two changes of a roll-over, and goes on from there.
#[test]
fn a_crash_between_any_two_changes_loses_nothing() {
    let mut start = Lab::new(&ROOT.replace("87600h", "720h"));
    start.add(&leaf("web", ""));
    start.settle();
    start.now = second(20 * 86_400);
    for survives in 0..12 {
        let mut lab = Lab {
            now: start.now,
            resources: start.resources.clone(),
            issued: start.issued.clone(),
            settings: start.settings.clone(),
            done: Vec::new(),
        };
        let mut left = survives;
        'life: loop {
            let actions = lab.plan().actions;
            if actions.is_empty() {
                match lab.plan().wake_at {
                    Some(wake) if wake < second(20 * 86_400 + 3600) => lab.now = wake,
                    _ => break 'life,
                }
            }
            for action in actions {
                for change in crate::perform::perform(&action, &lab.issued, lab.now).unwrap() {
                    if left == 0 {
                        break 'life;
                    }
                    left -= 1;
                    lab.issued.apply(change);
                }
            }
        }
        lab.pass(Duration::from_hours(1));
        assert_eq!(lab.issued.authorities.len(), 2, "{survives}");
        assert!(
            lab.issued.authorities.values().all(|authority| authority.key.is_some()),
            "{survives}"
        );
        let new = lab.part("shop/root", "tls.crt");
        assert!(lab.part("shop/web", "ca.crt").starts_with(new.trim_end()), "{survives}");
    }
}

#[test]
fn lists_name_what_was_revoked_and_are_renewed() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("web", ""));
    lab.settle();
    let id = lab.issued.authorities.keys().next().unwrap().clone();
    let list = |lab: &Lab| lab.issued.authorities[&id].revocation_list.clone().unwrap();
    let first = list(&lab);
    let number = lab.issued.authorities[&id].list_number;
    let half = later(lab.now, Duration::from_hours(84));
    assert_eq!(lab.plan().wake_at, Some(half));
    let mut authority = (*lab.issued.authorities[&id]).clone();
    authority.issuances[0].revoked = Some(Revocation {
        at: lab.now,
        reason: "keyCompromise".to_owned(),
    });
    lab.issued.authorities.insert(id.clone(), authority.into());
    lab.settle();
    assert_ne!(list(&lab), first);
    assert_eq!(lab.issued.authorities[&id].list_number, number + 1);
    lab.now = half;
    lab.settle();
    assert_eq!(lab.issued.authorities[&id].list_number, number + 2);
    lab.now = earlier(lab.now, DAY);
    lab.settle();
    assert_eq!(
        lab.issued.authorities[&id].list_number,
        number + 3,
        "a list from the future is no list"
    );
}

#[test]
fn what_was_revoked_and_still_stands_in_its_secret_is_told() {
    let mut lab = Lab::new(ROOT);
    lab.add(&leaf("web", ""));
    lab.settle();
    let (id, authority) = lab.issued.authorities.first_key_value().unwrap();
    let (id, mut authority) = (id.clone(), (**authority).clone());
    authority.issuances[0].revoked = Some(Revocation {
        at: lab.now,
        reason: "keyCompromise".to_owned(),
    });
    lab.issued.authorities.insert(id, authority.into());
    let plan = lab.settle();
    assert!(said(&plan, "shop/web", "Ready").starts_with("False Revoked: the certificate in Secret shop/web was revoked"));
    assert_eq!(super::super::lab::labels(&plan), ["revoked-in-use"]);
    assert_eq!(
        lab.issued.secrets[&key("shop/web")].revision,
        1,
        "nobody has asked for another"
    );
}

#[test]
fn a_ca_whose_certificates_are_all_revoked_is_remembered_until_they_have_ended() {
    let mut lab = Lab::new(&ROOT.replace("87600h", "720h"));
    lab.add(&leaf("web", ""));
    lab.settle();
    let (old, authority) = lab.issued.authorities.first_key_value().unwrap();
    let (old, mut authority) = (old.clone(), (**authority).clone());
    let end = authority.issuances[0].not_after;
    authority.issuances[0].revoked = Some(Revocation {
        at: lab.now,
        reason: "keyCompromise".to_owned(),
    });
    let serial = authority.issuances[0].serial.clone();
    lab.issued.authorities.insert(old.clone(), authority.into());
    // The root is renewed, and everything with it; nothing of the old one is in use.
    lab.pass(Duration::from_hours(25 * 24));
    assert_eq!(lab.issued.authorities.len(), 2);
    lab.now = end;
    lab.settle();
    let list = lab.issued.authorities[&old].revocation_list.clone().expect("a list");
    assert!(lists::is_on(&list, &serial));
    lab.now = later(end, Duration::from_secs(1));
    lab.settle();
    assert!(!lab.issued.authorities.contains_key(&old));
}

#[test]
fn a_ca_that_may_not_sign_lists_is_told_when_it_matters() {
    let mut lab = Lab::new(&ROOT.replace("  usages: [cert sign, crl sign]\n", ""));
    // As cert-manager issues it; we would let it sign lists.
    lab.settings.behaviour = Behaviour::CertManager;
    lab.settle();
    lab.settings.behaviour = Behaviour::Sealway;
    lab.add(&leaf("web", ""));
    assert_eq!(lab.settle().findings, []);
    let id = lab.issued.authorities.keys().next().unwrap().clone();
    let mut authority = (*lab.issued.authorities[&id]).clone();
    authority.issuances[0].revoked = Some(Revocation {
        at: lab.now,
        reason: String::new(),
    });
    lab.issued.authorities.insert(id, authority.into());
    assert_eq!(super::super::lab::labels(&lab.settle()), ["revoked-in-use", "list-forbidden"]);
}
