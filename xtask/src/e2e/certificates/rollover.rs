//! A CA that is replaced, and a client that is taken back, while everybody talks.
//!
//! A client with a certificate of the embedded issuer asks every 10 ms: once through a listener that ends TLS and insists on clients'
//! certificates, once through passthrough to a backend that does. Client and backend read their exported files for every connection, as
//! well-made programs do; the gateway has what it was issued.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sealway_demo::backends::{Backend, ClientCertificates, Http, Https};
use sealway_demo::certificates::{Identity, PrivateKey};
use sealway_demo::clients::{Client, Failure};
use sealway_testkit::{LOOPBACK, free_port, loopback, wait_until};
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::e2e::context::Context;
use crate::e2e::process::{START, command, excerpt, run, serve};

/// The CA is renewed with a new key: nobody notices, and in the end everybody has a certificate of the new one.
pub(crate) async fn authority(context: &Context) -> anyhow::Result<String> {
    let site = Site::start(context, "rollover").await?;
    let before = site.serials()?;
    let talks = [
        site.talk(site.gateway, GATEWAY_NAME),
        site.talk(site.passthrough, BACKEND_NAME),
    ];
    let talked = || talks.iter().all(|talk| talk.count() > 20);
    ensure!(wait_until(START, talked).await, "nobody talks:\n{}", site.said());

    let renewed = Instant::now();
    site.certs(context, &["renew", "cert-manager/root"]).await?;
    let all_new = || {
        site.serials()
            .is_ok_and(|now| now.iter().zip(&before).all(|(now, before)| now != before))
    };
    ensure!(
        wait_until(PATIENCE, all_new).await,
        "not every certificate was issued anew:\n{}",
        site.said()
    );
    let took = renewed.elapsed();
    // The old CA's certificates are still good for who has not reloaded, so both stand in every bundle.
    let trust = site.read("e2e/trusted", "ca.crt")?;
    ensure!(
        trust.matches("BEGIN CERTIFICATE").count() == 2,
        "the bundle does not hold both:\n{trust}"
    );
    let counts: Vec<usize> = talks.iter().map(Talk::count).collect();
    let is_going_on = |(talk, before): (&Talk, &usize)| talk.count() > before + 50 || talk.task.is_finished();
    let went_on = wait_until(START, || talks.iter().zip(&counts).all(is_going_on)).await;
    ensure!(went_on, "nobody talks after the roll-over:\n{}", site.said());
    let mut asked = 0;
    for talk in talks {
        asked += talk.end().await.with_context(|| site.said())?;
    }
    Ok(format!(
        "{asked} requests with mutual TLS, none failed; everything issued anew after {:.1} s",
        took.as_secs_f64()
    ))
}

/// The gateway's certificate is renewed again and again: each is served at once, and its Certificate's condition says so.
pub(crate) async fn renewal(context: &Context) -> anyhow::Result<String> {
    let site = Site::start(context, "renewal").await?;
    let client = site.client()?;
    let mut waits = Vec::with_capacity(RENEWALS);
    for _ in 0..RENEWALS {
        site.certs(context, &["renew", "e2e/gateway"]).await?;
        let renewed = Instant::now();
        let serial = || site.identity("e2e/gateway").map(|identity| identity.serial());
        let before = serial()?;
        loop {
            let session = client
                .connect(site.gateway, GATEWAY_NAME)
                .await
                .context("a handshake failed")?;
            if session.peer.certificate.serial == serial()? {
                break;
            }
            ensure!(renewed.elapsed() < PATIENCE, "{before} is not served:\n{}", site.said());
        }
        waits.push(renewed.elapsed());
    }
    waits.sort_unstable();
    let [median, longest] = [RENEWALS / 2, RENEWALS - 1].map(|at| waits.get(at).copied().unwrap_or_default());
    ensure!(median < SOON, "renewed certificates are served too late: {waits:?}");
    let serial = site.identity("e2e/gateway")?.serial().replace(':', "");
    site.says(&format!("serial {serial} is served")).await?;
    Ok(format!(
        "{RENEWALS} renewals, served {} ms (median), {} ms (longest) after they were answered; the condition Served has the last",
        median.as_millis(),
        longest.as_millis()
    ))
}

/// A backend behind passthrough that does not read its files again is found out by the gateway, and named with what to do.
pub(crate) async fn stale_backend(context: &Context) -> anyhow::Result<String> {
    let site = Site::start_with(context, "stale", false).await?;
    let plain = |site: &Site| Ok::<_, anyhow::Error>(site.identity("e2e/backend")?.serial().replace(':', ""));
    let stale = plain(&site)?;
    site.says(&format!("serial {stale} is served")).await?;
    site.certs(context, &["renew", "e2e/backend"]).await?;
    let serial = plain(&site)?;
    site.says(&format!("goes on serving serial {stale}; the Secret has {serial}"))
        .await?;
    site.says("reload or restart it").await?;
    Ok(format!("the endpoint that goes on serving {stale} is named"))
}

