//! Problems as a compiler prints them: severity, code, message, the line underlined, the hint.
//!
//! Input: a [`Problem`] and the files that were read. Output: styled text, from which the printer takes the colours where they are not
//! wanted. Invariant: nothing from a manifest reaches the terminal as a control sequence; what a line of a Secret may show is decided
//! where the files are read ([`Sources::excerpt`]).

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};
use sealway_core::{Cause, Location, Problem, Severity};
use sealway_provider::files::{Excerpt, Sources};

/// The whole problem as text, with a line end and a blank line.
pub(crate) fn render(problem: &Problem, sources: &Sources) -> String {
    let title = level(problem.cause.severity())
        .primary_title(headline(problem))
        .id(problem.cause.code());
    let mut group = Group::with_title(title);
    if let Some(location) = &problem.location {
        group = with_place(group, location, AnnotationKind::Primary, None, sources);
    }
    if let Some((other, label)) = related(&problem.cause) {
        group = with_place(group, other, AnnotationKind::Context, Some(label), sources);
    }
    if !problem.field.is_empty() {
        group = group.element(
            Level::NOTE
                .with_name("field")
                .message(normalize_untrusted_str(&problem.field)),
        );
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
    sources: &Sources,
) -> Group<'a> {
    let Some(excerpt) = sources.excerpt(location) else {
        return group.element(Origin::path(&*location.file).line(location.line).char_column(location.column));
    };
    let span = underlined(&excerpt);
    group.element(
        Snippet::source(excerpt.line)
            .path(&*location.file)
            .line_start(location.line)
            .annotation(kind.span(span).label(label)),
    )
}

/// Bytes of the line that are underlined.
fn underlined(excerpt: &Excerpt) -> Range<usize> {
    let first = excerpt.column.saturating_sub(1);
    let byte = |character: usize| {
        excerpt
            .line
            .char_indices()
            .nth(character)
            .map_or(excerpt.line.len(), |(byte, _)| byte)
    };
    byte(first)..byte(first + excerpt.length)
}

#[cfg(test)]
mod tests {
    use sealway_provider::files::Loaded;

    use super::*;

    fn load(yaml: &str) -> Loaded {
        Loaded::from_texts([("a.yaml".to_owned(), yaml.to_owned())])
    }

    fn styled(loaded: &Loaded) -> String {
        loaded
            .problems
            .iter()
            .map(|problem| render(problem, &loaded.sources))
            .collect()
    }

    fn plain(loaded: &Loaded) -> String {
        anstream::adapter::strip_str(&styled(loaded)).to_string()
    }

    #[test]
    fn line_is_underlined_and_the_hint_stands_below() {
        let shown = plain(&load(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labls: {é: b}  # why\n",
        ));
        assert!(shown.starts_with("warning[unknown-field]: Namespace a: "), "{shown}");
        assert!(shown.contains("--> a.yaml:5:3"), "{shown}");
        assert!(shown.contains("  ^^^^^\n"), "{shown}");
        assert!(shown.contains("hint: "), "{shown}");
    }

    #[test]
    fn no_value_of_a_secret_is_shown() {
        let shown = plain(&load(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  tls.key: [hunter2]\n",
        ));
        assert!(shown.contains("a.yaml:5"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn control_sequences_in_manifests_do_not_reach_the_terminal() {
        let yaml = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: \"\\e[35m\"\n  \"\\e[35m\": 1\n";
        let shown = styled(&load(yaml));
        assert!(shown.contains("a.yaml"), "{shown:?}");
        assert!(!shown.contains("\u{1b}[35m"), "{shown:?}");
    }
}
