//! The cluster as a source of resources.
//!
//! Job: run the watches, fetch what is referred to, and publish. Output: loads, of which the first is complete. Invariant: a source whose
//! API server is gone publishes nothing, so the last good resources stay; a burst of changes costs one load.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::api::GetParams;
use kube::core::Request;
use kube::{Client, Error};
use sealway_api::ObjectRef;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::discovery::{self, Served};
use super::follow::Follower;
use super::kinds::{self, WATCHED, Watched};
use super::pause::{Backoff, random};
use super::raw::Raw;
use super::store::{Change, Fetched, Store, WatchOf};
use super::stored::StoredStatuses;
use crate::files::Loaded;

/// What is watched.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Namespaces to watch, each for itself; empty: all of them. GatewayClasses, ClusterTrustBundles and Namespaces belong to no
    /// namespace and are watched in any case.
    pub namespaces: BTreeSet<String>,
    /// Whose Gateways' Secrets are read.
    pub controller: String,
}

/// Watches that run until this is dropped.
pub struct Source {
    first: oneshot::Receiver<watch::Receiver<Loaded>>,
    stored: Arc<StoredStatuses>,
    served: watch::Receiver<Arc<Served>>,
    tasks: JoinSet<()>,
}

/// Changes that wait for the store; watches stop reading when it is full.
const QUEUE: usize = 1024;
/// Changes that are taken in before a load is published.
const BURST: usize = 512;
/// From the first change of a burst to its load.
const GATHER: Duration = Duration::from_millis(2);
/// How long a load waits for Secrets that are newly referred to: most times they are there sooner, and no status has to say they lack.
const FETCH_GRACE: Duration = Duration::from_millis(250);
const FETCHES_AT_ONCE: usize = 8;
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
const FETCH_AGAIN: Backoff = Backoff {
    first: Duration::from_millis(100),
    most: Duration::from_secs(5),
};
/// Rights come late, or come and go while somebody writes them anew.
const REFUSED_AGAIN: Duration = Duration::from_secs(10);

impl Source {
    /// Starts to watch.
    #[must_use]
    pub fn start(client: Client, scope: Scope) -> Self {
        let stored = Arc::new(StoredStatuses::default());
        let (served_sender, served) = watch::channel(Arc::new(Served::default()));
        let (first_sender, first) = oneshot::channel();
        let hint = Arc::new(Notify::new());
        let (changes, receiver) = mpsc::channel(QUEUE);
        let watches = watches(&scope.namespaces);
        let mut tasks = JoinSet::new();
        tasks.spawn(discovery::run(client.clone(), served_sender, Arc::clone(&hint)));
        for (number, (watched, namespace)) in watches.iter().enumerate() {
            let follower = Follower {
                client: client.clone(),
                watched,
                namespace: namespace.clone(),
                served: served.clone(),
                hint: Arc::clone(&hint),
                number,
                changes: changes.clone(),
            };
            tasks.spawn(follower.run());
        }
        drop(changes);
        let collector = Collector {
            store: Store::new(scope.controller, watches.len(), Arc::clone(&stored)),
            watches,
            client,
            fetches: JoinSet::new(),
            permits: Arc::new(Semaphore::new(FETCHES_AT_ONCE)),
            changed: None,
            sender: Err(first_sender),
        };
        tasks.spawn(collector.run(receiver));
        Self {
            first,
            stored,
            served,
            tasks,
        }
    }

    /// Loads, once the first is complete; `None` when that was asked for before. The receiver ends with the source.
    pub async fn loads(&mut self) -> Option<watch::Receiver<Loaded>> {
        (&mut self.first).await.ok()
    }

    /// What statuses are stored: what [`StatusWriter`](super::StatusWriter) compares with.
    #[must_use]
    pub fn stored(&self) -> Arc<StoredStatuses> {
        Arc::clone(&self.stored)
    }

    /// Which versions of which kinds the cluster serves.
    #[must_use]
    pub fn served(&self) -> watch::Receiver<Arc<Served>> {
        self.served.clone()
    }

    /// Whether all tasks still run; one that ended is a defect.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.tasks.try_join_next().is_none()
    }
}

/// Which watches a scope needs.
fn watches(namespaces: &BTreeSet<String>) -> Vec<(&'static Watched, String)> {
    let everywhere = BTreeSet::from([String::new()]);
    let of = |watched: &'static Watched| {
        let is_everywhere = namespaces.is_empty() || watched.kind.is_cluster_scoped();
        let chosen = if is_everywhere { &everywhere } else { namespaces };
        chosen
            .iter()
            .map(move |namespace| (watched, namespace.clone()))
            .collect::<Vec<_>>()
    };
    WATCHED.iter().flat_map(of).collect()
}

