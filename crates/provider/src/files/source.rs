//! Text of files, and where in it things stand.
//!
//! Job: turn byte offsets into lines and columns, and show a line. Invariant: a line that may hold a Secret's value is masked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sealway_api::{Kind, ObjectRef};
use sealway_core::{Location, Problem};

use super::document::ParsedFile;

/// Text with its line starts.
pub(super) struct SourceText {
    name: String,
    text: Arc<str>,
    /// Byte offset of each line.
    lines: Vec<u32>,
}

impl SourceText {
    pub(super) fn new(name: &str, text: &str) -> Self {
        // As `sed -n 3p` counts: YAML would end a line with a lone carriage return too.
        let starts = text
            .match_indices('\n')
            .map(|(index, _)| u32::try_from(index + 1).unwrap_or(u32::MAX));
        Self {
            name: name.to_owned(),
            text: text.into(),
            lines: std::iter::once(0).chain(starts).collect(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset.
    pub(super) fn location(&self, offset: u32) -> Location {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0) as usize;
        let before = self.text.get(start..offset as usize).unwrap_or_default();
        Location {
            file: self.name.clone(),
            line,
            column: 1 + before.trim_start_matches('\u{feff}').chars().count(),
        }
    }

    /// A line without its end, and the offset at which it begins.
    fn line(&self, line: usize) -> Option<(&str, u32)> {
        let start = *self.lines.get(line.checked_sub(1)?)?;
        let end = self.lines.get(line).map_or(self.text.len(), |end| *end as usize);
        let text = self.text.get(start as usize..end)?;
        Some((text.trim_end_matches(['\n', '\r']).trim_start_matches('\u{feff}'), start))
    }

    /// The lines of the document around `line`, as far as `---` at the start of a line divides them.
    fn document(&self, line: usize) -> impl Iterator<Item = &str> {
        let marker = |number: &usize| self.line(*number).is_some_and(|(text, _)| text.starts_with("---"));
        let first = (1..=line).rfind(marker).unwrap_or(1);
        let last = (line + 1..=self.lines.len()).find(marker).unwrap_or(self.lines.len() + 1);
        (first..last).filter_map(|number| self.line(number)).map(|(text, _)| text)
    }
}

/// Where every object that was read stands.
#[derive(Clone, Default)]
pub struct Sources {
    pub(super) objects: BTreeMap<ObjectRef, Place>,
    pub(super) files: BTreeMap<String, Arc<ParsedFile>>,
}

/// Where an object stands.
#[derive(Clone)]
pub(super) enum Place {
    /// In a file that was read, by its index there.
    Read(Arc<ParsedFile>, usize),
    /// Its document is broken: where that begins.
    Broken(Location),
}

/// One line of a file, to show where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, without its end; where it could hold a Secret's value, that is masked.
    pub line: String,
    /// First character to underline, from 1.
    pub column: usize,
    /// How many characters to underline; at least 1.
    pub length: usize,
}

impl Sources {
    /// Where a field of an object stands, in file, line and column; the nearest parent when the field is not written. `path` as in
    /// `spec.listeners[1].port`; empty for the object itself.
    #[must_use]
    pub fn locate(&self, object: &ObjectRef, path: &str) -> Option<Location> {
        match self.objects.get(object)? {
            Place::Read(file, index) => file.locate(*index, path, false),
            Place::Broken(location) => Some(location.clone()),
        }
    }

    /// Fills in the place of a problem that has none yet.
    pub fn place(&self, problem: &mut Problem) {
        if let (None, Some(object)) = (&problem.location, &problem.object) {
            problem.location = self.locate(object, &problem.field);
        }
    }

    /// The line at `location`, and what to underline in it.
    #[must_use]
    pub fn excerpt(&self, location: &Location) -> Option<Excerpt> {
        let file = self.files.get(&location.file)?;
        let (line, start) = file.source.line(location.line)?;
        let column = location.column.clamp(1, line.chars().count() + 1);
        let offset = line.char_indices().nth(column - 1).map_or(line.len(), |(offset, _)| offset);
        let length = token(line.get(offset..).unwrap_or_default()).chars().count().max(1);
        let confidential = match file.object_at(start + u32::try_from(offset).unwrap_or(0)) {
            Some(object) if object.reference.kind == Kind::Secret => true,
            // Whose line this is cannot be known for sure.
            _ => !file.broken.is_empty() && file.source.document(location.line).any(|line| line.contains("Secret")),
        };
        if !confidential {
            return Some(Excerpt {
                line: line.to_owned(),
                column,
                length,
            });
        }
        let line = masked(line);
        let letters = line.chars().count();
        let column = column.min(letters.max(1));
        Some(Excerpt {
            column,
            length: length.min((letters + 1 - column).max(1)),
            line,
        })
    }

    /// Names of the files that were read.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

impl fmt::Debug for Sources {
    /// Texts may hold keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.files.keys()).finish()
    }
}

/// The scalar or key at the start of `text`.
fn token(text: &str) -> &str {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''));
    if let Some(quote) = quote {
        let end = text
            .get(1..)
            .and_then(|rest| rest.find(quote))
            .map_or(text.len(), |end| end + 2);
        return text.get(..end).unwrap_or(text);
    }
    let ends = [": ", " #", ", ", "]", "}", ",\""];
    let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    text.get(..end).unwrap_or(text).trim_end().trim_end_matches(':')
}

/// A line of a Secret without anything that could be a value.
fn masked(line: &str) -> String {
    match line.split_once(':') {
        Some((key, value)) => {
            let name = key.trim().trim_start_matches("- ").trim_matches('"');
            let harmless =
                matches!(name, "apiVersion" | "kind" | "metadata" | "name" | "namespace" | "type") && !value.contains(['{', ',']);
            if harmless || value.trim().is_empty() {
                line.to_owned()
            } else {
                format!("{key}: •••")
            }
        }
        None => "•••".to_owned(),
    }
}

#[cfg(test)]
mod tests;
