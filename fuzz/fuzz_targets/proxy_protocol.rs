//! The verdict does not depend on how the bytes are cut, nothing above the cap is waited for, and what we read we write and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealway_proxy::proxy_protocol::{AUTHORITY, Facts, MAX_HEADER_BYTES, Progress, emit_v1, emit_v2, parse};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    let stepwise = (0..=bytes.len())
        .map(|end| parse(&bytes[..end]))
        .find(|progress| *progress != Progress::NeedMore);
    assert_eq!(stepwise.unwrap_or(Progress::NeedMore), whole);
    let header = match whole {
        Progress::Done(header) => header,
        Progress::NeedMore => return assert!(bytes.len() < MAX_HEADER_BYTES),
        Progress::Refused(_) => return,
    };
    assert!(header.length <= bytes.len().min(MAX_HEADER_BYTES));
    let authority = header
        .extensions
        .find(AUTHORITY)
        .and_then(|value| std::str::from_utf8(value).ok());
    let Some(addresses) = header.addresses else { return };
    let ips = [addresses.source.ip(), addresses.destination.ip()].map(|ip| ip.to_canonical());
    for written in [emit_v1(addresses), emit_v2(addresses, Facts { authority, alpn: None })] {
        let Progress::Done(again) = parse(&written) else {
            panic!("what we write we read")
        };
        let again = again.addresses.expect("addresses");
        assert_eq!([again.source.ip(), again.destination.ip()].map(|ip| ip.to_canonical()), ips);
    }
});
