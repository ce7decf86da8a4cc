//! What a Gateway needs in a cluster: the objects that carry its proxies, and the addresses by which they are reached.
//!
//! Input: a Gateway, its parameters, the ports of all its listeners, [`Installation`]. Output: objects for server-side apply under
//! [`FIELD_MANAGER`], what is to go, and addresses for `status`. Invariant: pure and total; equal input gives equal bytes; every object
//! stands in the Gateway's namespace, is owned by it and carries its name as a label.

mod addresses;
mod changes;
mod metadata;
mod parameters;
mod pod;
mod services;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use sealway_api::Gateway;
use sealway_core::Transport;
use serde_json::{Value, json};

pub use addresses::{ADDRESS_DEADLINE, Reached, SeenService, reached};
pub use changes::{Changes, Identity, Present, changes};
pub use parameters::{Parameters, ParametersFault, ServiceType, TrafficPolicy};
pub use services::{WantedService, wanted_services};

use metadata::Metadata;

/// Under which our fields are applied.
pub const FIELD_MANAGER: &str = "sealway.dev/gateway-controller";
/// Label with the Gateway's name, shortened if need be (GEP-1762).
pub const GATEWAY_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";
/// Label with the GatewayClass' name, shortened if need be.
pub const GATEWAY_CLASS_LABEL: &str = "gateway.networking.k8s.io/gateway-class-name";
/// Where a proxy answers kubelets and load balancers; no listener may have it.
pub const HEALTH_PORT: u16 = 15021;
/// Where a proxy answers its administrators, on loopback; no listener may have it.
pub const ADMIN_PORT: u16 = 15000;

/// The same for every Gateway of one controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Image of the proxies, unless parameters name another.
    pub image: String,
    /// Version of Sealway, for labels.
    pub version: String,
    /// Controllers that serve the feed, each as HOST:PORT.
    pub feed: Vec<String>,
    /// PEM: the authorities of the feed's certificate.
    pub feed_ca: String,
    /// `alert` or `close`.
    pub rejections: String,
}

/// Name of the ServiceAccount of a Gateway's proxies.
#[must_use]
pub fn service_account(gateway: &Gateway) -> String {
    metadata::name(gateway)
}

/// Value of [`GATEWAY_NAME_LABEL`] or [`GATEWAY_CLASS_LABEL`] for a Gateway or a class of this name.
#[must_use]
pub fn label_value(name: &str) -> String {
    metadata::fitted(name)
}

/// The objects of one Gateway, in the order in which they are best applied. `ports`: of all its listeners, those of ListenerSets too.
#[must_use]
pub fn provision(
    gateway: &Gateway,
    parameters: &Parameters,
    ports: &BTreeSet<(Transport, u16)>,
    installation: &Installation,
) -> Vec<Value> {
    let metadata = Metadata::new(gateway, &installation.version);
    let name = metadata.name();
    let mut objects = vec![
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata.of(name),
            "automountServiceAccountToken": false,
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata.of(name),
            "data": { "ca.crt": installation.feed_ca },
        }),
    ];
    let wanted = wanted_services(gateway, parameters);
    objects.extend(
        wanted
            .iter()
            .filter_map(|service| services::object(service, &metadata, parameters, ports)),
    );
    objects.push(pod::deployment(&metadata, parameters, installation));
    objects.push(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata.of(name),
        "spec": {
            // At least one would keep a node with the only proxy from being drained for ever.
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": { "matchLabels": metadata.selector() },
        },
    }));
    if let Some(maximum) = parameters.max_replicas {
        objects.push(json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata.of(name),
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
                "minReplicas": parameters.min_replicas.unwrap_or(parameters.replicas).min(maximum),
                "maxReplicas": maximum,
                "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": {
                    "type": "Utilization", "averageUtilization": parameters.target_cpu_utilization,
                } } }],
            },
        }));
    }
    objects
}
