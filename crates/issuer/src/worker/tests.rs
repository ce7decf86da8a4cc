//! The loop around plan and perform, with a plan that says what each test needs; perform is the real one, but where it is to fail.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sealway_api::{CertificateSpec, CertificateStatus, KeyAlgorithm};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

use super::*;
use crate::hook::HookRunner;
use crate::issued::AuthorityId;
use crate::order::{IssuerUrls, Order, SecretForm, Signer};
use crate::request::Request;

mod commands;

type PlanScript = dyn Fn(Timestamp, &Issued) -> Plan + Send;
type PerformScript = dyn Fn(&Action, &Issued, Timestamp) -> Result<Vec<Change>, PerformFault> + Send;

/// Stands in for plan and perform.
pub(super) struct Script {
    pub(super) plan: Box<PlanScript>,
    pub(super) perform: Box<PerformScript>,
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("payment", name)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn worker(keeping: Keeping<'_>, plan: impl Fn(Timestamp, &Issued) -> Plan + Send + 'static) -> Worker {
    let mut worker = Worker::open(Settings::default(), keeping, None, None).expect("it opens");
    worker.script = Some(Script {
        plan: Box::new(plan),
        perform: Box::new(perform),
    });
    worker
}

/// An ECDSA certificate `name`, into a Secret of that name.
fn issue(name: &str, issued: &Issued, signer: Signer) -> Action {
    let spec = CertificateSpec {
        common_name: format!("{name} of the test"),
        ..CertificateSpec::default()
    };
    Action::Issue(Box::new(Order {
        certificate: key(name),
        secret: key(name),
        reason: "Test".to_owned(),
        message: String::new(),
        request: Request {
            subject: crate::subject::subject(&spec).expect("a subject"),
            dns_names: vec![format!("{name}.example.com")],
            is_ca: name == "ca",
            duration: 3600,
            key_algorithm: Some(KeyAlgorithm::Ecdsa),
            key_size: 256,
            issuer: ("issuer".to_owned(), "Issuer".to_owned(), "cert-manager.io".to_owned()),
            ..Request::default()
        },
        reuse_key: false,
        signer,
        urls: IssuerUrls::default(),
        signs_lists: name == "ca",
        not_after_limit: None,
        form: SecretForm::default(),
        revision: issued.secrets.get(&key(name)).map_or(1, |before| before.revision + 1),
    }))
}

/// A CA that signs itself is made and adopted, then a leaf by it, each anew when asked for.
fn small_world(_now: Timestamp, issued: &Issued) -> Plan {
    let is_due = |name: &str| {
        let is_asked = issued
            .attempts
            .get(&key(name))
            .is_some_and(|attempt| attempt.renewal_asked.is_some());
        is_asked || !issued.secrets.contains_key(&key(name))
    };
    let mut actions = Vec::new();
    if is_due("ca") {
        actions.push(issue("ca", issued, Signer::Itself));
    } else if let Some(ca) = issued.secrets.get(&key("ca")) {
        let facts = facts(&ca.secret).expect("a certificate");
        let id = AuthorityId(facts.fingerprint);
        if !issued.authorities.contains_key(&id) {
            actions.push(Action::Adopt {
                id,
                chain: String::from_utf8_lossy(ca.secret.data["tls.crt"].expose()).into_owned(),
                key: ca.secret.data.get("tls.key").cloned(),
                secret: key("ca"),
                issuers: BTreeSet::new(),
            });
        } else if is_due("leaf") {
            let secret = Arc::clone(&ca.secret);
            actions.push(issue("leaf", issued, Signer::Authority { id, secret }));
        }
    }
    with_actions(issued, actions)
}

fn with_actions(issued: &Issued, actions: Vec<Action>) -> Plan {
    let mut plan = Plan {
        actions,
        ..Plan::default()
    };
    for (key, kept) in &issued.secrets {
        plan.overlay.secrets.insert(key.clone(), Arc::clone(&kept.secret));
    }
    for name in ["ca", "leaf", "waits"] {
        plan.statuses.certificates.insert(key(name), CertificateStatus::default());
    }
    plan
}

fn labels(outlook: &Outlook) -> Vec<&'static str> {
    outlook.findings.iter().map(|finding| finding.label).collect()
}

fn serial_of(outlook: &Outlook, name: &str) -> String {
    facts(&outlook.issued.secrets[&key(name)].secret)
        .expect("a certificate")
        .serial
}

fn no_resources() -> Resources {
    Resources::default()
}

