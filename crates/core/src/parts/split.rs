//! From a snapshot to its parts.
//!
//! A part is named by what it is of, so that its name outlives its content. Where two parts of one snapshot want a name, the second is
//! called `…~2`. What is shared in the snapshot is one part. What hangs on listeners that have not changed is not looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imbl::OrdMap;

use super::wire::{self, Place, Placed, Speaks, Wire};
use super::{BACKEND, Entered, Part, PartDigest, PartKey, Parts};
use crate::hostname::HostnamePattern;
use crate::snapshot::{
    Backend, BackendAuthorities, Forward, HttpHost, HttpListener, HttpRoutes, HttpRule, PortKey, PortPlan, RelayPlan, Snapshot,
    Target, TlsListener, Tracing, TrustBundle, UpstreamTls,
};
use keep::Kept;

mod encode;
mod index;
mod keep;

pub(super) use index::Index;

pub(super) fn split(snapshot: &Snapshot, before: &Parts) -> Parts {
    // Which of two has the name that both want depends on who comes first, and must not depend on what was there before: all controllers
    // are to have the same parts.
    let kept = if before.index.has_copies {
        None
    } else {
        keep::kept(snapshot, before)
    };
    let is_all_new = kept.is_none();
    let parts = divide(snapshot, before, kept);
    if parts.index.has_copies && !is_all_new {
        return divide(snapshot, before, None);
    }
    parts
}

fn divide(snapshot: &Snapshot, before: &Parts, kept: Option<Kept>) -> Parts {
    let Snapshot {
        gateway,
        addresses,
        port_offset,
        trusted_proxies,
        client_certificate,
        client_certificate_headers,
        session_key,
        tracing,
        ports,
    } = snapshot;
    // Condemned are only parts that are there: what is entered again is left where it is.
    let (Parts { parts, index }, listeners, condemned) = match kept {
        Some(Kept { listeners, condemned }) => (before.clone(), listeners, condemned),
        None => Default::default(),
    };
    let mut splitter = Splitter {
        before,
        parts,
        index,
        condemned,
        aliases: HashMap::new(),
        kept: listeners,
        forwards: BTreeMap::new(),
        hosts: Vec::new(),
        host_positions: HashMap::new(),
    };
    let head = wire::Head {
        gateway: gateway.clone(),
        addresses: addresses.clone(),
        port_offset: *port_offset,
        trusted_proxies: trusted_proxies.clone(),
        client_certificate: client_certificate.as_deref().map(Into::into),
        client_certificate_headers: *client_certificate_headers,
        session_key: session_key.clone(),
    };
    splitter.enter("head".to_owned(), Source::default(), |_| Wire::Head(Box::new(head)));
    for (key, plan) in ports {
        splitter.port(*key, plan);
    }
    splitter.routes();
    if let Some(tracing) = tracing {
        splitter.tracing(tracing);
    }
    splitter.sweep();
    let Splitter { parts, index, .. } = splitter;
    debug_assert!(index.is_of(&parts), "the index is not of the parts");
    Parts { parts, index }
}

/// What a part was made of: while that is the same, so is the part.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Source {
    of: Of,
    links: Vec<PartKey>,
    places: Vec<Place>,
}

#[derive(Debug, Default, PartialEq)]
enum Of {
    /// Nothing that is shared.
    #[default]
    Values,
    TlsListener(Arc<TlsListener>),
    HttpListener(Arc<HttpListener>),
    Forward(Arc<Forward>),
    Host(Arc<HttpHost>),
    Rule(Arc<HttpRule>),
    Backend(Arc<Backend>),
    Bundle(Arc<TrustBundle>),
}

impl Of {
    fn is_shared(&self) -> bool {
        !matches!(self, Self::Values | Self::TlsListener(_) | Self::HttpListener(_))
    }

