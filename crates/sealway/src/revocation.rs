//! Revocation lists of distribution points: fetched, refreshed, kept.
//!
//! In: the points that the data plane asks for, and the lists that were kept by the process before. Out: lists for the compiler, which
//! decides for whom they count. Invariant: a list gives way only to a newer one that its issuer has signed; what cannot be fetched takes
//! nothing away.

mod download;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealway_api::Timestamp;
use sealway_core::{ContentHash, DistributionPoint, RevocationList};
use tokio::sync::watch;
use tokio::task::{self, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use download::{Failure, MOST_BYTES};
use store::Store;

/// In an order that stays.
pub(crate) type Lists = Vec<Arc<RevocationList>>;

/// Where lists come from.
#[derive(Debug)]
pub(crate) struct ListSources {
    /// Of the issuers of this process.
    pub(crate) issued: watch::Receiver<Lists>,
    /// Of distribution points.
    pub(crate) fetched: watch::Receiver<Lists>,
}

impl ListSources {
    /// All that there are now.
    pub(crate) fn known(&mut self) -> Lists {
        let mut lists = self.issued.borrow_and_update().clone();
        lists.extend_from_slice(&self.fetched.borrow_and_update());
        lists
    }

    /// Returns when there is something new.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.issued.changed() => return,
            Ok(()) = self.fetched.changed() => return,
            else => {}
        }
        // Nothing new will come.
        std::future::pending().await
    }
}

