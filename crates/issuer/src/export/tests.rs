//! What is there after each write, and what a reader sees meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealway_api::{ConfigMap, Secret, SecretBytes};
use tempfile::TempDir;

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("payment", name)
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

fn secrets(secrets: &[(&str, &[(&str, &str)])]) -> Overlay {
    let secret = |files: &[(&str, &str)]| Secret {
        data: files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), SecretBytes::new(text.as_bytes().to_vec())))
            .collect(),
        ..Secret::default()
    };
    Overlay {
        secrets: secrets
            .iter()
            .map(|(name, files)| (key(name), Arc::new(secret(files))))
            .collect(),
        ..Overlay::default()
    }
}

fn export() -> (TempDir, Export) {
    let scratch = TempDir::new().expect("a directory");
    let export = Export::open(&scratch.path().join("certs"), None).expect("it opens");
    (scratch, export)
}

fn write(export: &Export, overlay: &Overlay) -> Vec<String> {
    let exported = export.write(now(), overlay, &BTreeSet::new());
    assert!(exported.faults.is_empty(), "{:?}", exported.faults);
    exported.switched.iter().map(ToString::to_string).collect()
}

fn visible(path: &Path) -> Vec<String> {
    let mut names = folder::names(path);
    names.retain(|name| !name.starts_with(".."));
    names
}

#[test]
fn files_are_those_of_the_secret_and_only_the_owner_can_read_them() {
    let (_scratch, export) = export();
    let first = secrets(&[("cert", &[("tls.crt", "c1"), ("tls.key", "k1"), ("tls-combined.pem", "k1c1")])]);
    assert_eq!(write(&export, &first), ["payment/cert"]);
    let place = export.place(&key("cert"));
    assert_eq!(fs::read(place.join("tls.key")).expect("read"), b"k1");
    assert_eq!(fs::metadata(place.join("tls.key")).expect("metadata").mode() & 0o777, 0o600);
    for directory in [
        place.as_path(),
        &place.join("..data"),
        place.parent().expect("parent"),
        &export.directory,
    ] {
        assert_eq!(
            fs::metadata(directory).expect("metadata").mode() & 0o777,
            0o700,
            "{}",
            directory.display()
        );
    }

    assert!(write(&export, &first).is_empty(), "nothing changed");
    let second = secrets(&[("cert", &[("tls.crt", "c2"), ("tls.key", "k2"), ("ca.crt", "ca")])]);
    assert_eq!(write(&export, &second), ["payment/cert"]);
    assert_eq!(
        visible(&place),
        ["ca.crt", "tls.crt", "tls.key"],
        "a key that is gone has no file"
    );
    assert_eq!(fs::read(place.join("tls.crt")).expect("read"), b"c2");

    fs::remove_file(place.join("tls.key")).expect("removed by somebody");
    assert_eq!(write(&export, &second), ["payment/cert"], "it is made again");
    assert_eq!(fs::read(place.join("tls.key")).expect("read"), b"k2");
}

#[test]
fn what_is_no_longer_issued_goes_and_what_is_foreign_stays() {
    let (_scratch, export) = export();
    write(
        &export,
        &secrets(&[
            ("one", &[("tls.key", "1")]),
            ("two", &[("tls.key", "2")]),
            ("lost", &[("tls.key", "3")]),
        ]),
    );
    fs::write(export.place(&key("two")).join("README"), "the operator's").expect("written");
    fs::create_dir_all(export.directory.join("other/name")).expect("made");
    fs::write(export.directory.join("other/name/tls.key"), "the operator's").expect("written");

    let exported = export.write(now(), &Overlay::default(), &[key("lost")].into());
    assert!(exported.faults.is_empty(), "{:?}", exported.faults);
    assert!(!export.place(&key("one")).exists());
    assert_eq!(folder::names(&export.place(&key("two"))), ["README"]);
    assert_eq!(fs::read(export.place(&key("lost")).join("tls.key")).expect("kept"), b"3");
    assert!(export.directory.join("other/name/tls.key").exists());
}

#[test]
fn foreign_files_in_the_way_are_a_fault_and_stay() {
    let (_scratch, export) = export();
    let place = export.place(&key("cert"));
    fs::create_dir_all(&place).expect("made");
    fs::write(place.join("tls.crt"), "the operator's").expect("written");
    let overlay = secrets(&[
        ("cert", &[("tls.crt", "c"), ("tls.key", "k")]),
        ("other", &[("tls.key", "k")]),
    ]);
    let exported = export.write(now(), &overlay, &BTreeSet::new());
    assert!(
        matches!(exported.faults.as_slice(), [(at, ExportFault::Foreign { .. })] if *at == key("cert")),
        "{exported:?}"
    );
    assert_eq!(visible(&place), ["tls.crt"]);
    assert_eq!(fs::read(place.join("tls.crt")).expect("read"), b"the operator's");
    assert_eq!(exported.switched, [key("other")].into(), "the neighbour is exported");

    let elsewhere = TempDir::new().expect("a directory");
    std::os::unix::fs::symlink(elsewhere.path(), export.place(&key("linked"))).expect("linked");
    let exported = export.write(now(), &secrets(&[("linked", &[("tls.key", "k")])]), &BTreeSet::new());
    assert!(
        matches!(exported.faults.as_slice(), [(_, ExportFault::Foreign { .. })]),
        "{exported:?}"
    );
    assert_eq!(fs::read_dir(elsewhere.path()).expect("entries").count(), 0);
}

