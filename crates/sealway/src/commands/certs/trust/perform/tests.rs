//! Files and what they hold.

use super::*;

#[test]
fn written_files_are_whole_and_for_everybody() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("ca.crt");
    // Left by a process that was killed.
    fs::write(folder.path().join(".ca.crt.new"), "half").expect("written");
    for content in ["one", "another"] {
        write(&path, content.as_bytes()).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), content);
    }
    assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o777, 0o644);
    assert_eq!(folder.path().read_dir().expect("folder").count(), 1);
    remove(&path).expect("removed");
    remove(&path).expect("gone already");
}

#[test]
fn reads_have_a_cap() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("file");
    fs::write(&path, "12345").expect("written");
    assert_eq!(read(&path, 5).expect("read"), b"12345");
    assert!(matches!(read(&path, 4), Err(Failure::TooLarge { most: 4, .. })));
}

#[test]
fn a_keychain_lists_its_hashes() {
    let fingerprint = Fingerprint::of(b"abc");
    let listing = format!(
        "SHA-256 hash: {}\nSHA-1 hash: 00\nkeychain: \"/Library/Keychains/System.keychain\"\nSHA-256 hash: short\n",
        fingerprint.hex().to_uppercase()
    );
    assert_eq!(hashes(&listing), BTreeSet::from([fingerprint]));
}
