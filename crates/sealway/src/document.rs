//! What is given out as JSON or YAML, by commands and by the admin API alike: schemas with a version (docs/json.md).

use serde::Serialize;
use serde_json::Value;

use sealway_core::{Problem, Severity};

/// Version of every schema here. It grows when a field goes or changes its meaning, not when one is added.
pub(crate) const VERSION: u32 = 1;

/// The frame of every document.
#[derive(Debug, Serialize)]
pub(crate) struct Document<T> {
    version: u32,
    kind: &'static str,
    #[serde(flatten)]
    content: T,
}

impl<T: Serialize> Document<T> {
    /// Frames `content` as a document of that kind.
    pub(crate) fn new(kind: &'static str, content: T) -> Self {
        Self {
            version: VERSION,
            kind,
            content,
        }
    }
}

/// Statuses and problems: what `check` prints and what the admin API has under `/api/v1/status`.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    /// How many problems there are of each severity.
    pub(crate) summary: Summary,
    /// As Kubernetes stores them.
    pub(crate) statuses: &'a Value,
    /// Root causes first.
    pub(crate) problems: &'a [Problem],
}

/// How many problems there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    pub(crate) notes: usize,
}

impl Summary {
    /// Counts.
    pub(crate) fn of(problems: &[Problem]) -> Self {
        let mut summary = Self::default();
        for problem in problems {
            match problem.cause.severity() {
                Severity::Error => summary.errors += 1,
                Severity::Warning => summary.warnings += 1,
                Severity::Note => summary.notes += 1,
            }
        }
        summary
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        write!(
            formatter,
            "{}, {}, {}",
            counted(self.errors, "error"),
            counted(self.warnings, "warning"),
            counted(self.notes, "note")
        )
    }
}
