//! What `run` says about itself on standard error: where it listens, what it does not serve and why, and every problem.
//!
//! Input: each compilation. Output: log lines. Invariant: each thing is said once, and again only when it has changed; what no longer
//! holds is taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use sealway_api::{ConditionStatus, ConditionType, ListenerStatus, ObjectKey, Reason, Statuses};
use sealway_core::{ListenerFate, PortPlan, PortState, Problem, Severity, SocketKey};

use crate::view::View;

/// Remembers what was said.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    said: BTreeMap<String, Line>,
}

impl Announcer {
    /// Says what is new since the last call; to be called only once it is known what became of every socket.
    pub(crate) fn announce(&mut self, view: &View, statuses: &Statuses, ports: &BTreeMap<SocketKey, PortState>) {
        let mut lines: Vec<Line> = bound(view, ports);
        lines.extend(refused(statuses));
        lines.extend(view.problems.iter().cloned().map(|problem| Line::Problem(Box::new(problem))));
        let mut now = BTreeMap::new();
        for line in lines {
            let key = line.key();
            if !self.said.contains_key(&key) && !now.contains_key(&key) {
                line.say();
            }
            now.insert(key, line);
        }
        for (key, line) in &self.said {
            if !now.contains_key(key) {
                line.take_back();
            }
        }
        self.said = now;
    }
}

#[derive(Debug)]
enum Line {
    Listening {
        gateway: ObjectKey,
        address: SocketAddr,
        listeners: String,
    },
    NotServed {
        gateway: ObjectKey,
        listener: String,
        reason: Reason,
        message: String,
    },
    Problem(Box<Problem>),
}

impl Line {
    fn key(&self) -> String {
        match self {
            Self::Problem(problem) => format!("{} {problem}", problem.cause.code()),
            other => format!("{other:?}"),
        }
    }

    fn say(&self) {
        match self {
            Self::Listening {
                gateway,
                address,
                listeners,
            } => tracing::info!(%gateway, %address, listeners, "listening"),
            Self::NotServed {
                gateway,
                listener,
                reason,
                message,
            } if *reason == Reason::Pending => {
                tracing::info!(%gateway, listener, %reason, detail = message, "listener is not programmed");
            }
            Self::NotServed {
                gateway,
                listener,
                reason,
                message,
            } => tracing::warn!(%gateway, listener, %reason, detail = message, "listener is not programmed"),
            Self::Problem(problem) => say_problem(problem),
        }
    }

    fn take_back(&self) {
        match self {
            Self::Listening { gateway, address, .. } => tracing::info!(%gateway, %address, "stopped listening"),
            // What takes its place, or that it listens now, is said by another line.
            Self::NotServed { .. } => {}
            Self::Problem(problem) => tracing::info!(code = problem.cause.code(), "gone: {problem}"),
        }
    }
}

fn say_problem(problem: &Problem) {
    let hint = problem.cause.hint();
    let hint = hint.as_deref();
    let code = problem.cause.code();
    match problem.cause.severity() {
        Severity::Error => tracing::error!(code, hint, "{problem}"),
        Severity::Warning => tracing::warn!(code, hint, "{problem}"),
        Severity::Note => tracing::info!(code, hint, "{problem}"),
    }
}

/// One line for each socket that is open and serves something.
fn bound(view: &View, ports: &BTreeMap<SocketKey, PortState>) -> Vec<Line> {
    let mut lines = Vec::new();
    for snapshot in view.snapshots.values() {
        for (address, key, plan) in snapshot.sockets() {
            let socket = SocketKey {
                transport: key.transport,
                address,
            };
            let listeners = serving(plan);
            if ports.get(&socket) == Some(&PortState::Bound) && !listeners.is_empty() {
                lines.push(Line::Listening {
                    gateway: snapshot.gateway.clone(),
                    address,
                    listeners,
                });
            }
        }
    }
    lines
}

fn serving(plan: &PortPlan) -> String {
    let listeners: Vec<(&str, &ListenerFate)> = match plan {
        PortPlan::Tls(plan) => plan
            .listeners
            .iter()
            .map(|listener| (&*listener.name, &listener.fate))
            .collect(),
        PortPlan::Http(plan) => plan
            .listeners
            .iter()
            .map(|listener| (&*listener.name, &listener.fate))
            .collect(),
    };
    let serving = listeners.into_iter().filter(|(_, fate)| **fate == ListenerFate::Serves);
    let names: BTreeSet<&str> = serving.map(|(name, _)| name).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// One line for each listener that is not served.
fn refused(statuses: &Statuses) -> Vec<Line> {
    let listeners = statuses
        .gateways
        .iter()
        .flat_map(|(gateway, status)| status.listeners.iter().map(move |listener| (gateway, listener)));
    listeners
        .filter_map(|(gateway, listener)| {
            let (reason, message) = refusal(listener)?;
            Some(Line::NotServed {
                gateway: gateway.clone(),
                listener: listener.name.clone(),
                reason,
                message,
            })
        })
        .collect()
}

/// The condition that explains most: why it was not accepted, else whose references are bad, else why it is not programmed.
fn refusal(listener: &ListenerStatus) -> Option<(Reason, String)> {
    let fails = |kind: ConditionType| {
        listener
            .conditions
            .iter()
            .find(|condition| condition.kind == kind && condition.status == ConditionStatus::False)
    };
    let programmed = fails(ConditionType::Programmed)?;
    let telling = [ConditionType::Accepted, ConditionType::ResolvedRefs]
        .into_iter()
        .find_map(fails)
        .unwrap_or(programmed);
    Some((telling.reason.clone(), telling.message.clone()))
}
