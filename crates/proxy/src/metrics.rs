//! What the data plane counts, under the names of the contract.
//!
//! Counters of a listener or route are resolved once, when its scope is made ([`crate::scope`]); per connection only the outcome is
//! looked up. No label takes a value that a client chooses.

pub(crate) mod handshakes;
mod http;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use handshakes::Handshakes;
pub(crate) use http::{HttpMetrics, RouteCounters};
pub(crate) use spans::{SpanCounters, SpanMetrics};

/// The data plane's and the configuration's metrics. Clones count into the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) connections: Family<ConnectionLabels, Counter>,
    pub(crate) active: Family<ListenerLabels, Gauge>,
    pub(crate) bytes: Family<ByteLabels, Counter>,
    pub(crate) sni_misses: Family<PortReasonLabels, Counter>,
    pub(crate) accept_failures: Family<PortReasonLabels, Counter>,
    pub(crate) datagrams_dropped: Family<PortReasonLabels, Counter>,
    pub(crate) connect_failures: Family<RouteReasonLabels, Counter>,
    pub(crate) handshakes: Handshakes,
    pub(crate) http: HttpMetrics,
    pub(crate) spans: SpanMetrics,
    reloads: Family<ReloadLabels, Counter>,
    propagation: Histogram,
}

/// How reading the configuration went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It was read and is in force.
    Success,
    /// Something could not be read; what was good before stays in force.
    Failure,
}

impl Metrics {
    /// Registers every metric, and says which build this is.
    pub fn register(registry: &mut Registry, version: &str) -> Self {
        let metrics = Self {
            connections: Family::default(),
            active: Family::default(),
            bytes: Family::default(),
            sni_misses: Family::default(),
            accept_failures: Family::default(),
            datagrams_dropped: Family::default(),
            connect_failures: Family::default(),
            handshakes: Handshakes::register(registry),
            http: HttpMetrics::register(registry),
            spans: SpanMetrics::register(registry),
            reloads: Family::default(),
            propagation: Histogram::new(PROPAGATION_BUCKETS),
        };
        // The library adds `_total` to counters, `_info` to infos, and the unit before both.
        registry.register(
            "sealway_build",
            "Which build of Sealway this is",
            Info::new([("version", version.to_owned())]),
        );
        registry.register(
            "sealway_connections",
            "Connections that have ended, by how",
            metrics.connections.clone(),
        );
        registry.register(
            "sealway_connections_active",
            "Connections at this moment",
            metrics.active.clone(),
        );
        registry.register_with_unit(
            "sealway",
            "Bytes delivered on connections, while they last: received from clients, or sent to them",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        registry.register(
            "sealway_sni_misses",
            "Connections whose server name led to no route",
            metrics.sni_misses.clone(),
        );
        registry.register(
            "sealway_accept_failures",
            "Connections that could not be accepted",
            metrics.accept_failures.clone(),
        );
        registry.register(
            "sealway_datagrams_dropped",
            "Datagrams of UDP flows, or of none, that were not passed on",
            metrics.datagrams_dropped.clone(),
        );
        registry.register(
            "sealway_backend_connect_failures",
            "Failed attempts to connect to an endpoint, TLS with it included",
            metrics.connect_failures.clone(),
        );
        registry.register(
            "sealway_config_reloads",
            "Times the configuration was read again",
            metrics.reloads.clone(),
        );
        registry.register_with_unit(
            "sealway_config_propagation",
            "From a change of the configuration to the data plane that obeys it",
            Unit::Seconds,
            metrics.propagation.clone(),
        );
        metrics
    }

    /// Counts a failed attempt to connect to an endpoint.
    pub(crate) fn count_connect_failure(&self, route: &str, reason: &'static str) {
        let route = route.to_owned();
        self.connect_failures
            .get_or_create(&RouteReasonLabels { route, reason })
            .inc();
    }

    /// Counts a reload.
    pub fn config_reloaded(&self, result: Reload) {
        let result = match result {
            Reload::Success => "success",
            Reload::Failure => "failure",
        };
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    /// Records how long a change took from the event to [`crate::Proxy::publish`].
    pub fn config_propagated(&self, took: Duration) {
        self.propagation.observe(took.as_secs_f64());
    }
}

impl Default for Metrics {
    /// Metrics that nobody sees.
    fn default() -> Self {
        Self::register(&mut Registry::default(), env!("CARGO_PKG_VERSION"))
    }
}

/// Labels of `sealway_connections_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ConnectionLabels {
    pub(crate) gateway: Arc<str>,
    /// Empty when the connection ended before a listener was chosen.
    pub(crate) listener: Arc<str>,
    pub(crate) mode: &'static str,
    pub(crate) outcome: &'static str,
}

/// Labels of `sealway_connections_active`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ListenerLabels {
    pub(crate) gateway: Arc<str>,
    pub(crate) listener: Arc<str>,
    pub(crate) mode: &'static str,
}

