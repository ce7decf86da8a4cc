//! h2spec, strict, against the HTTPS listener.
//!
//! `--strict` runs everything that h2spec has; what it runs without the flag has to pass, so only the rest may be excused.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};

use super::excused::Excused;
use super::front::{Backend, Front, both_routes, read};
use crate::e2e::context::Context;
use crate::e2e::process::{command, excerpt, run};

/// In front of an HTTP/1.1 backend.
pub(crate) async fn http1(context: &Context) -> anyhow::Result<String> {
    judge(context, "h2spec-http1", "/later").await
}

/// In front of an h2c backend.
pub(crate) async fn h2c(context: &Context) -> anyhow::Result<String> {
    judge(context, "h2spec-h2c", "/h2c/later").await
}

async fn judge(context: &Context, name: &str, path: &str) -> anyhow::Result<String> {
    let backend = Backend::start(context, name).await?;
    let front = Front::start(context, name, &backend.services(), &[both_routes()]).await?;
    let h2spec = context.go_programs().await?.join("h2spec");
    let excused = Excused::read(context, "h2spec-strict.txt")?;

    let planned = run(command(&h2spec, ["--dryrun"]), "").await?.success()?;
    let unexcusable: BTreeSet<&str> = planned
        .lines()
        .filter_map(|line| Some(line.trim().split_once(": ")?.1))
        .collect();
    for key in excused.keys() {
        let (_, title) = key.split_once(" | ").with_context(|| format!("no title in `{key}`"))?;
        ensure!(!unexcusable.contains(title), "not a strict case, may not be excused: {key}");
    }

    let report = context.directory(name)?.join("report.xml");
    let port = front.https.port().to_string();
    let mut program = command(
        &h2spec,
        ["--strict", "--tls", "--insecure", "-h", super::front::NAME, "-p", &port],
    );
    program.args(["--path", path, "--junit-report"]).arg(&report);
    let said = run(program, "").await?.text;
    let cases = cases(&read(&report).with_context(|| excerpt(&said))?);
    ensure!(cases.len() >= CASES, "only {} cases ran:\n{}", cases.len(), excerpt(&said));
    let failed: Vec<(String, String)> = cases
        .iter()
        .filter_map(|case| Some((case.key.clone(), case.failure.clone()?)))
        .collect();
    excused
        .judge(&failed)
        .with_context(|| format!("{} of {} cases failed", failed.len(), cases.len()))?;
    Ok(format!(
        "{} of {} cases, strict included",
        cases.len() - failed.len(),
        cases.len()
    ))
}

struct Case {
    /// Package and title, as the list of the excused has them.
    key: String,
    failure: Option<String>,
}

/// The cases of a JUnit report, which h2spec writes one a line, with the failure on the next ones.
fn cases(report: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in report.lines().map(str::trim) {
        if let (Some(package), Some(title)) = (attribute(line, "testcase package"), attribute(line, "classname")) {
            let passed = line.ends_with("></testcase>");
            cases.push(Case {
                key: format!("{package} | {title}"),
                failure: (!passed).then(String::new),
            });
        } else if let Some(Some(failure)) = cases.last_mut().map(|case| &mut case.failure)
            && !line.starts_with("</test")
            && !line.starts_with("<test")
        {
            let line = line.replace("<error>", "expected ").replace("<failure>", "expected ");
            let line = line.replace("</error>", "").replace("</failure>", "");
            failure.push_str(if failure.is_empty() { "" } else { " or " });
            failure.push_str(&line);
        }
    }
    cases
}

fn attribute(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("{name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("&#34;", "\"").replace("&amp;", "&"))
}

/// What h2spec 2.2.1 has.
const CASES: usize = 146;

#[cfg(test)]
mod tests {
    use super::cases;

    #[test]
    fn failures_are_told_from_passes() {
        let report = "<testsuites>
  <testsuite name=\"6.5.3. Settings\" package=\"http2/6.5.3\" id=\"6.5.3\" tests=\"2\" errors=\"1\">
    <testcase package=\"http2/6.5.3\" classname=\"Sends &#34;two&#34;\" time=\"1.0\">
      <error>SETTINGS Frame
Connection closed</error>
    </testcase>
    <testcase package=\"http2/6.5.3\" classname=\"Sends one\" time=\"0.1\"></testcase>
  </testsuite>";
        let found: Vec<_> = cases(report).into_iter().map(|case| (case.key, case.failure)).collect();
        let failure = "expected SETTINGS Frame or Connection closed".to_owned();
        assert_eq!(
            found,
            [
                ("http2/6.5.3 | Sends \"two\"".to_owned(), Some(failure)),
                ("http2/6.5.3 | Sends one".to_owned(), None)
            ]
        );
    }
}
