//! The trace of a lookup: which candidates there were, and by which rule each lost.
//!
//! Job: record what [`crate::PortPlan::connection`] and [`crate::PortPlan::request`] do while they do it. Invariant: the data plane and `explain` run the same lookup;
//! the data plane passes [`NoTrace`], for which nothing is computed.

use std::fmt;
use std::sync::Arc;

use sealway_api::{ObjectKey, ObjectRef, Reason};

use crate::hostname::HostnamePattern;
use crate::problem::text;
use crate::snapshot::{CertificateChoice, Forward, Target, Termination, TlsListener, TlsPlan, WeightedBackend};

mod requests;

pub use requests::{Lost, Miss, RuleName};

/// Receives the steps of a lookup.
pub trait Trace {
    /// One step; the closure is called only when somebody listens.
    fn step(&mut self, step: impl FnOnce() -> Step);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl Trace for NoTrace {
    fn step(&mut self, _: impl FnOnce() -> Step) {}
}

/// Keeps every step; prints one line a step.
#[derive(Clone, Debug, Default)]
pub struct Recording(pub Vec<Step>);

impl Trace for Recording {
    fn step(&mut self, step: impl FnOnce() -> Step) {
        self.0.push(step());
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| writeln!(formatter, "{step}"))
    }
}

/// One step of a lookup.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The hello's name is no name.
    NameMalformed,
    /// No listener claims the name.
    NoListener {
        /// Every claim on the port.
        claims: Vec<(String, HostnamePattern)>,
    },
    /// A listener was chosen.
    Listener {
        /// The one.
        chosen: (String, HostnamePattern),
        /// Others that cover the name, less specifically.
        others: Vec<(String, HostnamePattern)>,
    },
    /// The port has but one listener, and it takes every connection.
    OnlyListener {
        /// Its name.
        listener: String,
    },
    /// No route is attached to the port's one listener.
    NoRouteAttached {
        /// The listener.
        listener: String,
    },
    /// The route that takes every connection of the port's one listener.
    OnlyRoute {
        /// The one.
        route: ObjectRef,
        /// Backends as `name weight state`.
        backends: Vec<String>,
    },
    /// The chosen listener does not serve.
    ListenerRefuses {
        /// Its name.
        listener: String,
        /// Why.
        reason: Reason,
    },
    /// A certificate that may answer the name, the best first; the client's signature algorithms decide among them.
    Certificates {
        /// Their Secrets.
        secrets: Vec<ObjectKey>,
    },
    /// The name is of a Secret that cannot be served.
    CertificateBroken {
        /// The Secret.
        secret: ObjectKey,
    },
    /// No route of the listener claims the name.
    NoRoute {
        /// The listener.
        listener: String,
        /// Every claim on it.
        claims: Vec<(ObjectRef, HostnamePattern)>,
    },
    /// A route was chosen.
    Route {
        /// The one.
        chosen: (ObjectRef, HostnamePattern),
        /// Others that cover the name, less specifically.
        others: Vec<(ObjectRef, HostnamePattern)>,
        /// Backends as `name weight state`.
        backends: Vec<String>,
    },
    /// The route sends nothing anywhere.
    NoWeight {
        /// The route.
        route: ObjectRef,
    },
    /// The request's host belongs to another listener than the one whose TLS it came through.
    Misdirected {
        /// The one it came through.
        through: String,
        /// The one that claims the host.
        belongs: (String, HostnamePattern),
    },
    /// No route of the listener claims the request's host.
    NoHost {
        /// The listener.
        listener: String,
        /// Every name that is claimed on it.
        hostnames: Vec<HostnamePattern>,
    },
    /// Routes claim the host, and none of their matches holds.
    NoRule {
        /// The listener.
        listener: String,
        /// Matches that came closest, each with what did not hold.
        nearest: Vec<(RuleName, Miss)>,
    },
    /// A rule was chosen.
    Rule {
        /// The one.
        chosen: RuleName,
        /// The route's hostname that covers the host.
        hostname: HostnamePattern,
        /// The condition on the path that held.
        path: String,
        /// Others that held, and by what each lost.
        outranked: Vec<(RuleName, Lost)>,
        /// What becomes of the request.
        answer: String,
    },
}

impl Step {
    pub(crate) fn no_listener(plan: &TlsPlan, _name: Option<&str>) -> Self {
        Self::NoListener {
            claims: plan.listeners.iter().map(|listener| claim(listener)).collect(),
        }
    }

    pub(crate) fn listener(plan: &TlsPlan, chosen: &Arc<TlsListener>, name: Option<&str>) -> Self {
        let others = plan
            .listeners
            .iter()
            .filter(|other| !Arc::ptr_eq(other, chosen) && covers(&other.hostname, name));
        Self::Listener {
            chosen: claim(chosen),
            others: others.map(|listener| claim(listener)).collect(),
        }
    }

    pub(crate) fn certificates(termination: &Termination, name: Option<&str>) -> Self {
        match termination.certificates(name) {
            CertificateChoice::Broken(secret) => Self::CertificateBroken { secret: secret.clone() },
            CertificateChoice::Candidates(candidates) => Self::Certificates {
                secrets: candidates.iter().map(|certificate| certificate.secret.clone()).collect(),
            },
        }
    }

    pub(crate) fn no_route(listener: &TlsListener, _name: Option<&str>) -> Self {
        let claims = listener
            .routes
            .iter()
            .map(|(pattern, forward)| (forward.route.clone(), pattern))
            .collect();
        Self::NoRoute {
            listener: listener.name.clone(),
            claims,
        }
    }

