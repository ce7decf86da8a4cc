//! What the samples read of a gateway, they read in its bounds; what they answer is well-framed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealway_demo::fuzzing::exchange(bytes));
