//! What stands before and behind each Gateway in a cluster: parameters, Services and proxies, as far as they decide statuses.
//!
//! Input: resources, what became of the objects that were made, what proxies say of themselves, the time. Output: [`Fleets`], what is wrong
//! with them included. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use sealway_api::{Gateway, GatewayClass, Kind, ObjectKey, ObjectRef, ParametersReference, Resources, Timestamp};
use sealway_core::{BackendPeer, BackendTlsFault, Cause, Fleet, PortKey, PortState, Problem};
use sealway_feed::{Acknowledged, Proxies};
use sealway_provider::kube::AppliedByGateway;
use sealway_provider::provision::{Parameters, ParametersFault, SeenService, WantedService, reached, wanted_services};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Fleets {
    pub(crate) fleets: BTreeMap<ObjectKey, Fleet>,
    /// Of Gateways whose parameters can be honoured.
    pub(crate) parameters: BTreeMap<ObjectKey, Parameters>,
    /// Of GatewayClasses and Gateways.
    pub(crate) faults: BTreeMap<ObjectRef, String>,
    /// What is wrong with proxies, and with objects that were made.
    pub(crate) problems: Vec<Problem>,
    /// When an address that is awaited will be too late, or a proxy silent for too long.
    pub(crate) wake_at: Option<Timestamp>,
}

/// What is known of the world beside the resources.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) applied: &'a AppliedByGateway,
    pub(crate) proxies: &'a Proxies,
    pub(crate) now: Timestamp,
}

/// Whose a Gateway is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing<'a> {
    /// This controller's, by that class.
    Ours(&'a GatewayClass),
    /// Another controller's.
    Others,
    /// Its class is not there: deleted by mistake, or about to be written anew.
    Unknown,
}

/// See [`Standing`].
pub(crate) fn standing<'a>(resources: &'a Resources, gateway: &Gateway, controller: &str) -> Standing<'a> {
    let name = ObjectKey::new("", &gateway.spec.gateway_class_name);
    match resources.gateway_classes.get(&name) {
        Some(class) if class.spec.controller_name == controller => Standing::Ours(class),
        Some(_) => Standing::Others,
        None => Standing::Unknown,
    }
}

/// Gateways of this controller's classes, each with its class.
pub(crate) fn ours<'a>(
    resources: &'a Resources,
    controller: &'a str,
) -> impl Iterator<Item = (&'a ObjectKey, &'a Gateway, &'a GatewayClass)> {
    let gateways = resources.gateways.iter();
    gateways.filter_map(move |(key, gateway)| match standing(resources, gateway, controller) {
        Standing::Ours(class) => Some((key, &**gateway, class)),
        Standing::Others | Standing::Unknown => None,
    })
}

/// See the module.
pub(crate) fn observe(resources: &Resources, controller: &str, seen: Seen<'_>) -> Fleets {
    let mut found = Fleets::default();
    for (key, gateway, class) in ours(resources, controller) {
        found.look_at(key, seen);
        let class_reference = ObjectRef::new(Kind::GatewayClass, "", &class.metadata.name);
        let of_class = class.spec.parameters_ref.as_ref().map_or_else(
            || Ok(BTreeMap::new()),
            |reference| data(resources, reference, reference.namespace.as_deref().unwrap_or_default()),
        );
        let of_class = of_class.and_then(|data| Parameters::read(&data, &BTreeMap::new()).map(|_| data));
        let of_class = match of_class {
            Ok(data) => data,
            Err(fault) => {
                found.faults.insert(class_reference, fault.to_string());
                continue;
            }
        };
        let reference = gateway
            .spec
            .infrastructure
            .as_ref()
            .and_then(|own| own.parameters_ref.as_ref());
        let own = reference.map_or_else(|| Ok(BTreeMap::new()), |reference| data(resources, reference, &key.namespace));
        match own.and_then(|own| Parameters::read(&of_class, &own)) {
            Ok(parameters) => {
                let (fleet, wake_at) = fleet(resources, gateway, &parameters, seen);
                wake_at.into_iter().for_each(|at| found.wake(at));
                found.fleets.insert(key.clone(), fleet);
                found.parameters.insert(key.clone(), parameters);
            }
            Err(fault) => {
                found.faults.insert(ObjectRef::of(Kind::Gateway, key), fault.to_string());
            }
        }
    }
    found
}

/// A proxy that is cut off, or starts again, has a connection by then.
const SILENT: Duration = Duration::from_secs(10);

impl Fleets {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// What is wrong with what carries a Gateway.
    fn look_at(&mut self, gateway: &ObjectKey, seen: Seen<'_>) {
        let object = ObjectRef::of(Kind::Gateway, gateway);
        let mut report = |cause| self.problems.push(Problem::new(object.clone(), "", cause));
        for detail in seen.applied.get(gateway).into_iter().flat_map(|applied| &applied.faults) {
            report(Cause::ObjectsNotApplied { detail: detail.clone() });
        }
        let mut wakes = Vec::new();
        for (pod, proxy) in seen.proxies.get(gateway).into_iter().flatten() {
            if let Some(refused) = &proxy.refused {
                let (pod, detail) = (pod.clone(), refused.reason.clone());
                report(Cause::ProxyRefuses { pod, detail });
            }
            let late = proxy.silent_since.and_then(|since| since.checked_add(SILENT).ok());
            match late {
                Some(late) if late <= seen.now => report(Cause::ProxySilent { pod: pod.clone() }),
                late => wakes.extend(late),
            }
        }
        wakes.into_iter().for_each(|at| self.wake(at));
    }
}

