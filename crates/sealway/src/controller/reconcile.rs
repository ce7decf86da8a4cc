//! The reconcile loop of a cluster: every event compiles, and what differs goes to proxies, to the API server and into the [`View`].
//!
//! Events: a load of resources, what became of the objects that were made, what proxies say, a new certificate of the feed, an answer for a
//! name, time. Invariants: proxies get first what is then spoken of; nothing is published before the first complete load and before it
//! is known what the CRDs can hold; what a Gateway that cannot be accepted any more had made stays as it is.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use sealway_api::{ObjectKey, ObjectRef, Resources, Statuses, Timestamp};
use sealway_core::{Compiled, Compiler, Observed, Ports, Problem, Served, Settings, Snapshot, hold_back};
use sealway_feed::{Proxies, Published, Server};
use sealway_provider::files::Loaded;
use sealway_provider::kube::{AppliedByGateway, Events, Leadership, Needed, Provisioner, StatusWriter, StoredStatuses};
use sealway_provider::provision::{Installation, provision, service_account};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::access::Access;
use super::authority::Credentials;
use super::fleets::{self, Fleets, Seen};
use crate::listening::Announcer;
use crate::manifests::gather;
use crate::names::Names;
use crate::transition::merge_times;
use crate::view::{Phase, View};

/// What is looked at.
pub(crate) struct Inputs {
    pub(crate) loads: watch::Receiver<Loaded>,
    pub(crate) features: watch::Receiver<Option<Served>>,
    pub(crate) proxies: watch::Receiver<Proxies>,
    pub(crate) applied: watch::Receiver<Arc<AppliedByGateway>>,
    pub(crate) credentials: watch::Receiver<Option<Credentials>>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// Problems of writing statuses.
    pub(crate) unwritten: watch::Receiver<Arc<Vec<Problem>>>,
}

/// Where it goes.
pub(crate) struct Outputs {
    pub(crate) server: Server,
    pub(crate) access: Access,
    pub(crate) provisioner: Provisioner,
    pub(crate) writer: StatusWriter,
    pub(crate) events: Events,
    pub(crate) view: watch::Sender<Arc<View>>,
    /// What is written of statuses already.
    pub(crate) stored: Arc<StoredStatuses>,
}

/// See the module.
pub(crate) struct Reconciler {
    pub(crate) settings: Settings,
    /// Without `feed_ca`, which comes with the credentials.
    pub(crate) installation: Installation,
    pub(crate) inputs: Inputs,
    pub(crate) outputs: Outputs,
}

/// Kept from one event to the next.
struct Memory {
    compiler: Compiler,
    names: Names,
    announcer: Announcer,
    published: BTreeMap<ObjectRef, Arc<Snapshot>>,
    revision: u64,
    needed: BTreeMap<ObjectKey, Needed>,
    shown: Arc<Statuses>,
    problems: Arc<Vec<Problem>>,
    leads: bool,
}