struct Collector {
    store: Store,
    watches: Vec<(&'static Watched, String)>,
    client: Client,
    fetches: JoinSet<(ObjectRef, String, Fetched)>,
    permits: Arc<Semaphore>,
    /// When the first change came that is not published.
    changed: Option<Instant>,
    /// Where loads go, or who waits for the first.
    sender: Result<watch::Sender<Loaded>, oneshot::Sender<watch::Receiver<Loaded>>>,
}

impl Collector {
    async fn run(mut self, mut changes: mpsc::Receiver<(usize, Change)>) {
        let mut buffer = Vec::with_capacity(BURST);
        let mut reminder = Instant::now() + Duration::from_secs(15);
        let mut ask_again = Instant::now();
        loop {
            let due = self.due();
            if due.is_some_and(|due| due <= Instant::now()) {
                if !self.publish() {
                    return;
                }
                continue;
            }
            tokio::select! {
                count = changes.recv_many(&mut buffer, BURST) => {
                    if count == 0 {
                        return;
                    }
                    self.take(&mut buffer);
                }
                Some(done) = self.fetches.join_next() => {
                    // A task that panicked is a defect; its object stays as it was.
                    if let Ok((reference, asked, fetched)) = done {
                        if let Fetched::Refused(error) = &fetched && !self.store.is_refused(&reference) {
                            tracing::warn!(object = %reference, error, "may not be read; what was read before, if anything, stays in force");
                            ask_again = Instant::now() + REFUSED_AGAIN;
                        }
                        let changed = self.store.took(&reference, asked, fetched);
                        self.note(changed);
                        self.fetch();
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = sleep_until(ask_again), if self.store.has_refused() => {
                    let references = self.store.ask_again();
                    self.start(references);
                    ask_again = Instant::now() + REFUSED_AGAIN;
                }
                () = sleep_until(reminder), if !self.store.is_listed() => {
                    self.remind();
                    reminder = Instant::now() + Duration::from_secs(60);
                }
            }
        }
    }

    fn take(&mut self, buffer: &mut Vec<(usize, Change)>) {
        for (number, change) in buffer.drain(..) {
            let Some((watched, namespace)) = self.watches.get(number) else {
                continue;
            };
            let of = WatchOf { watched, namespace };
            let changed = self.store.apply(number, of, change);
            if changed && self.changed.is_none() {
                self.changed = Some(Instant::now());
            }
        }
        self.fetch();
    }

    fn note(&mut self, changed: bool) {
        if changed && self.changed.is_none() {
            self.changed = Some(Instant::now());
        }
    }

    /// Starts what has to be fetched. Before all lists are complete nothing is: most references would be looked up in vain.
    fn fetch(&mut self) {
        if !self.store.is_listed() {
            return;
        }
        let (references, dropped) = self.store.fetches();
        self.note(dropped);
        self.start(references);
    }

    fn start(&mut self, references: Vec<ObjectRef>) {
        for reference in references {
            let asked = self.store.indexed(&reference);
            let (client, permits) = (self.client.clone(), Arc::clone(&self.permits));
            self.fetches.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let fetched = fetch(&client, &reference).await;
                (reference, asked, fetched)
            });
        }
    }

    /// When to publish.
    fn due(&self) -> Option<Instant> {
        let changed = self.changed?;
        if !self.store.is_listed() {
            return None;
        }
        match (self.store.lacks_fetches(), self.sender.is_err()) {
            (false, _) => Some(changed + GATHER),
            (true, false) => Some(changed + FETCH_GRACE),
            (true, true) => None,
        }
    }

    /// False when nobody listens.
    fn publish(&mut self) -> bool {
        self.changed = None;
        let loaded = Loaded {
            resources: self.store.resources(),
            problems: self.store.problems(),
            ..Loaded::default()
        };
        match &mut self.sender {
            Ok(sender) => {
                sender.send_replace(loaded);
                true
            }
            waiting @ Err(_) => {
                let (sender, receiver) = watch::channel(loaded);
                match std::mem::replace(waiting, Ok(sender)) {
                    Err(first) => first.send(receiver).is_ok(),
                    Ok(_) => true,
                }
            }
        }
    }

    fn remind(&self) {
        let kinds: BTreeMap<String, &str> = self
            .store
            .waiting()
            .filter_map(|number| self.watches.get(number))
            .map(|(watched, namespace)| (watched.kind.to_string(), namespace.as_str()))
            .collect();
        tracing::warn!(?kinds, "nothing is served before these have been listed; are they permitted?");
    }
}

/// Asks until the API server answers, a few times.
async fn fetch(client: &Client, reference: &ObjectRef) -> Fetched {
    let Some(watched) = kinds::find(&reference.kind) else {
        return Fetched::Missing;
    };
    let request = Request::new(watched.path("v1", &reference.key.namespace));
    for failures in 1..=6 {
        let Ok(get) = request.get(&reference.key.name, &GetParams::default()) else {
            return Fetched::Missing;
        };
        match timeout(FETCH_TIMEOUT, client.request::<Raw>(get)).await {
            Ok(Ok(raw)) => return Fetched::Found(raw),
            Ok(Err(Error::Api(status))) if status.code == 404 => return Fetched::Missing,
            Ok(Err(Error::Api(status))) if (400..500).contains(&status.code) && status.code != 429 => {
                return Fetched::Refused(status.message);
            }
            Ok(Err(error)) => tracing::debug!(object = %reference, %error, "cannot be read yet"),
            Err(_) => {}
        }
        tokio::time::sleep(FETCH_AGAIN.after(failures, random())).await;
    }
    Fetched::Unreachable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_namespaces_are_watched_each_for_itself_and_cluster_scoped_kinds_as_a_whole() {
        let chosen = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let watches = watches(&chosen);
        let of = |kind: &sealway_api::Kind| -> Vec<&str> {
            let of_kind = watches.iter().filter(|(watched, _)| watched.kind == *kind);
            of_kind.map(|(_, namespace)| namespace.as_str()).collect()
        };
        assert_eq!(of(&sealway_api::Kind::Secret), ["a", "b"]);
        assert_eq!(of(&sealway_api::Kind::GatewayClass), [""]);
        assert_eq!(of(&sealway_api::Kind::Namespace), [""]);
    }
}
