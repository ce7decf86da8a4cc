//! What the process shows of itself: the last compilation, as the admin API gives it out.
//!
//! The reconcile loop writes, the admin server reads. Invariant: a reader sees statuses, problems and snapshots of one compilation,
//! never a mixture.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::ObjectRef;
use sealway_core::{Problem, Snapshot};
use serde_json::Value;

/// One moment of the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// How far it is.
    pub(crate) phase: Phase,
    /// Whether a client can get in: a socket is bound, or none is asked for.
    pub(crate) is_reachable: bool,
    /// Statuses with `lastTransitionTime`.
    pub(crate) statuses: Value,
    /// Reading's and compiling's, root causes first.
    pub(crate) problems: Vec<Problem>,
    /// What the data plane obeys.
    pub(crate) snapshots: BTreeMap<ObjectRef, Arc<Snapshot>>,
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
