//! What cert-manager's webhook refuses, against what Sealway refuses, word for word.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use sealway_api::{Certificate, Issuer};
use sealway_issuer::{issuer_warnings, validate_certificate, validate_issuer};
use serde::Deserialize;
use serde_json::Value;

use super::programs::{MODULE, Programs};
use crate::e2e::context::Context;
use crate::e2e::process::{command, run};

/// What the judge says of one object; the errors sorted.
#[derive(Debug, Deserialize)]
struct Finding {
    object: String,
    errors: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
    manifest: Value,
}

/// Every manifest of `conformance/cert-manager/invalid`, given to both.
pub(crate) async fn are_the_same(context: &Context) -> anyhow::Result<String> {
    let programs = Programs::build(context).await?;
    let mut validate = command(programs.judge(), ["validate"]);
    validate.arg(context.root.join(MODULE).join("invalid"));
    let findings: Vec<Finding> = serde_json::from_str(&run(validate, "").await?.success()?)?;
    ensure!(
        findings.iter().any(|finding| !finding.errors.is_empty()),
        "cert-manager refuses nothing"
    );

    let mut wrong = Vec::new();
    for finding in &findings {
        let (mut errors, warnings) = ours(finding).with_context(|| finding.object.clone())?;
        errors.sort();
        if errors != finding.errors || warnings != finding.warnings {
            wrong.push(format!(
                "{}:\n{}",
                finding.object,
                differences(&finding.errors, &errors) + &differences(&finding.warnings, &warnings)
            ));
        }
    }
    if !wrong.is_empty() {
        bail!("{} of {} objects differ:\n{}", wrong.len(), findings.len(), wrong.join(""));
    }
    let refused = findings.iter().filter(|finding| !finding.errors.is_empty()).count();
    Ok(format!("{} objects, {refused} of them refused", findings.len()))
}

/// Errors and warnings.
fn ours(finding: &Finding) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let manifest = finding.manifest.clone();
    Ok(match manifest["kind"].as_str() {
        Some("Certificate") => {
            let certificate: Certificate = serde_json::from_value(manifest)?;
            (texts(&validate_certificate(&certificate)), Vec::new())
        }
        Some("Issuer" | "ClusterIssuer") => {
            let issuer: Issuer = serde_json::from_value(manifest)?;
            (texts(&validate_issuer(&issuer)), issuer_warnings(&issuer))
        }
        kind => bail!("{kind:?} is not compared"),
    })
}

fn texts(errors: &[impl ToString]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// The lines that only one of the two says.
fn differences(want: &[String], got: &[String]) -> String {
    let (wanted, gotten): (BTreeSet<_>, BTreeSet<_>) = (want.iter().collect(), got.iter().collect());
    let missing = wanted.difference(&gotten).map(|line| format!("  want {line}\n"));
    let needless = gotten.difference(&wanted).map(|line| format!("  got  {line}\n"));
    missing.chain(needless).collect()
}
