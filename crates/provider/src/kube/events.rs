//! Problems as Kubernetes Events (events.k8s.io/v1), beside the objects that have them.
//!
//! Job: write what the book says. Invariant: only the lease holder tells; an Event that cannot be written is lost, and holds up nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Request;
use sealway_api::{ObjectRef, Resources, Timestamp};
use sealway_core::{Problem, Severity};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::book::{Book, Note};
use super::call::{Refusal, call};
use super::discovery::Served;
use super::lease::Leadership;

mod book;

/// Who tells.
#[derive(Clone, Debug)]
pub struct EventSettings {
    /// As in `sealway.dev/gateway-controller`.
    pub controller: String,
    /// Name of the pod.
    pub instance: String,
}

/// Tells problems until it is dropped.
pub struct Events {
    told: watch::Sender<Told>,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Told {
    problems: Arc<Vec<Problem>>,
    resources: Arc<Resources>,
}

/// How often what goes on is looked at.
const TICK: Duration = Duration::from_secs(5);
/// Characters of a note, and of other fields, as many as the API server takes.
const NOTE: usize = 1024;
const NAME: usize = 128;

impl Events {
    /// Starts to tell what [`Events::tell`] is given.
    #[must_use]
    pub fn start(
        client: Client,
        served: watch::Receiver<Arc<Served>>,
        leadership: watch::Receiver<Leadership>,
        settings: EventSettings,
    ) -> Self {
        let (told, receiver) = watch::channel(Told::default());
        let mut tasks = JoinSet::new();
        let teller = Teller {
            client,
            served,
            settings,
        };
        tasks.spawn(teller.run(receiver, leadership));
        Self { told, _tasks: tasks }
    }

    /// Says which problems there are, all of them, and the resources that they are of.
    pub fn tell(&self, problems: Arc<Vec<Problem>>, resources: Arc<Resources>) {
        self.told.send_replace(Told { problems, resources });
    }
}

struct Teller {
    client: Client,
    served: watch::Receiver<Arc<Served>>,
    settings: EventSettings,
}

impl Teller {
    async fn run(self, mut told: watch::Receiver<Told>, leadership: watch::Receiver<Leadership>) {
        let mut book = Book::new((super::pause::random() * 1e15) as u64, Instant::now());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Not for every change of a burst.
            tokio::select! {
                _ = ticks.tick() => {}
                changed = told.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
            let now = told.borrow_and_update().clone();
            if !matches!(*leadership.borrow(), Leadership::Leader) {
                book.clear();
                continue;
            }
            for note in book.note(&now.problems, Instant::now(), Timestamp::now()) {
                if let Err(error) = self.write(&note, &now.resources).await {
                    tracing::debug!(object = %note.object, %error, "event not written");
                }
            }
        }
    }

    async fn write(&self, note: &Note, resources: &Resources) -> Result<(), Refusal> {
        let namespace = match note.object.key.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        };
        let requests = Request::new(format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"));
        if note.count > 1 {
            let series = json!({"series": {"count": note.count, "lastObservedTime": micro(note.last)}});
            let patch = requests.patch(&note.name, &PatchParams::default(), &Patch::Merge(&series));
            match call(&self.client, patch).await {
                // The API server has forgotten it: events live for an hour.
                Err(refusal) if refusal.code() == Some(404) => {}
                result => return result.map(drop),
            }
        }
        let version = self.served.borrow().api_version(&note.object.kind);
        let uid = resources.get(&note.object).and_then(|object| object.metadata().uid.clone());
        let event = event(note, namespace, version, uid, &self.settings);
        let create = requests.create(&PostParams::default(), event.to_string().into_bytes());
        match call(&self.client, create).await {
            // It got there before, and only its answer was lost.
            Err(refusal) if refusal.code() == Some(409) => Ok(()),
            result => result.map(drop),
        }
    }
}

fn event(note: &Note, namespace: &str, version: Option<String>, uid: Option<String>, settings: &EventSettings) -> Value {
    let ObjectRef { kind, key } = &note.object;
    let mut regarding: BTreeMap<&str, String> = BTreeMap::from([("kind", kind.to_string()), ("name", key.name.clone())]);
    if !key.namespace.is_empty() {
        regarding.insert("namespace", key.namespace.clone());
    }
    regarding.extend(version.map(|version| ("apiVersion", version)));
    regarding.extend(uid.map(|uid| ("uid", uid)));
    let severity = match note.severity {
        Severity::Error | Severity::Warning => "Warning",
        Severity::Note => "Normal",
    };
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": note.name, "namespace": namespace},
        "eventTime": micro(note.last),
        "type": severity,
        "reason": cut(&note.reason, NAME),
        "action": "Compile",
        "note": cut(&note.text, NOTE),
        "regarding": regarding,
        "reportingController": cut(&settings.controller, NAME),
        "reportingInstance": cut(&settings.instance, NAME),
    })
}

/// At most so many bytes, whole characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// metav1.MicroTime has six digits.
fn micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use sealway_api::Kind;

    use super::*;

    #[test]
    fn an_event_has_what_the_api_server_insists_on() {
        let note = Note {
            object: ObjectRef::new(Kind::GatewayClass, "", "sealway"),
            name: "sealway.0123".to_owned(),
            severity: Severity::Note,
            reason: "Invalid".to_owned(),
            text: "ä".repeat(1000),
            first: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
            count: 1,
        };
        let settings = EventSettings {
            controller: "sealway.dev/gateway-controller".to_owned(),
            instance: "pod".to_owned(),
        };
        let event = event(&note, "default", Some("g/v1".to_owned()), None, &settings);
        assert_eq!(event["eventTime"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(event["note"].as_str().map(str::len), Some(1024));
        assert_eq!(
            event["regarding"],
            json!({"kind": "GatewayClass", "name": "sealway", "apiVersion": "g/v1"})
        );
        assert_eq!(event["type"], "Normal");
    }
}
