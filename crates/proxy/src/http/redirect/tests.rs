//! The rules of HTTPRequestRedirectFilter as its documentation and conformance tests have them.

use http::Uri;
use proptest::prelude::*;
use sealway_core::PathModifier;

use super::*;

const URL: RequestUrl<'static> = RequestUrl {
    scheme: "http",
    host: "example.org",
    port: 80,
    offset: 0,
    path: "/some/path",
    query: None,
};

fn redirect() -> Redirect {
    Redirect {
        scheme: None,
        hostname: None,
        port: None,
        path: None,
        status: 302,
    }
}

fn everything() -> PathMatcher {
    PathMatcher::Prefix(String::new())
}

fn written(redirect: &Redirect, matched: &PathMatcher, url: &RequestUrl<'_>) -> String {
    location(redirect, matched, url).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn ports_and_schemes() {
    // conformance/tests/httproute-redirect-port-and-scheme.go, for listeners on 80, 8080, 443, and one on 8443.
    for (listener, scheme, port, expected) in [
        (("http", 80), None, None, "http://example.org"),
        (("http", 80), None, Some(80), "http://example.org"),
        (("http", 80), None, Some(8080), "http://example.org:8080"),
        (("http", 80), Some("https"), None, "https://example.org"),
        (("http", 80), Some("https"), Some(443), "https://example.org"),
        (("http", 80), Some("https"), Some(8443), "https://example.org:8443"),
        (("http", 8080), None, None, "http://example.org:8080"),
        (("http", 8080), None, Some(80), "http://example.org"),
        (("http", 8080), Some("https"), None, "https://example.org"),
        (("http", 8080), Some("http"), None, "http://example.org"),
        (("https", 443), None, None, "https://example.org"),
        (("https", 443), None, Some(443), "https://example.org"),
        (("https", 443), None, Some(8443), "https://example.org:8443"),
        (("https", 443), Some("http"), None, "http://example.org"),
        (("https", 443), Some("http"), Some(80), "http://example.org"),
        (("https", 443), Some("http"), Some(8080), "http://example.org:8080"),
        (("https", 8443), None, None, "https://example.org:8443"),
        // A well-known port of the other scheme is not left out.
        (("http", 80), Some("https"), Some(80), "https://example.org:80"),
        (("https", 443), Some("http"), Some(443), "http://example.org:443"),
        (("http", 443), None, None, "http://example.org:443"),
    ] {
        let redirect = Redirect {
            scheme: scheme.map(str::to_owned),
            port,
            ..redirect()
        };
        let url = RequestUrl {
            scheme: listener.0,
            port: listener.1,
            offset: 0,
            ..URL
        };
        let expected = format!("{expected}/some/path");
        assert_eq!(
            written(&redirect, &everything(), &url),
            expected,
            "{listener:?} {scheme:?} {port:?}"
        );
    }
}

#[test]
fn hosts() {
    let given = Redirect {
        hostname: Some("other.example.com".to_owned()),
        ..redirect()
    };
    assert_eq!(written(&given, &everything(), &URL), "http://other.example.com/some/path");
    for (host, expected) in [
        ("192.0.2.1", Some("http://192.0.2.1/some/path")),
        ("[2001:db8::1]", Some("http://[2001:db8::1]/some/path")),
        ("2001:db8::1", Some("http://[2001:db8::1]/some/path")),
        ("a_b.example.org", Some("http://a_b.example.org/some/path")),
        ("", None),
        ("user@example.org", None),
        ("example.org/evil", None),
        ("example.org:80", None),
        ("[::1", None),
        ("a b", None),
    ] {
        let url = RequestUrl { host, ..URL };
        let location = location(&redirect(), &everything(), &url);
        assert_eq!(location.as_ref().map(|value| value.to_str().unwrap()), expected, "{host}");
        assert!(
            super::location(&given, &everything(), &url).is_some(),
            "the client's host is not needed"
        );
    }
}

#[test]
fn paths() {
    let with = |path| Redirect {
        path: Some(path),
        ..redirect()
    };
    let prefix = PathMatcher::Prefix("/original-prefix".to_owned());
    let replaced = with(PathModifier::Prefix("/replacement-prefix".to_owned()));
    let url = RequestUrl {
        path: "/original-prefix/lemon",
        ..URL
    };
    assert_eq!(
        written(&replaced, &prefix, &url),
        "http://example.org/replacement-prefix/lemon"
    );
    let full = with(PathModifier::Full("/full-path-replacement".to_owned()));
    assert_eq!(written(&full, &prefix, &url), "http://example.org/full-path-replacement");
    let exact = PathMatcher::Exact("/original-prefix/lemon".to_owned());
    assert_eq!(written(&replaced, &exact, &url), "http://example.org/original-prefix/lemon");
    let url = RequestUrl {
        path: "//evil.example/%2e\"<x>",
        query: Some("a=b&c=\"d\""),
        ..URL
    };
    let kept = "http://example.org//evil.example/%2e%22%3Cx%3E?a=b&c=%22d%22";
    assert_eq!(written(&redirect(), &everything(), &url), kept);
    let url = RequestUrl { path: "", ..URL };
    assert_eq!(written(&redirect(), &everything(), &url), "http://example.org/");
}

proptest! {
    #[test]
    fn a_location_is_a_url_of_the_host_that_was_meant(
        host in "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}|.{0,8}", port in 1..u16::MAX, path in "/?.{0,20}", query in proptest::option::of(".{0,20}"),
        replacement in proptest::option::of(".{0,10}"), scheme in proptest::option::of("https?"),
    ) {
        let redirect = Redirect { scheme, path: replacement.map(PathModifier::Full), ..redirect() };
        let url = RequestUrl { host: &host, port, path: &path, query: query.as_deref(), ..URL };
        if let Some(location) = location(&redirect, &everything(), &url) {
            let uri: Uri = location.to_str().unwrap().parse().unwrap();
            let stated = uri.host().unwrap().trim_matches(['[', ']']);
            let same_address = stated.parse::<std::net::Ipv6Addr>().is_ok_and(|stated| host.trim_matches(['[', ']']).parse() == Ok(stated));
            prop_assert!(stated == host || same_address);
            prop_assert!(uri.path().starts_with('/'));
        }
    }
}

#[test]
fn ports_are_named_as_the_client_sees_them() {
    let moved = RequestUrl {
        port: 443,
        scheme: "https",
        offset: 10_000,
        ..URL
    };
    for (scheme, hostname, port, expected) in [
        (None, None, None, "https://example.org:10443/some/path"),
        (Some("http"), None, None, "http://example.org:10080/some/path"),
        (None, None, Some(8443), "https://example.org:18443/some/path"),
        // Another host is not ours to move.
        (None, Some("other.example"), None, "https://other.example/some/path"),
    ] {
        let redirect = Redirect {
            scheme: scheme.map(Into::into),
            hostname: hostname.map(Into::into),
            port,
            ..redirect()
        };
        assert_eq!(written(&redirect, &everything(), &moved), expected);
    }
}
