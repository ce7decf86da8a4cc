//! `cargo xtask golden`: rewrites the goldens of `crates/core`. The difference is the behaviour that changed: read it.

/// Runs the golden test with the word to write instead of compare.
pub(crate) fn run() -> anyhow::Result<()> {
    super::finish(
        super::cargo()
            .args(["test", "--package", "sealway-core", "--test", "golden"])
            .env("UPDATE_GOLDEN", "1"),
    )
}
