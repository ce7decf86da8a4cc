//! One line per scenario, and a closing line.
//!
//! Input: scenarios, as futures that give their evidence. Output: the lines, and the exit status: 0 when none failed.
#![expect(clippy::print_stdout, reason = "the lines are what commands of scenarios are for")]

use std::future::Future;
use std::process::ExitCode;
use std::time::Instant;

/// What has been run.
pub(crate) struct Report<'a> {
    filter: Vec<&'a str>,
    passed: usize,
    failed: usize,
}

impl<'a> Report<'a> {
    /// `filter`: words of which a scenario's name must hold one; none: every scenario.
    pub(crate) fn new(filter: Vec<&'a str>) -> Self {
        Self {
            filter,
            passed: 0,
            failed: 0,
        }
    }

    /// Runs one scenario, which gives the evidence to print, unless the filter leaves it out.
    pub(crate) async fn record(&mut self, name: &str, scenario: impl Future<Output = anyhow::Result<String>>) {
        if !self.filter.is_empty() && !self.filter.iter().any(|word| name.contains(word)) {
            return;
        }
        let started = Instant::now();
        let outcome = scenario.await;
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(evidence) => {
                self.passed += 1;
                println!("ok {name} ({seconds:.1} s): {evidence}");
            }
            Err(error) => {
                self.failed += 1;
                println!("FAILED {name} ({seconds:.1} s): {error:#}");
            }
        }
    }

    /// The closing line.
    pub(crate) fn close(self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
