use serde_json::json;

use super::*;

const OURS: &str = "sealway.dev/gateway-controller";
const THEN: &str = "2026-01-01T00:00:00Z";
const NOW: &str = "2026-01-02T00:00:00Z";

fn writing() -> Writing<'static> {
    Writing {
        controller: OURS,
        namespace: "team",
        now: NOW.parse().expect("a time"),
    }
}

/// As the compiler gives it.
fn condition(kind: &str, status: &str, generation: i64) -> Value {
    json!({"type": kind, "status": status, "reason": "Because", "message": "m", "observedGeneration": generation})
}

/// As it is stored.
fn stored(kind: &str, status: &str, generation: i64, time: &str) -> Value {
    let mut condition = condition(kind, status, generation);
    condition[TIME] = time.into();
    condition
}

fn parent(controller: &str, name: &str, conditions: &[Value]) -> Value {
    let reference = json!({"group": GATEWAY_GROUP, "kind": "Gateway", "name": name});
    json!({"parentRef": reference, "controllerName": controller, "conditions": conditions})
}

fn parents(stored: &Value, wanted: &[Value]) -> Merged {
    merge(stored, &Wanted::Entries(Shared::Parents, wanted.to_vec()), writing())
}

fn gateway(stored: &Value, wanted: &Value) -> Value {
    merge(stored, &Wanted::Whole(wanted.clone()), writing()).status
}

#[test]
fn what_was_written_is_not_written_again() {
    let wanted = [parent(OURS, "edge", &[condition("Accepted", "True", 3)])];
    let first = parents(&Value::Null, &wanted).status;
    assert_eq!(first["parents"][0]["conditions"], json!([stored("Accepted", "True", 3, NOW)]));
    let later = Writing {
        now: "2027-01-01T00:00:00Z".parse().expect("a time"),
        ..writing()
    };
    assert_eq!(
        merge(&first, &Wanted::Entries(Shared::Parents, wanted.to_vec()), later).status,
        first
    );
}

#[test]
fn entries_of_others_stay_in_their_place() {
    let before = json!({"parents": [
        parent("other/one", "edge", &[stored("Accepted", "False", 9, THEN)]),
        parent(OURS, "edge", &[stored("Accepted", "True", 1, THEN)]),
        parent("other/two", "edge", &[]),
    ]});
    let after = parents(&before, &[parent(OURS, "edge", &[condition("Accepted", "False", 2)])]).status;
    assert_eq!(after["parents"][0], before["parents"][0]);
    assert_eq!(
        after["parents"][1]["conditions"],
        json!([stored("Accepted", "False", 2, NOW)])
    );
    assert_eq!(after["parents"][2], before["parents"][2]);
}

#[test]
fn stale_entries_of_ours_go_and_those_of_others_do_not() {
    let before = json!({"parents": [parent(OURS, "gone", &[]), parent("other", "gone", &[])]});
    assert_eq!(
        parents(&before, &[]).status,
        json!({"parents": [parent("other", "gone", &[])]})
    );
    // None of ours, and none wanted: nothing to write, whatever the form.
    for nothing in [Value::Null, json!({}), json!({"parents": []})] {
        assert_eq!(parents(&nothing, &[]).status, nothing);
    }
}

#[test]
fn a_reference_is_the_same_with_and_without_its_defaults() {
    let short = json!({"parentRef": {"name": "edge"}, "controllerName": OURS, "conditions": [condition("Accepted", "True", 1)]});
    let mut long = parent(OURS, "edge", &[stored("Accepted", "True", 1, THEN)]);
    long["parentRef"]["namespace"] = "team".into();
    let before = json!({"parents": [long]});
    assert_eq!(parents(&before, &[short]).status, before);
}

#[test]
fn section_and_port_make_another_reference() {
    let of = |field: &str, value: Value| {
        let mut entry = parent(OURS, "edge", &[condition("Accepted", "True", 1)]);
        entry["parentRef"][field] = value;
        entry
    };
    let wanted = [
        of("sectionName", "a".into()),
        of("sectionName", "b".into()),
        of("port", 443.into()),
    ];
    assert_eq!(
        parents(&Value::Null, &wanted).status["parents"].as_array().map(Vec::len),
        Some(3)
    );
}

#[test]
fn an_entry_that_stands_twice_is_made_one() {
    let entry = parent(OURS, "edge", &[stored("Accepted", "True", 1, THEN)]);
    let after = parents(
        &json!({"parents": [entry, entry]}),
        &[parent(OURS, "edge", &[condition("Accepted", "True", 1)])],
    );
    assert_eq!(after.status, json!({"parents": [entry]}));
}

#[test]
fn a_full_list_is_left_to_those_who_fill_it() {
    let others: Vec<Value> = (0..16)
        .map(|number| json!({"ancestorRef": {"name": format!("g{number}")}, "controllerName": "other", "conditions": []}))
        .collect();
    let wanted =
        json!({"ancestorRef": {"name": "edge"}, "controllerName": OURS, "conditions": [condition("Accepted", "True", 1)]});
    let before = json!({"ancestors": others});
    let merged = merge(&before, &Wanted::Entries(Shared::Ancestors, vec![wanted.clone()]), writing());
    assert_eq!((merged.status, merged.dropped), (before, 1));
    let before = json!({"ancestors": &others[..15]});
    let merged = merge(&before, &Wanted::Entries(Shared::Ancestors, vec![wanted]), writing());
    assert_eq!(
        (merged.status["ancestors"].as_array().map(Vec::len), merged.dropped),
        (Some(16), 0)
    );
}

