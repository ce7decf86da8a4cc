//! Opening, writing and reading again; modes, lock, damage, full disks.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::sync::Arc;

use sealway_api::{Kind, ObjectKey, ObjectMeta, ObjectRef, Secret, SecretBytes, Timestamp};
use tempfile::TempDir;

use super::file::{Point, Trouble};
use super::*;
use crate::issued::{Authority, AuthorityId, Issuance, IssuedSecret, Revocation};
use crate::plan::Severity;
use crate::request::Request;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("payment", name)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

pub(super) fn secret(name: &str, revision: u64) -> Change {
    let text = |text: String| SecretBytes::new(text.into_bytes());
    let kept = IssuedSecret {
        certificate: key(name),
        revision,
        issued_at: "2026-11-28T03:00:00.123456789Z".parse().expect("a time"),
        request: Request {
            dns_names: vec!["pay.example.com".to_owned()],
            duration: 7_776_000,
            ..Request::default()
        },
        secret: Arc::new(Secret {
            metadata: ObjectMeta {
                name: name.to_owned(),
                namespace: Some("payment".to_owned()),
                labels: BTreeMap::from([("a".to_owned(), "\"quoted\"\n".to_owned())]),
                ..ObjectMeta::default()
            },
            kind: "kubernetes.io/tls".to_owned(),
            data: BTreeMap::from([
                ("tls.crt".to_owned(), text(format!("certificate {revision}"))),
                ("tls.key".to_owned(), text(format!("the key {revision}"))),
                ("empty".to_owned(), text(String::new())),
            ]),
        }),
    };
    Change::Secret(key(name), Arc::new(kept))
}

pub(super) fn attempt(name: &str, failures: u32) -> Change {
    let attempt = Attempt {
        failures,
        last_failure: (failures > 0).then(|| at(1_800_000_000)),
        message: "no such Secret".repeat(failures.min(1) as usize),
        request: (failures > 0).then(Request::default),
        renewal_asked: None,
        renewal_of: None,
    };
    Change::Attempt(key(name), Arc::new(attempt))
}

fn authority_id() -> AuthorityId {
    AuthorityId("ab".repeat(32))
}

pub(super) fn authority(list_number: u64) -> Change {
    let authority = Authority {
        chain: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        key: Some(SecretBytes::new(b"the key of the CA".to_vec())),
        secret: key("ca"),
        issuers: [
            ObjectRef::new(Kind::ClusterIssuer, "", "ca"),
            ObjectRef::new(Kind::Issuer, "payment", "ca"),
        ]
        .into(),
        published: at(1_800_000_000),
        issuances: vec![Issuance {
            serial: "0a0b".to_owned(),
            certificate: key("leaf"),
            not_after: at(1_900_000_000),
            revoked: Some(Revocation {
                at: at(1_800_000_001),
                reason: "keyCompromise".to_owned(),
            }),
        }],
        revocation_list: Some(vec![0, 1, 255]),
        list_number,
    };
    Change::Authority(authority_id(), Arc::new(authority))
}

pub(super) fn state() -> (TempDir, PathBuf) {
    let scratch = TempDir::new().expect("a directory");
    let path = scratch.path().join("deep/state");
    (scratch, path)
}

fn open(path: &Path) -> (Store, Issued, Vec<Damage>) {
    Store::open(path).expect("the store opens")
}

/// Keeps the changes and returns what memory has then.
fn keep(path: &Path, changes: &[Change]) -> Issued {
    let (store, mut issued, damage) = open(path);
    assert_eq!(damage, []);
    for change in changes {
        store.write(change).expect("kept");
        issued.apply(change.clone());
    }
    issued
}

#[test]
fn what_is_read_again_is_what_memory_has() {
    let (_scratch, path) = state();
    let changes = [
        secret("leaf", 1),
        secret("ca", 1),
        attempt("leaf", 3),
        attempt("other", 1),
        authority(7),
        secret("leaf", 2),
        attempt("leaf", 0),
        attempt("never-there", 0),
    ];
    let issued = keep(&path, &changes);
    assert_eq!(
        (issued.secrets.len(), issued.attempts.len(), issued.authorities.len()),
        (2, 1, 1)
    );
    assert_eq!(open(&path).1, issued);

    let issued = keep(&path, &[Change::AuthorityGone(authority_id())]);
    assert!(issued.authorities.is_empty());
    assert_eq!(open(&path).1, issued);
}

