//! Pass 1: which GatewayClasses and Gateways are ours, and which addresses they want.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sealway_api::{
    AddressType, Condition, ConditionStatus, ConditionType, Gateway, GatewayClass, GatewayClassStatus, Kind, ObjectKey,
    ObjectRef, Reason, Resources, SupportedFeature,
};

use super::world::{GatewayWork, World};
use super::{ports, statuses, values};
use crate::features::{BundleFit, Served};
use crate::problem::Cause;
use crate::settings::{Classes, Fleet, Placement, Ports};

/// Statuses of the classes that are ours.
pub(super) fn classes(world: &mut World<'_>) -> BTreeMap<String, GatewayClassStatus> {
    let mut statuses = BTreeMap::new();
    for (key, class) in &world.resources.gateway_classes {
        if !is_ours(world, class) {
            continue;
        }
        let object = ObjectRef::of(Kind::GatewayClass, key);
        if class.spec.controller_name != world.settings.controller_name() {
            let controller = class.spec.controller_name.clone();
            world.report(&object, "spec.controllerName", Cause::ForeignController { controller });
        }
        // Parameters that cannot be honoured make the class invalid (apis/v1/gatewayclass_types.go, InvalidParameters). Its Gateways go on
        // being served: what becomes of a class is not to reach Gateways that exist (same file, "limit the blast radius").
        let refused = class.spec.parameters_ref.as_ref().and_then(|reference| {
            let ignored = Cause::ClassParametersIgnored {
                kind: reference.kind.clone(),
            };
            let cause = parameters(world, &object, ignored)?;
            world.report(&object, "spec.parametersRef", cause.clone());
            Some(cause)
        });
        let condition = Condition {
            kind: ConditionType::Accepted,
            status: if refused.is_none() {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            },
            reason: refused.as_ref().map_or(Reason::Accepted, Cause::reason),
            message: refused
                .as_ref()
                .map_or_else(|| "The class is served by Sealway".to_owned(), Cause::sentence),
            observed_generation: class.metadata.generation,
        };
        let mut conditions = vec![condition];
        conditions.extend(supported_version(world, &object, class.metadata.generation));
        let features = world.observed.served.as_ref().map(Served::features).unwrap_or_default();
        let feature = |name: &str| SupportedFeature { name: name.to_owned() };
        statuses.insert(
            key.name.clone(),
            GatewayClassStatus {
                conditions,
                supported_features: features.into_iter().map(feature).collect(),
            },
        );
    }
    statuses
}

/// Whether the release of the installed CRDs was tried; said only where there are CRDs.
fn supported_version(world: &mut World<'_>, object: &ObjectRef, generation: i64) -> Option<Condition> {
    let served = world.observed.served.as_ref()?;
    let fit = served.bundle_fit()?;
    let version = served.bundle_version.clone().unwrap_or_default();
    let (status, reason, message) = match fit {
        BundleFit::Supported => {
            let message = format!("The CRDs are of Gateway API {version}");
            (ConditionStatus::True, Reason::SupportedVersion, message)
        }
        _ => {
            let cause = Cause::BundleVersion { version, fit };
            let message = cause.message();
            world.report(object, "", cause);
            (ConditionStatus::False, Reason::UnsupportedVersion, message)
        }
    };
    Some(statuses::condition(
        ConditionType::SupportedVersion,
        status,
        reason,
        message,
        generation,
    ))
}

/// Why `parametersRef` cannot be honoured. Standalone nothing is made that parameters could shape; in a cluster the provider has read them.
fn parameters(world: &World<'_>, object: &ObjectRef, ignored: Cause) -> Option<Cause> {
    match world.settings.placement {
        Placement::Standalone { .. } => Some(ignored),
        Placement::Cluster => {
            let detail = world.observed.parameter_faults.get(object)?.clone();
            Some(Cause::ParametersInvalid { detail })
        }
    }
}

fn is_ours(world: &World<'_>, class: &GatewayClass) -> bool {
    match &world.settings.classes {
        Classes::Every => true,
        Classes::Named(name) => class.spec.controller_name == *name,
    }
}

/// Gateways of ours, oldest first, then by namespace and name: the order in which they get ports.
pub(super) fn collect<'a>(world: &mut World<'a>) -> Vec<GatewayWork<'a>> {
    let mut gateways = Vec::new();
    for (key, gateway) in &world.resources.gateways {
        let object = ObjectRef::of(Kind::Gateway, key);
        let class_name = &gateway.spec.gateway_class_name;
        match world.resources.gateway_classes.get(&ObjectKey::new("", class_name)) {
            Some(class) if is_ours(world, class) => gateways.push(open(world, object, gateway)),
            Some(_) => {}
            None => {
                let missing = Cause::ClassNotFound {
                    class: class_name.clone(),
                };
                let cause = world.absence(&ObjectRef::new(Kind::GatewayClass, "", class_name), missing);
                world.report(&object, "spec.gatewayClassName", cause);
            }
        }
    }
    gateways.sort_by(|one, two| {
        let age = |work: &GatewayWork<'_>| work.gateway.metadata.creation_timestamp;
        (age(one), &one.key).cmp(&(age(two), &two.key))
    });
    gateways
}

