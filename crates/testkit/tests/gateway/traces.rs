//! Traces: what a collector of OTLP and a backend see of requests to a Gateway with an XTelemetryPolicy.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use sealway_api::{ConditionStatus, ObjectKey};
use sealway_testkit::backends::Backend;
use sealway_testkit::clients::DEADLINE;
use sealway_testkit::gateway::{Setup, TestGateway};
use sealway_testkit::{LOOPBACK, free_port, loopback, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::requests::{self, answer};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

/// Heads of requests, as they arrived.
type Heads = Arc<Mutex<Vec<String>>>;
type Exports = Arc<Mutex<Vec<Export>>>;

/// One export.
#[derive(Clone, Debug)]
struct Export {
    path: String,
    headers: HeaderMap,
    resource: BTreeMap<String, String>,
    spans: Vec<Span>,
}

#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    attributes: BTreeMap<String, String>,
}

/// A backend that answers with `x-answer: 42`.
async fn backend(heads: Heads) -> Backend {
    let started = Backend::start(LOOPBACK, move |mut stream| {
        let heads = Arc::clone(&heads);
        async move {
            let mut read = Vec::new();
            while stream.read_buf(&mut read).await? > 0 {
                if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                    let head: Vec<u8> = read.drain(..end + 4).collect();
                    heads.lock().expect("heads").push(String::from_utf8_lossy(&head).into_owned());
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nx-answer: 42\r\ncontent-length: 0\r\n\r\n")
                        .await?;
                }
            }
            Ok(())
        }
    });
    started.await.expect("backend")
}

async fn collector(exports: Exports) -> Backend {
    let started = Backend::start(LOOPBACK, move |stream| {
        let exports = Arc::clone(&exports);
        async move {
            let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
            while let Some(accepted) = connection.accept().await {
                let (request, mut respond) = accepted.map_err(io::Error::other)?;
                let exports = Arc::clone(&exports);
                tokio::spawn(async move {
                    let (head, mut body) = request.into_parts();
                    let mut bytes = Vec::new();
                    while let Some(Ok(data)) = body.data().await {
                        let _ = body.flow_control().release_capacity(data.len());
                        bytes.extend_from_slice(&data);
                    }
                    let export = read(head.uri.path(), head.headers, &bytes);
                    exports.lock().expect("exports").push(export);
                    let mut response = Response::new(());
                    let kind = HeaderValue::from_static("application/grpc");
                    response.headers_mut().insert("content-type", kind);
                    let mut sender = respond.send_response(response, false).expect("response");
                    sender.send_data(Bytes::from_static(&[0; 5]), false).expect("message");
                    let status = ("grpc-status".parse().expect("name"), HeaderValue::from_static("0"));
                    sender.send_trailers(HeaderMap::from_iter([status])).expect("trailers");
                });
            }
            Ok(())
        }
    });
    started.await.expect("collector")
}

/// What stands in a message: numbers of fields with their bytes, and numbers as such.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for place in 0.. {
            let (byte, rest) = bytes.split_first().expect("a number");
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let value = match key & 7 {
            0 => number(&mut bytes).to_string().into_bytes(),
            kind => {
                let length = match kind {
                    1 => 8,
                    2 => usize::try_from(number(&mut bytes)).expect("a length"),
                    5 => 4,
                    other => panic!("kind {other}"),
                };
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                value.to_vec()
            }
        };
        found.push((key >> 3, value));
    }
    found
}

fn all(message: &[u8], wanted: u64) -> Vec<Vec<u8>> {
    let found = fields(message).into_iter().filter(|(number, _)| *number == wanted);
    found.map(|(_, value)| value).collect()
}

