//! One record for each connection, whatever happens.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use prometheus_client::registry::Registry;
use sealway_api::{Kind, ObjectKey, ObjectRef, TlsMode};
use sealway_core::{HostnamePattern, ListenerFate, NameIndex, RejectReason, TlsListener};

use super::*;
use crate::metrics::Metrics;

struct Rig {
    registry: Registry,
    port: Arc<PortScope>,
}

impl Rig {
    fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, "test");
        Self {
            registry,
            port: Arc::new(PortScope::new(&ObjectKey::new("infra", "edge"), 8443, metrics)),
        }
    }

    fn outcome(&self) -> Outcome {
        Outcome::new(Arc::clone(&self.port), "192.0.2.1:40000".parse().unwrap())
    }

    fn routed(&self) -> Outcome {
        let listener = TlsListener {
            name: "tls".into(),
            hostname: HostnamePattern::Any,
            mode: TlsMode::Passthrough,
            fate: ListenerFate::Serves,
            routes: NameIndex::default(),
            termination: None,
            requests: None,
        };
        let scope = self.port.listener(&listener);
        let mut outcome = self.outcome();
        outcome.enter_listener(scope);
        outcome
            .enter_route(&ObjectRef::new(Kind::TlsRoute, "shop", "payment"))
            .unwrap();
        outcome
    }

    /// Outcomes that were counted, with their listener.
    fn counted(&self) -> Vec<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix("sealway_connections_total"))
            .map(str::to_owned)
            .collect()
    }
}

fn sample(listener: &str, mode: &str, outcome: &str) -> String {
    format!("{{gateway=\"infra/edge\",listener=\"{listener}\",mode=\"{mode}\",outcome=\"{outcome}\"}} 1")
}

#[test]
fn first_reason_is_recorded_once() {
    let rig = Rig::new();
    let mut outcome = rig.routed();
    outcome.end(CloseReason::IdleTimeout, None);
    outcome.end(CloseReason::Closed, None);
    assert!(rig.counted().is_empty());
    drop(outcome);
    assert_eq!(rig.counted(), [sample("tls", "passthrough", "idle_timeout")]);
}

#[test]
fn panic_is_recorded_as_one() {
    let rig = Rig::new();
    let outcome = rig.routed();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _outcome = outcome;
        panic!("a defect");
    }));
    assert!(caught.is_err());
    assert_eq!(rig.counted(), [sample("tls", "passthrough", "panic")]);
}

#[test]
fn forgotten_connection_is_recorded_as_abandoned() {
    let rig = Rig::new();
    drop(rig.outcome());
    assert_eq!(rig.counted(), [sample("", "", "abandoned")]);
}

thread_local! {
    /// What this thread logged.
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ThisThread;

impl std::io::Write for ThisThread {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The access log's lines as JSON, from what `work` does on this thread.
fn access_log(work: impl FnOnce()) -> Vec<serde_json::Value> {
    // For the whole process: a subscriber of one thread would race with the other tests for what is enabled.
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| tracing_subscriber::fmt().json().with_writer(|| ThisThread).init());
    LOGGED.take();
    work();
    let text = String::from_utf8(LOGGED.take()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn access_log_has_one_line_with_everything_known() {
    let rig = Rig::new();
    let lines = access_log(|| {
        let mut outcome = rig.routed();
        outcome.server_name = Some("payment.example.com".into());
        outcome.backend = Some("shop/payment:443".into());
        outcome.endpoint = Some("10.0.0.1:8443".parse().unwrap());
        outcome.traffic.upward.add(700);
        outcome.traffic.downward.add(3000);
        outcome.end(CloseReason::BackendFailed, Some("connection reset".into()));
    });
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["target"], &lines[0]["level"]),
        (&ACCESS_TARGET.into(), &"WARN".into())
    );
    let mut fields = lines[0]["fields"].clone();
    assert!(fields.as_object_mut().unwrap().remove("duration_ms").unwrap().is_u64());
    let expected = serde_json::json!({
        "message": "connection", "gateway": "infra/edge", "listener": "tls", "port": 8443, "client": "192.0.2.1:40000",
        "sni": "payment.example.com", "route": "TLSRoute shop/payment", "backend": "shop/payment:443", "endpoint": "10.0.0.1:8443",
        "bytes_received": 700, "bytes_sent": 3000, "outcome": "backend_failed", "side": "backend", "reason": "the backend's connection failed: connection reset",
    });
    assert_eq!(fields, expected);
}

#[test]
fn access_log_says_why_the_certificate_of_a_client_that_was_let_in_counts_for_nothing() {
    let rig = Rig::new();
    let handshake = Handshake {
        alpn: None,
        client: None,
        client_fault: Some(HandshakeFault::ClientCertificateExpired),
        server_name: None,
        version: "TLSv1_3",
        group: "X25519",
        resumed: false,
    };
    let lines = access_log(|| {
        let mut outcome = rig.routed();
        outcome.count_handshake(Ok((&handshake, Duration::from_millis(1))));
        outcome.end(CloseReason::Closed, None);
    });
    let fields = &lines[0]["fields"];
    assert_eq!(fields["client_fault"], "client_certificate_expired");
    assert_eq!((&fields["outcome"], fields.get("side")), (&"closed".into(), None));
}

#[test]
fn access_log_of_a_refusal_leaves_out_what_is_unknown() {
    let rig = Rig::new();
    let lines = access_log(|| rig.outcome().end(CloseReason::Rejected(RejectReason::NoListener), None));
    assert_eq!(
        (&lines[0]["level"], &lines[0]["fields"]["side"]),
        (&"INFO".into(), &"client".into())
    );
    assert_eq!(lines[0]["fields"]["reason"], "no listener claims this server name");
    let fields = lines[0]["fields"].as_object().unwrap();
    for unknown in ["listener", "route", "backend", "endpoint", "sni"] {
        assert!(!fields.contains_key(unknown), "{unknown}");
    }
}

#[test]
fn misses_of_a_port_are_exposed_at_zero_before_any_traffic() {
    let rig = Rig::new();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &rig.registry).unwrap();
    for reason in ["no_listener", "no_route", "missing_server_name", "malformed_server_name"] {
        let sample = format!("sealway_sni_misses_total{{gateway=\"infra/edge\",port=\"8443\",reason=\"{reason}\"}} 0");
        assert!(text.lines().any(|line| line == sample), "{text}");
    }
}
