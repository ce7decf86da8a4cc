//! `sealway certs`. Nothing here may say yes: the trust store would be this machine's.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use sealway_testkit::certificates::{Authority, Request};
use tempfile::TempDir;

use crate::process::{Finished, finish, sealway};

fn install(ca: &Path) -> Finished {
    let mut command = sealway(["certs", "trust", "install", "--ca"]);
    command.arg(ca);
    finish(command, "y\n")
}

fn file(folder: &TempDir, content: &str) -> PathBuf {
    let path = folder.path().join("file.pem");
    std::fs::write(&path, content).expect("written");
    path
}

#[test]
fn files_that_cannot_be_meant_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let now = SystemTime::now();
    let authority = Authority::generate("internal-ca", now).expect("authority");
    let leaf = authority
        .issue(&Request::server("shop", &["shop.example.com"], now))
        .expect("leaf");
    let below = authority.intermediate("issuing-ca", now).expect("authority");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = date_time_ymd(2020, 1, 1);
    let expired = params.self_signed(&KeyPair::generate().expect("key")).expect("certificate");
    let pem = authority.certificate_pem();
    for (content, said) in [
        (leaf.chain_pem(), "not a CA"),
        (below.certificate_pem(), "a CA below CN=internal-ca"),
        (&expired.pem(), "expired at 2020-01-01T00:00:00Z"),
        (authority.identity().key().expose_pem(), "private key and no certificate"),
        (&format!("{pem}{}", leaf.chain_pem()), "holds 2 certificates"),
        ("", "no certificate"),
    ] {
        let done = install(&file(&folder, content));
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{said}");
        assert!(done.stderr.contains(said), "{said}: {}", done.stderr);
    }
    let done = install(Path::new("/no/such/ca.crt"));
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("/no/such/ca.crt"), "{}", done.stderr);
}

#[test]
fn the_demo_makes_the_default_authority() {
    let state = tempfile::tempdir().expect("temporary directory");
    let mut command = sealway(["certs", "trust", "install", "--state-dir"]);
    command.arg(state.path());
    let done = finish(command, "y\n");
    assert_eq!(done.code, Some(2));
    assert!(
        done.stderr.contains("demo/ca.crt") && done.stderr.contains("run `sealway demo` first"),
        "{}",
        done.stderr
    );
    // The variable stands in for the flag.
    let mut command = sealway(["certs", "trust", "install"]);
    command.env("SEALWAY_CA", "/no/such/ca.crt");
    let done = finish(command, "y\n");
    assert!(done.stderr.contains("/no/such/ca.crt"), "{}", done.stderr);
}

#[test]
fn without_a_terminal_nobody_agrees() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let authority = Authority::generate("internal-ca", SystemTime::now()).expect("authority");
    let done = install(&file(&folder, authority.certificate_pem()));
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""));
    // What is missing depends on whose machine this is: somebody to ask, root's rights, or a store.
    let missing = ["pass --yes", "sudo ", "no trust store"];
    assert!(missing.iter().any(|missing| done.stderr.contains(missing)), "{}", done.stderr);
}

#[test]
fn a_branch_alone_shows_what_is_below_it() {
    for arguments in [&["certs"][..], &["certs", "trust"]] {
        let done = finish(sealway(arguments), "");
        assert_eq!(done.code, Some(2));
        assert!(done.stderr.contains("trust"), "{}", done.stderr);
    }
}
