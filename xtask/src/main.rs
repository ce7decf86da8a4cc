//! What is longer than a cargo command.

mod crds;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, rest)) if command == "crds" => crds::run(rest),
        _ => anyhow::bail!("usage: cargo xtask crds …"),
    }
}
