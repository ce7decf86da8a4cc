//! What is longer than a cargo command.

mod e2e;

fn main() -> anyhow::Result<std::process::ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["e2e", rest @ ..] => e2e::run(rest),
        // The load test starts these in processes of their own.
        ["e2e-idle-backend", rest @ ..] => e2e::idle_backend(rest),
        ["e2e-idle-clients", rest @ ..] => e2e::idle_clients(rest),
        _ => anyhow::bail!("usage: cargo xtask e2e [--debug] [FILTER...]"),
    }
}
