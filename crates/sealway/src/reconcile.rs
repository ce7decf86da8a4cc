//! The reconcile loop: every event compiles, and what differs is published, shown and said.
//!
//! Events: a load of manifests, what was issued and what of it is served, what became of sockets, what backends did in TLS, an answer for a
//! name, a revocation list, the time that the compiler asked to be woken at. Output: snapshots to the data plane, a [`View`] to the admin API,
//! log lines. Invariant: nothing is published before
//! the first complete load, and a load that failed leaves everything as it was.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use sealway_api::{ObjectRef, Resources, Timestamp};
use sealway_core::{Compiled, Compiler, Observed, Placement, PortState, Ports, Settings, Severity, Snapshot, SocketKey};
use sealway_issuer::{Behaviour, Outlook};
use sealway_provider::files::Loaded;
use sealway_proxy::{Metrics, Proxy, Reload};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::closed_loop::{self, Reports};
use crate::issuance;
use crate::listening::Announcer;
use crate::manifests::gather;
use crate::names::Names;
use crate::revocation::ListSources;
use crate::transition::merge_times;
use crate::view::{Phase, Told, View};

/// What is looked at beside the loads.
pub(crate) struct Inputs {
    /// What the issuer gives.
    pub(crate) outlook: watch::Receiver<Arc<Outlook>>,
    /// What handshakes found.
    pub(crate) reports: watch::Receiver<Arc<Reports>>,
    /// cert-manager's statuses have no condition for that.
    pub(crate) behaviour: Behaviour,
    /// Revocation lists that stand in no manifest.
    pub(crate) lists: ListSources,
}

/// Turns loads into what is served and shown.
pub(crate) struct Reconciler {
    settings: Settings,
    compiler: Compiler,
    proxy: Arc<Proxy>,
    metrics: Metrics,
    names: Names,
    inputs: Inputs,
    view: watch::Sender<Arc<View>>,
    announcer: Announcer,
    published: BTreeMap<ObjectRef, Arc<Snapshot>>,
}

impl Reconciler {
    /// A loop that has seen nothing yet.
    pub(crate) fn new(
        settings: Settings,
        proxy: Arc<Proxy>,
        metrics: Metrics,
        inputs: Inputs,
        view: watch::Sender<Arc<View>>,
    ) -> Self {
        Self {
            compiler: Compiler::new(settings.clone()),
            settings,
            proxy,
            metrics,
            names: Names::start(),
            inputs,
            view,
            announcer: Announcer::default(),
            published: BTreeMap::new(),
        }
    }