#[test]
fn what_is_made_is_kept_and_served_after_a_restart() {
    let scratch = TempDir::new().expect("a directory");
    let mut first = worker(Keeping::Directory(scratch.path()), small_world);
    let outlook = first.step(at(0), &no_resources());
    assert_eq!(
        outlook.overlay.secrets.keys().collect::<Vec<_>>(),
        [&key("ca"), &key("leaf")],
        "all in one step"
    );
    assert_eq!((outlook.findings.len(), outlook.generation), (0, 1));
    let again = first.step(at(1), &no_resources());
    assert!(Arc::ptr_eq(&outlook, &again), "nothing new");
    drop(first);

    let mut second = worker(Keeping::Directory(scratch.path()), small_world);
    let after = second.step(at(2), &no_resources());
    assert_eq!((&after.overlay, &after.issued), (&outlook.overlay, &outlook.issued));

    second.renew(at(3), &no_resources(), &key("leaf")).expect("renewed");
    let renewed = second.step(at(3), &no_resources());
    assert_eq!(renewed.generation, 2, "done in one step");
    assert_ne!(serial_of(&renewed, "leaf"), serial_of(&after, "leaf"));
    assert_eq!(serial_of(&renewed, "ca"), serial_of(&after, "ca"));
}

#[test]
fn a_full_disk_changes_nothing_and_is_tried_again_later_and_later() {
    let scratch = TempDir::new().expect("a directory");
    let mut worker = worker(Keeping::Directory(scratch.path()), small_world);
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    worker.script.as_mut().expect("scripted").perform = Box::new(move |action, issued, now| {
        count.fetch_add(1, Ordering::Relaxed);
        perform(action, issued, now)
    });
    let fail = |worker: &Worker, kind| worker.store.as_ref().expect("a store").fail(kind);

    fail(&worker, Some(io::ErrorKind::StorageFull));
    let mut now = 0;
    for (number, wait) in [10, 20, 40, 80, 160, 320, 600, 600].into_iter().enumerate() {
        let outlook = worker.step(at(now), &no_resources());
        assert_eq!(labels(&outlook), ["state-disk-full"], "{number}");
        assert_eq!(outlook.issued.secrets, BTreeMap::new());
        assert_eq!(outlook.overlay.secrets, BTreeMap::new(), "nothing is served that is not kept");
        assert_eq!(outlook.wake_at, Some(at(now + wait)));
        worker.step(at(now + wait - 1), &no_resources());
        assert_eq!(made.load(Ordering::Relaxed), number + 1, "no key is made in vain");
        now += wait;
    }
    fail(&worker, None);
    let outlook = worker.step(at(now - 1), &no_resources());
    assert_eq!(labels(&outlook), ["state-disk-full"], "it waits");
    let outlook = worker.step(at(now), &no_resources());
    assert_eq!(
        (labels(&outlook), outlook.issued.secrets.len(), outlook.wake_at),
        (vec![], 2, None)
    );
}

#[test]
fn what_fails_waits_and_its_neighbours_do_not() {
    let plan = |now: Timestamp, issued: &Issued| {
        let mut plan = small_world(now, issued);
        plan.actions.insert(
            0,
            Action::Retire {
                authority: AuthorityId("of nobody".to_owned()),
            },
        );
        plan
    };
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let mut worker = worker(Keeping::Memory, plan);
    worker.script.as_mut().expect("scripted").perform = Box::new(move |action, issued, now| match action {
        Action::Retire { .. } => {
            count.fetch_add(1, Ordering::Relaxed);
            Err(PerformFault::Gone("it".to_owned()))
        }
        _ => perform(action, issued, now),
    });
    let outlook = worker.step(at(0), &no_resources());
    assert_eq!(outlook.issued.secrets.len(), 2);
    assert_eq!(labels(&outlook), ["issuer-action-failed"]);
    assert_eq!(outlook.wake_at, Some(at(10)));
    worker.step(at(9), &no_resources());
    assert_eq!(tried.load(Ordering::Relaxed), 1);
    assert_eq!(worker.step(at(10), &no_resources()).wake_at, Some(at(30)));
    assert_eq!(tried.load(Ordering::Relaxed), 2);
    worker.step(at(-1_000_000), &no_resources());
    assert_eq!(
        tried.load(Ordering::Relaxed),
        3,
        "a clock that is set back makes no wait longer"
    );
    worker.script.as_mut().expect("scripted").plan = Box::new(small_world);
    assert_eq!(
        labels(&worker.step(at(0), &no_resources())),
        [""; 0],
        "nobody asks for it any more"
    );
}

#[test]
fn a_plan_that_never_has_enough_does_not_keep_the_worker_busy() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let plan = |_: Timestamp, issued: &Issued| with_actions(issued, vec![issue("ca", issued, Signer::Itself); 2]);
    let mut worker = worker(Keeping::Memory, plan);
    worker.script.as_mut().expect("scripted").perform = Box::new(move |_, _, _| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Vec::new())
    });
    let mut now = at(0);
    let mut steps = 0;
    while now < at(24 * 3600) {
        let outlook = worker.step(now, &no_resources());
        now = outlook.wake_at.expect("it goes on").max(now);
        steps += 1;
    }
    assert_eq!(labels(&worker.step(now, &no_resources())), ["issuer-unsettled"]);
    let made = made.load(Ordering::Relaxed);
    assert!(
        steps < 160 && made < 160 * ACTIONS,
        "{steps} steps and {made} actions in a day"
    );
}

