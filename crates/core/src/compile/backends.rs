//! Backend references: from a name and a port to endpoints.
//!
//! Input: a reference of a route. Output: a [`WeightedBackend`]; what cannot be had keeps its weight and refuses. EndpointSlices are
//! read as kube-proxy reads them: ready endpoints, and only when there are none those that serve while they terminate.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sealway_api::{BackendRef, EndpointAddressType, EndpointSlice, Kind, ObjectKey, ObjectRef, Service, ServicePort};

use super::values;
use super::world::World;
use crate::problem::Cause;
use crate::settings::{BackendAddress, PortSelector, Ports};
use crate::snapshot::{Backend, BackendFault, Target, WeightedBackend};

/// Resolves one reference; reports what is wrong with it and gives the cause when ResolvedRefs must be false.
pub(super) fn resolve(
    world: &mut World<'_>,
    route: &ObjectRef,
    field: &str,
    reference: &BackendRef,
) -> (WeightedBackend, Option<Cause>) {
    let namespace = reference.namespace.as_deref().unwrap_or(&route.key.namespace);
    let service = ObjectKey::new(namespace, &reference.name);
    let name = reference
        .port
        .map_or_else(|| service.to_string(), |port| format!("{service}:{port}"));
    let weighted = |target| WeightedBackend {
        name: name.clone(),
        weight: reference.weight,
        target,
    };
    match find(world, route, field, reference, &service) {
        Ok(backend) => (weighted(Target::Backend(Arc::new(backend))), None),
        Err(Missing::Endpoints(fault)) => (weighted(Target::Refuse(fault)), None),
        Err(Missing::Reference(fault, part, cause)) => {
            world.report(route, format!("{field}{part}"), (*cause).clone());
            (weighted(Target::Refuse(fault)), Some(*cause))
        }
    }
}