/// Labels of `sealway_bytes_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByteLabels {
    pub(crate) gateway: Arc<str>,
    pub(crate) listener: Arc<str>,
    pub(crate) mode: &'static str,
    pub(crate) direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PortReasonLabels {
    pub(crate) gateway: Arc<str>,
    pub(crate) port: u16,
    pub(crate) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteReasonLabels {
    pub(crate) route: String,
    pub(crate) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: &'static str,
}

const PROPAGATION_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, "1.2.3");
        let gateway: Arc<str> = "infra/edge".into();
        let listener: Arc<str> = "tls".into();
        let (mode, outcome, direction) = ("passthrough", "closed", "received");
        let labels = ConnectionLabels {
            gateway: gateway.clone(),
            listener: listener.clone(),
            mode,
            outcome,
        };
        metrics.connections.get_or_create(&labels).inc();
        let labels = ListenerLabels {
            gateway: gateway.clone(),
            listener: listener.clone(),
            mode,
        };
        metrics.active.get_or_create(&labels).inc();
        let labels = ByteLabels {
            gateway: gateway.clone(),
            listener,
            mode,
            direction,
        };
        metrics.bytes.get_or_create(&labels).inc_by(7);
        let labels = PortReasonLabels {
            gateway,
            port: 8443,
            reason: "no_route",
        };
        metrics.sni_misses.get_or_create(&labels).inc();
        let labels = RouteReasonLabels {
            route: "TLSRoute shop/payment".into(),
            reason: "refused",
        };
        metrics.connect_failures.get_or_create(&labels).inc();
        let labels = handshakes::HandshakeLabels {
            version: "TLSv1_3",
            group: "X25519",
            ..handshakes::HandshakeLabels::with_backend()
        };
        metrics.handshakes.observe(&labels, Duration::from_millis(2));
        let route = metrics.http.route("HTTPRoute shop/cart");
        route.count(502, Duration::from_millis(2));
        route.count_refusal("tls_unknown_authority");
        metrics.spans.of_gateway(&"infra/edge".into()).failed.inc();
        metrics.config_reloaded(Reload::Failure);
        metrics.config_propagated(Duration::from_millis(3));

        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "sealway_build_info{version=\"1.2.3\"} 1",
            "sealway_connections_total{gateway=\"infra/edge\",listener=\"tls\",mode=\"passthrough\",outcome=\"closed\"} 1",
            "sealway_connections_active{gateway=\"infra/edge\",listener=\"tls\",mode=\"passthrough\"} 1",
            "sealway_bytes_total{gateway=\"infra/edge\",listener=\"tls\",mode=\"passthrough\",direction=\"received\"} 7",
            "sealway_sni_misses_total{gateway=\"infra/edge\",port=\"8443\",reason=\"no_route\"} 1",
            "sealway_backend_connect_failures_total{route=\"TLSRoute shop/payment\",reason=\"refused\"} 1",
            "sealway_handshakes_total{gateway=\"\",listener=\"\",side=\"backend\",result=\"success\",reason=\"\",version=\"TLSv1_3\",group=\"X25519\"} 1",
            "sealway_handshake_seconds_count{side=\"backend\"} 1",
            "sealway_http_requests_total{route=\"HTTPRoute shop/cart\",code=\"502\"} 1",
            "sealway_http_request_seconds_count{route=\"HTTPRoute shop/cart\"} 1",
            "sealway_http_request_seconds_bucket{le=\"0.0025\",route=\"HTTPRoute shop/cart\"} 1",
            "sealway_http_refusals_total{route=\"HTTPRoute shop/cart\",reason=\"tls_unknown_authority\"} 1",
            "sealway_spans_total{gateway=\"infra/edge\",result=\"failed\"} 1",
            "sealway_spans_total{gateway=\"infra/edge\",result=\"dropped\"} 0",
            "sealway_config_reloads_total{result=\"failure\"} 1",
            "sealway_config_propagation_seconds_count 1",
            "# UNIT sealway_bytes bytes",
            "# UNIT sealway_http_request_seconds seconds",
            "# UNIT sealway_config_propagation_seconds seconds",
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line:?} in\n{text}");
        }
        let described = text.lines().filter(|line| line.starts_with("# HELP")).count();
        assert_eq!(described, text.lines().filter(|line| line.starts_with("# TYPE")).count());
    }
}