/// A client's certificate is revoked: its open connection ends, and no new one comes about; renewed, it is welcome again.
pub(crate) async fn revocation(context: &Context) -> anyhow::Result<String> {
    let site = Site::start(context, "revocation").await?;
    let client = site.client()?;
    let mut open = client
        .connect(site.gateway, GATEWAY_NAME)
        .await
        .context("the first handshake")?;
    site.ask(site.gateway, GATEWAY_NAME).await.context("the first request")?;
    let serial = site.identity("e2e/client")?.serial();
    let said = site
        .certs(context, &["revoke", &serial, "--reason", "keyCompromise", "--yes"])
        .await?;
    let revoked = Instant::now();
    let refused = loop {
        match client
            .clone()
            .without_resumption()
            .https(site.gateway, GATEWAY_NAME, "/")
            .await
        {
            Err(Failure::Alert(alert)) => break alert,
            // One that was shaken hands with the moment before is cut without an alert.
            _ if revoked.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(5)).await,
            other => bail!("revoked ({said}), and yet: {other:?}\n{}", site.said()),
        }
    };
    let took = revoked.elapsed();
    let mut byte = [0];
    let end = tokio::io::AsyncReadExt::read(&mut open.stream, &mut byte);
    let end = tokio::time::timeout(PATIENCE, end)
        .await
        .context("the open connection goes on")?;
    ensure!(!matches!(end, Ok(1..)), "the open connection answered");

    let list = command(
        "curl",
        [
            "-sS",
            "--fail",
            "--output",
            &site.path("list.crl"),
            &site.admin("/crl/ca.crl"),
        ],
    );
    run(list, "").await?.success()?;
    let text = command(
        "openssl",
        ["crl", "-inform", "DER", "-noout", "-text", "-in", &site.path("list.crl")],
    );
    run(text, "").await?.saying("Key Compromise")?.success()?;

    site.certs(context, &["renew", "e2e/client"]).await?;
    let renewed = Instant::now();
    while let Err(failure) = site.ask(site.gateway, GATEWAY_NAME).await {
        ensure!(
            renewed.elapsed() < PATIENCE,
            "the renewed client is refused: {failure:#}\n{}",
            site.said()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(format!(
        "alert {refused:?} {} ms after `certs revoke`; the open connection ended; renewed, it is served",
        took.as_millis()
    ))
}

/// Everything issued, served and exported.
#[derive(Clone)]
struct Site {
    directory: PathBuf,
    gateway: SocketAddr,
    passthrough: SocketAddr,
    admin: SocketAddr,
    _processes: Arc<(Child, Backend, Reloading)>,
}

impl Site {
    async fn start(context: &Context, name: &str) -> anyhow::Result<Self> {
        Self::start_with(context, name, true).await
    }

    /// `reloads`: whether the backend reads its files again for new connections.
    async fn start_with(context: &Context, name: &str, reloads: bool) -> anyhow::Result<Self> {
        let directory = context.directory(name)?;
        let [gateway, passthrough, admin, backend] = [(); 4].map(|()| loopback(free_port()));
        let manifests = fs::read_to_string(context.root.join("xtask/testdata/rollover.yaml"))?;
        let manifests = manifests
            .replace("10443", &gateway.port().to_string())
            .replace("18443", &passthrough.port().to_string());
        fs::write(directory.join("manifests.yaml"), manifests)?;
        let shop = Http { name: "shop" }.start(LOOPBACK).await?;
        let mut gateway_command = command(&context.binary, ["run", "-f"]);
        gateway_command.arg(directory.join("manifests.yaml"));
        gateway_command.arg("--state-dir").arg(directory.join("state"));
        gateway_command.arg("--export-certs").arg(directory.join("exported"));
        gateway_command.args(["--admin", &admin.to_string()]);
        gateway_command.args(["--endpoint", &format!("e2e/shop:80={}", shop.address())]);
        gateway_command.args(["--endpoint", &format!("e2e/backend:443={backend}")]);
        let process = serve(gateway_command, &directory.join("log"))?;
        let exported = directory.join("exported");
        let is_there = |object: &&str| exported.join(object).join("ca.crt").exists();
        let is_issued = wait_until(START, || ["e2e/client", "e2e/backend", "e2e/trusted"].iter().all(is_there)).await;
        let said = || excerpt(&fs::read_to_string(directory.join("log")).unwrap_or_default());
        ensure!(is_issued, "not everything is issued:\n{}", said());
        let reloading = Reloading::start(exported, backend, reloads).await?;
        let site = Self {
            directory,
            gateway,
            passthrough,
            admin,
            _processes: Arc::new((process, shop, reloading)),
        };
        let started = Instant::now();
        for (address, name) in [(gateway, GATEWAY_NAME), (passthrough, BACKEND_NAME)] {
            while let Err(failure) = site.ask(address, name).await {
                ensure!(
                    started.elapsed() < START,
                    "{name} is not served: {failure:#}\n{}",
                    site.said()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(site)
    }

    /// A client that asks until it is ended, and counts.
    fn talk(&self, address: SocketAddr, name: &'static str) -> Talk {
        let (site, is_over, count) = (self.clone(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (over, counted) = (Arc::clone(&is_over), Arc::clone(&count));
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            while !over.load(Ordering::Relaxed) {
                ticks.tick().await;
                site.ask(address, name)
                    .await
                    .with_context(|| format!("{name}, request {counted:?}"))?;
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Talk { is_over, count, task }
    }

    async fn ask(&self, address: SocketAddr, name: &str) -> anyhow::Result<()> {
        self.client()?.https(address, name, "/").await?;
        Ok(())
    }

    fn client(&self) -> anyhow::Result<Client> {
        let trust = self.read("e2e/client", "ca.crt")?;
        Ok(Client::presenting_pem(&trust, &self.identity("e2e/client")?)?.without_resumption())
    }

    fn identity(&self, object: &str) -> anyhow::Result<Identity> {
        identity(&self.directory.join("exported").join(object))
    }

    fn serials(&self) -> anyhow::Result<Vec<String>> {
        let objects = ["cert-manager/root", "e2e/client", "e2e/backend", "e2e/gateway"];
        objects.iter().map(|object| Ok(self.identity(object)?.serial())).collect()
    }

    fn read(&self, object: &str, key: &str) -> anyhow::Result<String> {
        let path = self.directory.join("exported").join(object).join(key);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    async fn certs(&self, context: &Context, arguments: &[&str]) -> anyhow::Result<String> {
        let mut certs = command(&context.binary, ["certs"]);
        certs.args(arguments).arg("--state-dir").arg(self.directory.join("state"));
        run(certs, "").await?.success().with_context(|| self.said())
    }

    /// Waits until the statuses or problems of the gateway say so.
    async fn says(&self, text: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let status = command("curl", ["-sS", &self.admin("/api/v1/status")]);
            if run(status, "").await?.success()?.contains(text) {
                return Ok(());
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "the gateway does not say: {text}\n{}",
                self.said()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn said(&self) -> String {
        excerpt(&fs::read_to_string(self.directory.join("log")).unwrap_or_default())
    }
}

/// See [`Site::talk`].
struct Talk {
    is_over: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Talk {
    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many requests there were; an error when one failed.
    async fn end(self) -> anyhow::Result<usize> {
        self.is_over.store(true, Ordering::Relaxed);
        self.task.await??;
        Ok(self.count.load(Ordering::Relaxed))
    }
}

/// A backend with mutual TLS that is started anew, on the same port, whenever its files are others: new connections meet the new one.
struct Reloading {
    task: JoinHandle<()>,
}

impl Reloading {
    async fn start(exported: PathBuf, address: SocketAddr, reloads: bool) -> anyhow::Result<Self> {
        let front = tokio::net::TcpListener::bind(address).await?;
        let task = tokio::spawn(async move {
            let mut serving: Option<(String, Backend)> = None;
            while let Ok((mut client, _)) = front.accept().await {
                let folder = exported.join("e2e/backend");
                let Ok((identity, trust)) = identity(&folder).and_then(|identity| Ok((identity, trust(&folder)?))) else {
                    continue;
                };
                let content = format!("{}{trust}", identity.chain_pem());
                if serving.as_ref().is_none_or(|(before, _)| reloads && *before != content) {
                    let backend = Https {
                        name: "backend",
                        identity: &identity,
                        clients: ClientCertificates::Required(&trust),
                    };
                    let Ok(backend) = backend.start(LOOPBACK).await else {
                        continue;
                    };
                    // Connections of the one before go on.
                    if let Some((_, before)) = serving.replace((content, backend)) {
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_secs(5)).await;
                            drop(before);
                        });
                    }
                }
                let Some(inner) = serving.as_ref().map(|(_, backend)| backend.address()) else {
                    continue;
                };
                tokio::spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(inner).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Ok(Self { task })
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Chain and key that belong together: the link is followed once.
fn identity(folder: &Path) -> anyhow::Result<Identity> {
    let generation = folder.join(fs::read_link(folder.join("..data"))?);
    let read = |key: &str| fs::read_to_string(generation.join(key)).with_context(|| generation.join(key).display().to_string());
    Ok(Identity::new(read("tls.crt")?, PrivateKey::new(read("tls.key")?)))
}

fn trust(folder: &Path) -> anyhow::Result<String> {
    Ok(fs::read_to_string(folder.join("ca.crt"))?)
}

const GATEWAY_NAME: &str = "shop.example.com";
const BACKEND_NAME: &str = "backend.example.com";
const RENEWALS: usize = 20;
/// Within which a renewed certificate is served.
const SOON: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(40);