#[test]
fn only_the_owner_can_read() {
    let (_scratch, path) = state();
    keep(&path, &[secret("leaf", 1), attempt("leaf", 1), authority(7)]);
    let mut folders = vec![path];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(
            fs::metadata(&folder).expect("metadata").mode() & 0o777,
            0o700,
            "{}",
            folder.display()
        );
        for entry in fs::read_dir(&folder).expect("entries") {
            let entry = entry.expect("an entry").path();
            if entry.is_dir() {
                folders.push(entry);
            } else {
                files += 1;
                assert_eq!(
                    fs::metadata(&entry).expect("metadata").mode() & 0o777,
                    0o600,
                    "{}",
                    entry.display()
                );
            }
        }
    }
    assert_eq!(files, 4, "three and the lock");
}

#[test]
fn a_directory_that_others_can_read_is_closed_or_refused() {
    let (_scratch, path) = state();
    let issued = keep(&path, &[secret("leaf", 1)]);
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("chmod");
    let (_store, again, damage) = open(&path);
    assert_eq!(again, issued);
    assert!(
        matches!(damage.as_slice(), [Damage::WasOpen { mode: 0o755, .. }]),
        "{damage:?}"
    );
    assert_eq!(
        damage.first().map(|damage| damage.finding().severity),
        Some(Severity::Warning)
    );
    assert_eq!(fs::metadata(&path).expect("metadata").mode() & 0o777, 0o700);

    let foreign = TempDir::new().expect("a directory");
    fs::set_permissions(foreign.path(), Permissions::from_mode(0o1777)).expect("chmod");
    fs::write(foreign.path().join("somebody's"), "").expect("written");
    let fault = Store::open(foreign.path()).expect_err("not ours");
    assert!(matches!(fault, OpenFault::Shared { mode: 0o1777, .. }), "{fault:?}");
    assert_eq!(
        fs::metadata(foreign.path()).expect("metadata").mode() & 0o7777,
        0o1777,
        "left as it was"
    );
    assert_eq!(fs::read_dir(foreign.path()).expect("entries").count(), 1);
}

#[test]
fn another_users_directory_is_refused() {
    let (_scratch, path) = state();
    fs::create_dir_all(&path).expect("made");
    if std::os::unix::fs::chown(&path, Some(65_532), None).is_err() {
        return; // Only root can give a directory away.
    }
    let fault = Store::open(&path).expect_err("not ours");
    assert!(matches!(fault, OpenFault::Owner { owner: 65_532, .. }), "{fault:?}");
    assert!(fault.hint().contains("/sealway"), "{}", fault.hint());
}

#[test]
fn a_lock_that_leads_elsewhere_is_not_taken() {
    let scratch = TempDir::new().expect("a directory");
    let (state, other) = (scratch.path().join("state"), scratch.path().join("other"));
    fs::create_dir(&state).expect("made");
    fs::write(&other, "somebody else's").expect("written");
    std::os::unix::fs::symlink(&other, state.join("lock")).expect("linked");
    // Whether or not others can look into it: a link makes a directory ours no more than it makes the file ours.
    for mode in [0o700, 0o755] {
        fs::set_permissions(&state, Permissions::from_mode(mode)).expect("set");
        Store::open(&state).expect_err("it is a link");
        assert_eq!(state.metadata().expect("there").mode() & 0o777, mode, "nothing was touched");
    }
    assert_eq!(fs::read(&other).expect("there"), b"somebody else's");
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    let (_scratch, path) = state();
    let (store, ..) = open(&path);
    let fault = Store::open(&path).expect_err("in use");
    let ours = std::process::id();
    assert!(
        matches!(fault, OpenFault::Locked { process: Some(process), .. } if process == ours),
        "{fault:?}"
    );
    assert!(fault.hint().contains(&format!("process {ours}")), "{}", fault.hint());
    store.write(&secret("leaf", 1)).expect("the holder goes on");
    drop(store);
    assert_eq!(open(&path).1.secrets.len(), 1);
}