#[test]
fn a_large_number_of_certificates_is_handed_out_as_it_is_made() {
    let plan = |_: Timestamp, issued: &Issued| {
        let names = (0..100).map(|number| format!("cert-{number}"));
        let missing = names.filter(|name| !issued.secrets.contains_key(&key(name)));
        with_actions(issued, missing.map(|name| issue(&name, issued, Signer::Itself)).collect())
    };
    let mut worker = worker(Keeping::Memory, plan);
    for count in [32, 64, 96] {
        let outlook = worker.step(at(0), &no_resources());
        assert_eq!((outlook.overlay.secrets.len(), outlook.wake_at), (count, Some(at(0))));
        assert_eq!(labels(&outlook), [""; 0]);
    }
    let outlook = worker.step(at(0), &no_resources());
    assert_eq!((outlook.overlay.secrets.len(), outlook.wake_at), (100, None));
}

#[test]
fn more_work_is_no_standstill() {
    let plan = |now: Timestamp, issued: &Issued| {
        // Twice as many are wanted a second later.
        let wanted = if now < at(1) { 100 } else { 200 };
        let names = (0..wanted).map(|number| format!("cert-{number}"));
        let missing = names.filter(|name| !issued.secrets.contains_key(&key(name)));
        with_actions(issued, missing.map(|name| issue(&name, issued, Signer::Itself)).collect())
    };
    let mut worker = worker(Keeping::Memory, plan);
    assert_eq!(worker.step(at(0), &no_resources()).issued.secrets.len(), 32);
    let outlook = worker.step(at(1), &no_resources());
    assert_eq!((outlook.issued.secrets.len(), labels(&outlook)), (64, vec![]));
    assert_eq!(outlook.wake_at, Some(at(1)), "it goes on");
}

#[test]
fn whoever_looks_in_during_a_stop_does_not_shorten_the_next() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let plan = |_: Timestamp, issued: &Issued| with_actions(issued, vec![issue("ca", issued, Signer::Itself)]);
    let mut worker = worker(Keeping::Memory, plan);
    worker.script.as_mut().expect("scripted").perform = Box::new(move |_, _, _| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Vec::new())
    });
    for second in 0..3600 {
        worker.step(at(second), &no_resources());
    }
    let made = made.load(Ordering::Relaxed);
    assert!(made <= 16 * ACTIONS, "{made} actions in an hour of a step each second");
}

#[test]
fn what_cannot_be_kept_is_on_no_record() {
    let scratch = TempDir::new().expect("a directory");
    let plan = |now: Timestamp, issued: &Issued| {
        let mut plan = small_world(now, issued);
        for action in &mut plan.actions {
            if let Action::Issue(order) = action
                && order.secret == key("leaf")
            {
                // As long as Kubernetes allows, and too long for a file.
                order.secret = key(&"a".repeat(253));
            }
        }
        plan
    };
    let mut worker = worker(Keeping::Directory(scratch.path()), plan);
    let outlook = worker.step(at(0), &no_resources());
    assert_eq!(labels(&outlook), ["state-name"]);
    let mut authorities = outlook.issued.authorities.values();
    assert!(authorities.len() == 1 && authorities.all(|authority| authority.issuances.is_empty()));
}

fn told(runner: &mut HookRunner) -> Vec<Switch> {
    std::iter::from_fn(|| runner.try_next()).collect()
}

