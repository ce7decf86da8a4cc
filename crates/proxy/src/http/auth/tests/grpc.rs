//! Over gRPC.

use super::*;

fn protocol(request_headers: &[&'static str]) -> ExternalAuth {
    auth(AuthProtocol::Grpc {
        request_headers: names(request_headers),
    })
}

fn question(auth: &ExternalAuth, headers: &HeaderMap, body: Option<&'static [u8]>) -> Request<Bytes> {
    let target = PathAndQuery::from_static("/cart?id=1");
    let mut asked = asked(&target, headers);
    asked.body = body.map(Bytes::from_static);
    request(auth, &asked).unwrap()
}

fn decoded(request: &Request<Bytes>) -> messages::HttpRequest {
    let message = CheckRequest::decode(&request.body()[5..]).unwrap();
    message.attributes.unwrap().request.unwrap().http.unwrap()
}

fn framed(message: &CheckResponse) -> Bytes {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    Bytes::from(frame)
}

fn judged(body: Bytes) -> AuthVerdict {
    verdict(&protocol(&[]), Response::new(body), Some(&headers(&[("grpc-status", "0")])))
}

fn option(key: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderField {
            key: key.to_owned(),
            value: value.to_owned(),
            raw_value: Bytes::new(),
        }),
        append: None,
        append_action: 0,
    }
}

fn with_append(mut option: HeaderValueOption, append: bool) -> HeaderValueOption {
    option.append = Some(BoolValue { value: append });
    option
}

fn with_action(mut option: HeaderValueOption, action: AppendAction) -> HeaderValueOption {
    option.append_action = action.into();
    option
}

fn response(code: i32, http_response: Option<HttpResponse>) -> Bytes {
    framed(&CheckResponse {
        status: Some(Status { code }),
        http_response,
    })
}

fn ok(ok: OkHttpResponse) -> Bytes {
    response(0, Some(HttpResponse::Ok(ok)))
}

#[test]
fn the_call_is_one_framed_message() {
    let call = question(&protocol(&[]), &headers(&[("x-request-id", "7")]), None);
    assert_eq!(call.method(), Method::POST);
    assert_eq!(call.uri(), "/envoy.service.auth.v3.Authorization/Check");
    let expected = [
        ("content-type", "application/grpc"),
        ("host", "auth.infra.svc:9000"),
        ("te", "trailers"),
    ];
    assert_eq!(lines(call.headers()), expected);
    let [flag, length @ ..] = *call.body().first_chunk::<5>().unwrap();
    assert_eq!((flag, u32::from_be_bytes(length) as usize), (0, call.body().len() - 5));
}

/// The bytes put together by hand from the numbers in the .proto files: a tag is the number times 8 plus the wire type.
#[test]
fn field_numbers_are_envoys() {
    let headers = headers(&[("x-a", "1")]);
    let target = PathAndQuery::from_static("/p");
    let mut asked = asked(&target, &headers);
    asked.host = "h";
    asked.principal = Some("me");
    asked.server_name = Some("s");
    asked.body = Some(Bytes::from_static(b"b"));
    let call = request(&protocol(&["x-a"]), &asked).unwrap();
    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }
    let address = |ip: &[u8], port: &[u8]| field(0x0a, &field(0x0a, &[&field(0x12, ip), &[0x18][..], port].concat()));
    let source = [address(b"192.0.2.7", &[0xc0, 0xb8, 0x02]), field(0x22, b"me")].concat();
    let http = [
        field(0x12, b"POST"),
        field(0x1a, &[field(0x0a, b"x-a"), field(0x12, b"1")].concat()),
        field(0x22, b"/p"),
        field(0x2a, b"h"),
        field(0x32, b"https"),
        [&[0x48][..], &[0xff; 9], &[0x01]].concat(),
        field(0x52, b"HTTP/2"),
        field(0x5a, b"b"),
    ]
    .concat();
    let time = field(0x0a, &[0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]);
    let attributes = [
        field(0x0a, &source),
        field(0x12, &address(b"203.0.113.1", &[0xbb, 0x03])),
        field(0x22, &[time, field(0x12, &http)].concat()),
        field(0x62, &field(0x0a, b"s")),
    ]
    .concat();
    assert_eq!(&call.body()[5..], field(0x0a, &attributes));
}

#[test]
fn headers_are_one_value_for_each_name() {
    let inbound = headers(&[
        ("x-team", "a"),
        ("x-team", "b"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-latin", "caf\u{e9}"),
        ("host", "other.example.com"),
        ("te", "trailers"),
        ("content-length", "12"),
    ]);
    let all = decoded(&question(&protocol(&[]), &inbound, None));
    let told: Vec<(&str, &str)> = all
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("content-length", "12"),
        ("cookie", "a=1; b=2"),
        ("host", "shop.example.com"),
        ("x-latin", "caf\u{e9}"),
        ("x-team", "a,b"),
    ];
    assert_eq!(told, expected);
    assert_eq!(all.size, 12);
    let some = decoded(&question(&protocol(&["x-team"]), &inbound, None));
    assert_eq!(
        some.headers.into_iter().collect::<Vec<_>>(),
        [("x-team".to_owned(), "a,b".to_owned())]
    );
}

