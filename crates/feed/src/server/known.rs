//! Which proxies there are, and how each is: those that are connected here, and those that other controllers tell of.
//!
//! A proxy whose connection ended without a word is remembered as silent, so that it can be reported; one that left is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use sealway_api::{ObjectKey, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::lock;
use crate::content::Content;
use crate::message::Report;

/// The proxies of each Gateway, by pod.
pub type Proxies = BTreeMap<ObjectKey, BTreeMap<String, ProxyState>>;

/// How one proxy is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyState {
    /// Of its last connection.
    pub connected_since: Timestamp,
    /// What it calls its version.
    pub version: String,
    /// What it obeys; `None`: nothing that it was told by this connection.
    #[serde(default)]
    pub acknowledged: Option<Acknowledged>,
    /// What it was told last, if it refused that.
    #[serde(default)]
    pub refused: Option<RefusedDelta>,
    /// When it was lost; `None`: it is connected.
    #[serde(default)]
    pub silent_since: Option<Timestamp>,
    /// What it last said of itself.
    #[serde(default)]
    pub report: Report,
}

/// What a proxy obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledged {
    /// As it was published, by the controller that the proxy is connected to: other controllers count for themselves.
    pub revision: u64,
    /// The same at every controller.
    pub content: Content,
    /// Backends left out: their endpoints change all the time, and each controller looks names up for itself.
    pub routing: Content,
}

/// What a proxy does not obey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedDelta {
    /// As it was published.
    pub revision: u64,
    /// As the proxy says it.
    pub reason: String,
}

/// For so long a lost proxy is reported: a node that comes back has come back by then.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Every connection asks for it; once is enough.
const SWEPT: Duration = Duration::from_secs(30);
/// Lost proxies of one Gateway; the longest lost are forgotten first.
const MOST_LOST: usize = 256;

/// Everything that is known.
#[derive(Default)]
pub(super) struct Known {
    state: Mutex<State>,
    own: watch::Sender<Proxies>,
    all: watch::Sender<Proxies>,
}

#[derive(Default)]
struct State {
    relayed: BTreeMap<String, Proxies>,
    /// Which connection of a proxy or controller is the last one.
    latest: BTreeMap<(Option<ObjectKey>, String), u64>,
    count: u64,
    swept: Option<Timestamp>,
}