#[test]
fn only_a_changed_status_gets_a_new_time() {
    let before = json!({"conditions": [stored("Accepted", "True", 1, THEN), stored("Programmed", "False", 1, THEN)]});
    let after = gateway(
        &before,
        &json!({"conditions": [condition("Accepted", "True", 2), condition("Programmed", "True", 2)]}),
    );
    assert_eq!(
        after["conditions"],
        json!([stored("Accepted", "True", 2, THEN), stored("Programmed", "True", 2, NOW)])
    );
}

#[test]
fn condition_types_of_others_stay_and_ours_that_no_longer_hold_go() {
    let before = json!({
        "conditions": [stored("example.com/Audited", "True", 1, THEN), stored("Accepted", "True", 1, THEN)],
        "listeners": [{"name": "a", "attachedRoutes": 1, "supportedKinds": [], "conditions": [
            stored("OverlappingTLSConfig", "True", 1, THEN), stored("Audited", "True", 1, THEN)]}],
    });
    let after = gateway(
        &before,
        &json!({"conditions": [condition("Accepted", "True", 1)],
            "listeners": [{"name": "a", "attachedRoutes": 2, "supportedKinds": [], "conditions": [condition("Accepted", "True", 1)]}]}),
    );
    assert_eq!(after["conditions"], before["conditions"]);
    assert_eq!(
        after["listeners"][0]["conditions"],
        json!([stored("Audited", "True", 1, THEN), stored("Accepted", "True", 1, NOW)])
    );
    assert_eq!(after["listeners"][0]["attachedRoutes"], 2);
}

#[test]
fn a_later_generation_is_not_overwritten() {
    let before = json!({"conditions": [stored("Accepted", "False", 5, THEN), stored("PartiallyInvalid", "True", 5, THEN)]});
    assert_eq!(
        gateway(&before, &json!({"conditions": [condition("Accepted", "True", 4)]})),
        before
    );
    let entries = json!({"parents": [parent(OURS, "edge", &[stored("Accepted", "False", 5, THEN)])]});
    assert_eq!(
        parents(&entries, &[parent(OURS, "edge", &[condition("Accepted", "True", 4)])]).status,
        entries
    );
}

#[test]
fn listeners_are_told_apart_by_name_and_those_that_went_go() {
    let listener = |name: &str, time: &str| json!({"name": name, "conditions": [stored("Accepted", "True", 1, time)]});
    let wanted = |name: &str| json!({"name": name, "conditions": [condition("Accepted", "True", 1)]});
    let before = json!({"listeners": [listener("a", THEN), listener("b", THEN)]});
    let after = gateway(&before, &json!({"listeners": [wanted("c"), wanted("b")]}));
    assert_eq!(after, json!({"listeners": [listener("c", NOW), listener("b", THEN)]}));
}

#[test]
fn fields_that_others_write_stay_and_what_the_crd_defaults_is_taken_over() {
    let pending = json!({"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting for controller",
        "lastTransitionTime": "1970-01-01T00:00:00Z"});
    let before = json!({"conditions": [pending], "attachedListenerSets": 3});
    let after = gateway(
        &before,
        &json!({"conditions": [condition("Accepted", "True", 1)], "addresses": []}),
    );
    assert_eq!(
        after,
        json!({"conditions": [stored("Accepted", "True", 1, NOW)], "attachedListenerSets": 3})
    );
}

#[test]
fn addresses_that_are_gone_are_taken_away() {
    let before = json!({"addresses": [{"type": "IPAddress", "value": "192.0.2.1"}]});
    assert_eq!(gateway(&before, &json!({"addresses": []})), json!({"addresses": []}));
}

#[test]
fn limits_of_the_crds_are_kept() {
    let others: Vec<Value> = (0..7).map(|number| stored(&format!("T{number}"), "True", 1, THEN)).collect();
    let after = gateway(
        &json!({"conditions": others}),
        &json!({"conditions": [condition("Accepted", "True", 1), condition("Programmed", "True", 1)]}),
    );
    assert_eq!(after["conditions"].as_array().map(Vec::len), Some(8));
    let mut long = condition("Accepted", "True", 1);
    long["message"] = "ä".repeat(40_000).into();
    let after = gateway(&Value::Null, &json!({"conditions": [long]}));
    assert_eq!(
        after["conditions"][0]["message"].as_str().map(|text| text.chars().count()),
        Some(MESSAGE)
    );
}

#[test]
fn whatever_is_stored_the_merge_is_total_and_settles() {
    let odd = [
        json!(1),
        json!([]),
        json!({"parents": 3}),
        json!({"parents": [1, {"controllerName": OURS}, null]}),
    ];
    for before in odd {
        let wanted = [parent(OURS, "edge", &[condition("Accepted", "True", 1)])];
        let once = parents(&before, &wanted).status;
        assert_eq!(parents(&once, &wanted).status, once, "{before}");
    }
}
