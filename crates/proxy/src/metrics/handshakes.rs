//! Handshakes: how many, how they went, how long they took.
//!
//! `side` says with whom: `client` or `backend`. Those with backends have no listener, for connections to backends are shared.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Of all handshakes.
#[derive(Clone, Debug)]
pub(crate) struct Handshakes {
    total: Family<HandshakeLabels, Counter>,
    seconds: Family<SideLabels, Histogram>,
}

/// Labels of `sealway_handshakes_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HandshakeLabels {
    pub(crate) gateway: Arc<str>,
    pub(crate) listener: Arc<str>,
    pub(crate) side: &'static str,
    pub(crate) result: &'static str,
    /// Of a failure.
    pub(crate) reason: &'static str,
    /// Of a success, as is the group.
    pub(crate) version: &'static str,
    pub(crate) group: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SideLabels {
    side: &'static str,
}

impl Handshakes {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let handshakes = Self {
            total: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        };
        registry.register(
            "sealway_handshakes",
            "TLS handshakes of the gateway, with clients and with backends",
            handshakes.total.clone(),
        );
        registry.register_with_unit(
            "sealway_handshake",
            "How long a TLS handshake took that succeeded: with a client from its hello on",
            Unit::Seconds,
            handshakes.seconds.clone(),
        );
        handshakes
    }

    /// Counts one.
    pub(crate) fn count(&self, labels: &HandshakeLabels) {
        self.total.get_or_create(labels).inc();
    }

    /// Counts one that succeeded.
    pub(crate) fn observe(&self, labels: &HandshakeLabels, took: Duration) {
        self.count(labels);
        let side = SideLabels { side: labels.side };
        self.seconds.get_or_create(&side).observe(took.as_secs_f64());
    }
}

impl HandshakeLabels {
    /// A success with a client; to be filled in.
    pub(crate) fn with_client(gateway: &Arc<str>, listener: &Arc<str>) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            listener: Arc::clone(listener),
            side: "client",
            result: SUCCESS,
            reason: "",
            version: "",
            group: "",
        }
    }

    /// A success with a backend; to be filled in.
    pub(crate) fn with_backend() -> Self {
        let none = Arc::from("");
        Self {
            side: "backend",
            ..Self::with_client(&none, &none)
        }
    }
}

const SUCCESS: &str = "success";
pub(crate) const FAILURE: &str = "failure";

const BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