#[test]
fn bodies_that_are_no_text_have_a_field_of_their_own() {
    let text = decoded(&question(&protocol(&[]), &HeaderMap::new(), Some("h\u{e9}".as_bytes())));
    assert_eq!((text.body.as_str(), text.raw_body.is_empty()), ("h\u{e9}", true));
    let bytes = decoded(&question(&protocol(&[]), &HeaderMap::new(), Some(&[0xff, 0])));
    assert_eq!((bytes.body.as_str(), bytes.raw_body.as_ref()), ("", &[0xff, 0][..]));
}

#[test]
fn ok_changes_the_request_and_the_response() {
    let verdict = judged(ok(OkHttpResponse {
        headers: vec![
            option("X-User", "alice"),
            with_append(option("x-team", "c"), true),
            with_append(option("x-new", "1"), true),
            with_action(option("x-absent", "1"), AppendAction::AddIfAbsent),
            with_action(option("x-present", "2"), AppendAction::AddIfAbsent),
            with_action(option("x-nobody", "1"), AppendAction::OverwriteIfExists),
            with_action(option("x-other", "2"), AppendAction::OverwriteIfExistsOrAdd),
        ],
        headers_to_remove: vec![
            "Authorization".to_owned(),
            ":path".to_owned(),
            "Host".to_owned(),
            "content-length".to_owned(),
        ],
        response_headers_to_add: vec![
            option("set-cookie", "c=3"),
            with_append(option("server", "ours"), false),
            with_action(option("x-frame-options", "DENY"), AppendAction::AddIfAbsent),
        ],
    }));
    let AuthVerdict::Allow { request, response } = verdict else {
        panic!("{verdict:?}");
    };
    let mut inbound = headers(&[
        ("authorization", "x"),
        ("content-length", "5"),
        ("host", "h"),
        ("x-other", "1"),
        ("x-present", "1"),
        ("x-team", "a"),
        ("x-user", "root"),
        ("x-user", "admin"),
    ]);
    request.apply(&mut inbound);
    let expected = [
        ("content-length", "5"),
        ("host", "h"),
        ("x-absent", "1"),
        ("x-new", "1"),
        ("x-other", "2"),
        ("x-present", "1"),
        ("x-team", "a"),
        ("x-team", "c"),
        ("x-user", "alice"),
    ];
    assert_eq!(lines(&inbound), expected);
    let mut outbound = headers(&[("set-cookie", "a=1"), ("server", "theirs"), ("x-frame-options", "SAMEORIGIN")]);
    response.apply(&mut outbound);
    let expected = [
        ("server", "ours"),
        ("set-cookie", "a=1"),
        ("set-cookie", "c=3"),
        ("x-frame-options", "SAMEORIGIN"),
    ];
    assert_eq!(lines(&outbound), expected);
}

#[test]
fn no_answer_touches_what_is_not_its_own() {
    let forbidden = [
        ":authority",
        ":path",
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "te",
        "upgrade",
        "x-forwarded-client-cert",
        "X_Forwarded_Client_Cert",
        "client-cert",
    ];
    let verdict = judged(ok(OkHttpResponse {
        headers: forbidden.map(|name| option(name, "1")).into(),
        ..OkHttpResponse::default()
    }));
    assert!(allowed(verdict, &[]).is_empty());
}

#[test]
fn a_refusal_is_in_the_servers_words() {
    let words = DeniedHttpResponse {
        status: Some(HttpStatus { code: 401 }),
        headers: vec![
            option("www-authenticate", "Basic"),
            with_append(option("set-cookie", "a=1"), true),
            with_append(option("set-cookie", "b=2"), true),
            option("content-length", "99"),
        ],
        body: "go away".to_owned(),
    };
    let response = denied(judged(response(16, Some(HttpResponse::Denied(words)))));
    assert_eq!(response.status(), 401);
    let expected = [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("www-authenticate", "Basic")];
    assert_eq!(lines(response.headers()), expected);
    assert_eq!(response.body(), "go away");
}

#[test]
fn a_refusal_without_a_status_that_can_be_sent_is_403() {
    for code in [None, Some(0), Some(-1), Some(100), Some(600), Some(99_999)] {
        let words = DeniedHttpResponse {
            status: code.map(|code| HttpStatus { code }),
            ..DeniedHttpResponse::default()
        };
        assert_eq!(
            denied(judged(response(7, Some(HttpResponse::Denied(words))))).status(),
            403,
            "{code:?}"
        );
    }
    assert_eq!(denied(judged(response(7, None))).status(), 403);
    let contradiction = response(7, Some(HttpResponse::Ok(OkHttpResponse::default())));
    assert_eq!(denied(judged(contradiction)).status(), 403);
}

