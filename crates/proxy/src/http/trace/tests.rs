//! Which requests are sampled, what they say of their trace, and what their spans say.

use proptest::prelude::*;
use sealway_api::ObjectKey;
use sealway_core::{BackendFault, SpanAttribute, Target, WeightedBackend};

use super::*;

const NONE: Share = Share {
    numerator: 0,
    denominator: 100,
};
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

fn tracing(sampling: Share, sampled_parents: Option<Share>) -> Tracing {
    Tracing {
        policy: ObjectKey::new("infra", "traces"),
        collector: WeightedBackend {
            name: "monitoring/collector:4317".to_owned(),
            weight: 1,
            target: Target::Refuse(BackendFault::NoEndpoints),
        },
        headers: Vec::new(),
        sampling,
        sampled_parents,
        service_name: "edge".to_owned(),
        span_name: None,
        attributes: Vec::new(),
    }
}

/// A share is all or nothing here.
fn decided(tracing: &Tracing, headers: &HeaderMap) -> Decision {
    let mut next = 0;
    let word = || {
        next += 1;
        next
    };
    decide(tracing, context::parent(headers), word, |share| share.numerator > 0)
}

fn with(lines: &[(&'static str, &str)]) -> HeaderMap {
    let lines = lines
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    lines.collect()
}

#[test]
fn the_parent_decides_where_it_is_asked() {
    let sampled = with(&[("traceparent", &format!("{TRACE}-01"))]);
    let unsampled = with(&[("traceparent", &format!("{TRACE}-00"))]);
    let nothing = HeaderMap::new();
    for (own, parents, expected) in [
        (Share::ALL, Some(Share::ALL), [true, true, false]),
        (NONE, Some(Share::ALL), [false, true, false]),
        (Share::ALL, Some(NONE), [true, false, false]),
        (Share::ALL, None, [true, true, true]),
        (NONE, None, [false, false, false]),
    ] {
        let tracing = tracing(own, parents);
        let found = [&nothing, &sampled, &unsampled].map(|headers| decided(&tracing, headers).own.sampled);
        assert_eq!(found, expected, "{own:?} {parents:?}");
    }
}

#[test]
fn a_request_goes_on_in_its_trace_with_our_span() {
    let mut headers = with(&[("traceparent", &format!("{TRACE}-01")), ("tracestate", "rojo=1, congo=2")]);
    let decision = decided(&tracing(Share::ALL, Some(NONE)), &headers);
    assert_eq!(write(&mut headers, &decision).as_deref(), Some("rojo=1,congo=2"));
    // Also when it is not recorded.
    assert_eq!(
        headers["traceparent"],
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-00"
    );
    assert_eq!(headers["tracestate"], "rojo=1,congo=2");
}

#[test]
fn what_cannot_be_read_goes_no_further() {
    for parent in ["", "00-junk", &format!("{TRACE}-01-more")] {
        let mut headers = with(&[("traceparent", parent), ("tracestate", "rojo=1")]);
        let decision = decided(&tracing(Share::ALL, Some(NONE)), &headers);
        assert_eq!(write(&mut headers, &decision), None);
        assert_eq!(decision.parent, None);
        assert_eq!(
            headers["traceparent"],
            "00-00000000000000010000000000000002-0000000000000003-01"
        );
        assert!(!headers.contains_key("tracestate"));
    }
    let mut headers = with(&[("traceparent", &format!("{TRACE}-01")), ("tracestate", "no member")]);
    let decision = decided(&tracing(Share::ALL, Some(Share::ALL)), &headers);
    assert_eq!(write(&mut headers, &decision), None);
    assert!(!headers.contains_key("tracestate"));
}

fn span(tracing: Tracing, headers: Vec<Option<String>>) -> Span {
    let counters = crate::Metrics::default().spans.of_gateway(&"infra/edge".into());
    let tracing = Arc::new(tracing);
    let destination = Destination {
        tracing: Arc::clone(&tracing),
        identity: None,
    };
    let own = decided(&tracing, &HeaderMap::new()).own;
    Span {
        tracer: Arc::new(Tracer::new("infra/edge".into(), destination, counters)),
        tracing,
        own,
        parent: None,
        state: None,
        facts: Facts {
            method: Method::from_bytes(b"BREW").unwrap(),
            path: "/pot".to_owned(),
            query: Some("token=secret".to_owned()),
            https: true,
            version: Version::HTTP_2,
            host: Some("shop.example.com".to_owned()),
            local: "192.0.2.1:443".parse().unwrap(),
            client: "[::ffff:198.51.100.7]:4000".parse().unwrap(),
            user_agent: Some("pot/1".to_owned()),
            server_name: None,
            tls_version: Some("TLSv1_3"),
        },
        headers,
    }
}

fn said(message: &messages::Span) -> Vec<String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        None => "?".to_owned(),
    };
    let lines = message
        .attributes
        .iter()
        .map(|attribute| format!("{}={}", attribute.key, text(&attribute.value)));
    lines.collect()
}

