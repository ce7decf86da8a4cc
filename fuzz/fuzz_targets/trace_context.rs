//! What is understood of a client's trace headers is what it wrote, and reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealway_proxy::fuzzing::trace_context(bytes));
