//! Pass 3: listeners that cannot share a port.
//!
//! Inside one Gateway (or one ListenerSet) all of them lose (apis/v1/gateway_types.go, "Handling indistinct Listeners"); between objects
//! the better rank wins. Rule by rule: TCP beside HTTP, HTTPS or TLS, and HTTP beside HTTPS or TLS → ProtocolConflict; equal hostnames among HTTPS and TLS,
//! or among HTTP → HostnameConflict; TCP twice or UDP twice → ListenerConflict.

use sealway_api::Protocol;

use super::world::{GatewayWork, ListenerWork, World};
use crate::problem::Cause;

/// Marks every listener that loses to another one of its Gateway.
pub(super) fn find(world: &mut World<'_>, gateway: &mut GatewayWork<'_>) {
    let causes: Vec<Option<(Cause, &'static str)>> = gateway
        .listeners
        .iter()
        .map(|one| conflict(one, &gateway.listeners))
        .collect();
    for (work, cause) in gateway.listeners.iter_mut().zip(causes) {
        let Some((cause, field)) = cause else { continue };
        world.report(&work.owner, format!("{}.{field}", work.field), cause.clone());
        work.refused = Some(cause);
        work.conflicted = true;
    }
}

/// What speaks on a port; a protocol that nobody knows claims nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Http,
    Tls,
    Tcp,
    Udp,
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

fn conflict(one: &ListenerWork<'_>, all: &[ListenerWork<'_>]) -> Option<(Cause, &'static str)> {
    let family_of_one = family(one)?;
    // Only those of the same or a better rank can make it lose.
    let rivals = |clash: &dyn Fn(Family, &ListenerWork<'_>) -> bool| -> Vec<String> {
        all.iter()
            .filter(|two| !std::ptr::eq(*two, one) && two.rank <= one.rank)
            .filter(|two| two.port() == one.port() && two.transport == one.transport)
            .filter(|two| family(two).is_some_and(|family| clash(family, two)))
            .map(|two| two.listener.name.clone())
            .collect()
    };
    let port = one.port();
    let protocol = rivals(&|family, _| family != family_of_one);
    if !protocol.is_empty() {
        return Some((Cause::ProtocolConflict { port, others: protocol }, "protocol"));
    }
    // TCP and UDP have no names: a hostname there is ignored (apis/v1/gateway_types.go, Hostname).
    let nameless = matches!(family_of_one, Family::Tcp | Family::Udp);
    let same = rivals(&|family, two| family == family_of_one && (nameless || two.hostname == one.hostname));
    if same.is_empty() {
        return None;
    }
    Some(match family_of_one {
        Family::Tcp | Family::Udp => (Cause::ListenerConflict { port, others: same }, "port"),
        Family::Http | Family::Tls => {
            let field = if one.listener.hostname.is_some() { "hostname" } else { "name" };
            (
                Cause::HostnameConflict {
                    hostname: one.hostname.to_string(),
                    port,
                    others: same,
                },
                field,
            )
        }
    })
}
