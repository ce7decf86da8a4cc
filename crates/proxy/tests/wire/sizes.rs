//! Hellos up to the cap, in every framing, and just beyond it.

use sealway_proxy::client_hello::{HelloError, MAX_BODY_BYTES, MAX_EMPTY_RECORDS, MAX_RAW_BYTES, Progress};

use crate::builder::{HelloBuilder, at_once, done, framed, in_pieces};

#[test]
fn long_hellos_pass_in_every_framing() {
    for kibibytes in [8, 15, 17, 30, 60, 64] {
        let message = HelloBuilder::named("vault.example.com").padded_to(kibibytes * 1024).message();
        for record in [1, 7, 64, 200, 16_384] {
            let records = framed(&message, record);
            for piece in [13, 1448] {
                let hello = done(in_pieces(&records, piece));
                assert_eq!(
                    hello.server_name.name(),
                    Some("vault.example.com"),
                    "{kibibytes} KiB in records of {record}"
                );
                assert_eq!(hello.raw_bytes, records.len(), "{kibibytes} KiB in records of {record}");
            }
        }
        // One byte at a time, as full records.
        let hello = done(in_pieces(&framed(&message, 16_384), 1));
        assert_eq!(
            hello.server_name.name(),
            Some("vault.example.com"),
            "{kibibytes} KiB byte by byte"
        );
    }
}

#[test]
fn long_session_ticket_passes() {
    let hello = HelloBuilder::named("vault.example.com").extension(0x0023, vec![0x7e; 17_000]);
    assert_eq!(done(at_once(&hello.bytes())).server_name.name(), Some("vault.example.com"));
}

#[test]
fn cap_is_exact_and_known_from_the_header() {
    let largest = HelloBuilder::named("vault.example.com").padded_to(MAX_BODY_BYTES).bytes();
    assert!(matches!(at_once(&largest), Progress::Done(_)));

    let [_, length @ ..] = (MAX_BODY_BYTES as u32 + 1).to_be_bytes();
    let mut header = vec![22, 3, 1, 0x40, 0, 1];
    header.extend(length);
    assert_eq!(
        at_once(&header),
        Progress::Refused(HelloError::TooLong {
            length: MAX_BODY_BYTES + 1
        })
    );
    assert_eq!(at_once(&header[..8]), Progress::NeedMore);
}

#[test]
fn costliest_framing_passes_and_takes_exactly_the_raw_cap() {
    let message = HelloBuilder::named("vault.example.com").padded_to(MAX_BODY_BYTES).message();
    let mut records = [22, 3, 1, 0, 0].repeat(MAX_EMPTY_RECORDS as usize);
    records.extend(framed(&message, 1));
    assert_eq!(records.len(), MAX_RAW_BYTES);
    assert_eq!(in_pieces(&records[..MAX_RAW_BYTES - 1], 1448), Progress::NeedMore);
    assert_eq!(done(in_pieces(&records, 1448)).raw_bytes, MAX_RAW_BYTES);
}

#[test]
fn thousands_of_extensions_pass() {
    // 16,000 empty ones fill the cap; sorting, not comparing each with each, finds that none comes twice.
    let mut hello = HelloBuilder {
        suites: vec![0x1301],
        extensions: Vec::new(),
    };
    hello.extensions = (0x1000..0x1000 + 16_000).map(|kind| (kind, Vec::new())).collect();
    assert!(matches!(at_once(&hello.bytes()), Progress::Done(_)));
    hello.extensions.push((0x2000, Vec::new()));
    assert_eq!(
        at_once(&hello.bytes()),
        Progress::Refused(HelloError::DuplicateExtension { kind: 0x2000 })
    );
}
