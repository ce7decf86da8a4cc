//! Who is believed, and what never travels on.

use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

fn applied(inbound: &[(&str, &str)], facts: &ConnectionFacts) -> HeaderMap {
    let mut headers = headers(inbound);
    apply(&mut headers, facts, Some(&HeaderValue::from_static("shop.example.com:8443")));
    headers
}

fn facts(trusted: bool) -> ConnectionFacts {
    ConnectionFacts::new("192.0.2.7".parse().unwrap(), true, 8443, trusted)
}

#[test]
fn backends_hear_of_the_connection() {
    let expected = [
        ("forwarded", "for=192.0.2.7;proto=https;host=\"shop.example.com:8443\""),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "shop.example.com:8443"),
        ("x-forwarded-port", "8443"),
        ("x-forwarded-proto", "https"),
    ];
    for trusted in [true, false] {
        assert_eq!(lines(&applied(&[], &facts(trusted))), expected);
    }
}

#[test]
fn a_stranger_is_not_believed() {
    let claims = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.2"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "admin.example.com"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-prefix", "/admin"),
        ("x-forwarded-user", "root"),
        ("x-real-ip", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1;proto=http"),
        ("x_forwarded_for", "10.0.0.1"),
        ("x-forwarded_for", "10.0.0.1"),
        ("x_forwarded-proto", "http"),
        ("x_real_ip", "10.0.0.1"),
    ];
    let stranger = applied(&claims, &facts(false));
    assert_eq!(lines(&stranger), lines(&applied(&[], &facts(false))));
}

#[test]
fn a_trusted_proxy_is_believed_and_this_hop_added() {
    let claims = [
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-for", "198.51.100.2"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "public.example.com"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-prefix", "/shop"),
        ("forwarded", "for=198.51.100.1"),
    ];
    let expected = [
        (
            "forwarded",
            "for=198.51.100.1, for=192.0.2.7;proto=https;host=\"shop.example.com:8443\"",
        ),
        ("x-forwarded-for", "198.51.100.1, 198.51.100.2, 192.0.2.7"),
        ("x-forwarded-host", "public.example.com"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-prefix", "/shop"),
        ("x-forwarded-proto", "http"),
    ];
    assert_eq!(lines(&applied(&claims, &facts(true))), expected);
}

#[test]
fn nonsense_of_a_trusted_proxy_is_replaced() {
    let claims = [
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-port", "70000"),
        ("x-forwarded-host", "one.example.com"),
        ("x-forwarded-host", "two.example.com"),
        // Look-alikes are nobody's.
        ("x_forwarded_proto", "http"),
    ];
    assert_eq!(lines(&applied(&claims, &facts(true))), lines(&applied(&[], &facts(true))));
}

#[test]
fn forwarded_does_not_deny_who_came_before() {
    let through = applied(&[("x-forwarded-for", "198.51.100.1")], &facts(true));
    assert!(!through.contains_key(FORWARDED));
    assert_eq!(through.get("x-forwarded-for").unwrap(), "198.51.100.1, 192.0.2.7");
}

#[test]
fn addresses_of_ipv6_are_quoted_and_mapped_ones_are_ipv4() {
    let mut inside = HeaderMap::new();
    apply(
        &mut inside,
        &ConnectionFacts::new("2001:db8::1".parse().unwrap(), false, 80, false),
        None,
    );
    assert_eq!(inside.get(FORWARDED).unwrap(), "for=\"[2001:db8::1]\";proto=http");
    assert_eq!(inside.get("x-forwarded-for").unwrap(), "2001:db8::1");
    assert!(!inside.contains_key("x-forwarded-host"), "HTTP/1.0 may have none");
    let mapped = ConnectionFacts::new("::ffff:192.0.2.7".parse().unwrap(), false, 80, false);
    assert_eq!(mapped.x_forwarded_for, "192.0.2.7");
}

#[test]
fn a_host_cannot_leave_its_quotes() {
    let mut inside = HeaderMap::new();
    apply(
        &mut inside,
        &facts(false),
        Some(&HeaderValue::from_static("a\";for=10.0.0.1;host=\"b")),
    );
    assert_eq!(inside.get(FORWARDED).unwrap(), "for=192.0.2.7;proto=https");
}

#[test]
fn headers_of_one_connection_end_here() {
    let mut inbound = headers(&[
        ("connection", "close, X-Private , ,keep-alive, bad name"),
        ("connection", "x-other"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eDp5"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip, Trailers"),
        ("upgrade", "websocket"),
        ("http2-settings", "AAMAAABk"),
        ("x-private", "1"),
        ("x-other", "2"),
        ("x-kept", "3"),
        ("trailer", "x-sum"),
    ]);
    strip_hop_by_hop(&mut inbound);
    assert_eq!(lines(&inbound), [("te", "trailers"), ("trailer", "x-sum"), ("x-kept", "3")]);
    let mut without = headers(&[("te", "gzip"), ("connection", "te")]);
    strip_hop_by_hop(&mut without);
    assert!(without.is_empty());
}

#[test]
fn connection_cannot_take_what_all_recipients_need() {
    let kept = [
        ("authorization", "Bearer x"),
        ("cache-control", "private"),
        ("content-length", "3"),
        ("cookie", "a=b"),
        ("forwarded", "for=198.51.100.1"),
        ("host", "shop.example.com"),
        ("traceparent", "ours"),
        ("x-forwarded-for", "198.51.100.1"),
    ];
    let mut inbound = headers(&kept);
    let named: Vec<&str> = kept.iter().map(|(name, _)| *name).collect();
    inbound.insert(CONNECTION, named.join(", ").parse().unwrap());
    strip_hop_by_hop(&mut inbound);
    assert_eq!(lines(&inbound), kept);
}

proptest! {
    #[test]
    fn nothing_of_one_connection_survives(
        named in proptest::collection::vec("[a-z-]{1,12}|keep-alive|te|host|[ -~]{0,8}", 0..6),
        present in proptest::collection::vec("[a-z]{1,12}", 0..6),
    ) {
        let mut inbound = HeaderMap::new();
        for name in present.iter().chain(&named) {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                inbound.append(name, HeaderValue::from_static("x"));
            }
        }
        for name in HOP_BY_HOP {
            inbound.append(name, HeaderValue::from_static("x"));
        }
        if let Ok(line) = named.join(",").parse() {
            inbound.insert(CONNECTION, line);
        }
        strip_hop_by_hop(&mut inbound);
        for name in HOP_BY_HOP {
            prop_assert!(!inbound.contains_key(name));
        }
        for name in named.iter().flat_map(|name| name.split(',')) {
            if let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes()) {
                prop_assert!(!inbound.contains_key(&name) || is_end_to_end(&name));
            }
        }
    }

    #[test]
    fn what_a_stranger_claims_changes_nothing(name in "(x[-_]forwarded[-_][a-z_-]{1,8})|forwarded|x[-_]real[-_]ip", value in "[!-~]{1,20}") {
        prop_assert_eq!(applied(&[(&name, &value)], &facts(false)), applied(&[], &facts(false)));
    }
}
