//! `sealway demo`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::process::{finish, sealway};

/// Demos beside each other may want the same ports in the same moment; the later one says so on its way to the next offset.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_row_passes_and_files_are_left() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("temporary directory");
    let out = directory.path().join("out");
    let mut command = sealway(["demo", "--once", "-o", "json", "--out"]);
    command.arg(&out);
    let done = finish(command, "");
    let report = done.json();
    assert_eq!(done.code, Some(0), "{report:#}\n{}", done.stderr);
    assert_eq!(
        (&report["version"], &report["kind"], &report["passed"]),
        (&1.into(), &"Demo".into(), &true.into())
    );
    let rows = report["rows"].as_array().expect("rows");
    assert!(rows.len() >= 7 && rows.iter().all(|row| row["passed"] == true), "{rows:#?}");
    for name in ["ca.crt", "client.crt", "client.key", "secrets.yaml"] {
        assert!(out.join(name).exists(), "{name}");
    }
}

#[test]
fn state_goes_where_the_environment_says() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut command = sealway(["demo", "--once", "-q"]);
    command.env("XDG_STATE_HOME", directory.path());
    let done = finish(command, "");
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stdout);
    // Below it a directory for each port offset, so that demos beside each other keep their files apart.
    let entries = std::fs::read_dir(directory.path().join("sealway/demo")).expect("demo's directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    // The CA, which `certs trust install` looks for, what the issuer keeps, and the files of this demo.
    let [ca, issuer, offset] = names.as_slice() else {
        panic!("{names:?}")
    };
    assert_eq!((ca.as_str(), issuer.as_str()), ("ca.crt", "issuer-1"));
    assert!(offset.starts_with("offset-"), "{names:?}");
}

#[test]
fn without_a_home_the_flag_is_named() {
    let mut command = sealway(["demo", "--once"]);
    command.env_remove("XDG_STATE_HOME").env_remove("HOME");
    let done = finish(command, "");
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("--state-dir"), "{}", done.stderr);
}