/// Shows that a connection is the last one of its peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Known {
    pub(super) fn own(&self) -> watch::Receiver<Proxies> {
        self.own.subscribe()
    }

    pub(super) fn all(&self) -> watch::Receiver<Proxies> {
        self.all.subscribe()
    }

    /// Notes a new connection, which takes the place of an earlier one.
    pub(super) fn enter(&self, gateway: &ObjectKey, pod: &str, version: String, now: Timestamp) -> Ticket {
        let mut state = lock(&self.state);
        let ticket = state.ticket(Some(gateway.clone()), pod);
        let new = ProxyState {
            connected_since: now,
            version,
            acknowledged: None,
            refused: None,
            silent_since: None,
            report: Report::default(),
        };
        self.change(&state, gateway, pod, |proxies| {
            proxies.entry(gateway.clone()).or_default().insert(pod.to_owned(), new);
            true
        });
        ticket
    }

    /// Notes what a proxy says, unless it has another connection by now.
    pub(super) fn update(&self, ticket: &Ticket, gateway: &ObjectKey, pod: &str, change: impl FnOnce(&mut ProxyState)) {
        let state = lock(&self.state);
        if !state.is_latest(ticket, Some(gateway), pod) {
            return;
        }
        self.change(&state, gateway, pod, |proxies| {
            let proxy = proxies.get_mut(gateway).and_then(|proxies| proxies.get_mut(pod));
            let Some(proxy) = proxy else { return false };
            let before = proxy.clone();
            change(proxy);
            before != *proxy
        });
    }

    /// Notes that a connection has ended.
    pub(super) fn leave(&self, ticket: &Ticket, gateway: &ObjectKey, pod: &str, lost: Option<Timestamp>) {
        self.update(ticket, gateway, pod, |proxy| proxy.silent_since = lost);
        let mut state = lock(&self.state);
        if lost.is_none() && state.is_latest(ticket, Some(gateway), pod) {
            state.latest.remove(&(Some(gateway.clone()), pod.to_owned()));
            self.own.send_if_modified(|own| remove(own, gateway, pod));
            self.left(&mut state, gateway, pod);
        }
    }

    /// Whether the connection is still the last one of its proxy.
    pub(super) fn is_latest(&self, ticket: &Ticket, gateway: Option<&ObjectKey>, pod: &str) -> bool {
        lock(&self.state).is_latest(ticket, gateway, pod)
    }

    /// Forgets who was lost long ago.
    pub(super) fn sweep(&self, now: Timestamp) {
        let mut state = lock(&self.state);
        if state.swept.is_some_and(|swept| since(now, swept) < SWEPT) {
            return;
        }
        state.swept = Some(now);
        let before: Vec<_> = names(&self.all.borrow());
        for proxies in state.relayed.values_mut() {
            forget(proxies, now);
        }
        let connected: BTreeSet<_> = state
            .latest
            .keys()
            .filter(|(gateway, _)| gateway.is_none())
            .map(|(_, pod)| pod.clone())
            .collect();
        state
            .relayed
            .retain(|controller, proxies| !proxies.is_empty() || connected.contains(controller));
        if self.own.send_if_modified(|own| forget(own, now)) || !state.relayed.is_empty() {
            self.settle_all(&state, &before);
        }
        let known = self.own.borrow();
        let is_known = |gateway: &ObjectKey, pod: &String| known.get(gateway).is_some_and(|pods| pods.contains_key(pod));
        state
            .latest
            .retain(|(gateway, pod), _| gateway.as_ref().is_none_or(|gateway| is_known(gateway, pod)));
    }

    /// Notes a new connection of another controller.
    pub(super) fn enter_controller(&self, pod: &str) -> Ticket {
        let mut state = lock(&self.state);
        state.relayed.entry(pod.to_owned()).or_default();
        state.ticket(None, pod)
    }

    /// Notes what another controller says of a proxy.
    pub(super) fn relay(&self, ticket: &Ticket, controller: &str, gateway: ObjectKey, pod: String, proxy: Option<ProxyState>) {
        let mut state = lock(&self.state);
        if !state.is_latest(ticket, None, controller) {
            return;
        }
        let proxies = state.relayed.entry(controller.to_owned()).or_default();
        match proxy {
            Some(proxy) => {
                proxies.entry(gateway.clone()).or_default().insert(pod.clone(), proxy);
                self.settle(&state, &gateway, &pod);
            }
            None => {
                remove(proxies, &gateway, &pod);
                self.left(&mut state, &gateway, &pod);
            }
        }
    }

    /// Notes that these are all the proxies of another controller.
    pub(super) fn relay_all(&self, ticket: &Ticket, controller: &str, proxies: Proxies) {
        let mut state = lock(&self.state);
        if !state.is_latest(ticket, None, controller) {
            return;
        }
        let mut told = names(&proxies);
        let before = state.relayed.insert(controller.to_owned(), proxies);
        told.extend(before.iter().flat_map(names));
        self.settle_all(&state, &told);
    }

    /// Notes that another controller has gone: of its proxies nobody knows anything until they are connected elsewhere.
    pub(super) fn leave_controller(&self, ticket: &Ticket, controller: &str, now: Timestamp) {
        let mut state = lock(&self.state);
        if !state.is_latest(ticket, None, controller) {
            return;
        }
        state.latest.remove(&(None, controller.to_owned()));
        let Some(relayed) = state.relayed.get_mut(controller) else {
            return;
        };
        for proxy in relayed.values_mut().flat_map(BTreeMap::values_mut) {
            proxy.silent_since.get_or_insert(now);
        }
        let told = names(relayed);
        self.settle_all(&state, &told);
    }

    /// Changes a proxy that is connected here.
    fn change(&self, state: &State, gateway: &ObjectKey, pod: &str, change: impl FnOnce(&mut Proxies) -> bool) {
        if self.own.send_if_modified(change) {
            self.settle(state, gateway, pod);
        }
    }

    /// Who has left is not looked for where it was lost before it came to where it left.
    fn left(&self, state: &mut State, gateway: &ObjectKey, pod: &str) {
        let forget = |proxies: &mut Proxies| {
            let proxy = proxies.get(gateway).and_then(|pods| pods.get(pod));
            proxy.is_some_and(|proxy| proxy.silent_since.is_some()) && remove(proxies, gateway, pod)
        };
        for proxies in state.relayed.values_mut() {
            forget(proxies);
        }
        self.own.send_if_modified(forget);
        self.settle(state, gateway, pod);
    }

    /// Works out anew what is known of one proxy.
    fn settle(&self, state: &State, gateway: &ObjectKey, pod: &str) {
        let own = self.own.borrow();
        let tellers = state.relayed.values().chain([&*own]);
        let told = tellers.filter_map(|proxies| proxies.get(gateway)?.get(pod));
        // Of a proxy that two controllers tell of, the one counts that it is connected to; of two such, the later connection.
        let best = told
            .max_by_key(|proxy| (proxy.silent_since.is_none(), proxy.connected_since))
            .cloned();
        drop(own);
        self.all.send_if_modified(|all| match best {
            Some(best) => {
                let known = all.entry(gateway.clone()).or_default();
                let differs = known.get(pod) != Some(&best);
                known.insert(pod.to_owned(), best);
                differs
            }
            None => remove(all, gateway, pod),
        });
    }

    /// Works out anew what is known of these.
    fn settle_all(&self, state: &State, proxies: &[(ObjectKey, String)]) {
        for (gateway, pod) in proxies {
            self.settle(state, gateway, pod);
        }
    }
}

