//! Statuses, written back.
//!
//! Job: make what the API server stores equal to what the compiler wants. Input: wanted statuses, stored statuses, who leads. Output:
//! writes, and problems of objects whose lists are full. Invariant: only the lease holder writes; only real differences are written;
//! never more than a few writes are under way; nobody waits for a write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{GetParams, PostParams};
use kube::core::Request;
use sealway_api::{ObjectRef, Statuses, Timestamp};
use sealway_core::{Cause, Problem};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use self::merge::{Merged, Wanted, Writing, merge};
use super::call::{Refusal, call};
use super::kinds;
use super::lease::Leadership;
use super::pause::{Backoff, about, random};
use super::raw::Raw;
use super::stored::{Stored, StoredStatuses};

mod merge;
mod wanted;

/// How statuses are written.
#[derive(Clone, Debug)]
pub struct WriterSettings {
    /// Whose entries are ours, as in `sealway.dev/gateway-controller`.
    pub controller: String,
    /// What GatewayClasses say is supported; sorted by the writer. Empty: as the statuses have it.
    pub features: Vec<String>,
    /// Writes under way at once.
    pub at_once: usize,
}

/// Writes statuses until it is dropped.
pub struct StatusWriter {
    wanted: watch::Sender<Option<Arc<Statuses>>>,
    problems: watch::Receiver<Arc<Vec<Problem>>>,
    _tasks: JoinSet<()>,
}

const AGAIN: Backoff = Backoff {
    first: Duration::from_millis(200),
    most: Duration::from_secs(5),
};
/// Failures in a row before another object has its turn.
const PATIENCE: u32 = 5;
/// When an object that ran out of patience has its next turn.
const LATER: Duration = Duration::from_secs(30);

impl StatusWriter {
    /// Starts to write what [`StatusWriter::want`] is told, as far as it differs from `stored`.
    #[must_use]
    pub fn start(
        client: Client,
        stored: Arc<StoredStatuses>,
        leadership: watch::Receiver<Leadership>,
        mut settings: WriterSettings,
    ) -> Self {
        settings.features.sort();
        settings.features.dedup();
        let (wanted, receiver) = watch::channel(None);
        let (problems_sender, problems) = watch::channel(Arc::default());
        let work = Arc::new(Work {
            client,
            stored,
            wanted: receiver,
            leadership,
            settings,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(run(work, problems_sender));
        Self {
            wanted,
            problems,
            _tasks: tasks,
        }
    }

    /// Says what the statuses are to be. They must be of all resources: routes that are not among them lose our entries. `None`: nothing is
    /// written, leader or not. Who begins to lead may have to see first what another has said.
    pub fn want(&self, statuses: Option<Arc<Statuses>>) {
        self.wanted.send_if_modified(|known| {
            let is_new = known.as_ref().map(Arc::as_ptr) != statuses.as_ref().map(Arc::as_ptr);
            if is_new {
                *known = statuses;
            }
            is_new
        });
    }

    /// Objects whose status has no place for ours.
    #[must_use]
    pub fn problems(&self) -> watch::Receiver<Arc<Vec<Problem>>> {
        self.problems.clone()
    }
}

struct Work {
    client: Client,
    stored: Arc<StoredStatuses>,
    wanted: watch::Receiver<Option<Arc<Statuses>>>,
    leadership: watch::Receiver<Leadership>,
    settings: WriterSettings,
}

/// What came of an object's turn.
enum Done {
    /// Stored is what is wanted, or nothing can be done about it.
    Settled(Option<Cause>),
    /// Another turn, later.
    Later,
}

async fn run(work: Arc<Work>, problems: watch::Sender<Arc<Vec<Problem>>>) {
    let mut wanted = work.wanted.clone();
    let mut leadership = work.leadership.clone();
    let mut seen = Arc::<Statuses>::default();
    let mut leads = false;
    let mut due = BTreeSet::new();
    let mut later: BTreeMap<ObjectRef, Instant> = BTreeMap::new();
    let mut under_way = BTreeSet::new();
    let mut full: BTreeMap<ObjectRef, Cause> = BTreeMap::new();
    let mut writes = JoinSet::new();
    loop {
        due.extend(work.stored.take_changed());
        let is_leader = matches!(*leadership.borrow_and_update(), Leadership::Leader);
        let now = wanted.borrow_and_update().clone();
        let now_leads = is_leader && now.is_some();
        // Most turns are for what was written, and want what the last one wanted.
        if let Some(now) = now.filter(|now| !Arc::ptr_eq(&seen, now)) {
            due.extend(wanted::differences(&seen, &now));
            seen = now;
        }
        if now_leads && !leads {
            due.extend(work.stored.references());
        }
        leads = now_leads;
        let now = Instant::now();
        due.extend(later.extract_if(.., |_, at| *at <= now).map(|(reference, _)| reference));
        if !leads {
            // Whoever begins to lead looks at all of them.
            due.clear();
            later.clear();
        }
        while writes.len() < work.settings.at_once.max(1)
            && let Some(reference) = due.extract_if(.., |reference| !under_way.contains(reference)).next()
        {
            if is_due(&work, &reference, &mut full) {
                under_way.insert(reference.clone());
                let work = Arc::clone(&work);
                writes.spawn(async move { (work.write(&reference).await, reference) });
            }
        }
        say(&problems, &full);
        let next = later.values().min().copied();
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            Ok(()) = leadership.changed() => {}
            () = work.stored.changed() => {}
            Some(done) = writes.join_next() => match done {
                Ok((done, reference)) => {
                    under_way.remove(&reference);
                    match done {
                        Done::Settled(None) => { full.remove(&reference); }
                        Done::Settled(Some(cause)) => { full.insert(reference, cause); }
                        Done::Later => { later.insert(reference, Instant::now() + about(LATER)); }
                    }
                }
                // A defect: all objects are looked at again, or the one would never be.
                Err(_) if writes.is_empty() => under_way.clear(),
                Err(_) => {}
            },
            () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
        }
    }
}

/// Whether anything is to be written: decided here, so that what needs no write costs no task.
fn is_due(work: &Work, reference: &ObjectRef, full: &mut BTreeMap<ObjectRef, Cause>) -> bool {
    let Some((_, before, merged, cause)) = work.plan(reference) else {
        full.remove(reference);
        return false;
    };
    match cause {
        Some(cause) => full.insert(reference.clone(), cause),
        None => full.remove(reference),
    };
    merged.status != before
}

fn say(problems: &watch::Sender<Arc<Vec<Problem>>>, full: &BTreeMap<ObjectRef, Cause>) {
    let found = full
        .iter()
        .map(|(reference, cause)| Problem::new(reference.clone(), "status", cause.clone()));
    let found: Vec<Problem> = found.collect();
    problems.send_if_modified(|before| {
        let is_new = **before != found;
        if is_new {
            *before = Arc::new(found);
        }
        is_new
    });
}

impl Work {
    /// What is stored, as text and as a tree, and what it is to be. `None` when there is nothing to do.
    fn plan(&self, reference: &ObjectRef) -> Option<(Stored, Value, Merged, Option<Cause>)> {
        let stored = self.stored.get(reference)?;
        let statuses = self.wanted.borrow().clone()?;
        let wanted = wanted::wanted(&statuses, reference, &self.settings.features)?;
        let before = serde_json::from_str(&stored.status).unwrap_or_default();
        let writing = Writing {
            controller: &self.settings.controller,
            namespace: &reference.key.namespace,
            now: Timestamp::now(),
        };
        let merged = merge(&before, &wanted, writing);
        let cause = match &wanted {
            Wanted::Entries(shared, _) if merged.dropped > 0 => Some(Cause::StatusFull {
                list: shared.list(),
                capacity: shared.capacity(),
            }),
            _ => None,
        };
        Some((stored, before, merged, cause))
    }

