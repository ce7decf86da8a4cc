//! Backend references: from a name and a port to endpoints.
//!
//! Input: a reference of a route. Output: a [`WeightedBackend`]; what cannot be had keeps its weight and refuses. EndpointSlices are
//! read as kube-proxy reads them: ready endpoints, and only when there are none those that serve while they terminate. Each port of a
//! Service is worked out once, however many routes refer to it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sealway_api::{BackendRef, EndpointAddressType, EndpointSlice, Kind, ObjectKey, ObjectRef, Service, ServicePort};

use super::policies;
use super::routes::Route;
use super::world::World;
use super::x_backends::{self, XBackends};
use super::{http, values};
use crate::problem::{Cause, NoEndpoint};
use crate::settings::{BackendAddress, PortSelector, Ports};
use crate::snapshot::{
    Backend, BackendFault, BackendProtocol, ProxyProtocol, Target, Transport, UpstreamTls, WeightedBackend, X_BACKEND,
    x_backend_key,
};

/// What is known of the Services' ports that routes have referred to so far: by namespace, name, transport and port.
pub(super) type Known<'a> = BTreeMap<(&'a str, &'a str, Transport, u16), Arc<Found>>;

/// The backends of the compilation before, so that those which did not change keep their `Arc`.
pub(super) type LastBackends = BTreeMap<(ObjectKey, Transport, u16), Arc<Backend>>;

/// What to keep for the next compilation.
pub(super) fn remember(known: Known<'_>, x_backends: XBackends) -> LastBackends {
    let found = known.into_values().chain(x_backends.found.into_values()).filter_map(|found| {
        let backend = found.result.as_ref().ok()?;
        Some((
            (backend.service.clone(), found.spoken.transport, backend.port),
            Arc::clone(backend),
        ))
    });
    found.collect()
}

/// What stands behind a Service's port.
pub(super) struct Found {
    /// As messages and logs have it.
    pub(super) name: String,
    /// What is spoken there, whether or not anybody is there.
    pub(super) spoken: Spoken,
    pub(super) result: Result<Arc<Backend>, Missing>,
}

/// How a Service's port is spoken to.
pub(super) struct Spoken {
    pub(super) service: ObjectKey,
    pub(super) transport: Transport,
    pub(super) port: u16,
    pub(super) protocol: BackendProtocol,
    pub(super) tls: UpstreamTls,
}

impl Spoken {
    /// Or else an XBackend.
    pub(super) fn is_service(&self) -> bool {
        !self.service.name.starts_with(X_BACKEND)
    }
}

/// What a reference comes to.
pub(super) struct Resolved {
    pub(super) backend: WeightedBackend,
    /// What stands there; `Err`: why ResolvedRefs must be false.
    pub(super) found: Result<Arc<Found>, Cause>,
}

pub(super) enum Missing {
    /// The reference is good; there is just nobody.
    Endpoints(NoEndpoint),
    /// The reference is good; where it leads has no address yet.
    Name,
    /// The reference is wrong, in this part of it.
    Reference(BackendFault, &'static str, Box<Cause>),
}

impl Missing {
    pub(super) fn reference(fault: BackendFault, part: &'static str, cause: Cause) -> Self {
        Self::Reference(fault, part, Box::new(cause))
    }
}

/// Resolves one reference, which stands `at` a field; reports what is wrong with it.
pub(super) fn resolve<'a>(
    world: &mut World<'a>,
    route: &Route<'a>,
    at: fmt::Arguments<'_>,
    reference: &'a BackendRef,
) -> Resolved {
    let field = |part: &str| format!("{at}{part}");
    let resolved = |name: String, target, found| Resolved {
        backend: WeightedBackend {
            name,
            weight: reference.weight,
            target,
        },
        found,
    };
    let found = match usable(world, route, reference) {
        Ok(Usable::Service(port)) => {
            let namespace = route.backend_namespace(reference);
            find(world, namespace, &reference.name, (route.transport(), port))
        }
        Ok(Usable::XBackend) => {
            let key = ObjectKey::new(route.backend_namespace(reference), &reference.name);
            x_backends::find(world, &route.object, key)
        }
        Err((fault, part, cause)) => {
            world.report(&route.object, field(part), cause.clone());
            let key = ObjectKey::new(route.backend_namespace(reference), &reference.name);
            let name = reference.port.map_or_else(|| key.to_string(), |port| format!("{key}:{port}"));
            return resolved(name, Target::Refuse(fault), Err(cause));
        }
    };
    let Spoken {
        service,
        transport,
        port,
        ..
    } = &found.spoken;
    let uses = world.uses.entry(route.object.clone()).or_default();
    uses.services.insert(service.clone());
    if *transport == Transport::Tcp {
        policies::need(world, &route.object, service, service_port(world, service, *transport, *port));
    }
    let target = match &found.result {
        Ok(backend) => Target::Backend(Arc::clone(backend)),
        Err(Missing::Name) => Target::Refuse(BackendFault::NameUnresolved),
        Err(Missing::Endpoints(why)) => {
            // Plain manifests have no EndpointSlices: that is worth a word only to who wants to send traffic there.
            if *why != NoEndpoint::NoSlice || matches!(world.observed.ports, Ports::Reported(_)) {
                let cause = Cause::NoReadyEndpoint {
                    service: service.clone(),
                    port: *port,
                    why: why.clone(),
                };
                world.report(&route.object, field(".name"), cause);
            }
            Target::Refuse(BackendFault::NoEndpoints)
        }
        Err(Missing::Reference(fault, part, cause)) => {
            world.report(&route.object, field(part), (**cause).clone());
            return resolved(found.name.clone(), Target::Refuse(*fault), Err((**cause).clone()));
        }
    };
    resolved(found.name.clone(), target, Ok(found))
}

