//! `sealway proxy`: carries the connections of one Gateway in a cluster, as the controller tells it, until a signal.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use prometheus_client::registry::Registry;
use sealway_core::{PortState, SocketKey};
use sealway_feed::{Client, ClientSettings, Received, Report};
use sealway_issuer::Outlook;
use sealway_proxy::{Config, Metrics, Proxy};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Exit;
use super::run::{Signals, own_sockets};
use crate::admin::Sources;
use crate::args::{ProxyArgs, TalkArgs};
use crate::expiry::Expiry;
use crate::gateway::{control_runtime, data_plane_runtime};
use crate::issuer_metrics::{self, IssuerMetrics};
use crate::logging;
use crate::reconcile::seldom;
use crate::view::{Phase, Told, View};

pub(crate) fn run(args: &ProxyArgs, talk: TalkArgs) -> anyhow::Result<Exit> {
    logging::start(talk);
    sealway_proxy::raise_descriptor_limit();
    let defaults = Config::default();
    let config = Config {
        workers: args.workers.map_or(defaults.workers, NonZeroUsize::get),
        rejections: args.rejections.into(),
        drain_timeout: args.drain_timeout,
        ..defaults
    };
    let control = control_runtime().context("runtime")?;
    let data_plane = data_plane_runtime(config.workers).context("runtime")?;
    let exit = control.block_on(serve(args, config, data_plane.handle()));
    data_plane.shutdown_background();
    control.shutdown_background();
    exit
}

/// A socket that is not open by then is reported as it is.
const PORTS_DEADLINE: Duration = Duration::from_secs(2);

async fn serve(args: &ProxyArgs, config: Config, data_plane: &Handle) -> anyhow::Result<Exit> {
    let mut signals = Signals::new()?;
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry, env!("CARGO_PKG_VERSION"));
    let expiry = Expiry::register(&mut registry);
    let issuer_metrics = IssuerMetrics::register(&mut registry);
    let proxy = Arc::new(Proxy::new(config, metrics.clone(), data_plane.clone()));
    let view = watch::Sender::new(Arc::new(View::default()));
    let (_outlook, outlook) = watch::channel(Arc::new(Outlook::default()));
    let (_loads, loads) = watch::channel(Default::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(issuer_metrics::run(
        expiry,
        issuer_metrics,
        view.subscribe(),
        outlook.clone(),
        loads.clone(),
    ));
    let sources = Sources {
        view: view.subscribe(),
        outlook,
        loads,
        registry: Arc::new(registry),
    };
    own_sockets(args.admin, args.health).await?.serve(sources, &mut tasks);
    let settings = ClientSettings {
        addresses: args.feed.clone(),
        authorities: args.feed_ca.clone(),
        token: args.feed_token.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        directory: args.keep.clone(),
    };
    let client = tokio::task::spawn_blocking(move || Client::new(settings))
        .await
        .context("reading what was kept was cut short")?;
    let connected = client.clone();
    let link = tokio::spawn(async move { connected.run().await });
    tasks.spawn(obey(Arc::clone(&proxy), client.clone(), view.clone(), metrics));
    tracing::info!(gateway = %args.gateway, controllers = ?args.feed, "waiting for a configuration");
    tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, connections = proxy.connection_count(), "draining");
        }
        ended = tasks.join_next() => bail!("a part of the proxy has ended: {ended:?}"),
    }
    view.send_modify(|view| {
        *view = Arc::new(View {
            phase: Phase::Draining,
            ..View::clone(view)
        });
    });
    client.report(report(&proxy, &view));
    tokio::select! {
        ended = proxy.drain() => match ended {
            0 => tracing::info!("drained"),
            count => tracing::warn!(connections = count, "drain timeout is over: connections were ended"),
        },
        name = signals.next() => tracing::warn!(signal = name, connections = proxy.connection_count(), "ending at once"),
    }
    client.leave();
    // The controller may be gone; then it finds out by itself.
    let _ = timeout(Duration::from_secs(1), link).await;
    Ok(Exit::Yes)
}

/// Has the data plane do what comes, and says how it is.
async fn obey(proxy: Arc<Proxy>, client: Client, view: watch::Sender<Arc<View>>, metrics: Metrics) {
    let mut received = client.received();
    let mut ports = proxy.port_states();
    let mut backends = proxy.backend_tls();
    loop {
        let news = received.borrow_and_update().clone();
        // Who drains opens nothing any more, and must not say that it obeys.
        if let Some(news) = news.filter(|_| !is_draining(&view)) {
            let begun = tokio::time::Instant::now();
            let snapshots = BTreeMap::from([(news.gateway.clone(), Arc::clone(&news.snapshot))]);
            let keys = BTreeMap::from([(news.gateway.clone(), news.keys.clone())]);
            proxy.publish(&snapshots, &keys);
            let is_open = |states: &BTreeMap<SocketKey, PortState>| missing(&news, states) == 0;
            let _ = timeout(PORTS_DEADLINE, ports.wait_for(is_open)).await;
            client.acknowledge(&news, report(&proxy, &view));
            metrics.config_propagated(begun.elapsed());
            metrics.config_reloaded(sealway_proxy::Reload::Success);
            show(&view, &news, &ports.borrow());
        }
        loop {
            tokio::select! {
                changed = received.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    break;
                }
                changed = ports.changed() => if changed.is_err() { return },
                changed = seldom(&mut backends) => if changed.is_err() { return },
            }
            backends.borrow_and_update();
            ports.borrow_and_update();
            client.report(report(&proxy, &view));
            if let Some(news) = &*client.received().borrow() {
                show(&view, news, &proxy.port_states().borrow());
            }
        }
    }
}

/// How many sockets of a configuration are still being opened.
fn missing(news: &Received, states: &BTreeMap<SocketKey, PortState>) -> usize {
    let sockets = news.snapshot.sockets().map(|(address, key, _)| SocketKey {
        transport: key.transport,
        address,
    });
    sockets.filter(|socket| !states.contains_key(socket)).count()
}

fn is_draining(view: &watch::Sender<Arc<View>>) -> bool {
    view.borrow().phase == Phase::Draining
}

fn report(proxy: &Proxy, view: &watch::Sender<Arc<View>>) -> Report {
    let ports = proxy.port_states().borrow().clone();
    let backend_tls = proxy.backend_tls().borrow().clone();
    Report {
        ports: ports.into_iter().collect(),
        backend_tls: backend_tls.into_iter().collect(),
        draining: is_draining(view),
    }
}

fn show(view: &watch::Sender<Arc<View>>, news: &Received, states: &BTreeMap<SocketKey, PortState>) {
    let is_any_bound = states.values().any(|state| *state == PortState::Bound);
    view.send_modify(|shown| {
        let phase = match shown.phase {
            Phase::Draining => Phase::Draining,
            _ => Phase::Serving,
        };
        *shown = Arc::new(View {
            phase,
            is_reachable: is_any_bound || news.snapshot.ports.is_empty(),
            statuses: Told::default(),
            problems: Vec::new(),
            snapshots: BTreeMap::from([(news.gateway.clone(), Arc::clone(&news.snapshot))]),
        });
    });
}
