//! Whatever comes over the feed, from either end, is refused or understood without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealway_feed::fuzzing::frames(bytes));
