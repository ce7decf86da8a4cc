//! The compiler: its passes in order.
//!
//! Job: [`Compiler::compile`]. Input: resources and observed facts. Output: [`Compiled`]. Invariant: total and deterministic; what the
//! compiler remembers between calls changes only which `Arc`s are shared, never what they hold.

mod admission;
mod attach;
mod backends;
mod certificates;
mod conflicts;
mod coverage;
mod frontend;
mod gateways;
mod grants;
mod http;
mod listeners;
mod memory;
mod options;
mod parents;
mod policies;
mod ports;
mod references;
mod routes;
mod sets;
mod snapshots;
mod statuses;
mod trust;
mod values;
mod verification;
mod world;
mod x_backends;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{ObjectRef, Resources, Statuses, Timestamp};

use crate::keys::Keys;
use crate::problem::Problem;
use crate::settings::{Observed, Settings};
use crate::snapshot::Snapshot;
use backends::LastBackends;
use memory::Memory;
use world::World;

/// Turns resources into what the data plane obeys and what users are told. Results are kept between calls.
#[derive(Debug)]
pub struct Compiler {
    settings: Settings,
    last: BTreeMap<ObjectRef, Arc<Snapshot>>,
    backends: LastBackends,
    memory: Memory,
}

/// Everything that one compilation gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// One per Gateway that is served; unchanged parts keep their `Arc`.
    pub snapshots: BTreeMap<ObjectRef, Arc<Snapshot>>,
    /// For each of them, the keys of the certificates that it names.
    pub keys: BTreeMap<ObjectRef, Keys>,
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
            backends: LastBackends::new(),
            memory: Memory::default(),
        }
    }

    /// Compiles. Total: every mistake becomes a status and a problem, never an error, and no object takes its neighbour down.
    pub fn compile(&mut self, resources: &Resources, observed: &Observed) -> Compiled {
        let mut world = World::new(&self.settings, resources, observed, &self.backends, &self.memory);
        let classes = gateways::classes(&mut world);
        let mut gateways = gateways::collect(&mut world);
        sets::collect(&mut world, &mut gateways);
        for gateway in &mut gateways {
            listeners::examine(&mut world, gateway);
            frontend::apply(&mut world, gateway);
            conflicts::find(&mut world, gateway);
            listeners::names(gateway);
        }
        ports::assign(&mut world, &mut gateways);
        policies::collect(&mut world);
        http::listener_filters(&mut world, &mut gateways);
        let routes = attach::attach(&mut world, &mut gateways);
        policies::tell_evidence(&mut world, &gateways);
        coverage::check(&mut world, &gateways);
        references::check(&mut world);

        let snapshots = snapshots::build(&mut gateways, &self.settings, observed.session_key.as_ref(), &self.last);
        let statuses = Statuses {
            gateway_classes: classes,
            gateways: gateways
                .iter()
                .map(|gateway| (gateway.key.clone(), statuses::gateway(&world, gateway)))
                .collect(),
            listener_sets: gateways.iter().flat_map(statuses::listener_sets).collect(),
            routes,
            backend_tls_policies: policies::statuses(&world),
            x_backends: x_backends::statuses(&world),
        };
        let World {
            mut problems,
            names,
            backends,
            x_backends,
            memory,
            keys,
            wake_at,
            ..
        } = world;
        self.last.clone_from(&snapshots);
        self.backends = backends::remember(backends, x_backends);
        self.memory = memory;
        Problem::sort(&mut problems);
        problems.dedup();
        Compiled {
            snapshots,
            keys: snapshots::keys(&self.last, &keys),
            statuses,
            problems,
            names,
            wake_at,
        }
    }
}
