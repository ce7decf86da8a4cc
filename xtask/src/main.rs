//! What is longer than a cargo command.
fn main() {}