#[test]
fn who_only_looks_needs_no_lock_and_changes_nothing() {
    let state = tempfile::tempdir().expect("temporary directory");
    assert_eq!(
        Store::peek(&state.path().join("nowhere")).expect("nothing there"),
        Issued::default()
    );
    let (store, mut issued, _) = open(state.path());
    for change in [secret("web", 1), attempt("web", 2), authority(3)] {
        store.write(&change).expect("written");
        issued.apply(change);
    }
    assert_eq!(Store::peek(state.path()).expect("read"), issued);
    let broken = state.path().join("secrets/payment/broken.json");
    fs::write(&broken, "{").expect("written");
    let seen = Store::peek(state.path()).expect("read");
    assert_eq!(seen.damaged, BTreeSet::from([key("broken")]));
    assert_eq!(seen.secrets, issued.secrets);
    assert_eq!(fs::read_to_string(&broken).expect("still there"), "{");
}

#[test]
fn damage_is_set_aside_and_the_rest_is_used() {
    let (_scratch, path) = state();
    let changes = [secret("ca", 1), secret("leaf", 1), attempt("leaf", 1), authority(7)];
    let whole = keep(&path, &changes);
    let file = |name: &str| path.join("secrets/payment").join(name);
    let bytes = fs::read(file("ca.json")).expect("bytes");
    let text = String::from_utf8(bytes.clone()).expect("text");
    let broken: [(&str, Vec<u8>); 6] = [
        ("cut", bytes[..bytes.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("zeroes", vec![0; bytes.len()]),
        ("another's", text.replace("\"name\":\"ca\"", "\"name\":\"leaf\"").into_bytes()),
        ("no version", text.replace("\"version\":1,", "").into_bytes()),
        (
            "key that is no base64",
            text.replace("\"tls.key\":\"", "\"tls.key\":\"!").into_bytes(),
        ),
    ];
    for (number, (what, bytes)) in broken.into_iter().enumerate() {
        fs::write(file("ca.json"), &bytes).expect("written");
        let (_store, issued, damage) = open(&path);
        let Some(Damage::SetAside { object, kept_as, .. }) = damage.last() else {
            panic!("{what}: {damage:?}");
        };
        assert_eq!(*object, ObjectRef::of(Kind::Secret, &key("ca")), "{what}");
        assert_eq!(
            *kept_as,
            fs::canonicalize(&path)
                .expect("path")
                .join(format!("secrets/payment/ca.json.damaged-{}", number + 1))
        );
        assert_eq!(fs::read(kept_as).expect("kept"), bytes, "{what}: nothing is deleted");
        assert!(
            !format!("{damage:?}").contains("dGhl"),
            "{what}: no bytes of a key in messages"
        );
        let mut expected = whole.clone();
        expected.secrets.remove(&key("ca"));
        expected.damaged.insert(key("ca"));
        assert_eq!(issued, expected, "{what}");
    }

    // It is still known at the next start, and until it is made anew.
    let (store, mut issued, damage) = open(&path);
    assert!(issued.damaged.contains(&key("ca")));
    assert_eq!(damage.len(), 6);
    assert!(damage.iter().all(|damage| damage.finding().severity == Severity::Error));
    store.write(&secret("ca", 2)).expect("kept");
    issued.apply(secret("ca", 2));
    assert!(issued.damaged.is_empty());
    drop(store);
    let (_store, again, damage) = open(&path);
    assert_eq!(again, issued);
    assert!(
        matches!(damage.first(), Some(Damage::StillAside { is_replaced: true, .. })),
        "{damage:?}"
    );
}

#[test]
fn a_damaged_ca_file_is_reported_with_what_it_means() {
    let (_scratch, path) = state();
    keep(&path, &[secret("leaf", 1), authority(7)]);
    let file = path.join(format!("authorities/{}.json", authority_id()));
    fs::write(&file, b"{\"version\":1,").expect("written");
    let (_store, issued, damage) = open(&path);
    assert!(issued.authorities.is_empty());
    let finding = damage.first().expect("reported").finding();
    assert!(finding.hint.expect("a hint").contains("revoke again"));
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_touched() {
    let (_scratch, path) = state();
    let issued = keep(&path, &[secret("ca", 1), secret("leaf", 1)]);
    let (ca, leaf) = (path.join("secrets/payment/ca.json"), path.join("secrets/payment/leaf.json"));
    let good = (fs::read(&ca).expect("bytes"), fs::read_to_string(&leaf).expect("text"));
    fs::write(&ca, b"{").expect("written");
    fs::write(&leaf, good.1.replace("\"version\":1,", "\"version\":2,\"more\":{},")).expect("written");
    let fault = Store::open(&path).expect_err("newer");
    assert!(matches!(fault, OpenFault::Newer { version: 2, .. }), "{fault:?}");
    assert_eq!(
        fs::read(&ca).expect("bytes"),
        b"{",
        "what is damaged beside it is not set aside either"
    );
    fs::write(&ca, good.0).expect("written");
    fs::write(&leaf, good.1).expect("written");
    assert_eq!(open(&path).1, issued);
}

#[test]
fn leftovers_go_and_foreign_files_stay() {
    let (_scratch, path) = state();
    let issued = keep(&path, &[secret("leaf", 1)]);
    let folder = path.join("secrets/payment");
    fs::write(folder.join(".leaf.json.partial"), "half a").expect("written");
    fs::write(folder.join("README"), "the operator's").expect("written");
    fs::write(path.join("secrets/notes.json"), "the operator's").expect("written");
    let (_store, again, damage) = open(&path);
    assert_eq!((again, damage), (issued, Vec::new()));
    let mut left: Vec<_> = fs::read_dir(&folder)
        .expect("entries")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["README", "leaf.json"]);
    assert!(path.join("secrets/notes.json").exists());
}

#[test]
fn a_write_that_fails_leaves_what_was() {
    let (_scratch, path) = state();
    let issued = keep(&path, &[secret("leaf", 1)]);
    let (store, ..) = open(&path);
    let kinds = [
        (io::ErrorKind::StorageFull, "state-disk-full"),
        (io::ErrorKind::QuotaExceeded, "state-disk-full"),
        (io::ErrorKind::ReadOnlyFilesystem, "state-not-writable"),
        (io::ErrorKind::PermissionDenied, "state-not-writable"),
        (io::ErrorKind::InvalidInput, "state-write-failed"),
    ];
    for at in [Point::Created, Point::Written, Point::Synced] {
        for (kind, label) in kinds {
            store.directory.set_trouble(Some(Trouble::Error { at, kind }));
            let fault = store.write(&secret("leaf", 2)).expect_err("it fails");
            assert_eq!(fault.label(), label, "{at:?} {kind:?}");
            assert!(!fault.hint().is_empty());
        }
    }
    assert_eq!(
        fs::read_dir(path.join("secrets/payment")).expect("entries").count(),
        1,
        "nothing half-written"
    );
    store.directory.set_trouble(None);
    drop(store);
    assert_eq!(open(&path).1, issued);
}

#[test]
fn a_state_directory_that_is_gone_is_not_made_anew() {
    let (_scratch, path) = state();
    let (store, ..) = open(&path);
    fs::rename(&path, path.with_extension("away")).expect("moved");
    let fault = store.write(&secret("leaf", 1)).expect_err("it is gone");
    assert!(matches!(fault, WriteFault::Gone { .. }), "{fault:?}");
    assert!(!path.exists());
}

const FULL_DISK: &str = "SEALWAY_TEST_FULL_DISK";

/// The system itself refuses to write: a limit on the size of files is what a test can have without root.
#[test]
fn a_full_disk_leaves_what_was() {
    let (_scratch, path) = state();
    let issued = keep(&path, &[secret("leaf", 1)]);
    let ours = std::env::current_exe().expect("this program");
    let status = Command::new("/bin/sh")
        .args(["-c", "trap '' XFSZ && ulimit -f 0 && exec \"$0\" --exact store::tests::in_a_process_that_cannot_write --ignored --nocapture"])
        .arg(ours)
        .env(FULL_DISK, &path)
        .output()
        .expect("a shell");
    assert!(status.status.success(), "{status:?}");
    assert_eq!(
        fs::read(path.join("marker")).map(|bytes| bytes.len()).ok(),
        Some(0),
        "the child got there"
    );
    assert_eq!(open(&path).1, issued);
}

#[test]
#[ignore = "the child of a_full_disk_leaves_what_was"]
fn in_a_process_that_cannot_write() {
    let Some(path) = std::env::var_os(FULL_DISK).map(PathBuf::from) else {
        return;
    };
    let directory = Directory::new(path.clone());
    let Change::Secret(_, kept) = secret("leaf", 2) else {
        panic!("a Secret");
    };
    let file = Path::new("secrets/payment/leaf.json");
    let fault = directory
        .replace(file, format::secret(&kept).expose())
        .expect_err("it is full");
    assert!(matches!(fault, WriteFault::Full { .. }), "{fault:?}");
    assert_eq!(fs::read_dir(path.join("secrets/payment")).expect("entries").count(), 1);
    File::create(path.join("marker")).expect("an empty file can be made");
}
