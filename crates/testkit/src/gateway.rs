//! A gateway in the test's own process: manifests in, sockets on 127.0.0.1 out.
//!
//! Input: YAML, endpoints for the Services that it names, perhaps a data-plane configuration. Output: a [`TestGateway`] that serves
//! until it is dropped, tells where each listener port is bound, and takes new YAML at any time. Listener ports are moved by an
//! offset at which all of them are free, so tests may run side by side.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use sealway_api::{ListenerStatus, ObjectKey, ObjectRef, Resources, RouteStatus, Statuses, Timestamp};
use sealway_core::{
    BackendAddress, Compiled, Compiler, EndpointOverride, Observed, Placement, PortSelector, Ports, Problem, Settings, SocketKey,
};
use sealway_provider::files::{Loaded, Loader};
use sealway_proxy::{Config, Metrics, Proxy};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{free_port, loopback, wait_until};

/// A gateway from YAML, in this process.
pub struct TestGateway {
    compiler: Compiler,
    proxy: Proxy,
    registry: Registry,
    compiled: Compiled,
    loader: Loader,
    loaded: Loaded,
    directory: TempDir,
    offset: u16,
}

/// What a test may want otherwise.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    endpoints: Vec<EndpointOverride>,
    config: Config,
}

impl Setup {
    /// Serves the port of a Service (`namespace/name`) from `address`; again: from one more.
    pub fn endpoint(mut self, service: &str, port: u16, address: SocketAddr) -> Self {
        let (namespace, name) = service.split_once('/').unwrap_or(("default", service));
        self.endpoints.push(EndpointOverride {
            service: ObjectKey::new(namespace, name),
            port: PortSelector::Number(port),
            address: BackendAddress::Socket(address),
        });
        self
    }

    /// Another configuration of the data plane.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Starts the gateway on `yaml` and waits until every socket is bound or refused.
    ///
    /// # Panics
    ///
    /// When the sockets stay unreported for ten seconds.
    pub async fn start(self, yaml: &str) -> TestGateway {
        let directory = tempfile::tempdir().expect("temporary directory");
        write(&directory, yaml);
        let (loader, loaded) = Loader::open(&[directory.path().to_owned()]).expect("readable directory");
        let offset = free_offset(&loaded.resources);
        let settings = Settings {
            placement: Placement::Standalone {
                binds: vec![loopback(0).ip()],
                gateway_binds: Default::default(),
                port_offset: offset,
            },
            endpoints: self.endpoints,
            ..Settings::default()
        };
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, "test");
        let mut gateway = TestGateway {
            compiler: Compiler::new(settings),
            proxy: Proxy::new(self.config, metrics, Handle::current()),
            registry,
            compiled: Compiled::default(),
            loader,
            loaded,
            directory,
            offset,
        };
        gateway.publish().await;
        gateway
    }
}

/// What `sealway check` would find in `yaml`.
pub fn check(yaml: &str) -> Vec<Problem> {
    let directory = tempfile::tempdir().expect("temporary directory");
    write(&directory, yaml);
    let (_, loaded) = Loader::open(&[directory.path().to_owned()]).expect("readable directory");
    let compiled = Compiler::new(Settings::default()).compile(&loaded.resources, &Observed::assumed(Timestamp::now()));
    loaded.problems.into_iter().chain(compiled.problems).collect()
}

impl TestGateway {
    /// Starts one whose Services need no endpoints of the test's.
    pub async fn start(yaml: &str) -> Self {
        Setup::default().start(yaml).await
    }

    /// Replaces the manifests; returns when the change is in force and every socket has been reported.
    pub async fn apply(&mut self, yaml: &str) {
        write(&self.directory, yaml);
        self.loaded = self.loader.reload();
        self.publish().await;
    }

    /// Where a listener port is bound.
    pub fn address(&self, port: u16) -> SocketAddr {
        loopback(port.saturating_add(self.offset))
    }

    /// Every status, with what became of the sockets.
    pub fn statuses(&self) -> &Statuses {
        &self.compiled.statuses
    }

    /// Status of a route.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn route(&self, route: &ObjectRef) -> &RouteStatus {
        self.compiled
            .statuses
            .routes
            .get(route)
            .unwrap_or_else(|| panic!("{route} has no status"))
    }

    /// Status of a listener of a Gateway (`namespace/name`).
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn listener(&self, gateway: &str, listener: &str) -> &ListenerStatus {
        let (namespace, name) = gateway.split_once('/').unwrap_or(("default", gateway));
        let status = self.compiled.statuses.gateways.get(&ObjectKey::new(namespace, name));
        let found = status.and_then(|status| status.listeners.iter().find(|status| status.name == listener));
        found.unwrap_or_else(|| panic!("listener {listener} of {gateway} has no status"))
    }

    /// What reading and compiling found wrong.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.loaded.problems.iter().chain(&self.compiled.problems)
    }

    /// The data plane itself.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The metrics as they would be scraped.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    async fn publish(&mut self) {
        let resources = Arc::clone(&self.loaded.resources);
        let mut ports = self.proxy.port_states();
        let compile = |compiler: &mut Compiler, ports| {
            let observed = Observed {
                ports,
                ..Observed::assumed(Timestamp::now())
            };
            compiler.compile(&resources, &observed)
        };
        let first = compile(&mut self.compiler, Ports::Reported(ports.borrow().clone()));
        self.proxy.publish(&first.snapshots, &first.keys);
        let wanted: BTreeSet<SocketKey> = sockets(&first).collect();
        let reported = wait_until(DEADLINE, || {
            let states = ports.borrow_and_update();
            wanted.iter().all(|socket| states.contains_key(socket))
        });
        assert!(reported.await, "sockets were not reported within {DEADLINE:?}: {wanted:?}");
        let states = ports.borrow().clone();
        self.compiled = compile(&mut self.compiler, Ports::Reported(states));
        self.proxy.publish(&self.compiled.snapshots, &self.compiled.keys);
    }
}

fn write(directory: &TempDir, yaml: &str) {
    fs::write(directory.path().join("manifests.yaml"), yaml).expect("manifests written");
}

fn sockets(compiled: &Compiled) -> impl Iterator<Item = SocketKey> {
    let sockets = compiled.snapshots.values().flat_map(|snapshot| snapshot.sockets());
    sockets.map(|(address, key, _)| SocketKey {
        transport: key.transport,
        address,
    })
}

/// An offset that brings every listener port to a free one.
fn free_offset(resources: &Resources) -> u16 {
    let listeners = resources.gateways.values().flat_map(|gateway| &gateway.spec.listeners);
    let ports: BTreeSet<u16> = listeners.map(|listener| listener.port).collect();
    let Some(first) = ports.first() else { return 0 };
    let is_free = |offset: u16| {
        let bindable = |port: &u16| {
            port.checked_add(offset)
                .is_some_and(|port| TcpListener::bind(loopback(port)).is_ok())
        };
        ports.iter().all(bindable)
    };
    (0..ATTEMPTS)
        .map(|_| free_port().saturating_sub(*first))
        .find(|offset| is_free(*offset))
        .expect("an offset at which every listener port is free")
}

const DEADLINE: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 100;
