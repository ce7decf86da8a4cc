use sealway_api::{Kind, ObjectRef};
use sealway_core::Location;

use super::{Excerpt, SourceText, Sources};
use crate::files::store::{FileRead, PathRead, Store};

fn sources(text: &str) -> Sources {
    let file = FileRead {
        name: "a.yaml".to_owned(),
        text: Ok(text.to_owned()),
    };
    let loaded = Store::default().apply(vec![PathRead {
        path: "a.yaml".to_owned(),
        files: Ok(vec![file]),
    }]);
    Sources::clone(&loaded.sources)
}

fn place(line: usize, column: usize) -> Location {
    Location {
        file: "a.yaml".to_owned(),
        line,
        column,
    }
}

#[test]
fn lines_and_columns_count_characters_from_one() {
    let source = SourceText::new("a.yaml", "\u{feff}ab\r\nü: é\n\tx\rlast");
    let at = |offset| {
        let location = source.location(offset);
        (location.line, location.column)
    };
    assert_eq!(
        [at(3), at(4), at(7), at(11), at(14), at(15), at(16)],
        [(1, 1), (1, 2), (2, 1), (2, 4), (3, 1), (3, 2), (3, 3)]
    );
    assert_eq!(at(17), (3, 4));
    assert_eq!(at(1_000), (3, 1));
}

#[test]
fn field_is_located_and_its_absence_falls_back_to_the_parent() {
    let sources =
        sources("---\nkind: Service\napiVersion: v1\nmetadata: {name: ü, namespace: ns}\nspec:\n  ports:\n  - port: 1\n");
    let service = ObjectRef::new(Kind::Service, "ns", "ü");
    let locate = |path| {
        sources
            .locate(&service, path)
            .map(|location| (location.line, location.column))
    };
    assert_eq!(locate("spec.ports[0].port"), Some((7, 11)));
    assert_eq!(locate("spec.ports[0].protocol"), Some((7, 5)));
    assert_eq!(locate("spec.ports[7]"), Some((6, 3)));
    assert_eq!(locate("metadata.namespace"), Some((4, 32)));
    assert_eq!(locate(""), Some((2, 1)));
    assert_eq!(sources.locate(&ObjectRef::new(Kind::Service, "ns", "other"), ""), None);
}

#[test]
fn excerpt_underlines_the_token() {
    let sources = sources("kind: Service # c\nmetadata: {\"name\": \"a b\", list: [1, 22]}\n");
    let excerpt = |line, column| {
        let Excerpt { line, column, length } = sources.excerpt(&place(line, column)).unwrap();
        line.chars().skip(column - 1).take(length).collect::<String>()
    };
    assert_eq!(excerpt(1, 1), "kind");
    assert_eq!(excerpt(1, 7), "Service");
    assert_eq!(excerpt(2, 12), "\"name\"");
    assert_eq!(excerpt(2, 20), "\"a b\"");
    assert_eq!(excerpt(2, 37), "22");
    assert_eq!(sources.excerpt(&place(2, 900)).unwrap().length, 1);
    assert_eq!(sources.excerpt(&place(99, 1)), None);
}

#[test]
fn excerpt_of_a_secret_shows_no_value() {
    let hidden = "aHVudGVyMg==";
    let good = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata:\n  a: {hidden}\n  b: |\n    {hidden}\n");
    let flow = format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {{\"name\": \"s\"}}, \"data\": {{\"a\": \"{hidden}\"}}}}\n"
    );
    let broken = format!("kind: Secret\ndata:\n  a: {hidden}\n  b: [{hidden}\n");
    let list = format!("kind: List\napiVersion: v1\nitems:\n- kind: Secret\n  data: {{a: {hidden}}}\n");
    for text in [good, flow, broken, list] {
        let sources = sources(&text);
        for line in 1..=text.lines().count() {
            for column in 1..40 {
                let excerpt = sources.excerpt(&place(line, column)).unwrap();
                assert!(!excerpt.line.contains(hidden), "{text}");
                assert!(
                    excerpt.column + excerpt.length <= excerpt.line.chars().count() + 2,
                    "{excerpt:?}"
                );
            }
        }
        assert!(!format!("{sources:?}").contains(hidden));
    }
}
