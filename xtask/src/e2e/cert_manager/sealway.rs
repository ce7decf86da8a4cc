//! What Sealway issues from the manifests, written as the judge writes what cert-manager issued.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

use crate::e2e::context::Context;
use crate::e2e::gateway::Gateway;

/// Starts Sealway on `specs`, waits until each Certificate and issuer is as ready as in the dump `want`, and writes the dump `got`. After
/// the deadline it writes what there is: the comparison says what is missing.
pub(super) async fn issue(context: &Context, specs: &Path, want: &Path, got: &Path) -> anyhow::Result<()> {
    let flags = ["--issuer-behaviour", "cert-manager"];
    let gateway = Gateway::start_on_folder(context, "cert-manager-sealway", specs, &flags).await?;
    let expected = expected(want)?;
    ensure!(!expected.is_empty(), "cert-manager left no status");
    let end = Instant::now() + SETTLE;
    loop {
        let statuses = statuses(&gateway).await?;
        let settled = readiness(&statuses) == expected;
        if settled || Instant::now() > end {
            return dump(&gateway.state(), &statuses, got);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The objects that are compared, each under the name of its dump's file below `status`.
fn objects(statuses: &Value) -> impl Iterator<Item = (String, &Value)> {
    KINDS.iter().flat_map(move |(field, folder)| {
        let of_kind = statuses[*field].as_object().into_iter().flatten();
        of_kind.map(move |(name, status)| (format!("{folder}/{name}"), status))
    })
}

/// Of each object the status of its condition Ready.
fn readiness(statuses: &Value) -> BTreeMap<String, Value> {
    objects(statuses).map(|(name, status)| (name, ready(status))).collect()
}

fn ready(status: &Value) -> Value {
    let conditions = status["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready");
    ready.map_or(Value::Null, |condition| condition["status"].clone())
}

/// The same of cert-manager's dump.
fn expected(want: &Path) -> anyhow::Result<BTreeMap<String, Value>> {
    let statuses = want.join("status");
    let mut expected = BTreeMap::new();
    for file in files(&statuses)? {
        let name = file.strip_prefix(&statuses)?.with_extension("");
        let status: Value = serde_json::from_slice(&fs::read(&file)?)?;
        expected.insert(name.display().to_string(), ready(&status));
    }
    Ok(expected)
}

async fn statuses(gateway: &Gateway) -> anyhow::Result<Value> {
    let response = gateway.get("/api/v1/status").await?;
    let (_, body) = response.split_once("\r\n\r\n").context("no body")?;
    let mut document: Map<String, Value> = serde_json::from_str(body).context("/api/v1/status is not JSON")?;
    document.remove("statuses").context("/api/v1/status has no statuses")
}

fn dump(state: &Path, statuses: &Value, got: &Path) -> anyhow::Result<()> {
    for (name, status) in objects(statuses) {
        write(&got.join("status"), &name, status)?;
    }
    let secrets = state.join(SECRETS);
    fs::create_dir_all(got.join(SECRETS))?;
    fs::create_dir_all(got.join("status"))?;
    for file in files(&secrets)? {
        let kept: Value = serde_json::from_slice(&fs::read(&file)?).with_context(|| file.display().to_string())?;
        let name = file.strip_prefix(&secrets)?.with_extension("");
        write(&got.join(SECRETS), &name.display().to_string(), &kept["secret"])?;
    }
    Ok(())
}

fn write(below: &Path, name: &str, value: &Value) -> anyhow::Result<()> {
    let path = below.join(format!("{name}.json"));
    fs::create_dir_all(path.parent().unwrap_or(below))?;
    Ok(fs::write(path, value.to_string())?)
}

/// Every `*.json` below `directory`; none when it is not there.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !directory.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "json") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Fields of `statuses`, and the folders of the dump.
const KINDS: [(&str, &str); 3] = [
    ("certificates", "certificates"),
    ("issuers", "issuers"),
    ("clusterIssuers", "clusterissuers"),
];
const SECRETS: &str = "secrets";
/// Longest that issuing everything may take; there are RSA keys of 4096 bits to be found.
const SETTLE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(100);
