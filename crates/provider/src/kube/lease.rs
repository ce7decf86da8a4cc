//! Which replica of the controller writes.
//!
//! Job: hold or watch a Lease (coordination.k8s.io/v1). Output: [`Leadership`]. Invariant: leadership ends by the local clock, whether
//! or not the API server answers; it is given back at an orderly end.

use std::time::Duration;

use kube::Client;
use kube::api::{GetParams, PostParams};
use kube::core::Request;
use sealway_api::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use self::elector::LeaseTiming;
use self::elector::{Elector, Record};
use super::call::{Refusal, call};
use super::pause::random;

mod elector;

/// Annotation of the Lease with the address of its holder's feed.
pub const FEED_ADDRESS_ANNOTATION: &str = "sealway.dev/feed-address";

/// Who leads, as far as this replica knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This replica.
    Leader,
    /// Another, or nobody yet.
    Follower(Option<Holder>),
}

/// Who holds the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Name of the replica.
    pub identity: String,
    /// Where its feed listens.
    pub feed_address: Option<String>,
}

/// Which Lease, and who asks for it.
#[derive(Clone, Debug)]
pub struct ElectionSettings {
    /// Of the Lease.
    pub namespace: String,
    /// Of the Lease.
    pub name: String,
    /// Unique among replicas, and new at each start: the pod's name and something random.
    pub identity: String,
    /// `ADDRESS:PORT` of our feed.
    pub feed_address: Option<String>,
    /// client-go's by default.
    pub timing: LeaseTiming,
}

/// Takes part in the election until it is released.
pub struct Election {
    leadership: watch::Receiver<Leadership>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Election {
    /// Starts to ask for the Lease.
    #[must_use]
    pub fn start(client: Client, settings: ElectionSettings) -> Self {
        let (sender, leadership) = watch::channel(Leadership::Follower(None));
        let (stop, stopped) = oneshot::channel();
        let candidate = Candidate {
            elector: Elector::new(settings.identity.clone(), settings.feed_address.clone(), settings.timing),
            settings,
            client,
            lease: None,
            leadership: sender,
        };
        Self {
            leadership,
            stop: Some(stop),
            task: tokio::spawn(candidate.run(stopped)),
        }
    }

    /// Who leads.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Stops leading, and gives the Lease back. What only a leader does must have ended before.
    pub async fn release(mut self) {
        if let Some(stop) = self.stop.take() {
            // Whoever does not hear has ended.
            stop.send(()).ok();
        }
        (&mut self.task).await.ok();
    }
}

impl Drop for Election {
    /// Without a word: others wait until the Lease runs out. Nobody of this process leads any more.
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Candidate {
    elector: Elector,
    settings: ElectionSettings,
    client: Client,
    /// As it was read or written last: what is not ours in it stays.
    lease: Option<Value>,
    leadership: watch::Sender<Leadership>,
}

/// Says that nobody leads, however the candidate ends.
struct Resign(watch::Sender<Leadership>);

impl Drop for Resign {
    fn drop(&mut self) {
        self.0.send_replace(Leadership::Follower(None));
    }
}

impl Candidate {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let _resign = Resign(self.leadership.clone());
        let mut failures = 0_u32;
        loop {
            // A request that hangs must not outlive the leadership.
            let attempt_ends = self.attempt_ends(Instant::now());
            let attempt = async {
                timeout_at(attempt_ends, self.attempt())
                    .await
                    .unwrap_or_else(|_| Err(Refusal::Unreachable("no answer in time".to_owned())))
            };
            let result = tokio::select! {
                result = attempt => result,
                _ = &mut stopped => break,
            };
            match result {
                Ok(()) => failures = 0,
                Err(refusal) => {
                    failures = failures.saturating_add(1);
                    if failures >= 2 && failures.is_power_of_two() {
                        tracing::warn!(lease = self.settings.name, error = %refusal, failures, "cannot read or renew the lease");
                    }
                }
            }
            self.publish();
            let now = Instant::now();
            let next = now + self.elector.wait(now, random());
            let stops_at = self.elector.stops_at().filter(|stops_at| (now..next).contains(stops_at));
            tokio::select! {
                () = sleep_until(stops_at.unwrap_or(next)) => {
                    self.publish();
                    if stops_at.is_some() {
                        continue;
                    }
                }
                _ = &mut stopped => break,
            }
        }
        self.release().await;
    }

    fn attempt_ends(&self, now: Instant) -> Instant {
        let most = now + Duration::from_secs(5).min(self.settings.timing.renew_deadline);
        self.elector
            .stops_at()
            .filter(|stops_at| *stops_at > now)
            .map_or(most, |stops_at| stops_at.min(most))
    }

