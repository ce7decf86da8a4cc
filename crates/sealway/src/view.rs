//! What the process shows of itself: the last compilation, as the admin API gives it out.
//!
//! The reconcile loop writes, the admin server reads. Invariant: a reader sees statuses, problems and snapshots of one compilation,
//! never a mixture.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use sealway_api::{ObjectRef, Statuses, Timestamp};
use sealway_core::{Problem, Snapshot};
use sealway_provider::kube::StoredStatuses;
use serde_json::Value;

use crate::transition::merge_times;

/// One moment of the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// How far it is.
    pub(crate) phase: Phase,
    /// Whether a client can get in: a socket is bound, or none is asked for.
    pub(crate) is_reachable: bool,
    /// Every status.
    pub(crate) statuses: Told,
    /// Reading's and compiling's, root causes first.
    pub(crate) problems: Vec<Problem>,
    /// What the data plane obeys.
    pub(crate) snapshots: BTreeMap<ObjectRef, Arc<Snapshot>>,
}

/// Statuses as JSON, with `lastTransitionTime`.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// As they were made.
    Made(Value),
    /// Made when somebody asks: of thousands of routes it takes longer than to serve a change of one.
    OnDemand(Arc<OnDemand>),
}

/// What they are made of in a cluster.
#[derive(Debug)]
pub(crate) struct OnDemand {
    statuses: Arc<Statuses>,
    /// Has the times.
    stored: Arc<StoredStatuses>,
    made: OnceLock<Value>,
}

impl Default for Told {
    fn default() -> Self {
        Self::Made(Value::Null)
    }
}

impl Told {
    /// Those of a cluster. What has not been written yet changes when somebody asks.
    pub(crate) fn on_demand(statuses: Arc<Statuses>, stored: Arc<StoredStatuses>) -> Self {
        Self::OnDemand(Arc::new(OnDemand {
            statuses,
            stored,
            made: OnceLock::new(),
        }))
    }

    /// May take a while.
    pub(crate) fn value(&self) -> &Value {
        match self {
            Self::Made(value) => value,
            Self::OnDemand(on_demand) => on_demand.made.get_or_init(|| {
                let mut value = serde_json::to_value(&*on_demand.statuses).unwrap_or(Value::Null);
                merge_times(&mut value, &on_demand.stored.tree(), Timestamp::now());
                value
            }),
        }
    }
}

/// How far the process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing has been read to the end yet.
    #[default]
    Loading,
    /// Sockets are being opened for the first time.
    Opening,
    /// Connections are served.
    Serving,
    /// The end was asked for; connections are let go.
    Draining,
}

impl Phase {
    /// Whether new connections should be sent here.
    pub(crate) fn is_ready(self) -> bool {
        self == Self::Serving
    }

    /// In words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Opening => "opening ports",
            Self::Serving => "ready",
            Self::Draining => "draining",
        }
    }
}
