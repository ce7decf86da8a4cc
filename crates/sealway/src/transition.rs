//! When a condition last changed its status.
//!
//! The compiler knows no time of change, so that compiling stays deterministic; the writer adds `lastTransitionTime` here.
//! Input: the statuses before (with times), those now (without), and the time. Output: those now with times. Invariant: a condition
//! whose status is as before keeps its time, as Kubernetes' API conventions have it.

use sealway_api::Timestamp;
use serde_json::{Map, Value};

/// Gives every condition in `now` its `lastTransitionTime`. Lists are matched by what names their elements, never by position.
pub(crate) fn merge_times(now: &mut Value, before: &Value, time: Timestamp) {
    match now {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::Array(conditions) if key == "conditions" => {
                        let before = before.get("conditions").and_then(Value::as_array);
                        conditions
                            .iter_mut()
                            .filter_map(Value::as_object_mut)
                            .for_each(|condition| stamp(condition, before, time));
                    }
                    other => merge_times(other, before.get(key.as_str()).unwrap_or(&Value::Null), time),
                }
            }
        }
        Value::Array(elements) => {
            for element in elements {
                let same = before
                    .as_array()
                    .and_then(|before| before.iter().find(|before| is_same_element(before, element)));
                merge_times(element, same.unwrap_or(&Value::Null), time);
            }
        }
        _ => {}
    }
}

fn stamp(condition: &mut Map<String, Value>, before: Option<&Vec<Value>>, time: Timestamp) {
    let kept = before
        .into_iter()
        .flatten()
        .find(|before| before.get("type") == condition.get("type") && before.get("status") == condition.get("status"))
        .and_then(|before| before.get(TIME))
        .cloned();
    // Kubernetes' metav1.Time has whole seconds.
    let fresh = || Value::String(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    condition.insert(TIME.to_owned(), kept.unwrap_or_else(fresh));
}

fn is_same_element(one: &Value, two: &Value) -> bool {
    let says_the_same = |key: &&str| one.get(key).is_some() && one.get(key) == two.get(key);
    one.get("controllerName") == two.get("controllerName") && ["name", "parentRef", "ancestorRef"].iter().any(says_the_same)
}

const TIME: &str = "lastTransitionTime";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn statuses(first: &str, second: &str) -> Value {
        json!({"gateways": {"infra/edge": {
            "conditions": [{"type": "Accepted", "status": first}],
            "listeners": [
                {"name": "a", "conditions": [{"type": "Programmed", "status": "True"}]},
                {"name": "b", "conditions": [{"type": "Programmed", "status": second}]},
            ],
        }}})
    }

    fn times(statuses: &Value) -> Vec<&str> {
        [
            "/gateways/infra~1edge/conditions/0",
            "/gateways/infra~1edge/listeners/0/conditions/0",
            "/gateways/infra~1edge/listeners/1/conditions/0",
        ]
        .iter()
        .map(|path| {
            statuses
                .pointer(path)
                .and_then(|condition| condition[TIME].as_str())
                .expect("time")
        })
        .collect()
    }

    #[test]
    fn only_a_changed_status_gets_a_new_time() {
        let mut before = statuses("True", "False");
        merge_times(&mut before, &Value::Null, Timestamp::UNIX_EPOCH);
        let mut now = statuses("True", "True");
        merge_times(&mut now, &before, Timestamp::from_second(60).expect("time"));
        assert_eq!(
            times(&now),
            ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z"]
        );
    }

    #[test]
    fn a_listener_that_moved_keeps_its_time() {
        let mut before = statuses("True", "False");
        merge_times(&mut before, &Value::Null, Timestamp::UNIX_EPOCH);
        let mut now = statuses("True", "False");
        if let Some(Value::Array(listeners)) = now.pointer_mut("/gateways/infra~1edge/listeners") {
            listeners.reverse();
        }
        merge_times(&mut now, &before, Timestamp::from_second(60).expect("time"));
        assert_eq!(times(&now), ["1970-01-01T00:00:00Z"; 3]);
    }
}