    /// Of what is shared.
    fn address(&self) -> Option<usize> {
        match self {
            Self::Values | Self::TlsListener(_) | Self::HttpListener(_) => None,
            Self::Forward(value) => Some(address(value)),
            Self::Host(value) => Some(address(value)),
            Self::Rule(value) => Some(address(value)),
            Self::Backend(value) => Some(address(value)),
            Self::Bundle(value) => Some(address(value)),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::TlsListener(one), Self::TlsListener(two)) => Arc::ptr_eq(one, two),
            (Self::HttpListener(one), Self::HttpListener(two)) => Arc::ptr_eq(one, two),
            (Self::Forward(one), Self::Forward(two)) => Arc::ptr_eq(one, two),
            (Self::Host(one), Self::Host(two)) => Arc::ptr_eq(one, two),
            (Self::Rule(one), Self::Rule(two)) => Arc::ptr_eq(one, two),
            (Self::Backend(one), Self::Backend(two)) => Arc::ptr_eq(one, two),
            (Self::Bundle(one), Self::Bundle(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

struct Splitter<'a> {
    before: &'a Parts,
    parts: OrdMap<PartKey, Entered>,
    /// Of these parts, what is condemned included.
    index: Index,
    /// Of these parts, those that go unless they are entered again. Most are, as they were, and cost nothing then.
    condemned: BTreeSet<PartKey>,
    /// Names of what equals something that has a part, by its address: it lives as long as the snapshot.
    aliases: HashMap<usize, PartKey>,
    /// Listeners that have not changed: with all that hangs on them, they are among the parts.
    kept: BTreeSet<PartKey>,
    /// By the name that each wants.
    forwards: BTreeMap<String, Vec<Hung<Forward>>>,
    /// In the order in which they were met.
    hosts: Vec<Hung<HttpHost>>,
    host_positions: HashMap<usize, usize>,
}

/// Something and the places where it hangs.
struct Hung<T> {
    value: Arc<T>,
    places: Vec<Place>,
}

/// What the part of a listener is called.
fn listener_name(port: PortKey, listener: &str) -> String {
    format!("{port}/{listener}")
}

fn address<T>(value: &Arc<T>) -> usize {
    Arc::as_ptr(value).addr()
}

impl Splitter<'_> {
    fn port(&mut self, port: PortKey, plan: &PortPlan) {
        let (speaks, listeners) = match plan {
            PortPlan::Tls(plan) => {
                let listeners = plan.listeners.iter().map(|listener| self.tls_listener(port, listener));
                (Speaks::Tls, listeners.collect())
            }
            PortPlan::Http(plan) => {
                let listeners = plan.listeners.iter().map(|listener| self.http_listener(port, listener));
                (Speaks::Http, listeners.collect())
            }
            PortPlan::Tcp(plan) => (Speaks::Tcp, vec![self.relay_listener(port, plan)]),
            PortPlan::Udp(plan) => (Speaks::Udp, vec![self.relay_listener(port, plan)]),
        };
        let part = wire::Port { port, speaks, listeners };
        self.enter(port.to_string(), Source::default(), |_| Wire::Port(part));
    }

    fn tls_listener(&mut self, port: PortKey, listener: &Arc<TlsListener>) -> PartKey {
        if let Some(key) = self.kept(port, &listener.name) {
            return key;
        }
        let validation = listener.termination.as_ref();
        let validation = validation.and_then(|termination| termination.client_validation.as_ref());
        let mut links: Vec<PartKey> = Vec::new();
        links.extend(validation.map(|validation| self.bundle(&validation.authorities)));
        let name = listener_name(port, &listener.name);
        let before = listener.requests.iter().flat_map(|requests| &requests.before);
        links.extend(before.map(|rule| self.rule_before(&name, rule)));
        let source = Source {
            of: Of::TlsListener(Arc::clone(listener)),
            links,
            places: Vec::new(),
        };
        let key = self.enter(name, source, |names| Wire::TlsListener(encode::tls_listener(listener, names)));
        for (hostname, forward) in listener.routes.iter() {
            self.hang_forward(&key, hostname, forward);
        }
        if let Some(requests) = &listener.requests {
            self.hang_hosts(&key, requests);
        }
        key
    }

    fn http_listener(&mut self, port: PortKey, listener: &Arc<HttpListener>) -> PartKey {
        if let Some(key) = self.kept(port, &listener.name) {
            return key;
        }
        let name = listener_name(port, &listener.name);
        let before = listener.requests.before.iter();
        let source = Source {
            of: Of::HttpListener(Arc::clone(listener)),
            links: before.map(|rule| self.rule_before(&name, rule)).collect(),
            places: Vec::new(),
        };
        let key = self.enter(name, source, |names| {
            Wire::HttpListener(encode::http_listener(listener, names))
        });
        self.hang_hosts(&key, &listener.requests);
        key
    }

    /// The part of a listener that stays, with all that hangs on it.
    fn kept(&self, port: PortKey, name: &str) -> Option<PartKey> {
        self.kept.get(listener_name(port, name).as_str()).cloned()
    }

    fn relay_listener(&mut self, port: PortKey, plan: &RelayPlan) -> PartKey {
        let RelayPlan { listener, forward } = plan;
        let part = wire::RelayListener { name: listener.clone() };
        let key = self.enter(listener_name(port, listener), Source::default(), |_| {
            Wire::RelayListener(part)
        });
        if let Some(forward) = forward {
            self.hang_forward(&key, HostnamePattern::Any, forward);
        }
        key
    }

    fn hang_forward(&mut self, listener: &PartKey, hostname: HostnamePattern, forward: &Arc<Forward>) {
        let place = Place {
            listener: listener.clone(),
            hostname,
        };
        let rivals = self.forwards.entry(format!("forward/{}", forward.route)).or_default();
        match rivals.iter_mut().find(|hung| hung.value == *forward) {
            Some(hung) => hung.places.push(place),
            None => rivals.push(Hung {
                value: Arc::clone(forward),
                places: vec![place],
            }),
        }
    }

    fn hang_hosts(&mut self, listener: &PartKey, requests: &HttpRoutes) {
        // What goes before has been entered with the listener.
        let HttpRoutes { before: _, hosts } = requests;
        for (hostname, host) in hosts.iter() {
            let place = Place {
                listener: listener.clone(),
                hostname,
            };
            let position = *self.host_positions.entry(address(host)).or_insert(self.hosts.len());
            match self.hosts.get_mut(position) {
                Some(hung) => hung.places.push(place),
                None => self.hosts.push(Hung {
                    value: Arc::clone(host),
                    places: vec![place],
                }),
            }
        }
    }

    /// Everything that hangs on listeners, and what that leads to.
    fn routes(&mut self) {
        for (wanted, rivals) in std::mem::take(&mut self.forwards) {
            for Hung { value, places } in rivals {
                let links = encode::targets(value.backends.iter());
                let source = Source {
                    links: links.map(|backend| self.backend(backend)).collect(),
                    of: Of::Forward(Arc::clone(&value)),
                    places: places.clone(),
                };
                self.enter(wanted.clone(), source, |names| {
                    let value = encode::forward(&value, names);
                    Wire::Forward(Placed { places, value })
                });
            }
        }
        for Hung { value, places } in std::mem::take(&mut self.hosts) {
            let Some(first) = places.first() else { continue };
            let wanted = format!("host/{}/{}", first.listener, first.hostname);
            let source = Source {
                links: value.matches().iter().map(|matched| self.rule(&matched.rule)).collect(),
                of: Of::Host(Arc::clone(&value)),
                places: places.clone(),
            };
            self.enter(wanted, source, |names| {
                let value = encode::host(&value, names);
                Wire::Host(Placed { places, value })
            });
        }
    }

    fn tracing(&mut self, tracing: &Tracing) {
        let links = encode::targets(std::iter::once(&tracing.collector));
        let source = Source {
            links: links.map(|backend| self.backend(backend)).collect(),
            ..Source::default()
        };
        self.enter("tracing".to_owned(), source, |names| {
            Wire::Tracing(Box::new(encode::tracing(tracing, names)))
        });
    }

    fn rule(&mut self, rule: &Arc<HttpRule>) -> PartKey {
        self.named_rule(rule, || format!("rule/{}/{}", rule.route, rule.position))
    }

    /// One that goes before the routes of a listener: it is called by the listener, of which its object may have several.
    fn rule_before(&mut self, listener: &str, rule: &Arc<HttpRule>) -> PartKey {
        self.named_rule(rule, || format!("before/{listener}/{}", rule.position))
    }

    fn named_rule(&mut self, rule: &Arc<HttpRule>, wanted: impl FnOnce() -> String) -> PartKey {
        if let Some(key) = self.name(address(rule)) {
            return key;
        }
        let source = Source {
            links: encode::targets(encode::backends(rule).into_iter())
                .map(|backend| self.backend(backend))
                .collect(),
            of: Of::Rule(Arc::clone(rule)),
            places: Vec::new(),
        };
        let key = self.enter(wanted(), source, |names| Wire::Rule(Box::new(encode::rule(rule, names))));
        self.aliases.insert(address(rule), key.clone());
        key
    }

    fn backend(&mut self, backend: &Arc<Backend>) -> PartKey {
        if let Some(key) = self.name(address(backend)) {
            return key;
        }
        let authorities = match &backend.tls {
            UpstreamTls::Verified(tls) => match &tls.authorities {
                BackendAuthorities::Bundle(bundle) => Some(bundle),
                BackendAuthorities::System => None,
            },
            UpstreamTls::Plain | UpstreamTls::Refused { .. } => None,
        };
        let source = Source {
            links: authorities.map(|bundle| self.bundle(bundle)).into_iter().collect(),
            of: Of::Backend(Arc::clone(backend)),
            places: Vec::new(),
        };
        let wanted = format!("{BACKEND}{}:{}", backend.service, backend.port);
        let key = self.enter(wanted, source, |names| Wire::Backend(encode::backend(backend, names)));
        self.aliases.insert(address(backend), key.clone());
        key
    }

    fn bundle(&mut self, bundle: &Arc<TrustBundle>) -> PartKey {
        if let Some(key) = self.name(address(bundle)) {
            return key;
        }
        let source = Source {
            of: Of::Bundle(Arc::clone(bundle)),
            ..Source::default()
        };
        // The same certificates are handed out to many namespaces, and are a bundle in each.
        let from = bundle.sources.first().map(ToString::to_string).unwrap_or_default();
        let key = self.enter(format!("bundle/{}/{from}", bundle.content), source, |_| {
            Wire::Bundle(encode::bundle(bundle))
        });
        self.aliases.insert(address(bundle), key.clone());
        key
    }

    fn name(&self, address: usize) -> Option<PartKey> {
        let known = self.index.name(address).filter(|key| !self.condemned.contains(*key));
        known.or_else(|| self.aliases.get(&address)).cloned()
    }

    /// Enters a part, made anew only when its source has changed, and returns its name.
    fn enter(&mut self, wanted: String, source: Source, wire: impl FnOnce(&Names<'_>) -> Wire) -> PartKey {
        let mut key = PartKey(wanted.as_str().into());
        for copy in 2_u32.. {
            match self.parts.get(&key).filter(|_| !self.condemned.contains(&key)) {
                // Equal things that are not shared are one part all the same; listeners have positions.
                Some(known) if source.of.is_shared() && known.part.source == source => return key,
                Some(_) => key = PartKey(format!("{wanted}~{copy}").into()),
                None => break,
            }
        }
        self.index.has_copies |= key.as_str() != wanted;
        let known = self.condemned.take(&key);
        let before = self.before.parts.get(&key);
        let entered = match before {
            Some(entered) if entered.part.source.is(&source) => {
                if let Some(key) = known {
                    return key;
                }
                entered.clone()
            }
            _ => {
                let names = Names {
                    index: &self.index,
                    aliases: &self.aliases,
                };
                let bytes = encode::bytes(&wire(&names));
                let (digest, bytes) = match before.filter(|entered| *entered.part.bytes == *bytes) {
                    Some(entered) => (entered.digest, Arc::clone(&entered.part.bytes)),
                    None => (PartDigest::of(&key, &bytes), bytes.into()),
                };
                let part = Arc::new(Part { bytes, source });
                Entered { digest, part }
            }
        };
        if let (Some(_), Some(before)) = (known, before) {
            self.index.leave(&key, &before.part.source);
        }
        self.index.enter(&key, &entered.part.source);
        self.parts.insert(key.clone(), entered);
        key
    }

    /// Takes out what is condemned still.
    fn sweep(&mut self) {
        for key in std::mem::take(&mut self.condemned) {
            if let Some(entered) = self.parts.remove(&key) {
                self.index.leave(&key, &entered.part.source);
                self.index.forget(&key);
            }
        }
    }
}

impl Source {
    fn is(&self, other: &Self) -> bool {
        self.of.is(&other.of) && self.links == other.links && self.places == other.places
    }
}

/// The names of what is shared.
struct Names<'a> {
    index: &'a Index,
    aliases: &'a HashMap<usize, PartKey>,
}

impl Names<'_> {
    /// Every value has been entered before what holds it.
    fn of<T>(&self, value: &Arc<T>) -> PartKey {
        let address = address(value);
        let known = self.index.name(address).or_else(|| self.aliases.get(&address));
        known.cloned().unwrap_or_else(|| PartKey("?".into()))
    }

    fn target(&self, target: &Target) -> wire::Target {
        match target {
            Target::Backend(backend) => wire::Target::Backend(self.of(backend)),
            Target::Refuse(fault) => wire::Target::Refuse(*fault),
        }
    }
}
