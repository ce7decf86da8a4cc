//! Hellos as real programs send them, cut in every way that a network can.

use sealway_proxy::client_hello::{ClientHelloParser, Progress, ServerName};

use crate::builder::{X25519_MLKEM768, at_once, chrome_like, committed_hellos, done, framed, hello_folder, in_pieces, unframed};

/// What each committed hello says.
struct Expected {
    file: &'static str,
    server_name: ServerName,
    alpn: &'static [&'static [u8]],
    tls13: bool,
    post_quantum: bool,
    encrypted_client_hello: bool,
}

fn expected() -> Vec<Expected> {
    let name = |name: &str| ServerName::Name(name.into());
    let payment = || name("payment.internal.example.com");
    let database = || name("primary.db.example.com");
    const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];
    let row = |file, server_name, alpn, tls13, post_quantum, encrypted_client_hello| Expected {
        file,
        server_name,
        alpn,
        tls13,
        post_quantum,
        encrypted_client_hello,
    };
    vec![
        row("chrome-boringssl", payment(), HTTP, true, true, true),
        row("chrome-like-built", payment(), HTTP, true, true, true),
        row("curl-7.88", payment(), HTTP, true, false, false),
        row("curl-7.88-address", ServerName::Absent, HTTP, true, false, false),
        row("firefox-boringssl", payment(), HTTP, true, true, true),
        row("go-1.26", payment(), HTTP, true, true, false),
        row("java-17", payment(), HTTP, true, false, false),
        row("node-20", payment(), HTTP, true, false, false),
        row("openssl-3.0-no-name", ServerName::Absent, &[], true, false, false),
        row("openssl-3.0-tls12", payment(), &[], false, false, false),
        row("openssl-3.0-tls13", payment(), HTTP, true, false, false),
        row("openssl-3.0-upper-case-dot", payment(), &[], true, false, false),
        row("psql-15", database(), &[], true, false, false),
        row("psycopg-libpq18-direct", database(), &[b"postgresql"], true, true, false),
        row("rustls-0.23", payment(), HTTP, true, true, false),
        row("wget-gnutls", name("localhost"), &[], true, false, false),
    ]
}

#[test]
fn every_committed_hello_says_what_its_program_meant() {
    let committed = committed_hellos();
    let expected = expected();
    assert_eq!(
        committed.len(),
        expected.len(),
        "a hello without its row, or a row without its hello"
    );
    for ((file, bytes), expected) in committed.iter().zip(expected) {
        assert_eq!(file, expected.file);
        let hello = done(at_once(bytes));
        assert_eq!(hello.server_name, expected.server_name, "{file}");
        assert!(
            hello.alpn.iter().map(AsRef::as_ref).eq(expected.alpn.iter().copied()),
            "{file}: {:?}",
            hello.alpn
        );
        assert_eq!(hello.supported_versions.contains(&0x0304), expected.tls13, "{file}");
        assert_eq!(hello.key_shares.contains(&X25519_MLKEM768), expected.post_quantum, "{file}");
        assert_eq!(
            hello.supported_groups.contains(&X25519_MLKEM768),
            expected.post_quantum,
            "{file}"
        );
        assert_eq!(hello.encrypted_client_hello, expected.encrypted_client_hello, "{file}");
        assert_eq!(
            (hello.legacy_version, hello.raw_bytes, hello.records),
            (0x0303, bytes.len(), 1),
            "{file}"
        );
    }
}

/// `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn built_hello_is_the_committed_one() {
    let path = hello_folder().join("chrome-like-built.bin");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, chrome_like().bytes()).unwrap();
    }
    assert_eq!(std::fs::read(path).unwrap(), chrome_like().bytes());
}

#[test]
fn no_prefix_is_decided_on() {
    for (file, bytes) in committed_hellos() {
        let mut growing = ClientHelloParser::new();
        for end in 0..bytes.len() {
            assert_eq!(
                growing.advance(&bytes[..end]),
                Progress::NeedMore,
                "{file}, {end} bytes, one by one"
            );
            assert_eq!(at_once(&bytes[..end]), Progress::NeedMore, "{file}, {end} bytes at once");
        }
        assert_eq!(growing.advance(&bytes), at_once(&bytes), "{file}");
    }
}

#[test]
fn every_split_point_gives_the_same_hello() {
    for (file, bytes) in committed_hellos() {
        let whole = at_once(&bytes);
        for split in 1..bytes.len() {
            let mut parser = ClientHelloParser::new();
            assert_eq!(parser.advance(&bytes[..split]), Progress::NeedMore, "{file} at {split}");
            assert_eq!(parser.advance(&bytes), whole, "{file} at {split}");
        }
    }
}

#[test]
fn every_split_between_two_records_gives_the_same_hello() {
    for (file, bytes) in committed_hellos() {
        let whole = done(at_once(&bytes));
        let message = unframed(&bytes);
        for split in 1..message.len() {
            let (first, second) = message.split_at(split);
            let mut records = framed(first, first.len());
            records.extend(framed(second, second.len()));
            let hello = done(in_pieces(&records, 97));
            assert_eq!(
                (&hello.server_name, &hello.alpn),
                (&whole.server_name, &whole.alpn),
                "{file} at {split}"
            );
            assert_eq!((hello.raw_bytes, hello.records), (records.len(), 2), "{file} at {split}");
        }
    }
}

#[test]
fn small_records_in_small_pieces_give_the_same_hello() {
    for (file, bytes) in committed_hellos() {
        let whole = done(at_once(&bytes));
        let message = unframed(&bytes);
        for record in [1, 7, 64, 200] {
            let records = framed(&message, record);
            for piece in [1, 13] {
                let hello = done(in_pieces(&records, piece));
                assert_eq!(
                    hello.server_name, whole.server_name,
                    "{file}, records of {record}, pieces of {piece}"
                );
                assert_eq!(hello.alpn, whole.alpn, "{file}, records of {record}, pieces of {piece}");
                assert_eq!(
                    hello.key_shares, whole.key_shares,
                    "{file}, records of {record}, pieces of {piece}"
                );
                assert_eq!(
                    hello.raw_bytes,
                    records.len(),
                    "{file}, records of {record}, pieces of {piece}"
                );
            }
        }
    }
}

#[test]
fn bytes_after_the_hello_are_left_alone() {
    let early_data = [23, 3, 3, 0, 4, 1, 2, 3, 4];
    for (file, bytes) in committed_hellos() {
        let mut flight = bytes.clone();
        flight.extend(early_data);
        assert_eq!(at_once(&flight), at_once(&bytes), "{file}");
    }
}
