//! The process dies in the middle of issuing, renewal and roll-over: at every point, and, killed by the system, at random moments.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::*;
use crate::issued::IssuedSecret;
use crate::keys::PrivateKey;
use crate::x509::is_issued_by;
use sealway_api::{KeyAlgorithm, Resource};

/// A root that lives for hours, and a leaf that lives for one.
const WORLD: [&str; 4] = [
    "
kind: Issuer
metadata: {name: itself, namespace: shop}
spec: {selfSigned: {}}
",
    "
kind: Certificate
metadata: {name: root, namespace: shop}
spec:
  isCA: true
  commonName: Root
  usages: [cert sign, crl sign]
  duration: 2h
  renewBefore: 1h
  secretName: root
  privateKey: {algorithm: ECDSA}
  issuerRef: {name: itself}
",
    "
kind: Issuer
metadata: {name: root, namespace: shop}
spec: {ca: {secretName: root}}
",
    "
kind: Certificate
metadata: {name: pay, namespace: shop}
spec:
  dnsNames: [pay.example.com]
  duration: 1h
  renewBefore: 20m
  secretName: pay
  privateKey: {algorithm: ECDSA}
  issuerRef: {name: root}
",
];
/// Seconds of virtual time from one step to the next: less than the leaf has left when it is due.
const PACE: i64 = 600;

fn world() -> Resources {
    let mut resources = Resources::default();
    for document in WORLD {
        let value: serde_json::Value = serde_saphyr::from_str(document).expect("YAML");
        let kind = Kind::from(value["kind"].as_str().expect("a kind"));
        let resource = Resource::read(&kind, value).expect("a known kind").expect("an object");
        resources.insert(resource.with_generation(1));
    }
    resources
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("shop", name)
}

/// In memory where there is such a directory: what is tested is the order of things, not the disk.
fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a directory")
}

fn open(path: &Path) -> Worker {
    let mut worker = Worker::open(Settings::default(), Keeping::Directory(path), None, None).expect("it opens");
    assert_eq!(worker.damage, []);
    worker.settings.publication_lead = Duration::from_secs(10);
    worker
}

/// Steps at `now` and at every moment soon after at which the plan wants to be asked again. Returns the last of them, too.
fn settle(worker: &mut Worker, resources: &Resources, now: i64) -> (Arc<Outlook>, Timestamp) {
    let mut time = at(now);
    loop {
        let outlook = worker.step(time, resources);
        let has_crashed = worker.store.as_ref().is_some_and(Store::has_crashed);
        match outlook.wake_at.filter(|wake_at| *wake_at < at(now + PACE) && !has_crashed) {
            Some(wake_at) => time = wake_at,
            None => return (outlook, time),
        }
    }
}

fn chain(pem: &[u8]) -> Vec<Vec<u8>> {
    read_chain(pem).expect("certificates")
}

/// What holds at every moment of the life of the state directory.
fn check(issued: &Issued, when: &str) {
    for (name, kept) in &issued.secrets {
        let certificates = chain(kept.secret.data["tls.crt"].expose());
        let leaf = Facts::of(&certificates[0]).expect("a certificate");
        let private = PrivateKey::read(kept.secret.data["tls.key"].expose()).expect("a key");
        assert_eq!(
            private.public_key_info(),
            leaf.public_key_info,
            "{when}: key and certificate of {name}"
        );
        if leaf.issuer_der == leaf.subject_der {
            continue;
        }
        let signer = issued.authorities.values().find(|authority| {
            let above = chain(authority.chain.as_bytes());
            let (_, parent) = X509Certificate::from_der(&above[0]).expect("a certificate");
            is_issued_by(&certificates[0], &parent)
        });
        let signer = signer.unwrap_or_else(|| panic!("{when}: the CA of {name} is lost"));
        assert!(
            signer.issuances.iter().any(|issuance| issuance.serial == leaf.serial),
            "{when}: {name} cannot be revoked"
        );
    }
    for (id, authority) in &issued.authorities {
        let above = Facts::of(&chain(authority.chain.as_bytes())[0]).expect("a certificate");
        assert_eq!(above.fingerprint, id.0, "{when}");
        let private = authority
            .key
            .as_ref()
            .unwrap_or_else(|| panic!("{when}: the key of CA {id} is lost"));
        let private = PrivateKey::read(private.expose()).expect("a key");
        assert_eq!(
            private.public_key_info(),
            above.public_key_info,
            "{when}: key and certificate of CA {id}"
        );
    }
}

/// Nothing that was handed out has become older.
fn is_kept(handed_out: &Issued, found: &Issued, when: &str) {
    for (name, before) in &handed_out.secrets {
        let after = found.secrets.get(name).unwrap_or_else(|| panic!("{when}: {name} is lost"));
        assert!(after.revision >= before.revision, "{when}: {name} has become older");
        // During a roll-over `ca.crt` may get another CA beside the first, without a new certificate.
        let pair = |kept: &IssuedSecret| ["tls.crt", "tls.key"].map(|part| kept.secret.data.get(part).cloned());
        assert!(
            after.revision > before.revision || pair(before) == pair(after),
            "{when}: {name} is another one"
        );
    }
}

