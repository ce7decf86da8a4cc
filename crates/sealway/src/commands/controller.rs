//! `sealway controller`: watches a cluster, looks after its Gateways, and feeds their proxies, until a signal.

use std::env;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use prometheus_client::registry::Registry;
use sealway_api::ObjectKey;
use sealway_core::{Classes, Placement, Settings};
use sealway_feed::{ClientSettings, Server, relay};
use sealway_issuer::Outlook;
use sealway_provider::files::Loaded;
use sealway_provider::kube::{
    self, Client, Election, ElectionSettings, EventSettings, Events, Holder, Leadership, LeaseTiming, Provisioner, Scope, Source,
    StatusWriter, WriterSettings, follow_features,
};
use sealway_provider::provision::{ADMIN_PORT, HEALTH_PORT, Installation};
use sealway_proxy::Metrics;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::Exit;
use super::run::Signals;
use crate::admin::{self, Sources};
use crate::args::{ControllerArgs, RejectionStyle, TalkArgs};
use crate::controller::access::Access;
use crate::controller::authority::{Credentials, Keeper};
use crate::controller::reconcile::{Inputs, Outputs, Reconciler};
use crate::expiry::Expiry;
use crate::gateway::bind_own;
use crate::issuer_metrics::{self, IssuerMetrics};
use crate::logging;
use crate::view::View;

pub(crate) fn run(args: &ControllerArgs, talk: TalkArgs) -> anyhow::Result<Exit> {
    logging::start(talk);
    // Compiling stays on this thread, so that the feed and the API server's connections go on meanwhile.
    let runtime = runtime().context("runtime")?;
    let exit = runtime.block_on(serve(args));
    runtime.shutdown_background();
    exit
}

fn runtime() -> std::io::Result<Runtime> {
    runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("sealway-control")
        .enable_all()
        .build()
}

/// Which of the replicas this is.
struct Own {
    pod: ObjectKey,
    address: Option<String>,
}

impl Own {
    fn read() -> Self {
        let read = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let namespace = read("POD_NAMESPACE").unwrap_or_else(|| "sealway-system".to_owned());
        let name = read("POD_NAME")
            .or_else(|| read("HOSTNAME"))
            .unwrap_or_else(|| "sealway-controller".to_owned());
        Self {
            pod: ObjectKey::new(namespace, name),
            address: read("POD_IP"),
        }
    }

    fn key(&self, name: &str) -> ObjectKey {
        ObjectKey::new(self.pod.namespace.clone(), name)
    }
}

/// Names that `deploy/` knows too.
const LEASE: &str = "sealway-controller";
const AUTHORITY: &str = "sealway-feed-ca";
const SERVICE_ACCOUNT: &str = "sealway-controller";

