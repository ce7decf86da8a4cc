//! A proxy's end: it gives out snapshots as they come, says how the data plane is, and goes on without a controller.
//!
//! In: a controller's address, a token, whom to believe; [`Client::report`] and [`Client::acknowledge`]. Out: [`Client::received`].
//! Invariant: what was received last stays until something better has come whole.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealway_api::{Kind, ObjectRef};
use sealway_core::{Keys, Snapshot};
use thiserror::Error;
#[cfg(test)]
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::{info, warn};

mod session;
mod state;

pub(crate) use state::{Building, Refusal, State};

use crate::content::Content;
use crate::frame::FrameFault;
use crate::message::{Rejection, Report, Token};
use crate::tls::TlsFault;
use crate::{backoff, keep, tls};

/// Where a proxy finds its controller, and what it shows.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// `host:port` of controllers, any of which will do.
    pub addresses: Vec<String>,
    /// PEM file with the authorities of the controller's certificate; read anew for every connection.
    pub authorities: PathBuf,
    /// File with the pod's token; read anew every minute, and for every connection.
    pub token: PathBuf,
    /// Of this program, for people.
    pub version: String,
    /// Where the last good snapshot is kept, keys included: a tmpfs. `None`: nowhere.
    pub directory: Option<PathBuf>,
}

/// What a data plane shall obey.
#[derive(Debug)]
pub struct Received {
    /// Whose it is.
    pub gateway: ObjectRef,
    /// What to do.
    pub snapshot: Arc<Snapshot>,
    /// The keys that it names.
    pub keys: Keys,
    /// The same at every controller.
    pub content: Content,
    /// As the controller counts; `None`: from the file of an earlier process.
    pub revision: Option<u64>,
    state: State,
}

/// How a proxy stands with its controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It has not tried yet.
    New,
    /// It is connected and welcome.
    Connected {
        /// To whom.
        address: String,
        /// What that calls its version.
        version: String,
    },
    /// It is not, and tries again.
    Waiting {
        /// Why, with what mends it.
        why: String,
    },
}

/// Why a connection ended, or did not come about.
#[derive(Debug, Error)]
pub enum LinkFault {
    /// There is no address.
    #[error("no address of a controller is known; give one with --controller")]
    NoAddress,
    /// It cannot be reached.
    #[error("the controller at {address} cannot be reached: {error}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system or TLS says.
        error: std::io::Error,
    },
    /// It does not answer in time.
    #[error("the controller at {0} does not answer in time")]
    Late(String),
    /// There is no token.
    #[error("{}: no token: {error}; the pod needs a projected token with audience sealway.dev/feed", path.display())]
    Token {
        /// Its file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// The controller ends it.
    #[error("the controller ends the connection: {0}; {hint}", hint = .0.hint())]
    Rejected(Rejection),
    /// It broke.
    #[error("the connection to the controller is lost: {0}")]
    Lost(String),
    /// The controller says nothing any more.
    #[error("the controller is silent")]
    Silent,
}

impl From<FrameFault> for LinkFault {
    fn from(fault: FrameFault) -> Self {
        Self::Lost(fault.to_string())
    }
}

/// A proxy's end of the feed. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ClientSettings,
    received: watch::Sender<Option<Arc<Received>>>,
    acknowledged: watch::Sender<Option<Arc<Received>>>,
    report: watch::Sender<Report>,
    link: watch::Sender<Link>,
    leaving: watch::Sender<bool>,
}

/// Until a connection stands, TLS included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// The file is written no more often than that.
const KEEP_PAUSE: Duration = Duration::from_secs(5);

impl Client {
    /// One that has what the file of an earlier process holds. What cannot be read is said in the log, and waited for from the controller.
    #[must_use]
    pub fn new(settings: ClientSettings) -> Self {
        let kept = settings.directory.as_deref().map(keep::load).transpose();
        let kept = kept.unwrap_or_else(|fault| {
            warn!(%fault, "the last good snapshot is not there");
            None
        });
        let received = kept.flatten().and_then(|state| Received::new(state, None)).map(Arc::new);
        if let Some(received) = &received {
            info!(gateway = %received.gateway, content = %received.content, "the last good snapshot is there");
        }
        Self {
            shared: Arc::new(Shared {
                settings,
                // Nobody has to be told of what was obeyed before.
                acknowledged: watch::Sender::new(None),
                received: watch::Sender::new(received),
                report: watch::Sender::default(),
                link: watch::Sender::new(Link::New),
                leaving: watch::Sender::new(false),
            }),
        }
    }

    /// What the data plane shall obey.
    #[must_use]
    pub fn received(&self) -> watch::Receiver<Option<Arc<Received>>> {
        self.shared.received.subscribe()
    }

