//! The objects that carry Gateways' proxies, made and removed.
//!
//! Job: make what the API server stores equal to what [`provision`](crate::provision) wants. Input: objects by Gateway, who leads.
//! Output: what the API server refused. Invariant: only the lease holder writes; what a Gateway does not own is left alone; one Gateway
//! whose objects are refused holds up no other; what somebody changed or deleted is put right at the next look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::Request;
use sealway_api::ObjectKey;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::call::{Refusal, call};
use super::lease::Leadership;
use super::own::get;
use super::pause::{Backoff, about, random};
use crate::provision::{
    Changes, FIELD_MANAGER, GATEWAY_CLASS_LABEL, GATEWAY_NAME_LABEL, Identity, Present, changes, label_value,
};

/// What one Gateway needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needed {
    /// Of the Gateway.
    pub uid: String,
    /// Name of its class.
    pub class: String,
    /// As [`provision`](crate::provision::provision) gives them; none when the Gateway is another controller's by now, which gets the time
    /// to take over what there is.
    pub objects: Vec<Value>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Services that the API server does not take, as it does one whose address somebody has.
    pub refused_services: BTreeSet<String>,
    /// What stands in the way, each with what it is about.
    pub faults: Vec<String>,
}

/// What became of each Gateway's objects.
pub type AppliedByGateway = BTreeMap<ObjectKey, Applied>;

/// Makes objects until it is dropped.
pub struct Provisioner {
    needed: watch::Sender<Arc<BTreeMap<ObjectKey, Needed>>>,
    applied: watch::Receiver<Arc<AppliedByGateway>>,
    _tasks: JoinSet<()>,
}

/// Gateways whose objects are looked at together.
const AT_ONCE: usize = 4;
/// Everything is looked at so often, for whoever deletes a Deployment tells nobody.
const LOOK: Duration = Duration::from_secs(120);
/// The controller that has a Gateway now takes over its objects in that time: addresses go along.
const HAND_OVER: Duration = Duration::from_secs(10);
const AGAIN: Backoff = Backoff {
    first: Duration::from_millis(250),
    most: Duration::from_secs(30),
};
/// Kinds that are made, and where they are kept.
pub(super) const COLLECTIONS: [(&str, &str, &str); 6] = [
    ("ServiceAccount", "/api/v1", "serviceaccounts"),
    ("ConfigMap", "/api/v1", "configmaps"),
    ("Service", "/api/v1", "services"),
    ("Deployment", "/apis/apps/v1", "deployments"),
    ("PodDisruptionBudget", "/apis/policy/v1", "poddisruptionbudgets"),
    ("HorizontalPodAutoscaler", "/apis/autoscaling/v2", "horizontalpodautoscalers"),
];

impl Provisioner {
    /// Starts to make what [`Provisioner::need`] is told.
    #[must_use]
    pub fn start(client: Client, leadership: watch::Receiver<Leadership>) -> Self {
        let (needed, receiver) = watch::channel(Arc::default());
        let (sender, applied) = watch::channel(Arc::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(run(client, leadership, receiver, sender));
        Self {
            needed,
            applied,
            _tasks: tasks,
        }
    }

    /// Says what is needed, of all Gateways. What one that is not among them any more had made is removed at once.
    pub fn need(&self, needed: BTreeMap<ObjectKey, Needed>) {
        self.needed.send_if_modified(|before| {
            let is_new = **before != needed;
            if is_new {
                *before = Arc::new(needed);
            }
            is_new
        });
    }

    /// What came of it.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Arc<AppliedByGateway>> {
        self.applied.clone()
    }
}

/// How a Gateway's objects stand.
#[derive(Default)]
struct Turn {
    /// What was tried last, with success or without.
    done: Option<Needed>,
    failures: u32,
    due: Option<Instant>,
    /// When the time of the controller that has the Gateway now is over.
    handed_over: Option<Instant>,
    is_under_way: bool,
}

type Done = (ObjectKey, Needed, Result<Applied, Refusal>);

