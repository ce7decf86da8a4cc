//! Which addresses a Gateway has, by what became of its Services.
//!
//! Input: the Services that are wanted, what is seen of them, the time. Output: addresses for `status`, the first that is not to be had,
//! and when waiting ends. Invariant: an address that was asked for is shown as it was written, and only once it has been assigned.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use sealway_api::{AddressType, GatewayAddress};

use super::services::CLUSTER;
use super::{ServiceType, WantedService};

/// How long an address that was asked for may take.
pub const ADDRESS_DEADLINE: SignedDuration = SignedDuration::from_secs(10);

/// What is seen of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenService {
    /// The API server refused it, as it does a `clusterIP` that is taken.
    Refused,
    /// It stands.
    Present {
        /// When it was made.
        created: Timestamp,
        /// `status.loadBalancer.ingress`: each entry's `ip`, or its `hostname`.
        ingress: Vec<String>,
        /// `spec.clusterIPs`, without `None`.
        cluster_ips: Vec<String>,
    },
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Sorted as the Services are, without repetition; at most 16, as the CRD has it.
    pub addresses: Vec<GatewayAddress>,
    /// An address that was refused or not assigned in time: AddressNotUsable.
    pub unusable: Option<String>,
    /// When an address that is awaited will be too late.
    pub wake_at: Option<Timestamp>,
}

const MOST_ADDRESSES: usize = 16;

/// A Service that is not in `seen` has not been made yet: it is waited for.
#[must_use]
pub fn reached(wanted: &[WantedService], seen: &BTreeMap<String, SeenService>, now: Timestamp) -> Reached {
    let mut reached = Reached::default();
    for service in wanted {
        let Some(state) = seen.get(&service.name) else { continue };
        let assigned = assigned(service.kind, state);
        let Some(requested) = &service.requested else {
            reached.addresses.extend(assigned);
            continue;
        };
        if assigned.iter().any(|address| is_same(&address.value, &requested.value)) {
            reached.addresses.push(requested.clone());
            continue;
        }
        let too_late = match state {
            SeenService::Refused => None,
            SeenService::Present { created, .. } => created.checked_add(ADDRESS_DEADLINE).ok(),
        };
        match too_late {
            Some(deadline) if now < deadline => {
                reached.wake_at = Some(reached.wake_at.map_or(deadline, |earlier| earlier.min(deadline)));
            }
            _ => {
                reached.unusable.get_or_insert_with(|| requested.value.clone());
            }
        }
    }
    let mut shown = Vec::new();
    for address in reached.addresses {
        if !shown.contains(&address) && shown.len() < MOST_ADDRESSES {
            shown.push(address);
        }
    }
    reached.addresses = shown;
    reached
}

fn assigned(kind: ServiceType, state: &SeenService) -> Vec<GatewayAddress> {
    let SeenService::Present {
        ingress, cluster_ips, ..
    } = state
    else {
        return Vec::new();
    };
    let (values, routability) = match kind {
        ServiceType::LoadBalancer => (ingress, ""),
        ServiceType::NodePort | ServiceType::ClusterIp => (cluster_ips, CLUSTER),
    };
    let address = |value: &String| GatewayAddress {
        kind: if value.parse::<IpAddr>().is_ok() {
            AddressType::IpAddress
        } else {
            AddressType::Hostname
        },
        value: value.clone(),
        routability: routability.to_owned(),
    };
    values.iter().map(address).collect()
}

/// IPv6 addresses can be written in several ways.
fn is_same(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}
