//! 9,500 idle connections through one gateway, with clients and backend in processes of their own.
//!
//! Three processes, because each connection takes two descriptors of the gateway and one of each end, and the usual hard limit is
//! 20,000. The ends are this program again, started with a subcommand; they speak in lines over their pipes.
#![expect(clippy::print_stdout, reason = "the lines are how the processes speak")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use sealway_demo::backends::{ClientCertificates, server_config};
use sealway_demo::certificates::{Authority, Identity, PrivateKey, Request};
use sealway_demo::clients::Client;
use sealway_testkit::LOOPBACK;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::context::Context;
use super::gateway::{Gateway, Options, route};
use super::live::{PAYMENT, exchange};
use super::process::excerpt;

/// Opens all connections, weighs the gateway, asks every connection for an echo, and adds one more client.
pub(crate) async fn hold(context: &Context) -> anyhow::Result<String> {
    let directory = context.directory("idle-ends")?;
    // These ends verify each other with a CA of their own, whose key never leaves this process.
    let authority = Authority::generate("idle", SystemTime::now())?;
    let identity = authority.issue(&Request::server("echo", &[PAYMENT], SystemTime::now()))?;
    let (chain, key) = context.write_identity(&identity, &directory)?;
    let trust = directory.join("ca.crt");
    fs::write(&trust, authority.certificate_pem())?;

    let mut backend = End::start("e2e-idle-backend", &[&chain.to_string_lossy(), &key.to_string_lossy()])?;
    let backend_address: SocketAddr = backend.line().await?.parse()?;
    let gateway = Gateway::start(context, "idle", &[backend_address], &[route(PAYMENT, 0)], Options::default()).await?;
    let client = Client::trusting(&authority)?;
    exchange(&client, &gateway).await?;
    let before = Weight::of(gateway.pid()?)?;

    let address = gateway.address.to_string();
    let mut clients = End::start(
        "e2e-idle-clients",
        &[&address, &trust.to_string_lossy(), &CONNECTIONS.to_string()],
    )?;
    let opened = clients.line().await?;
    ensure!(
        opened == format!("open {CONNECTIONS}"),
        "clients: {opened}; log:\n{}",
        excerpt(&gateway.log())
    );
    let held = Weight::of(gateway.pid()?)?;
    let another = exchange(&client, &gateway).await.context("one more client")?;
    let alive = clients.ask("check").await?;
    ensure!(alive == format!("alive {CONNECTIONS}"), "clients: {alive}");

    let per_connection = |bytes: u64| bytes / CONNECTIONS as u64;
    Ok(format!(
        "{} bytes PSS per connection ({} KiB before, {} KiB with all idle), {} descriptors, one more client in {} ms, all alive after",
        per_connection(held.pss.saturating_sub(before.pss)),
        before.pss / 1024,
        held.pss / 1024,
        held.descriptors,
        another.as_millis()
    ))
}

/// `e2e-idle-backend CHAIN KEY`: an echo over TLS; prints its address and serves until its input ends.
pub(crate) fn backend(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let [chain, key] = arguments else { anyhow::bail!("CHAIN KEY") };
    let identity = Identity::new(fs::read_to_string(chain)?, PrivateKey::new(fs::read_to_string(key)?));
    let acceptor = tokio_rustls::TlsAcceptor::from(server_config(&identity, ClientCertificates::Ignored, &[])?);
    block_on(async {
        let listener = TcpListener::bind(LOOPBACK).await?;
        println!("{}", listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut buffer = [0; 64];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..read]).await.is_err() || stream.flush().await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        while input().next_line().await?.is_some() {}
        Ok(ExitCode::SUCCESS)
    })
}

/// `e2e-idle-clients ADDRESS CA COUNT`: opens connections, prints `open N`; for each line of input echoes through all of them and
/// prints `alive N`.
pub(crate) fn clients(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let [address, trust, count] = arguments else {
        anyhow::bail!("ADDRESS CA COUNT")
    };
    let (address, count): (SocketAddr, usize) = (address.parse()?, count.parse()?);
    let client = Client::trusting_pem(&fs::read_to_string(Path::new(trust))?)?;
    block_on(async {
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        let mut opening = JoinSet::new();
        for _ in 0..count {
            let (client, at_once) = (client.clone(), Arc::clone(&at_once));
            opening.spawn(async move {
                let _turn = at_once.acquire_owned().await;
                client.connect(address, PAYMENT).await
            });
        }
        let mut sessions = Vec::with_capacity(count);
        let mut failure = None;
        for opened in opening.join_all().await {
            match opened {
                Ok(session) => sessions.push(session),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            None => println!("open {}", sessions.len()),
            Some(failure) => println!("open {}, then {failure}", sessions.len()),
        }
        let mut input = input();
        while input.next_line().await?.is_some() {
            let mut alive = 0;
            for session in &mut sessions {
                let mut answer = [0; 4];
                let asked = session.stream.write_all(b"ping").await.is_ok() && session.stream.flush().await.is_ok();
                if asked && session.stream.read_exact(&mut answer).await.is_ok() && &answer == b"ping" {
                    alive += 1;
                }
            }
            println!("alive {alive}");
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// One of the two ends as a process; it is killed when dropped.
struct End {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl End {
    fn start(subcommand: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "sh"])
            .arg(std::env::current_exe()?);
        command
            .arg(subcommand)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn()?;
        let stdin = process.stdin.take().context("no standard input")?;
        let stdout = process.stdout.take().context("no standard output")?;
        Ok(Self {
            stdin,
            lines: BufReader::new(stdout).lines(),
            _process: process,
        })
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line())
            .await
            .context("the other process says nothing")??;
        line.context("the other process ended")
    }

    async fn ask(&mut self, question: &str) -> anyhow::Result<String> {
        self.stdin.write_all(format!("{question}\n").as_bytes()).await?;
        self.line().await
    }
}

/// What a process takes.
struct Weight {
    pss: u64,
    descriptors: usize,
}

impl Weight {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let line = rollup
            .lines()
            .find(|line| line.starts_with("Pss:"))
            .context("no Pss in smaps_rollup")?;
        let kibibytes: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(Self {
            pss: kibibytes * 1024,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
        })
    }
}

fn input() -> Lines<BufReader<tokio::io::Stdin>> {
    BufReader::new(tokio::io::stdin()).lines()
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(work);
    // Reading standard input cannot be cancelled.
    runtime.shutdown_background();
    outcome
}

const CONNECTIONS: usize = 9_500;
/// Handshakes under way at a time: as many as two cores keep inside every deadline.
const AT_ONCE: usize = 100;
const DEADLINE: Duration = Duration::from_secs(300);
