//! What `run` says about itself on standard error: where it listens, what it does not serve and why, and every problem.
//!
//! Input: each compilation. Output: log lines. Invariant: each thing is said once, and again only when it has changed; what no longer
//! holds is taken back.

use std::collections::{BTreeMap, BTreeSet};

use sealway_api::{ConditionStatus, ConditionType, ListenerStatus, ObjectKey, Reason, Statuses};
use sealway_core::{ListenerFate, PortPlan, PortState, Problem, Severity, SocketKey, Transport};

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
        for line in self.renew(lines) {
            line.take_back();
        }
    }

    /// Says what is new, and gives back what no longer holds. A port that is still open has not stopped listening, whoever it serves.
    fn renew(&mut self, lines: Vec<Line>) -> Vec<Line> {
        let mut now = BTreeMap::new();
        for line in lines {
            let key = line.key();
            if !self.said.contains_key(&key) && !now.contains_key(&key) {
                line.say();
            }
            now.insert(key, line);
        }
        let before = std::mem::replace(&mut self.said, now);
        let open: BTreeSet<_> = self.said.values().filter_map(Line::socket).collect();
        let gone = before.into_iter().filter(|(key, line)| {
            let is_open = line.socket().is_some_and(|socket| open.contains(&socket));
            !is_open && !self.said.contains_key(key)
        });
        gone.map(|(_, line)| line).collect()
    }
}

#[derive(Debug)]
enum Line {
    Listening {
        gateway: ObjectKey,
        socket: SocketKey,
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

    /// The socket that is open, and for whom.
    fn socket(&self) -> Option<(&ObjectKey, SocketKey)> {
        match self {
            Self::Listening { gateway, socket, .. } => Some((gateway, *socket)),
            _ => None,
        }
    }

    fn say(&self) {
        match self {
            // Nothing is served there: the listeners' own lines say why.
            Self::Listening { listeners, .. } if listeners.is_empty() => {}
            Self::Listening {
                gateway,
                socket: SocketKey { address, transport },
                listeners,
            } => tracing::info!(%gateway, %address, listeners, transport = stated(*transport), "listening"),
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
            Self::Listening {
                gateway,
                socket: SocketKey { address, transport },
                ..
            } => tracing::info!(%gateway, %address, transport = stated(*transport), "stopped listening"),
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

/// One line for each socket that is open.
fn bound(view: &View, ports: &BTreeMap<SocketKey, PortState>) -> Vec<Line> {
    let mut lines = Vec::new();
    for snapshot in view.snapshots.values() {
        for (address, key, plan) in snapshot.sockets() {
            let socket = SocketKey {
                transport: key.transport,
                address,
            };
            if ports.get(&socket) == Some(&PortState::Bound) {
                lines.push(Line::Listening {
                    gateway: snapshot.gateway.clone(),
                    socket,
                    listeners: serving(plan),
                });
            }
        }
    }
    lines
}

/// TCP goes without saying.
fn stated(transport: Transport) -> Option<&'static str> {
    (transport == Transport::Udp).then_some("UDP")
}

fn serving(plan: &PortPlan) -> String {
    let listeners: Vec<(&str, &ListenerFate)> = match plan {
        PortPlan::Tls(plan) => plan
            .listeners
            .iter()
            .map(|listener| (&*listener.name, &listener.fate))
            .collect(),
        PortPlan::Tcp(plan) | PortPlan::Udp(plan) => vec![(&*plan.listener, &ListenerFate::Serves)],
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
    let own = statuses.gateways.iter().flat_map(|(gateway, status)| {
        let listeners = status.listeners.iter();
        listeners.map(move |listener| (gateway, listener.name.clone(), listener))
    });
    let of_sets = statuses.listener_sets.iter().flat_map(|(set, status)| {
        let listeners = status.listeners.iter();
        listeners.map(move |listener| (&status.gateway, format!("{set}/{}", listener.name), listener))
    });
    own.chain(of_sets)
        .filter_map(|(gateway, name, listener)| {
            let (reason, message) = refusal(listener)?;
            Some(Line::NotServed {
                gateway: gateway.clone(),
                listener: name,
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn listening(port: u16, listeners: &str) -> Line {
        Line::Listening {
            gateway: ObjectKey::new("infra", "edge"),
            socket: SocketKey {
                transport: Transport::Tcp,
                address: SocketAddr::from(([127, 0, 0, 1], port)),
            },
            listeners: listeners.to_owned(),
        }
    }

    #[test]
    fn port_stops_listening_only_when_it_is_closed() {
        let mut announcer = Announcer::default();
        let mut stopped = |lines: Vec<Line>| {
            let gone = announcer.renew(lines);
            gone.iter()
                .filter_map(Line::socket)
                .map(|(_, socket)| socket.address.port())
                .collect::<Vec<_>>()
        };
        assert!(stopped(vec![listening(443, "a"), listening(80, "c")]).is_empty());
        assert!(stopped(vec![listening(443, "a, b"), listening(80, "c")]).is_empty());
        // Its certificates are broken: it is open, and serves nobody.
        assert_eq!(stopped(vec![listening(443, "")]), [80]);
        assert!(stopped(vec![listening(443, "a")]).is_empty());
        assert_eq!(stopped(Vec::new()), [443]);
    }
}
