//! One watch: list, then follow, for ever.
//!
//! Job: hand every change of one kind on to the store. Input: the path, and which version the cluster serves. Output: [`Change`]s in
//! order. Invariant: a `Listed` comes only after a whole list; whatever breaks is tried again with longer and longer waits, from where it
//! was if the API server still knows that, else with a new list.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use kube::api::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};
use kube::{Client, Error};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::discovery::{Served, Standing};
use super::kinds::{Extent, Watched};
use super::pause::{about, random};
use super::raw::{Page, Raw};
use super::store::Change;

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// One page may take that long: lists of thousands are slow on a busy API server.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// The API server ends a watch then, and we go on from there: so a connection that died unnoticed is soon found out.
const WATCH_SECONDS: u32 = 45;
/// What the API server may be late with that.
const WATCH_MARGIN: Duration = Duration::from_secs(10);
/// A watch that ends sooner counts as failed, or two ends that agree to close would spin.
const SHORT: Duration = Duration::from_secs(1);

/// What a watch needs.
pub(super) struct Follower {
    pub(super) client: Client,
    pub(super) watched: &'static Watched,
    /// Empty: all.
    pub(super) namespace: String,
    pub(super) served: watch::Receiver<Arc<Served>>,
    /// Asks for a look at which kinds there are.
    pub(super) hint: Arc<Notify>,
    /// Which watch it is, with each change.
    pub(super) number: usize,
    pub(super) changes: mpsc::Sender<(usize, Change)>,
}

/// The store is gone: time to end.
struct Ended;

impl Follower {
    /// Runs until the store goes.
    pub(super) async fn run(mut self) {
        loop {
            let standing = self.served.borrow_and_update().standing(&self.watched.kind);
            let mut served = self.served.clone();
            let kind = &self.watched.kind;
            let changed = async {
                loop {
                    if served.changed().await.is_err() || served.borrow_and_update().standing(kind) != standing {
                        return;
                    }
                }
            };
            let work = async {
                match standing {
                    Standing::Served(version) => self.follow(version).await,
                    Standing::Absent => {
                        self.send(Change::Absent).await?;
                        std::future::pending().await
                    }
                    Standing::Unknown => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = work => {
                    let Err(Ended) = ended;
                    return;
                }
                () = changed => if self.served.has_changed().is_err() { return },
            }
        }
    }

    async fn send(&self, change: Change) -> Result<(), Ended> {
        self.changes.send((self.number, change)).await.map_err(|_| Ended)
    }

    async fn follow(&self, version: &'static str) -> Result<std::convert::Infallible, Ended> {
        let request = Request::new(self.watched.path(version, &self.namespace));
        let mut failures = 0_u32;
        let mut from: Option<String> = None;
        loop {
            let resource_version = match from.take() {
                Some(resource_version) => Ok(resource_version),
                None => self.list(&request, version).await?,
            };
            // Only a watch that lasted is a success: a list may be slow to fail.
            let started = Instant::now();
            let outcome = match resource_version {
                Ok(resource_version) => self.watch(&request, version, resource_version).await?,
                Err(error) => Outcome::Failed(None, error),
            };
            match outcome {
                Outcome::Closed(resource_version) => {
                    from = Some(resource_version);
                    if started.elapsed() >= SHORT {
                        failures = 0;
                        continue;
                    }
                    failures = failures.saturating_add(1);
                }
                Outcome::Failed(resource_version, failure) => {
                    from = resource_version;
                    failures = if started.elapsed() > WATCH_MARGIN {
                        1
                    } else {
                        failures.saturating_add(1)
                    };
                    self.say(&failure, failures);
                }
            }
            sleep(super::RECONNECT.after(failures, random())).await;
        }
    }

    fn say(&self, failure: &Failure, failures: u32) {
        if let Failure::Client(Error::Api(status)) = failure
            && status.code == 404
        {
            self.hint.notify_one();
        }
        // The first may be an ordinary restart; after that ever less often.
        if failures >= 2 && failures.is_power_of_two() {
            tracing::warn!(kind = %self.watched.kind, namespace = self.namespace, failures, error = %failure,
                "cannot watch; what was read last stays in force");
        } else {
            tracing::debug!(kind = %self.watched.kind, failures, error = %failure, "watch broken");
        }
    }

    /// The whole list, page by page; its resource version.
    async fn list(&self, request: &Request, version: &'static str) -> Result<Result<String, Failure>, Ended> {
        self.send(Change::Restarted).await?;
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let built = match self.watched.extent {
                Extent::Whole => request.list(&parameters),
                Extent::Metadata => request.list_metadata(&parameters),
            };
            let page = async {
                let built = built.map_err(|error| Failure::Client(Error::BuildRequest(error)))?;
                let page = timeout(PAGE_TIMEOUT, self.client.request::<Page>(built)).await;
                page.map_err(|_| Failure::Slow)?.map_err(Failure::Client)
            };
            let page = match page.await {
                Ok(page) => page,
                Err(failure) => return Ok(Err(failure)),
            };
            for object in page.items.unwrap_or_default() {
                self.send(Change::Object(object, version)).await?;
            }
            if !page.metadata.continue_token.is_empty() {
                parameters.continue_token = Some(page.metadata.continue_token);
            } else if page.metadata.resource_version.is_empty() {
                return Ok(Err(Failure::NoVersion));
            } else {
                self.send(Change::Listed).await?;
                return Ok(Ok(page.metadata.resource_version));
            }
        }
    }

