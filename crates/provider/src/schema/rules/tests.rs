use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Program, Verdict, check};
use crate::schema::structure::Rule;
use crate::schema::tests::every_schema;

/// Values that satisfy a rule, and values that do not.
#[derive(Deserialize)]
struct Examples {
    rule: String,
    satisfied: Vec<Value>,
    violated: Vec<Value>,
}

/// One line for each distinct rule of every embedded definition.
fn examples() -> BTreeMap<String, Examples> {
    let examples: Vec<Examples> = serde_json::from_str(include_str!("../../../testdata/rules.json")).unwrap();
    examples.into_iter().map(|example| (example.rule.clone(), example)).collect()
}

fn verdict(rule: &str, value: &Value) -> Verdict {
    let rule: Rule = serde_json::from_value(json!({ "rule": rule })).unwrap();
    check(&[rule], value).next().unwrap()
}

#[test]
fn every_rule_compiles_and_has_examples() {
    let examples = examples();
    let mut used = BTreeSet::new();
    let mut count = 0;
    every_schema(|kind, version, path, schema| {
        for rule in &schema.rules {
            let program = Program::compile(&rule.rule);
            assert!(
                !matches!(program, Program::Broken(_)),
                "{kind} {version} {path}: {}: {program:?}",
                rule.rule
            );
            assert!(
                examples.contains_key(&rule.rule),
                "{kind} {version} {path}: no example for {}",
                rule.rule
            );
            assert!(
                rule.message.is_some() || rule.message_expression.is_some(),
                "{kind} {version} {path}"
            );
            used.insert(rule.rule.clone());
            count += 1;
        }
    });
    assert!(count > 450, "{count}");
    assert_eq!(used.len(), examples.len(), "examples of rules that no longer exist");
}

#[test]
fn every_rule_tells_good_values_from_bad_ones() {
    for (rule, examples) in examples() {
        assert!(!examples.satisfied.is_empty(), "{rule}");
        for value in &examples.satisfied {
            assert_eq!(verdict(&rule, value), Verdict::Satisfied, "{rule}\n{value}");
        }
        // A rule about transitions has nothing to compare with.
        assert_eq!(examples.violated.is_empty(), rule.contains("oldSelf"), "{rule}");
        for value in &examples.violated {
            assert_ne!(verdict(&rule, value), Verdict::Satisfied, "{rule}\n{value}");
        }
    }
}

#[test]
fn only_rules_that_lack_a_field_fail_to_evaluate() {
    let failing = examples().into_iter().flat_map(|(rule, examples)| {
        let failed = examples
            .violated
            .into_iter()
            .filter(move |value| matches!(verdict(&rule, value), Verdict::Failed(_)));
        failed.collect::<Vec<_>>()
    });
    // The API server fails there too: `size(self.certificateRefs)` of a listener that has none.
    assert_eq!(failing.collect::<Vec<_>>(), [json!({ "mode": "Terminate" })]);
}

#[test]
fn broken_rule_is_never_taken_for_satisfied() {
    for rule in [
        "self ==",
        "self.nothing == 1",
        "unknown(self)",
        "1 + 1",
        "matches('a', '(')",
        "duration('1 day') > duration('1s')",
    ] {
        assert!(matches!(verdict(rule, &json!({})), Verdict::Failed(_)), "{rule}");
    }
}

#[test]
fn message_expression_comes_before_the_message() {
    let rule = json!({ "rule": "self.a == 1", "message": "plain", "messageExpression": "'a is ' + string(self.a)" });
    let rule: Rule = serde_json::from_value(rule).unwrap();
    assert_eq!(
        check(&[rule], &json!({ "a": 2 })).next(),
        Some(Verdict::Violated("a is 2".to_owned()))
    );
}

#[test]
fn names_that_are_words_of_cel_can_be_reached() {
    assert_eq!(
        verdict(
            "self.__namespace__ == 'x' && has(self.__import__)",
            &json!({ "namespace": "x", "import": 1 })
        ),
        Verdict::Satisfied
    );
}

#[test]
fn durations_read_as_go_reads_them() {
    for (text, expected) in [
        ("'1h30m'", "'90m'"),
        ("'1.5s'", "'1500ms'"),
        ("'0'", "'0s'"),
        ("'-1s'", "'-1000ms'"),
        ("'1µs'", "'1000ns'"),
    ] {
        assert_eq!(
            verdict(&format!("duration({text}) == duration({expected})"), &json!({})),
            Verdict::Satisfied,
            "{text}"
        );
    }
    for text in ["", "1", "h", "1x", "9999999999h", "1.s.s", "--1s"] {
        assert!(
            matches!(
                verdict(&format!("duration('{text}') > duration('0s')"), &json!({})),
                Verdict::Failed(_)
            ),
            "{text}"
        );
    }
}
