//! The controller's end: what every Gateway's proxies shall have, and what they have.
//!
//! In: [`Server::publish`]. Out: [`Server::proxies`]. For each Gateway only the latest is kept; each connection works out what its proxy
//! lacks when that has answered to what came before. So a proxy that is slow holds nobody back, and costs what it has been told and what
//! it was last told.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealway_api::{ObjectKey, ObjectRef};
use sealway_core::{Keys, Snapshot};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

mod authorisation;
mod known;
mod proxy;
mod relayed;
mod wanted;

use authorisation::Authorisation;
use known::Known;
pub use known::{Acknowledged, Proxies, ProxyState, RefusedDelta};
use wanted::Wanted;

use crate::content::Content;
use crate::frame::{self, Frame, FrameFault};
use crate::link::Connection;
use crate::message::{self, Down, PROTOCOL, Rejection, Token, Up};

/// What one Gateway's proxies shall have.
#[derive(Clone, Debug)]
pub struct Published {
    /// What they obey.
    pub snapshot: Arc<Snapshot>,
    /// At least the keys that it names; proxies get no others.
    pub keys: Keys,
    /// Given back in [`Acknowledged`]. The publisher's own count.
    pub revision: u64,
}

/// Who a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A proxy of this Gateway.
    Proxy {
        /// The Gateway.
        gateway: ObjectKey,
        /// The pod: unique among the Gateway's proxies.
        pod: String,
    },
    /// Another controller of this installation, which tells of its proxies.
    Controller {
        /// Its pod.
        pod: String,
    },
}

/// A good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorised {
    /// Whose it is.
    pub peer: Peer,
    /// For how long, if that is known.
    pub valid_for: Option<Duration>,
}

/// Why a token gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthorised {
    /// It is not good, or belongs to nobody who gets anything.
    Refused,
    /// Nobody can be asked at the moment.
    Unavailable,
}

/// Reviews a token: TokenReview in a cluster.
pub type Authenticate = Arc<dyn Fn(Token) -> Review + Send + Sync>;
type Review = Pin<Box<dyn Future<Output = Result<Authorised, Unauthorised>> + Send>>;

/// Until a connection has shown who it is, review included.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// Until a token has been reviewed.
const REVIEW_DEADLINE: Duration = Duration::from_secs(10);
/// Connections that have not shown yet who they are.
const MOST_STRANGERS: usize = 256;
/// Connections.
const MOST_CONNECTIONS: usize = 10_000;
/// Without a file descriptor nothing can be accepted: others end meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The controller's end of the feed. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    authenticate: Authenticate,
    version: String,
    wanted: Mutex<BTreeMap<ObjectKey, watch::Sender<Option<Arc<Wanted>>>>>,
    known: Known,
    strangers: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl Server {
    /// One that nobody is connected to. `version` is told to proxies, for people.
    #[must_use]
    pub fn new(authenticate: Authenticate, version: impl Into<String>) -> Self {
        Self {
            shared: Arc::new(Shared {
                authenticate,
                version: version.into(),
                wanted: Mutex::default(),
                known: Known::default(),
                strangers: Arc::new(Semaphore::new(MOST_STRANGERS)),
                connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            }),
        }
    }

    /// What every Gateway's proxies shall have from now on: the whole set. Proxies of a Gateway that is not in it keep what they have. Takes
    /// as long as taking apart what has changed.
    pub fn publish(&self, published: &BTreeMap<ObjectRef, Published>) {
        let keys: BTreeSet<&ObjectKey> = published.keys().map(|gateway| &gateway.key).collect();
        for (gateway, published) in published {
            let last = self.shared.wanted(&gateway.key).borrow().clone();
            let next = Wanted::new(published, last.as_deref());
            if last.is_none_or(|last| !last.is(&next)) {
                self.shared.wanted(&gateway.key).send_replace(Some(Arc::new(next)));
            }
        }
        lock(&self.shared.wanted).retain(|gateway, wanted| {
            if keys.contains(gateway) {
                return true;
            }
            wanted.send_replace(None);
            wanted.receiver_count() > 0
        });
    }

    /// What the proxies of each Gateway shall have, as it is compared with what they acknowledge.
    #[must_use]
    pub fn published(&self) -> BTreeMap<ObjectKey, Acknowledged> {
        let wanted = lock(&self.shared.wanted);
        let each = wanted.iter().filter_map(|(gateway, wanted)| {
            let wanted = wanted.borrow();
            Some((gateway.clone(), wanted.as_deref()?.acknowledged()))
        });
        each.collect()
    }

    /// The proxies of each Gateway, those of other controllers included as far as they tell.
    #[must_use]
    pub fn proxies(&self) -> watch::Receiver<Proxies> {
        self.shared.known.all()
    }

    /// The proxies that are connected here: what [`crate::relay()`] passes on.
    #[must_use]
    pub fn own_proxies(&self) -> watch::Receiver<Proxies> {
        self.shared.known.own()
    }

    /// Serves whoever connects, until it is dropped, which ends all connections. Those that come take the TLS configuration of that moment.
    pub async fn serve(&self, listener: TcpListener, tls: watch::Receiver<Arc<rustls::ServerConfig>>) {
        let mut connected = JoinSet::new();
        loop {
            while connected.try_join_next().is_some() {}
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    debug!(%error, "the feed accepts no connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(connection) = Arc::clone(&self.shared.connections).try_acquire_owned() else {
                warn!("the feed has {MOST_CONNECTIONS} connections and takes no more");
                continue;
            };
            let _ = stream.set_nodelay(true);
            let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
            let shared = Arc::clone(&self.shared);
            connected.spawn(async move {
                let _connection = connection;
                let Ok(stranger) = Arc::clone(&shared.strangers).try_acquire_owned() else {
                    return;
                };
                match timeout(HELLO_DEADLINE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => shared.serve(stream, stranger).await,
                    Ok(Err(error)) => debug!(%error, "no TLS on the feed"),
                    Err(_) => debug!("no TLS on the feed in time"),
                }
            });
        }
    }

    /// Serves one connection over anything.
    #[cfg(test)]
    pub(crate) async fn connection<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(&self, stream: S) {
        let stranger = Arc::clone(&self.shared.strangers).try_acquire_owned().expect("free");
        Arc::clone(&self.shared).serve(stream, stranger).await;
    }
}

