use serde_json::{Value, json};

use super::{Document, Span, parse};

fn one(text: &str) -> Document {
    let mut documents = parse(text);
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0).expect(text)
}

fn error(text: &str) -> (String, u32) {
    let error = parse(text).remove(0).expect_err(text);
    (error.detail, error.offset)
}

/// The text that `path` points at.
fn at<'text>(text: &'text str, path: &str) -> &'text str {
    let Span { start, end } = one(text).node.locate(path, false);
    &text[start as usize..end as usize]
}

#[test]
fn scalars_mean_what_kubectl_makes_of_them() {
    let cases: [(&str, Value); 30] = [
        ("yes", json!(true)),
        ("on", json!(true)),
        ("y", json!(true)),
        ("Off", json!(false)),
        ("n", json!(false)),
        ("'yes'", json!("yes")),
        ("yEs", json!("yEs")),
        ("010", json!(8)),
        ("0o10", json!(8)),
        ("0x10", json!(16)),
        ("0b11", json!(3)),
        ("-0x1f", json!(-31)),
        ("1_000", json!(1000)),
        ("089", json!(89)),
        ("8443.0", json!(8443)),
        ("1.20", json!(1.2)),
        ("1e3", json!(1000)),
        (".5", json!(0.5)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("9223372036854775807", json!(i64::MAX)),
        ("2026-01-01", json!("2026-01-01")),
        ("10.0.0.1", json!("10.0.0.1")),
        ("1.2.3", json!("1.2.3")),
        ("720h", json!("720h")),
        ("-", json!([null])),
        ("~", json!(null)),
        ("+", json!("+")),
        ("0x", json!("0x")),
        ("!!str 12", json!("12")),
        ("2001:db8::1", json!("2001:db8::1")),
    ];
    for (text, expected) in cases {
        let text = format!("a: {text}\n").replace("a: -\n", "a:\n- \n");
        assert_eq!(one(&text).value, json!({ "a": expected }), "{text}");
    }
    assert_eq!(one("1: a\ntrue: b\n").value, json!({ "1": "a", "true": "b" }));
    assert_eq!(error("a: .inf\n").1, 3);
}

#[test]
fn json_is_read_with_its_escapes() {
    let text = "{\n\t\"a\": \"\\u00e9\\ud83d\\ude00\\/\",\n\t\"b\": [1, 2.5, true, null],\n\t\"c\": {}\n}\n";
    assert_eq!(one(text).value, json!({ "a": "é😀/", "b": [1, 2.5, true, null], "c": {} }));
    let long = format!("{{\"a\": \"{}\", \"b\": 1}}", "x".repeat(5000));
    assert_eq!(one(&long).value["b"], 1);
}

#[test]
fn places_of_keys_and_values_are_exact() {
    let text = "# ü\r\nmetadata: {name: \"é-gw\"}\r\nspec:\r\n  listeners:\r\n  - name: ünï\r\n    port: 99999\r\n";
    assert_eq!(at(text, "metadata.name"), "\"é-gw\"");
    assert_eq!(at(text, "spec.listeners[0].port"), "99999");
    assert_eq!(at(text, "spec.listeners[0].name"), "ünï");
    assert_eq!(at(text, "spec.listeners"), "listeners");
    assert_eq!(at(text, "spec.listeners[0].tls.mode"), at(text, "spec.listeners[0]"));
    assert_eq!(at(text, "spec.nothing"), "spec");
    let document = one(text);
    let key = document.node.locate("spec.listeners[0].port", true);
    assert_eq!(&text[key.start as usize..key.end as usize], "port");
}

#[test]
fn keys_with_dots_are_found_in_brackets() {
    let text = "metadata:\n  annotations:\n    sealway.dev/idle-timeout: 5m\n";
    assert_eq!(at(text, "metadata.annotations[sealway.dev/idle-timeout]"), "5m");
}

#[test]
fn tabs_and_a_byte_order_mark_do_not_shift_places() {
    let text = "\u{feff}a: {\t\"b\":\t1}\nc: 2\n";
    assert_eq!(at(text, "a.b"), "1");
    assert_eq!(at(text, "c"), "2");
}

#[test]
fn broken_document_leaves_its_neighbours() {
    for broken in [
        "a: [1, 2",
        "a: \"open",
        "a:\n\t- b",
        "a: b: c",
        "a: *nowhere",
        "{",
        "a: &x [*x]",
        "? [a]\n: 1",
    ] {
        let text = format!("first: 1\n---\n{broken}\n---\nlast: |\n  ---\n  text\n");
        let documents = parse(&text);
        assert_eq!(documents.len(), 3, "{broken}: {documents:?}");
        assert_eq!(documents[0].as_ref().unwrap().value, json!({ "first": 1 }), "{broken}");
        let offset = documents[1].as_ref().expect_err(broken).offset as usize;
        assert!(
            (13..=text.find("\n---\nlast").unwrap() + 5).contains(&offset),
            "{broken}: {offset}"
        );
        let last = documents[2].as_ref().unwrap();
        assert_eq!(last.value, json!({ "last": "---\ntext\n" }), "{broken}");
        let key = last.node.locate("last", true);
        assert_eq!(&text[key.start as usize..key.end as usize], "last", "{broken}");
    }
}

#[test]
fn empty_documents_are_left_out() {
    assert!(parse("").is_empty());
    assert!(parse("---\n# only a comment\n---\n...\n").is_empty());
    assert_eq!(parse("---\na: 1\n...\n---\n---\nb: 2\n").len(), 2);
}

#[test]
fn duplicate_keys_are_found_with_both_places() {
    let text = "a:\n  b: 1\n  c: 2\n  b: 3\n";
    let document = one(text);
    let [duplicate] = &document.duplicates[..] else {
        panic!("{document:?}")
    };
    assert_eq!(
        (duplicate.first.start, duplicate.second.start, duplicate.key.as_str()),
        (5, 19, "b")
    );
    assert_eq!(document.value, json!({ "a": { "b": 1, "c": 2 } }));
    assert_eq!(one("a: 1\n'a': 2\n").duplicates.len(), 1);
    assert_eq!(one("true: 1\nyes: 2\n").duplicates.len(), 1);
}

#[test]
fn anchors_and_merges_are_resolved() {
    let text = "base: &base {a: 1, b: 2}\nmore: &more {c: 3, b: 9}\nplain: *base\nmerged:\n  <<: [*base, *more]\n  b: 5\nlast:\n  <<: *base\n";
    let document = one(text);
    assert_eq!(document.value["plain"], json!({ "a": 1, "b": 2 }));
    assert_eq!(document.value["merged"], json!({ "a": 1, "b": 5, "c": 3 }));
    assert_eq!(document.value["last"], json!({ "a": 1, "b": 2 }));
    assert_eq!(at(text, "merged.c"), "3");
}

#[test]
fn alias_bombs_and_deep_nesting_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        bomb += &format!("a{level}: &a{level} [{below}]\n");
    }
    assert_eq!(error(&bomb).0, "aliases make the document too large");
    let mut tower = String::from("a0: &a0 [x]\n");
    for level in 1..200 {
        tower += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert_eq!(error(&tower).0, "aliases nest too deeply");
    assert!(parse(&"[".repeat(100_000))[0].is_err());
    assert!(parse(&format!("{}x", "- ".repeat(100_000)))[0].is_err());
}
