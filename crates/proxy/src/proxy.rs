//! The data plane as its owner sees it: publish snapshots, watch ports, drain.

mod used;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sealway_api::{ObjectKey, ObjectRef};
use sealway_core::{BackendPeer, BackendTlsFault, DistributionPoint, Keys, PortKey, PortPlan, PortState, Snapshot, SocketKey};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::config::Config;
use crate::http::HttpShared;
use crate::http::trace::{Destination, Tracer};
use crate::limits::{Live, Sources};
use crate::listeners::{Binding, Listeners};
use crate::metrics::Metrics;
use crate::probes::{ProbeGuard, Probes};
use crate::scope::{Life, PortScope, lock};
use crate::tls::{ClientConfigs, ServerConfigs};
use crate::upstream::Upstreams;
pub(crate) use used::Used;

/// The data plane. Dropping it closes the listening sockets; connections go on in the runtime until that ends.
pub struct Proxy {
    shared: Arc<Shared>,
    state: Arc<Mutex<State>>,
    ports: watch::Sender<BTreeMap<SocketKey, PortState>>,
    runtime: Handle,
    /// Drains of removed routes, and what is looked after.
    tasks: Mutex<JoinSet<()>>,
}

/// What every connection may use.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) live: Arc<Live>,
    /// Those of them that are flows of UDP clients.
    pub(crate) flows: Arc<Live>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) upstreams: Upstreams,
    /// By UDP: a Service may have one port for both, and what is behind them fails apart.
    pub(crate) datagrams: Upstreams,
    pub(crate) client_configs: ClientConfigs,
    pub(crate) http: HttpShared,
    pub(crate) probes: Arc<Probes>,
    metrics: Metrics,
}

impl Shared {
    pub(crate) fn new(config: Config, metrics: Metrics) -> Self {
        Self {
            live: Arc::new(Live::new(config.most_connections)),
            sources: Arc::new(Sources::new(config.max_connections_per_source)),
            flows: Arc::new(Live::new(config.most_flows)),
            upstreams: Upstreams::default(),
            datagrams: Upstreams::default(),
            client_configs: ClientConfigs::new(metrics.clone()),
            http: HttpShared::new(&metrics.http, &config.http),
            probes: Arc::default(),
            config,
            metrics,
        }
    }

    fn forget(&self, used: &Used<'_>) {
        let is_used = |service: &ObjectKey, port| used.backends.contains_key(&(service, port));
        self.upstreams.retain(is_used);
        self.datagrams.retain(is_used);
        let is_known = |peer: &BackendPeer| is_used(&peer.service, peer.port) && used.identities.contains(&peer.identity);
        self.client_configs.retain(is_known);
        self.http.follow(used);
    }

    /// Counts a failed attempt to connect to an endpoint, for requests.
    pub(crate) fn count_connect_failure(&self, route: &str, fault: &'static str) {
        self.metrics.count_connect_failure(route, fault);
    }
}

#[derive(Default)]
struct State {
    listeners: Listeners,
    scopes: BTreeMap<(ObjectKey, PortKey), Arc<PortScope>>,
    servers: ServerConfigs,
    /// Published since what nobody names any more was forgotten last.
    unswept: Option<BTreeMap<ObjectRef, Arc<Snapshot>>>,
    /// Of Gateways whose requests are traced.
    tracers: BTreeMap<ObjectKey, Arc<Tracer>>,
    draining: bool,
}

/// Connections of one listener at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConnections {
    /// `namespace/name`.
    pub gateway: String,
    /// The listener's name.
    pub listener: String,
    /// Its port, without offset.
    pub port: u16,
    /// How many, those that drain included.
    pub connections: usize,
}

impl Proxy {
    /// A data plane without listeners. Its sockets and connections live in `runtime`, whoever calls.
    pub fn new(config: Config, metrics: Metrics, runtime: Handle) -> Self {
        let shared = Arc::new(Shared::new(config, metrics));
        let state = Arc::new(Mutex::new(State {
            servers: ServerConfigs::new(shared.client_configs.trusts()),
            ..State::default()
        }));
        let ports = watch::Sender::default();
        let mut tasks = JoinSet::new();
        tasks.spawn_on(
            look_after(Arc::downgrade(&state), Arc::clone(&shared), ports.clone()),
            &runtime,
        );
        Self {
            shared,
            state,
            ports,
            runtime,
            tasks: Mutex::new(tasks),
        }
    }

