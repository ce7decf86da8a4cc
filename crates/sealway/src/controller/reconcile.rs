//! The reconcile loop of a cluster: every event compiles, and what differs goes to proxies, to the API server and into the [`View`].
//!
//! Events: a load of resources, what became of the objects that were made, what proxies say, a new certificate of the feed, an answer for a
//! name, time. Invariants: proxies get first what is then spoken of; nothing is published before the first complete load and before it
//! is known what the CRDs can hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sealway_api::{ObjectKey, ObjectRef, Resources, Statuses, Timestamp};
use sealway_core::{Compiled, Compiler, Observed, Ports, Problem, Served, Settings, Snapshot, hold_back};
use sealway_feed::{Proxies, Published, Server};
use sealway_provider::files::Loaded;
use sealway_provider::kube::{AppliedByGateway, Events, Leadership, Needed, Provisioner, StatusWriter, StoredStatuses};
use sealway_provider::provision::{Installation, service_account};
use sealway_proxy::{Metrics, Reload};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::access::Access;
use super::authority::Credentials;
use super::fleets::{self, BackendFaults, Fleets, Seen};
use super::needs;
use crate::listening::Announcer;
use crate::manifests::gather;
use crate::names::Names;
use crate::reconcile::{alarm, compile, is_same};
use crate::view::{Phase, Told, View};

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
    pub(crate) metrics: Metrics,
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
    faults: BackendFaults,
    announcer: Announcer,
    published: BTreeMap<ObjectRef, Arc<Snapshot>>,
    revision: u64,
    needed: BTreeMap<ObjectKey, Needed>,
    /// Whom proxies are to believe, as it was when their objects were made last.
    bundle: String,
    last: Option<Last>,
    shown: Arc<Statuses>,
    problems: Arc<Vec<Problem>>,
    leads: bool,
    /// When the [`View`] is to follow: it is for people, and need not follow each change.
    view_due: Option<Instant>,
}

/// The last compilation, as far as it is told of, and what it was of.
struct Last {
    resources: Arc<Resources>,
    observed: Observed,
    wake_at: Option<Timestamp>,
    statuses: Statuses,
    problems: Vec<Problem>,
}

impl Last {
    /// Whether compiling again would give the same: most of what proxies say changes nothing.
    fn holds(&self, resources: &Arc<Resources>, observed: &Observed) -> bool {
        let same_time = Observed {
            now: self.observed.now,
            ..observed.clone()
        };
        Arc::ptr_eq(&self.resources, resources)
            && self.wake_at.is_none_or(|wake_at| observed.now < wake_at)
            && self.observed == same_time
    }
}

/// Between two views.
const VIEW_PAUSE: Duration = Duration::from_millis(500);