/// What a reference may mean.
enum Usable {
    /// A Service's port.
    Service(u16),
    XBackend,
}

/// What a reference means, if the route may use it.
fn usable<'a>(
    world: &World<'a>,
    route: &Route<'a>,
    reference: &BackendRef,
) -> Result<Usable, (BackendFault, &'static str, Cause)> {
    let kind = Kind::from(reference.kind.as_str());
    let is_known = match kind {
        Kind::Service => true,
        // What it speaks is spoken over TCP.
        Kind::XBackend => route.transport() == Transport::Tcp,
        _ => false,
    };
    if !is_known || reference.group != kind.group() {
        let cause = Cause::BackendKindUnsupported {
            group: reference.group.clone(),
            kind: reference.kind.clone(),
        };
        return Err((BackendFault::InvalidKind, ".kind", cause));
    }
    let namespace = route.backend_namespace(reference);
    if namespace != route.object.key.namespace {
        let to = ObjectRef::new(kind.clone(), namespace, &reference.name);
        if !world.grants.permit(&route.object, &to) {
            let cause = Cause::RefNotPermitted {
                from: route.object.clone(),
                nearest: world.grants.nearest(&route.object, &to),
                to,
            };
            return Err((BackendFault::NotPermitted, ".namespace", cause));
        }
    }
    if kind == Kind::XBackend {
        return Ok(Usable::XBackend);
    }
    reference
        .port
        .map(Usable::Service)
        .ok_or((BackendFault::NoSuchPort, "", Cause::BackendPortMissing))
}

fn find<'a>(world: &mut World<'a>, namespace: &'a str, name: &'a str, (transport, port): (Transport, u16)) -> Arc<Found> {
    if let Some(known) = world.backends.get(&(namespace, name, transport, port)) {
        return Arc::clone(known);
    }
    let service = ObjectRef::new(Kind::Service, namespace, name);
    let entry = service_port(world, &service.key, transport, port);
    // A BackendTLSPolicy is about TLS, which is not spoken over UDP.
    let tls = match transport {
        Transport::Tcp => world.policies.upstream(&service.key, entry.map(|entry| entry.name.as_str())),
        Transport::Udp => UpstreamTls::Plain,
    };
    let spoken = Spoken {
        service: service.key.clone(),
        transport,
        port,
        protocol: http::protocol(entry, &tls),
        tls,
    };
    let found = Arc::new(Found {
        name: format!("{}:{port}", service.key),
        result: work_out(world, &service, entry, &spoken),
        spoken,
    });
    world.backends.insert((namespace, name, transport, port), Arc::clone(&found));
    found
}

fn work_out(
    world: &mut World<'_>,
    object: &ObjectRef,
    service_port: Option<&ServicePort>,
    spoken: &Spoken,
) -> Result<Arc<Backend>, Missing> {
    let (key, transport, port) = (&object.key, spoken.transport, spoken.port);
    let service = world.resources.services.get(key).map(|service| &**service);
    let mut proxy_protocol = None;
    // Datagrams go as they are.
    if let (Some(service), Transport::Tcp) = (service, transport) {
        proxy_protocol = values::proxy_protocol(&service.metadata.annotations).unwrap_or_else(|cause| {
            world.report(object, format!("metadata.annotations[{}]", values::PROXY_PROTOCOL), cause);
            None
        });
    }
    let endpoints = endpoints(world, object, service, service_port, (transport, port))?;
    Ok(backend(world, spoken, endpoints, proxy_protocol))
}