    /// Obeys `snapshots`, one for each Gateway, from now on: the whole set, not a change of it. Of two that want one socket the first
    /// keeps it; the compiler sees to it that there are none. Live connections go on, save that those of routes and listeners that are
    /// gone have the drain timeout left. `keys` holds the keys of each Gateway's certificates. Does not wait.
    pub fn publish(&self, snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>, keys: &BTreeMap<ObjectRef, Keys>) {
        let _runtime = self.runtime.enter();
        let mut state = lock(&self.state);
        if state.draining {
            return;
        }
        state.servers.follow(snapshots, keys);
        let traced = state.trace(snapshots, &self.shared.metrics);
        let wanted = state.bindings(snapshots, &self.shared.metrics);
        state.listeners.follow(wanted, &self.shared);
        self.report(&state.listeners);
        let until = Instant::now() + self.shared.config.drain_timeout;
        let drained = state.follow(snapshots, until);
        state.unswept = Some(snapshots.clone());
        drop(state);
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        for tracer in traced {
            tasks.spawn_on(tracer.run(Arc::clone(&self.shared)), &self.runtime);
        }
        if !drained.is_empty() {
            tasks.spawn_on(close_at(drained, until), &self.runtime);
        }
    }

    /// What became of each socket that the snapshots ask for. A port that could not be bound is tried again every second.
    pub fn port_states(&self) -> watch::Receiver<BTreeMap<SocketKey, PortState>> {
        self.ports.subscribe()
    }

    /// What went wrong in the last TLS handshake with each backend, by the certificate that it was shown; one that went well is absent.
    pub fn backend_tls(&self) -> watch::Receiver<BTreeMap<BackendPeer, BackendTlsFault>> {
        self.shared.client_configs.faults()
    }

    /// Revocation lists that peers' certificates name and that are not known, as far as they were asked for of late. Whoever fetches them
    /// hands them to the compiler, and keeps what was found: what has come is not asked for again.
    pub fn wanted_lists(&self) -> watch::Receiver<Vec<Arc<DistributionPoint>>> {
        self.shared.client_configs.trusts().wanted().watch()
    }

    /// Connections of each listener that has or had any.
    pub fn connections(&self) -> Vec<ListenerConnections> {
        let state = lock(&self.state);
        let scopes = state.scopes.iter().flat_map(|((gateway, port), scope)| {
            scope.listeners().into_iter().map(move |listener| ListenerConnections {
                gateway: gateway.to_string(),
                listener: listener.name().to_owned(),
                port: port.port,
                connections: listener.connections(),
            })
        });
        let mut connections: Vec<_> = scopes.collect();
        connections.sort_by(|one, two| (&one.gateway, one.port, &one.listener).cmp(&(&two.gateway, two.port, &two.listener)));
        connections
    }

    /// As long as the guard is held, a connection from `source` is a handshake of our own: it ends after TLS, and is neither counted nor
    /// logged.
    #[must_use]
    pub fn probe(&self, source: SocketAddr) -> ProbeGuard {
        self.shared.probes.enter(source)
    }

    /// All connections, those without a listener yet included.
    pub fn connection_count(&self) -> usize {
        self.shared.live.count()
    }

    /// Ends the data plane: closes the ports, lets the connections end by themselves until the drain timeout, then ends the rest.
    /// What requests have left to export goes out last, for as long as that takes a few seconds at most.
    /// Returns how many had to be ended. Dropping the future leaves off waiting; the ports stay closed.
    pub async fn drain(&self) -> usize {
        let until = Instant::now() + self.shared.config.drain_timeout;
        let scopes: Vec<_> = {
            let mut state = lock(&self.state);
            state.draining = true;
            state.listeners.close();
            self.report(&state.listeners);
            state.scopes.values().cloned().collect()
        };
        scopes.iter().for_each(|scope| scope.drain(until));
        let mut left = 0;
        if timeout_at(until, self.shared.live.below(1)).await.is_err() {
            left = self.shared.live.count();
            scopes.iter().for_each(|scope| scope.close());
            // They only have to notice.
            let _ = timeout(LAST_MOMENT, self.shared.live.below(1)).await;
        }
        let tracers: Vec<_> = std::mem::take(&mut lock(&self.state).tracers).into_values().collect();
        tracers.iter().for_each(|tracer| tracer.close());
        let last = Instant::now() + LAST_EXPORT;
        for tracer in tracers {
            let _ = timeout_at(last, tracer.ended()).await;
        }
        left
    }

    fn report(&self, listeners: &Listeners) {
        report(&self.ports, listeners);
    }
}

