//! What is found by name: the routes of each listener, the listeners of each port. Gathered anew only where something has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assemble::{Held, HeldParts};
use super::build::Built;
use super::relations::Relations;
use super::wire::{Head, Port, Speaks};
use super::{PartKey, Unfit};
use crate::hostname::NameIndex;
use crate::sharing::share;
use crate::snapshot::{
    Forward, HttpHost, HttpListener, HttpPlan, HttpRoutes, PortKey, PortPlan, RelayPlan, ServedCertificate, Snapshot,
    TlsListener, TlsPlan,
};

/// Listeners with their routes, and the snapshot that they are in.
#[derive(Clone, Debug, Default)]
pub(super) struct Indexes {
    tls: BTreeMap<PartKey, Arc<TlsListener>>,
    http: BTreeMap<PartKey, Arc<HttpListener>>,
    /// Of TCP and of UDP: a port has one of these, or none.
    relays: BTreeMap<PartKey, RelayPlan>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
}

/// What hangs on one listener.
#[derive(Default)]
struct Routes {
    forwards: NameIndex<Arc<Forward>>,
    hosts: NameIndex<Arc<HttpHost>>,
    /// One of each, to be named.
    forward: Option<PartKey>,
    host: Option<PartKey>,
}

impl Indexes {
    /// After a change of some parts and of what hangs on some listeners.
    pub(super) fn follow(
        &self,
        (held, relations): (&HeldParts, &Relations),
        changed: &BTreeSet<PartKey>,
        listeners: &BTreeSet<PartKey>,
    ) -> Result<Self, Unfit> {
        let mut next = self.clone();
        for key in listeners {
            let routes = gather(key, held, relations)?;
            next.listener(key, held.get(key), routes)?;
        }
        if changed.is_empty() && listeners.is_empty() && self.snapshot.is_some() {
            return Ok(next);
        }
        next.snapshot = Some(next.assembled(held, relations)?);
        Ok(next)
    }

