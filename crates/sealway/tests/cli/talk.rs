//! Usage, help, completions, man pages.

use std::process::Stdio;

use crate::process::{finish, sealway};
use crate::yaml::{Manifests, gateway};

#[test]
fn usage_errors_go_to_standard_error_and_end_with_2() {
    for arguments in [
        &["check"][..],
        &["check", "-f", "a", "--no-such-flag"],
        &["no-such-command"],
        &[],
        &["run", "-f", "a", "--bind", "x"],
    ] {
        let done = finish(sealway(arguments), "");
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(
            done.stderr.contains("Usage") || done.stderr.contains("--help"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"], &["check", "-h"]] {
        let done = finish(sealway(arguments), "");
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(done.stdout.contains("sealway"), "{}", done.stdout);
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = finish(sealway(["completions", shell]), "");
        assert_eq!(done.code, Some(0));
        assert!(done.stdout.contains("demo") && done.stdout.contains("port-offset"), "{shell}");
    }
}

#[test]
fn every_command_has_a_man_page() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let pages = directory.path().join("man");
    let done = finish(sealway([std::ffi::OsStr::new("man"), pages.as_os_str()]), "");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for name in [
        "sealway",
        "sealway-run",
        "sealway-check",
        "sealway-demo",
        "sealway-certs",
        "sealway-certs-trust-install",
        "sealway-completions",
        "sealway-man",
    ] {
        let page = std::fs::read_to_string(pages.join(format!("{name}.1"))).expect("page");
        assert!(page.contains(".SH NAME"), "{name}");
        assert!(done.stdout.contains(&format!("{name}.1\n")), "{}", done.stdout);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let manifests = Manifests::new(&[("gateway.yaml", &gateway(8443))]);
    let mut command = sealway(["check", "-o", "json", "-f"]);
    let mut child = command
        .arg(manifests.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn colours_follow_flag_and_environment() {
    let manifests = Manifests::new(&[("gateway.yaml", &gateway(8443))]);
    let path = manifests.path();
    let coloured = |flags: &[&str], no_color: Option<&str>| {
        let mut command = sealway(["check", "-f"]);
        command.arg(&path).args(flags);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        finish(command, "").stdout.contains('\u{1b}')
    };
    assert!(!coloured(&[], None), "not a terminal");
    assert!(coloured(&["--color", "always"], None));
    assert!(!coloured(&["--color", "never"], None));
    assert!(!coloured(&[], Some("1")));
}
