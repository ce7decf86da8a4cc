use sealway_api::Kind;
use serde_json::{Value, json};

use super::*;

const ROUTES: usize = 0;
const SECRETS: usize = 1;
const POLICIES: usize = 2;

fn of(watch: usize) -> WatchOf<'static> {
    let kind = [Kind::TlsRoute, Kind::Secret, Kind::BackendTlsPolicy]
        .get(watch)
        .cloned()
        .expect("a watch of the test");
    WatchOf {
        watched: kinds::find(&kind).expect("a watched kind"),
        namespace: "",
    }
}

fn store() -> Store {
    Store::new("ours".to_owned(), 3, Arc::default())
}

fn route(name: &str, version: &str, host: &Value) -> Change {
    let object = json!({"metadata": {"namespace": "a", "name": name, "resourceVersion": version}, "spec": {"hostnames": host}});
    Change::Object(Raw(object), "v1")
}

fn list(store: &mut Store, watch: usize, changes: Vec<Change>) -> bool {
    store.apply(watch, of(watch), Change::Restarted);
    for change in changes {
        store.apply(watch, of(watch), change);
    }
    store.apply(watch, of(watch), Change::Listed)
}

#[test]
fn nothing_is_complete_before_every_list_is() {
    let mut store = store();
    list(&mut store, ROUTES, vec![]);
    list(&mut store, SECRETS, vec![]);
    assert!(!store.is_listed());
    store.apply(POLICIES, of(POLICIES), Change::Absent);
    assert!(store.is_listed(), "a kind that the cluster lacks is not waited for");
}

#[test]
fn a_new_list_takes_away_what_it_lacks_only_when_it_is_complete() {
    let mut store = store();
    let host = json!(["h"]);
    list(&mut store, ROUTES, vec![route("one", "1", &host), route("two", "2", &host)]);
    store.apply(ROUTES, of(ROUTES), Change::Restarted);
    store.apply(ROUTES, of(ROUTES), route("one", "1", &host));
    // The connection is cut in mid-list: it starts over.
    store.apply(ROUTES, of(ROUTES), Change::Restarted);
    assert!(store.holds(Kind::TlsRoute, "a", "two"));
    store.apply(ROUTES, of(ROUTES), route("one", "1", &host));
    assert!(store.apply(ROUTES, of(ROUTES), Change::Listed));
    assert!(store.holds(Kind::TlsRoute, "a", "one"));
    assert!(!store.holds(Kind::TlsRoute, "a", "two"));
}

#[test]
fn an_odd_object_is_refused_and_its_neighbours_are_not() {
    let mut store = store();
    list(
        &mut store,
        ROUTES,
        vec![route("good", "1", &json!(["h"])), route("odd", "2", &json!(["h"]))],
    );
    assert!(store.apply(ROUTES, of(ROUTES), route("odd", "3", &json!({"not": "a list"}))));
    let odd = ObjectRef::new(Kind::TlsRoute, "a", "odd");
    assert!(store.resources().refused.contains(&odd));
    assert!(
        !store.holds(Kind::TlsRoute, "a", "odd"),
        "what it was before does not stay: replicas would disagree"
    );
    assert!(store.holds(Kind::TlsRoute, "a", "good"));
    let problems: Vec<Option<ObjectRef>> = store.problems().into_iter().map(|problem| problem.object).collect();
    assert_eq!(problems, [Some(odd.clone())]);
    assert!(store.apply(ROUTES, of(ROUTES), route("odd", "4", &json!(["h"]))));
    assert!(store.problems().is_empty() && !store.resources().refused.contains(&odd));
}

#[test]
fn an_odd_policy_still_names_its_targets() {
    let mut store = store();
    let policy = json!({"metadata": {"namespace": "a", "name": "p"}, "spec": {
        "targetRefs": [{"group": "", "kind": "Service", "name": "vault"}], "validation": "odd"}});
    store.apply(POLICIES, of(POLICIES), Change::Object(Raw(policy), "v1"));
    let resources = store.resources();
    let policy = resources
        .backend_tls_policies
        .get(&ObjectKey::new("a", "p"))
        .expect("its targets");
    assert_eq!(policy.spec.target_refs[0].name, "vault");
    assert!(resources.refused.contains(&ObjectRef::new(Kind::BackendTlsPolicy, "a", "p")));
}

