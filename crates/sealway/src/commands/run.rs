//! `sealway run`: the standalone gateway, from manifests that are watched, until a signal.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use anyhow::Context as _;
use sealway_core::{Classes, Settings};

use sealway_provider::files::{Watch, WatchSettings};
use sealway_proxy::Config;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use crate::args::{RunArgs, TalkArgs};
use crate::gateway::{Gateway, OwnSockets, Parts, bind_own, control_runtime, data_plane_runtime};
use crate::issuance::{self, Place, Setup};
use crate::state::state_directory;
use crate::{logging, manifests};

pub(crate) fn run(args: &RunArgs, talk: TalkArgs) -> anyhow::Result<Exit> {
    logging::start(talk);
    let descriptors = sealway_proxy::raise_descriptor_limit();
    let config = data_plane_config(args);
    tracing::debug!(descriptors, workers = config.workers, "limits");
    let control = control_runtime().context("runtime")?;
    let data_plane = data_plane_runtime(config.workers).context("runtime")?;
    let exit = control.block_on(serve(args, config, data_plane.handle()));
    // Connections were given their time; look-ups that hang are not waited for.
    data_plane.shutdown_background();
    control.shutdown_background();
    exit
}

async fn serve(args: &RunArgs, config: Config, data_plane: &Handle) -> anyhow::Result<Exit> {
    let mut signals = Signals::new()?;
    let paths = args.manifests.paths.clone();
    // Standard input may keep us waiting, and a signal must not.
    let opening = tokio::task::spawn_blocking(move || manifests::open(&paths));
    let (loader, first) = tokio::select! {
        opened = opening => opened.context("reading was cut short")??,
        _ = signals.next() => return Ok(Exit::Yes),
    };
    let sockets = own_sockets(args.admin, args.health).await?;
    let settings = Settings {
        classes: args.controller_name.clone().map_or(Classes::Every, Classes::Named),
        placement: args.addresses.placement(),
        endpoints: args.addresses.endpoint.clone(),
        reserved: sockets.addresses(),
        crl_failure: args.crl_failure.into(),
    };
    if args.addresses.is_default_loopback() {
        tracing::info!(
            "no --bind: Gateways without an address of their own listen on 127.0.0.1 only; `--bind 0.0.0.0` opens them"
        );
    }
    let watch = Watch::start(loader, first, WatchSettings::default()).context("cannot watch the manifests")?;
    let drain_timeout = config.drain_timeout;
    // Without a home there is nothing to keep; what is fetched is had all the same.
    let state = state_directory(args.state_dir.as_deref()).ok();
    let lists = state.map(|state| state.join("revocation-lists"));
    let issuance = issuance::open(issuance_setup(args), watch.subscribe()).await;
    let mut gateway = Gateway::start(
        settings,
        config,
        sockets,
        data_plane,
        watch.subscribe(),
        Parts { issuance, lists },
    );
    let mut hangups = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    loop {
        tokio::select! {
            name = signals.next() => {
                tracing::info!(signal = name, connections = gateway.connection_count(), ?drain_timeout, "draining");
                break;
            }
            // What daemons do: read everything again.
            Some(()) = hangups.recv() => watch.reload(),
            error = gateway.failed() => return Err(error),
        }
    }
    tokio::select! {
        ended = gateway.drain() => match ended {
            0 => tracing::info!("drained"),
            count => tracing::warn!(connections = count, "drain timeout is over: connections were ended"),
        },
        name = signals.next() => tracing::warn!(signal = name, connections = gateway.connection_count(), "ending at once"),
    }
    Ok(Exit::Yes)
}

fn issuance_setup(args: &RunArgs) -> Setup {
    let settings = sealway_issuer::Settings {
        behaviour: args.issuer_behaviour.into(),
        ..sealway_issuer::Settings::default()
    };
    Setup {
        settings,
        place: match state_directory(args.state_dir.as_deref()) {
            Ok(directory) => Place::Directory(directory),
            Err(error) => Place::Unknown(format!("{error:#}")),
        },
        export: args.export_certs.clone(),
        on_renew: args.on_renew.clone(),
    }
}

fn data_plane_config(args: &RunArgs) -> Config {
    let defaults = Config::default();
    Config {
        workers: args.workers.map_or(defaults.workers, NonZeroUsize::get),
        hello_timeout: args.hello_timeout,
        rejections: args.rejections.into(),
        drain_timeout: args.drain_timeout,
        max_connections: args.max_connections.get(),
        max_connections_per_source: args.max_connections_per_source.map(NonZeroUsize::get),
        ..defaults
    }
}

/// Binds the sockets of our own, and says where they are.
pub(super) async fn own_sockets(admin: SocketAddr, health: Option<SocketAddr>) -> anyhow::Result<OwnSockets> {
    let is_loopback = admin.ip().is_loopback();
    let admin = bind_own(admin, "--admin").await?;
    tracing::info!(address = %admin.local_addr()?, "admin API");
    if !is_loopback {
        tracing::warn!("the admin API has no authentication and is not on loopback: keep others away from it");
    }
    let health = match health {
        Some(address) => {
            let health = bind_own(address, "--health").await?;
            tracing::info!(address = %health.local_addr()?, "health");
            Some(health)
        }
        None => None,
    };
    Ok(OwnSockets {
        admin: Some(admin),
        health,
    })
}

/// What asks a process to end.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals.
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The next one's name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