impl Reconciler {
    /// Runs until a source ends.
    pub(crate) async fn run(mut self) {
        let mut memory = Memory {
            compiler: Compiler::new(self.settings.clone()),
            names: Names::start(),
            announcer: Announcer::default(),
            published: BTreeMap::new(),
            revision: 0,
            needed: BTreeMap::new(),
            shown: Arc::default(),
            problems: Arc::default(),
            leads: false,
        };
        loop {
            let wake_at = self.turn(&mut memory);
            let Inputs {
                loads,
                features,
                proxies,
                applied,
                credentials,
                leadership,
                unwritten,
            } = &mut self.inputs;
            let changed = tokio::select! {
                changed = loads.changed() => changed,
                changed = features.changed() => changed,
                changed = proxies.changed() => changed,
                changed = applied.changed() => changed,
                changed = credentials.changed() => changed,
                changed = leadership.changed() => changed,
                changed = unwritten.changed() => changed,
                () = memory.names.changed() => Ok(()),
                () = alarm(wake_at) => Ok(()),
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// One look at everything. Returns when time alone changes the outcome.
    fn turn(&mut self, memory: &mut Memory) -> Option<Timestamp> {
        let load = self.inputs.loads.borrow_and_update().clone();
        let served = self.inputs.features.borrow_and_update().clone();
        let proxies = self.inputs.proxies.borrow_and_update().clone();
        let applied = Arc::clone(&self.inputs.applied.borrow_and_update());
        let credentials = self.inputs.credentials.borrow_and_update().clone();
        let leads = matches!(*self.inputs.leadership.borrow_and_update(), Leadership::Leader);
        let unwritten = Arc::clone(&self.inputs.unwritten.borrow_and_update());
        let (Some(served), Some(credentials)) = (served, credentials) else {
            return None;
        };
        let now = Timestamp::now();
        let seen = Seen {
            applied: &applied,
            proxies: &proxies,
            now,
        };
        let controller = self.settings.controller_name().to_owned();
        let fleets = fleets::observe(&load.resources, &controller, seen);
        let observed = Observed {
            ports: Ports::Reported(BTreeMap::new()),
            names: memory.names.answers(),
            backend_tls: fleets::backend_tls(&proxies),
            fleets: fleets.fleets.clone(),
            parameter_faults: fleets.faults.clone(),
            served: Some(served),
            session_key: credentials.session_key.clone(),
            ..Observed::assumed(now)
        };
        let compiled = compile(memory, &self.settings, &load.resources, &observed)?;
        memory.names.want(&compiled.names);
        let wake_at = [compiled.wake_at, fleets.wake_at].into_iter().flatten().min();
        self.publish(memory, &compiled, &load.resources, &controller);
        self.need(memory, &compiled, &load.resources, &fleets, credentials.bundle);
        self.tell(memory, compiled, &load, (&proxies, &unwritten, leads), now);
        wake_at
    }

    /// Proxies come first: what is served must not wait for what is said.
    fn publish(&self, memory: &mut Memory, compiled: &Compiled, resources: &Resources, controller: &str) {
        let accounts = fleets::ours(resources, controller).map(|(key, gateway, _)| {
            let account = ObjectKey::new(key.namespace.clone(), service_account(gateway));
            (account, key.clone())
        });
        self.outputs.access.set(accounts.collect());
        let is_same = memory.published.len() == compiled.snapshots.len()
            && memory
                .published
                .iter()
                .zip(&compiled.snapshots)
                .all(|((name, before), (other, now))| name == other && Arc::ptr_eq(before, now));
        if is_same && memory.revision > 0 {
            return;
        }
        memory.revision += 1;
        let published = compiled.snapshots.iter().map(|(gateway, snapshot)| {
            let published = Published {
                snapshot: Arc::clone(snapshot),
                keys: compiled.keys.get(gateway).cloned().unwrap_or_default(),
                revision: memory.revision,
            };
            (gateway.clone(), published)
        });
        self.outputs.server.publish(&published.collect());
        memory.published.clone_from(&compiled.snapshots);
    }

    fn need(&self, memory: &mut Memory, compiled: &Compiled, resources: &Resources, fleets: &Fleets, feed_ca: String) {
        let installation = Installation {
            feed_ca,
            ..self.installation.clone()
        };
        let mut needed = BTreeMap::new();
        for (key, gateway, _) in fleets::ours(resources, self.settings.controller_name()) {
            let snapshot = compiled.snapshots.iter().find(|(reference, _)| reference.key == *key);
            let uid = gateway.metadata.uid.clone();
            let (Some((_, snapshot)), Some(parameters), Some(uid)) = (snapshot, fleets.parameters.get(key), uid) else {
                // It cannot be accepted: what it has had goes on.
                if let Some(before) = memory.needed.remove(key) {
                    needed.insert(key.clone(), before);
                }
                continue;
            };
            let ports = snapshot.ports.keys().map(|port| (port.transport, port.port)).collect();
            let objects = provision(gateway, parameters, &ports, &installation);
            needed.insert(key.clone(), Needed { uid, objects });
        }
        if memory.needed != needed {
            memory.needed.clone_from(&needed);
            self.outputs.provisioner.need(needed);
        }
    }

    fn tell(
        &self,
        memory: &mut Memory,
        compiled: Compiled,
        load: &Loaded,
        (proxies, unwritten, leads): (&Proxies, &Arc<Vec<Problem>>, bool),
        now: Timestamp,
    ) {
        let mut statuses = compiled.statuses;
        if leads && !memory.leads {
            // What another controller has said goes on to hold.
            memory.shown = Arc::new(Statuses {
                gateways: self.outputs.stored.gateways(),
                ..Statuses::clone(&memory.shown)
            });
        }
        memory.leads = leads;
        let published = self.outputs.server.published();
        hold_back(&mut statuses, &memory.shown, |gateway| {
            fleets::is_served(gateway, proxies, &published)
        });
        if *memory.shown != statuses {
            memory.shown = Arc::new(statuses);
        }
        self.outputs.writer.want(Arc::clone(&memory.shown));
        let mut found = compiled.problems;
        found.extend(unwritten.iter().cloned());
        let problems = gather(load, found);
        if *memory.problems != problems {
            memory.problems = Arc::new(problems);
        }
        self.outputs
            .events
            .tell(Arc::clone(&memory.problems), Arc::clone(&load.resources));
        let before = Arc::clone(&self.outputs.view.borrow());
        let mut shown = serde_json::to_value(&*memory.shown).unwrap_or(Value::Null);
        merge_times(&mut shown, &before.statuses, now);
        let view = View {
            phase: Phase::Serving,
            is_reachable: true,
            statuses: shown,
            problems: memory.problems.to_vec(),
            snapshots: compiled.snapshots,
        };
        memory.announcer.announce(&view, &memory.shown, &BTreeMap::new());
        self.outputs.view.send_replace(Arc::new(view));
    }
}

/// The compiler never panics. Should it, then that is a defect of ours, and proxies go on with what they have.
fn compile(memory: &mut Memory, settings: &Settings, resources: &Resources, observed: &Observed) -> Option<Compiled> {
    let compiled = catch_unwind(AssertUnwindSafe(|| memory.compiler.compile(resources, observed)));
    if compiled.is_err() {
        tracing::error!("defect: the compiler panicked; what was served goes on. Please report it with the manifests");
        memory.compiler = Compiler::new(settings.clone());
    }
    compiled.ok()
}

async fn alarm(at: Option<Timestamp>) {
    let Some(at) = at else {
        return std::future::pending().await;
    };
    let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    // Not in a tight loop, should the compiler ask for a moment that has passed; and in steps, for clocks are set.
    sleep(wait.clamp(Duration::from_millis(100), Duration::from_secs(3600))).await;
}