#[test]
fn a_written_status_is_no_change_of_what_is_served() {
    let mut store = store();
    let object = |version: &str, status: Value| {
        let object =
            json!({"metadata": {"namespace": "a", "name": "r", "resourceVersion": version}, "spec": {}, "status": status});
        Change::Object(Raw(object), "v1")
    };
    assert!(store.apply(ROUTES, of(ROUTES), object("1", json!({}))));
    assert!(!store.apply(ROUTES, of(ROUTES), object("2", json!({"parents": [1]}))));
    let stored = store.stored.get(&ObjectRef::new(Kind::TlsRoute, "a", "r")).expect("stored");
    assert_eq!(
        (stored.resource_version.as_str(), &*stored.status),
        ("2", r#"{"parents":[1]}"#)
    );
}

fn secret(name: &str, version: &str) -> Value {
    json!({"metadata": {"namespace": "a", "name": name, "resourceVersion": version}, "data": {"tls.key": "a2V5"}})
}

/// A store whose policy refers to Secret `a/ca`, and that knows of `a/ca` and `a/other`.
fn with_reference() -> Store {
    let mut store = store();
    let policy =
        json!({"metadata": {"namespace": "a", "name": "p"}, "spec": {"validation": {"caCertificateRefs": [{"name": "ca"}]}}});
    store.apply(POLICIES, of(POLICIES), Change::Object(Raw(policy), "v1"));
    for name in ["ca", "other"] {
        store.apply(SECRETS, of(SECRETS), Change::Object(Raw(secret(name, "1")), "v1"));
    }
    store
}

#[test]
fn only_what_is_referred_to_is_fetched_and_only_when_it_changed() {
    let mut store = with_reference();
    let ca = ObjectRef::new(Kind::Secret, "a", "ca");
    assert_eq!(store.fetches().0, std::slice::from_ref(&ca));
    assert!(store.fetches().0.is_empty(), "it is under way");
    assert!(store.lacks_fetches());
    assert!(store.took(&ca, "1".to_owned(), Fetched::Found(Raw(secret("ca", "1")))));
    assert!(store.fetches().0.is_empty() && !store.lacks_fetches());
    assert!(store.holds(Kind::Secret, "a", "ca") && !store.holds(Kind::Secret, "a", "other"));

    store.apply(SECRETS, of(SECRETS), Change::Object(Raw(secret("ca", "2")), "v1"));
    assert_eq!(store.fetches().0, std::slice::from_ref(&ca));
    assert!(!store.lacks_fetches(), "its last good form serves meanwhile");
    assert!(!store.took(&ca, "2".to_owned(), Fetched::Unreachable));
    assert!(store.holds(Kind::Secret, "a", "ca"), "nobody answered: it stays");
    // What came may be newer than what was asked for: the event of that version is no reason to fetch again.
    assert_eq!(store.fetches().0, std::slice::from_ref(&ca));
    store.took(&ca, "2".to_owned(), Fetched::Found(Raw(secret("ca", "3"))));
    store.apply(SECRETS, of(SECRETS), Change::Object(Raw(secret("ca", "3")), "v1"));
    assert!(store.fetches().0.is_empty());
}

#[test]
fn a_secret_that_is_not_shown_stays_as_it_was_and_is_asked_for_again() {
    let mut store = with_reference();
    let ca = ObjectRef::new(Kind::Secret, "a", "ca");
    let refused = || Fetched::Refused("no right to".to_owned());
    // Before it was ever shown, nothing waits for it.
    store.fetches();
    assert!(!store.took(&ca, "1".to_owned(), refused()));
    assert!(store.is_refused(&ca) && !store.lacks_fetches() && store.fetches().0.is_empty());
    assert_eq!(store.ask_again(), std::slice::from_ref(&ca));
    assert!(store.ask_again().is_empty(), "it is under way");
    assert!(store.took(&ca, "1".to_owned(), Fetched::Found(Raw(secret("ca", "1")))));
    assert!(!store.has_refused() && store.holds(Kind::Secret, "a", "ca"));

    store.apply(SECRETS, of(SECRETS), Change::Object(Raw(secret("ca", "2")), "v1"));
    store.fetches();
    assert!(!store.took(&ca, "2".to_owned(), refused()));
    assert!(store.holds(Kind::Secret, "a", "ca"), "the last good form serves");
    assert_eq!(store.ask_again(), std::slice::from_ref(&ca));
    // It is gone: that is another thing.
    assert!(store.took(&ca, "2".to_owned(), Fetched::Missing));
    assert!(!store.has_refused() && !store.holds(Kind::Secret, "a", "ca"));
}

#[test]
fn a_secret_that_nobody_names_any_more_is_dropped() {
    let mut store = with_reference();
    let ca = ObjectRef::new(Kind::Secret, "a", "ca");
    store.fetches();
    store.took(&ca, "1".to_owned(), Fetched::Found(Raw(secret("ca", "1"))));
    store.apply(POLICIES, of(POLICIES), Change::Absent);
    assert!(store.fetches().1);
    assert!(!store.holds(Kind::Secret, "a", "ca"));
}

#[test]
fn a_secret_that_was_deleted_while_it_was_fetched_does_not_come_back() {
    let mut store = with_reference();
    let ca = ObjectRef::new(Kind::Secret, "a", "ca");
    store.fetches();
    store.apply(SECRETS, of(SECRETS), Change::Removed(Raw(secret("ca", "1"))));
    store.took(&ca, "1".to_owned(), Fetched::Found(Raw(secret("ca", "1"))));
    assert!(!store.holds(Kind::Secret, "a", "ca"));
}