async fn serve(args: &ControllerArgs) -> anyhow::Result<Exit> {
    let mut signals = Signals::new()?;
    let own = Own::read();
    let client = kube::client(args.kubeconfig.as_deref()).await?;
    let admin_socket = bind_own(args.admin, "--admin").await?;
    let health_socket = match args.health {
        Some(address) => Some(bind_own(address, "--health").await?),
        None => None,
    };
    let feed_socket = bind_own(args.feed, "--feed").await?;
    let mut tasks = JoinSet::new();

    let scope = Scope {
        namespaces: args.watch_namespaces.iter().cloned().collect(),
        controller: args.controller_name.clone(),
    };
    let mut source = Source::start(client.clone(), scope);
    let (features_sender, features) = watch::channel(None);
    tasks.spawn(follow_features(client.clone(), source.served(), features_sender));
    let (credentials_sender, credentials) = watch::channel(None);
    let authorities = args.run_dir.join("feed-ca.crt");
    let keeper = Keeper {
        client: client.clone(),
        secret: own.key(AUTHORITY),
        file: authorities.clone(),
    };
    tasks.spawn(keeper.run(credentials_sender));

    let view = watch::Sender::new(Arc::new(View::default()));
    // Without an issuer: in a cluster cert-manager issues.
    let (_outlook, outlook) = watch::channel(Arc::new(Outlook::default()));
    let (loads_shown, loads_seen) = watch::channel(Loaded::default());
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry, env!("CARGO_PKG_VERSION"));
    let expiry = Expiry::register(&mut registry);
    let issuer_metrics = IssuerMetrics::register(&mut registry);
    tasks.spawn(issuer_metrics::run(
        expiry,
        issuer_metrics,
        view.subscribe(),
        outlook.clone(),
        loads_seen.clone(),
    ));
    let sources = Sources {
        view: view.subscribe(),
        outlook,
        loads: loads_seen,
        registry: Arc::new(registry),
    };
    tasks.spawn(admin::serve(admin_socket, admin::admin_router(sources.clone())));
    if let Some(socket) = health_socket {
        tasks.spawn(admin::serve(socket, admin::health_router(sources)));
    }

    let starting = async {
        let installation = installation(args, &client, &own).await?;
        let loads = source.loads().await.context("the watches have ended")?;
        Ok::<_, anyhow::Error>((installation, loads))
    };
    let (installation, loads) = tokio::select! {
        started = starting => started?,
        _ = signals.next() => return Ok(Exit::Yes),
    };
    tracing::info!(image = installation.image, feed = ?installation.feed, "everything is listed");
    tasks.spawn(show_loads(loads.clone(), loads_shown));

    let access = Access::default();
    let server = Server::new(
        access.authenticate(client.clone(), own.key(SERVICE_ACCOUNT)),
        env!("CARGO_PKG_VERSION"),
    );
    tasks.spawn(feed(server.clone(), feed_socket, credentials.clone()));
    let election = Election::start(client.clone(), election(&own, args.feed));
    let leadership = election.leadership();
    let relayed = ClientSettings {
        addresses: Vec::new(),
        authorities,
        token: args.feed_token.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        directory: None,
    };
    tasks.spawn(relay_to_holder(server.clone(), election.leadership(), relayed));
    let provisioner = Provisioner::start(client.clone(), leadership.clone());
    let writer = StatusWriter::start(
        client.clone(),
        source.stored(),
        leadership.clone(),
        WriterSettings {
            controller: args.controller_name.clone(),
            features: Vec::new(),
            at_once: 8,
        },
    );
    let events = Events::start(
        client.clone(),
        source.served(),
        leadership.clone(),
        EventSettings {
            controller: args.controller_name.clone(),
            instance: own.pod.name.clone(),
        },
    );
    let reconciler = Reconciler {
        settings: settings(args),
        installation,
        inputs: Inputs {
            loads,
            features,
            proxies: server.proxies(),
            applied: provisioner.applied(),
            credentials,
            leadership,
            unwritten: writer.problems(),
        },
        outputs: Outputs {
            server,
            access,
            provisioner,
            writer,
            events,
            view,
            metrics,
            stored: source.stored(),
        },
    };
    // On this thread, and dropped before the Lease is given back: whoever leads next finds nobody writing.
    tokio::select! {
        () = reconciler.run() => bail!("a part of the controller has ended"),
        ended = tasks.join_next() => bail!("a part of the controller has ended: {ended:?}"),
        name = signals.next() => tracing::info!(signal = name, "ending"),
    }
    election.release().await;
    Ok(Exit::Yes)
}

fn settings(args: &ControllerArgs) -> Settings {
    let reserved = [
        SocketAddr::from(([0, 0, 0, 0], HEALTH_PORT)),
        SocketAddr::from(([0_u16; 8], HEALTH_PORT)),
        SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT)),
    ];
    Settings {
        classes: Classes::Named(args.controller_name.clone()),
        placement: Placement::Cluster,
        reserved: reserved.into(),
        ..Settings::default()
    }
}