    fn publish(&self) {
        let now = if self.elector.leads(Instant::now()) {
            Leadership::Leader
        } else {
            let others = self.elector.holder().filter(|record| record.holder != self.settings.identity);
            Leadership::Follower(others.map(|record| Holder {
                identity: record.holder.clone(),
                feed_address: record.feed_address.clone(),
            }))
        };
        self.leadership.send_if_modified(|before| {
            let is_new = *before != now;
            if is_new {
                tracing::info!(lease = self.settings.name, leadership = ?now, "leadership changed");
                *before = now;
            }
            is_new
        });
    }

    fn requests(&self) -> Request {
        Request::new(format!(
            "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
            self.settings.namespace
        ))
    }

    /// Renews, or looks and claims.
    async fn attempt(&mut self) -> Result<(), Refusal> {
        let begun = Instant::now();
        if let Some(renewal) = self.elector.renewal(begun, Timestamp::now())
            && self.lease.is_some()
        {
            match self.write(renewal, begun).await {
                Err(refusal) if refusal.code() == Some(409) => {}
                result => return result,
            }
        }
        let get = self.requests().get(&self.settings.name, &GetParams::default());
        let found = match call(&self.client, get).await {
            Ok(raw) => Some(raw.0),
            Err(refusal) if refusal.code() == Some(404) => None,
            Err(refusal) => return Err(refusal),
        };
        let begun = Instant::now();
        let record = found.as_ref().map(read);
        self.lease = found;
        match self.elector.claim(record, begun, Timestamp::now()) {
            Some(claim) => self.write(claim, begun).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, record: Record, begun: Instant) -> Result<(), Refusal> {
        let object = written(self.lease.clone(), &self.settings, &record);
        let body = object.to_string().into_bytes();
        let parameters = PostParams::default();
        let request = if self.lease.is_some() {
            self.requests().replace(&self.settings.name, &parameters, body)
        } else {
            self.requests().create(&parameters, body)
        };
        let raw = call(&self.client, request).await?;
        // As the API server will show it: it must compare equal when it is read again.
        self.elector.wrote(read(&raw.0), begun);
        self.lease = Some(raw.0);
        Ok(())
    }

    async fn release(&mut self) {
        let now = Instant::now();
        let Some(record) = self.elector.release(now, Timestamp::now()) else {
            return;
        };
        self.publish();
        let ends = now + Duration::from_secs(3);
        let object = written(self.lease.clone(), &self.settings, &record);
        let request = self
            .requests()
            .replace(&self.settings.name, &PostParams::default(), object.to_string().into_bytes());
        match timeout_at(ends, call(&self.client, request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "lease not released"),
            Err(_) => tracing::debug!("lease not released in time"),
        }
    }
}

fn read(lease: &Value) -> Record {
    let spec = |field: &str| lease.get("spec").and_then(|spec| spec.get(field));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let time = |field: &str| spec(field).and_then(Value::as_str).and_then(|time| time.parse().ok());
    let annotations = lease.pointer("/metadata/annotations");
    Record {
        holder: text(spec("holderIdentity")).unwrap_or_default(),
        duration_seconds: spec("leaseDurationSeconds").and_then(Value::as_u64).unwrap_or(0),
        acquired: time("acquireTime"),
        renewed: time("renewTime"),
        transitions: spec("leaseTransitions").and_then(Value::as_i64).unwrap_or(0),
        feed_address: text(annotations.and_then(|annotations| annotations.get(FEED_ADDRESS_ANNOTATION))),
    }
}

/// The Lease with that record in it; what else it holds stays.
fn written(lease: Option<Value>, settings: &ElectionSettings, record: &Record) -> Value {
    let mut lease = lease.filter(Value::is_object).unwrap_or_else(|| {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": settings.name, "namespace": settings.namespace},
        })
    });
    for field in ["metadata", "spec"] {
        if !lease[field].is_object() {
            lease[field] = json!({});
        }
    }
    // metav1.MicroTime has six digits, and an empty holder is none.
    let time = |time: Option<Timestamp>| time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
    lease["spec"]["holderIdentity"] = record.holder.as_str().into();
    lease["spec"]["leaseDurationSeconds"] = record.duration_seconds.into();
    lease["spec"]["acquireTime"] = time(record.acquired).into();
    lease["spec"]["renewTime"] = time(record.renewed).into();
    lease["spec"]["leaseTransitions"] = record.transitions.into();
    if !lease["metadata"]["annotations"].is_object() {
        lease["metadata"]["annotations"] = json!({});
    }
    if let Some(annotations) = lease["metadata"]["annotations"].as_object_mut() {
        match &record.feed_address {
            Some(address) => {
                annotations.insert(FEED_ADDRESS_ANNOTATION.to_owned(), address.as_str().into());
            }
            None => {
                annotations.remove(FEED_ADDRESS_ANNOTATION);
            }
        }
    }
    lease
}
