//! From the status that is stored and the one that is wanted to the one to write.
//!
//! Job: change what is ours, and only that. Input: the stored status, what the compiler wants, and the time. Output: a status that equals
//! the stored one when nothing has to be written. Invariant: pure; entries and condition types of others stay, in their place; what a
//! later generation was told is not overwritten; a condition whose status stays keeps its transition time.

use std::collections::BTreeSet;

use sealway_api::{ConditionType, GATEWAY_GROUP, Timestamp};
use serde_json::{Map, Value};

/// What is wanted of one object's status.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// The object is of ours: fields that are named are ours, but for condition types that others add.
    Whole(Value),
    /// Entries in a list that controllers share.
    Entries(Shared, Vec<Value>),
}

/// A list that controllers share, one entry for each reference and controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// Of routes.
    Parents,
    /// Of policies.
    Ancestors,
}

impl Shared {
    pub(super) fn list(self) -> &'static str {
        match self {
            Self::Parents => "parents",
            Self::Ancestors => "ancestors",
        }
    }

    /// As many as the CRDs allow.
    pub(super) fn capacity(self) -> usize {
        match self {
            Self::Parents => 32,
            Self::Ancestors => 16,
        }
    }

    fn reference(self) -> &'static str {
        match self {
            Self::Parents => "parentRef",
            Self::Ancestors => "ancestorRef",
        }
    }
}

/// Who writes, where and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writing<'a> {
    pub(super) controller: &'a str,
    /// The object's; a reference without one means it.
    pub(super) namespace: &'a str,
    pub(super) now: Timestamp,
}

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Merged {
    pub(super) status: Value,
    /// Entries of ours that found no place.
    pub(super) dropped: usize,
}

/// Conditions of one list, as many as the CRDs allow.
const CONDITIONS: usize = 8;
/// Characters of a message, as many as the CRDs allow.
const MESSAGE: usize = 32_768;
const TIME: &str = "lastTransitionTime";

/// See the module.
pub(super) fn merge(stored: &Value, wanted: &Wanted, writing: Writing<'_>) -> Merged {
    let mut status = stored.as_object().cloned().unwrap_or_default();
    let dropped = match wanted {
        Wanted::Whole(wanted) => {
            whole(&mut status, wanted, writing.now);
            0
        }
        Wanted::Entries(shared, entries) => shared_list(&mut status, *shared, entries, writing),
    };
    // An object without a status stays without.
    let status = if status.is_empty() && stored.is_null() {
        Value::Null
    } else {
        Value::Object(status)
    };
    Merged { status, dropped }
}

fn whole(status: &mut Map<String, Value>, wanted: &Value, now: Timestamp) {
    for (key, value) in wanted.as_object().into_iter().flatten() {
        let merged = match (key.as_str(), value) {
            ("conditions", Value::Array(conditions)) => Value::Array(merge_conditions(list(status, key), conditions, now)),
            ("listeners", Value::Array(listeners)) => {
                let stored = list(status, key);
                let merged = listeners.iter().map(|listener| {
                    let before = stored.iter().find(|before| before.get("name") == listener.get("name"));
                    let mut merged = before.and_then(Value::as_object).cloned().unwrap_or_default();
                    whole(&mut merged, listener, now);
                    Value::Object(merged)
                });
                Value::Array(merged.collect())
            }
            (_, value) => value.clone(),
        };
        // Absent and empty are the same to the API server.
        let is_empty = merged.as_array().is_some_and(Vec::is_empty);
        if !is_empty || status.contains_key(key) || key == "supportedKinds" {
            status.insert(key.clone(), merged);
        }
    }
}

fn list<'a>(status: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    status.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn merge_conditions(stored: &[Value], wanted: &[Value], now: Timestamp) -> Vec<Value> {
    let generation = wanted.iter().map(observed).max().unwrap_or(0);
    let of_kind = |conditions: &[Value], kind: &Value| {
        conditions
            .iter()
            .find(|condition| condition.get("type") == Some(kind))
            .cloned()
    };
    let mut merged = Vec::new();
    let mut kinds = BTreeSet::new();
    for before in stored {
        let kind = before.get("type").cloned().unwrap_or_default();
        if !kinds.insert(kind.to_string()) {
            continue;
        }
        match of_kind(wanted, &kind) {
            Some(condition) if observed(before) <= observed(&condition) => merged.push(stamped(&condition, Some(before), now)),
            Some(_) => merged.push(before.clone()),
            None if is_ours(&kind) && observed(before) <= generation => {}
            None => merged.push(before.clone()),
        }
    }
    for condition in wanted {
        let kind = condition.get("type").cloned().unwrap_or_default();
        if merged.len() < CONDITIONS && kinds.insert(kind.to_string()) {
            merged.push(stamped(condition, None, now));
        }
    }
    merged
}