    /// How it stands with the controller.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.subscribe()
    }

    /// Says that the data plane obeys what was received, and has opened its ports as far as they can be: the report says which it could
    /// not. Must be called for everything that is received, or nothing more comes.
    pub fn acknowledge(&self, received: &Arc<Received>, report: Report) {
        self.report(report);
        self.shared.acknowledged.send_replace(Some(Arc::clone(received)));
    }

    /// Says how the data plane is.
    pub fn report(&self, report: Report) {
        self.shared.report.send_if_modified(|known| {
            let differs = *known != report;
            *known = report;
            differs
        });
    }

    /// Has [`Self::run`] take leave of the controller and end: the pod goes for good.
    pub fn leave(&self) {
        self.shared.leaving.send_replace(true);
    }

    /// One connection over anything.
    #[cfg(test)]
    pub(crate) async fn connection<S: AsyncRead + AsyncWrite + Send + 'static>(
        &self,
        stream: S,
        doubted: bool,
    ) -> Result<(), LinkFault> {
        let mut history = session::History { doubted, failures: 0 };
        session::run(&self.shared, stream, "duplex", &mut history).await
    }

    /// Keeps connected until [`Self::leave`].
    pub async fn run(&self) {
        let keep = async {
            match &self.shared.settings.directory {
                Some(directory) => self.shared.keep(directory.clone()).await,
                None => std::future::pending::<Infallible>().await,
            }
        };
        tokio::select! {
            () = self.shared.run() => {}
            never = keep => match never {},
        }
    }
}

impl Received {
    fn new(state: State, revision: Option<u64>) -> Option<Self> {
        let snapshot = Arc::clone(state.assembly.snapshot()?);
        Some(Self {
            gateway: ObjectRef::of(Kind::Gateway, &snapshot.gateway),
            content: state.content()?,
            snapshot,
            keys: state.keys.clone(),
            revision,
            state,
        })
    }
}

impl Shared {
    async fn run(&self) {
        let mut leaving = self.leaving.subscribe();
        let mut history = session::History::default();
        // Where to begin is chance, so that proxies spread over controllers.
        let mut next = usize::try_from(backoff::draw() % 1024).unwrap_or_default();
        loop {
            let fault = tokio::select! {
                () = left(&mut leaving) => return,
                connected = self.settings.connect(next) => match connected {
                    Err(fault) => fault,
                    Ok((stream, address)) => {
                        let outcome = session::run(self, stream, &address, &mut history).await;
                        let Err(fault) = outcome else { return };
                        fault
                    }
                },
            };
            next = next.wrapping_add(1);
            let pause = backoff::pause(history.failures, backoff::draw());
            history.failures = history.failures.saturating_add(1);
            warn!(%fault, ?pause, "no controller; what was received last is served");
            self.link.send_replace(Link::Waiting { why: fault.to_string() });
            tokio::select! {
                () = left(&mut leaving) => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Writes what was acknowledged last into the file.
    async fn keep(&self, directory: PathBuf) -> Infallible {
        let mut acknowledged = self.acknowledged.subscribe();
        let mut kept = self.received.borrow().as_ref().map(|received| received.content);
        loop {
            let is_new =
                |received: &Option<Arc<Received>>| received.as_ref().is_some_and(|received| Some(received.content) != kept);
            let Some(received) = acknowledged.wait_for(is_new).await.ok().and_then(|received| received.clone()) else {
                // Without a sender there is no client either.
                return std::future::pending().await;
            };
            kept = Some(received.content);
            let directory = directory.clone();
            match tokio::task::spawn_blocking(move || keep::store(&directory, &received.state)).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => warn!(%fault, "the last good snapshot is not kept"),
                Err(fault) => warn!(%fault, "the last good snapshot is not kept"),
            }
            sleep(KEEP_PAUSE).await;
        }
    }
}

/// Waits until leave is to be taken.
async fn left(leaving: &mut watch::Receiver<bool>) {
    // Without a sender there is no client either.
    let _ = leaving.wait_for(|leaving| *leaving).await;
}

impl ClientSettings {
    /// A connection to the controller of this number, counted round and round, and its address.
    pub(crate) async fn connect(&self, number: usize) -> Result<(TlsStream<TcpStream>, String), LinkFault> {
        let addresses = &self.addresses;
        let position = number.checked_rem(addresses.len()).ok_or(LinkFault::NoAddress)?;
        let address = addresses.get(position).ok_or(LinkFault::NoAddress)?.clone();
        let connector = TlsConnector::from(tls::client_config(&self.authorities)?);
        let name = tls::server_name()?;
        let connect = async {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            connector.connect(name, stream).await
        };
        match timeout(CONNECT_DEADLINE, connect).await {
            Ok(Ok(stream)) => Ok((stream, address)),
            Ok(Err(error)) => Err(LinkFault::Unreachable { address, error }),
            Err(_) => Err(LinkFault::Late(address)),
        }
    }

    /// The token of this moment.
    pub(crate) fn token(&self) -> Result<Token, LinkFault> {
        let text = std::fs::read_to_string(&self.token).map_err(|error| LinkFault::Token {
            path: self.token.clone(),
            error,
        })?;
        Ok(Token::new(&text))
    }
}