impl State {
    /// Follows what is traced, and returns who is to begin to export. What is traced no longer goes out and ends.
    fn trace(&mut self, snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>, metrics: &Metrics) -> Vec<Arc<Tracer>> {
        let mut before = std::mem::take(&mut self.tracers);
        let mut begun = Vec::new();
        for snapshot in snapshots.values() {
            let Some(tracing) = &snapshot.tracing else { continue };
            let destination = Destination {
                tracing: Arc::clone(tracing),
                identity: self.servers.identity_of(&snapshot.gateway),
            };
            let tracer = match before.remove(&snapshot.gateway) {
                Some(tracer) => {
                    tracer.follow(destination);
                    tracer
                }
                None => {
                    let gateway: Arc<str> = snapshot.gateway.to_string().into();
                    let counters = metrics.spans.of_gateway(&gateway);
                    let tracer = Arc::new(Tracer::new(gateway, destination, counters));
                    begun.push(Arc::clone(&tracer));
                    tracer
                }
            };
            self.tracers.insert(snapshot.gateway.clone(), tracer);
        }
        before.values().for_each(|tracer| tracer.close());
        begun
    }

    /// The sockets that the snapshots ask for.
    fn bindings(
        &mut self,
        snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>,
        metrics: &Metrics,
    ) -> BTreeMap<SocketKey, Arc<Binding>> {
        let mut wanted = BTreeMap::new();
        for snapshot in snapshots.values() {
            let identity = self.servers.identity_of(&snapshot.gateway);
            for (address, key, plan) in snapshot.sockets() {
                let scope = self.scopes.entry((snapshot.gateway.clone(), key));
                let scope = scope.or_insert_with(|| Arc::new(PortScope::new(&snapshot.gateway, key.port, metrics.clone())));
                let binding = Binding {
                    scope: Arc::clone(scope),
                    snapshot: Arc::clone(snapshot),
                    plan: Arc::clone(plan),
                    servers: self.servers.servers(&snapshot.gateway, key, plan),
                    tracer: self.tracers.get(&snapshot.gateway).cloned(),
                    identity: identity.clone(),
                    state: Default::default(),
                };
                let socket = SocketKey {
                    transport: key.transport,
                    address,
                };
                wanted.entry(socket).or_insert_with(|| Arc::new(binding));
            }
        }
        wanted
    }

    /// Begins to drain what is gone, and returns it.
    fn follow(&mut self, snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>, until: Instant) -> Vec<Arc<Life>> {
        let plans: BTreeMap<(&ObjectKey, PortKey), &PortPlan> = snapshots
            .values()
            .flat_map(|snapshot| {
                snapshot
                    .ports
                    .iter()
                    .map(|(key, plan)| ((&snapshot.gateway, *key), plan.as_ref()))
            })
            .collect();
        let mut drained = Vec::new();
        self.scopes.retain(|(gateway, key), scope| {
            let plan = plans.get(&(gateway, *key)).copied();
            drained.append(&mut scope.follow(plan, until));
            // A port that is gone is remembered for as long as it has connections.
            plan.is_some() || Arc::strong_count(scope) > 1
        });
        drained
    }
}

fn report(ports: &watch::Sender<BTreeMap<SocketKey, PortState>>, listeners: &Listeners) {
    let states = listeners.states();
    ports.send_if_modified(|known| {
        let changed = *known != states;
        *known = states;
        changed
    });
}

/// Ends what drains when its time is up.
async fn close_at(drained: Vec<Arc<Life>>, until: Instant) {
    sleep_until(until).await;
    drained.iter().for_each(|life| life.close_if_due(until));
}

/// A port may become free, and an address may come; connections to backends may have been idle for too long; what was learnt of backends
/// may be of none that is named, which is found out here because it takes a look at every route.
async fn look_after(state: Weak<Mutex<State>>, shared: Arc<Shared>, ports: watch::Sender<BTreeMap<SocketKey, PortState>>) {
    loop {
        sleep(LOOK_AFTER).await;
        let Some(state) = state.upgrade() else { return };
        let unswept = {
            let mut state = lock(&state);
            let unswept = state.unswept.take();
            let identity = |snapshot: &Arc<Snapshot>| state.servers.identity_of(&snapshot.gateway);
            let with_identity = |snapshot| (identity(&snapshot), snapshot);
            unswept.map(|snapshots| snapshots.into_values().map(with_identity).collect::<Vec<_>>())
        };
        if let Some(unswept) = unswept {
            // Connections do not wait for a look at thousands of routes. A panic would be a defect; then nothing is forgotten.
            let shared = Arc::clone(&shared);
            let _ = spawn_blocking(move || shared.forget(&Used::by(&unswept))).await;
        }
        shared.http.sweep(&shared.config.http);
        let mut state = lock(&state);
        if state.listeners.has_failed() && state.listeners.retry(&shared) {
            report(&ports, &state.listeners);
        }
    }
}

const LOOK_AFTER: Duration = Duration::from_secs(1);
/// For spans after the last connection.
const LAST_EXPORT: Duration = Duration::from_secs(3);
/// For connections that have been told to end.
const LAST_MOMENT: Duration = Duration::from_secs(1);