impl Reconciler {
    /// Runs until a source ends.
    pub(crate) async fn run(mut self) {
        let mut memory = Memory {
            compiler: Compiler::new(self.settings.clone()),
            names: Names::start(),
            faults: BackendFaults::default(),
            announcer: Announcer::default(),
            published: BTreeMap::new(),
            revision: 0,
            needed: BTreeMap::new(),
            bundle: String::new(),
            last: None,
            shown: Arc::default(),
            problems: Arc::default(),
            leads: false,
            view_due: None,
        };
        let mut noticed = Some(Instant::now());
        loop {
            let wake_at = self.turn(&mut memory);
            if let Some(noticed) = noticed.take() {
                // Proxies count by themselves when they obey.
                self.outputs.metrics.config_propagated(noticed.elapsed());
                self.outputs.metrics.config_reloaded(Reload::Success);
            }
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
                changed = loads.changed() => {
                    noticed = Some(Instant::now());
                    changed
                }
                changed = features.changed() => changed,
                changed = proxies.changed() => changed,
                changed = applied.changed() => changed,
                changed = credentials.changed() => changed,
                changed = leadership.changed() => changed,
                changed = unwritten.changed() => changed,
                () = memory.names.changed() => Ok(()),
                () = at(memory.view_due) => {
                    self.show(&mut memory);
                    Ok(())
                }
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
        let faults_due = memory.faults.look(&proxies, now);
        let observed = Observed {
            ports: Ports::Reported(BTreeMap::new()),
            names: memory.names.answers(),
            backend_tls: memory.faults.known.clone(),
            fleets: fleets.fleets.clone(),
            parameter_faults: fleets.faults.clone(),
            served: Some(served),
            session_key: credentials.session_key.clone(),
            ..Observed::assumed(now)
        };
        let holds = memory
            .last
            .as_ref()
            .is_some_and(|last| last.holds(&load.resources, &observed));
        if !holds {
            let compiled = compile(&mut memory.compiler, &self.settings, &load.resources, &observed)?;
            memory.names.want(&compiled.names);
            self.publish(memory, &compiled, &load.resources, &controller);
            memory.last = Some(Last {
                resources: Arc::clone(&load.resources),
                observed,
                wake_at: compiled.wake_at,
                statuses: compiled.statuses,
                problems: compiled.problems,
            });
        }
        if !holds || memory.bundle != credentials.bundle {
            memory.bundle = credentials.bundle;
            self.need(memory, &load.resources, &fleets);
        }
        let found = [fleets.problems, unwritten.to_vec()].concat();
        self.tell(memory, &load, (&proxies, found, leads));
        let compiled = memory.last.as_ref().and_then(|last| last.wake_at);
        [compiled, fleets.wake_at, faults_due].into_iter().flatten().min()
    }

    /// Proxies come first: what is served must not wait for what is said.
    fn publish(&self, memory: &mut Memory, compiled: &Compiled, resources: &Resources, controller: &str) {
        let accounts = fleets::ours(resources, controller).map(|(key, gateway, _)| {
            let account = ObjectKey::new(key.namespace.clone(), service_account(gateway));
            (account, key.clone())
        });
        self.outputs.access.set(accounts.collect());
        if memory.revision > 0 && is_same(&memory.published, &compiled.snapshots) {
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
        memory.view_due.get_or_insert_with(|| Instant::now() + VIEW_PAUSE);
    }

    fn need(&self, memory: &mut Memory, resources: &Resources, fleets: &Fleets) {
        let installation = Installation {
            feed_ca: memory.bundle.clone(),
            ..self.installation.clone()
        };
        let needed = needs::needed(
            &memory.needed,
            (resources, self.settings.controller_name()),
            (fleets, &memory.published),
            &installation,
        );
        if memory.needed != needed {
            memory.needed.clone_from(&needed);
            self.outputs.provisioner.need(needed);
        }
    }

    fn tell(&self, memory: &mut Memory, load: &Loaded, (proxies, more, leads): (&Proxies, Vec<Problem>, bool)) {
        let Some(last) = &memory.last else { return };
        let mut statuses = last.statuses.clone();
        if leads && !memory.leads {
            // What another controller has said goes on to hold.
            memory.shown = Arc::new(self.outputs.stored.said());
        }
        memory.leads = leads;
        let published = self.outputs.server.published();
        hold_back(&mut statuses, &memory.shown, |gateway| {
            fleets::is_served(gateway, proxies, &published)
        });
        let mut is_new = false;
        if *memory.shown != statuses {
            memory.shown = Arc::new(statuses);
            is_new = true;
        }
        // A follower's word must not be written in the moment between its election and its next look at what was said before.
        self.outputs.writer.want(leads.then(|| Arc::clone(&memory.shown)));
        let mut found = last.problems.clone();
        found.extend(more);
        let problems = gather(load, found);
        if *memory.problems != problems {
            memory.problems = Arc::new(problems);
            is_new = true;
        }
        self.outputs
            .events
            .tell(Arc::clone(&memory.problems), Arc::clone(&load.resources));
        if self.outputs.view.borrow().phase == Phase::Loading {
            self.show(memory);
        } else if is_new {
            memory.view_due.get_or_insert_with(|| Instant::now() + VIEW_PAUSE);
        }
    }

    /// For people: admin API and log.
    fn show(&self, memory: &mut Memory) {
        memory.view_due = None;
        let view = View {
            phase: Phase::Serving,
            is_reachable: true,
            statuses: Told::on_demand(Arc::clone(&memory.shown), Arc::clone(&self.outputs.stored)),
            problems: memory.problems.to_vec(),
            snapshots: memory.published.clone(),
        };
        memory.announcer.announce(&view, &memory.shown, &BTreeMap::new());
        self.outputs.view.send_replace(Arc::new(view));
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
