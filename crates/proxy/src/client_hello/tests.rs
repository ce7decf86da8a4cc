use std::collections::BTreeSet;

use super::*;

fn at_once(bytes: &[u8]) -> Progress {
    ClientHelloParser::new().advance(bytes)
}

fn record(payload: &[u8]) -> Vec<u8> {
    let mut record = vec![22, 3, 1];
    record.extend((payload.len() as u16).to_be_bytes());
    record.extend(payload);
    record
}

/// A handshake message of type 1 in one record, its header true to `body`.
fn hello(body: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    record(&message)
}

/// Version, random, session, cipher suites, compression.
fn body_start() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([1, 0xff, 0, 2, 0x13, 0x01, 1, 0]);
    body
}

fn body_with(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (kind, data) in extensions {
        block.extend(kind.to_be_bytes());
        block.extend((data.len() as u16).to_be_bytes());
        block.extend(*data);
    }
    let mut body = body_start();
    body.extend((block.len() as u16).to_be_bytes());
    body.extend(block);
    body
}

fn with_extension(kind: u16, data: &[u8]) -> Progress {
    at_once(&hello(&body_with(&[(kind, data)])))
}

#[track_caller]
fn refused(progress: Progress) -> HelloError {
    match progress {
        Progress::Refused(error) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
fn done(progress: Progress) -> ClientHello {
    match progress {
        Progress::Done(hello) => hello,
        other => panic!("no hello: {other:?}"),
    }
}

#[test]
fn what_is_not_tls_is_named() {
    for (bytes, error) in [
        (b"GET /health HTTP/1.1\r\n".as_slice(), HelloError::HttpRequest),
        (&[0x80, 0x2e, 1, 3, 1, 0, 0x15], HelloError::SslV2Hello),
        (&crate::postgres::SSL_REQUEST, HelloError::PostgresMessage),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", HelloError::ProxyHeader),
        (b"SSH-2.0-OpenSSH_9.2", HelloError::NotTls),
        (&[25], HelloError::NotTls),
    ] {
        assert_eq!(refused(at_once(bytes)), error);
    }
}

#[test]
fn other_record_is_refused_first_or_in_the_middle() {
    for content_type in [20, 21, 23, 24] {
        let expected = HelloError::UnexpectedRecord { content_type };
        assert_eq!(refused(at_once(&[content_type])), expected);
        let mut halves = record(&[1, 0]);
        halves.push(content_type);
        assert_eq!(refused(at_once(&halves)), expected);
    }
}

#[test]
fn any_minor_record_version_passes_and_other_majors_do_not() {
    for minor in [0, 1, 2, 3, 4, 0xff] {
        let mut bytes = hello(&body_start());
        bytes[2] = minor;
        done(at_once(&bytes));
    }
    assert_eq!(refused(at_once(&[22, 2])), HelloError::RecordVersion { major: 2 });
    assert_eq!(refused(at_once(&[22, 4])), HelloError::RecordVersion { major: 4 });
}

#[test]
fn record_beyond_its_limit_is_refused_from_its_header() {
    assert_eq!(at_once(&[22, 3, 1, 0x40, 0]), Progress::NeedMore);
    assert_eq!(
        refused(at_once(&[22, 3, 1, 0x40, 1])),
        HelloError::RecordTooLong { length: 16_385 }
    );
}

#[test]
fn empty_records_pass_up_to_their_cap() {
    let empty = record(&[]);
    let mut bytes = empty.repeat(MAX_EMPTY_RECORDS as usize);
    assert_eq!(at_once(&bytes), Progress::NeedMore);
    bytes.extend(hello(&body_start()));
    assert_eq!(done(at_once(&bytes)).records, MAX_EMPTY_RECORDS + 1);
    assert_eq!(
        refused(at_once(&empty.repeat(MAX_EMPTY_RECORDS as usize + 1))),
        HelloError::TooManyEmptyRecords
    );
}

#[test]
fn other_handshake_message_is_refused_at_its_type() {
    assert_eq!(refused(at_once(&record(&[2]))), HelloError::UnexpectedHandshake { kind: 2 });
    assert_eq!(
        refused(at_once(&record(&[0, 0, 0, 0]))),
        HelloError::UnexpectedHandshake { kind: 0 }
    );
}

#[test]
fn hello_without_extensions_passes() {
    for body in [body_start(), body_with(&[])] {
        let hello = done(at_once(&hello(&body)));
        assert_eq!(hello.server_name, ServerName::Absent);
        assert_eq!((hello.alpn.len(), hello.legacy_version), (0, 0x0303));
    }
}

#[test]
fn body_that_ends_early_is_refused_with_the_part_that_is_missing() {
    let body = body_with(&[(16, &[0, 3, 2, b'h', b'2'])]);
    let start = body_start().len();
    for length in 0..body.len() {
        let part = match length {
            0..2 => HelloPart::Version,
            2..34 => HelloPart::Random,
            34..36 => HelloPart::Session,
            36..40 => HelloPart::CipherSuites,
            40..42 => HelloPart::Compression,
            _ if length == start => continue, // without extensions: whole
            _ => HelloPart::Extensions,
        };
        assert_eq!(
            refused(at_once(&hello(&body[..length]))),
            HelloError::Malformed(part),
            "{length}"
        );
    }
}

#[test]
fn incoherent_parts_are_refused() {
    let mut session = body_start();
    session[34] = 33;
    session.extend([0; 40]);
    assert_eq!(refused(at_once(&hello(&session))), HelloError::Malformed(HelloPart::Session));
    let mut suites = body_start();
    suites[37] = 1;
    assert_eq!(
        refused(at_once(&hello(&suites))),
        HelloError::Malformed(HelloPart::CipherSuites)
    );
    let mut trailing = body_with(&[]);
    trailing.push(0);
    assert_eq!(refused(at_once(&hello(&trailing))), HelloError::TrailingBytes);
}

#[test]
fn server_name_lists_are_read_as_the_rfc_has_them() {
    let part = HelloError::Malformed(HelloPart::ServerName);
    for (data, expected) in [
        // Empty, an empty list, a list shorter or longer than it says, a name longer than the list.
        ([].as_slice(), part),
        (&[0, 0], part),
        (&[0, 4, 0, 0, 1, b'a', 9], part),
        (&[0, 5, 0, 0, 1, b'a'], part),
        (&[0, 4, 0, 0, 2, b'a'], part),
        (&[0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b'], HelloError::DuplicateHostName),
    ] {
        assert_eq!(refused(with_extension(0, data)), expected, "{data:?}");
    }
    for (data, expected) in [
        ([0, 4, 0, 0, 1, b'a'].as_slice(), ServerName::Name("a".into())),
        // A name of an unknown type before, after, or alone; one of another form ends the list.
        (&[0, 8, 9, 0, 1, b'x', 0, 0, 1, b'a'], ServerName::Name("a".into())),
        (&[0, 8, 0, 0, 1, b'a', 9, 0, 1, b'x'], ServerName::Name("a".into())),
        (&[0, 4, 9, 0, 1, b'x'], ServerName::Absent),
        (&[0, 6, 0, 0, 1, b'a', 9, 0xff], ServerName::Name("a".into())),
        (
            &[0, 3, 0, 0, 0],
            ServerName::Malformed {
                reason: NameError::Empty,
                shown: "".into(),
            },
        ),
    ] {
        assert_eq!(done(with_extension(0, data)).server_name, expected, "{data:?}");
    }
}

#[test]
fn protocols_are_read_in_order_or_refused() {
    let protocols = done(with_extension(
        16,
        &[0, 12, 2, b'h', b'2', 8, b'h', b't', b't', b'p', b'/', b'1', b'.', b'1'],
    ));
    assert_eq!(protocols.alpn, [Box::from(*b"h2"), Box::from(*b"http/1.1") as Box<[u8]>]);
    for data in [[].as_slice(), &[0, 0], &[0, 1, 0], &[0, 2, 2, b'h'], &[0, 2, 1, b'h', 0]] {
        assert_eq!(
            refused(with_extension(16, data)),
            HelloError::Malformed(HelloPart::Alpn),
            "{data:?}"
        );
    }
    let many = |count: u16| [&(count * 2).to_be_bytes(), [1, b'x'].repeat(usize::from(count)).as_slice()].concat();
    assert_eq!(done(with_extension(16, &many(256))).alpn.len(), MAX_PROTOCOLS);
    assert_eq!(refused(with_extension(16, &many(257))), HelloError::TooManyProtocols);
}

#[test]
fn lists_that_only_inform_never_refuse() {
    assert_eq!(
        *done(with_extension(43, &[4, 0x1a, 0x1a, 3, 4])).supported_versions,
        [0x1a1a, 0x0304]
    );
    assert!(done(with_extension(43, &[9, 3])).supported_versions.is_empty());
    assert_eq!(*done(with_extension(10, &[0, 3, 0, 29, 7])).supported_groups, [29]);
    assert_eq!(*done(with_extension(51, &[0, 8, 0, 29, 0, 1, 9, 0, 23, 5])).key_shares, [29]);
    assert!(done(with_extension(0xfe0d, &[])).encrypted_client_hello);
}

#[test]
fn extension_that_comes_twice_is_refused() {
    let bytes = hello(&body_with(&[(0x1a1a, &[]), (23, &[]), (0x2a2a, &[]), (23, &[])]));
    assert_eq!(refused(at_once(&bytes)), HelloError::DuplicateExtension { kind: 23 });
}

#[test]
fn answer_stays_when_asked_again() {
    let bytes = hello(&body_with(&[(0, &[0, 4, 0, 0, 1, b'a'])]));
    let mut parser = ClientHelloParser::new();
    assert_eq!(parser.advance(&bytes), parser.advance(&bytes));
    let empty = record(&[]).repeat(MAX_EMPTY_RECORDS as usize + 1);
    let mut parser = ClientHelloParser::new();
    assert_eq!(parser.advance(&empty), parser.advance(&empty));
}

#[test]
fn a_buffer_that_shrinks_is_waited_for() {
    let bytes = hello(&body_start());
    let mut parser = ClientHelloParser::new();
    parser.advance(&bytes[..20]);
    assert_eq!(parser.advance(&bytes[..3]), Progress::NeedMore);
}

#[test]
fn labels_differ_and_alerts_are_those_of_tls() {
    let errors = [
        (HelloError::HttpRequest, 10),
        (HelloError::SslV2Hello, 70),
        (HelloError::PostgresMessage, 10),
        (HelloError::ProxyHeader, 10),
        (HelloError::NotTls, 10),
        (HelloError::UnexpectedRecord { content_type: 21 }, 10),
        (HelloError::RecordVersion { major: 2 }, 70),
        (HelloError::RecordTooLong { length: 16_385 }, 22),
        (HelloError::TooManyEmptyRecords, 10),
        (HelloError::UnexpectedHandshake { kind: 2 }, 10),
        (HelloError::TooLong { length: 65_537 }, 47),
        (HelloError::Malformed(HelloPart::Alpn), 50),
        (HelloError::TooManyProtocols, 47),
        (HelloError::TrailingBytes, 50),
        (HelloError::DuplicateExtension { kind: 0 }, 47),
        (HelloError::DuplicateHostName, 47),
    ];
    let labels: BTreeSet<_> = errors.iter().map(|(error, _)| error.label()).collect();
    assert_eq!(labels.len(), errors.len());
    for (error, alert) in errors {
        assert_eq!(error.alert(), alert, "{error}");
        assert!(!error.hint().is_empty() && !error.hint().ends_with('.'), "{error}");
    }
}
