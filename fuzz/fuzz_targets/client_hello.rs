//! The verdict does not depend on how the bytes are cut, and where rustls takes a hello we read the same in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;
use sealway_proxy::client_hello::{ClientHelloParser, HelloError, Progress};

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // As a message in small records, so that mutations reach its body.
    let records = bytes
        .chunks(1 + bytes.len() / 3)
        .map(|part| [&[22, 3, 1], &(part.len() as u16).to_be_bytes()[..], part].concat());
    check(&records.collect::<Vec<_>>().concat());
});

fn check(bytes: &[u8]) {
    let whole = ClientHelloParser::new().advance(bytes);
    let mut parser = ClientHelloParser::new();
    let stepwise = (0..=bytes.len())
        .map(|end| parser.advance(&bytes[..end]))
        .find(|progress| *progress != Progress::NeedMore);
    assert_eq!(stepwise.unwrap_or(Progress::NeedMore), whole);

    let (mut acceptor, mut rest) = (Acceptor::default(), bytes);
    let read = acceptor.read_tls(&mut rest);
    let (Ok(_), Ok(Some(accepted))) = (read, acceptor.accept()) else {
        return;
    };
    let theirs = accepted.client_hello();
    match whole {
        Progress::Done(ours) => {
            assert_eq!(
                ours.server_name.name(),
                theirs.server_name().map(|name| name.trim_end_matches('.'))
            );
            assert!(ours.alpn.iter().map(AsRef::as_ref).eq(theirs.alpn().into_iter().flatten()));
        }
        Progress::Refused(HelloError::TooManyProtocols | HelloError::TooManyEmptyRecords) => {}
        other => panic!("rustls takes it: {other:?}"),
    }
}
