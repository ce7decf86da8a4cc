//! The metrics of the process itself; those of connections belong to the data plane.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Counts what becomes of changes of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct ReloadMetrics {
    reloads: Family<ReloadLabels, Counter>,
    propagation: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: ReloadResult,
}

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "spelled as the label's values are")]
pub(crate) enum ReloadResult {
    /// Nothing wrong.
    success,
    /// Taken, with errors: each of them a problem.
    problems,
}

impl ReloadMetrics {
    /// Registers them, together with `sealway_build_info`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reloads: Family::default(),
            propagation: Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]),
        };
        // Both series exist from the start, so that a rate over them does.
        for result in [ReloadResult::success, ReloadResult::problems] {
            let _ = metrics.reloads.get_or_create(&ReloadLabels { result });
        }
        registry.register(
            "sealway_config_reloads",
            "Changes of the configuration that were read and compiled",
            metrics.reloads.clone(),
        );
        registry.register_with_unit(
            "sealway_config_propagation",
            "Time from a change that was read to its publication to the data plane",
            Unit::Seconds,
            metrics.propagation.clone(),
        );
        let version = ("version", env!("CARGO_PKG_VERSION"));
        registry.register("sealway_build", "The build that runs", Info::new(vec![version]));
        metrics
    }

    /// Counts a reload that took effect after `took`.
    pub(crate) fn reloaded(&self, result: ReloadResult, took: Duration) {
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
        self.propagation.observe(took.as_secs_f64());
    }
}
