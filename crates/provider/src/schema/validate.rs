//! What an API server would refuse, warn about or drop.
//!
//! Job: hold a value against its schema. Input: a value that has its defaults. Output: [`Finding`]s.
//! Invariant: no finding of a confidential object carries one of its values.

use std::collections::HashSet;
use std::fmt::Write as _;

use sealway_core::Cause;
use serde_json::{Map, Value};

use super::formats;
use super::meaning;
use super::nearest;
use super::rules::{self, Failure, Verdict};
use super::structure::{Additional, ListType, Schema, Type};

/// One thing that is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path of the field, as in `spec.listeners[1].port`.
    pub(crate) path: String,
    /// Whether the key is to blame, not the value.
    pub(crate) key: bool,
    /// What is wrong.
    pub(crate) cause: Cause,
}

/// Everything that is wrong with `value`, whose path is `path`. Rules are evaluated only where no finding keeps them from making sense,
/// as the API server has it. `confidential`: findings quote no values.
pub(crate) fn validate(schema: &Schema, value: &Value, path: &str, confidential: bool) -> Vec<Finding> {
    let mut check = Check {
        path: path.to_owned(),
        findings: Vec::new(),
        confidential,
        blocked: false,
    };
    check.structure(schema, value);
    if !check.blocked {
        check.rules(schema, value);
    }
    check.findings
}

struct Check {
    path: String,
    findings: Vec<Finding>,
    confidential: bool,
    /// A finding that makes rules meaningless: a wrong type, something missing, or too much of it.
    blocked: bool,
}