fn names(proxies: &Proxies) -> Vec<(ObjectKey, String)> {
    let each = proxies
        .iter()
        .flat_map(|(gateway, pods)| pods.keys().map(move |pod| (gateway.clone(), pod.clone())));
    each.collect()
}

impl State {
    fn ticket(&mut self, gateway: Option<ObjectKey>, pod: &str) -> Ticket {
        self.count += 1;
        self.latest.insert((gateway, pod.to_owned()), self.count);
        Ticket(self.count)
    }

    fn is_latest(&self, ticket: &Ticket, gateway: Option<&ObjectKey>, pod: &str) -> bool {
        self.latest.get(&(gateway.cloned(), pod.to_owned())) == Some(&ticket.0)
    }
}

fn remove(proxies: &mut Proxies, gateway: &ObjectKey, pod: &str) -> bool {
    let Some(pods) = proxies.get_mut(gateway) else { return false };
    let removed = pods.remove(pod).is_some();
    if pods.is_empty() {
        proxies.remove(gateway);
    }
    removed
}

/// Nothing, when clocks were set back.
fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

fn forget(proxies: &mut Proxies, now: Timestamp) -> bool {
    let mut changed = false;
    for pods in proxies.values_mut() {
        let mut lost: Vec<(Timestamp, String)> = pods
            .iter()
            .filter_map(|(pod, proxy)| Some((proxy.silent_since?, pod.clone())))
            .collect();
        lost.sort();
        let too_many = lost.len().saturating_sub(MOST_LOST);
        let gone: BTreeSet<String> = lost
            .into_iter()
            .enumerate()
            .filter(|(position, (lost, _))| *position < too_many || since(now, *lost) > REMEMBERED)
            .map(|(_, (_, pod))| pod)
            .collect();
        changed |= !gone.is_empty();
        pods.retain(|pod, _| !gone.contains(pod));
    }
    proxies.retain(|_, pods| !pods.is_empty());
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    #[test]
    fn who_is_lost_is_remembered_for_a_while_and_not_in_any_number() {
        let known = Known::default();
        let gateway = ObjectKey::new("infra", "a");
        let count = || known.all().borrow().values().flatten().count();
        for number in 0..300 {
            let pod = format!("pod-{number}");
            let ticket = known.enter(&gateway, &pod, String::new(), at(0));
            known.leave(&ticket, &gateway, &pod, Some(at(number)));
        }
        let _stays = known.enter(&gateway, "stays", String::new(), at(0));
        assert_eq!(count(), 301);
        known.sweep(at(300));
        assert_eq!(count(), 1 + MOST_LOST);
        assert!(
            !known.all().borrow()[&gateway].contains_key("pod-0"),
            "the longest lost is forgotten first"
        );
        known.sweep(at(299 + 600));
        assert_eq!(count(), 2);
        known.sweep(at(2_000));
        assert_eq!(count(), 1);
        // What belonged to a connection is gone with it.
        assert_eq!(lock(&known.state).latest.len(), 1);
    }

    #[test]
    fn an_old_connection_says_nothing_of_a_new_one() {
        let known = Known::default();
        let gateway = ObjectKey::new("infra", "a");
        let old = known.enter(&gateway, "pod", "old".to_owned(), at(0));
        let new = known.enter(&gateway, "pod", "new".to_owned(), at(1));
        known.update(&old, &gateway, "pod", |proxy| proxy.report.draining = true);
        known.leave(&old, &gateway, "pod", None);
        let state = known.own().borrow()[&gateway]["pod"].clone();
        assert_eq!(
            (state.version.as_str(), state.report.draining, state.silent_since),
            ("new", false, None)
        );
        known.leave(&new, &gateway, "pod", None);
        assert!(known.own().borrow().is_empty() && known.all().borrow().is_empty());
    }
}
