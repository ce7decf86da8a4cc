//! `sealway run` as a process, on manifests that a scenario can change while it runs.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sealway_demo::certificates::write_private;
use sealway_testkit::{free_port, loopback};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::context::Context;
use super::process::{command, excerpt, run, serve};

/// A TLSRoute to be: a name, and the backend service (`backend-0`, `backend-1`, ... in the order of the addresses) behind it.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// Its hostname.
    pub(crate) host: String,
    /// Which backend.
    pub(crate) backend: usize,
}

/// A route to a backend.
pub(crate) fn route(host: &str, backend: usize) -> Route {
    Route {
        host: host.to_owned(),
        backend,
    }
}

/// How a gateway is started.
#[derive(Debug, Default, Clone)]
pub(crate) struct Options {
    /// More flags for `sealway run`.
    pub(crate) flags: Vec<String>,
    /// Descriptor limit of the process.
    pub(crate) descriptors: Option<usize>,
}

/// A running gateway; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Where its TLS listener listens.
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    process: Child,
    directory: PathBuf,
}

impl Gateway {
    /// Starts one with these backends and routes and waits until it is ready.
    pub(crate) async fn start(
        context: &Context,
        name: &str,
        backends: &[SocketAddr],
        routes: &[Route],
        options: Options,
    ) -> anyhow::Result<Self> {
        let directory = context.directory(name)?;
        let address = loopback(free_port());
        write_manifest(&directory, "gateway.yaml", &gateway_manifest(address.port()))?;
        write_manifest(&directory, "routes.yaml", &routes_manifest(routes)?)?;
        let endpoints: Vec<String> = backends
            .iter()
            .enumerate()
            .map(|(number, backend)| format!("e2e/backend-{number}:443={backend}"))
            .collect();
        Self::run(context, directory, address, &endpoints, options).await
    }

    /// Starts one on this manifest, one of whose listeners is at `address`, with these `--endpoint`s.
    pub(crate) async fn start_on(
        context: &Context,
        name: &str,
        manifest: &str,
        address: SocketAddr,
        endpoints: &[String],
    ) -> anyhow::Result<Self> {
        let directory = context.directory(name)?;
        write_manifest(&directory, "manifest.yaml", manifest)?;
        Self::run(context, directory, address, endpoints, Options::default()).await
    }

    /// Starts one on copies of the manifests in `folder`, every listener's port moved, so that it listens for 443 at a free one.
    pub(crate) async fn start_on_folder(context: &Context, name: &str, folder: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let directory = context.directory(name)?;
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            write_manifest(&directory, &name, &fs::read_to_string(&path)?)?;
        }
        let address = loopback(free_port());
        let offset = address.port().saturating_sub(HTTPS).to_string();
        let mut options = Options::default();
        options.flags.extend(["--port-offset".to_owned(), offset]);
        options.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        Self::run(context, directory, address, &[], options).await
    }

    /// Its state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.join(STATE)
    }

    async fn run(
        context: &Context,
        directory: PathBuf,
        address: SocketAddr,
        endpoints: &[String],
        options: Options,
    ) -> anyhow::Result<Self> {
        let admin = loopback(free_port());
        let limit = options
            .descriptors
            .map_or_else(|| "$(ulimit -Hn)".to_owned(), |limit| limit.to_string());
        let mut process = command("sh", ["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"]);
        process
            .arg(&context.binary)
            .args(["run", "-f"])
            .arg(directory.join(MANIFESTS));
        process
            .args(["--admin", &admin.to_string(), "--state-dir"])
            .arg(directory.join(STATE));
        for endpoint in endpoints {
            process.args(["--endpoint", endpoint]);
        }
        process.args(&options.flags);
        let process = serve(process, &directory.join("log"))?;
        let mut gateway = Self {
            address,
            admin,
            process,
            directory,
        };
        gateway.wait_ready().await?;
        Ok(gateway)
    }

    /// Replaces the routes; returns when the file is in place, not when the change has taken effect.
    pub(crate) fn apply(&self, routes: &[Route]) -> anyhow::Result<()> {
        write_manifest(&self.directory, "routes.yaml", &routes_manifest(routes)?)
    }

    /// Waits until the served snapshot contains `text`, or does not.
    pub(crate) async fn wait_snapshot(&self, text: &str, contained: bool) -> anyhow::Result<()> {
        let end = Instant::now() + READY;
        while Instant::now() < end {
            if self.get("/api/v1/snapshot").await?.contains(text) == contained {
                return Ok(());
            }
            tokio::time::sleep(INTERVAL).await;
        }
        bail!("snapshot never agreed about `{text}`; log:\n{}", excerpt(&self.log()))
    }

    /// `GET` from the admin address: status line, headers and body.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<String> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.admin).await?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin);
            stream.write_all(request.as_bytes()).await?;
            let mut response = Vec::new();
            stream.read_to_end(&mut response).await?;
            anyhow::Ok(String::from_utf8_lossy(&response).into_owned())
        };
        tokio::time::timeout(READY, exchange)
            .await
            .context("admin address does not answer")?
    }

    /// Sends a signal by name, as `kill` knows it.
    pub(crate) async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid()?.to_string();
        run(command("kill", ["-s", name, &pid]), "").await?.success().map(|_| ())
    }

    /// Waits for the process to end and tells its status.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> anyhow::Result<std::process::ExitStatus> {
        let status = tokio::time::timeout(deadline, self.process.wait()).await;
        Ok(status.with_context(|| format!("the gateway did not end; log:\n{}", excerpt(&self.log())))??)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.process.id().context("the gateway has ended")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + READY;
        while Instant::now() < end {
            if let Some(status) = self.process.try_wait()? {
                bail!("the gateway ended with {status}; log:\n{}", excerpt(&self.log()));
            }
            if TcpStream::connect(self.admin).await.is_ok() && self.get("/readyz").await?.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
            tokio::time::sleep(INTERVAL).await;
        }
        bail!(
            "the gateway was not ready within {} s; log:\n{}",
            READY.as_secs(),
            excerpt(&self.log())
        )
    }
}

fn gateway_manifest(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata:
  name: sealway
spec:
  controllerName: sealway.dev/gateway-controller
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: gateway
  namespace: e2e
spec:
  gatewayClassName: sealway
  listeners:
    - name: tls
      port: {port}
      protocol: TLS
      tls:
        mode: Passthrough
"
    )
}

fn routes_manifest(routes: &[Route]) -> anyhow::Result<String> {
    let mut yaml = String::new();
    for route in routes {
        write!(
            yaml,
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata:
  name: {}
  namespace: e2e
spec:
  parentRefs:
    - name: gateway
  hostnames:
    - {}
  rules:
    - backendRefs:
        - name: backend-{}
          port: 443
",
            // The same host is the same object, whatever stands before it.
            route.host.replace('.', "-"),
            route.host,
            route.backend
        )?;
    }
    Ok(yaml)
}

/// One file, renamed into place as editors do; only its owner reads it, for it may hold keys.
fn write_manifest(directory: &Path, name: &str, yaml: &str) -> anyhow::Result<()> {
    let (temporary, manifests) = (directory.join(name), directory.join(MANIFESTS));
    fs::create_dir_all(&manifests)?;
    write_private(&temporary, yaml.as_bytes())?;
    fs::rename(&temporary, manifests.join(name))?;
    Ok(())
}

const MANIFESTS: &str = "manifests";
const STATE: &str = "state";
const HTTPS: u16 = 443;
/// An endpoint for routes whose backend is never asked: the discard port, where nothing listens.
pub(crate) const NOBODY: SocketAddr = loopback(9);
const READY: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(20);
