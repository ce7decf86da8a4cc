//! The table of HTTPPathModifier, and what a path may never become.

use proptest::prelude::*;

use super::*;

fn prefix(prefix: &str) -> PathMatcher {
    PathMatcher::Prefix(prefix.to_owned())
}

fn rewritten(modifier: PathModifier, matched: &PathMatcher, path: &str, query: Option<&str>) -> Option<String> {
    let rewrite = Rewrite {
        hostname: None,
        path: Some(modifier),
    };
    path_and_query(&rewrite, matched, path, query).map(|target| target.unwrap().to_string())
}

#[test]
fn prefixes_are_replaced_as_the_specification_has_it() {
    // apis/v1/httproute_types.go, HTTPPathModifier; prefixes reach the data plane without their trailing slash.
    for (path, matched, replacement, expected) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        // conformance/tests/httproute-rewrite-path.go
        ("/prefix/one/two", "/prefix/one", "/one", "/one/two"),
        ("/strip-prefix/three", "/strip-prefix", "/", "/three"),
        ("/strip-prefix", "/strip-prefix", "/", "/"),
        // A prefix that takes everything.
        ("/a/b", "", "/xyz", "/xyz/a/b"),
        ("/", "", "/xyz", "/xyz/"),
        ("/a", "", "", "/a"),
        // Not in the table.
        ("/foo/bar", "/foo", "xyz", "/xyz/bar"),
        ("/foo/a%2Fb", "/foo", "/x y", "/x%20y/a%2Fb"),
    ] {
        let modifier = PathModifier::Prefix(replacement.to_owned());
        let actual = rewritten(modifier, &prefix(matched), path, None);
        assert_eq!(actual.as_deref(), Some(expected), "{path} {matched} {replacement}");
    }
}

#[test]
fn a_full_path_takes_the_place_of_any_match() {
    let exact = PathMatcher::Exact("/full/one".to_owned());
    for matched in [prefix("/full"), exact] {
        let full = PathModifier::Full("/one".to_owned());
        assert_eq!(rewritten(full, &matched, "/full/one", None).unwrap(), "/one");
    }
    let empty = PathModifier::Full(String::new());
    assert_eq!(rewritten(empty, &prefix("/full"), "/full/one", None).unwrap(), "/");
}

#[test]
fn the_query_stays() {
    let modifier = || PathModifier::Prefix("/xyz".to_owned());
    let query = |query| rewritten(modifier(), &prefix("/foo"), "/foo/bar", query).unwrap();
    assert_eq!(query(Some("a=1&b=%20?/")), "/xyz/bar?a=1&b=%20?/");
    assert_eq!(query(Some("")), "/xyz/bar?");
    assert_eq!(query(None), "/xyz/bar");
}

#[test]
fn a_replacement_cannot_begin_a_query() {
    let full = PathModifier::Full("/a?b=1#c".to_owned());
    assert_eq!(rewritten(full, &prefix(""), "/", Some("d=2")).unwrap(), "/a%3Fb=1%23c?d=2");
}

#[test]
fn without_a_prefix_that_matched_nothing_is_replaced() {
    let exact = PathMatcher::Exact("/foo".to_owned());
    assert_eq!(rewritten(PathModifier::Prefix("/xyz".to_owned()), &exact, "/foo", None), None);
    let host_only = Rewrite {
        hostname: Some("other.example.com".parse().unwrap()),
        path: None,
    };
    assert!(path_and_query(&host_only, &prefix("/foo"), "/foo", None).is_none());
}

#[test]
fn the_clients_part_stays_byte_by_byte() {
    let modifier = PathModifier::Prefix("/new".to_owned());
    let (path, query) = ("/foo/a|b\"{c}%2f", "ids[]=1&x={y}|z");
    assert_eq!(
        rewritten(modifier, &prefix("/foo"), path, Some(query)).unwrap(),
        format!("/new/a|b\"{{c}}%2f?{query}")
    );
}

proptest! {
    #[test]
    fn whatever_is_a_path_is_rewritten_to_one(
        replacement in ".{0,20}", full in any::<bool>(), rest in "(/[ -~]{0,20})?", query in proptest::option::of("[ -~]{0,20}"),
    ) {
        // hyper takes what this takes.
        let asked = match &query {
            Some(query) => format!("/foo{rest}?{query}"),
            None => format!("/foo{rest}"),
        };
        let Ok(asked) = asked.parse::<PathAndQuery>() else { return Ok(()) };
        let modifier = if full { PathModifier::Full(replacement) } else { PathModifier::Prefix(replacement) };
        let target = rewritten(modifier, &prefix("/foo"), asked.path(), asked.query()).unwrap();
        prop_assert!(target.starts_with('/'));
        prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
        let target: PathAndQuery = target.parse().unwrap();
        prop_assert_eq!(target.query(), asked.query());
        let rest = asked.path().strip_prefix("/foo").filter(|_| !full);
        prop_assert!(rest.is_none_or(|rest| target.path().ends_with(rest)));
    }
}

#[test]
fn what_is_too_long_after_the_change_is_an_error_and_not_unchanged() {
    let longer = Rewrite {
        hostname: None,
        path: Some(PathModifier::Prefix("/a-longer-beginning".to_owned())),
    };
    let path = format!("/a/{}", "x".repeat(65_520));
    assert!(path_and_query(&longer, &prefix("/a"), &path, None).unwrap().is_err());
}
