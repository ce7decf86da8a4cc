//! What is decided on each of the three systems.

use std::time::SystemTime;

use sealway_testkit::certificates::Authority;

use super::*;

fn certificate() -> Certificate {
    let authority = Authority::generate("internal-ca", SystemTime::now()).expect("authority");
    Certificate::read(authority.certificate_pem().as_bytes()).expect("certificate")
}

fn system(store: Store) -> System {
    System {
        store,
        root: PathBuf::from("/"),
    }
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(Step::to_string).collect()
}

fn installing(store: Store, certificate: &Certificate, contents: &Contents) -> Plan {
    match system(store).install(certificate, contents) {
        Installing::Steps(plan) => plan,
        other => panic!("{other:?}"),
    }
}

fn holding(certificate: &Certificate) -> Contents {
    Contents {
        installed: vec![certificate.clone()],
        believed: BTreeSet::from([certificate.fingerprint]),
        ..Contents::default()
    }
}

const STORES: [Store; 3] = [Store::Debian, Store::Fedora, Store::MacOs];

#[test]
fn systems_are_known_by_what_they_have() {
    let detect = |there: &[&str]| {
        let exists = |path: &Path| there.iter().any(|there| Path::new("/").join(there) == path);
        System::detect(Path::new("/"), exists).map(|system| system.store)
    };
    let debian = ["etc/debian_version", DEBIAN_FOLDER, DEBIAN_UPDATE];
    assert_eq!(detect(&debian), Some(Store::Debian));
    assert_eq!(detect(&[FEDORA_FOLDER, FEDORA_UPDATE]), Some(Store::Fedora));
    assert_eq!(detect(&[MACOS_KEYCHAIN, MACOS_SECURITY]), Some(Store::MacOs));
    assert_eq!(detect(&[]), None);
    // Debian without the package, and Alpine, whose command of this name is another.
    assert_eq!(detect(&debian[..2]), None);
    assert_eq!(detect(&debian[1..]), None);
}

#[test]
fn debian_takes_a_file_and_an_update() {
    let certificate = certificate();
    let file = format!(
        "/usr/local/share/ca-certificates/sealway-{}.crt",
        certificate.fingerprint.hex()
    );
    let plan = installing(Store::Debian, &certificate, &Contents::default());
    assert_eq!(
        steps(&plan),
        [format!("write {file}"), "run /usr/sbin/update-ca-certificates".to_owned()]
    );
    assert!(matches!(&plan.steps[0], Step::Write { content, .. } if *content == certificate.pem()));
    // What was begun and failed is undone like what was done.
    let contents = Contents {
        selection: "mozilla/A.crt\n!mozilla/B.crt".to_owned(),
        ..holding(&certificate)
    };
    let (leaving, plan) = system(Store::Debian).uninstall(None, &contents);
    assert_eq!(leaving, std::slice::from_ref(&certificate));
    let conf = "/run/sealway-ca-certificates.conf";
    assert_eq!(
        steps(&plan),
        [
            format!("remove {file}"),
            format!("write {conf}"),
            format!("run /usr/sbin/update-ca-certificates --certsconf {conf}"),
            format!("remove {conf}"),
        ]
    );
    let deselected = format!(
        "mozilla/A.crt\n!mozilla/B.crt\n!sealway-{}.crt\n",
        certificate.fingerprint.hex()
    );
    assert!(matches!(&plan.steps[1], Step::Write { content, .. } if *content == deselected));
    assert!(matches!(&plan.way_back[..], [Step::Write { path, .. }, Step::Remove(_)] if *path == Path::new(&file)));
}

#[test]
fn fedora_takes_a_file_and_an_update() {
    let certificate = certificate();
    let file = format!(
        "/etc/pki/ca-trust/source/anchors/sealway-{}.crt",
        certificate.fingerprint.hex()
    );
    let plan = installing(Store::Fedora, &certificate, &Contents::default());
    let update = "run /usr/bin/update-ca-trust extract".to_owned();
    assert_eq!(steps(&plan), [format!("write {file}"), update.clone()]);
    let (_, plan) = system(Store::Fedora).uninstall(None, &holding(&certificate));
    assert_eq!(steps(&plan), [format!("remove {file}"), update]);
}

