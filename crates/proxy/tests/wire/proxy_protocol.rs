//! PROXY protocol headers: what we write is what we and `ppp` read, and `ppp` reads the same in what others write.

use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, v1, v2};
use proptest::prelude::*;
use sealway_proxy::proxy_protocol::{ALPN, AUTHORITY, Addresses, Facts, Progress, emit_v1, emit_v2, parse};

/// What `ppp` reads: `None` where it refuses or waits, `Some(None)` for a header without addresses.
fn ppp_reads(bytes: &[u8]) -> Option<Option<Addresses>> {
    let pair = |source: IpAddr, source_port, destination: IpAddr, destination_port| Addresses {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    };
    Some(match HeaderResult::parse(bytes) {
        HeaderResult::V1(Ok(header)) => match header.addresses {
            v1::Addresses::Tcp4(v) => Some(pair(
                v.source_address.into(),
                v.source_port,
                v.destination_address.into(),
                v.destination_port,
            )),
            v1::Addresses::Tcp6(v) => Some(pair(
                v.source_address.into(),
                v.source_port,
                v.destination_address.into(),
                v.destination_port,
            )),
            v1::Addresses::Unknown => None,
        },
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Local => None,
        HeaderResult::V2(Ok(header)) => match header.addresses {
            v2::Addresses::IPv4(v) => Some(pair(
                v.source_address.into(),
                v.source_port,
                v.destination_address.into(),
                v.destination_port,
            )),
            v2::Addresses::IPv6(v) => Some(pair(
                v.source_address.into(),
                v.source_port,
                v.destination_address.into(),
                v.destination_port,
            )),
            v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => return None,
    })
}

fn any_pair() -> impl Strategy<Value = Addresses> {
    any::<(SocketAddr, SocketAddr)>().prop_map(|(source, destination)| Addresses { source, destination })
}

/// The same addresses without what a header does not carry (scopes, flow labels) and without regard to the family that they are
/// written in.
fn comparable(Addresses { source, destination }: Addresses) -> [(IpAddr, u16); 2] {
    [source, destination].map(|address| (address.ip().to_canonical(), address.port()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_lines_read_back(pair in any_pair(), rest in prop::collection::vec(any::<u8>(), 0..20)) {
        let line = emit_v1(pair);
        prop_assert!(line.len() <= 107);
        let mut stream = line.clone();
        stream.extend(rest);
        let Progress::Done(header) = parse(&stream) else { return Err(TestCaseError::fail("no header")) };
        prop_assert_eq!(header.addresses.map(comparable), Some(comparable(pair)));
        prop_assert_eq!(header.length, line.len());
        prop_assert_eq!(ppp_reads(&line), Some(header.addresses));
    }

    #[test]
    fn written_headers_read_back(
        pair in any_pair(),
        authority in prop::option::of("[a-z0-9.-]{0,253}"),
        alpn in prop::option::of(prop::collection::vec(any::<u8>(), 0..255)),
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let bytes = emit_v2(pair, Facts { authority: authority.as_deref(), alpn: alpn.as_deref() });
        for end in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..end]), Progress::NeedMore);
        }
        let mut stream = bytes.clone();
        stream.extend(rest);
        let Progress::Done(header) = parse(&stream) else { return Err(TestCaseError::fail("no header")) };
        prop_assert_eq!(header.addresses.map(comparable), Some(comparable(pair)));
        prop_assert_eq!(header.extensions.find(AUTHORITY), authority.as_deref().map(str::as_bytes));
        prop_assert_eq!(header.extensions.find(ALPN), alpn.as_deref());
        prop_assert_eq!(header.length, bytes.len());
        prop_assert_eq!(ppp_reads(&bytes), Some(header.addresses));
    }

    #[test]
    fn where_both_read_a_header_both_read_the_same(
        pair in any_pair(), version_1 in any::<bool>(), at in any::<usize>(), byte in any::<u8>(),
    ) {
        let mut bytes = if version_1 { emit_v1(pair) } else { emit_v2(pair, Facts::default()) };
        let at = at % bytes.len();
        bytes[at] = byte;
        if let (Progress::Done(header), Some(theirs)) = (parse(&bytes), ppp_reads(&bytes)) {
            prop_assert_eq!(header.addresses, theirs);
        }
    }
}
