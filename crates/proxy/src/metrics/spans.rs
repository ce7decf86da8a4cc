//! What became of the spans of requests.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Of all Gateways.
#[derive(Clone, Debug)]
pub(crate) struct SpanMetrics(Family<SpanLabels, Counter>);

/// Labels of `sealway_spans_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpanLabels {
    gateway: Arc<str>,
    result: &'static str,
}

/// Of one Gateway.
#[derive(Clone, Debug)]
pub(crate) struct SpanCounters {
    /// The collector has them.
    pub(crate) exported: Counter,
    /// It could not be told of them, or did not take them.
    pub(crate) failed: Counter,
    /// There were too many.
    pub(crate) dropped: Counter,
}

impl SpanMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self(Family::default());
        registry.register(
            "sealway_spans",
            "Spans of requests that were to be exported, by what became of them",
            metrics.0.clone(),
        );
        metrics
    }

    /// All at 0 from the start.
    pub(crate) fn of_gateway(&self, gateway: &Arc<str>) -> SpanCounters {
        let counter = |result| {
            let gateway = Arc::clone(gateway);
            self.0.get_or_create_owned(&SpanLabels { gateway, result })
        };
        SpanCounters {
            exported: counter("exported"),
            failed: counter("failed"),
            dropped: counter("dropped"),
        }
    }
}