fn data(
    resources: &Resources,
    reference: &ParametersReference,
    namespace: &str,
) -> Result<BTreeMap<String, String>, ParametersFault> {
    Parameters::readable(reference)?;
    let found = resources.config_maps.get(&ObjectKey::new(namespace, &reference.name));
    let found = found.ok_or_else(|| ParametersFault::Missing {
        namespace: namespace.to_owned(),
        name: reference.name.clone(),
    })?;
    Ok(found.data.clone())
}

fn fleet(resources: &Resources, gateway: &Gateway, parameters: &Parameters, seen: Seen<'_>) -> (Fleet, Option<Timestamp>) {
    let key = gateway.metadata.key();
    let wanted = wanted_services(gateway, parameters);
    let services = wanted
        .iter()
        .filter_map(|service| Some((service.name.clone(), state(resources, &key, service, seen.applied)?)));
    let reached = reached(&wanted, &services.collect(), seen.now);
    let mut failed = BTreeMap::new();
    for proxy in seen.proxies.get(&key).into_iter().flat_map(BTreeMap::values) {
        if proxy.silent_since.is_some() || proxy.report.draining {
            continue;
        }
        for (socket, state) in &proxy.report.ports {
            if let PortState::Failed(failure) = state {
                let port = PortKey {
                    transport: socket.transport,
                    port: socket.address.port(),
                };
                failed.insert(port, failure.clone());
            }
        }
    }
    let fleet = Fleet {
        addresses: reached.addresses,
        unusable: reached.unusable,
        failed,
    };
    (fleet, reached.wake_at)
}

fn state(resources: &Resources, gateway: &ObjectKey, wanted: &WantedService, applied: &AppliedByGateway) -> Option<SeenService> {
    let refused = applied.get(gateway).map(|applied| &applied.refused_services);
    if refused.is_some_and(|refused| refused.contains(&wanted.name)) {
        return Some(SeenService::Refused);
    }
    let service = resources.services.get(&ObjectKey::new(&gateway.namespace, &wanted.name))?;
    let ingress = service.status.load_balancer.ingress.iter();
    let ingress = ingress
        .flat_map(|entry| [&entry.ip, &entry.hostname])
        .filter(|value| !value.is_empty());
    let cluster_ips = service.spec.cluster_ips.iter().filter(|address| *address != "None");
    Some(SeenService::Present {
        created: service.metadata.creation_timestamp?,
        ingress: ingress.cloned().collect(),
        cluster_ips: cluster_ips.cloned().collect(),
    })
}

/// Faults of backends, as any proxy met them last. They are not looked at for each change: of two endpoints one may fail and one
/// succeed, many times a second and at many proxies, and each difference is a compilation and a status.
#[derive(Default)]
pub(crate) struct BackendFaults {
    pub(crate) known: BTreeMap<BackendPeer, BackendTlsFault>,
    changed: Option<Timestamp>,
}

/// Between two changes.
const FAULTS_PAUSE: Duration = Duration::from_secs(1);

impl BackendFaults {
    /// Takes in what proxies say; when to look again, if it is too early.
    pub(crate) fn look(&mut self, proxies: &Proxies, now: Timestamp) -> Option<Timestamp> {
        let of_all = proxies.values().flat_map(BTreeMap::values);
        let connected = of_all.filter(|proxy| proxy.silent_since.is_none());
        let said = connected.flat_map(|proxy| proxy.report.backend_tls.iter().cloned()).collect();
        if self.known == said {
            return None;
        }
        let due = self.changed.and_then(|changed| changed.checked_add(FAULTS_PAUSE).ok());
        // Clocks are set: what was in the future holds nothing up.
        match due.filter(|due| now < *due && self.changed <= Some(now)) {
            Some(due) => Some(due),
            None => {
                self.known = said;
                self.changed = Some(now);
                None
            }
        }
    }
}

/// Whether every proxy of a Gateway that is connected and not about to go obeys what is published, backends aside, and there is one.
pub(crate) fn is_served(gateway: &ObjectKey, proxies: &Proxies, published: &BTreeMap<ObjectKey, Acknowledged>) -> bool {
    let Some(published) = published.get(gateway) else {
        return false;
    };
    let of_gateway = proxies.get(gateway).into_iter().flat_map(BTreeMap::values);
    let mut staying = of_gateway
        .filter(|proxy| proxy.silent_since.is_none() && !proxy.report.draining)
        .peekable();
    // Endpoints come and go faster than all proxies can have the same, and what a name leads to each controller asks for itself.
    let obeys = |acknowledged: Acknowledged| acknowledged.routing == published.routing;
    staying.peek().is_some() && staying.all(|proxy| proxy.acknowledged.is_some_and(obeys))
}

#[cfg(test)]
mod tests;