impl Check {
    fn structure(&mut self, schema: &Schema, value: &Value) {
        if value.is_null() && schema.nullable {
            return;
        }
        if let Some(wanted) = type_violation(schema, value) {
            self.blocked = true;
            // `on`, `no`, `n` and `010` mean no text to YAML.
            let quote = if wanted == "string" && !value.is_object() && !value.is_array() {
                "; write it in quotes"
            } else {
                ""
            };
            self.invalid(value, &format!("must be of type {wanted}: {}{quote}", type_name(value)));
            return;
        }
        match value {
            Value::Object(object) => self.object(schema, object),
            Value::Array(items) => self.array(schema, items),
            Value::String(text) => self.text(schema, text),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or(f64::NAN), value),
            Value::Bool(_) | Value::Null => {}
        }
        if !schema.values.is_empty() && !schema.values.contains(value) {
            let known = schema.values.iter().map(plain).collect();
            let value = value
                .as_str()
                .filter(|_| !self.confidential)
                .map_or_else(|| self.shown(value), str::to_owned);
            self.report(false, Cause::UnknownValue { value, known });
        }
        let any = schema.int_or_string || schema.any_of.is_empty() || schema.any_of.iter().any(|schema| admits(schema, value));
        let one = schema.one_of.is_empty() || schema.one_of.iter().filter(|schema| admits(schema, value)).count() == 1;
        if !any || !one || schema.not.as_ref().is_some_and(|schema| admits(schema, value)) {
            self.invalid(value, meaning::of_alternatives(schema));
        }
    }

    fn object(&mut self, schema: &Schema, object: &Map<String, Value>) {
        for name in &schema.required {
            if !object.contains_key(name) {
                self.blocked = true;
                self.within(name, |check| check.refuse("Required value".to_owned()));
            }
        }
        self.count("properties", object.len(), schema.min_properties, schema.max_properties);
        for (key, value) in object {
            if let Some(property) = schema.property(key) {
                self.within(key, |check| check.structure(property, value));
            } else if !schema.takes_any_key() {
                let nearest = nearest::name(key, schema.properties.keys());
                let cause = Cause::UnknownField {
                    name: key.clone(),
                    nearest,
                };
                self.within(key, |check| check.report(true, cause));
            }
        }
    }

    fn array(&mut self, schema: &Schema, items: &[Value]) {
        self.count("items", items.len(), schema.min_items, schema.max_items);
        if let Some(schema) = &schema.items {
            for (index, item) in items.iter().enumerate() {
                self.at(index, |check| check.structure(schema, item));
            }
        }
        if let Some(field) = &schema.unique {
            let mut seen = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let text = item.get(field).and_then(Value::as_str).unwrap_or_default();
                if !seen.insert(text) {
                    self.at(index, |check| check.refuse(format!("Duplicate value: {field}: {text:?}")));
                }
            }
        }
        if schema.list == ListType::Atomic {
            return;
        }
        let mut seen = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let identity = match schema.list {
                ListType::Map => schema.list_keys.iter().map(|key| item.get(key)).collect(),
                _ => vec![Some(item)],
            };
            if !seen.insert(identity.clone()) {
                let mut shown = String::new();
                for (key, value) in schema.list_keys.iter().zip(&identity) {
                    let separator = if shown.is_empty() { "" } else { ", " };
                    let _ = write!(
                        shown,
                        "{separator}{key}: {}",
                        value.map_or_else(|| "none".to_owned(), |value| self.shown(value))
                    );
                }
                if shown.is_empty() {
                    shown = self.shown(item);
                }
                self.at(index, |check| check.refuse(format!("Duplicate value: {shown}")));
            }
        }
    }

    fn text(&mut self, schema: &Schema, text: &str) {
        let value = || Value::from(text);
        // Kubernetes counts characters.
        if schema.min_length.is_some() || schema.max_length.is_some() {
            self.count("characters", text.chars().count(), schema.min_length, schema.max_length);
        }
        if let Some(pattern) = &schema.pattern
            && !pattern.matches(text)
        {
            let meaning = meaning::of_pattern(&pattern.text);
            let meaning = meaning.map_or_else(
                || format!("must match {}", pattern.text),
                |meaning| format!("must be {meaning}"),
            );
            self.invalid(&value(), &meaning);
        }
        if let Some(violation) = schema.format.and_then(|format| formats::violation(format, text)) {
            self.invalid(&value(), violation);
        }
    }

    fn number(&mut self, schema: &Schema, number: f64, value: &Value) {
        if let Some(format) = schema.format
            && !formats::fits(format, number)
        {
            self.invalid(value, "must be a 32-bit integer");
        }
        if let Some(minimum) = schema.minimum
            && number < minimum
        {
            self.invalid(value, &format!("must be greater than or equal to {minimum}"));
        }
        if let Some(maximum) = schema.maximum
            && number > maximum
        {
            self.invalid(value, &format!("must be less than or equal to {maximum}"));
        }
        if let Some(multiple) = schema.multiple_of
            && (number / multiple).fract() != 0.0
        {
            self.invalid(value, &format!("must be a multiple of {multiple}"));
        }
    }

    fn count(&mut self, what: &str, count: usize, minimum: Option<usize>, maximum: Option<usize>) {
        if let Some(minimum) = minimum
            && count < minimum
        {
            self.refuse(format!("Invalid value: must have at least {minimum} {what}, and has {count}"));
        }
        if let Some(maximum) = maximum
            && count > maximum
        {
            self.blocked = true;
            self.refuse(format!("Too long: must have at most {maximum} {what}, and has {count}"));
        }
    }

    fn rules(&mut self, schema: &Schema, value: &Value) {
        if value.is_null() {
            return;
        }
        if !schema.rules.is_empty() {
            for verdict in rules::check(&schema.rules, value).collect::<Vec<_>>() {
                match verdict {
                    Verdict::Satisfied => {}
                    Verdict::Violated(message) => self.invalid(value, &message),
                    Verdict::Failed(failure) => self.failed(value, failure),
                }
            }
        }
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    if let Some(property) = schema.property(key).filter(|schema| schema.has_rules()) {
                        self.within(key, |check| check.rules(property, value));
                    }
                }
            }
            Value::Array(items) => {
                for schema in schema.items.iter().filter(|schema| schema.has_rules()) {
                    for (index, item) in items.iter().enumerate() {
                        self.at(index, |check| check.rules(schema, item));
                    }
                }
            }
            _ => {}
        }
    }

    fn within(&mut self, key: &str, inside: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        push_key(&mut self.path, key);
        inside(self);
        self.path.truncate(length);
    }

    fn at(&mut self, index: usize, inside: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        let _ = write!(self.path, "[{index}]");
        inside(self);
        self.path.truncate(length);
    }

    fn invalid(&mut self, value: &Value, why: &str) {
        self.refuse(format!("Invalid value: {}: {why}", self.shown(value)));
    }

    /// A rule without an outcome is told by what it asks for, and by the field that it lacks.
    fn failed(&mut self, value: &Value, failure: Failure) {
        let Failure { meaning, error, absent } = failure;
        match absent {
            Some(absent) => {
                let parent = self.path.rsplit('.').next().unwrap_or_default();
                let mut field = if parent.ends_with(']') {
                    String::new()
                } else {
                    parent.to_owned()
                };
                push_key(&mut field, &absent);
                let detail = format!("Invalid value: {}: {meaning}", self.shown(value));
                self.report(false, Cause::FieldAbsent { detail, field });
            }
            None => self.invalid(value, &format!("{meaning} (rule evaluation error: {error})")),
        }
    }

    fn refuse(&mut self, detail: String) {
        self.report(false, Cause::Invalid { detail });
    }

    fn report(&mut self, key: bool, cause: Cause) {
        if self.findings.len() < FINDINGS_LIMIT {
            self.findings.push(Finding {
                path: self.path.clone(),
                key,
                cause,
            });
        }
    }

    fn shown(&self, value: &Value) -> String {
        match value {
            Value::Object(_) | Value::Array(_) => type_name(value).to_owned(),
            _ if self.confidential => "(not shown)".to_owned(),
            Value::String(text) if text.len() > 100 => format!("{:?}…", text.chars().take(100).collect::<String>()),
            _ => value.to_string(),
        }
    }
}

