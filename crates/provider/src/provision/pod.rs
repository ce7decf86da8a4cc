//! The Deployment of a Gateway's proxies.
//!
//! Invariant: pods that the restricted Pod Security Standard admits, which have no token for the API server; the only token that they
//! hold is meant for the feed.

use serde_json::{Value, json};

use super::metadata::Metadata;
use super::{ADMIN_PORT, HEALTH_PORT, Installation, Parameters};

/// Audience of the token that a proxy shows to the feed.
const AUDIENCE: &str = "sealway.dev/feed";
/// Between the end of readiness and the first connection that is refused: load balancers take a while.
const SETTLE_SECONDS: u32 = 5;
const USER: u32 = 65_532;

pub(super) fn deployment(metadata: &Metadata<'_>, parameters: &Parameters, installation: &Installation) -> Value {
    let name = metadata.name();
    let mut spec = json!({
        "selector": { "matchLabels": metadata.selector() },
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
        "template": {
            "metadata": { "labels": metadata.labels, "annotations": metadata.annotations },
            "spec": pod(metadata, parameters, installation),
        },
    });
    // The autoscaler's field then; whoever applies it takes it away.
    if parameters.max_replicas.is_none() {
        spec["replicas"] = json!(parameters.replicas);
    }
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata.of(name), "spec": spec })
}

fn pod(metadata: &Metadata<'_>, parameters: &Parameters, installation: &Installation) -> Value {
    let spread = |key: &str| {
        json!({
            "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": metadata.selector() },
        })
    };
    json!({
        "serviceAccountName": metadata.name(),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": parameters.drain_seconds + 2 * SETTLE_SECONDS,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
            // Always: a listener below 1024 that comes later must not restart the proxies.
            "sysctls": [{ "name": "net.ipv4.ip_unprivileged_port_start", "value": "0" }],
        },
        "topologySpreadConstraints": [spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")],
        "containers": [container(metadata, parameters, installation)],
        "volumes": [
            { "name": "feed-ca", "configMap": { "name": metadata.name() } },
            { "name": "feed-token", "projected": { "sources": [{ "serviceAccountToken": {
                "audience": AUDIENCE, "expirationSeconds": 3600, "path": "token",
            } }] } },
            // Keys lie in it: memory only.
            { "name": "kept", "emptyDir": { "medium": "Memory", "sizeLimit": "128Mi" } },
        ],
    })
}

fn container(metadata: &Metadata<'_>, parameters: &Parameters, installation: &Installation) -> Value {
    let key = metadata.gateway().metadata.key();
    let mut arguments = vec!["proxy".to_owned(), format!("--gateway={}/{}", key.namespace, key.name)];
    arguments.extend(installation.feed.iter().map(|address| format!("--feed={address}")));
    arguments.extend([
        "--feed-ca=/etc/sealway/feed/ca.crt".to_owned(),
        "--feed-token=/var/run/secrets/sealway.dev/feed/token".to_owned(),
        "--keep=/var/lib/sealway".to_owned(),
        format!("--health=[::]:{HEALTH_PORT}"),
        format!("--admin=127.0.0.1:{ADMIN_PORT}"),
        format!("--rejections={}", installation.rejections),
        format!("--drain-timeout={}s", parameters.drain_seconds),
    ]);
    let probe = |path: &str, failures: u32| json!({ "httpGet": { "path": path, "port": "health" }, "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": failures });
    let mount = |name: &str, path: &str, read_only: bool| json!({ "name": name, "mountPath": path, "readOnly": read_only });
    json!({
        "name": "proxy",
        "image": parameters.image.as_ref().unwrap_or(&installation.image),
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "ports": [{ "name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP" }],
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        },
        "resources": { "requests": parameters.requests, "limits": parameters.limits },
        "readinessProbe": probe("/readyz", 1),
        "livenessProbe": probe("/livez", 6),
        // An action of the kubelet: the image holds no shell.
        "lifecycle": { "preStop": { "sleep": { "seconds": SETTLE_SECONDS } } },
        "volumeMounts": [
            mount("feed-ca", "/etc/sealway/feed", true),
            mount("feed-token", "/var/run/secrets/sealway.dev/feed", true),
            mount("kept", "/var/lib/sealway", false),
        ],
    })
}
