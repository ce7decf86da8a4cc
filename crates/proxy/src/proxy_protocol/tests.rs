use super::parse::crc32c_without;
use super::*;

fn addresses(source: &str, destination: &str) -> Addresses {
    Addresses {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

/// A version 2 header: command, family, body.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = V2_SIGNATURE.to_vec();
    header.extend([0x20 | command, family]);
    header.extend((body.len() as u16).to_be_bytes());
    header.extend(body);
    header
}

/// 192.0.2.1:1025 to 198.51.100.2:443, then `extensions`.
fn v2_with(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![192, 0, 2, 1, 198, 51, 100, 2, 4, 1, 1, 187];
    body.extend(extensions);
    v2(PROXY, TCP_OVER_IPV4, &body)
}

#[track_caller]
fn done(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Progress::Done(header) => header,
        other => panic!("no header: {other:?}"),
    }
}

#[test]
fn version_1_lines_are_read() {
    for (line, expected) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.2 1025 443\r\n",
            Some(addresses("192.0.2.1:1025", "198.51.100.2:443")),
        ),
        (
            "PROXY TCP6 2001:db8::1 ::1 0 65535\r\n",
            Some(addresses("[2001:db8::1]:0", "[::1]:65535")),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN whatever 1 2 \t\r\n", None),
    ] {
        let header = done(format!("{line}\x16\x03\x01").as_bytes());
        assert_eq!((header.addresses, header.length), (expected, line.len()), "{line}");
    }
}

#[test]
fn malformed_lines_are_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.2 1025 443\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 1025 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1025\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1025 443 9\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.2 1025 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1025 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +25 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 025 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2  443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 1025 443\r\n",
        "PROXY TCP4 2001:db8::1 ::1 1025 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1025 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1025 443\n\r\n",
    ] {
        assert_eq!(
            parse(line.as_bytes()),
            Progress::Refused(HeaderError::LineMalformed),
            "{line:?}"
        );
    }
}

#[test]
fn line_may_take_107_bytes_and_no_more() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!((longest.len(), done(longest.as_bytes()).length), (107, 107));
    let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(parse(longer.as_bytes()), Progress::Refused(HeaderError::LineTooLong));
    assert_eq!(parse(&longer.as_bytes()[..107]), Progress::Refused(HeaderError::LineTooLong));
    assert_eq!(parse(&longer.as_bytes()[..106]), Progress::NeedMore);
}

#[test]
fn version_2_addresses_are_read() {
    let header = done(&v2_with(&[]));
    assert_eq!(header.addresses, Some(addresses("192.0.2.1:1025", "198.51.100.2:443")));
    assert_eq!(header.length, 28);
    let mut body = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].repeat(2);
    body.extend([4, 1, 1, 187]);
    let header = done(&v2(PROXY, UDP_OVER_IPV6, &body));
    assert_eq!(header.addresses, Some(addresses("[2001:db8::1]:1025", "[2001:db8::1]:443")));
}

#[test]
fn headers_without_addresses_leave_the_connections_own() {
    for bytes in [
        v2(LOCAL, UNSPECIFIED, &[]),
        v2(LOCAL, UNSPECIFIED, &[1, 2, 3]),
        v2(LOCAL, TCP_OVER_IPV4, &[1; 12]),
        v2(LOCAL, 0xff, &[1; 5]),
        v2(PROXY, UNSPECIFIED, &[4, 0, 1, 7]),
        v2(PROXY, UNIX_STREAM, &[b'/'; 216]),
    ] {
        let header = done(&bytes);
        assert_eq!((header.addresses, header.length), (None, bytes.len()));
    }
}

#[test]
fn broken_version_2_headers_are_refused() {
    let mut version = v2_with(&[]);
    version[12] = 0x31;
    for (bytes, error) in [
        (version, HeaderError::UnknownVersion { version: 3 }),
        (v2(2, TCP_OVER_IPV4, &[0; 12]), HeaderError::UnknownCommand { command: 2 }),
        (v2(PROXY, 0x13, &[0; 12]), HeaderError::UnknownFamily { family: 0x13 }),
        (v2(PROXY, 0x41, &[0; 12]), HeaderError::UnknownFamily { family: 0x41 }),
        (v2(PROXY, TCP_OVER_IPV4, &[0; 11]), HeaderError::AddressesTruncated),
        (v2(PROXY, TCP_OVER_IPV6, &[0; 35]), HeaderError::AddressesTruncated),
        (v2_with(&[ALPN]), HeaderError::ExtensionMalformed),
        (v2_with(&[ALPN, 0, 3, b'h', b'2']), HeaderError::ExtensionMalformed),
        (v2_with(&[CHECKSUM, 0, 3, 1, 2, 3]), HeaderError::ExtensionMalformed),
        (v2_with(&[CHECKSUM, 0, 4, 1, 2, 3, 4]), HeaderError::Checksum),
    ] {
        assert_eq!(parse(&bytes), Progress::Refused(error), "{error}");
    }
}

