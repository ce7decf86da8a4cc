//! testssl.sh against the HTTPS listener: no finding above LOW.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::excused::Excused;
use super::front::{Backend, Front, both_routes, read};
use crate::e2e::context::Context;
use crate::e2e::process::{command, excerpt, run_within};

/// Everything that says something about a listener: what it tells about clients and about the backend's headers is left out.
pub(crate) async fn findings(context: &Context) -> anyhow::Result<String> {
    let backend = Backend::start(context, "testssl").await?;
    let front = Front::start(context, "testssl", &backend.services(), &[both_routes()]).await?;
    let excused = Excused::read(context, "testssl-excused.txt")?;
    let mut scans = 0;
    let findings = loop {
        scans += 1;
        let report = context.directory("testssl")?.join(format!("report-{scans}.json"));
        let findings = scan(context, &front, &report).await?;
        // One that could not be made, because the machine was busy, says nothing.
        if scans == MOST_SCANS || !findings.iter().any(|finding| finding.finding.contains("connect problem")) {
            break findings;
        }
    };
    let above: Vec<(String, String)> = findings
        .iter()
        .filter(|finding| !HARMLESS.contains(&finding.severity.as_str()))
        .map(|finding| (finding.id.clone(), format!("{}: {}", finding.severity, finding.finding)))
        .collect();
    excused.judge(&above)?;
    let low: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.severity == "LOW")
        .map(|finding| finding.id.as_str())
        .collect();
    Ok(format!("{} findings, LOW: {low:?}, excused: {}", findings.len(), above.len()))
}

/// Runs testssl.sh once.
async fn scan(context: &Context, front: &Front, report: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut program = command("testssl", SECTIONS);
    program
        .args([
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "batch",
            "--nodns",
            "none",
            "--jsonfile",
        ])
        .arg(report)
        .arg(format!("{}:{}", super::front::NAME, front.https.port()))
        .env("ADDITIONAL_CA_FILES", context.trust());
    let said = run_within(DEADLINE, program, "").await?.text;
    let findings: Vec<Finding> = serde_json::from_str(&read(report)?).with_context(|| excerpt(&said))?;
    for needed in NEEDED {
        ensure!(
            findings.iter().any(|finding| finding.id == needed),
            "no word about {needed}:\n{}",
            excerpt(&said)
        );
    }
    Ok(findings)
}

#[derive(Debug, Deserialize)]
struct Finding {
    id: String,
    severity: String,
    finding: String,
}

const SECTIONS: [&str; 6] = [
    "--protocols",
    "--std",
    "--server-preference",
    "--server-defaults",
    "--pfs",
    "--vulnerable",
];
const HARMLESS: [&str; 3] = ["OK", "INFO", "LOW"];
/// One of each section: a scan that was cut short is no proof.
const NEEDED: [&str; 6] = [
    "TLS1_3",
    "cipherlist_NULL",
    "cipher_order",
    "cert_chain_of_trust",
    "PFS_ciphers",
    "RC4",
];
const DEADLINE: Duration = Duration::from_secs(180);
const MOST_SCANS: u32 = 3;