fn observed(condition: &Value) -> i64 {
    condition.get("observedGeneration").and_then(Value::as_i64).unwrap_or(0)
}

/// Types that the specification names are the controller's; others are of others.
fn is_ours(kind: &Value) -> bool {
    serde_json::from_value(kind.clone()).is_ok_and(|kind| !matches!(kind, ConditionType::Other(_)))
}

fn stamped(condition: &Value, before: Option<&Value>, now: Timestamp) -> Value {
    let mut stamped = condition.clone();
    if let Some(fields) = stamped.as_object_mut() {
        if let Some(Value::String(message)) = fields.get_mut("message")
            && let Some((end, _)) = message.char_indices().nth(MESSAGE)
        {
            message.truncate(end);
        }
        let kept = before
            .filter(|before| before.get("status") == condition.get("status"))
            .and_then(|before| before.get(TIME))
            .filter(|time| time.is_string());
        // Kubernetes' metav1.Time has whole seconds.
        let fresh = || Value::String(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        fields.insert(TIME.to_owned(), kept.cloned().unwrap_or_else(fresh));
    }
    stamped
}

/// How many entries found no place.
fn shared_list(status: &mut Map<String, Value>, shared: Shared, wanted: &[Value], writing: Writing<'_>) -> usize {
    let stored = list(status, shared.list());
    let name = |entry: &Value| Name::of(entry.get(shared.reference()), writing.namespace);
    let mut merged = Vec::new();
    let mut placed = BTreeSet::new();
    for entry in stored {
        if entry.get("controllerName").and_then(Value::as_str) != Some(writing.controller) {
            merged.push(entry.clone());
            continue;
        }
        let same = wanted.iter().find(|wanted| name(wanted) == name(entry));
        // Without: stale. Twice: one is enough.
        if let Some(wanted) = same
            && placed.insert(name(entry))
        {
            merged.push(merge_entry(entry, wanted, writing.now));
        }
    }
    let mut dropped = 0;
    for entry in wanted {
        if placed.insert(name(entry)) {
            if merged.len() < shared.capacity() {
                merged.push(merge_entry(&Value::Null, entry, writing.now));
            } else {
                dropped += 1;
            }
        }
    }
    if !merged.is_empty() || status.contains_key(shared.list()) {
        status.insert(shared.list().to_owned(), Value::Array(merged));
    }
    dropped
}

/// The reference stays as it is stored: the API server fills in defaults.
fn merge_entry(stored: &Value, wanted: &Value, now: Timestamp) -> Value {
    let conditions = |entry: &Value| entry.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut entry = stored.as_object().or(wanted.as_object()).cloned().unwrap_or_default();
    let merged = merge_conditions(&conditions(stored), &conditions(wanted), now);
    entry.insert("conditions".to_owned(), Value::Array(merged));
    Value::Object(entry)
}

/// A reference with its defaults filled in.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    group: String,
    kind: String,
    namespace: String,
    name: String,
    section: Option<String>,
    port: Option<i64>,
}

impl Name {
    fn of(reference: Option<&Value>, namespace: &str) -> Self {
        let field = |name: &str| reference.and_then(|reference| reference.get(name));
        let text = |name: &str| field(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            group: text("group").unwrap_or_else(|| GATEWAY_GROUP.to_owned()),
            kind: text("kind").unwrap_or_else(|| "Gateway".to_owned()),
            namespace: text("namespace").unwrap_or_else(|| namespace.to_owned()),
            name: text("name").unwrap_or_default(),
            section: text("sectionName"),
            port: field("port").and_then(Value::as_i64),
        }
    }
}

#[cfg(test)]
mod tests;
