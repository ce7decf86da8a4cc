//! Where `certs list` and `certs inspect` learn what there is: a running gateway, else manifests and the state directory.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use hyper::StatusCode;
use sealway_api::{Resources, Timestamp};
use sealway_issuer::{Issued, Plan, Settings, Store, plan};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::ask::{self, Asked};
use crate::args::{CertsSourceArgs, Typed};
use crate::certificates::Scene;
use crate::document::VERSION;
use crate::foresight::foresee;
use crate::gateway::control_runtime;
use crate::manifests;
use crate::printer::Printer;
use crate::state::existing_state_directory;

/// The answer to one question.
pub(super) enum Found<T> {
    /// This.
    Yes(T),
    /// There is no such thing, and why that may be.
    No(String),
}

/// Asks the gateway for `path`, or else looks at what is on disk with `offline`.
pub(super) fn find<T: DeserializeOwned>(
    args: &CertsSourceArgs,
    path: &str,
    printer: &Printer,
    offline: impl FnOnce(&Scene<'_>) -> Found<T>,
) -> anyhow::Result<Found<T>> {
    if args.typed != Typed::Disk {
        let address = args.admin.unwrap_or(DEFAULT_ADMIN);
        let asked = control_runtime().context("runtime")?.block_on(ask::get(address, path))?;
        match asked {
            Asked::Answer(status, body) => return read(address, status, &body),
            Asked::Nobody if args.typed == Typed::Admin => {
                bail!("nobody answers at {address}: does the gateway run, with this --admin?")
            }
            Asked::Nobody => {}
        }
        printer.talk(format!(
            "no gateway answers at {address}: this is what the disk says, and nobody serves it"
        ))?;
    }
    look(args, offline)
}

fn read<T: DeserializeOwned>(address: SocketAddr, status: StatusCode, body: &[u8]) -> anyhow::Result<Found<T>> {
    #[derive(Deserialize)]
    struct Framed<T> {
        version: u32,
        #[serde(flatten)]
        content: T,
    }
    if status == StatusCode::NOT_FOUND {
        return Ok(Found::No(String::from_utf8_lossy(body).trim().to_owned()));
    }
    if status != StatusCode::OK {
        bail!("{address} answers {status}: is it the admin address of a sealway?");
    }
    let framed: Framed<T> =
        serde_json::from_slice(body).with_context(|| format!("the answer of {address} cannot be read: is it a sealway?"))?;
    if framed.version != VERSION {
        bail!(
            "the gateway at {address} answers in version {} of the schema, this program reads {VERSION}",
            framed.version
        );
    }
    Ok(Found::Yes(framed.content))
}

fn look<T>(args: &CertsSourceArgs, offline: impl FnOnce(&Scene<'_>) -> Found<T>) -> anyhow::Result<Found<T>> {
    let resources = match args.paths.as_slice() {
        [] => Arc::new(Resources::default()),
        paths => manifests::open(paths)?.1.resources,
    };
    // Manifests alone are looked at as they stand, whatever this machine has issued for others.
    let issued = match (&args.state_dir, args.paths.is_empty()) {
        (None, false) => Issued::default(),
        (told, _) => read_state(&existing_state_directory(told.as_deref())?)?,
    };
    let now = Timestamp::now();
    let settings = Settings {
        behaviour: args.issuer_behaviour.into(),
        ..Settings::default()
    };
    let plan = if args.paths.is_empty() {
        Plan::default()
    } else {
        plan(now, &resources, &issued, &settings)
    };
    // What cannot be issued whatever happens; what only waits for another Certificate is not in the way.
    let findings = match args.paths.is_empty() {
        true => Vec::new(),
        false => foresee(now, &resources, settings.behaviour)?.outlook.findings.clone(),
    };
    Ok(offline(&Scene {
        now,
        resources: &resources,
        issued: &issued,
        statuses: &plan.statuses,
        findings: &findings,
        seen: &BTreeMap::new(),
        overlay: &plan.overlay,
        snapshots: &BTreeMap::new(),
    }))
}

/// What was issued. Nothing is locked and nothing is changed: a gateway may run on it.
pub(super) fn read_state(directory: &Path) -> anyhow::Result<Issued> {
    Store::peek(directory).map_err(|fault| anyhow::anyhow!("{fault}: {}", fault.hint()))
}

/// As `run` has it by default.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 15000);
