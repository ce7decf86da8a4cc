//! gRPC's own interoperability client and server, with the gateway between them.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use sealway_testkit::{free_port, loopback};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::front::{BACKEND_NAME, Front, Protocol, REENCRYPTED, Service, TERMINATED, grpc_route, identity_files};
use crate::e2e::context::Context;
use crate::e2e::process::{command, run, serve};

/// TLS ends at the gateway; the server is spoken to in plain text.
pub(crate) async fn terminated(context: &Context) -> anyhow::Result<String> {
    judge(context, Protocol::H2c, TERMINATED).await
}

/// The server has a certificate of its own, which the gateway verifies.
pub(crate) async fn reencrypted(context: &Context) -> anyhow::Result<String> {
    judge(context, Protocol::Tls, REENCRYPTED).await
}

async fn judge(context: &Context, protocol: Protocol, host: &str) -> anyhow::Result<String> {
    let name = format!("grpc-{protocol:?}");
    let server = Server::start(context, &name, protocol).await?;
    let service = Service {
        name: "grpc",
        protocol,
        address: server.address,
    };
    let front = Front::start(context, &name, &[service], &[grpc_route(host, "grpc")]).await?;
    let client = context.go_programs().await?.join("client");
    let port = front.https.port().to_string();
    let mut failed = Vec::new();
    for case in CASES {
        let mut program = command(
            &client,
            [
                "--use_tls",
                "--use_test_ca",
                "--server_host",
                "127.0.0.1",
                "--server_port",
                &port,
            ],
        );
        program
            .args([
                "--ca_file",
                &context.trust(),
                "--server_host_override",
                host,
                "--test_case",
                case,
            ])
            .args(SOAK);
        let output = run(program, "").await?;
        if !output.succeeded {
            let reason = output.text.lines().find(|line| line.contains("FATAL"));
            failed.push(format!("{case}: {}", reason.unwrap_or("no reason")));
        }
    }
    ensure!(
        failed.is_empty(),
        "{} of {} cases failed:\n{}\nlog of the gateway:\n{}",
        failed.len(),
        CASES.len(),
        failed.join("\n"),
        front.log()
    );
    Ok(format!("{} cases", CASES.len()))
}

/// The interoperability server.
struct Server {
    address: SocketAddr,
    _process: Child,
}

impl Server {
    async fn start(context: &Context, name: &str, protocol: Protocol) -> anyhow::Result<Self> {
        let address = loopback(free_port());
        let program = context.go_programs().await?.join("server");
        let mut program = command(program, ["--port", &address.port().to_string()]);
        if protocol == Protocol::Tls {
            let (chain, key) = identity_files(context, &format!("{name}-server"), &[BACKEND_NAME])?;
            program.arg("--use_tls").arg("--tls_cert_file").arg(chain);
            program.arg("--tls_key_file").arg(key);
        }
        let process = serve(program, &context.directory(name)?.join("server.log"))?;
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::time::timeout(START, listening)
            .await
            .context("the gRPC server does not listen")?;
        Ok(Self {
            address,
            _process: process,
        })
    }
}

const CASES: [&str; 16] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "rpc_soak",
    "channel_soak",
];
const SOAK: [&str; 3] = [
    "--soak_iterations=100",
    "--soak_overall_timeout_seconds=20",
    "--soak_num_threads=4",
];
const START: std::time::Duration = std::time::Duration::from_secs(10);
const INTERVAL: std::time::Duration = std::time::Duration::from_millis(20);
