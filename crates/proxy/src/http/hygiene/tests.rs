//! Which host a request is for, and what is none.

use http::Request;

use super::*;

fn parts(version: Version, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().version(version).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn host(version: Version, target: &str, headers: &[(&str, &str)]) -> Result<Option<String>, HttpReason> {
    check(&parts(version, target, headers)).map(|target| target.host().map(str::to_owned))
}

#[test]
fn host_is_lower_case_without_port_and_dot() {
    for (written, meant) in [
        ("a.example.com", "a.example.com"),
        ("A.Example.COM:8443", "a.example.com"),
        ("a.example.com.", "a.example.com"),
        ("A.example.com.:80", "a.example.com"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[2001:DB8::1]:80", "[2001:db8::1]"),
        ("a:", "a"),
    ] {
        assert_eq!(
            host(Version::HTTP_11, "/", &[("host", written)]),
            Ok(Some(meant.to_owned())),
            "{written}"
        );
    }
    assert_eq!(host(Version::HTTP_11, "/", &[("host", "")]), Ok(None));
    assert_eq!(host(Version::HTTP_10, "/", &[]), Ok(None));
}

#[test]
fn what_is_no_host_is_refused() {
    for written in [
        "a b",
        "a..",
        "a/b",
        "a@b",
        "user:pw@a",
        "a:b",
        "a:123456",
        ":80",
        "[::1",
        "[::1]x",
        "[x]",
        "a,b",
        "a\u{e4}",
        "a#b",
        "a?b",
    ] {
        assert_eq!(
            host(Version::HTTP_11, "/", &[("host", written)]),
            Err(HttpReason::InvalidHost),
            "{written}"
        );
    }
}

#[test]
fn authority_and_host_are_reconciled() {
    let absolute = "http://Real.example.com/";
    assert_eq!(
        host(Version::HTTP_11, absolute, &[("host", "x")]),
        Ok(Some("real.example.com".to_owned()))
    );
    assert_eq!(host(Version::HTTP_11, absolute, &[]), Err(HttpReason::MissingHost));
    assert_eq!(host(Version::HTTP_2, absolute, &[]), Ok(Some("real.example.com".to_owned())));
    assert_eq!(
        host(Version::HTTP_2, absolute, &[("host", "x")]),
        Err(HttpReason::HostMismatch)
    );
    assert_eq!(host(Version::HTTP_2, "/", &[]), Err(HttpReason::MissingHost));
    assert_eq!(host(Version::HTTP_2, "/", &[("host", "a")]), Ok(Some("a".to_owned())));
    assert_eq!(
        host(Version::HTTP_11, "/", &[("host", "a"), ("host", "a")]),
        Err(HttpReason::InvalidHost)
    );
}

#[test]
fn framing_is_one_length_or_chunked() {
    let framed = |headers: &[(&str, &str)]| {
        let all = [&[("host", "a")], headers].concat();
        host(Version::HTTP_2, "/", &all).map(|_| ())
    };
    assert_eq!(framed(&[("content-length", "5")]), Ok(()));
    assert_eq!(framed(&[("transfer-encoding", "Chunked")]), Ok(()));
    for length in ["", "+5", "-5", "5,5", "0x5", "5 "] {
        assert_eq!(
            framed(&[("content-length", length)]),
            Err(HttpReason::InvalidLength),
            "{length:?}"
        );
    }
    assert_eq!(
        framed(&[("content-length", "5"), ("content-length", "5")]),
        Err(HttpReason::InvalidLength)
    );
    for coding in ["gzip, chunked", "identity", "chunked, chunked", ""] {
        assert_eq!(
            framed(&[("transfer-encoding", coding)]),
            Err(HttpReason::TransferCoding),
            "{coding:?}"
        );
    }
}

#[test]
fn dot_segments_are_refused_however_they_are_written() {
    for path in [
        "/..",
        "/.",
        "/../a",
        "/a/..",
        "/a/./b",
        "/a/../b",
        "/%2e%2E/a",
        "/a/.%2e",
        "/a%2f..%2Fb",
        "/a/..%5cb",
        "/a\\..\\b",
        "/a//..",
        "/..;x=1/a",
        "/a/..;",
    ] {
        assert!(has_dot_segment(path), "{path}");
    }
    for path in [
        "/",
        "/a",
        "/a/",
        "//",
        "/...",
        "/a...b",
        "/.well-known/x",
        "/a/..b",
        "/a/b..",
        "/a.b/c",
        "/%2e%2ea",
        "/a%2fb",
        "/v1.0/%2",
        "/%252e%252e/",
    ] {
        assert!(!has_dot_segment(path), "{path}");
    }
}
