//! What `deploy/roles.yaml` permits is what is asked of the API server: nothing is missing, nothing is left over.

use std::collections::BTreeSet;

use serde_json::Value;

use super::apply::COLLECTIONS;
use super::kinds::WATCHED;

/// Group, resource and verb.
type Right = (String, String, String);

fn rights<'a>(group: &str, resource: &str, verbs: impl IntoIterator<Item = &'a str>) -> Vec<Right> {
    let right = |verb: &str| (group.to_owned(), resource.to_owned(), verb.to_owned());
    verbs.into_iter().map(right).collect()
}

/// Of the ClusterRole whose name begins so.
fn permitted(role: &str) -> BTreeSet<Right> {
    let manifests = include_str!("../../../../deploy/roles.yaml");
    let manifests: Vec<Value> = serde_saphyr::from_multiple(manifests).expect("YAML");
    let is_meant = |object: &&Value| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        object["kind"] == "ClusterRole" && name.starts_with(role)
    };
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
    };
    let mut found = BTreeSet::new();
    let role = manifests.iter().find(is_meant).expect("the role");
    for rule in role["rules"].as_array().expect("rules") {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let verbs = texts(&rule["verbs"]);
                found.extend(rights(&group, &resource, verbs.iter().map(String::as_str)));
            }
        }
    }
    found
}

/// Of kinds that are watched, in namespaces or in none.
fn watched(cluster_scoped: bool) -> BTreeSet<Right> {
    let mut needed = BTreeSet::new();
    let of_scope = WATCHED.iter().filter(|it| it.kind.is_cluster_scoped() == cluster_scoped);
    for watched in of_scope {
        let group = watched.kind.group();
        needed.extend(rights(group, watched.plural, ["list", "watch"]));
        if watched.has_status {
            needed.extend(rights(group, &format!("{}/status", watched.plural), ["update"]));
        }
        if watched.has_status || watched.is_on_demand() {
            needed.extend(rights(group, watched.plural, ["get"]));
        }
    }
    needed.extend(rights("events.k8s.io", "events", ["create", "patch"]));
    needed
}

#[test]
fn in_namespaces_nothing_is_missing_and_nothing_left_over() {
    let mut needed = watched(false);
    for (_, root, plural) in COLLECTIONS {
        let group = root.strip_prefix("/apis/").and_then(|api| api.split('/').next());
        needed.extend(rights(
            group.unwrap_or_default(),
            plural,
            ["get", "list", "create", "patch", "delete"],
        ));
    }
    // Whatever of the experimental group is read.
    let experimental = "gateway.networking.x-k8s.io";
    needed.extend(rights(experimental, "xbackends", ["get", "list", "watch"]));
    needed.extend(rights(experimental, "xbackends/status", ["update"]));
    needed.extend(rights(experimental, "xtelemetrypolicies", ["get", "list", "watch"]));
    needed.extend(rights(experimental, "xtelemetrypolicies/status", ["update"]));
    assert_eq!(permitted("sealway-namespaces:"), needed);
}

#[test]
fn of_the_cluster_nothing_is_missing_and_nothing_left_over() {
    let mut needed = watched(true);
    needed.extend(rights("apiextensions.k8s.io", "customresourcedefinitions", ["get"]));
    needed.extend(rights("authentication.k8s.io", "tokenreviews", ["create"]));
    assert_eq!(permitted("sealway-cluster:"), needed);
}