#[test]
fn a_life_that_is_cut_short_anywhere_goes_on() {
    const END: i64 = 8 * PACE;
    let resources = world();
    for crash in 0.. {
        let scratch = scratch();
        let mut worker = open(scratch.path());
        worker.store.as_ref().expect("a store").crash(crash);
        let mut handed_out = Arc::new(Issued::default());
        let mut now = 0;
        let has_crashed = loop {
            let (outlook, _) = settle(&mut worker, &resources, now);
            if worker.store.as_ref().expect("a store").has_crashed() {
                break true;
            }
            handed_out = Arc::clone(&outlook.issued);
            check(&handed_out, "handed out");
            now += PACE;
            if now > END {
                break false;
            }
        };
        if !has_crashed {
            let revisions = ["root", "pay"].map(|name| handed_out.secrets[&key(name)].revision);
            assert!(
                revisions[0] >= 2 && revisions[1] >= 3,
                "a roll-over and renewals are in the story: {revisions:?}"
            );
            assert!(crash > 40, "only {crash} points");
            return;
        }
        drop(worker);

        let mut worker = open(scratch.path());
        let when = format!("crash {crash}");
        check(&worker.issued, &when);
        is_kept(&handed_out, &worker.issued, &when);
        for now in (now..=END).step_by(usize::try_from(PACE).expect("small")) {
            let (outlook, time) = settle(&mut worker, &resources, now);
            check(&outlook.issued, &when);
            let pay = facts(&outlook.overlay.secrets[&key("pay")]).expect("a certificate");
            assert!(pay.not_before <= time && time < pay.not_after, "{when}: served at {now}");
        }
    }
}

const PATH: &str = "SEALWAY_TEST_LIFE";

/// A process that is ready to live, from the moment that it is told.
struct Life {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Life {
    fn new(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "worker::crashes::living_until_killed", "--ignored", "--nocapture"])
            .env(PATH, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, lines }
    }

    /// Lives from `from` for so many steps and a little longer; returns what it has said about each step.
    fn live(mut self, from: i64, steps: u64, longer: Duration) -> Vec<[i64; 3]> {
        let numbers = |line: String| -> Option<[i64; 3]> {
            let numbers: Vec<i64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
            numbers.try_into().ok()
        };
        // How long a process takes to start is no part of the story.
        while self.lines.next().expect("it lives").expect("a line") != "ready" {}
        writeln!(self.child.stdin.take().expect("its input"), "{from}").expect("told");
        let mut said: Vec<[i64; 3]> = self
            .lines
            .by_ref()
            .take(usize::try_from(steps).expect("small"))
            .filter_map(|line| numbers(line.expect("a line")))
            .collect();
        std::thread::sleep(longer);
        self.child.kill().expect("killed");
        said.extend(self.lines.map_while(Result::ok).filter_map(numbers));
        self.child.wait().expect("it ended");
        said
    }
}

#[test]
fn two_hundred_kills_of_issuing_and_roll_over() {
    const KILLS: usize = 200;
    let scratch = scratch();
    // Some start while another lives.
    let mut waiting: VecDeque<Life> = (0..3).map(|_| Life::new(scratch.path())).collect();
    let mut from = 0;
    let mut revisions = [0, 0];
    // Any numbers will do, as long as they are spread; the same ones each time.
    let mut dice: u64 = 0x0CA0_11FE;
    for kill in 0..KILLS {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (steps, longer) = ((dice >> 33) % 6, Duration::from_micros((dice >> 40) % 15_000));
        if kill + waiting.len() < KILLS {
            waiting.push_back(Life::new(scratch.path()));
        }
        let life = waiting.pop_front().expect("one is waiting");
        if let Some([now, root, pay]) = life.live(from, steps, longer).pop() {
            (from, revisions) = (now, [root, pay]);
        }

        let when = format!("kill {kill}");
        let (_store, issued, damage) = Store::open(scratch.path()).expect("it opens");
        assert_eq!(damage, [], "{when}");
        check(&issued, &when);
        for (name, said) in ["root", "pay"].into_iter().zip(revisions) {
            let kept = issued.secrets.get(&key(name)).map_or(0, |kept| kept.revision);
            assert!(
                i64::try_from(kept).expect("small") >= said,
                "{when}: {name} was said to be at {said}, and is at {kept}"
            );
        }
    }
    assert!(revisions[0] > 20 && revisions[1] > 100, "too short a story: {revisions:?}");
}

#[test]
#[ignore = "the child of two_hundred_kills_of_issuing_and_roll_over"]
fn living_until_killed() {
    let Ok(path) = std::env::var(PATH) else {
        return;
    };
    let resources = world();
    // The first number by chance takes a process longer than all of the life that it will have.
    PrivateKey::generate(&KeyAlgorithm::Ecdsa, 256).expect("a key");
    println!("\nready");
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).is_err() || line.is_empty() {
        return;
    }
    let mut now = line.trim().parse::<i64>().expect("a number");
    let mut worker = open(Path::new(&path));
    loop {
        let (outlook, _) = settle(&mut worker, &resources, now);
        let revision = |name| outlook.issued.secrets.get(&key(name)).map_or(0, |kept| kept.revision);
        println!("{now} {} {}", revision("root"), revision("pay"));
        now += PACE;
    }
}
