use sealway_api::{Kind, ObjectKey, ObjectRef};
use sealway_core::Cause;

use super::{FileRead, PathRead, Store};
use crate::files::Loaded;

fn service(name: &str, port: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: ns}}\nspec: {{ports: [{{port: {port}}}]}}\n"
    )
}

/// One PATH that is a directory with these files.
fn directory(files: &[(&str, &str)]) -> PathRead {
    let read = |(name, text): &(&str, &str)| FileRead {
        name: format!("d/{name}"),
        text: Ok((*text).to_owned()),
    };
    PathRead {
        path: "d".to_owned(),
        files: Ok(files.iter().map(read).collect()),
    }
}

fn unreadable() -> PathRead {
    PathRead {
        path: "d".to_owned(),
        files: Err("gone".to_owned()),
    }
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.resources.services.keys().map(|key| key.name.as_str()).collect()
}

fn port(loaded: &Loaded, name: &str) -> u16 {
    loaded.resources.services[&ObjectKey::new("ns", name)].spec.ports[0].port
}

fn generation(loaded: &Loaded, name: &str) -> i64 {
    loaded.resources.services[&ObjectKey::new("ns", name)].metadata.generation
}

fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.problems.iter().map(|problem| problem.cause.code()).collect()
}

#[test]
fn object_that_becomes_invalid_keeps_its_last_good_form() {
    let mut store = Store::default();
    store.apply(vec![directory(&[("a.yaml", &(service("a", "1") + &service("b", "2")))])]);
    let broken = store.apply(vec![directory(&[("a.yaml", &(service("a", "99999") + &service("b", "3")))])]);
    assert_eq!((port(&broken, "a"), port(&broken, "b")), (1, 3));
    assert_eq!(codes(&broken), ["invalid", "last-good-kept"]);
    let kept = broken
        .problems
        .iter()
        .find(|problem| problem.cause == Cause::LastGoodKept)
        .unwrap();
    assert_eq!(kept.object, Some(ObjectRef::new(Kind::Service, "ns", "a")));
    assert_eq!(kept.location.as_ref().unwrap().to_string(), "d/a.yaml:2:1");
    let mended = store.apply(vec![directory(&[("a.yaml", &(service("a", "4") + &service("b", "3")))])]);
    assert_eq!((port(&mended, "a"), codes(&mended)), (4, vec![]));
}

#[test]
fn object_whose_document_is_no_yaml_keeps_its_last_good_form() {
    let mut store = Store::default();
    store.apply(vec![directory(&[
        ("a.yaml", &(service("a", "1") + &service("b", "2"))),
        ("c.yaml", &service("c", "3")),
    ])]);
    let broken = store.apply(vec![directory(&[
        ("a.yaml", &(service("a", "[") + &service("b", "4"))),
        ("c.yaml", &service("c", "5")),
    ])]);
    assert_eq!((port(&broken, "a"), port(&broken, "b"), port(&broken, "c")), (1, 4, 5));
    assert_eq!(codes(&broken), ["syntax", "last-good-kept"]);
    assert!(
        broken
            .sources
            .locate(&ObjectRef::new(Kind::Service, "ns", "a"), "spec")
            .is_some()
    );
    // Moved elsewhere: the broken document cannot be it.
    let moved = store.apply(vec![directory(&[
        ("a.yaml", &(service("x", "[") + &service("b", "4"))),
        ("c.yaml", &service("a", "6")),
    ])]);
    assert_eq!((names(&moved), port(&moved, "a")), (vec!["a", "b"], 6));
    // Removed together with the file.
    let removed = store.apply(vec![directory(&[("c.yaml", &service("a", "6"))])]);
    assert_eq!((names(&removed), codes(&removed)), (vec!["a"], vec![]));
}

#[test]
fn broken_object_that_was_never_good_is_refused() {
    let loaded = Store::default().apply(vec![directory(&[("a.yaml", &(service("a", "0") + &service("b", "2")))])]);
    assert_eq!((names(&loaded), codes(&loaded)), (vec!["b"], vec!["invalid"]));
}

#[test]
fn removed_document_removes_its_object() {
    let mut store = Store::default();
    store.apply(vec![directory(&[("a.yaml", &(service("a", "1") + &service("b", "2")))])]);
    assert_eq!(names(&store.apply(vec![directory(&[("a.yaml", &service("b", "2"))])])), ["b"]);
    assert!(names(&store.apply(vec![directory(&[])])).is_empty());
}

#[test]
fn unreadable_path_keeps_everything_from_it() {
    let mut store = Store::default();
    store.apply(vec![directory(&[("a.yaml", &service("a", "1"))])]);
    let kept = store.apply(vec![unreadable()]);
    assert_eq!((names(&kept), codes(&kept)), (vec!["a"], vec!["path-unreadable"]));
    let file = FileRead {
        name: "d/a.yaml".to_owned(),
        text: Err("permission denied".to_owned()),
    };
    let kept = store.apply(vec![PathRead {
        path: "d".to_owned(),
        files: Ok(vec![file]),
    }]);
    assert_eq!((names(&kept), codes(&kept)), (vec!["a"], vec!["path-unreadable"]));
    let back = store.apply(vec![directory(&[("a.yaml", &service("a", "2"))])]);
    assert_eq!((port(&back, "a"), codes(&back)), (2, vec![]));
}

