//! The commands that the README shows: `demo --once`, and `examples/article` served from `demo --backends`.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sealway_demo::backends::Endpoint;
use sealway_demo::manifests::run_flags;
use sealway_testkit::{free_port, loopback};
use tokio::net::TcpStream;

use super::context::Context;
use super::process::{command, run, serve, until_said};

/// Every row of the demo passes, and it says so with its exit status.
pub(crate) async fn demo_once(context: &Context) -> anyhow::Result<String> {
    let directory = context.directory("demo-once")?;
    let mut demo = command(&context.binary, ["demo", "--once", "--out"]);
    demo.arg(directory.join("out"))
        .arg("--state-dir")
        .arg(directory.join("state"));
    let text = run(demo, "").await?.success()?;
    for row in [
        "passthrough",
        "PostgreSQL",
        "mutual TLS",
        "unknown",
        "terminate",
        "re-encrypt",
        "strict backend",
    ] {
        ensure!(text.contains(row), "no row about {row}:\n{text}");
    }
    Ok("exit status 0".to_owned())
}

/// `check` is silent about the example; `run` with the printed flags serves it to curl and psql.
pub(crate) async fn article_with_backends(context: &Context) -> anyhow::Result<String> {
    let mut check = command(&context.binary, ["check", "-f", "examples/article"]);
    check.current_dir(&context.root);
    run(check, "").await?.success().context("check -f examples/article")?;

    let directory = context.directory("article")?;
    let out = directory.join("out");
    let mut backends = command(&context.binary, ["demo", "--backends", "--out"]);
    backends.arg(&out).arg("--state-dir").arg(directory.join("demo-state"));
    let backends_log = directory.join("backends.log");
    let _backends = serve(backends, &backends_log)?;
    let fixed = Endpoint::fixed();
    let flags = run_flags(&out, &fixed);
    // The flags are the last thing that it prints: then ports and files are there.
    until_said(&backends_log, |said| match flags.iter().find(|flag| !said.contains(*flag)) {
        None => Ok(()),
        Some(flag) => bail!("`demo --backends` does not print `{flag}`:\n{said}"),
    })
    .await?;

    let (offset, admin) = (free_offset()?, loopback(free_port()));
    let mut gateway = command(
        &context.binary,
        ["run", "--port-offset", &offset.to_string(), "--admin", &admin.to_string()],
    );
    gateway
        .args(flags.iter().flat_map(|flag| flag.split(' ')))
        .arg("--state-dir")
        .arg(directory.join("state"));
    gateway.current_dir(&context.root);
    let log = directory.join("gateway.log");
    let _gateway = serve(gateway, &log)?;
    let port = 8443 + offset;
    listening(loopback(port))
        .await
        .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;

    let host = "payment.internal.example.com";
    let (resolve, url) = (format!("{host}:{port}:127.0.0.1"), format!("https://{host}:{port}/health"));
    let trust = out.join("ca.crt").display().to_string();
    let curl = command("curl", ["-sS", "--cacert", &trust, "--resolve", &resolve, &url]);
    let health = run(curl, "").await?.saying("\"backend\":\"payment\"")?.success()?;
    let conninfo = format!(
        "host=primary.db.example.com hostaddr=127.0.0.1 port={port} user=demo dbname=demo sslmode=verify-full sslrootcert={trust}"
    );
    let psql = command("psql", ["-X", "-At", "-c", "select 1", &conninfo]);
    run(psql, "").await?.saying("database|primary.db.example.com")?.success()?;
    Ok(health.trim().to_owned())
}

async fn listening(address: SocketAddr) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).await.is_err() {
        if Instant::now() > end {
            bail!("nothing listens on {address}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// An offset that brings all ports of the example to free ones.
fn free_offset() -> anyhow::Result<u16> {
    let free = |port: u16| TcpListener::bind(loopback(port)).is_ok();
    (2_000..20_000)
        .step_by(37)
        .find(|offset| [443, 8443, 9443].iter().all(|port| free(port + offset)))
        .context("no free offset")
}
