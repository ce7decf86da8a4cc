//! XBackends: destinations that no Service describes (GEP-4894).
//!
//! Input: a reference of a route to one. Output: what stands there, worked out once, and for each XBackend one status entry a Gateway whose
//! routes reach it. Invariant: one that asks for what is not served is not spoken to at all, least of all in plain text.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sealway_api::{
    ConditionStatus, ConditionType, Kind, ObjectKey, ObjectRef, PolicyStatus, Reason, XBackend, XBackendTlsMode, XBackendType,
};

use super::backends::{self, Found, Missing, Spoken};
use super::world::World;
use super::{policies, verification};
use crate::hostname::HostnamePattern;
use crate::problem::Cause;
use crate::snapshot::{BackendFault, BackendProtocol, Transport, UpstreamTls, x_backend_key};

/// Those that routes refer to.
#[derive(Default)]
pub(super) struct XBackends {
    pub(super) found: BTreeMap<ObjectKey, Arc<Found>>,
    /// Why one is not served.
    refused: BTreeMap<ObjectKey, (Reason, Cause)>,
    /// Those of each route.
    needed: BTreeMap<ObjectRef, BTreeSet<ObjectKey>>,
    /// Gateways through which each is reached.
    ancestors: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
}

impl XBackends {
    /// Whether no route refers to any.
    pub(super) fn is_empty(&self) -> bool {
        self.needed.is_empty()
    }
}

/// What stands behind an XBackend that a route refers to and may use.
pub(super) fn find(world: &mut World<'_>, route: &ObjectRef, key: ObjectKey) -> Arc<Found> {
    let needed = world.x_backends.needed.entry(route.clone()).or_default();
    needed.insert(key.clone());
    if let Some(known) = world.x_backends.found.get(&key) {
        return Arc::clone(known);
    }
    let object = ObjectRef::of(Kind::XBackend, &key);
    let backend = world.resources.x_backends.get(&key).cloned().unwrap_or_default();
    let port = backend.spec.port.number;
    let mut spoken = Spoken {
        service: x_backend_key(&key),
        transport: Transport::Tcp,
        port,
        protocol: protocol(backend.spec.protocol.as_deref()),
        tls: UpstreamTls::Plain,
    };
    let result = if !world.resources.x_backends.contains_key(&key) {
        let cause = world.absence(&object, Cause::XBackendNotFound { backend: key.clone() });
        Err(Missing::reference(BackendFault::NotFound, ".name", cause))
    } else {
        match examine(world, &object, &backend) {
            Ok((hostname, tls)) => {
                spoken.tls = tls;
                backends::outside(world, &object, &hostname, &spoken)
            }
            Err(refused) => {
                let cause = Cause::XBackendNotServed {
                    backend: key.clone(),
                    detail: refused.1.message(),
                };
                world.x_backends.refused.insert(key.clone(), refused);
                Err(Missing::reference(BackendFault::NotServed, ".name", cause))
            }
        }
    };
    let found = Arc::new(Found {
        name: format!("{}:{port}", spoken.service),
        spoken,
        result,
    });
    world.x_backends.found.insert(key, Arc::clone(&found));
    found
}