async fn run(
    client: Client,
    mut leadership: watch::Receiver<Leadership>,
    mut needed: watch::Receiver<Arc<BTreeMap<ObjectKey, Needed>>>,
    applied: watch::Sender<Arc<AppliedByGateway>>,
) {
    let mut turns: BTreeMap<ObjectKey, Turn> = BTreeMap::new();
    let mut under_way: JoinSet<Done> = JoinSet::new();
    loop {
        let wanted = Arc::clone(&needed.borrow_and_update());
        let leads = matches!(*leadership.borrow_and_update(), Leadership::Leader);
        if !leads {
            // Whoever begins to lead looks at everything.
            turns.retain(|_, turn| turn.is_under_way);
            turns.values_mut().for_each(|turn| turn.done = None);
        } else {
            start(&client, &wanted, &mut turns, &mut under_way);
        }
        let next = turns
            .values()
            .filter(|turn| !turn.is_under_way)
            .filter_map(|turn| turn.due)
            .min();
        tokio::select! {
            changed = needed.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
            Some(ended) = under_way.join_next() => match ended {
                Ok(done) => note(&mut turns, done, &wanted, &applied),
                Err(error) => tracing::error!(%error, "defect: making a Gateway's objects failed"),
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if leads && next.is_some() && under_way.len() < AT_ONCE => {}
        }
    }
}

/// Starts what is due, as far as there is room.
fn start(
    client: &Client,
    wanted: &BTreeMap<ObjectKey, Needed>,
    turns: &mut BTreeMap<ObjectKey, Turn>,
    under_way: &mut JoinSet<Done>,
) {
    // Of one that is gone before anything was tried, nothing is due.
    turns.retain(|gateway, turn| turn.is_under_way || turn.done.is_some() || wanted.contains_key(gateway));
    for gateway in wanted.keys() {
        turns.entry(gateway.clone()).or_default();
    }
    let now = Instant::now();
    for (gateway, turn) in turns.iter_mut().filter(|(_, turn)| !turn.is_under_way) {
        if under_way.len() >= AT_ONCE {
            return;
        }
        let goal = match (wanted.get(gateway), &turn.done) {
            (Some(needed), _) => needed.clone(),
            (None, Some(done)) => Needed {
                objects: Vec::new(),
                ..done.clone()
            },
            (None, None) => continue,
        };
        // What is wanted otherwise by now may be the mend: it does not wait.
        let is_new = turn.done.as_ref() != Some(&goal);
        let is_anothers = goal.objects.is_empty() && wanted.contains_key(gateway);
        if !is_anothers {
            turn.handed_over = None;
        } else if is_new {
            let due = *turn.handed_over.get_or_insert(now + HAND_OVER);
            if now < due {
                turn.due = Some(due);
                continue;
            }
        } else if turn.due.is_none() {
            continue;
        }
        if is_new || turn.due.is_none_or(|due| due <= now) {
            turn.is_under_way = true;
            let (client, gateway) = (client.clone(), gateway.clone());
            under_way.spawn(async move {
                let outcome = settle(&client, &gateway, &goal).await;
                (gateway, goal, outcome)
            });
        }
    }
}

fn note(
    turns: &mut BTreeMap<ObjectKey, Turn>,
    (gateway, goal, outcome): Done,
    wanted: &BTreeMap<ObjectKey, Needed>,
    applied: &watch::Sender<Arc<AppliedByGateway>>,
) {
    let Some(turn) = turns.get_mut(&gateway) else { return };
    turn.is_under_way = false;
    let is_over = goal.objects.is_empty();
    let outcome = outcome.unwrap_or_else(|refusal| Applied {
        faults: vec![refusal.to_string()],
        ..Applied::default()
    });
    if outcome.faults.is_empty() {
        turn.failures = 0;
        // What is another's is not looked at again.
        turn.due = (!is_over).then(|| Instant::now() + about(LOOK));
    } else {
        turn.failures = turn.failures.saturating_add(1);
        turn.due = Some(Instant::now() + AGAIN.after(turn.failures, random()));
        if turn.failures.is_power_of_two() {
            tracing::warn!(%gateway, faults = ?outcome.faults, failures = turn.failures, "the Gateway's objects are not as they should be");
        }
    }
    if is_over && outcome.faults.is_empty() && !wanted.contains_key(&gateway) {
        turns.remove(&gateway);
    } else {
        turn.done = Some(goal);
    }
    applied.send_if_modified(|before| {
        let is_new = if is_over {
            before.contains_key(&gateway)
        } else {
            before.get(&gateway) != Some(&outcome)
        };
        if is_new {
            let mut now = AppliedByGateway::clone(before);
            match is_over {
                true => drop(now.remove(&gateway)),
                false => drop(now.insert(gateway, outcome)),
            }
            *before = Arc::new(now);
        }
        is_new
    });
}

/// Makes one Gateway's objects what they should be.
async fn settle(client: &Client, gateway: &ObjectKey, goal: &Needed) -> Result<Applied, Refusal> {
    let mut present = labelled(client, gateway).await?;
    for identity in goal.objects.iter().map(Identity::of) {
        if present.iter().any(|object| object.identity == identity) {
            continue;
        }
        let Some(collection) = collection(&identity.kind, &gateway.namespace) else {
            continue;
        };
        if let Some(object) = get(client, &collection, &identity.name).await? {
            present.push(self::present(identity.kind, gateway, &object));
        }
    }
    let Changes { apply, delete, taken } = changes(goal.objects.clone(), &present, &goal.uid, &label_value(&goal.class));
    let mut outcome = Applied::default();
    for identity in taken {
        outcome.faults.push(format!(
            "{} {} exists and is not the Gateway's: delete or rename it",
            identity.kind, identity.name
        ));
    }
    for object in apply {
        let identity = Identity::of(&object);
        let Some(collection) = collection(&identity.kind, &gateway.namespace) else {
            continue;
        };
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let request = Request::new(collection).patch(&identity.name, &parameters, &Patch::Apply(&object));
        match call(client, request).await {
            Ok(_) => {}
            Err(refusal) if refusal.code() == Some(422) && identity.kind == "Service" => {
                tracing::info!(%gateway, service = identity.name, error = %refusal, "the API server does not take a Service");
                outcome.refused_services.insert(identity.name);
            }
            Err(refusal) => outcome.faults.push(format!("{} {}: {refusal}", identity.kind, identity.name)),
        }
    }
    for (identity, version) in delete {
        let Some(collection) = collection(&identity.kind, &gateway.namespace) else {
            continue;
        };
        let unchanged = Preconditions {
            resource_version: Some(version),
            uid: None,
        };
        let parameters = DeleteParams::background().preconditions(unchanged);
        let request = Request::new(collection).delete(&identity.name, &parameters);
        match call(client, request).await {
            Ok(_) => {}
            Err(refusal) if refusal.code() == Some(404) => {}
            Err(refusal) => outcome.faults.push(format!("{} {}: {refusal}", identity.kind, identity.name)),
        }
    }
    Ok(outcome)
}

fn collection(kind: &str, namespace: &str) -> Option<String> {
    let (_, root, plural) = COLLECTIONS.iter().find(|(known, ..)| *known == kind)?;
    Some(format!("{root}/namespaces/{namespace}/{plural}"))
}

/// Everything that carries the Gateway's label.
async fn labelled(client: &Client, gateway: &ObjectKey) -> Result<Vec<Present>, Refusal> {
    let mut found = Vec::new();
    let parameters = ListParams::default().labels(&format!("{GATEWAY_NAME_LABEL}={}", label_value(&gateway.name)));
    for (kind, root, plural) in COLLECTIONS {
        let requests = Request::new(format!("{root}/namespaces/{}/{plural}", gateway.namespace));
        let list = call(client, requests.list(&parameters)).await?.0;
        let items = list.get("items").and_then(Value::as_array);
        found.extend(
            items
                .into_iter()
                .flatten()
                .map(|object| present(kind.to_owned(), gateway, object)),
        );
    }
    Ok(found)
}

fn present(kind: String, gateway: &ObjectKey, object: &Value) -> Present {
    let metadata = |field: &str| object.get("metadata")?.get(field);
    let text = |field: &str| metadata(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let class = metadata("labels").and_then(|labels| labels.get(GATEWAY_CLASS_LABEL)?.as_str().map(str::to_owned));
    let owners = metadata("ownerReferences").and_then(Value::as_array);
    let mut controllers = owners
        .into_iter()
        .flatten()
        .filter(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let owner = controllers.find_map(|owner| owner.get("uid")?.as_str().map(str::to_owned));
    Present {
        identity: Identity {
            kind,
            namespace: gateway.namespace.clone(),
            name: text("name"),
        },
        owner,
        class,
        version: text("resourceVersion"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    /// Its turn would be due for ever, and nothing would be done.
    #[tokio::test]
    async fn a_gateway_that_goes_while_it_is_handed_over_leaves_no_turn() {
        let (mut turns, mut under_way) = (BTreeMap::new(), JoinSet::new());
        let anothers = BTreeMap::from([(ObjectKey::new("infra", "edge"), Needed::default())]);
        let nobody = kube::Config::new("http://127.0.0.1:9".parse().expect("an address"));
        let nobody = Client::try_from(nobody).expect("a client");
        start(&nobody, &anothers, &mut turns, &mut under_way);
        assert!(turns.values().all(|turn| turn.due.is_some()) && turns.len() == 1);
        start(&nobody, &BTreeMap::new(), &mut turns, &mut under_way);
        assert!(turns.is_empty() && under_way.is_empty());
    }
}