    /// Writes until stored is what is wanted. What that is, and whether to write at all, is looked up before each attempt.
    async fn write(&self, reference: &ObjectRef) -> Done {
        let Some(watched) = kinds::find(&reference.kind) else {
            return Done::Settled(None);
        };
        for failures in 1..=PATIENCE {
            if !matches!(*self.leadership.borrow(), Leadership::Leader) {
                return Done::Settled(None);
            }
            let Some((stored, before, merged, cause)) = self.plan(reference) else {
                return Done::Settled(None);
            };
            if merged.status == before {
                return Done::Settled(cause);
            }
            let requests = Request::new(watched.path(&stored.version, &reference.key.namespace));
            let body = json!({
                "apiVersion": watched.api_version(&stored.version),
                "kind": reference.kind.to_string(),
                "metadata": metadata(reference, &stored.resource_version),
                "status": merged.status,
            });
            let parameters = PostParams {
                field_manager: Some("sealway-controller".to_owned()),
                ..PostParams::default()
            };
            let put = requests.replace_subresource("status", &reference.key.name, &parameters, body.to_string().into_bytes());
            let refusal = match call(&self.client, put).await {
                Ok(raw) => {
                    self.remember(reference, &stored.version, &raw);
                    return Done::Settled(cause);
                }
                Err(refusal) if refusal.code() == Some(409) => {
                    // Somebody else wrote. The fresh object, and once more.
                    match call(&self.client, requests.get(&reference.key.name, &GetParams::default())).await {
                        Ok(raw) => {
                            self.remember(reference, &stored.version, &raw);
                            continue;
                        }
                        Err(refusal) => refusal,
                    }
                }
                Err(refusal) => refusal,
            };
            if let Some(done) = self.refused(reference, &refusal) {
                return done;
            }
            let wait = AGAIN.after(failures, random()).max(refusal.retry_after());
            sleep(wait).await;
        }
        Done::Later
    }

    /// `None` when it is worth another attempt.
    fn refused(&self, reference: &ObjectRef, refusal: &Refusal) -> Option<Done> {
        if refusal.code() == Some(404) {
            // Gone; the watch will say so.
            return Some(Done::Settled(None));
        }
        if refusal.is_passing() {
            tracing::debug!(object = %reference, error = %refusal, "status not written yet");
            return None;
        }
        tracing::warn!(object = %reference, error = %refusal, "the API server refuses the status");
        Some(Done::Later)
    }

    fn remember(&self, reference: &ObjectRef, version: &str, raw: &Raw) {
        let status = raw.0.get("status").map(ToString::to_string).unwrap_or_default();
        let stored = Stored {
            version: version.to_owned(),
            resource_version: raw.resource_version().to_owned(),
            status: status.into(),
        };
        self.stored.put(reference, stored);
    }
}

fn metadata(reference: &ObjectRef, resource_version: &str) -> Value {
    let mut metadata = json!({"name": reference.key.name, "resourceVersion": resource_version});
    if !reference.key.namespace.is_empty() {
        metadata["namespace"] = reference.key.namespace.as_str().into();
    }
    metadata
}
