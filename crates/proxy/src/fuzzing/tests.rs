//! The committed seeds hold without a fuzzer.

use std::fs;
use std::path::Path;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&directory).unwrap();
    entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn seeds_hold() {
    for (target, run) in [
        ("client_certificate", super::client_certificate as fn(&[u8])),
        ("ext_authz", super::ext_authz),
        ("http_head", super::http_head),
        ("http_match", super::http_match),
        ("http_request", super::request),
        ("trace_context", super::trace_context),
    ] {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target}");
        for seed in seeds {
            run(&seed);
            for end in 0..seed.len().min(200) {
                run(&seed[..end]);
            }
        }
    }
}
