//! A client's host, path, query and header against conditions; what a rewrite makes of the path.
//!
//! Lines: path and query, host, value of the header `x-fuzz`, a path to rewrite to; then one condition each. `=/a` exact path, `/a` prefix,
//! `~` a pattern, `?name=value` and `:value` a query parameter and the header for the match before it, `@*.a.example` a hostname.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use sealway_api::{Kind, ObjectRef};
use sealway_core::{
    Filters, HeaderMatcher, HostnamePattern, HttpHost, HttpMatch, HttpRule, NameIndex, PathMatcher, PathModifier, Pattern,
    QueryMatcher, RequestHead, Rewrite, RuleKind, ValueMatcher,
};

use crate::http::rewrite;

/// An index finds what looking at everything finds, and a changed path is a path.
pub fn http_match(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let Ok(target) = PathAndQuery::try_from(lines.next().unwrap_or_default()) else {
        return;
    };
    let host = lines.next().unwrap_or_default().to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let header = HeaderValue::from_str(lines.next().unwrap_or_default());
    let replacement = lines.next().unwrap_or_default().to_owned();
    let (matches, names) = conditions(lines);

    let headers: HeaderMap = header.into_iter().map(|value| (FUZZ, value)).collect();
    let head = RequestHead {
        method: &Method::GET,
        host: Some(host),
        path: target.path(),
        query: target.query(),
        headers: &headers,
    };
    let rules = HttpHost::new(matches);
    let first = rules.matches().iter().find(|matched| matched.holds(&head));
    match (rules.find(&head), first) {
        (Some(found), Some(first)) => assert!(std::ptr::eq(found, first), "{found:?}, but {first:?} is before it"),
        (found, first) => assert_eq!(found, first),
    }
    for matched in first.into_iter().chain(rules.matches().last()) {
        is_rewritten_to_a_path(&target, &matched.path, &replacement);
    }
    finds_the_most_specific_name(names, host);
    parameters_come_back(&text);
}

fn conditions<'a>(lines: impl Iterator<Item = &'a str>) -> (Vec<HttpMatch>, Vec<HostnamePattern>) {
    let (mut matches, mut names): (Vec<HttpMatch>, Vec<HostnamePattern>) = (Vec::new(), Vec::new());
    for line in lines.take(64) {
        let (kind, text) = line.split_at_checked(1).unwrap_or_default();
        let path = match kind {
            "=" => PathMatcher::Exact(text.to_owned()),
            // As compiled: without a trailing slash.
            "/" => PathMatcher::Prefix(line.trim_end_matches('/').to_owned()),
            "~" => match PATTERNS.get(text.len() % PATTERNS.len().max(1)) {
                Some(pattern) => PathMatcher::Pattern(pattern.clone()),
                None => continue,
            },
            "@" => {
                names.push(HostnamePattern::parse(Some(text)));
                continue;
            }
            _ => {
                if let Some(matched) = matches.last_mut() {
                    condition(matched, kind, text);
                }
                continue;
            }
        };
        matches.push(to(path));
    }
    // So many that there is an index.
    matches.extend((0..16).map(|number| to(PathMatcher::Exact(format!("/filler/{number}")))));
    (matches, names)
}

fn condition(matched: &mut HttpMatch, kind: &str, text: &str) {
    match kind {
        "?" => {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            matched.query.push(QueryMatcher {
                name: name.to_owned(),
                value: ValueMatcher::Exact(value.to_owned()),
            });
        }
        ":" => matched.headers.push(HeaderMatcher {
            name: FUZZ,
            value: ValueMatcher::Exact(text.to_owned()),
        }),
        _ => {}
    }
}

fn is_rewritten_to_a_path(target: &PathAndQuery, matched: &PathMatcher, replacement: &str) {
    for path in [
        PathModifier::Full(replacement.to_owned()),
        PathModifier::Prefix(replacement.to_owned()),
    ] {
        let rest = match (&path, matched) {
            (PathModifier::Full(_), _) => Some(""),
            (PathModifier::Prefix(_), PathMatcher::Prefix(prefix)) => target.path().strip_prefix(prefix.as_str()),
            (PathModifier::Prefix(_), _) => None,
        };
        let rewrite = Rewrite {
            hostname: None,
            path: Some(path),
        };
        let changed = rewrite::path_and_query(&rewrite, matched, target.path(), target.query());
        assert_eq!(changed.is_some(), rest.is_some(), "{target}");
        let (Some(Ok(changed)), Some(rest)) = (&changed, rest) else {
            continue;
        };
        assert!(changed.path().starts_with('/') && changed.path().ends_with(rest), "{changed}");
        assert_eq!(changed.query(), target.query());
        assert!(changed.as_str().bytes().all(|byte| byte > b' ' && byte != b'#'), "{changed}");
    }
}

fn finds_the_most_specific_name(names: Vec<HostnamePattern>, host: &str) {
    let mut index = NameIndex::default();
    for name in &names {
        let _ = index.claim(name, name.clone());
    }
    let mut covering: Vec<HostnamePattern> = names.into_iter().filter(|name| name.covers(host)).collect();
    covering.sort_by_key(|name| match name {
        HostnamePattern::Exact(_) => (0, 0),
        HostnamePattern::Wildcard(suffix) => (1, usize::MAX - suffix.len()),
        HostnamePattern::Any => (2, 0),
    });
    covering.dedup();
    assert!(index.covering(Some(host)).eq(&covering), "{host}: {covering:?}");
    assert_eq!(index.find(Some(host)), covering.first());
}

/// What is encoded byte by byte comes back whole.
fn parameters_come_back(text: &str) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let query = format!("{}={}", encoded(name), encoded(value));
    let matcher = QueryMatcher {
        name: name.to_owned(),
        value: ValueMatcher::Exact(value.to_owned()),
    };
    assert!(matcher.holds(Some(&query)), "{query}");
    assert!(matcher.holds(Some(&format!("%zz{query}=&{query}"))), "{query}");
}

fn to(path: PathMatcher) -> HttpMatch {
    HttpMatch {
        path,
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
        rule: Arc::clone(&RULE),
    }
}

static RULE: LazyLock<Arc<HttpRule>> = LazyLock::new(|| {
    Arc::new(HttpRule {
        route: ObjectRef::new(Kind::HttpRoute, "fuzz", "fuzz"),
        position: 0,
        name: None,
        kind: RuleKind::Http,
        filters: Filters::default(),
        backends: Vec::new(),
        fault: None,
        request_timeout: None,
        backend_timeout: None,
        connect_timeout: Duration::from_secs(1),
        retry: None,
    })
});
static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let texts = ["/[a-z]+", "/v[0-9]+/.*", "(/a|/a/b)*", ".*%2[fF].*"];
    texts.iter().filter_map(|text| Pattern::new(text).ok()).collect()
});
const FUZZ: HeaderName = HeaderName::from_static("x-fuzz");