#[test]
fn macos_takes_a_command_and_sealway_remembers_it() {
    let certificate = certificate();
    let hash = certificate.fingerprint.hex();
    let file = format!("/Library/Application Support/sealway-{hash}.crt");
    let keychain = "/Library/Keychains/System.keychain";
    let plan = installing(Store::MacOs, &certificate, &Contents::default());
    assert_eq!(
        steps(&plan),
        [
            format!("write {file}"),
            format!("run /usr/bin/security add-trusted-cert -d -r trustRoot -k {keychain} '{file}'")
        ]
    );
    let (_, plan) = system(Store::MacOs).uninstall(None, &holding(&certificate));
    let hash = hash.to_uppercase();
    assert_eq!(
        steps(&plan),
        [
            format!("run /usr/bin/security remove-trusted-cert -d '{file}'"),
            format!("run /usr/bin/security delete-certificate -Z {hash} {keychain}"),
            format!("remove {file}"),
        ]
    );
    // Somebody has deleted it from the keychain meanwhile.
    let contents = Contents {
        believed: BTreeSet::new(),
        ..holding(&certificate)
    };
    let (_, plan) = system(Store::MacOs).uninstall(None, &contents);
    assert_eq!(steps(&plan), [format!("remove {file}")]);
}

#[test]
fn what_is_done_is_not_done_again() {
    let certificate = certificate();
    for store in STORES {
        assert_eq!(system(store).install(&certificate, &holding(&certificate)), Installing::Done);
        let (leaving, plan) = system(store).uninstall(None, &Contents::default());
        assert_eq!((leaving, plan), (vec![], Plan::default()));
    }
}

#[test]
fn what_was_cut_short_is_finished() {
    let certificate = certificate();
    for store in STORES {
        let contents = Contents {
            believed: BTreeSet::new(),
            ..holding(&certificate)
        };
        let plan = installing(store, &certificate, &contents);
        assert!(matches!(plan.steps[..], [Step::Run(_)]), "{store:?}");
    }
    let left = Contents {
        unfinished: BTreeSet::from([certificate.fingerprint]),
        believed: BTreeSet::from([certificate.fingerprint]),
        ..Contents::default()
    };
    let (leaving, plan) = system(Store::Debian).uninstall(None, &left);
    assert_eq!(leaving, []);
    assert!(
        matches!(&plan.steps[..], [Step::Write { content, .. }, Step::Run(_), Step::Remove(_)]
        if content.contains(&certificate.fingerprint.hex()))
    );
    // Or taken back.
    let plan = installing(Store::Debian, &certificate, &left);
    assert!(matches!(plan.steps[..], [Step::Write { .. }, Step::Run(_)]));
}

#[test]
fn what_others_installed_is_theirs() {
    let certificate = certificate();
    let others = Contents {
        believed: BTreeSet::from([certificate.fingerprint]),
        ..Contents::default()
    };
    for store in STORES {
        assert_eq!(system(store).install(&certificate, &others), Installing::BelievedAnyway);
        assert_eq!(system(store).uninstall(None, &others).1, Plan::default());
        let file = system(store).file(certificate.fingerprint);
        let changed = Contents {
            changed: vec![file.clone()],
            ..Contents::default()
        };
        assert_eq!(system(store).install(&certificate, &changed), Installing::Occupied(file));
        assert_eq!(system(store).uninstall(None, &changed).1, Plan::default());
    }
}

#[test]
fn one_of_several_can_go_alone() {
    let (one, other) = (certificate(), certificate());
    let contents = Contents {
        installed: vec![one.clone(), other.clone()],
        ..Contents::default()
    };
    for store in STORES {
        let (leaving, plan) = system(store).uninstall(Some(one.fingerprint), &contents);
        assert_eq!(leaving, std::slice::from_ref(&one));
        let mut touched = plan.steps.iter().chain(&plan.way_back).map(|step| format!("{step:?}"));
        assert!(!touched.any(|step| step.contains(&other.fingerprint.hex())), "{store:?}");
        assert_eq!(system(store).uninstall(None, &contents).0.len(), 2);
    }
}

#[test]
fn names_carry_the_fingerprint_or_are_not_ours() {
    let fingerprint = Fingerprint::of(b"abc");
    let hex = fingerprint.hex();
    assert_eq!(fingerprint_in(&format!("sealway-{hex}.crt"), "crt"), Some(fingerprint));
    for foreign in [
        format!("sealway-{}.crt", hex.to_uppercase()),
        format!("sealway-{hex}.pem"),
        format!("sealway-{hex}crt"),
        format!("{hex}.crt"),
        format!(".sealway-{hex}.crt.new"),
        "sealway-demo.crt".to_owned(),
    ] {
        assert_eq!(fingerprint_in(&foreign, "crt"), None, "{foreign}");
    }
}

#[test]
fn words_for_the_shell() {
    assert_eq!(quoted(OsStr::new("/a/b-c.crt")), "/a/b-c.crt");
    assert_eq!(quoted(OsStr::new("/a b/it's")), r"'/a b/it'\''s'");
    assert_eq!(quoted(OsStr::new("")), "''");
}
