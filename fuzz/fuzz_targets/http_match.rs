//! An index of hosts and paths finds what looking at everything finds, and a changed path is a path.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealway_proxy::fuzzing::http_match(bytes));