fn one(message: &[u8], wanted: u64) -> Vec<u8> {
    all(message, wanted).pop().unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of a resource in field 1, of a span in field 9: text (1) or a number (3).
fn attributes(message: &[u8], number: u64) -> BTreeMap<String, String> {
    let entry = |entry: Vec<u8>| {
        let value = fields(&one(&entry, 2)).pop().expect("a value");
        (text(&one(&entry, 1)), text(&value.1))
    };
    all(message, number).into_iter().map(entry).collect()
}

/// ExportTraceServiceRequest with one ResourceSpans and one ScopeSpans.
fn read(path: &str, headers: HeaderMap, framed: &[u8]) -> Export {
    let resource_spans = one(&framed[5..], 1);
    let scope_spans = one(&resource_spans, 2);
    let spans = all(&scope_spans, 2).into_iter().map(|span| Span {
        trace: hexadecimal(&one(&span, 1)),
        id: hexadecimal(&one(&span, 2)),
        parent: hexadecimal(&one(&span, 4)),
        name: text(&one(&span, 5)),
        attributes: attributes(&span, 9),
    });
    Export {
        path: path.to_owned(),
        headers,
        resource: attributes(&one(&resource_spans, 1), 1),
        spans: spans.collect(),
    }
}

fn manifests(tracing: &str) -> String {
    let policy = match tracing {
        "" => String::new(),
        tracing => format!(
            "---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XTelemetryPolicy
metadata: {{name: traces, namespace: default}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: gateway}}]
  tracing:
    mode: Enabled
    provider:
      backendRef: {{name: collector, port: 4317}}
      headers: [{{name: Authorization, value: Bearer of-the-collector}}]
    serviceName: shop-edge
    attributes:
      - {{name: env, sourceType: Literal, literalValue: production}}
      - {{name: user, sourceType: Header, headerName: X-User}}
      - {{name: answer, sourceType: Header, headerName: X-Answer}}
      - {{name: verb, sourceType: Attribute, attributeKey: http.request.method}}
{tracing}"
        ),
    };
    let gateway = requests::gateway("default");
    format!(
        "{gateway}apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: default}}
spec:
  parentRefs: [{{name: gateway}}]
  rules:
    - backendRefs: [{{name: web, port: 80}}]
{policy}"
    )
}

fn sampled(numerator: u32) -> String {
    format!("    samplingRate: {{numerator: {numerator}}}\n")
}

/// The value that the backend got last.
fn heard(heads: &Heads, name: &str) -> Option<String> {
    let heads = heads.lock().expect("heads");
    let mut lines = heads.last()?.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(other, _)| *other == name).map(|(_, value)| value.to_owned())
}

fn spans(exports: &Exports) -> Vec<Span> {
    let exports = exports.lock().expect("exports");
    exports.iter().flat_map(|export| export.spans.clone()).collect()
}

async fn exported(exports: &Exports, count: usize) {
    let arrived = wait_until(DEADLINE, || spans(exports).len() >= count).await;
    assert!(arrived, "{:?}", spans(exports));
}

async fn start(tracing: &str, collector: SocketAddr) -> (TestGateway, Heads, Backend) {
    let heads = Heads::default();
    let backend = backend(Arc::clone(&heads)).await;
    let setup = Setup::default()
        .endpoint("default/web", 80, backend.address())
        .endpoint("default/collector", 4317, collector);
    let gateway = setup.start(&manifests(tracing)).await;
    (gateway, heads, backend)
}

