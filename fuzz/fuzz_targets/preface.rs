//! What the first bytes are is known for good once it is known, and the ClientHello parser agrees.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealway_proxy::client_hello::{ClientHelloParser, Progress};
use sealway_proxy::postgres::error_response;
use sealway_proxy::preface::{Preface, classify};

fuzz_target!(|bytes: &[u8]| {
    let whole = classify(bytes);
    let stepwise = (0..=bytes.len())
        .map(|end| classify(&bytes[..end]))
        .find(|preface| *preface != Preface::NeedMore);
    assert_eq!(stepwise.unwrap_or(Preface::NeedMore), whole);
    let hello = ClientHelloParser::new().advance(bytes);
    match whole {
        Preface::NeedMore => assert!(bytes.len() < 14 && hello == Progress::NeedMore),
        Preface::Tls => {}
        _ => assert!(matches!(hello, Progress::Refused(_))),
    }
    let text = String::from_utf8_lossy(bytes);
    let response = error_response("28000", &text, &text);
    let fields = response.iter().filter(|byte| **byte == 0).count();
    assert!(fields >= 6 && response.ends_with(&[0, 0]) && response.len() == 1 + stated_length(&response));
});

fn stated_length(response: &[u8]) -> usize {
    response[1..5].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}
