//! `sealway demo`: sample backends, certificates and the gateway in this process, and a request for everything that it can do.
//!
//! The manifests are those of `examples/article`, the endpoints those of the sample backends; apart from that it is what `run` does.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, bail};
use sealway_api::{ObjectKey, Resources};
use sealway_core::{BackendAddress, Cause, EndpointOverride, Placement, PortSelector, Problem, Settings, Severity};
use sealway_demo::backends::{Endpoint, Ports, SampleBackends};
use sealway_demo::certificates::Certificates;
use sealway_demo::manifests::{manifests, run_flags};
use sealway_demo::output;
use sealway_demo::rows::{GatewayAddress, Row, run_rows};
use sealway_provider::files::Loaded;
use sealway_proxy::Config;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Exit;
use super::run::Signals;
use crate::args::{DemoArgs, OutputFormat, TalkArgs};
use crate::document::Document;
use crate::gateway::{Gateway, OwnSockets, Parts, control_runtime, data_plane_runtime};
use crate::issuance::{self, Setup};
use crate::logging;
use crate::printer::Printer;
use crate::state::state_directory;
use crate::view::View;

pub(crate) fn run(args: &DemoArgs, talk: TalkArgs, printer: &Printer) -> anyhow::Result<Exit> {
    logging::start_quietly(talk);
    let directory = match &args.out {
        Some(out) => out.clone(),
        None => state_directory(args.state_dir.as_deref())?.join("demo"),
    };
    let mut demo = Demo {
        args,
        printer,
        directory,
    };
    let control = control_runtime().context("runtime")?;
    let data_plane = data_plane_runtime(Config::default().workers).context("runtime")?;
    let exit = if args.backends {
        control.block_on(demo.backends())
    } else {
        control.block_on(demo.whole(data_plane.handle()))
    };
    data_plane.shutdown_background();
    control.shutdown_background();
    exit
}

struct Demo<'a> {
    args: &'a DemoArgs,
    printer: &'a Printer,
    /// Where the files go.
    directory: PathBuf,
}

impl Demo<'_> {
    /// The sample backends alone.
    async fn backends(&self) -> anyhow::Result<Exit> {
        let mut signals = Signals::new()?;
        let certificates = Certificates::generate(SystemTime::now())?;
        // First the ports: who finds them taken must not replace the files of the demo that has them.
        let backends = SampleBackends::start(&certificates, Ports::Fixed).await?;
        self.write(&certificates)?;
        let flags = run_flags(&self.directory, &backends.endpoints());
        self.printer
            .talk("sample backends are running; serve them from the repository with `sealway run` and these flags:")?;
        self.printer.data(format!("{}\n", flags.join(" \\\n")))?;
        signals.next().await;
        Ok(Exit::Yes)
    }

    /// Backends, gateway and rows.
    async fn whole(&mut self, data_plane: &Handle) -> anyhow::Result<Exit> {
        let mut signals = Signals::new()?;
        let certificates = Certificates::generate(SystemTime::now())?;
        let backends = SampleBackends::start(&certificates, Ports::Free).await?;
        let (_loads, loads) = watch::channel(Loaded::from_texts(texts(&certificates)));
        let (mut gateway, view, offset) = self.gateway(&backends.endpoints(), data_plane, &loads).await?;
        if self.args.out.is_none() {
            // Demos that run beside each other differ in their offset, and keep their files apart.
            self.directory.push(format!("offset-{offset}"));
        }
        self.write(&certificates)?;
        for problem in view
            .problems
            .iter()
            .filter(|problem| problem.cause.severity() == Severity::Error)
        {
            self.printer.complain(format!("error: {problem}"))?;
        }
        let at = GatewayAddress::at(IpAddr::V4(Ipv4Addr::LOCALHOST), offset);
        self.printer.talk(format!(
            "gateway on {} and {} (port offset {offset}), certificates in {}",
            at.https,
            at.passthrough,
            self.directory.display()
        ))?;
        let rows = run_rows(&at, &certificates, &self.directory).await?;
        self.show(&rows, offset, at)?;
        if self.args.once {
            return Ok(if rows.iter().all(|row| row.passed) {
                Exit::Yes
            } else {
                Exit::No
            });
        }
        self.printer
            .talk("the gateway stays up: try the commands above; Ctrl-C ends it")?;
        tokio::select! {
            _ = signals.next() => Ok(if rows.iter().all(|row| row.passed) { Exit::Yes } else { Exit::No }),
            error = gateway.failed() => Err(error),
        }
    }

    /// A gateway with the first port offset that suits. Another process may take a port after it was found free: then the next one.
    async fn gateway(
        &self,
        endpoints: &[Endpoint],
        data_plane: &Handle,
        loads: &watch::Receiver<Loaded>,
    ) -> anyhow::Result<(Gateway, Arc<View>, u16)> {
        let ports = listener_ports(&loads.borrow().resources);
        for offset in OFFSETS.into_iter().filter(|offset| are_free(&ports, *offset)) {
            let admin = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, ADMIN_PORT + offset)).await;
            let sockets = OwnSockets {
                // The demo can do without.
                admin: admin.ok(),
                health: None,
            };
            let reserved = sockets.addresses();
            let settings = Settings {
                placement: Placement::Standalone {
                    binds: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
                    gateway_binds: BTreeMap::new(),
                    port_offset: offset,
                },
                endpoints: endpoints.iter().map(endpoint_override).collect(),
                reserved: reserved.clone(),
                ..Settings::default()
            };
            let parts = Parts {
                issuance: issuance::open(Setup::default(), loads.clone()).await,
                lists: None,
            };
            let mut gateway = Gateway::start(settings, Config::default(), sockets, data_plane, loads.clone(), parts);
            let view = gateway.serving().await?;
            let lost = |problem: &Problem| matches!(problem.cause, Cause::PortInUse { .. });
            if !view.problems.iter().any(lost) {
                if let Some(admin) = reserved.first() {
                    self.printer.talk(format!("admin API on http://{admin}"))?;
                }
                return Ok((gateway, view, offset));
            }
        }
        bail!("ports {ports:?} are taken, with offsets {OFFSETS:?} as well: end what listens there (`ss -ltnp`)")
    }

    fn write(&self, certificates: &Certificates) -> anyhow::Result<()> {
        output::write(certificates, &self.directory).with_context(|| {
            format!(
                "cannot write to {} (--out DIR chooses another place)",
                self.directory.display()
            )
        })
    }

    fn show(&self, rows: &[Row], offset: u16, at: GatewayAddress) -> anyhow::Result<()> {
        let passed = rows.iter().filter(|row| row.passed).count();
        if self.args.output.format == OutputFormat::Text {
            let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
            for row in rows {
                self.printer.data(text(row, width, !self.args.once))?;
            }
            if !self.args.once {
                self.printer
                    .data(format!("\n{}\n", openssl_command(at.passthrough, &self.directory)))?;
            }
            self.printer.data(format!("\n{passed} of {} rows passed\n", rows.len()))?;
        } else {
            let content = DemoReport {
                passed: passed == rows.len(),
                port_offset: offset,
                rows: rows.iter().map(RowReport::of).collect(),
            };
            self.printer
                .document(self.args.output.format, &Document::new("Demo", content))?;
        }
        Ok(())
    }
}

