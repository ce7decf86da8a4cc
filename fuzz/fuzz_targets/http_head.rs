//! What is let through is one request for one host, says of its connection what is true, and never becomes HTTP behind our back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealway_proxy::fuzzing::http_head(bytes));