/// Adds `.key`, or `[key]` when the key would not read as one step.
pub(crate) fn push_key(path: &mut String, key: &str) {
    if key.is_empty() || key.contains(['.', '[', ']', '/']) {
        let _ = write!(path, "[{key}]");
    } else {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    }
}

/// Whether the alternative `schema` (of `anyOf`, `oneOf` or `not`) takes `value`.
fn admits(schema: &Schema, value: &Value) -> bool {
    validate(schema, value, "", true)
        .iter()
        .all(|finding| matches!(finding.cause, Cause::UnknownField { .. }))
}

/// The type that `value` should have, when it has another.
fn type_violation(schema: &Schema, value: &Value) -> Option<&'static str> {
    if schema.int_or_string {
        return (!value.is_string() && !is_whole(value)).then_some("integer or string");
    }
    let kind = schema.kind?;
    let right = match kind {
        Type::Array => value.is_array(),
        Type::Boolean => value.is_boolean(),
        Type::Integer => is_whole(value),
        Type::Number => value.is_number(),
        Type::Object => value.is_object(),
        Type::String => value.is_string(),
    };
    (!right).then_some(kind.as_str())
}

fn is_whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_whole(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Schema {
    /// Whether there are rules here or anywhere inside.
    fn has_rules(&self) -> bool {
        *self.any_rules.get_or_init(|| {
            let values = match &self.additional_properties {
                Some(Additional::Schema(schema)) => Some(schema),
                _ => None,
            };
            !self.rules.is_empty()
                || self.properties.values().any(Self::has_rules)
                || self.items.iter().chain(values).any(|schema| schema.has_rules())
        })
    }
}

/// Findings of one object: enough to mend it, and no more than can be read.
const FINDINGS_LIMIT: usize = 100;
