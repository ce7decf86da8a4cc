//! `sealway certs trust` with Debian's own command, and with clients that look into the system's trust store.
//!
//! In a mount namespace over a copy of the store: the machine's own is never written.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

use super::context::Context;
use super::openssl::Server;
use super::process::{command, run_within};

/// Asked, installed, believed, uninstalled, and every byte as before.
pub(crate) async fn system_store(context: &Context) -> anyhow::Result<String> {
    let directory = context.directory("trust")?;
    let script = directory.join("trust.sh");
    fs::write(&script, include_str!("trust.sh"))?;
    let identity = &context.certificates.payment;
    let server = Server::start(context, "trust-server", identity, &[]).await?;
    let leaf = directory.join("leaf.crt");
    fs::write(&leaf, identity.chain_pem())?;
    // An ordinary user is root in there; root needs no privilege of the machine's.
    let mut inside = command("unshare", ["--mount", "--map-root-user"]);
    inside.arg("sh").args([&script, &context.binary, &directory]);
    inside.arg(context.trust()).arg(leaf);
    inside.args(["payment.internal.example.com", &server.address.port().to_string()]);
    run_within(DEADLINE, inside, "")
        .await?
        .success()
        .context("over a copy of this machine's store")?;
    Ok("openssl and curl believe it, then not; the store is as it was".to_owned())
}

/// Debian's command takes seconds, and runs seven times.
const DEADLINE: Duration = Duration::from_secs(240);
