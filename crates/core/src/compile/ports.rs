//! Pass 4: who gets which socket, and what became of it.
//!
//! Standalone, all Gateways share the machine: the older one, then namespace/name, keeps an address and port; listeners of the other
//! are refused with PortUnavailable. In a cluster each Gateway has addresses of its own and nothing is shared.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use sealway_api::ObjectKey;

use super::world::{Binding, GatewayWork, ListenerWork, World};
use crate::problem::{Cause, Problem};
use crate::settings::{BindFailure, Fleet, Placement, PortState, Ports, SocketKey};
use crate::snapshot::Transport;

/// Hands out sockets in the order of the Gateways, then looks up what the data plane made of them.
pub(super) fn assign(world: &mut World<'_>, gateways: &mut [GatewayWork<'_>]) {
    let offset = world.settings.port_offset();
    let shared = matches!(world.settings.placement, Placement::Standalone { .. });
    let mut taken: BTreeMap<(Transport, u16), Vec<(IpAddr, ObjectKey)>> = BTreeMap::new();
    for gateway in gateways {
        let GatewayWork {
            addresses,
            key,
            refused,
            listeners,
            ..
        } = gateway;
        if refused.is_some() {
            continue;
        }
        let mut held = BTreeSet::new();
        for work in listeners.iter_mut().filter(|work| work.serves()) {
            let Some(port) = work.port().checked_add(offset) else {
                let cause = Cause::PortOverflows {
                    port: work.port(),
                    offset,
                };
                refuse(world, work, cause);
                continue;
            };
            let clash = addresses.iter().find_map(|address| {
                let socket = SocketAddr::new(*address, port);
                let reserved =
                    work.transport == Transport::Tcp && world.settings.reserved.iter().any(|own| same_socket(*own, socket));
                if reserved {
                    return Some(Cause::PortReserved { socket });
                }
                let holders = taken.get(&(work.transport, port)).filter(|_| shared)?;
                let (_, holder) = holders.iter().find(|(other, _)| same_address(*other, *address))?;
                Some(Cause::PortTakenByGateway {
                    socket,
                    gateway: holder.clone(),
                })
            });
            match clash {
                Some(cause) => refuse(world, work, cause),
                None => {
                    held.insert((work.transport, port));
                }
            }
        }
        for socket in held {
            let holders = taken.entry(socket).or_default();
            holders.extend(addresses.iter().map(|address| (*address, key.clone())));
        }
        observe(world, gateway, offset);
    }
}

fn refuse(world: &mut World<'_>, work: &mut ListenerWork<'_>, cause: Cause) {
    world.report(&work.owner, format!("{}.port", work.field), cause.clone());
    work.refused = Some(cause);
}

fn same_socket(one: SocketAddr, two: SocketAddr) -> bool {
    one.port() == two.port() && same_address(one.ip(), two.ip())
}

/// Whether two addresses cannot both be bound with one port.
fn same_address(one: IpAddr, two: IpAddr) -> bool {
    covers(one, two) || covers(two, one)
}

/// Whether a socket on `wide` takes what comes for `narrow`: the unspecified address takes its whole family. The data plane binds `[::]`
/// for IPv6 only, so that it means the same on every system.
pub(super) fn covers(wide: IpAddr, narrow: IpAddr) -> bool {
    let (wide, narrow) = (wide.to_canonical(), narrow.to_canonical());
    wide == narrow || (wide.is_unspecified() && wide.is_ipv4() == narrow.is_ipv4())
}

/// What became of the sockets: each listener's binding, the Gateway's bound addresses, and an address that the machine has not.
fn observe(world: &mut World<'_>, gateway: &mut GatewayWork<'_>, offset: u16) {
    if let Some(fleet) = gateway.fleet {
        return observe_fleet(world, gateway, fleet);
    }
    let states = match &world.observed.ports {
        Ports::Reported(states) => states,
        Ports::Assumed => {
            if gateway.listeners.iter().any(ListenerWork::serves) {
                gateway.bound.clone_from(&gateway.addresses);
            }
            return;
        }
    };
    let mut bound = BTreeSet::new();
    let mut found = Vec::new();
    for work in gateway.listeners.iter_mut().filter(|work| work.serves()) {
        let port = work.port().saturating_add(offset);
        for address in &gateway.addresses {
            let socket = SocketAddr::new(*address, port);
            let key = SocketKey {
                transport: work.transport,
                address: socket,
            };
            match states.get(&key) {
                Some(PortState::Bound) => {
                    bound.insert(*address);
                }
                Some(PortState::Failed(failure)) => {
                    let cause = failed(socket, failure);
                    if work.binding != Binding::Failed(cause.clone()) {
                        found.push((*address, work.owner.clone(), format!("{}.port", work.field), cause.clone()));
                    }
                    work.binding = Binding::Failed(cause);
                }
                None if work.binding == Binding::Bound => work.binding = Binding::Pending,
                None => {}
            }
        }
    }
    gateway.bound = bound.into_iter().collect();
    for (address, owner, listener_port, cause) in found {
        let wanted = &gateway.gateway.spec.addresses;
        let position = wanted.iter().position(|wanted| wanted.value.parse() == Ok(address));
        let (object, field) = match (&cause, position) {
            (Cause::AddressNotUsable { .. }, Some(position)) => {
                (gateway.object.clone(), format!("spec.addresses[{position}].value"))
            }
            _ => (owner, listener_port),
        };
        if matches!(cause, Cause::AddressNotUsable { .. }) {
            gateway.unusable_address.get_or_insert_with(|| cause.clone());
        }
        world.problems.push(Problem::new(object, field, cause));
    }
}

/// In a cluster: a port that a proxy could not open. What is bound inside a pod is nobody's address.
fn observe_fleet(world: &mut World<'_>, gateway: &mut GatewayWork<'_>, fleet: &Fleet) {
    for work in gateway.listeners.iter_mut().filter(|work| work.serves()) {
        let key = work.port_key();
        if let Some(failure) = fleet.failed.get(&key) {
            let cause = failed(SocketAddr::new(IpAddr::from([0_u8; 4]), key.port), failure);
            world.report(&work.owner, format!("{}.port", work.field), cause.clone());
            work.binding = Binding::Failed(cause);
        }
    }
}

fn failed(socket: SocketAddr, failure: &BindFailure) -> Cause {
    match failure {
        BindFailure::InUse => Cause::PortInUse { socket },
        BindFailure::NotPermitted => Cause::PortNotPermitted { socket },
        BindFailure::NoSuchAddress => Cause::AddressNotUsable {
            value: socket.ip().to_string(),
        },
        BindFailure::Other(error) => Cause::PortFailed {
            socket,
            error: error.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_addresses_include_their_family() {
        let address = |text: &str| text.parse::<IpAddr>().expect("address");
        assert!(same_address(address("0.0.0.0"), address("127.0.0.1")));
        assert!(same_address(address("::1"), address("::")));
        assert!(!same_address(address("::"), address("0.0.0.0")));
        assert!(same_address(address("::ffff:127.0.0.1"), address("127.0.0.1")));
        assert!(!same_address(address("0.0.0.0"), address("::1")));
        assert!(!same_address(address("127.0.0.1"), address("127.0.0.2")));
    }
}
