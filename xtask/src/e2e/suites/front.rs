//! A gateway with an HTTPS and an HTTP listener for `localhost`, and the server behind it.
//!
//! Input: Services (name, protocol, address) and routes as YAML. Output: the listeners' addresses. The name is `localhost` because
//! several suites cannot be told another address for a name.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use sealway_demo::certificates::Request;
use sealway_testkit::{free_port, loopback};
use tokio::process::Child;

use crate::e2e::context::Context;
use crate::e2e::gateway::Gateway;
use crate::e2e::process::{command, excerpt, serve, until_said};

/// How the gateway speaks to a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1 in plain text.
    Http1,
    /// HTTP/2 with prior knowledge, in plain text.
    H2c,
    /// TLS by a BackendTLSPolicy, verified against [`BACKEND_NAME`].
    Tls,
}

/// A Service and where it is.
#[derive(Debug, Clone)]
pub(super) struct Service {
    /// Its name.
    pub(super) name: &'static str,
    /// What it speaks.
    pub(super) protocol: Protocol,
    /// Its only endpoint.
    pub(super) address: SocketAddr,
}

/// A running gateway.
#[derive(Debug)]
pub(super) struct Front {
    /// Its HTTPS listener.
    pub(super) https: SocketAddr,
    /// Its HTTP listener.
    pub(super) http: SocketAddr,
    gateway: Gateway,
}

impl Front {
    /// Starts one. `routes`: the documents of the routes, made by [`http_route`] and [`grpc_route`].
    pub(super) async fn start(context: &Context, name: &str, services: &[Service], routes: &[String]) -> anyhow::Result<Self> {
        let (https, http) = (loopback(free_port()), loopback(free_port()));
        let mut manifest = gateway_manifest(context, https.port(), http.port())?;
        let mut endpoints = Vec::new();
        for service in services {
            manifest += &service_manifest(context, service);
            endpoints.push(format!("e2e/{}:80={}", service.name, service.address));
        }
        routes.iter().for_each(|route| manifest.push_str(route));
        let gateway = Gateway::start_on(context, name, &manifest, https, &endpoints).await?;
        Ok(Self { https, http, gateway })
    }

    /// `https://localhost:PORT` followed by `path`.
    pub(super) fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.https.port())
    }

    /// The last lines of its log without what it says about each connection, for failures.
    pub(super) fn log(&self) -> String {
        let log = self.gateway.log();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("sealway::access")).collect();
        excerpt(&lines.join("\n"))
    }
}

/// The sample HTTP server (`conformance/suites/backend`), which speaks HTTP/1.1 and h2c on one port.
#[derive(Debug)]
pub(super) struct Backend {
    /// Where it listens.
    pub(super) address: SocketAddr,
    _process: Child,
}

impl Backend {
    /// Starts one.
    pub(super) async fn start(context: &Context, name: &str) -> anyhow::Result<Self> {
        let log = context.directory(name)?.join("backend.log");
        let mut program = command(context.go_programs().await?.join("backend"), ["--listen", "127.0.0.1:0"]);
        program.kill_on_drop(true);
        let process = serve(program, &log)?;
        let mut address = None;
        until_said(&log, |said| {
            let line = said.lines().next().context("the backend does not say where it listens")?;
            address = Some(line.parse()?);
            Ok(())
        })
        .await?;
        Ok(Self {
            address: address.context("no address")?,
            _process: process,
        })
    }

    /// The two Services of [`both_routes`]: one protocol each.
    pub(super) fn services(&self) -> [Service; 2] {
        [("http1", Protocol::Http1), ("h2c", Protocol::H2c)].map(|(name, protocol)| Service {
            name,
            protocol,
            address: self.address,
        })
    }
}

/// A route that leads everything to Service `http1`, and what is below `/h2c` to Service `h2c`.
pub(super) fn both_routes() -> String {
    http_route(&[("/", "http1"), ("/h2c", "h2c")])
}