    /// Follows from a resource version on, until the watch ends.
    async fn watch(&self, request: &Request, version: &'static str, from: String) -> Result<Outcome, Ended> {
        let seconds = about(Duration::from_secs(u64::from(WATCH_SECONDS)));
        let parameters = WatchParams {
            timeout: u32::try_from(seconds.as_secs()).ok(),
            bookmarks: true,
            ..WatchParams::default()
        };
        let built = match self.watched.extent {
            Extent::Whole => request.watch(&parameters, &from),
            Extent::Metadata => request.watch_metadata(&parameters, &from),
        };
        let built = match built {
            Ok(built) => built,
            Err(error) => return Ok(Outcome::Failed(Some(from), Failure::Client(Error::BuildRequest(error)))),
        };
        let opened = timeout(seconds + WATCH_MARGIN, self.client.request_events::<Raw>(built)).await;
        let events = match opened {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => return Ok(Outcome::of(from, error)),
            Err(_) => return Ok(Outcome::Failed(Some(from), Failure::Slow)),
        };
        let mut events = pin!(events);
        let mut from = from;
        loop {
            let next = match timeout(seconds + WATCH_MARGIN, events.try_next()).await {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Ok(Outcome::Closed(from)),
                Ok(Err(error)) => return Ok(Outcome::of(from, error)),
                Err(_) => return Ok(Outcome::Failed(Some(from), Failure::Slow)),
            };
            match next {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    advance(&mut from, object.resource_version());
                    self.send(Change::Object(object, version)).await?;
                }
                WatchEvent::Deleted(object) => {
                    advance(&mut from, object.resource_version());
                    self.send(Change::Removed(object)).await?;
                }
                WatchEvent::Bookmark(bookmark) => advance(&mut from, &bookmark.metadata.resource_version),
                WatchEvent::Error(status) => return Ok(Outcome::of(from, Error::Api(status))),
            }
        }
    }
}

fn advance(from: &mut String, version: &str) {
    if !version.is_empty() {
        version.clone_into(from);
    }
}

/// How a watch ended.
enum Outcome {
    /// As agreed: go on from there.
    Closed(String),
    /// Go on from there, or (`None`) list again.
    Failed(Option<String>, Failure),
}

impl Outcome {
    fn of(from: String, error: Error) -> Self {
        let is_resumable = match &error {
            // Gone: the version is too old. 404: the kind may have gone, and come back with others.
            Error::Api(status) => !matches!(status.code, 400 | 404 | 410),
            // A line that is no event: which object it was is not known.
            Error::SerdeError(_) => false,
            _ => true,
        };
        Self::Failed(is_resumable.then_some(from), Failure::Client(error))
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Client(Error),
    #[error("no answer in time")]
    Slow,
    #[error("the list has no resource version")]
    NoVersion,
}
