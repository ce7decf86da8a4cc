//! `sealway check`: compile as if every socket could be bound, and say what would come of it.

use sealway_api::Timestamp;
use sealway_core::{Compiler, Observed, Settings};

use super::Exit;
use crate::args::{CheckArgs, OutputFormat};
use crate::document::{Document, Report, Summary};
use crate::printer::Printer;
use crate::{manifests, problem_report, status_report};

pub(crate) fn run(args: &CheckArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let (_, loaded) = manifests::open(&args.manifests.paths)?;
    let settings = Settings {
        placement: args.addresses.placement(),
        endpoints: args.addresses.endpoint.clone(),
        ..Settings::default()
    };
    let compiled = Compiler::new(settings).compile(&loaded.resources, &Observed::assumed(Timestamp::now()));
    let problems = manifests::gather(&loaded, compiled.problems);
    let summary = Summary::of(&problems);
    if args.output.format == OutputFormat::Text {
        for problem in &problems {
            printer.data(problem_report::render(problem, &loaded.sources))?;
        }
        if !printer.is_quiet() {
            printer.data(status_report::render(&compiled.statuses))?;
            printer.data(format!("\n{summary}\n"))?;
        }
    } else {
        let report = Report {
            summary,
            statuses: &serde_json::to_value(&compiled.statuses)?,
            problems: &problems,
        };
        printer.document(args.output.format, &Document::new("Check", report))?;
    }
    let accepted = summary.errors == 0 && (args.warnings_ok || summary.warnings == 0);
    Ok(if accepted { Exit::Yes } else { Exit::No })
}
