//! Over HTTP.

use super::*;

const INBOUND: &[(&str, &str)] = &[
    ("authorization", "Bearer x"),
    ("content-length", "5"),
    ("cookie", "a=b"),
    ("x-user", "root"),
    ("x-team", "a"),
    ("x-team", "b"),
    ("te", "trailers"),
];

fn protocol(path_prefix: &str, request_headers: &[&'static str], response_headers: &[&'static str]) -> ExternalAuth {
    auth(AuthProtocol::Http {
        path_prefix: path_prefix.to_owned(),
        request_headers: names(request_headers),
        response_headers: names(response_headers),
    })
}

fn question(auth: &ExternalAuth, target: &'static str, body: Option<&'static str>) -> Result<Request<Bytes>, AuthFault> {
    let (target, headers) = (PathAndQuery::from_static(target), headers(INBOUND));
    let mut asked = asked(&target, &headers);
    asked.body = body.map(|body| Bytes::from_static(body.as_bytes()));
    request(auth, &asked)
}

fn answer(status: u16, lines: &[(&str, &str)]) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from_static(b"words"));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    *answer.headers_mut() = headers(lines);
    answer
}

#[test]
fn the_server_gets_what_it_always_gets_and_what_is_allowed() {
    let always = question(&protocol("", &[], &[]), "/cart?id=1", None).unwrap();
    assert_eq!(
        (always.method(), always.uri().to_string().as_str()),
        (&Method::POST, "/cart?id=1")
    );
    let expected = [
        ("authorization", "Bearer x"),
        ("content-length", "0"),
        ("host", "shop.example.com"),
    ];
    assert_eq!(lines(always.headers()), expected);
    assert!(always.body().is_empty());

    let list = protocol("", &["x-team", "te", "content-length", "host", "x-absent"], &[]);
    let more = question(&list, "/", Some("the body")).unwrap();
    let expected = [
        ("authorization", "Bearer x"),
        ("content-length", "8"),
        ("host", "shop.example.com"),
        ("x-team", "a"),
        ("x-team", "b"),
    ];
    assert_eq!(lines(more.headers()), expected);
    assert_eq!(more.body(), "the body");
}

#[test]
fn paths_stand_below_the_prefix() {
    for (prefix, target, expected) in [
        ("", "/a/../b?q=/..", Some("/a/../b?q=/..")),
        ("/", "/a", Some("/a")),
        ("/auth", "/a?b", Some("/auth/a?b")),
        ("auth/", "/", Some("/auth/")),
        ("/auth/v 1", "/a", Some("/auth/v%201/a")),
        ("/auth", "/a..b/...?../..", Some("/auth/a..b/...?../..")),
        ("/auth", "/../healthz", None),
        ("/auth", "/a/..", None),
        ("/auth", "/%2e%2E/healthz", None),
        ("/auth", "/a%2f..%2f..%2fhealthz", None),
        ("/auth", "/..;x=1/healthz", None),
        ("/auth", "/..%5chealthz", None),
        ("/auth/../x", "/a", None),
    ] {
        let asked = question(&protocol(prefix, &[], &[]), target, None);
        match expected {
            Some(expected) => assert_eq!(asked.unwrap().uri(), expected),
            None => assert_eq!(asked.unwrap_err(), AuthFault::PathLeavesPrefix, "{prefix} {target}"),
        }
    }
}

#[test]
fn only_200_is_yes() {
    let auth = protocol("", &[], &[]);
    for status in [201, 202, 204, 206] {
        let response = denied(verdict(&auth, answer(status, &[("x-secret", "1")]), None));
        assert_eq!(response.status(), 403, "{status}");
        assert!(response.headers().is_empty() && response.body().is_empty());
    }
    for status in [302, 400, 401, 403, 404, 429] {
        let said = [
            ("location", "https://login.example.com"),
            ("www-authenticate", "Basic"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ];
        let framing = [
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ];
        let response = denied(verdict(&auth, answer(status, &[&said[..], &framing].concat()), None));
        assert_eq!(response.status(), status);
        let mut expected = said.to_vec();
        expected.sort();
        assert_eq!(lines(response.headers()), expected);
        assert_eq!(response.body(), "words");
    }
    for status in [500, 503] {
        let fault = fault(verdict(&auth, answer(status, &[]), None));
        assert_eq!(fault, AuthFault::Status(StatusCode::from_u16(status).unwrap()));
    }
    assert!(matches!(verdict(&auth, answer(200, &[]), None), AuthVerdict::Allow { .. }));
}

#[test]
fn headers_of_the_answer_go_to_the_backend() {
    let said = answer(
        200,
        &[
            ("x-user", "alice"),
            ("x-role", "a"),
            ("x-role", "b"),
            ("content-type", "text/html"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("host", "evil.example.com"),
            ("x-forwarded-client-cert", "Hash=0"),
        ],
    );
    let headers = allowed(verdict(&protocol("", &[], &[]), said, None), INBOUND);
    let expected = [
        ("authorization", "Bearer x"),
        ("content-length", "5"),
        ("cookie", "a=b"),
        ("te", "trailers"),
        ("x-role", "a"),
        ("x-role", "b"),
        ("x-team", "a"),
        ("x-team", "b"),
        ("x-user", "alice"),
    ];
    assert_eq!(lines(&headers), expected);
}

#[test]
fn with_a_list_only_its_headers_go_and_the_client_cannot_say_them_instead() {
    let auth = protocol(
        "",
        &["x-team"],
        &["x-user", "x-team", "x-groups", "authorization", "content-type"],
    );
    let said = answer(
        200,
        &[("x-groups", "g"), ("x-other", "1"), ("content-type", "application/x-auth")],
    );
    let headers = allowed(verdict(&auth, said, None), INBOUND);
    assert_eq!(headers.get("x-groups").unwrap(), "g");
    assert_eq!(headers.get("content-type").unwrap(), "application/x-auth", "it is named");
    assert!(!headers.contains_key("x-other"));
    assert!(!headers.contains_key("x-user"), "the server has neither said nor seen it");
    assert_eq!(headers.get("x-team").unwrap(), "a", "the server has seen it");
    assert!(headers.contains_key(AUTHORIZATION));
}

#[test]
fn the_server_may_have_headers_removed() {
    let said = [(
        "x-envoy-auth-headers-to-remove",
        "Cookie, host,te, content-length, x-absent, (bad)",
    )];
    let headers = allowed(verdict(&protocol("", &[], &[]), answer(200, &said), None), INBOUND);
    assert!(!headers.contains_key("cookie") && !headers.contains_key("x-envoy-auth-headers-to-remove"));
    assert!(headers.contains_key("te") && headers.contains_key("content-length"));
}

#[test]
fn more_headers_than_anyone_needs_are_refused() {
    let many: Vec<(String, &str)> = (0..=MOST_CHANGES).map(|number| (format!("x-{number}"), "1")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(
        fault(verdict(&protocol("", &[], &[]), answer(200, &many), None)),
        AuthFault::Malformed
    );
}
