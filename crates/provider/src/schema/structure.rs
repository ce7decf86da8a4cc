//! A structural schema as a CustomResourceDefinition declares it (apiextensions.k8s.io/v1, JSONSchemaProps).
//!
//! Invariant: a keyword that is not listed here makes a schema unreadable, so a later definition cannot ask for what is not checked.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::rules::Program;

/// One value: what it may be, what it is when absent, and rules about it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Schema {
    /// Absent inside `not`, `oneOf` and `anyOf`, and where any value will do.
    #[serde(rename = "type")]
    pub(super) kind: Option<Type>,
    #[serde(default)]
    pub(super) nullable: bool,
    #[serde(default)]
    pub(super) properties: BTreeMap<String, Self>,
    pub(super) additional_properties: Option<Additional>,
    pub(super) items: Option<Box<Self>>,
    #[serde(default)]
    pub(super) required: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) default: Option<Value>,
    #[serde(rename = "enum", default)]
    pub(super) values: Vec<Value>,
    pub(super) pattern: Option<Pattern>,
    pub(super) format: Option<Format>,
    pub(super) minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
    pub(super) multiple_of: Option<f64>,
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
    pub(super) min_items: Option<usize>,
    pub(super) max_items: Option<usize>,
    pub(super) min_properties: Option<usize>,
    pub(super) max_properties: Option<usize>,
    #[serde(default)]
    pub(super) any_of: Vec<Self>,
    #[serde(default)]
    pub(super) one_of: Vec<Self>,
    pub(super) not: Option<Box<Self>>,
    #[serde(rename = "x-kubernetes-list-type", default)]
    pub(super) list: ListType,
    #[serde(rename = "x-kubernetes-list-map-keys", default)]
    pub(super) list_keys: Vec<String>,
    /// Ours, for Kubernetes' own kinds: a field that no two items of a list have alike; absent counts as empty.
    #[serde(rename = "x-sealway-unique")]
    pub(super) unique: Option<String>,
    /// `atomic` or `granular`: only how patches merge.
    #[serde(rename = "x-kubernetes-map-type")]
    _map: Option<String>,
    #[serde(rename = "x-kubernetes-int-or-string", default)]
    pub(super) int_or_string: bool,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields", default)]
    pub(super) preserve_unknown: bool,
    #[serde(rename = "x-kubernetes-validations", default)]
    pub(super) rules: Vec<Rule>,
    /// Whether there are rules here or inside, once somebody has asked.
    #[serde(skip)]
    pub(super) any_rules: OnceLock<bool>,
}

/// Types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

/// What the values of keys that are not listed may be.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Additional {
    Allowed(bool),
    Schema(Box<Schema>),
}

/// Formats that the API server checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    Byte,
    DateTime,
    Int32,
    Int64,
    Ipv4,
    Ipv6,
}

/// How the items of a list relate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ListType {
    #[default]
    Atomic,
    Map,
    Set,
}

/// One entry of `x-kubernetes-validations`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) rule: String,
    pub(super) message: Option<String>,
    pub(super) message_expression: Option<String>,
    #[serde(skip)]
    pub(super) program: OnceLock<Program>,
    #[serde(skip)]
    pub(super) message_program: OnceLock<Program>,
}

/// A regular expression, compiled at first use. RE2 and `regex` agree on what the definitions use; a test compiles each.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(super) struct Pattern {
    pub(super) text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self {
            text,
            compiled: OnceLock::new(),
        }
    }
}

impl Pattern {
    /// Whether `text` matches somewhere. A pattern that cannot be compiled matches nothing: fail closed.
    pub(super) fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        compiled.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

impl Schema {
    /// The schema of the value under `key`, when this is an object that may have it.
    pub(super) fn property(&self, key: &str) -> Option<&Self> {
        self.properties.get(key).or(match &self.additional_properties {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        })
    }

    /// Whether a key that is not listed is kept by an API server.
    pub(super) fn takes_any_key(&self) -> bool {
        self.preserve_unknown
            || matches!(
                self.additional_properties,
                Some(Additional::Allowed(true) | Additional::Schema(_))
            )
    }
}

impl Type {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
            Self::String => "string",
        }
    }
}

/// Tells `default: null` from no default.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