enum Missing {
    /// The reference is good; there is just nobody.
    Endpoints(BackendFault),
    /// The reference is wrong, in this part of it.
    Reference(BackendFault, &'static str, Box<Cause>),
}

impl Missing {
    fn reference(fault: BackendFault, part: &'static str, cause: Cause) -> Self {
        Self::Reference(fault, part, Box::new(cause))
    }
}

fn find(
    world: &mut World<'_>,
    route: &ObjectRef,
    field: &str,
    reference: &BackendRef,
    key: &ObjectKey,
) -> Result<Backend, Missing> {
    if !reference.group.is_empty() || reference.kind != "Service" {
        let cause = Cause::BackendKindUnsupported {
            group: reference.group.clone(),
            kind: reference.kind.clone(),
        };
        return Err(Missing::reference(BackendFault::InvalidKind, ".kind", cause));
    }
    let to = ObjectRef::of(Kind::Service, key);
    if !world.grants.permit(route, &to) {
        let nearest = world.grants.nearest(route, &to);
        let cause = Cause::RefNotPermitted {
            from: route.clone(),
            to,
            nearest,
        };
        return Err(Missing::reference(BackendFault::NotPermitted, ".namespace", cause));
    }
    let Some(port) = reference.port else {
        return Err(Missing::reference(BackendFault::NoSuchPort, "", Cause::BackendPortMissing));
    };
    let service = world.resources.services.get(key).map(|service| &**service);
    let service_port = service.and_then(|service| service.spec.ports.iter().find(|entry| entry.port == port && is_tcp(entry)));
    let mut proxy_protocol = None;
    if let Some(service) = service {
        proxy_protocol = values::proxy_protocol(&service.metadata.annotations).unwrap_or_else(|cause| {
            world.report(&to, format!("metadata.annotations[{}]", values::PROXY_PROTOCOL), cause);
            None
        });
    }
    let backend = |endpoints| Backend {
        service: key.clone(),
        port,
        endpoints,
        proxy_protocol,
    };

    let given = given_endpoints(world, key, port, service_port);
    if !given.is_empty() {
        return Ok(backend(resolve_addresses(world, &to, "spec", given)?));
    }
    let Some(service) = service else {
        return Err(no_service(world, key, port));
    };
    if service.spec.kind.as_deref() == Some("ExternalName") {
        // Such a Service needs no ports: the route's port is the port to connect to.
        let host = service.spec.external_name.as_deref().unwrap_or_default();
        let address = external(host, port);
        return Ok(backend(resolve_addresses(world, &to, "spec.externalName", vec![address])?));
    }
    let Some(service_port) = service_port else {
        let there = service.spec.ports.iter().map(port_text).collect();
        let cause = Cause::BackendPortNotFound {
            service: key.clone(),
            port,
            there,
        };
        return Err(Missing::reference(BackendFault::NoSuchPort, ".port", cause));
    };
    let slices = world.slices.get(key).cloned().unwrap_or_default();
    let found = endpoints(world, &slices, service, service_port);
    let addresses = if found.is_empty() {
        Vec::new()
    } else {
        resolve_addresses(world, &to, "spec", found)?
    };
    if addresses.is_empty() {
        // Plain manifests have no EndpointSlices: that is worth a word only to who wants to send traffic there.
        if !slices.is_empty() || matches!(world.observed.ports, Ports::Reported(_)) {
            let cause = Cause::NoReadyEndpoint {
                service: key.clone(),
                port,
                slices: !slices.is_empty(),
            };
            world.report(route, format!("{field}.name"), cause);
        }
        return Err(Missing::Endpoints(BackendFault::NoEndpoints));
    }
    Ok(backend(addresses))
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
fn no_service(world: &World<'_>, key: &ObjectKey, port: u16) -> Missing {
    let made = world.settings.endpoints.iter().filter(|entry| entry.service == *key);
    let there: Vec<String> = made.map(|entry| entry.port.to_string()).collect();
    let service = key.clone();
    if there.is_empty() {
        Missing::reference(BackendFault::NotFound, ".name", Cause::BackendNotFound { service, port })
    } else {
        Missing::reference(
            BackendFault::NoSuchPort,
            ".port",
            Cause::BackendPortNotFound { service, port, there },
        )
    }
}

fn is_tcp(port: &ServicePort) -> bool {
    port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP")
}

fn port_text(port: &ServicePort) -> String {
    let protocol = port
        .protocol
        .as_deref()
        .filter(|protocol| *protocol != "TCP")
        .map(|protocol| format!("/{protocol}"));
    format!("{}{}", port.port, protocol.unwrap_or_default())
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
fn endpoints(world: &mut World<'_>, slices: &[&EndpointSlice], service: &Service, port: &ServicePort) -> Vec<BackendAddress> {
    let mut ready = Vec::new();
    let mut terminating = Vec::new();
    for slice in slices {
        let object = ObjectRef::of(Kind::EndpointSlice, &slice.metadata.key());
        let Some(number) = slice
            .ports
            .iter()
            .find(|candidate| {
                candidate.name.as_deref().unwrap_or_default() == port.name
                    && candidate.protocol.as_deref().is_none_or(|protocol| protocol == "TCP")
            })
            .and_then(|candidate| candidate.port)
        else {
            continue;
        };
        for (position, endpoint) in slice.endpoints.iter().enumerate() {
            let conditions = &endpoint.conditions;
            let is_ready = conditions.ready.unwrap_or(true) || service.spec.publish_not_ready_addresses;
            let is_leaving = conditions.serving.unwrap_or(true) && conditions.terminating.unwrap_or(false);
            let (true, Some(text)) = (is_ready || is_leaving, endpoint.addresses.first()) else {
                continue;
            };
            match address(&slice.address_type, text, number) {
                Some(address) if is_ready => ready.push(address),
                Some(address) => terminating.push(address),
                None => {
                    let field = format!("endpoints[{position}].addresses[0]");
                    world.report(&object, field, Cause::EndpointInvalid { value: text.clone() });
                }
            }
        }
    }
    if ready.is_empty() { terminating } else { ready }
}

fn address(kind: &EndpointAddressType, text: &str, port: u16) -> Option<BackendAddress> {
    match kind {
        EndpointAddressType::Ipv4 => text
            .parse()
            .ok()
            .map(|ip| BackendAddress::Socket(SocketAddr::new(IpAddr::V4(ip), port))),
        EndpointAddressType::Ipv6 => text
            .parse()
            .ok()
            .map(|ip| BackendAddress::Socket(SocketAddr::new(IpAddr::V6(ip), port))),
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
                service: service.key.clone(),
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
        Err(Missing::Endpoints(BackendFault::NameUnresolved))
    } else {
        Ok(addresses)
    }
}