    /// Runs until the source of loads ends. The first load is complete when it is handed over.
    pub(crate) async fn run(mut self, mut loads: watch::Receiver<Loaded>) {
        let mut load = loads.borrow_and_update().clone();
        let mut outlook = Arc::clone(&self.inputs.outlook.borrow_and_update());
        let mut resources = issuance::with_overlay(&load.resources, &outlook);
        let mut noticed = Instant::now();
        let mut ports = self.proxy.port_states();
        let mut backends = self.proxy.backend_tls();
        let mut is_new = true;
        let mut is_first = true;
        loop {
            let observed = Observed {
                ports: Ports::Reported(ports.borrow_and_update().clone()),
                names: self.names.answers(),
                backend_tls: backends.borrow_and_update().clone(),
                revocation_lists: self.inputs.lists.known(),
                ..Observed::assumed(Timestamp::now())
            };
            let compiled = compile(&mut self.compiler, &self.settings, &resources, &observed);
            let wake_at = compiled.as_ref().and_then(|compiled| compiled.wake_at);
            let result = if compiled.is_some() { result(&load) } else { Reload::Failure };
            if let Some(compiled) = compiled {
                self.apply(compiled, &load, &outlook, &observed);
            }
            if std::mem::take(&mut is_new) {
                self.metrics.config_propagated(noticed.elapsed());
                self.metrics.config_reloaded(result);
                self.say_load(&load, std::mem::replace(&mut is_first, false));
            }
            tokio::select! {
                changed = loads.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    noticed = Instant::now();
                    load = loads.borrow_and_update().clone();
                    resources = issuance::with_overlay(&load.resources, &outlook);
                    is_new = true;
                }
                Ok(()) = self.inputs.outlook.changed() => {
                    let before = std::mem::replace(&mut outlook, Arc::clone(&self.inputs.outlook.borrow_and_update()));
                    if before.overlay != outlook.overlay {
                        resources = issuance::with_overlay(&load.resources, &outlook);
                    }
                }
                changed = ports.changed() => if changed.is_err() { return },
                changed = seldom(&mut backends) => if changed.is_err() { return },
                Ok(()) = self.inputs.reports.changed() => {}
                () = self.names.changed() => {}
                () = self.inputs.lists.changed() => {}
                () = alarm(wake_at) => {}
            }
        }
    }

    /// Says what a load brought, and what of the command line it leaves without an object.
    fn say_load(&self, load: &Loaded, is_first: bool) {
        let (gateways, problems) = (load.resources.gateways.len(), self.view.borrow().problems.len());
        if !is_first {
            tracing::info!(
                objects = load.resources.iter().count(),
                gateways,
                problems,
                "configuration reloaded"
            );
        }
        if self.published.is_empty() {
            let controller = self.settings.controller_name();
            tracing::warn!(
                gateways,
                controller,
                "nothing to serve: no Gateway of a class of this controller is accepted"
            );
        }
        if let Placement::Standalone { gateway_binds, .. } = &self.settings.placement {
            for gateway in gateway_binds.keys().filter(|key| !load.resources.gateways.contains_key(*key)) {
                tracing::warn!(%gateway, "--bind names a Gateway that is not there");
            }
        }
    }

    /// Publishes first: what is served must not wait for what is said.
    fn apply(&mut self, compiled: Compiled, load: &Loaded, outlook: &Outlook, observed: &Observed) {
        if !is_same(&self.published, &compiled.snapshots) {
            self.proxy.publish(&compiled.snapshots, &compiled.keys);
            self.published.clone_from(&compiled.snapshots);
        }
        self.names.want(&compiled.names);

        let mut found = compiled.problems;
        let reports = Arc::clone(&self.inputs.reports.borrow_and_update());
        found.extend(issuance::problems(&outlook.findings));
        found.extend(closed_loop::problems(&reports));
        let problems = gather(load, found);
        let before = Arc::clone(&self.view.borrow());
        let mut statuses = serde_json::to_value(&compiled.statuses).unwrap_or(Value::Null);
        let mut of_issuer = outlook.statuses.clone();
        if self.inputs.behaviour == Behaviour::Sealway {
            closed_loop::add_conditions(&mut of_issuer, &reports);
        }
        issuance::add_statuses(&mut statuses, &of_issuer);
        merge_times(&mut statuses, before.statuses.value(), observed.now);
        let Ports::Reported(states) = &observed.ports else { return };
        let sockets: Vec<Option<&PortState>> = compiled
            .snapshots
            .values()
            .flat_map(|snapshot| snapshot.sockets())
            .map(|(address, key, _)| {
                states.get(&SocketKey {
                    transport: key.transport,
                    address,
                })
            })
            .collect();
        let sockets_known = sockets.iter().all(Option::is_some);
        let view = View {
            phase: match before.phase {
                Phase::Draining => Phase::Draining,
                _ if before.phase == Phase::Serving || sockets_known => Phase::Serving,
                _ => Phase::Opening,
            },
            is_reachable: sockets.is_empty() || sockets.contains(&Some(&PortState::Bound)),
            statuses: Told::Made(statuses),
            problems,
            snapshots: compiled.snapshots,
        };
        if sockets_known {
            self.announcer.announce(&view, &compiled.statuses, states);
        }
        self.view.send_modify(|shown| {
            // The end may have been asked for in the meantime.
            let phase = if shown.phase == Phase::Draining {
                Phase::Draining
            } else {
                view.phase
            };
            *shown = Arc::new(View { phase, ..view });
        });
    }
}

/// The compiler never panics. Should it, then that is a defect of ours, and no reason to end connections or to start over with nothing.
pub(crate) fn compile(
    compiler: &mut Compiler,
    settings: &Settings,
    resources: &Resources,
    observed: &Observed,
) -> Option<Compiled> {
    let compiled = catch_unwind(AssertUnwindSafe(|| compiler.compile(resources, observed)));
    if compiled.is_err() {
        tracing::error!("defect: the compiler panicked; what was served goes on. Please report it with the manifests");
        *compiler = Compiler::new(settings.clone());
    }
    compiled.ok()
}

/// Whether the data plane has these already. A part that did not change keeps its `Arc`, so a pointer is enough most times.
pub(crate) fn is_same(one: &BTreeMap<ObjectRef, Arc<Snapshot>>, two: &BTreeMap<ObjectRef, Arc<Snapshot>>) -> bool {
    one.len() == two.len()
        && one.iter().zip(two).all(|((name, snapshot), (other_name, other))| {
            name == other_name && (Arc::ptr_eq(snapshot, other) || snapshot == other)
        })
}

/// A load in which something could not be read leaves what was good before in force.
fn result(load: &Loaded) -> Reload {
    let failed = load
        .problems
        .iter()
        .any(|problem| problem.cause.severity() == Severity::Error);
    if failed { Reload::Failure } else { Reload::Success }
}

/// The next change, but not at once: of two endpoints one may fail and one succeed, many times a second.
pub(crate) async fn seldom<T>(changes: &mut watch::Receiver<T>) -> Result<(), watch::error::RecvError> {
    changes.changed().await?;
    sleep(Duration::from_millis(250)).await;
    Ok(())
}

/// Comes at that time, or never.
pub(crate) async fn alarm(at: Option<Timestamp>) {
    let Some(at) = at else {
        return std::future::pending().await;
    };
    let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    // Not in a tight loop, should the compiler ask for a moment that has passed; and in steps, for clocks are set.
    sleep(wait.clamp(Duration::from_millis(100), Duration::from_secs(3600))).await;
}
