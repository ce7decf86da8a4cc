//! What is counted of requests. The series of a route are looked up once; a request adds to what was found.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The requests of all routes.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    duration: Family<RouteLabels, Histogram, NewHistogram>,
    refusals: Family<RefusalLabels, Counter>,
}

/// Labels of `sealway_http_requests_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    /// Empty when no route was found.
    route: Arc<str>,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    route: Arc<str>,
    reason: &'static str,
}

#[derive(Clone, Debug)]
struct NewHistogram;

impl MetricConstructor<Histogram> for NewHistogram {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// The series of one route.
#[derive(Debug)]
pub(crate) struct RouteCounters {
    route: Arc<str>,
    metrics: HttpMetrics,
    duration: Histogram,
    /// One for each code that was seen: seldom more than three.
    codes: RwLock<Vec<(u16, Counter)>>,
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(NewHistogram),
            refusals: Family::default(),
        };
        registry.register(
            "sealway_http_requests",
            "Requests that have ended, by the code of the response",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "sealway_http_request",
            "From the first byte of a request to the last of its response",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "sealway_http_refusals",
            "Requests that did not get a backend's whole answer, by why",
            metrics.refusals.clone(),
        );
        metrics
    }

    /// The series of a route; empty: of requests for which there is none.
    pub(crate) fn route(&self, route: &str) -> RouteCounters {
        let route: Arc<str> = route.into();
        RouteCounters {
            duration: self.duration.get_or_create_owned(&RouteLabels {
                route: Arc::clone(&route),
            }),
            metrics: self.clone(),
            codes: RwLock::default(),
            route,
        }
    }
}

impl RouteCounters {
    pub(crate) fn name(&self) -> &str {
        &self.route
    }

    /// Counts a request that has ended.
    pub(crate) fn count(&self, code: u16, took: Duration) {
        self.duration.observe(took.as_secs_f64());
        let codes = self.codes.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        match codes.iter().find(|(known, _)| *known == code) {
            Some((_, counter)) => {
                counter.inc();
            }
            None => {
                drop(codes);
                self.count_new(code);
            }
        }
    }

    #[cold]
    fn count_new(&self, code: u16) {
        let labels = RequestLabels {
            route: Arc::clone(&self.route),
            code,
        };
        let counter = self.metrics.requests.get_or_create_owned(&labels);
        counter.inc();
        let mut codes = self.codes.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if codes.iter().all(|(known, _)| *known != code) {
            codes.push((code, counter));
        }
    }

    /// Counts why a request did not get a backend's whole answer.
    #[cold]
    pub(crate) fn count_refusal(&self, reason: &'static str) {
        let labels = RefusalLabels {
            route: Arc::clone(&self.route),
            reason,
        };
        self.metrics.refusals.get_or_create(&labels).inc();
    }
}

const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