#[test]
fn same_object_with_other_content_is_used_nowhere() {
    let loaded = Store::default().apply(vec![directory(&[
        ("a.yaml", &service("a", "1")),
        ("b.yaml", &service("a", "2")),
    ])]);
    assert!(names(&loaded).is_empty());
    let others: Vec<_> = loaded
        .problems
        .iter()
        .map(|problem| (problem.location.clone().unwrap().file, problem.cause.clone()))
        .collect();
    let [
        (first, Cause::DuplicateObject { other: second_place }),
        (second, Cause::DuplicateObject { other: first_place }),
    ] = &others[..]
    else {
        panic!("{others:?}")
    };
    assert_eq!((first, second), (&first_place.file, &second_place.file));
}

#[test]
fn same_object_with_equal_content_is_used_with_a_note() {
    let text = service("a", "1");
    let reordered = "apiVersion: v1\nspec:\n  ports:\n  - protocol: TCP\n    port: 0x1\nkind: Service\nmetadata:\n  namespace: ns\n  name: a\n";
    let loaded = Store::default().apply(vec![directory(&[("a.yaml", &text), ("b.yaml", reordered)])]);
    assert_eq!((names(&loaded), codes(&loaded)), (vec!["a"], vec!["repeated-object"]));
}

#[test]
fn generation_counts_changes_of_the_spec() {
    let mut store = Store::default();
    let mut at = |text: &str| generation(&store.apply(vec![directory(&[("a.yaml", text)])]), "a");
    assert_eq!(at(&service("a", "1")), 1);
    assert_eq!(at(&service("a", "1")), 1);
    assert_eq!(at(&service("a", "2")), 2);
    assert_eq!(at(&service("a", "2").replace("name: a", "name: a, labels: {x: z}")), 2);
    assert_eq!(at(&service("a", "3")), 3);
    assert_eq!(at(&service("a", "3").replace("name: a", "name: a, generation: 7")), 7);
    assert_eq!(at(&service("a", "4").replace("name: a", "name: a, generation: 7")), 8);
}

#[test]
fn unchanged_objects_keep_their_allocation() {
    let mut store = Store::default();
    let first = store.apply(vec![directory(&[("a.yaml", &(service("a", "1") + &service("b", "1")))])]);
    let second = store.apply(vec![directory(&[("a.yaml", &(service("a", "1") + &service("b", "2")))])]);
    let third = store.apply(vec![directory(&[("a.yaml", &(service("a", "9") + &service("b", "2")))])]);
    let a = ObjectKey::new("ns", "a");
    let b = ObjectKey::new("ns", "b");
    assert!(std::sync::Arc::ptr_eq(
        &first.resources.services[&a],
        &second.resources.services[&a]
    ));
    assert!(std::sync::Arc::ptr_eq(
        &second.resources.services[&b],
        &third.resources.services[&b]
    ));
}

#[test]
fn lists_give_their_items_with_their_own_places() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a, namespace: ns}\n  spec: {ports: [{port: 1}]}\n\
                - apiVersion: v1\n  kind: Service\n  metadata: {name: b, namespace: ns}\n  spec: {ports: [{port: 70000}]}\n- {}\n";
    let loaded = Store::default().apply(vec![directory(&[("a.yaml", text)])]);
    assert_eq!(
        (names(&loaded), codes(&loaded)),
        (vec!["a"], vec!["not-an-object", "invalid"])
    );
    assert_eq!(loaded.problems[1].location.as_ref().unwrap().to_string(), "d/a.yaml:11:25");
    let typed = text.replace("kind: List", "kind: ServiceList");
    assert_eq!(names(&Store::default().apply(vec![directory(&[("a.yaml", &typed)])])), ["a"]);
}

#[test]
fn refused_policy_is_told_with_its_targets_until_it_has_a_good_form() {
    let policy = |fields: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: p, namespace: ns}}\n\
             spec: {{targetRefs: [{{group: '', kind: Service, name: a}}], validation: {{hostname: a.test{fields}}}}}\n"
        )
    };
    let mut store = Store::default();
    let mut at = |text: &str| {
        let loaded = store.apply(vec![directory(&[("a.yaml", text)])]);
        let policy = loaded.resources.backend_tls_policies[&ObjectKey::new("ns", "p")].clone();
        assert_eq!(policy.spec.target_refs[0].name, "a");
        (loaded.resources.refused.len(), policy.spec.validation.hostname.clone())
    };
    let good = policy(", wellKnownCACertificates: System");
    assert_eq!(at(&policy("")), (1, String::new()));
    assert_eq!(at(&good.replace("hostname:", "hostname: a, hostname:")), (1, String::new()));
    assert_eq!(at(&good), (0, "a.test".to_owned()));
    assert_eq!(at(&policy("")), (0, "a.test".to_owned()));
    let gone = store.apply(vec![directory(&[])]).resources;
    assert!(gone.backend_tls_policies.is_empty() && gone.refused.is_empty());
}