#[test]
fn yes_must_be_said() {
    assert!(matches!(judged(response(0, None)), AuthVerdict::Allow { .. }));
    let without_status = framed(&CheckResponse {
        status: None,
        http_response: Some(HttpResponse::Ok(OkHttpResponse::default())),
    });
    assert!(matches!(judged(without_status), AuthVerdict::Allow { .. }), "as with Envoy");
    assert_eq!(fault(judged(framed(&CheckResponse::default()))), AuthFault::Malformed);
    let contradiction = response(0, Some(HttpResponse::Denied(DeniedHttpResponse::default())));
    assert_eq!(fault(judged(contradiction)), AuthFault::Malformed);
}

#[test]
fn calls_that_fail_are_no_yes() {
    let yes = || response(0, None);
    let outcome = |status: u16, head: &[(&str, &str)], trailers: Option<&[(&str, &str)]>| {
        let mut answer = Response::new(yes());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        *answer.headers_mut() = headers(head);
        verdict(&protocol(&[]), answer, trailers.map(headers).as_ref())
    };
    assert!(matches!(
        outcome(200, &[], Some(&[("grpc-status", "0")])),
        AuthVerdict::Allow { .. }
    ));
    assert_eq!(
        fault(outcome(200, &[], Some(&[("grpc-status", "14")]))),
        AuthFault::GrpcStatus(Some(14))
    );
    assert_eq!(
        fault(outcome(200, &[("grpc-status", "12")], None)),
        AuthFault::GrpcStatus(Some(12))
    );
    assert_eq!(
        fault(outcome(200, &[], Some(&[("grpc-status", "zero")]))),
        AuthFault::GrpcStatus(None)
    );
    assert_eq!(fault(outcome(200, &[], None)), AuthFault::GrpcStatus(None), "cut short");
    assert_eq!(
        fault(outcome(503, &[], Some(&[("grpc-status", "0")]))),
        AuthFault::Status(StatusCode::SERVICE_UNAVAILABLE)
    );
}

#[test]
fn a_change_that_makes_no_sense_spoils_the_answer() {
    let nameless = HeaderValueOption {
        header: None,
        append: None,
        append_action: 0,
    };
    let mut unknown = option("x-a", "1");
    unknown.append_action = 9;
    for bad in [
        option("", "1"),
        option("x a", "1"),
        option("x-a", "1\r\nx-evil: 1"),
        nameless,
        unknown,
    ] {
        let answer = OkHttpResponse {
            headers: vec![bad.clone()],
            ..OkHttpResponse::default()
        };
        assert_eq!(fault(judged(ok(answer))), AuthFault::Malformed, "{bad:?}");
    }
    let many = OkHttpResponse {
        headers: vec![option("x-a", "1"); MOST_CHANGES + 1],
        ..OkHttpResponse::default()
    };
    assert_eq!(fault(judged(ok(many))), AuthFault::Malformed);
    let large = DeniedHttpResponse {
        body: "x".repeat(LARGEST_ANSWER),
        ..DeniedHttpResponse::default()
    };
    assert_eq!(
        fault(judged(response(7, Some(HttpResponse::Denied(large))))),
        AuthFault::Malformed
    );
}

#[test]
fn frames_are_exact() {
    let whole = ok(OkHttpResponse {
        headers: vec![option("x-user", "alice")],
        ..OkHttpResponse::default()
    });
    for end in 0..whole.len() {
        assert_eq!(fault(judged(whole.slice(..end))), AuthFault::Malformed, "{end}");
    }
    let twice = Bytes::from([whole.as_ref(), whole.as_ref()].concat());
    assert_eq!(fault(judged(twice)), AuthFault::Malformed);
    let mut compressed = whole.to_vec();
    compressed[0] = 1;
    assert_eq!(fault(judged(Bytes::from(compressed))), AuthFault::Malformed);
    let mut endless = whole.to_vec();
    endless[1..5].fill(0xff);
    assert_eq!(fault(judged(Bytes::from(endless))), AuthFault::Malformed);
}

#[test]
fn fields_that_are_not_known_are_skipped() {
    // Fields 4 (dynamic_metadata) and 99, before and after.
    let mut message = vec![0x22, 2, 0x0a, 0, 0x9a, 0x06, 1, b'x'];
    message.extend(
        CheckResponse {
            status: Some(Status { code: 0 }),
            http_response: None,
        }
        .encode_to_vec(),
    );
    message.extend([0x98, 0x06, 1]);
    let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
    frame.extend(message);
    assert!(matches!(judged(Bytes::from(frame)), AuthVerdict::Allow { .. }));
}

proptest! {
    #[test]
    fn any_message_has_a_verdict(message in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        frame.extend(&message);
        if let AuthVerdict::Deny(response) = judged(Bytes::from(frame)) {
            prop_assert!(response.status().as_u16() >= 200);
        }
    }
}