/// What a connection begins with.
struct Hello {
    version: String,
    content: Option<Content>,
    authorised: Authorised,
}

impl Shared {
    fn wanted(&self, gateway: &ObjectKey) -> watch::Sender<Option<Arc<Wanted>>> {
        lock(&self.wanted).entry(gateway.clone()).or_default().clone()
    }

    async fn serve<S>(self: Arc<Self>, mut stream: S, stranger: tokio::sync::OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let hello = match self.hello(&mut stream).await {
            Ok(hello) => hello,
            Err(reason) => {
                debug!(%reason, "a connection to the feed is rejected");
                let payload = message::encode(&Down::Rejected { reason });
                if let Ok(length) = frame::length(&payload) {
                    let _ = frame::write(&mut stream, &[&length[..], &payload].concat()).await;
                }
                return;
            }
        };
        drop(stranger);
        let mut connection = Connection::new(stream, MOST_FRAMES);
        match hello.authorised.peer.clone() {
            Peer::Proxy { gateway, pod } => {
                let wanted = self.wanted(&gateway).subscribe();
                proxy::serve(&self, &mut connection, hello, (gateway, pod), wanted).await;
            }
            Peer::Controller { pod } => relayed::serve(&self, &mut connection, hello, pod).await,
        }
        connection.close().await;
    }

    async fn hello<S: AsyncRead + Unpin>(&self, stream: &mut S) -> Result<Hello, Rejection> {
        let Ok(Ok(payload)) = timeout(HELLO_DEADLINE, frame::read(stream, frame::LONGEST_HELLO)).await else {
            return Err(Rejection::Malformed);
        };
        let Ok(Frame::Message(bytes)) = Frame::parse(&payload) else {
            return Err(Rejection::Malformed);
        };
        let (token, mut version, content) = match message::decode(bytes, Up::Unknown) {
            Ok(Up::Hello { protocol, .. }) if protocol != PROTOCOL => return Err(Rejection::Protocol),
            Ok(Up::Hello {
                token, version, content, ..
            }) => (token, version, content),
            Ok(_) | Err(_) => return Err(Rejection::Malformed),
        };
        version.truncate(version.floor_char_boundary(LONGEST_VERSION));
        let authorised = self.review(token).await.map_err(|refusal| match refusal {
            Unauthorised::Refused => Rejection::Unauthorised,
            Unauthorised::Unavailable => Rejection::Unavailable,
        })?;
        Ok(Hello {
            version,
            content,
            authorised,
        })
    }

    /// Asks who a token belongs to.
    fn review(&self, token: Token) -> Review {
        let review = (self.authenticate)(token);
        Box::pin(async {
            timeout(REVIEW_DEADLINE, review)
                .await
                .unwrap_or(Err(Unauthorised::Unavailable))
        })
    }
}

/// Frames of a proxy or controller within three seconds, where 4 KiB count as one more; what it has to say fits into far fewer.
const MOST_FRAMES: u32 = 1_000;
/// Bytes of what a proxy calls its version.
const LONGEST_VERSION: usize = 64;

/// How a connection ended.
#[derive(Debug, Error)]
enum End {
    #[error("it took its leave")]
    Left,
    #[error("{0}")]
    Lost(FrameFault),
    #[error("it said nothing for too long")]
    Silent,
    #[error("it is ended: {0}")]
    Rejected(Rejection),
}

impl From<FrameFault> for End {
    fn from(fault: FrameFault) -> Self {
        match fault {
            FrameFault::Malformed | FrameFault::TooLong(_) => Self::Rejected(Rejection::Malformed),
            fault => Self::Lost(fault),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is done under a lock can be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