/// Its hostname and how it is spoken to; or why it is not.
fn examine(world: &mut World<'_>, object: &ObjectRef, backend: &XBackend) -> Result<(String, UpstreamTls), (Reason, Cause)> {
    let spec = &backend.spec;
    let unsupported = |world: &mut World<'_>, field: &str, value: String, expected: &'static str| {
        let cause = Cause::ValueUnsupported { value, expected };
        world.report(object, field, cause.clone());
        (cause.reason(), cause)
    };
    if spec.kind != XBackendType::ExternalHostname {
        let expected = "a type that is served, which is `ExternalHostname`";
        return Err(unsupported(world, "spec.type", spec.kind.to_string(), expected));
    }
    let hostname = spec
        .external_hostname
        .as_ref()
        .map_or("", |external| external.hostname.as_str());
    let name = match HostnamePattern::parse(Some(hostname)) {
        // Names of the cluster are for Services, whose namespaces have grants (apisx/v1alpha1/xbackend_types.go, Hostname).
        HostnamePattern::Exact(name) if name.parse::<IpAddr>().is_err() && !is_of_the_cluster(&name) => name.into_string(),
        _ => {
            let expected = "a DNS name outside the cluster";
            let field = "spec.externalHostname.hostname";
            return Err(unsupported(world, field, hostname.to_owned(), expected));
        }
    };
    if spec.port.number == 0 {
        return Err(unsupported(world, "spec.port.number", "0".to_owned(), "a port"));
    }
    let tls = match spec.tls.as_ref().map(|tls| (&tls.mode, &tls.validation)) {
        None | Some((XBackendTlsMode::None, None)) => UpstreamTls::Plain,
        Some((XBackendTlsMode::ServerOnly, Some(validation))) => {
            let key = x_backend_key(&object.key);
            let found = verification::read(world, object, &verification::Asked::of_x_backend(validation), key);
            match (found.tls, found.refused) {
                (Some(tls), None) => UpstreamTls::Verified(tls),
                (_, Some(refused)) => return Err(refused),
                (None, None) => return Err(unsupported(world, "spec.tls.validation", "nobody".to_owned(), "an authority")),
            }
        }
        Some((mode, _)) => {
            let expected = "a mode that is served: `None`, or `ServerOnly` with `validation`";
            return Err(unsupported(world, "spec.tls.mode", mode.to_string(), expected));
        }
    };
    match spec.protocol.as_deref() {
        Some(protocol @ ("HTTP2" | "WSS")) if tls == UpstreamTls::Plain => Err(unsupported(
            world,
            "spec.protocol",
            protocol.to_owned(),
            "a protocol that is spoken without TLS",
        )),
        Some("H2C") if tls != UpstreamTls::Plain => Err(unsupported(
            world,
            "spec.protocol",
            "H2C".to_owned(),
            "a protocol that is spoken over TLS",
        )),
        _ => Ok((name, tls)),
    }
}

fn is_of_the_cluster(name: &str) -> bool {
    name == "cluster.local" || name.ends_with(".cluster.local")
}

/// What is spoken there. HTTP/1.1 alone is what WebSockets need.
fn protocol(stated: Option<&str>) -> BackendProtocol {
    match stated {
        None | Some("HTTP") => BackendProtocol::Unstated,
        Some("HTTP11" | "WSS") => BackendProtocol::WebSocket,
        Some("HTTP2" | "H2C" | "GRPC") => BackendProtocol::H2c,
        Some(_) => BackendProtocol::Unsupported,
    }
}

/// The protocol as an XBackend has it, by the name that its backend goes by.
pub(super) fn stated(world: &World<'_>, service: &ObjectKey) -> Option<String> {
    let name = service.name.strip_prefix(crate::snapshot::X_BACKEND)?;
    let backend = world.resources.x_backends.get(&ObjectKey::new(&service.namespace, name))?;
    backend.spec.protocol.clone()
}

/// Notes that a route, and so the XBackends behind it, is reached through a Gateway.
pub(super) fn reach(world: &mut World<'_>, route: &ObjectRef, gateway: &ObjectKey) {
    let x_backends = &mut world.x_backends;
    for key in x_backends.needed.get(route).into_iter().flatten() {
        x_backends.ancestors.entry(key.clone()).or_default().insert(gateway.clone());
    }
}

/// Statuses of those that Gateways of ours use.
pub(super) fn statuses(world: &World<'_>) -> BTreeMap<ObjectKey, PolicyStatus> {
    let x_backends = &world.x_backends;
    let entries = x_backends.ancestors.iter().filter_map(|(key, gateways)| {
        let generation = world.resources.x_backends.get(key)?.metadata.generation;
        let accepted = match x_backends.refused.get(key) {
            Some((reason, cause)) => (ConditionStatus::False, reason.clone(), cause.sentence()),
            None => (ConditionStatus::True, Reason::Accepted, "The backend is accepted".to_owned()),
        };
        let said = || [(ConditionType::Accepted, accepted.clone())];
        // As many as the writer has room for.
        let gateways = gateways.iter().take(policies::MOST_ANCESTORS);
        let ancestors = gateways
            .map(|gateway| policies::entry(world, gateway, generation, said()))
            .collect();
        Some((key.clone(), PolicyStatus { ancestors }))
    });
    entries.collect()
}