/// Fetches what is `wanted` until nobody wants anything any more; keeps it in `directory` too.
pub(crate) async fn fetch(
    mut wanted: watch::Receiver<Vec<Arc<DistributionPoint>>>,
    directory: Option<PathBuf>,
    found: watch::Sender<Lists>,
) {
    let store = directory.map(Store::new);
    let mut points = Points::default();
    if let Some(store) = store.clone() {
        for list in spawn_blocking(move || store.load()).await.unwrap_or_default() {
            points.restore(list);
        }
        points.tell(&found);
    }
    let mut running: JoinSet<Result<RevocationList, Failure>> = JoinSet::new();
    let mut fetched: BTreeMap<task::Id, ContentHash> = BTreeMap::new();
    loop {
        for point in wanted.borrow_and_update().iter() {
            points.want(point);
        }
        let room = AT_ONCE.saturating_sub(running.len());
        for (name, point) in points.due(Instant::now(), room) {
            fetched.insert(running.spawn(download::list(point)).id(), name);
        }
        let next = if running.len() < AT_ONCE { points.next() } else { None };
        let alarm = async {
            match next {
                Some(next) => sleep_until(next).await,
                // Without room the end of a download is what to wait for, whatever is overdue.
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            Some(ended) = running.join_next_with_id() => {
                let (id, result) = match ended {
                    Ok((id, result)) => (id, result),
                    Err(error) => (error.id(), Err(Failure::Defect)),
                };
                let Some(name) = fetched.remove(&id) else { continue };
                if let Some(list) = points.settle(&name, result, Timestamp::now(), Instant::now()) {
                    points.tell(&found);
                    if let Some(store) = store.clone() {
                        // In turn: of two lists of one point the newer is to stay.
                        let _ = spawn_blocking(move || store.keep(name, &list)).await;
                    }
                }
            }
            () = alarm => {}
        }
    }
}

/// Every distribution point that is known, by its name.
#[derive(Default)]
struct Points(BTreeMap<ContentHash, Known>);

struct Known {
    point: Arc<DistributionPoint>,
    list: Option<Arc<RevocationList>>,
    /// When to fetch it; `None` while that is done.
    due: Option<Instant>,
    /// In a row.
    failures: u32,
}

impl Points {
    /// A list of the process before: there may be a newer one by now.
    fn restore(&mut self, list: RevocationList) {
        let Some(point) = list.point().map(Arc::new) else { return };
        if self.has_room(list.der().len()) {
            let known = Known {
                list: Some(Arc::new(list)),
                ..Known::new(point)
            };
            self.0.insert(known.point.content(), known);
        }
    }

    fn want(&mut self, point: &Arc<DistributionPoint>) {
        let name = point.content();
        if self.0.contains_key(&name) {
            return;
        }
        if self.0.len() >= MOST_POINTS {
            // One that never gave anything is no loss.
            let barren = self.0.iter().find(|(_, known)| known.list.is_none() && known.failures > 0);
            let Some(barren) = barren.map(|(name, _)| *name) else {
                tracing::warn!(
                    url = point.url,
                    "no room for the revocation lists of another distribution point: {MOST_POINTS} are known"
                );
                return;
            };
            self.0.remove(&barren);
        }
        self.0.insert(name, Known::new(Arc::clone(point)));
    }

    /// What is to be fetched now, at most so many; it is due again when it has been [settled](Self::settle).
    fn due(&mut self, now: Instant, most: usize) -> Vec<(ContentHash, Arc<DistributionPoint>)> {
        let due = self.0.iter_mut().filter(|(_, known)| known.due.is_some_and(|due| due <= now));
        due.take(most)
            .map(|(name, known)| {
                known.due = None;
                (*name, Arc::clone(&known.point))
            })
            .collect()
    }

    fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|known| known.due).min()
    }

    /// What fetching gave. Returns the list when it is news.
    fn settle(
        &mut self,
        name: &ContentHash,
        result: Result<RevocationList, Failure>,
        time: Timestamp,
        now: Instant,
    ) -> Option<Arc<RevocationList>> {
        let has_room = |points: &Self, list: &RevocationList| {
            let before = points.0.get(name).and_then(|known| known.list.as_ref());
            points.has_room(list.der().len().saturating_sub(before.map_or(0, |before| before.der().len())))
        };
        let result = match result {
            Ok(list) if !has_room(self, &list) => Err(Failure::NoRoom),
            other => other,
        };
        let known = self.0.get_mut(name)?;
        match result {
            Ok(list) => {
                known.failures = 0;
                known.due = Some(now + refresh(&list, time));
                let before = known.list.as_ref();
                if before.is_some_and(|before| before.this_update() >= list.this_update()) {
                    return None;
                }
                let next_update = list.next_update();
                tracing::info!(url = known.point.url, issuer = list.issuer(), %next_update, "revocation list fetched");
                let list = Arc::new(list);
                known.list = Some(Arc::clone(&list));
                Some(list)
            }
            Err(failure) => {
                let wait = retry(known.failures);
                // Once is enough, until it works again.
                if known.failures == 0 {
                    let has_list = known.list.is_some();
                    tracing::warn!(url = known.point.url, has_list, again_in = ?wait, "revocation list not fetched: {failure}");
                }
                known.failures = known.failures.saturating_add(1);
                known.due = Some(now + wait);
                None
            }
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        let kept: usize = self.lists().map(|list| list.der().len()).sum();
        self.0.len() <= MOST_POINTS && kept.saturating_add(bytes) <= MOST_BYTES_OF_ALL
    }

    fn lists(&self) -> impl Iterator<Item = &Arc<RevocationList>> {
        self.0.values().filter_map(|known| known.list.as_ref())
    }

    fn tell(&self, found: &watch::Sender<Lists>) {
        found.send_replace(self.lists().cloned().collect());
    }
}

impl Known {
    fn new(point: Arc<DistributionPoint>) -> Self {
        Self {
            point,
            list: None,
            due: Some(Instant::now()),
            failures: 0,
        }
    }
}

/// Hourly: an authority that revokes something publishes at once, and not when the last list ends. Sooner when that ends before.
fn refresh(list: &RevocationList, time: Timestamp) -> Duration {
    let left = Duration::try_from(list.next_update().duration_since(time)).unwrap_or_default();
    (left * 3 / 4).clamp(SOONEST_REFRESH, LATEST_REFRESH)
}

fn retry(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures)).min(LAST_RETRY)
}

const LATEST_REFRESH: Duration = Duration::from_secs(3600);
/// Of lists that hardly last, or that were out of date when they came.
const SOONEST_REFRESH: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_secs(600);
/// Downloads at a time.
const AT_ONCE: usize = 4;
const MOST_POINTS: usize = 128;
const MOST_BYTES_OF_ALL: usize = 8 * MOST_BYTES;

#[cfg(test)]
mod tests;