#[test]
fn names_and_keys_that_are_no_files_are_refused() {
    let (scratch, export) = export();
    for name in ["../../escape", "..", "a/b", ""] {
        let exported = export.write(now(), &secrets(&[(name, &[("tls.key", "k")])]), &BTreeSet::new());
        assert!(
            matches!(exported.faults.as_slice(), [(_, ExportFault::Name { .. })]),
            "{name}: {exported:?}"
        );
    }
    for bad in ["", ".", "..", "..data", "a/b", "../x", "ä", "a b", &"a".repeat(254)] {
        let exported = export.write(
            now(),
            &secrets(&[("cert", &[(bad, "k"), ("tls.crt", "c")])]),
            &BTreeSet::new(),
        );
        assert!(
            matches!(exported.faults.as_slice(), [(_, ExportFault::Key { .. })]),
            "{bad}: {exported:?}"
        );
    }
    assert!(
        write(
            &export,
            &secrets(&[("cert", &[(".hidden", "k"), ("A_b-c.D", "c"), (&"a".repeat(253), "l")])])
        )
        .len()
            == 1
    );
    assert_eq!(folder::names(scratch.path()), ["certs"]);
}

#[test]
fn a_secret_and_a_config_map_of_one_name_share_a_directory() {
    let (_scratch, export) = export();
    let mut overlay = secrets(&[("internal-ca-cert", &[("ca.crt", "from the Secret"), ("bundle.p12", "p12")])]);
    let map = ConfigMap {
        data: [("ca.crt", "from the ConfigMap"), ("ca.pem", "pem")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
        binary_data: [("bundle.jks".to_owned(), vec![0xfe, 0xed])].into(),
        ..ConfigMap::default()
    };
    overlay.config_maps.insert(key("internal-ca-cert"), Arc::new(map));
    write(&export, &overlay);
    let place = export.place(&key("internal-ca-cert"));
    assert_eq!(visible(&place), ["bundle.jks", "bundle.p12", "ca.crt", "ca.pem"]);
    assert_eq!(fs::read(place.join("ca.crt")).expect("read"), b"from the Secret");
}

#[test]
fn the_group_reads_along_where_the_directory_says_so() {
    let scratch = TempDir::new().expect("a directory");
    let place = scratch.path().join("certs");
    for (mode, directories, files) in [(0o2750, 0o2750, 0o640), (0o750, 0o700, 0o600), (0o755, 0o700, 0o600)] {
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).expect("made");
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).expect("set");
        let export = Export::open(&place, None).expect("it opens");
        write(&export, &secrets(&[("cert", &[("tls.key", "k")])]));
        let mode_of = |path: &Path| path.metadata().expect("there").mode() & 0o7777;
        let object = export.place(&key("cert"));
        assert_eq!(
            (mode_of(&object), mode_of(&object.join("tls.key"))),
            (directories, files),
            "{mode:o}"
        );
        assert_eq!(mode_of(&fs::canonicalize(object.join("..data")).expect("there")), directories);
    }
}

#[test]
fn state_is_never_exported_over() {
    let scratch = TempDir::new().expect("a directory");
    let state = scratch.path().join("state");
    fs::create_dir(&state).expect("made");
    for directory in [state.join("certs"), state.clone(), scratch.path().to_owned()] {
        let fault = Export::open(&directory, Some(&state)).expect_err("refused");
        assert!(matches!(fault, ExportFault::InState { .. }), "{fault:?}");
    }
    assert_eq!(fs::read_dir(&state).expect("entries").count(), 0);
    Export::open(&scratch.path().join("state-of-others"), Some(&state)).expect("a sibling");
}

#[test]
fn a_reader_never_sees_a_key_beside_another_certificate() {
    const SWITCHES: usize = 500;
    const READINGS: usize = 10_000;
    let (_scratch, export) = export();
    let overlay = |number: usize| {
        let (certificate, key) = (format!("certificate {number}"), format!("key {number}"));
        secrets(&[("cert", &[("tls.crt", certificate.as_str()), ("tls.key", key.as_str())])])
    };
    write(&export, &overlay(0));
    let is_over = AtomicBool::new(false);
    let data = export.place(&key("cert")).join("..data");
    let (readings, different) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut readings, mut seen) = (0_usize, BTreeSet::new());
            while readings < READINGS || !is_over.load(Ordering::Acquire) {
                // Resolved once, then both files below it; what took as long as two switches is done again.
                let Ok(place) = data.canonicalize() else {
                    continue;
                };
                let (Ok(certificate), Ok(key)) = (fs::read(place.join("tls.crt")), fs::read(place.join("tls.key"))) else {
                    continue;
                };
                let certificate = String::from_utf8(certificate).expect("text");
                assert_eq!(
                    certificate.replace("certificate", "key").as_bytes(),
                    key,
                    "they belong together"
                );
                readings += 1;
                seen.insert(certificate);
            }
            (readings, seen.len())
        });
        for number in 1..=SWITCHES {
            assert_eq!(write(&export, &overlay(number)).len(), 1);
        }
        is_over.store(true, Ordering::Release);
        reader.join().expect("the reader saw no mismatch")
    });
    assert!(
        readings >= READINGS && different > SWITCHES / 10,
        "{readings} readings of {different} pairs"
    );
    let left = |seconds: i64| {
        let then = Timestamp::from_second(now().as_second() + seconds).expect("a time");
        export.write(then, &overlay(SWITCHES), &BTreeSet::new());
        folder::names(&export.place(&key("cert"))).len()
    };
    assert_eq!(
        left(59),
        3 + 9,
        "..data, two links, the generation in force and eight that may still be read"
    );
    assert_eq!(left(60), 3 + 1, "a minute after the last switch");
}
