//! Any text is read and compiled without a panic, twice with equal outcome.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sealway_core::{Compiler, Observed, Settings};
use sealway_provider::files::Loaded;

static OBSERVED: LazyLock<Observed> = LazyLock::new(|| Observed::assumed("2026-01-01T00:00:00Z".parse().unwrap()));

fuzz_target!(|text: &str| {
    let loaded = Loaded::from_texts([("fuzz.yaml".to_owned(), text.to_owned())]);
    for location in loaded.problems.iter().filter_map(|problem| problem.location.as_ref()) {
        assert!(location.line >= 1 && location.line <= text.lines().count() + 1, "{location}");
    }
    let mut compiler = Compiler::new(Settings::default());
    let first = compiler.compile(&loaded.resources, &OBSERVED);
    assert!(compiler.compile(&loaded.resources, &OBSERVED) == first);
});