fn election(own: &Own, feed: SocketAddr) -> ElectionSettings {
    // A pod's name may come again, as in a StatefulSet; who asks for the Lease is this process.
    let start = sealway_api::Timestamp::now().as_nanosecond();
    let feed_address = own.address.as_ref().map(|address| match address.parse::<std::net::IpAddr>() {
        Ok(address) => SocketAddr::new(address, feed.port()).to_string(),
        Err(_) => format!("{address}:{}", feed.port()),
    });
    ElectionSettings {
        namespace: own.pod.namespace.clone(),
        name: LEASE.to_owned(),
        identity: format!("{}_{start:x}", own.pod.name),
        feed_address,
        timing: LeaseTiming::default(),
    }
}

/// Lets the admin API see what is read.
async fn show_loads(mut loads: watch::Receiver<Loaded>, shown: watch::Sender<Loaded>) {
    loop {
        let load = loads.borrow_and_update().clone();
        shown.send_replace(load);
        if loads.changed().await.is_err() {
            return;
        }
    }
}

/// What all Gateways' proxies have in common; asked for until there is an answer.
async fn installation(args: &ControllerArgs, client: &Client, own: &Own) -> anyhow::Result<Installation> {
    let image = match &args.proxy_image {
        Some(image) => image.clone(),
        None => patiently("the image of our own pod", || kube::pod_image(client, &own.pod)).await?,
    };
    let service = own.key(&args.feed_service);
    let addresses = patiently("the address of the feed", || kube::service_addresses(client, &service)).await?;
    let port = args.feed.port();
    let feed = addresses.iter().map(|address| match address.parse::<std::net::IpAddr>() {
        Ok(address) => SocketAddr::new(address, port).to_string(),
        Err(_) => format!("{address}:{port}"),
    });
    Ok(Installation {
        image,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        feed: feed.collect(),
        feed_ca: String::new(),
        rejections: match args.rejections {
            RejectionStyle::Alert => "alert",
            RejectionStyle::Close => "close",
        }
        .to_owned(),
    })
}

/// Asks again while nobody answers. A no stays a no.
async fn patiently<T, Answer>(what: &str, ask: impl Fn() -> Answer) -> anyhow::Result<T>
where
    Answer: Future<Output = Result<T, kube::Unanswered>>,
{
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(kube::Unanswered::Refused(error)) => bail!("{what}: {error}"),
            Err(error) => {
                tracing::warn!(%error, "cannot learn {what} yet");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

/// Serves the feed once there is a certificate.
async fn feed(server: Server, socket: TcpListener, mut credentials: watch::Receiver<Option<Credentials>>) {
    let Ok(first) = credentials.wait_for(Option::is_some).await.map(|first| first.clone()) else {
        return;
    };
    let Some(first) = first else { return };
    let (sender, tls) = watch::channel(first.tls);
    let follow = async {
        while credentials.changed().await.is_ok() {
            if let Some(credentials) = &*credentials.borrow_and_update() {
                sender.send_replace(Arc::clone(&credentials.tls));
            }
        }
    };
    tokio::join!(server.serve(socket, tls), follow);
}

/// Tells the holder of the Lease of the proxies that are connected here, whoever that is.
async fn relay_to_holder(server: Server, mut leadership: watch::Receiver<Leadership>, settings: ClientSettings) {
    let mut told: Option<(Holder, AbortHandle)> = None;
    let mut running = JoinSet::new();
    loop {
        let holder = match &*leadership.borrow_and_update() {
            Leadership::Follower(Some(holder)) => Some(holder.clone()),
            _ => None,
        };
        if told.as_ref().map(|(told, _)| told) != holder.as_ref() {
            running.abort_all();
            told = holder.and_then(|holder| {
                let settings = ClientSettings {
                    addresses: vec![holder.feed_address.clone()?],
                    ..settings.clone()
                };
                Some((holder, running.spawn(relay(settings, server.own_proxies()))))
            });
        }
        while running.try_join_next().is_some() {}
        if leadership.changed().await.is_err() {
            return;
        }
    }
}
