//! Committed lists of what a suite finds and we accept: `key | … | reason` a line, `#` for comments.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, bail, ensure};

use crate::e2e::context::{Context, SUITES};

/// One list.
#[derive(Debug)]
pub(super) struct Excused {
    file: &'static str,
    keys: BTreeSet<String>,
}

impl Excused {
    /// Reads `file`, whose lines end with a reason.
    pub(super) fn read(context: &Context, file: &'static str) -> anyhow::Result<Self> {
        let path = context.root.join(SUITES).join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut keys = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let Some((key, reason)) = line.rsplit_once(" | ") else {
                bail!("{file}: no reason in `{line}`");
            };
            ensure!(!reason.trim().is_empty(), "{file}: no reason in `{line}`");
            ensure!(keys.insert(key.trim().to_owned()), "{file}: `{key}` stands there twice");
        }
        Ok(Self { file, keys })
    }

    /// What is listed.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }

    /// Fails unless exactly what is listed was found. `found`: key, and what the suite said about it.
    pub(super) fn judge(&self, found: &[(String, String)]) -> anyhow::Result<()> {
        let mut wrong: Vec<String> = found
            .iter()
            .filter(|(key, _)| !self.keys.contains(key))
            .map(|(key, said)| format!("{key}: {said}"))
            .collect();
        let needless = self.keys.iter().filter(|key| !found.iter().any(|(found, _)| found == *key));
        wrong.extend(needless.map(|key| format!("{key}: listed in {}, but it was not found", self.file)));
        ensure!(wrong.is_empty(), "{} wrong:\n  {}", wrong.len(), wrong.join("\n  "));
        Ok(())
    }
}
