//! What a browser says about its origin, and a URL to redirect, end in headers that are valid and true.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealway_proxy::fuzzing::request(bytes));
