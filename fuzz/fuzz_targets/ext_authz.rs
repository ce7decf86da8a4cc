//! Every answer of an authorization server has a verdict, and what it asks for can be obeyed without harm.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealway_proxy::fuzzing::ext_authz(bytes));
