//! The suite's report as a table.

use std::fmt::Write as _;

use serde::Deserialize;

/// One line for core and one for extended tests of each profile, then what failed, was skipped or is not supported.
pub(super) fn table(report: &str) -> anyhow::Result<String> {
    let mut report: Report = serde_saphyr::from_str(report)?;
    report.profiles.sort_by(|a, b| a.name.cmp(&b.name));
    let mut table = format!(
        "{:<14} {:<9} {:>6} {:>6} {:>7}  result\n",
        "profile", "", "passed", "failed", "skipped"
    );
    let mut remarks = String::new();
    for profile in &report.profiles {
        let parts = [("core", profile.core.as_ref()), ("extended", profile.extended.as_ref())];
        for (kind, part) in parts {
            let Some(part) = part else { continue };
            let Statistics { passed, failed, skipped } = part.statistics;
            writeln!(
                table,
                "{:<14} {kind:<9} {passed:>6} {failed:>6} {skipped:>7}  {}",
                profile.name, part.result
            )?;
            for (what, names) in [
                ("failed", &part.failed_tests),
                ("skipped", &part.skipped_tests),
                ("unsupported", &part.unsupported_features),
            ] {
                if !names.is_empty() {
                    writeln!(remarks, "{} {kind}, {what}: {}", profile.name, names.join(", "))?;
                }
            }
        }
    }
    if !report.succeeded_provisional_tests.is_empty() {
        writeln!(
            remarks,
            "provisional, passed: {}",
            report.succeeded_provisional_tests.join(", ")
        )?;
    }
    Ok((table + &remarks).trim_end().to_owned())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(default)]
    profiles: Vec<Profile>,
    #[serde(default)]
    succeeded_provisional_tests: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    name: String,
    core: Option<Part>,
    extended: Option<Part>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    result: String,
    statistics: Statistics,
    #[serde(default)]
    failed_tests: Vec<String>,
    #[serde(default)]
    skipped_tests: Vec<String>,
    #[serde(default)]
    unsupported_features: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    passed: u32,
    failed: u32,
    skipped: u32,
}
