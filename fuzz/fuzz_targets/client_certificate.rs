//! Headers that tell of a client's certificate are bounded, and nothing in it can open a field.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealway_proxy::fuzzing::client_certificate(bytes));