#[test]
fn header_beyond_its_cap_is_refused_from_its_length() {
    let mut bytes = v2_with(&[&[0xee, 0x0f, 0xf1], [0; 4081].as_slice()].concat());
    assert_eq!((bytes.len(), done(&bytes).length), (MAX_HEADER_BYTES, MAX_HEADER_BYTES));
    bytes[14..16].copy_from_slice(&4097_u16.to_be_bytes());
    assert_eq!(parse(&bytes[..16]), Progress::Refused(HeaderError::TooLong { length: 4097 }));
    assert_eq!(parse(&bytes[..15]), Progress::NeedMore);
}

#[test]
fn extensions_are_kept_and_found() {
    let header = done(&v2_with(&[
        AUTHORITY, 0, 1, b'a', ALPN, 0, 2, b'h', b'2', 0xee, 0, 0, AUTHORITY, 0, 1, b'b',
    ]));
    assert_eq!(header.extensions.find(AUTHORITY), Some(b"a".as_slice()));
    assert_eq!(header.extensions.find(ALPN), Some(b"h2".as_slice()));
    assert_eq!(header.extensions.find(0xee), Some([].as_slice()));
    assert_eq!(header.extensions.find(0x20), None);
    assert_eq!(header.extensions.iter().count(), 4);
}

#[test]
fn right_checksum_passes_and_a_second_one_does_not() {
    // The check value of CRC32C, then four bytes that count as zero.
    assert_eq!(crc32c_without(b"123456789", 9), 0xe306_9283);
    assert_eq!(crc32c_without(&[b'x'; 4], 0), crc32c_without(&[0; 4], 4));

    let mut bytes = v2_with(&[ALPN, 0, 2, b'h', b'2', CHECKSUM, 0, 4, 0, 0, 0, 0, 4, 0, 1, 0]);
    let offset = 28 + 5 + 3;
    let checksum = crc32c_without(&bytes, offset).to_be_bytes();
    bytes[offset..offset + 4].copy_from_slice(&checksum);
    assert_eq!(done(&bytes).extensions.find(CHECKSUM), Some(checksum.as_slice()));
    for position in [20, 31, offset, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1;
        assert_eq!(parse(&flipped), Progress::Refused(HeaderError::Checksum), "{position}");
    }
    let twice = v2_with(&[CHECKSUM, 0, 4, 0, 0, 0, 0, CHECKSUM, 0, 4, 0, 0, 0, 0]);
    assert_eq!(parse(&twice), Progress::Refused(HeaderError::ExtensionMalformed));
}

#[test]
fn no_prefix_of_a_header_is_decided_on_and_other_bytes_are_at_once() {
    for bytes in [
        v2_with(&[AUTHORITY, 0, 1, b'a']),
        v2(LOCAL, UNSPECIFIED, &[0; 9]),
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1025 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
    ] {
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Progress::NeedMore, "{end}");
        }
        done(&bytes);
    }
    for bytes in [[22].as_slice(), b"GET", b"PRO\0", b"\r\n\r\n\0\r\nQUIT\r", b"PROXY\tTCP4"] {
        assert_eq!(
            parse(bytes),
            Progress::Refused(HeaderError::Missing),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn written_headers_are_those_of_the_specification() {
    let pair = addresses("192.0.2.1:1025", "198.51.100.2:443");
    assert_eq!(emit_v1(pair), b"PROXY TCP4 192.0.2.1 198.51.100.2 1025 443\r\n");
    assert_eq!(emit_v2(pair, Facts::default()), v2_with(&[]));
    let facts = Facts {
        authority: Some("a"),
        alpn: Some(b"h2"),
    };
    assert_eq!(
        emit_v2(pair, facts),
        v2_with(&[AUTHORITY, 0, 1, b'a', ALPN, 0, 2, b'h', b'2'])
    );
}

#[test]
fn mixed_families_are_written_in_one() {
    let mapped = addresses("[::ffff:192.0.2.1]:1025", "[::ffff:198.51.100.2]:443");
    assert_eq!(emit_v1(mapped), b"PROXY TCP4 192.0.2.1 198.51.100.2 1025 443\r\n");
    let mixed = addresses("192.0.2.1:1025", "[2001:db8::1]:443");
    assert_eq!(emit_v1(mixed), b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1025 443\r\n");
    assert_eq!(
        done(&emit_v2(mixed, Facts::default())).addresses,
        Some(addresses("[::ffff:192.0.2.1]:1025", "[2001:db8::1]:443"))
    );
}

#[test]
fn fact_that_cannot_be_written_is_left_out() {
    let pair = addresses("192.0.2.1:1025", "198.51.100.2:443");
    let facts = Facts {
        authority: Some(&"a".repeat(65_536)),
        alpn: Some(b"h2"),
    };
    assert_eq!(emit_v2(pair, facts), v2_with(&[ALPN, 0, 2, b'h', b'2']));
}