/// One row for people: verdict, name, what was asked, how long it took; then what was seen, and the command that does the same.
fn text(row: &Row, width: usize, with_command: bool) -> String {
    let (verdict, style) = if row.passed { ("ok  ", GOOD) } else { ("FAIL", BAD) };
    let milliseconds = row.elapsed.as_secs_f64() * 1000.0;
    let mut text = format!(
        "{style}{verdict}{style:#}  {:width$}  {milliseconds:7.1} ms  {}\n      {}\n",
        row.name, row.asked, row.evidence
    );
    if !row.passed {
        text += &format!("      expected: {}\n", row.expected);
    }
    if with_command {
        text += &format!("      {}\n", row.command);
    }
    text
}

/// Shows the backend's chain, which the gateway never had.
fn openssl_command(gateway: SocketAddr, files: &Path) -> String {
    let trust = files.join(output::TRUST_FILE);
    format!(
        "openssl s_client -connect {gateway} -servername payment.internal.example.com -CAfile {} -verify_return_error </dev/null",
        trust.display()
    )
}

/// The demo as a document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DemoReport<'a> {
    passed: bool,
    port_offset: u16,
    rows: Vec<RowReport<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RowReport<'a> {
    name: &'a str,
    passed: bool,
    asked: &'a str,
    expected: &'a str,
    evidence: &'a str,
    elapsed_milliseconds: f64,
    command: &'a str,
}

impl<'a> RowReport<'a> {
    fn of(row: &'a Row) -> Self {
        Self {
            name: row.name,
            passed: row.passed,
            asked: &row.asked,
            expected: &row.expected,
            evidence: &row.evidence,
            elapsed_milliseconds: row.elapsed.as_secs_f64() * 1000.0,
            command: &row.command,
        }
    }
}

/// The examples' manifests and the Secrets that they name, as files that are in memory only.
fn texts(certificates: &Certificates) -> Vec<(String, String)> {
    let example = manifests()
        .iter()
        .map(|manifest| (format!("examples/{}", manifest.name), manifest.yaml.to_owned()));
    let secrets = (output::SECRETS_FILE.to_owned(), output::secrets_manifest(certificates));
    example.chain([secrets]).collect()
}

fn endpoint_override(endpoint: &Endpoint) -> EndpointOverride {
    EndpointOverride {
        service: ObjectKey::new(endpoint.namespace, endpoint.service),
        port: PortSelector::Number(endpoint.port),
        address: BackendAddress::Socket(endpoint.address),
    }
}

fn listener_ports(resources: &Resources) -> Vec<u16> {
    let gateways = resources.gateways.values();
    gateways
        .flat_map(|gateway| gateway.spec.listeners.iter().map(|listener| listener.port))
        .collect()
}

/// Whether every port can be bound on loopback with this offset.
fn are_free(ports: &[u16], offset: u16) -> bool {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    ports.iter().all(|port| port.checked_add(offset).is_some_and(is_free))
}

/// As `run` has it by default; here the offset is added.
const ADMIN_PORT: u16 = 15000;
const OFFSETS: [u16; 3] = [0, 10_000, 20_000];
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