fn open<'a>(world: &mut World<'a>, object: ObjectRef, gateway: &'a Gateway) -> GatewayWork<'a> {
    let mut refused = None;
    let mut addresses = Vec::new();
    let in_cluster = matches!(world.settings.placement, Placement::Cluster);
    let mut any_address = in_cluster || gateway.spec.addresses.is_empty();
    for (position, address) in gateway.spec.addresses.iter().enumerate() {
        let field = format!("spec.addresses[{position}]");
        let routability = address.routability.as_str();
        let is_reached_so = routability.is_empty() || (in_cluster && routability == CLUSTER_ROUTABILITY);
        let (part, cause) = match &address.kind {
            // Standalone, what is bound may be reached from further away than was asked for.
            _ if !is_reached_so => {
                let value = routability.to_owned();
                (".routability", Cause::AddressRoutabilityUnsupported { value })
            }
            // The proxies' Services have the addresses; whether they can be had is in [`Fleet::unusable`].
            AddressType::IpAddress if in_cluster && (address.value.is_empty() || address.value.parse::<IpAddr>().is_ok()) => {
                continue;
            }
            // Without a value: any address of that type (feature GatewayAddressEmpty).
            AddressType::IpAddress if address.value.is_empty() => {
                any_address = true;
                continue;
            }
            AddressType::IpAddress => match address.value.parse::<IpAddr>() {
                Ok(address) => {
                    addresses.push(address);
                    continue;
                }
                Err(_) => (
                    ".value",
                    Cause::AddressInvalid {
                        value: address.value.clone(),
                    },
                ),
            },
            kind => (".type", Cause::AddressTypeUnsupported { kind: kind.to_string() }),
        };
        world.report(&object, format!("{field}{part}"), cause.clone());
        refused.get_or_insert(cause);
    }
    if let Some(reference) = gateway
        .spec
        .infrastructure
        .as_ref()
        .and_then(|infrastructure| infrastructure.parameters_ref.as_ref())
    {
        let ignored = Cause::ParametersNotSupported {
            kind: reference.kind.clone(),
        };
        if let Some(cause) = parameters(world, &object, ignored) {
            world.report(&object, "spec.infrastructure.parametersRef", cause.clone());
            refused.get_or_insert(cause);
        }
    }
    if any_address {
        addresses.extend(default_addresses(&world.settings.placement, &object.key));
    }
    addresses.sort_unstable();
    addresses.dedup();
    // `0.0.0.0` beside `127.0.0.1` is one socket, not two that are in each other's way.
    let wanted = addresses.clone();
    addresses.retain(|address| !wanted.iter().any(|other| other != address && ports::covers(*other, *address)));
    let trusted_proxies = values::trusted_proxies(&gateway.metadata.annotations).unwrap_or_else(|cause| {
        world.report(
            &object,
            format!("metadata.annotations[{}]", values::ACCEPT_PROXY_PROTOCOL),
            cause,
        );
        None
    });
    let headers = values::client_certificate_headers(&gateway.metadata.annotations);
    let client_certificate_headers = headers.unwrap_or_else(|cause| {
        let field = format!("metadata.annotations[{}]", values::CLIENT_CERTIFICATE_HEADERS);
        world.report(&object, field, cause);
        None
    });
    // Where all is assumed, so is this.
    let none_yet = (world.observed.ports != Ports::Assumed).then_some(&NO_FLEET);
    let fleet = world.observed.fleets.get(&object.key).or(none_yet).filter(|_| in_cluster);
    let unusable = fleet.and_then(|fleet| fleet.unusable.clone());
    if let Some(value) = &unusable {
        let position = gateway.spec.addresses.iter().position(|address| address.value == *value);
        let field = format!("spec.addresses[{}].value", position.unwrap_or_default());
        world.report(&object, field, Cause::AddressNotUsable { value: value.clone() });
    }
    GatewayWork {
        key: object.key.clone(),
        object,
        gateway,
        addresses,
        trusted_proxies: trusted_proxies.unwrap_or_default(),
        client_certificate: None,
        client_certificate_headers: client_certificate_headers.unwrap_or_default(),
        tracing: None,
        unresolved: None,
        insecure: Vec::new(),
        refused,
        unusable_address: unusable.map(|value| Cause::AddressNotUsable { value }),
        fleet,
        bound: Vec::new(),
        listeners: Vec::new(),
        sets: Vec::new(),
        names: BTreeMap::new(),
    }
}

/// Nothing has been made for the Gateway yet.
static NO_FLEET: Fleet = Fleet {
    addresses: Vec::new(),
    unusable: None,
    failed: BTreeMap::new(),
};

/// Reachable inside the cluster only (GEP-4764): a Service's ClusterIP.
const CLUSTER_ROUTABILITY: &str = "Cluster";

/// A scope of default Gateways (GEP-3793), if it is more than none.
pub(super) fn scope(scope: Option<&str>) -> Option<&str> {
    scope.filter(|scope| !matches!(*scope, "" | "None"))
}

/// Default Gateways of a scope, whoever's they are.
pub(super) fn defaults<'a>(resources: &'a Resources, scope: &str) -> impl Iterator<Item = &'a ObjectKey> {
    let gateways = resources.gateways.iter();
    let of_scope = gateways.filter(move |(_, gateway)| self::scope(gateway.spec.default_scope.as_deref()) == Some(scope));
    of_scope.map(|(key, _)| key)
}

fn default_addresses(placement: &Placement, gateway: &ObjectKey) -> Vec<IpAddr> {
    match placement {
        Placement::Standalone {
            binds, gateway_binds, ..
        } => gateway_binds.get(gateway).unwrap_or(binds).clone(),
        Placement::Cluster => vec![IpAddr::from([0_u8; 4]), IpAddr::from([0_u16; 8])],
    }
}
