use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

use super::sample::certificates;

#[test]
fn debug_output_holds_no_key_bytes() {
    let certificates = certificates();
    let debug = format!("{certificates:?}");
    assert!(!debug.contains("PRIVATE KEY"));
    let body = certificates
        .payment
        .key()
        .expose_pem()
        .lines()
        .nth(1)
        .expect("key body")
        .to_owned();
    assert!(!debug.contains(&body));
}

#[test]
fn private_file_is_readable_by_owner_only_and_replaced_whole() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("client.key");
    fs::write(&path, "old").expect("old file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("wide permissions");
    write_private(&path, b"new").expect("written");
    assert_eq!(fs::read_to_string(&path).expect("content"), "new");
    assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(dir.path()).expect("directory").count(),
        1,
        "no temporary file stays behind"
    );
}

#[test]
fn leaf_chain_verifies_against_root_through_intermediate() {
    let now = SystemTime::now();
    let root = Authority::generate("root", now).expect("root");
    let intermediate = root.intermediate("intermediate", now).expect("intermediate");
    let leaf = intermediate
        .issue(&Request::server("leaf", &["leaf.example.com"], now))
        .expect("leaf");
    let chain = leaf.certificates().expect("chain");
    assert_eq!(chain.len(), 2, "leaf and intermediate, not the root");
    assert_eq!(Facts::of(&chain[1]).subject, "CN=intermediate");
    let direct = root
        .issue(&Request::server("leaf", &["leaf.example.com"], now))
        .expect("leaf");
    assert_eq!(direct.certificates().expect("chain").len(), 1);
}

#[test]
fn leaves_differ_in_serial_and_end_before_their_authority() {
    let certificates = certificates();
    assert_ne!(certificates.payment.serial(), certificates.vault.serial());
    assert!(!certificates.payment.serial().is_empty());
    const { assert!(LEAF_VALIDITY.as_secs() < AUTHORITY_VALIDITY.as_secs()) };
}