/// What stands at a DNS name, for the object that names it.
pub(super) fn outside(
    world: &mut World<'_>,
    object: &ObjectRef,
    hostname: &str,
    spoken: &Spoken,
) -> Result<Arc<Backend>, Missing> {
    let given = given_endpoints(world, &spoken.service, spoken.port, None);
    let found = match given.is_empty() {
        true => vec![external(hostname, spoken.port)],
        false => given,
    };
    let endpoints = resolve_addresses(world, object, "spec.externalHostname.hostname", found)?;
    Ok(backend(world, spoken, endpoints, None))
}

/// The one of the compilation before, where nothing is new.
fn backend(
    world: &World<'_>,
    spoken: &Spoken,
    endpoints: Vec<SocketAddr>,
    proxy_protocol: Option<ProxyProtocol>,
) -> Arc<Backend> {
    let backend = Backend {
        service: spoken.service.clone(),
        port: spoken.port,
        endpoints,
        proxy_protocol,
        protocol: spoken.protocol,
        tls: spoken.tls.clone(),
        retry_budget: world.traffic.retry_budget(&spoken.service),
    };
    let key = (spoken.service.clone(), spoken.transport, spoken.port);
    let last = world.last_backends.get(&key).filter(|last| ***last == backend);
    last.cloned().unwrap_or_else(|| Arc::new(backend))
}

/// Where connections for a Service's port go, at least one address.
fn endpoints(
    world: &mut World<'_>,
    object: &ObjectRef,
    service: Option<&Service>,
    service_port: Option<&ServicePort>,
    (transport, port): (Transport, u16),
) -> Result<Vec<SocketAddr>, Missing> {
    let key = &object.key;
    let given = given_endpoints(world, key, port, service_port);
    if !given.is_empty() {
        return resolve_addresses(world, object, "spec", given);
    }
    let Some(service) = service else {
        return Err(no_service(world, key, transport, port));
    };
    if service.spec.kind.as_deref() == Some("ExternalName") {
        // Such a Service needs no ports: the route's port is the port to connect to.
        let host = service.spec.external_name.as_deref().unwrap_or_default();
        return resolve_addresses(world, object, "spec.externalName", vec![external(host, port)]);
    }
    let Some(service_port) = service_port else {
        let there = service.spec.ports.iter().map(|entry| port_text(entry, transport)).collect();
        let cause = Cause::BackendPortNotFound {
            service: key.clone(),
            transport,
            port,
            there,
        };
        return Err(Missing::reference(BackendFault::NoSuchPort, ".port", cause));
    };
    let slices = world.slices.get(key).cloned().unwrap_or_default();
    let mut with_port: Vec<(&EndpointSlice, u16)> = Vec::new();
    with_port.extend(
        slices
            .iter()
            .filter_map(|slice| Some((*slice, number(slice, service_port, transport)?))),
    );
    let found = sliced_endpoints(world, &with_port, service);
    if found.is_empty() {
        return Err(Missing::Endpoints(match (slices.is_empty(), with_port.is_empty()) {
            (true, _) => NoEndpoint::NoSlice,
            (false, true) => NoEndpoint::NoPort(transport, service_port.name.clone()),
            (false, false) => NoEndpoint::NotReady,
        }));
    }
    resolve_addresses(world, object, "spec", found)
}

/// The number that a slice's endpoints give to a Service's port.
fn number(slice: &EndpointSlice, port: &ServicePort, transport: Transport) -> Option<u16> {
    let is_meant = |candidate: &&sealway_api::EndpointPort| {
        candidate.name.as_deref().unwrap_or_default() == port.name && is_of(candidate.protocol.as_deref(), transport)
    };
    slice.ports.iter().find(is_meant).and_then(|candidate| candidate.port)
}

/// Endpoints of the command line, which replace the Service's own.
fn given_endpoints(world: &World<'_>, key: &ObjectKey, port: u16, service_port: Option<&ServicePort>) -> Vec<BackendAddress> {
    let entries = world.settings.endpoints.iter().filter(|entry| entry.service == *key);
    let of_port = entries.filter(|entry| match &entry.port {
        PortSelector::Number(number) => *number == port,
        PortSelector::Name(name) => service_port.is_some_and(|service_port| service_port.name == *name),
    });
    of_port.map(|entry| entry.address.clone()).collect()
}

/// No manifest; but the command line may have made the Service, with other ports.
fn no_service(world: &World<'_>, key: &ObjectKey, transport: Transport, port: u16) -> Missing {
    let made = world.settings.endpoints.iter().filter(|entry| entry.service == *key);
    let there: Vec<String> = made.map(|entry| entry.port.to_string()).collect();
    let service = key.clone();
    if there.is_empty() {
        let object = ObjectRef::of(Kind::Service, key);
        let cause = world.absence(&object, Cause::BackendNotFound { service, port });
        Missing::reference(BackendFault::NotFound, ".name", cause)
    } else {
        let cause = Cause::BackendPortNotFound {
            service,
            transport,
            port,
            there,
        };
        Missing::reference(BackendFault::NoSuchPort, ".port", cause)
    }
}

