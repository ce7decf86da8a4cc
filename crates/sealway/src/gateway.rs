//! The gateway of this process: data plane, reconcile loop, admin and health addresses, wired together.
//!
//! Input: settings and a stream of loads. Output: a running [`Gateway`], which is drained or dropped. Two runtimes: connections live in
//! the data plane's, all else in the caller's, so a busy data plane never hides its health.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use prometheus_client::registry::Registry;
use sealway_core::Settings;
use sealway_provider::files::Loaded;
use sealway_proxy::{Config, Metrics, Proxy};
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{self, Sources};
use crate::closed_loop;
use crate::control;
use crate::expiry::Expiry;
use crate::issuance::{self, Issuance, Issuing};
use crate::issuer_metrics::{self, IssuerMetrics};
use crate::reconcile::{Inputs, Reconciler};
use crate::revocation::{Fetcher, ListSources, Lists};
use crate::view::{Phase, View};

/// A gateway that serves as long as it is not dropped.
pub(crate) struct Gateway {
    proxy: Arc<Proxy>,
    view: watch::Sender<Arc<View>>,
    tasks: JoinSet<()>,
}

/// The sockets of our own, bound before anything else so that no listener can take them.
#[derive(Debug, Default)]
pub(crate) struct OwnSockets {
    pub(crate) admin: Option<TcpListener>,
    pub(crate) health: Option<TcpListener>,
}

impl OwnSockets {
    /// Serves what they are for.
    pub(crate) fn serve(self, sources: Sources, tasks: &mut JoinSet<()>) {
        if let Some(socket) = self.admin {
            tasks.spawn(admin::serve(socket, admin::admin_router(sources.clone())));
        }
        if let Some(socket) = self.health {
            tasks.spawn(admin::serve(socket, admin::health_router(sources)));
        }
    }

    /// Where they are.
    pub(crate) fn addresses(&self) -> BTreeSet<SocketAddr> {
        let sockets = [&self.admin, &self.health];
        sockets
            .into_iter()
            .flatten()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }
}

/// What works beside the data plane.
pub(crate) struct Parts {
    /// The issuer, and its own end.
    pub(crate) issuance: (Issuance, Issuing),
    /// Where revocation lists that were fetched are kept.
    pub(crate) lists: Option<PathBuf>,
}

impl Gateway {
    /// Starts everything; nothing is served before the first load has arrived.
    pub(crate) fn start(
        settings: Settings,
        config: Config,
        sockets: OwnSockets,
        data_plane: &runtime::Handle,
        loads: watch::Receiver<Loaded>,
        parts: Parts,
    ) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, env!("CARGO_PKG_VERSION"));
        let expiry = Expiry::register(&mut registry);
        let issuer_metrics = IssuerMetrics::register(&mut registry);
        let proxy = Arc::new(Proxy::new(config, metrics.clone(), data_plane.clone()));
        let view = watch::Sender::new(Arc::new(View::default()));
        let sources = Sources {
            view: view.subscribe(),
            outlook: parts.issuance.0.outlook.clone(),
            loads: loads.clone(),
            registry: Arc::new(registry),
        };
        let mut tasks = JoinSet::new();
        sockets.serve(sources, &mut tasks);
        let Parts {
            issuance: (issuance, issuing),
            lists,
        } = parts;
        let outlooks = issuance.outlook.clone();
        tasks.spawn(issuer_metrics::run(
            expiry,
            issuer_metrics,
            view.subscribe(),
            outlooks,
            loads.clone(),
        ));
        if let Some(directory) = issuing.state_directory() {
            tasks.spawn(control::run(directory, issuance.outlook.clone(), issuance.commands.clone()));
        }
        let fetcher = Fetcher::open(lists);
        let (signed, issued) = watch::channel(Lists::new());
        let (reports, seen) = watch::channel(Arc::default());
        let inputs = Inputs {
            outlook: issuance.outlook.clone(),
            reports: seen,
            behaviour: issuing.behaviour(),
            lists: ListSources {
                issued,
                fetched: fetcher.found(),
            },
        };
        tasks.spawn(fetcher.run(proxy.wanted_lists()));
        tasks.spawn(issuance::tell_lists(issuance.outlook.clone(), signed));
        tasks.spawn(closed_loop::run(
            Arc::clone(&proxy),
            view.subscribe(),
            issuance.outlook,
            reports,
        ));
        let reconciler = Reconciler::new(settings, Arc::clone(&proxy), metrics, inputs, view.clone());
        tasks.spawn(reconciler.run(loads));
        tasks.spawn(issuing.run());
        Self { proxy, view, tasks }
    }

    /// Returns what is served, once it is.
    pub(crate) async fn serving(&mut self) -> anyhow::Result<Arc<View>> {
        let mut view = self.view.subscribe();
        tokio::select! {
            view = view.wait_for(|view| view.phase.is_ready()) => Ok(Arc::clone(&*view.context("the gateway is gone")?)),
            error = self.failed() => Err(error),
        }
    }

    /// Returns only if a part of the gateway has ended by itself: that is a defect, and better said than served around.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Err(error)) => anyhow::Error::new(error).context("a part of the gateway has failed"),
            Some(Ok(())) | None => anyhow::anyhow!("a part of the gateway has ended"),
        }
    }

    /// No longer ready; ports close, connections end by themselves until the drain timeout. Returns how many had to be ended.
    pub(crate) async fn drain(&self) -> usize {
        self.view.send_modify(|view| {
            *view = Arc::new(View {
                phase: Phase::Draining,
                ..View::clone(view)
            });
        });
        self.proxy.drain().await
    }

    /// Connections at this moment.
    pub(crate) fn connection_count(&self) -> usize {
        self.proxy.connection_count()
    }
}

/// The runtime of connections.
pub(crate) fn data_plane_runtime(workers: usize) -> io::Result<Runtime> {
    runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("sealway-data")
        .enable_all()
        .build()
}

/// The runtime of all else, for the thread that calls.
pub(crate) fn control_runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

/// Binds one of our own sockets; `flag` is what moves it elsewhere.
pub(crate) async fn bind_own(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(socket) => Ok(socket),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            bail!("{flag} {address}: another process has this port (does a second sealway run?); choose another with {flag}")
        }
        Err(error) => Err(error).context(format!("cannot listen on {flag} {address}")),
    }
}