/// An HTTPRoute for [`NAME`] with a rule for each path prefix and Service.
pub(super) fn http_route(rules: &[(&str, &str)]) -> String {
    let mut yaml = route_head("HTTPRoute", "http", NAME);
    for (prefix, service) in rules {
        let _ = write!(
            yaml,
            "    - matches:
        - path:
            type: PathPrefix
            value: {prefix}
      backendRefs:
        - name: {service}
          port: 80
"
        );
    }
    yaml
}

/// A GRPCRoute that leads everything for `host` to `service`.
pub(super) fn grpc_route(host: &str, service: &str) -> String {
    let head = route_head("GRPCRoute", service, host);
    format!("{head}    - backendRefs:\n        - name: {service}\n          port: 80\n")
}

fn route_head(kind: &str, name: &str, host: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata:
  name: {name}
  namespace: e2e
spec:
  parentRefs:
    - name: gateway
  hostnames:
    - {host}
  rules:
"
    )
}

/// Chain and key of a new certificate for `names`, as PEM files in a directory of this name.
pub(super) fn identity_files(context: &Context, directory: &str, names: &[&str]) -> anyhow::Result<(PathBuf, PathBuf)> {
    let identity = context
        .certificates
        .authority
        .issue(&Request::server("suites", names, SystemTime::now()))?;
    context.write_identity(&identity, &context.directory(directory)?)
}

/// Reads a file that a suite has left.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn gateway_manifest(context: &Context, https: u16, http: u16) -> anyhow::Result<String> {
    let now = SystemTime::now();
    let request = Request {
        // A certificate that ends within a month is a finding of testssl.sh.
        not_after: now + CERTIFICATE_VALIDITY,
        ..Request::server("suites", &[NAME, TERMINATED, REENCRYPTED], now)
    };
    let identity = context.certificates.authority.issue(&request)?;
    ensure!(identity.chain_pem().starts_with("-----BEGIN"), "no certificate");
    Ok(format!(
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
    - name: https
      port: {https}
      protocol: HTTPS
      tls:
        certificateRefs:
          - name: certificate
    - name: http
      port: {http}
      protocol: HTTP
---
apiVersion: v1
kind: Secret
metadata:
  name: certificate
  namespace: e2e
type: kubernetes.io/tls
stringData:
  tls.crt: |
{}  tls.key: |
{}",
        indented(identity.chain_pem()),
        indented(identity.key().expose_pem())
    ))
}

fn service_manifest(context: &Context, service: &Service) -> String {
    let name = service.name;
    let protocol = match service.protocol {
        Protocol::Http1 => "http",
        Protocol::H2c => "kubernetes.io/h2c",
        Protocol::Tls => "https",
    };
    let mut yaml = format!(
        "---
apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: e2e
spec:
  ports:
    - name: {name}
      port: 80
      appProtocol: {protocol}
"
    );
    if service.protocol == Protocol::Tls {
        let _ = write!(
            yaml,
            "---
apiVersion: v1
kind: ConfigMap
metadata:
  name: ca
  namespace: e2e
data:
  ca.crt: |
{}---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata:
  name: {name}
  namespace: e2e
spec:
  targetRefs:
    - group: \"\"
      kind: Service
      name: {name}
  validation:
    hostname: {BACKEND_NAME}
    caCertificateRefs:
      - group: \"\"
        kind: ConfigMap
        name: ca
",
            indented(context.certificates.authority.certificate_pem())
        );
    }
    yaml
}

fn indented(pem: &str) -> String {
    pem.lines().map(|line| format!("    {line}\n")).collect()
}

/// The name of both listeners' routes.
pub(super) const NAME: &str = "localhost";
/// The name under which gRPC goes on in plain text.
pub(super) const TERMINATED: &str = "terminated.suites.example.com";
/// The name under which gRPC is encrypted again.
pub(super) const REENCRYPTED: &str = "reencrypted.suites.example.com";
/// The name in the certificate of a backend that speaks TLS.
pub(super) const BACKEND_NAME: &str = "backend.suites.example.com";
const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(90 * 24 * 3600);