/// A Service may have one number twice, for TCP and for UDP.
pub(super) fn service_port<'a>(
    world: &World<'a>,
    service: &ObjectKey,
    transport: Transport,
    port: u16,
) -> Option<&'a ServicePort> {
    let service = world.resources.services.get(service)?;
    let mut ports = service.spec.ports.iter();
    ports.find(|entry| entry.port == port && is_of(entry.protocol.as_deref(), transport))
}

/// Whether a port's protocol, TCP where none is stated, is this transport.
fn is_of(protocol: Option<&str>, transport: Transport) -> bool {
    match transport {
        Transport::Tcp => protocol.is_none_or(|protocol| protocol == "TCP"),
        Transport::Udp => protocol == Some("UDP"),
    }
}

fn port_text(port: &ServicePort, wanted: Transport) -> String {
    if is_of(port.protocol.as_deref(), wanted) {
        return port.port.to_string();
    }
    format!("{}/{}", port.port, port.protocol.as_deref().unwrap_or("TCP"))
}

fn external(host: &str, port: u16) -> BackendAddress {
    match host.parse::<IpAddr>() {
        Ok(address) => BackendAddress::Socket(SocketAddr::new(address, port)),
        Err(_) => BackendAddress::Name(host.trim_end_matches('.').to_ascii_lowercase(), port),
    }
}

/// Addresses of the endpoints that may take connections, names unresolved. As kube-proxy has it (pkg/proxy/endpointslicecache.go and
/// topology.go): absent `ready` and `serving` mean yes, absent `terminating` means no; serving but terminating endpoints are used only
/// when none is ready.
fn sliced_endpoints(world: &mut World<'_>, slices: &[(&EndpointSlice, u16)], service: &Service) -> Vec<BackendAddress> {
    let mut ready = Vec::new();
    let mut terminating = Vec::new();
    for (slice, number) in slices {
        for (position, endpoint) in slice.endpoints.iter().enumerate() {
            let conditions = &endpoint.conditions;
            let is_ready = conditions.ready.unwrap_or(true) || service.spec.publish_not_ready_addresses;
            let is_leaving = conditions.serving.unwrap_or(true) && conditions.terminating.unwrap_or(false);
            let (true, Some(text)) = (is_ready || is_leaving, endpoint.addresses.first()) else {
                continue;
            };
            match address(&slice.address_type, text, *number) {
                Some(address) if is_ready => ready.push(address),
                Some(address) => terminating.push(address),
                None => {
                    let object = ObjectRef::of(Kind::EndpointSlice, &slice.metadata.key());
                    let field = format!("endpoints[{position}].addresses[0]");
                    world.report(&object, field, Cause::EndpointInvalid { value: text.clone() });
                }
            }
        }
    }
    if ready.is_empty() { terminating } else { ready }
}

fn address(kind: &EndpointAddressType, text: &str, port: u16) -> Option<BackendAddress> {
    let socket = |ip| BackendAddress::Socket(SocketAddr::new(ip, port));
    match kind {
        EndpointAddressType::Ipv4 => text.parse().ok().map(|ip| socket(IpAddr::V4(ip))),
        EndpointAddressType::Ipv6 => text.parse().ok().map(|ip| socket(IpAddr::V6(ip))),
        EndpointAddressType::Fqdn => Some(BackendAddress::Name(text.trim_end_matches('.').to_ascii_lowercase(), port)),
        EndpointAddressType::Other(_) => None,
    }
}

/// Names become addresses by what was observed; a name is also put on the list of those to resolve.
fn resolve_addresses(
    world: &mut World<'_>,
    service: &ObjectRef,
    field: &str,
    found: Vec<BackendAddress>,
) -> Result<Vec<SocketAddr>, Missing> {
    let mut addresses = Vec::new();
    for address in found {
        let (name, port) = match address {
            BackendAddress::Socket(socket) => {
                addresses.push(socket);
                continue;
            }
            BackendAddress::Name(name, port) => (name, port),
        };
        let known = world.observed.names.get(&name);
        addresses.extend(known.into_iter().flatten().map(|ip| SocketAddr::new(*ip, port)));
        // Asked, and there is no answer; or there is nothing to ask for.
        if name.is_empty() || known.is_some_and(Vec::is_empty) {
            let cause = Cause::BackendNameUnresolved {
                service: match service.kind {
                    Kind::XBackend => x_backend_key(&service.key),
                    _ => service.key.clone(),
                },
                name: name.clone(),
            };
            world.report(service, field, cause);
        }
        if !name.is_empty() {
            world.names.insert(name);
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        Err(Missing::Name)
    } else {
        Ok(addresses)
    }
}