    pub(crate) fn route(listener: &TlsListener, chosen: &Arc<Forward>, name: Option<&str>) -> Self {
        // The index lists exact names first and any last; within the wildcards the longest suffix is the most specific.
        let mut covering: Vec<_> = listener.routes.iter().filter(|(pattern, _)| covers(pattern, name)).collect();
        covering.sort_by_key(|(pattern, _)| std::cmp::Reverse(specificity(pattern)));
        let mut claims = covering
            .into_iter()
            .map(|(pattern, forward)| (forward.route.clone(), pattern));
        let first = claims.next().unwrap_or_else(|| (chosen.route.clone(), HostnamePattern::Any));
        let backends = chosen.backends.iter().map(state);
        Self::Route {
            chosen: first,
            others: claims.collect(),
            backends: backends.collect(),
        }
    }

    pub(crate) fn only_route(chosen: &Forward) -> Self {
        Self::OnlyRoute {
            route: chosen.route.clone(),
            backends: chosen.backends.iter().map(state).collect(),
        }
    }
}

/// A backend as `name weight state`.
fn state(backend: &WeightedBackend) -> String {
    let state = match &backend.target {
        Target::Backend(target) => format!("{} endpoint(s)", target.endpoints.len()),
        Target::Refuse(fault) => format!("refused: {}", fault.label()),
    };
    format!("{} weight {} ({state})", backend.name, backend.weight)
}

fn claim(listener: &TlsListener) -> (String, HostnamePattern) {
    (listener.name.clone(), listener.hostname.clone())
}

fn covers(pattern: &HostnamePattern, name: Option<&str>) -> bool {
    name.map_or(*pattern == HostnamePattern::Any, |name| pattern.covers(name))
}

fn specificity(pattern: &HostnamePattern) -> (u8, usize) {
    match pattern {
        HostnamePattern::Any => (0, 0),
        HostnamePattern::Wildcard(suffix) => (1, suffix.len()),
        HostnamePattern::Exact(name) => (2, name.len()),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(claims: &[(T, HostnamePattern)]) -> String {
            if claims.is_empty() {
                return "none".to_owned();
            }
            let claims: Vec<String> = claims.iter().map(|(who, pattern)| format!("{who} [{pattern}]")).collect();
            text::some_of(&claims)
        }
        fn joined(backends: &[String]) -> String {
            if backends.is_empty() {
                "none".to_owned()
            } else {
                backends.join(", ")
            }
        }
        match self {
            Self::NameMalformed => write!(formatter, "server name: malformed"),
            Self::NoListener { claims } => write!(formatter, "listener: none claims the name; there are: {}", list(claims)),
            Self::Listener {
                chosen: (name, pattern),
                others,
            } => {
                write!(formatter, "listener: {name} [{pattern}]")?;
                if others.is_empty() {
                    Ok(())
                } else {
                    write!(formatter, "; also covered by: {}", list(others))
                }
            }
            Self::OnlyListener { listener } => {
                write!(formatter, "listener: {listener}, which takes every connection of the port")
            }
            Self::NoRouteAttached { listener } => write!(formatter, "route: none is attached to listener {listener}"),
            Self::OnlyRoute { route, backends } => write!(formatter, "route: {route}; backends: {}", joined(backends)),
            Self::ListenerRefuses { listener, reason } => write!(formatter, "listener {listener} refuses: {reason}"),
            Self::Certificates { secrets } => {
                let secrets: Vec<String> = secrets.iter().map(ToString::to_string).collect();
                write!(formatter, "certificate: {}", text::some_of(&secrets))
            }
            Self::CertificateBroken { secret } => {
                write!(
                    formatter,
                    "certificate: {secret} cannot be served, so the handshake is refused"
                )
            }
            Self::NoRoute { listener, claims } => {
                write!(
                    formatter,
                    "route: none on listener {listener} claims the name; there are: {}",
                    list(claims)
                )
            }
            Self::Route {
                chosen: (route, pattern),
                others,
                backends,
            } => {
                write!(formatter, "route: {route} [{pattern}]")?;
                if !others.is_empty() {
                    write!(formatter, "; less specific: {}", list(others))?;
                }
                write!(formatter, "; backends: {}", joined(backends))
            }
            Self::NoWeight { route } => write!(formatter, "{route}: no backend has a weight above 0"),
            Self::Misdirected {
                through,
                belongs: (listener, pattern),
            } => write!(
                formatter,
                "listener: {listener} [{pattern}] claims the host; the connection came through {through}"
            ),
            Self::NoHost { listener, hostnames } => {
                let hostnames: Vec<String> = hostnames.iter().map(ToString::to_string).collect();
                let hostnames = if hostnames.is_empty() {
                    "none".to_owned()
                } else {
                    text::some_of(&hostnames)
                };
                write!(
                    formatter,
                    "route: none on listener {listener} claims the host; there are: {hostnames}"
                )
            }
            Self::NoRule { listener, nearest } => {
                let nearest = if nearest.is_empty() {
                    "none".to_owned()
                } else {
                    requests::with_reasons(nearest)
                };
                write!(
                    formatter,
                    "rule: none on listener {listener} holds; nearest, with what did not hold: {nearest}"
                )
            }
            Self::Rule {
                chosen,
                hostname,
                path,
                outranked,
                answer,
            } => {
                write!(formatter, "rule: {chosen} [{hostname}] path {path}")?;
                if !outranked.is_empty() {
                    write!(formatter, "; outranked: {}", requests::with_reasons(outranked))?;
                }
                write!(formatter, "; {answer}")
            }
        }
    }
}