/// A request of a client that is in a trace.
async fn request(gateway: &TestGateway, flags: &str) {
    let headers = format!("traceparent: 00-{TRACE}-{CLIENT_SPAN}-{flags}\r\nx-user: anna\r\n");
    let answer = answer(gateway, 8080, &headers).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_request_is_a_span_between_the_clients_and_the_backends() {
    let exports = Exports::default();
    let collector = collector(Arc::clone(&exports)).await;
    let (gateway, heads, _backend) = start(&sampled(100), collector.address()).await;
    let status = &gateway.statuses().x_telemetry_policies[&ObjectKey::new("default", "traces")];
    let conditions = &status.ancestors[0].conditions;
    assert!(
        conditions.iter().all(|condition| condition.status == ConditionStatus::True),
        "{conditions:?}"
    );

    request(&gateway, "01").await;
    let sent = heard(&heads, "traceparent").expect("traceparent");
    exported(&exports, 1).await;
    let export = exports.lock().expect("exports")[0].clone();
    let span = &export.spans[0];
    assert_eq!(export.path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    assert_eq!(export.headers["authorization"], "Bearer of-the-collector");
    assert_eq!(export.resource["service.name"], "shop-edge");
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, CLIENT_SPAN));
    assert_ne!(span.id, CLIENT_SPAN);
    assert_eq!(sent, format!("00-{TRACE}-{}-01", span.id));
    assert_eq!(span.name, "GET");
    for (name, value) in [
        ("env", "production"),
        ("user", "anna"),
        ("answer", "42"),
        ("verb", "GET"),
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/"),
        ("url.scheme", "http"),
        ("server.address", "web.test"),
        ("server.port", "8080"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("sealway.route", "HTTPRoute default/web"),
    ] {
        assert_eq!(
            span.attributes.get(name).map(String::as_str),
            Some(value),
            "{name} of {span:?}"
        );
    }

    // Whoever comes without a trace begins one.
    answer(&gateway, 8080, "").await;
    exported(&exports, 2).await;
    let span = spans(&exports).pop().expect("a span");
    assert_eq!(
        heard(&heads, "traceparent"),
        Some(format!("00-{}-{}-01", span.trace, span.id))
    );
    assert_eq!(span.parent, "");
    assert_ne!(span.trace, TRACE);
    // Counted when the answer has come, which is after the collector has seen the spans.
    let line = "sealway_spans_total{gateway=\"default/gateway\",result=\"exported\"} 2";
    let counted = wait_until(DEADLINE, || gateway.metrics().lines().any(|found| found == line));
    assert!(counted.await, "{}", gateway.metrics());
}

#[tokio::test]
async fn what_is_not_sampled_is_not_told_and_backends_hear_so() {
    let exports = Exports::default();
    let collector = collector(Arc::clone(&exports)).await;
    let (mut gateway, heads, _backend) = start(&sampled(0), collector.address()).await;
    for _ in 0..20 {
        answer(&gateway, 8080, "").await;
        assert!(heard(&heads, "traceparent").expect("traceparent").ends_with("-00"));
    }
    // The client's decision holds where there is one.
    request(&gateway, "00").await;
    assert!(heard(&heads, "traceparent").expect("traceparent").ends_with("-00"));
    request(&gateway, "01").await;
    exported(&exports, 1).await;

    // Or it does not; and the spans that were asked for last are the second to arrive.
    let ignored = format!("{}    parentBasedSampling: {{mode: Disabled}}\n", sampled(100));
    gateway.apply(&manifests(&ignored)).await;
    request(&gateway, "00").await;
    exported(&exports, 2).await;
    assert_eq!(spans(&exports).len(), 2);

    // Without a policy what the client says passes through.
    gateway.apply(&manifests("")).await;
    request(&gateway, "00").await;
    assert_eq!(heard(&heads, "traceparent"), Some(format!("00-{TRACE}-{CLIENT_SPAN}-00")));
}

#[tokio::test]
async fn spans_go_out_before_the_gateway_ends() {
    let exports = Exports::default();
    let collector = collector(Arc::clone(&exports)).await;
    let (gateway, _heads, _backend) = start(&sampled(100), collector.address()).await;
    request(&gateway, "01").await;
    gateway.proxy().drain().await;
    assert_eq!(spans(&exports).len(), 1);
}

#[tokio::test]
async fn nothing_waits_for_a_collector_that_never_answers() {
    let silent = Backend::start(LOOPBACK, |mut stream| async move {
        let mut read = Vec::new();
        while stream.read_buf(&mut read).await? > 0 {
            read.clear();
        }
        Ok(())
    });
    let silent = silent.await.expect("collector");
    let (gateway, heads, _backend) = start(&sampled(100), silent.address()).await;
    for _ in 0..3 {
        request(&gateway, "01").await;
    }
    assert_eq!(heads.lock().expect("heads").len(), 3);
    let drained = tokio::time::timeout(DEADLINE, gateway.proxy().drain()).await;
    assert_eq!(drained.ok(), Some(0));
}

#[tokio::test]
async fn requests_do_not_notice_that_there_is_no_collector() {
    let (gateway, heads, _backend) = start(&sampled(100), loopback(free_port())).await;
    for _ in 0..3 {
        request(&gateway, "01").await;
    }
    assert_eq!(heads.lock().expect("heads").len(), 3);
    let line = "sealway_spans_total{gateway=\"default/gateway\",result=\"failed\"} 3";
    let counted = wait_until(DEADLINE, || gateway.metrics().lines().any(|found| found == line));
    assert!(counted.await, "{}", gateway.metrics());
}
