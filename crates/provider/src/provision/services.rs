//! The Services before a Gateway: one for all addresses of our choice, one for each that was asked for.
//!
//! TCP and UDP ports stand in one Service (mixed protocols, Kubernetes 1.26 and later). An address is asked for by
//! `spec.loadBalancerIP`, which Kubernetes calls deprecated but MetalLB, kube-vip, Cilium and the clouds still honour; MetalLB refuses
//! a Service that has its annotation as well, so there is none.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sealway_api::{AddressType, Gateway, GatewayAddress};
use sealway_core::Transport;
use serde_json::{Value, json};

use super::metadata::{Metadata, name, suffixed};
use super::{Parameters, ServiceType, TrafficPolicy};

/// A Service that is to be, and which of the Gateway's addresses it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedService {
    /// Its name; changes with the requested address, so that its creation is when the address was asked for.
    pub name: String,
    /// Its type.
    pub kind: ServiceType,
    /// The address that must come; `None`: any.
    pub requested: Option<GatewayAddress>,
}

/// One for each distinct request, sorted by name. Addresses of unknown types ask for nothing: the compiler refuses their Gateway.
#[must_use]
pub fn wanted_services(gateway: &Gateway, parameters: &Parameters) -> Vec<WantedService> {
    let stem = name(gateway);
    let any = |kind, name| WantedService {
        name,
        kind,
        requested: None,
    };
    let of = |address: &GatewayAddress| {
        let in_cluster = address.routability == CLUSTER;
        match (&address.kind, in_cluster, address.value.is_empty()) {
            (AddressType::IpAddress | AddressType::Hostname, false, true) => Some(any(parameters.service_type, stem.clone())),
            (AddressType::IpAddress, true, true) => Some(any(ServiceType::ClusterIp, suffixed(&stem, CLUSTER))),
            (AddressType::IpAddress, true, false) => Some(requested(&stem, ServiceType::ClusterIp, address)),
            (AddressType::IpAddress | AddressType::Hostname, false, false) => {
                Some(requested(&stem, ServiceType::LoadBalancer, address))
            }
            _ => None,
        }
    };
    let mut services: Vec<_> = gateway.spec.addresses.iter().filter_map(of).collect();
    if gateway.spec.addresses.is_empty() {
        services.push(any(parameters.service_type, stem));
    }
    services.sort_by(|one, other| one.name.cmp(&other.name));
    services.dedup();
    services
}

/// Routability of addresses inside the cluster.
pub(super) const CLUSTER: &str = "Cluster";

fn requested(stem: &str, kind: ServiceType, address: &GatewayAddress) -> WantedService {
    let whole = format!("{}/{}/{}", address.kind, address.value, address.routability);
    WantedService {
        name: suffixed(stem, &whole),
        kind,
        requested: Some(address.clone()),
    }
}

/// `None` without ports: an API server takes no Service without one.
pub(super) fn object(
    wanted: &WantedService,
    metadata: &Metadata<'_>,
    parameters: &Parameters,
    ports: &BTreeSet<(Transport, u16)>,
) -> Option<Value> {
    if ports.is_empty() {
        return None;
    }
    let port = |&(transport, port): &(Transport, u16)| {
        let (prefix, protocol) = match transport {
            Transport::Tcp => ("tcp", "TCP"),
            Transport::Udp => ("udp", "UDP"),
        };
        json!({ "name": format!("{prefix}-{port}"), "protocol": protocol, "port": port, "targetPort": port })
    };
    let mut spec = json!({
        "type": match wanted.kind {
            ServiceType::LoadBalancer => "LoadBalancer",
            ServiceType::NodePort => "NodePort",
            ServiceType::ClusterIp => "ClusterIP",
        },
        "selector": metadata.selector(),
        "ports": ports.iter().map(port).collect::<Vec<_>>(),
        "ipFamilyPolicy": "PreferDualStack",
    });
    if wanted.kind != ServiceType::ClusterIp {
        spec["externalTrafficPolicy"] = json!(match parameters.external_traffic_policy {
            TrafficPolicy::Local => "Local",
            TrafficPolicy::Cluster => "Cluster",
        });
    }
    let address = wanted
        .requested
        .as_ref()
        .and_then(|address| address.value.parse::<IpAddr>().ok());
    if let Some(address) = address {
        let field = if wanted.kind == ServiceType::ClusterIp {
            "clusterIP"
        } else {
            "loadBalancerIP"
        };
        spec[field] = json!(address.to_string());
        // One address is of one family.
        spec["ipFamilyPolicy"] = json!("SingleStack");
        spec["ipFamilies"] = json!([if address.is_ipv4() { "IPv4" } else { "IPv6" }]);
    }
    let mut head = metadata.of(&wanted.name);
    let mut annotations = parameters.service_annotations.clone();
    annotations.extend(metadata.annotations.clone());
    head["annotations"] = json!(annotations);
    Some(json!({ "apiVersion": "v1", "kind": "Service", "metadata": head, "spec": spec }))
}