#[test]
fn a_span_says_what_the_conventions_and_the_policy_ask() {
    let mut tracing = tracing(Share::ALL, None);
    let attribute = |name: &str, value| SpanAttribute {
        name: name.to_owned(),
        value,
    };
    tracing.attributes = vec![
        attribute("env", SpanValue::Literal("production".to_owned())),
        attribute("url.path", SpanValue::Literal("hidden".to_owned())),
        attribute("user", SpanValue::Header(HeaderName::from_static("x-user"))),
        attribute("nobody", SpanValue::Header(HeaderName::from_static("x-nobody"))),
        attribute("tls", SpanValue::Standard(StandardAttribute::TlsVersion)),
    ];
    let mut span = span(tracing, vec![None; 5]);
    span.hear(&with(&[("x-user", "anna")]));
    let end = End {
        code: 502,
        reason: None,
        route: "HTTPRoute shop/cart",
        took: Duration::from_millis(250),
    };
    let now = UNIX_EPOCH + Duration::from_secs(10);
    let message = span.message(&end, now);
    assert_eq!(
        said(&message),
        [
            "env=production",
            "url.path=hidden",
            "user=anna",
            "tls=1.3",
            "http.request.method=_OTHER",
            "http.request.method_original=BREW",
            "http.response.status_code=502",
            "url.scheme=https",
            "server.address=shop.example.com",
            "server.port=443",
            "client.address=198.51.100.7",
            "network.protocol.version=2",
            "user_agent.original=pot/1",
            "error.type=502",
            "sealway.route=HTTPRoute shop/cart",
        ]
    );
    assert_eq!((message.name.as_str(), message.kind), ("HTTP", messages::SERVER));
    assert_eq!(message.start_time_unix_nano, 9_750_000_000);
    assert_eq!(message.end_time_unix_nano, 10_000_000_000);
    assert_eq!(message.status, Some(Status { code: messages::ERROR }));
    assert!(message.parent_span_id.is_empty());
}

/// A collector that takes nothing costs spans, and they are counted.
#[test]
fn what_has_no_room_is_dropped_and_counted() {
    let counters = crate::Metrics::default().spans.of_gateway(&"infra/edge".into());
    let destination = Destination {
        tracing: Arc::new(tracing(Share::ALL, None)),
        identity: None,
    };
    let tracer = Tracer::new("infra/edge".into(), destination, counters.clone());
    for _ in 0..queue::MOST_SPANS + 3 {
        tracer.offer(Bytes::from_static(b"span"));
    }
    assert_eq!(counters.dropped.get(), 3);
    tracer.close();
    tracer.offer(Bytes::from_static(b"span"));
    assert_eq!(counters.dropped.get(), 4);
}

proptest! {
    #[test]
    fn every_trace_and_span_has_a_name(words in any::<[u64; 3]>(), sampled: bool) {
        let mut words = words.into_iter();
        let tracing = tracing(Share::ALL, None);
        let decision = decide(&tracing, None, || words.next().unwrap_or(0), |_| sampled);
        prop_assert!(decision.own.trace != [0; 16] && decision.own.span != [0; 8]);
        prop_assert_eq!(decision.own.sampled, sampled);
    }

    #[test]
    fn a_value_is_cut_between_characters(text in "\\PC{0,1100}") {
        let short = cut(&text);
        prop_assert!(short.len() <= LONGEST_VALUE && text.starts_with(&short));
    }
}