    fn listener(&mut self, key: &PartKey, held: Option<&Arc<Held>>, routes: Routes) -> Result<(), Unfit> {
        let tls = self.tls.remove(key);
        let http = self.http.remove(key);
        self.relays.remove(key);
        let misfit = |part: Option<PartKey>| match part {
            Some(part) => Err(Unfit::Misfit {
                part,
                needs: key.clone(),
            }),
            None => Ok(()),
        };
        let Routes {
            forwards,
            hosts,
            forward,
            host,
        } = routes;
        match held.map(|held| &held.built) {
            Some(Built::TlsListener(listener)) => {
                let last = tls.as_ref().and_then(|last| last.requests.as_ref());
                let requests = match &listener.requests {
                    Some(requests) => {
                        let before = requests.before.clone();
                        Some(share(HttpRoutes { before, hosts }, last))
                    }
                    None => {
                        misfit(host)?;
                        None
                    }
                };
                let listener = TlsListener {
                    routes: forwards,
                    requests,
                    ..TlsListener::clone(listener)
                };
                self.tls.insert(key.clone(), share(listener, tls.as_ref()));
            }
            Some(Built::HttpListener(listener)) => {
                misfit(forward)?;
                let before = listener.requests.before.clone();
                let requests = share(HttpRoutes { before, hosts }, http.as_ref().map(|last| &last.requests));
                let listener = HttpListener {
                    requests,
                    ..HttpListener::clone(listener)
                };
                self.http.insert(key.clone(), share(listener, http.as_ref()));
            }
            Some(Built::RelayListener(name)) => {
                misfit(host)?;
                let plan = RelayPlan {
                    listener: name.as_ref().to_owned(),
                    forward: forwards.find(None).cloned(),
                };
                self.relays.insert(key.clone(), plan);
            }
            Some(_) => misfit(forward.or(host))?,
            None => {
                if let Some(part) = forward.or(host) {
                    return Err(Unfit::Missing {
                        part,
                        needs: key.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn assembled(&self, held: &HeldParts, relations: &Relations) -> Result<Arc<Snapshot>, Unfit> {
        let last = self.snapshot.as_ref();
        let mut heads = Vec::new();
        let mut tracings = Vec::new();
        let mut ports: BTreeMap<PortKey, Arc<PortPlan>> = BTreeMap::new();
        for (key, held) in relations.tops().filter_map(|key| held.get_key_value(key)) {
            match &held.built {
                Built::Head(head) => heads.push(head),
                Built::Port(port) => {
                    let plan = self.plan(key, port)?;
                    let last = last.and_then(|last| last.ports.get(&port.port));
                    if ports.insert(port.port, share(plan, last)).is_some() {
                        return Err(Unfit::Twice { part: key.clone() });
                    }
                }
                Built::Tracing(tracing) => tracings.push((key, tracing)),
                _ => {}
            }
        }
        let [head] = heads.as_slice() else {
            return Err(Unfit::Head);
        };
        if let [_, (key, _), ..] = tracings.as_slice() {
            return Err(Unfit::Twice { part: (*key).clone() });
        }
        let Head {
            gateway,
            addresses,
            port_offset,
            trusted_proxies,
            client_certificate,
            client_certificate_headers,
            session_key,
        } = Head::clone(head);
        let certificate = client_certificate.map(ServedCertificate::from);
        let last_certificate = last.and_then(|last| last.client_certificate.as_ref());
        let snapshot = Snapshot {
            gateway,
            addresses,
            port_offset,
            trusted_proxies,
            client_certificate: certificate.map(|certificate| share(certificate, last_certificate)),
            client_certificate_headers,
            session_key,
            tracing: tracings.first().map(|(_, tracing)| Arc::clone(tracing)),
            ports,
        };
        Ok(share(snapshot, last))
    }

    fn plan(&self, key: &PartKey, port: &Port) -> Result<PortPlan, Unfit> {
        let needs = |listener: &PartKey| {
            let (part, needs) = (key.clone(), listener.clone());
            let is_known = self.tls.contains_key(listener) || self.http.contains_key(listener);
            if is_known || self.relays.contains_key(listener) {
                Unfit::Misfit { part, needs }
            } else {
                Unfit::Missing { part, needs }
            }
        };
        let listed: BTreeSet<_> = port.listeners.iter().collect();
        if listed.len() < port.listeners.len() {
            return Err(Unfit::Twice { part: key.clone() });
        }
        // Of two claims on one name the first answers, as where the snapshot was made.
        match port.speaks {
            Speaks::Tls => {
                let mut plan = TlsPlan::default();
                for (position, key) in port.listeners.iter().enumerate() {
                    let listener = self.tls.get(key).ok_or_else(|| needs(key))?;
                    let _ = plan.names.claim(&listener.hostname, position);
                    plan.listeners.push(Arc::clone(listener));
                }
                Ok(PortPlan::Tls(plan))
            }
            Speaks::Http => {
                let mut plan = HttpPlan::default();
                for (position, key) in port.listeners.iter().enumerate() {
                    let listener = self.http.get(key).ok_or_else(|| needs(key))?;
                    let _ = plan.names.claim(&listener.hostname, position);
                    plan.listeners.push(Arc::clone(listener));
                }
                Ok(PortPlan::Http(plan))
            }
            Speaks::Tcp | Speaks::Udp => match port.listeners.as_slice() {
                [only] => {
                    let plan = self.relays.get(only).ok_or_else(|| needs(only))?.clone();
                    Ok(match port.speaks {
                        Speaks::Udp => PortPlan::Udp(plan),
                        _ => PortPlan::Tcp(plan),
                    })
                }
                _ => Err(Unfit::Value {
                    part: key.clone(),
                    expected: "one listener",
                }),
            },
        }
    }
}

/// What hangs on a listener.
fn gather(listener: &PartKey, held: &HeldParts, relations: &Relations) -> Result<Routes, Unfit> {
    let mut routes = Routes::default();
    for (part, held) in relations.hung(listener).filter_map(|part| held.get_key_value(part)) {
        for place in held.places.iter().filter(|place| place.listener == *listener) {
            let claimed = match &held.built {
                Built::Forward(forward) => {
                    routes.forward.get_or_insert_with(|| part.clone());
                    routes.forwards.claim(&place.hostname, Arc::clone(forward)).is_ok()
                }
                Built::Host(host) => {
                    routes.host.get_or_insert_with(|| part.clone());
                    routes.hosts.claim(&place.hostname, Arc::clone(host)).is_ok()
                }
                _ => continue,
            };
            if !claimed {
                return Err(Unfit::Twice { part: part.clone() });
            }
        }
    }
    Ok(routes)
}
