//! The compiler's passes in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{ObjectRef, Resources, Statuses, Timestamp};

use crate::problem::Problem;
use crate::settings::{Observed, Settings};
use crate::snapshot::Snapshot;

/// Turns resources into what the data plane obeys and what users are told. Results are kept between calls.
#[derive(Debug)]
pub struct Compiler {
    settings: Settings,
    last: BTreeMap<ObjectRef, Arc<Snapshot>>,
}

/// Everything that one compilation gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// One per Gateway that is served; unchanged parts keep their `Arc`.
    pub snapshots: BTreeMap<ObjectRef, Arc<Snapshot>>,
    /// Every status.
    pub statuses: Statuses,
    /// Everything that is wrong, root causes first.
    pub problems: Vec<Problem>,
    /// DNS names that must be resolved and come back in [`Observed::names`].
    pub names: BTreeSet<String>,
    /// When time alone changes the outcome.
    pub wake_at: Option<Timestamp>,
}

impl Compiler {
    /// A compiler for the life of the process.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            last: BTreeMap::new(),
        }
    }

    /// Compiles. Total: every mistake becomes a status and a problem, never an error, and no object takes its neighbour down.
    pub fn compile(&mut self, resources: &Resources, observed: &Observed) -> Compiled {
        let _ = (resources, observed, &self.settings, &self.last);
        Compiled::default()
    }
}
