//! HTTPCORSFilter's documentation and conformance/tests/httproute-cors.go, as tables.

use proptest::prelude::*;

use super::*;

fn exact(origin: &str) -> CorsOrigin {
    CorsOrigin::Exact(origin.to_owned())
}

fn wildcard(scheme: &str, suffix: &str, port: &str) -> CorsOrigin {
    CorsOrigin::Wildcard {
        scheme: scheme.to_owned(),
        suffix: suffix.to_owned(),
        port: port.to_owned(),
    }
}

fn list(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

/// Route `cors-multiple-origins-methods-headers` of the conformance test.
fn several() -> Cors {
    Cors {
        origins: vec![exact("https://www.foo.com"), wildcard("https://", "bar.com", "")],
        credentials: true,
        methods: list(&["GET", "OPTIONS"]),
        headers: list(&["x-header-1", "x-header-2"]),
        expose: list(&["x-header-3", "x-header-4"]),
        max_age: 3600,
    }
}

/// Routes `cors-wildcard-methods-headers` and `…-unauth`.
fn everything(credentials: bool) -> Cors {
    Cors {
        origins: vec![CorsOrigin::Any],
        credentials,
        methods: list(&["*"]),
        headers: list(&["*"]),
        expose: list(&["*"]),
        max_age: 5,
    }
}

fn request(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn asked(origin: &str) -> HeaderMap {
    request(&[
        ("origin", origin),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-header-1, X-Header-2"),
    ])
}

fn preflight_answer(cors: &Cors, headers: &HeaderMap) -> Response<()> {
    match decide(cors, &Method::OPTIONS, headers) {
        CorsDecision::Preflight(response) => response,
        CorsDecision::Simple(_) => panic!("not a preflight"),
    }
}

/// What a response of a backend that says something about CORS itself becomes.
fn response(cors: &Cors, method: &Method, headers: &HeaderMap) -> HeaderMap {
    let CorsDecision::Simple(decision) = decide(cors, method, headers) else {
        panic!("a preflight");
    };
    let mut response = request(&[
        ("access-control-allow-origin", "https://backend.example"),
        ("access-control-allow-credentials", "true"),
        ("x-custom", "1"),
        ("set-cookie", "a=b"),
    ]);
    decision.apply(&mut response);
    response
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    assert!(headers.get_all(name).iter().count() <= 1, "{name} twice");
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn a_preflight_of_an_allowed_origin_gets_the_whole_policy() {
    for origin in ["https://www.foo.com", "https://www.bar.com", "https://xpto.www.bar.com"] {
        let answer = preflight_answer(&several(), &asked(origin));
        assert_eq!(answer.status(), 204);
        let headers = answer.headers();
        assert_eq!(value(headers, "access-control-allow-origin"), Some(origin));
        assert_eq!(value(headers, "access-control-allow-credentials"), Some("true"));
        assert_eq!(value(headers, "access-control-allow-methods"), Some("GET, OPTIONS"));
        assert_eq!(value(headers, "access-control-allow-headers"), Some("x-header-1, x-header-2"));
        assert_eq!(
            value(headers, "access-control-expose-headers"),
            Some("x-header-3, x-header-4")
        );
        assert_eq!(value(headers, "access-control-max-age"), Some("3600"));
        assert!(varies_by_origin(headers));
    }
}

#[test]
fn a_preflight_of_another_origin_gets_none_of_it() {
    for origin in [
        "https://foobar.com",
        "https://bar.com",
        "http://www.foo.com",
        "null",
        "https://www.foo.com.evil.example",
    ] {
        let answer = preflight_answer(&several(), &asked(origin));
        assert_eq!(answer.status(), 204);
        let said = answer
            .headers()
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"));
        assert_eq!(said.count(), 0, "{origin}");
        assert!(varies_by_origin(answer.headers()));
    }
}

#[test]
fn wildcards_without_credentials() {
    let answer = preflight_answer(&everything(false), &asked("https://foobar.com:12345"));
    let headers = answer.headers();
    assert_eq!(value(headers, "access-control-allow-origin"), Some("*"));
    assert_eq!(value(headers, "access-control-allow-methods"), Some("*"));
    assert_eq!(value(headers, "access-control-allow-headers"), Some("x-header-1, X-Header-2"));
    assert_eq!(value(headers, "access-control-expose-headers"), Some("*"));
    assert_eq!(value(headers, "access-control-allow-credentials"), None);
    let response = response(&everything(false), &Method::GET, &asked("https://other.foo.com"));
    assert_eq!(value(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(value(&response, "access-control-allow-credentials"), None);
    assert!(!varies_by_origin(&response), "all origins get the same");
}

#[test]
fn with_credentials_nothing_is_a_wildcard() {
    let answer = preflight_answer(&everything(true), &asked("https://other.foo.com"));
    let headers = answer.headers();
    assert_eq!(value(headers, "access-control-allow-origin"), Some("https://other.foo.com"));
    assert_eq!(value(headers, "access-control-allow-methods"), Some("PUT"));
    assert_eq!(value(headers, "access-control-allow-headers"), Some("x-header-1, X-Header-2"));
    assert_eq!(value(headers, "access-control-expose-headers"), None);
    assert_eq!(value(headers, "access-control-allow-credentials"), Some("true"));
    let response = response(&everything(true), &Method::GET, &asked("https://other.foo.com"));
    assert_eq!(value(&response, "access-control-allow-origin"), Some("https://other.foo.com"));
    assert_eq!(value(&response, "access-control-allow-credentials"), Some("true"));
    let exposed = value(&response, "access-control-expose-headers").unwrap();
    assert!(exposed.contains("x-custom") && !exposed.contains('*') && !exposed.contains("set-cookie"));
}

#[test]
fn without_requested_headers_none_are_allowed_by_wildcard() {
    let headers = request(&[("origin", "https://a.example"), ("access-control-request-method", "PUT")]);
    let answer = preflight_answer(&everything(true), &headers);
    assert_eq!(value(answer.headers(), "access-control-allow-headers"), None);
}

#[test]
fn what_is_not_a_name_is_not_echoed() {
    let headers = request(&[
        ("origin", "https://a.example"),
        ("access-control-request-method", "PUT, DELETE"),
        ("access-control-request-headers", "x-good, (bad), ,x\"y"),
        ("access-control-request-headers", "x-more"),
    ]);
    let answer = preflight_answer(&everything(true), &headers);
    assert_eq!(value(answer.headers(), "access-control-allow-methods"), None);
    assert_eq!(
        value(answer.headers(), "access-control-allow-headers"),
        Some("x-good, x-more")
    );
}

#[test]
fn a_policy_without_lists_says_nothing_of_them() {
    let bare = Cors {
        methods: Vec::new(),
        headers: Vec::new(),
        expose: Vec::new(),
        ..several()
    };
    let answer = preflight_answer(&bare, &asked("https://www.foo.com"));
    for name in ["methods", "headers"] {
        assert_eq!(value(answer.headers(), &format!("access-control-allow-{name}")), None);
    }
    assert_eq!(value(answer.headers(), "access-control-expose-headers"), None);
}

#[test]
fn responses_say_what_the_gateway_says_not_what_the_backend_does() {
    let allowed = response(&several(), &Method::GET, &asked("https://www.foo.com"));
    assert_eq!(value(&allowed, "access-control-allow-origin"), Some("https://www.foo.com"));
    assert_eq!(
        value(&allowed, "access-control-expose-headers"),
        Some("x-header-3, x-header-4")
    );
    assert_eq!(value(&allowed, "access-control-allow-methods"), None);
    let twice = request(&[("origin", "https://www.foo.com"), ("origin", "https://www.bar.com")]);
    for foreign in [asked("https://foobar.com"), twice, HeaderMap::new()] {
        let response = response(&several(), &Method::GET, &foreign);
        assert_eq!(value(&response, "access-control-allow-origin"), None);
        assert_eq!(value(&response, "access-control-allow-credentials"), None);
        assert!(varies_by_origin(&response), "another origin gets another answer");
        assert_eq!(value(&response, "x-custom"), Some("1"));
    }
}

#[test]
fn only_options_with_a_requested_method_is_a_preflight() {
    let plain = request(&[("origin", "https://www.foo.com")]);
    assert!(matches!(
        decide(&several(), &Method::OPTIONS, &plain),
        CorsDecision::Simple(_)
    ));
    assert!(matches!(
        decide(&several(), &Method::GET, &asked("https://www.foo.com")),
        CorsDecision::Simple(_)
    ));
    let no_origin = request(&[("access-control-request-method", "PUT")]);
    assert!(matches!(
        decide(&several(), &Method::OPTIONS, &no_origin),
        CorsDecision::Simple(_)
    ));
}

#[test]
fn vary_is_said_once() {
    for known in ["Origin", "accept, ORIGIN", "*"] {
        let mut response = request(&[("vary", known)]);
        CorsHeaders::new(&several(), &HeaderMap::new()).apply(&mut response);
        assert_eq!(response.get_all(VARY).iter().count(), 1, "{known}");
    }
    let mut response = request(&[("vary", "x-origin")]);
    CorsHeaders::new(&several(), &HeaderMap::new()).apply(&mut response);
    assert_eq!(response.get_all(VARY).iter().count(), 2);
}

#[test]
fn origins() {
    let any_host = wildcard("https://", "", "");
    let below = wildcard("https://", "bar.com", "");
    let below_with_port = wildcard("https://", "bar.com", ":8443");
    for (allowed, origin, expected) in [
        (CorsOrigin::Any, "null", true),
        (exact("https://a.example"), "https://a.example", true),
        (exact("https://a.example"), "HTTPS://A.example", true),
        (exact("https://a.example"), "https://a.example:443", true),
        (exact("https://a.example:443"), "https://a.example", true),
        (exact("http://a.example:80"), "http://a.example", true),
        (exact("https://a.example:80"), "https://a.example", false),
        (exact("https://a.example"), "http://a.example", false),
        (exact("https://a.example"), "https://a.example:8443", false),
        (exact("https://a.example"), "https://a.example.evil", false),
        (any_host.clone(), "https://anything", true),
        (any_host.clone(), "https://[2001:db8::1]", true),
        (any_host.clone(), "https://anything:8443", false),
        (any_host.clone(), "http://anything", false),
        (any_host.clone(), "https://", false),
        (any_host, "https://user@anything", false),
        (below.clone(), "https://www.bar.com", true),
        (below.clone(), "https://a.b.BAR.com:443", true),
        (below.clone(), "https://bar.com", false),
        (below.clone(), "https://.bar.com", false),
        (below.clone(), "https://foobar.com", false),
        (below.clone(), "https://www.bar.com:8443", false),
        (below.clone(), "https://evil.example/.bar.com", false),
        (below, "https://www.bar.com.evil.example", false),
        (below_with_port.clone(), "https://www.bar.com:8443", true),
        (below_with_port, "https://www.bar.com", false),
    ] {
        assert_eq!(matches(&allowed, origin), expected, "{allowed:?} {origin}");
    }
}

proptest! {
    #[test]
    fn credentials_are_never_given_to_a_stranger_nor_with_a_wildcard(origin in "https?://[a-z.@/:]{0,16}(bar\\.com)?(:[0-9]{1,4})?", any in any::<bool>()) {
        let cors = if any { everything(true) } else { several() };
        let response = response(&cors, &Method::GET, &asked(&origin));
        let allowed = value(&response, "access-control-allow-origin");
        prop_assert!(allowed.is_none_or(|allowed| allowed == origin));
        prop_assert_eq!(allowed.is_some(), value(&response, "access-control-allow-credentials").is_some());
        let below = origin.strip_prefix("https://").is_some_and(|host| host.trim_end_matches(":443").ends_with(".bar.com"));
        prop_assert!(any || allowed.is_none() || below);
    }
}
