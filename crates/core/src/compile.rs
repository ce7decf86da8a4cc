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
mod extent;
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
mod telemetry;
mod traffic;
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
use extent::{Extent, Kept};
use memory::Memory;
use world::World;

/// Turns resources into what the data plane obeys and what users are told. Results are kept between calls.
#[derive(Debug)]
pub struct Compiler {
    settings: Settings,
    last: BTreeMap<ObjectRef, Arc<Snapshot>>,
    backends: LastBackends,
    memory: Memory,
    kept: Kept,
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
            kept: Kept::default(),
        }
    }

    /// Compiles. Total: every mistake becomes a status and a problem, never an error, and no object takes its neighbour down.
    pub fn compile(&mut self, resources: &Resources, observed: &Observed) -> Compiled {
        // Taken, so that nothing of it is believed after a compilation that did not come to its end.
        let mut kept = std::mem::take(&mut self.kept);
        let extent = kept.narrow(resources, observed);
        let mut world = World::new(&self.settings, resources, observed, &self.backends, &self.memory, &extent);
        world.uses = std::mem::take(&mut kept.uses);
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
        traffic::collect(&mut world);
        http::listener_filters(&mut world, &mut gateways);
        let x_telemetry_policies = telemetry::apply(&mut world, &mut gateways);
        let told = world.problems.len();
        let routes = attach::attach(&mut world, &mut gateways);
        // What is told once for all routes that lead somewhere is not told again by those that are left out.
        let is_of_routes =
            world.names.is_empty() && world.x_backends.is_empty() && extent::are_of_routes(&world.problems[told..]);
        kept.count_attached(&extent, &mut gateways);
        policies::settle(&mut world);
        traffic::settle(&mut world);
        policies::tell_evidence(&mut world, &gateways);
        coverage::check(&mut world, &gateways);
        references::check(&mut world);

        let snapshots = snapshots::build(
            &mut gateways,
            &self.settings,
            observed.session_key.as_ref(),
            (&self.last, &extent),
        );
        kept.take_statuses(&extent, routes);
        let statuses = Statuses {
            gateway_classes: classes,
            gateways: gateways
                .iter()
                .map(|gateway| (gateway.key.clone(), statuses::gateway(&world, gateway)))
                .collect(),
            listener_sets: gateways.iter().flat_map(statuses::listener_sets).collect(),
            routes: kept.routes.clone(),
            backend_tls_policies: policies::statuses(&world),
            x_backends: x_backends::statuses(&world),
            x_backend_traffic_policies: traffic::statuses(&world),
            x_telemetry_policies,
        };
        kept.remember((resources, observed), &gateways, world.wake_at, is_of_routes);
        let World {
            mut problems,
            names,
            backends,
            x_backends,
            memory,
            keys,
            wake_at,
            uses,
            ..
        } = world;
        self.last.clone_from(&snapshots);
        let backends = backends::remember(backends, x_backends);
        match &extent {
            Extent::Everything => {
                self.backends = backends;
                self.memory = memory;
            }
            Extent::Within { routes, .. } => {
                self.backends.extend(backends);
                self.memory.follow(memory, routes);
            }
        }
        kept.uses = uses;
        kept.problems.extend(extent::of_routes(&problems).cloned());
        problems.extend(kept.problems.iter().cloned());
        self.kept = kept;
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
