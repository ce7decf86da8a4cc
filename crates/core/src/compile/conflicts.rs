//! Pass 3: listeners that cannot share a port.
//!
//! Between objects the better rank wins: the Gateway's own listeners, then ListenerSets by age. Inside one object all of them lose
//! (apis/v1/gateway_types.go, "Handling indistinct Listeners"). Rule by rule: TCP beside HTTP, HTTPS or TLS, and HTTP beside HTTPS or TLS
//! → ProtocolConflict; equal hostnames among HTTPS and TLS, or among HTTP → HostnameConflict; TCP twice or UDP twice → ListenerConflict.
//! Invariant: who loses to a better rank claims nothing, and takes no neighbour with it; who loses inside its own object goes on claiming.

use std::collections::BTreeMap;

use sealway_api::Protocol;

use super::world::{GatewayWork, ListenerWork, World};
use crate::hostname::HostnamePattern;
use crate::problem::Cause;
use crate::snapshot::PortKey;

/// Marks every listener that loses to another one of its Gateway.
pub(super) fn find(world: &mut World<'_>, gateway: &mut GatewayWork<'_>) {
    let mut claims = Claims::default();
    let mut found: Vec<(usize, Conflict)> = Vec::new();
    let mut start = 0;
    for rank in gateway.listeners.chunk_by(|one, two| one.rank == two.rank) {
        let (lost, contenders): (Vec<_>, Vec<_>) = (rank.iter().enumerate())
            .map(|(position, work)| (position, work, claims.beat(&gateway.listeners, work)))
            .partition(|(_, _, conflict)| conflict.is_some());
        let contenders: Vec<(usize, &ListenerWork<'_>)> =
            contenders.into_iter().map(|(position, work, _)| (position, work)).collect();
        let lost = lost
            .into_iter()
            .filter_map(|(position, _, conflict)| Some((start + position, conflict?)));
        let among = contenders.iter().filter_map(|(position, work)| {
            let others = contenders
                .iter()
                .map(|(_, other)| *other)
                .filter(|other| !std::ptr::eq(*other, *work));
            Some((start + position, conflict(work, others, false)?))
        });
        found.extend(lost.chain(among));
        for (position, work) in contenders {
            claims.enter(start + position, work);
        }
        start += rank.len();
    }
    for (position, conflict) in found {
        let Some(work) = gateway.listeners.get_mut(position) else {
            continue;
        };
        let Conflict { cause, field, is_beaten } = conflict;
        world.report(&work.owner, format!("{}.{field}", work.field), cause.clone());
        work.refused = Some(cause);
        work.conflicted = true;
        work.beaten = is_beaten;
    }
}

/// Why a listener loses.
struct Conflict {
    cause: Cause,
    /// The field that it is about.
    field: &'static str,
    /// By an object that comes first, which keeps what it has.
    is_beaten: bool,
}

/// What speaks on a port; a protocol that nobody knows claims nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Http,
    Tls,
    Tcp,
    Udp,
}

impl Family {
    /// TCP and UDP have no names: a hostname there is ignored (apis/v1/gateway_types.go, Hostname).
    fn has_names(self) -> bool {
        matches!(self, Self::Http | Self::Tls)
    }
}

fn family(work: &ListenerWork<'_>) -> Option<Family> {
    match work.listener.protocol {
        Protocol::Http => Some(Family::Http),
        Protocol::Https | Protocol::Tls => Some(Family::Tls),
        Protocol::Tcp => Some(Family::Tcp),
        Protocol::Udp => Some(Family::Udp),
        Protocol::Other(_) => None,
    }
}

/// What the ranks so far have claimed, by position: of each family on a port those of the best rank that has any, of each name all.
#[derive(Default)]
struct Claims {
    families: BTreeMap<(PortKey, Family), (usize, Vec<usize>)>,
    names: BTreeMap<(PortKey, Family, HostnamePattern), Vec<usize>>,
}

impl Claims {
    fn enter(&mut self, position: usize, work: &ListenerWork<'_>) {
        let Some(family) = family(work) else { return };
        let port = work.port_key();
        let (rank, holders) = self.families.entry((port, family)).or_insert((work.rank, Vec::new()));
        if *rank == work.rank {
            holders.push(position);
        }
        if family.has_names() {
            let holders = self.names.entry((port, family, work.hostname.clone())).or_default();
            holders.push(position);
        }
    }

    /// Whether a listener of a later rank loses to what is claimed.
    fn beat(&self, all: &[ListenerWork<'_>], work: &ListenerWork<'_>) -> Option<Conflict> {
        let family = family(work)?;
        let port = work.port_key();
        // Of its own family those that have names are in its way by name only.
        let in_the_way = |other: &Family| *other != family || !family.has_names();
        let families = [Family::Http, Family::Tls, Family::Tcp, Family::Udp]
            .into_iter()
            .filter(in_the_way);
        let by_family = families.filter_map(|family| self.families.get(&(port, family)));
        let names = self.names.get(&(port, family, work.hostname.clone()));
        let holders = by_family.flat_map(|(_, holders)| holders).chain(names.into_iter().flatten());
        conflict(work, holders.filter_map(|position| all.get(*position)), true)
    }
}

/// Whether one loses to others that are all in its way; the protocol is told before the name.
fn conflict<'a>(
    one: &ListenerWork<'_>,
    others: impl Iterator<Item = &'a ListenerWork<'a>> + Clone,
    is_beaten: bool,
) -> Option<Conflict> {
    let family_of_one = family(one)?;
    let rivals = |clash: &dyn Fn(Family, &ListenerWork<'_>) -> bool| -> Vec<String> {
        let others = others.clone().filter(|two| two.port_key() == one.port_key());
        let clashing = others.filter(|two| family(two).is_some_and(|family| clash(family, two)));
        clashing.map(|two| two.name.clone()).collect()
    };
    let port = one.port();
    let protocol = rivals(&|family, _| family != family_of_one);
    if !protocol.is_empty() {
        let cause = Cause::ProtocolConflict {
            port,
            others: protocol,
            is_beaten,
        };
        return Some(Conflict {
            cause,
            field: "protocol",
            is_beaten,
        });
    }
    let same = rivals(&|family, two| family == family_of_one && (!family.has_names() || two.hostname == one.hostname));
    if same.is_empty() {
        return None;
    }
    let (cause, field) = if family_of_one.has_names() {
        let field = if one.listener.hostname.is_some() { "hostname" } else { "name" };
        let cause = Cause::HostnameConflict {
            hostname: one.hostname.to_string(),
            port,
            others: same,
            is_beaten,
        };
        (cause, field)
    } else {
        let others = same;
        (Cause::ListenerConflict { port, others, is_beaten }, "port")
    };
    Some(Conflict { cause, field, is_beaten })
}
