//! Problems as a compiler prints them: severity, code, message, the line underlined, the hint.
//!
//! Input: a [`Problem`] and the text of the files that it names. Output: styled text, from which the printer takes the colours where
//! they are not wanted. Invariant: no line of a Secret is ever shown beyond its key, and nothing from a manifest reaches the terminal
//! as a control sequence.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};
use sealway_core::{Cause, Location, Problem, Severity};

/// Gives the text of a file that was read, by the name in [`Location::file`].
pub(crate) type TextOf<'a> = dyn Fn(&str) -> Option<&'a str> + 'a;

/// The whole problem as text, with a line end and a blank line.
pub(crate) fn render(problem: &Problem, text_of: &TextOf<'_>) -> String {
    let title = level(problem.cause.severity())
        .primary_title(headline(problem))
        .id(problem.cause.code());
    let mut group = Group::with_title(title);
    if let Some(location) = &problem.location {
        group = with_place(group, location, AnnotationKind::Primary, None, text_of);
    }
    if let Some((other, label)) = related(&problem.cause) {
        group = with_place(group, other, AnnotationKind::Context, Some(label), text_of);
    }
    if !problem.field.is_empty() {
        group = group.element(Level::NOTE.with_name("field").message(normalize_untrusted_str(&problem.field)));
    }
    if let Some(hint) = problem.cause.hint() {
        group = group.element(Level::HELP.with_name("hint").message(normalize_untrusted_str(&hint)));
    }
    Renderer::styled().render(&[group]) + "\n\n"
}

fn headline(problem: &Problem) -> String {
    match &problem.object {
        Some(object) => format!("{object}: {}", problem.cause.message()),
        None => problem.cause.message(),
    }
}

fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    }
}

/// The other place that a problem is about.
fn related(cause: &Cause) -> Option<(&Location, &'static str)> {
    match cause {
        Cause::DuplicateKey { first, .. } => Some((first, "first here")),
        Cause::DuplicateObject { other } | Cause::RepeatedObject { other } => Some((other, "the other one")),
        _ => None,
    }
}

fn with_place<'a>(
    group: Group<'a>,
    location: &'a Location,
    kind: AnnotationKind,
    label: Option<&'a str>,
    text_of: &TextOf<'_>,
) -> Group<'a> {
    let Some(line) = text_of(&location.file).and_then(|text| shown_line(text, location.line)) else {
        return group.element(Origin::path(&*location.file).line(location.line).char_column(location.column));
    };
    let span = underlined(&line, location.column);
    group.element(
        Snippet::source(line)
            .path(&*location.file)
            .line_start(location.line)
            .annotation(kind.span(span).label(label)),
    )
}

/// From the column to the end of what is written there, without a comment behind it: bytes of the line.
fn underlined(line: &str, column: usize) -> Range<usize> {
    let start = line
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(line.len(), |(start, _)| start);
    let written = line.get(start..).unwrap_or_default();
    let written = written.split_once(" #").map_or(written, |(before, _)| before).trim_end();
    start..start + written.len()
}

/// The line as it may be shown.
fn shown_line(text: &str, number: usize) -> Option<String> {
    let index = number.checked_sub(1)?;
    let line = text.lines().nth(index)?;
    if !is_in_secret(text, index) {
        return Some(line.to_owned());
    }
    Some(match line.split_once(':') {
        Some((key, value)) if !value.trim().is_empty() => format!("{key}: …"),
        Some(_) => line.to_owned(),
        None => "…".to_owned(),
    })
}

/// Whether the document around a line says that it is a Secret. A document that cannot be read is judged by its text: better a line
/// too few than a key on a screen.
fn is_in_secret(text: &str, index: usize) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let is_end = |line: &&str| line.starts_with("---");
    let before = lines.iter().take(index + 1).rev().take_while(|line| !is_end(line));
    let after = lines.iter().skip(index + 1).take_while(|line| !is_end(line));
    before.chain(after).any(|line| line.contains("kind") && line.contains("Secret"))
}

#[cfg(test)]
mod tests {
    use sealway_api::{Kind, ObjectRef};

    use super::*;

    fn plain(problem: &Problem, text: &'static str) -> String {
        let styled = render(problem, &|file| (file == "a.yaml").then_some(text));
        anstream::adapter::strip_str(&styled).to_string()
    }

    fn at(line: usize, column: usize) -> Location {
        Location {
            file: "a.yaml".to_owned(),
            line,
            column,
        }
    }

    #[test]
    fn line_is_underlined_and_the_hint_stands_below() {
        let mut problem = Problem::new(
            ObjectRef::new(Kind::TlsRoute, "payment", "pay"),
            "spec.hostnames[0]",
            Cause::UnknownField {
                name: "hostnam".to_owned(),
                nearest: Some("hostname".to_owned()),
            },
        );
        problem.location = Some(at(2, 3));
        let shown = plain(&problem, "spec:\n  hostnam: é.example.com  # why\n");
        assert!(shown.starts_with("warning[unknown-field]: TLSRoute payment/pay: "), "{shown}");
        assert!(shown.contains("--> a.yaml:2:3"), "{shown}");
        assert!(shown.contains(&format!("  {}\n", "^".repeat("hostnam: é.example.com".chars().count()))), "{shown}");
        assert!(shown.contains("hint: "), "{shown}");
    }

    #[test]
    fn no_value_of_a_secret_is_shown() {
        let text = "kind: Secret\nstringData:\n  tls.key: hunter2\n  hunter3\n---\nkind: Service\nspec: hunter4\n";
        for (line, leaks) in [(3, false), (4, false), (7, true)] {
            let cause = Cause::Syntax {
                detail: "broken".to_owned(),
            };
            let shown = plain(&Problem::at(at(line, 3), None, cause), text);
            assert_eq!(shown.contains("hunter"), leaks, "{shown}");
        }
    }

    #[test]
    fn places_beyond_the_text_are_named_without_a_line() {
        let cause = Cause::Syntax {
            detail: "ends too soon".to_owned(),
        };
        let shown = plain(&Problem::at(at(9, 4), None, cause), "a: 1\n");
        assert!(shown.contains("a.yaml:9:4"), "{shown}");
    }

    #[test]
    fn control_sequences_in_manifests_do_not_reach_the_terminal() {
        let mut problem = Problem::new(
            ObjectRef::new(Kind::TlsRoute, "payment", "pay\u{1b}[31m"),
            "spec.\u{1b}[31m",
            Cause::ClassNotFound {
                class: "\u{1b}[31m".to_owned(),
            },
        );
        problem.location = Some(at(1, 1));
        let styled = render(&problem, &|_| Some("a: \u{1b}[31mred\n"));
        assert!(!styled.contains("\u{1b}[31m"), "{styled:?}");
    }
}
