//! `sealway check`: compile as if every socket could be bound and every certificate issued that can be, and say what would come of it.

use sealway_api::Timestamp;
use sealway_core::{Compiler, Observed, Settings};

use super::Exit;
use crate::args::{CheckArgs, OutputFormat};
use crate::document::{Document, Report, Summary};
use crate::foresight::{Foresight, foresee};
use crate::printer::Printer;
use crate::{issuance, manifests, problem_report, status_report};

pub(crate) fn run(args: &CheckArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let (_, loaded) = manifests::open(&args.manifests.paths)?;
    let settings = Settings {
        placement: args.addresses.placement(),
        endpoints: args.addresses.endpoint.clone(),
        ..Settings::default()
    };
    let now = Timestamp::now();
    let Foresight { resources, outlook } = foresee(now, &loaded.resources, args.issuer_behaviour.into())?;
    let compiled = Compiler::new(settings).compile(&resources, &Observed::assumed(now));
    let mut found = compiled.problems;
    found.extend(issuance::problems(&outlook.findings));
    let problems = manifests::gather(&loaded, found);
    let summary = Summary::of(&problems);
    if args.output.format == OutputFormat::Text {
        for problem in &problems {
            printer.data(problem_report::render(problem, &loaded.sources))?;
        }
        if !printer.is_quiet() {
            printer.data(status_report::render(&compiled.statuses, &outlook))?;
            printer.data(format!("\n{summary}\n"))?;
        }
    } else {
        let mut statuses = serde_json::to_value(&compiled.statuses)?;
        issuance::add_statuses(&mut statuses, &outlook.statuses);
        let report = Report {
            summary,
            statuses: &statuses,
            problems: &problems,
        };
        printer.document(args.output.format, &Document::new("Check", report))?;
    }
    let accepted = summary.errors == 0 && (args.warnings_ok || summary.warnings == 0);
    Ok(if accepted { Exit::Yes } else { Exit::No })
}