#[test]
fn files_are_switched_before_others_are_told() {
    let scratch = TempDir::new().expect("a directory");
    let (state, certs) = (scratch.path().join("state"), scratch.path().join("certs"));
    let open = |export: bool| {
        let export = export.then(|| Exporting {
            directory: certs.clone(),
            state: Some(state.clone()),
            export: None,
        });
        let (hook, runner) = Hook::new("true".to_owned());
        let mut worker = worker(Keeping::Directory(&state), small_world);
        (worker.export, worker.hook) = (export, Some(hook));
        (worker, runner)
    };
    let (mut worker, mut runner) = open(true);
    let outlook = worker.step(at(0), &no_resources());
    let switches = told(&mut runner);
    assert_eq!(switches.len(), 2);
    for (switch, name) in switches.iter().zip(["ca", "leaf"]) {
        assert_eq!(switch.object, ObjectRef::of(Kind::Secret, &key(name)));
        assert_eq!(
            (&switch.certificate, &switch.serial),
            (&Some(key(name)), &serial_of(&outlook, name))
        );
        let file = switch.directory.as_ref().expect("exported").join("tls.key");
        let kept = outlook.issued.secrets[&key(name)].secret.data["tls.key"].expose().to_vec();
        assert_eq!(std::fs::read(file).expect("it is there"), kept);
    }
    worker.step(at(1), &no_resources());
    drop(worker);

    let (mut worker, mut runner) = open(true);
    worker.step(at(2), &no_resources());
    assert_eq!(told(&mut runner), [], "a restart is no renewal");
    worker.renew(at(3), &no_resources(), &key("leaf")).expect("renewed");
    assert_eq!(told(&mut runner).len(), 1);

    let file = certs.join("payment/leaf/tls.key");
    std::fs::remove_file(&file).expect("removed");
    std::fs::write(&file, "the operator's").expect("written");
    worker.renew(at(4), &no_resources(), &key("leaf")).expect("renewed");
    assert_eq!(labels(&worker.step(at(4), &no_resources())), ["export-foreign-file"]);
    assert_eq!(told(&mut runner), [], "nobody is sent to old files");
    drop(worker);

    let (mut worker, mut runner) = open(false);
    worker.step(at(5), &no_resources());
    assert_eq!(told(&mut runner), []);
    worker.renew(at(6), &no_resources(), &key("leaf")).expect("renewed");
    let switches = told(&mut runner);
    assert_eq!(switches.iter().map(|switch| &switch.directory).collect::<Vec<_>>(), [&None]);
}

#[test]
fn damage_is_a_finding_until_it_is_mended() {
    let scratch = TempDir::new().expect("a directory");
    worker(Keeping::Directory(scratch.path()), small_world).step(at(0), &no_resources());
    std::fs::write(scratch.path().join("secrets/payment/ca.json"), "{").expect("damaged");
    let holding = |now: Timestamp, issued: &Issued| {
        if issued.damaged.contains(&key("ca")) && !issued.attempts.contains_key(&key("ca")) {
            return with_actions(issued, Vec::new());
        }
        small_world(now, issued)
    };
    let mut worker = worker(Keeping::Directory(scratch.path()), holding);
    let outlook = worker.step(at(1), &no_resources());
    assert_eq!(labels(&outlook), ["state-damaged"]);
    assert_eq!(
        outlook.overlay.secrets.keys().collect::<Vec<_>>(),
        [&key("leaf")],
        "no new CA in silence"
    );
    worker
        .renew(at(2), &no_resources(), &key("ca"))
        .expect("made anew when asked for");
    assert_eq!(labels(&worker.step(at(3), &no_resources())), [""; 0]);
}

#[tokio::test]
async fn it_runs_until_nobody_has_resources_and_survives_a_panic() {
    let panics = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&panics);
    let plan = move |now: Timestamp, issued: &Issued| {
        let is_to_panic = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        assert!(is_to_panic.is_err(), "a mistake of ours");
        small_world(now, issued)
    };
    let (resources, seen) = watch::channel(Arc::new(Resources::default()));
    let (commands, queue) = mpsc::channel(4);
    let (outlook, mut outlooks) = watch::channel(Arc::new(Outlook::default()));
    let running = tokio::spawn(run(worker(Keeping::Memory, plan), seen, queue, outlook));
    let patience = Duration::from_secs(60);
    let first = tokio::time::timeout(patience, outlooks.wait_for(|outlook| outlook.overlay.secrets.len() == 2))
        .await
        .expect("in time")
        .expect("it runs")
        .clone();

    let renew = |certificate| {
        let (reply, answer) = oneshot::channel();
        (Command::Renew { certificate, reply }, answer)
    };
    let (command, answer) = renew(key("leaf"));
    commands.send(command).await.expect("it runs");
    let renewed = tokio::time::timeout(patience, answer)
        .await
        .expect("in time")
        .expect("answered");
    assert_eq!(renewed.expect("renewed").revision, 2);
    tokio::time::timeout(patience, outlooks.wait_for(|outlook| outlook.generation > first.generation))
        .await
        .expect("in time")
        .expect("it runs");

    panics.store(1, Ordering::Release);
    let (command, answer) = renew(key("leaf"));
    commands.send(command).await.expect("it runs");
    tokio::time::timeout(patience, answer)
        .await
        .expect("in time")
        .expect_err("no answer from a panic");
    let (command, answer) = renew(key("leaf"));
    commands.send(command).await.expect("it runs");
    let renewed = tokio::time::timeout(patience, answer)
        .await
        .expect("in time")
        .expect("answered");
    assert_eq!(renewed.expect("renewed").revision, 3);

    drop(resources);
    tokio::time::timeout(patience, running)
        .await
        .expect("in time")
        .expect("it ends");
}
