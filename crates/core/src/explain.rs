//! The trace of a lookup: which candidates there were, and by which rule each lost.
//!
//! Job: record what [`crate::TlsPlan::connection`] does while it does it. Invariant: the data plane and `explain` run the same lookup;
//! the data plane passes [`NoTrace`], for which nothing is computed.

use std::fmt;
use std::sync::Arc;

use sealway_api::{ObjectRef, Reason};

use crate::hostname::HostnamePattern;
use crate::problem::text;
use crate::snapshot::{Forward, Target, TlsListener, TlsPlan};

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
    /// The chosen listener does not serve.
    ListenerRefuses {
        /// Its name.
        listener: String,
        /// Why.
        reason: Reason,
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
        let backends = chosen.backends.iter().map(|backend| {
            let state = match &backend.target {
                Target::Backend(target) => format!("{} endpoint(s)", target.endpoints.len()),
                Target::Refuse(fault) => format!("refused: {}", fault.label()),
            };
            format!("{} weight {} ({state})", backend.name, backend.weight)
        });
        Self::Route {
            chosen: first,
            others: claims.collect(),
            backends: backends.collect(),
        }
    }
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
            Self::ListenerRefuses { listener, reason } => write!(formatter, "listener {listener} refuses: {reason}"),
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
                let backends = if backends.is_empty() {
                    "none".to_owned()
                } else {
                    backends.join(", ")
                };
                write!(formatter, "; backends: {backends}")
            }
            Self::NoWeight { route } => write!(formatter, "{route}: no backend has a weight above 0"),
        }
    }
}
