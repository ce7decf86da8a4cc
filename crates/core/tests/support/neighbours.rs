//! 21 applications that share one Gateway, and another Gateway of another class beside it.
//!
//! Each application has a namespace, a TLS listener that ends TLS with its own Secret, HTTPS listeners, one of them for clients with
//! certificates, a passthrough listener, a TLSRoute, an HTTPRoute and a GRPCRoute, a ReferenceGrant, and three Services with EndpointSlices
//! and BackendTLSPolicies, whose authorities are in a ConfigMap, a Secret and a ClusterTrustBundle. The first one is the victim.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use sealway_api::{Kind, ObjectKey, Resource, Resources};
use sealway_provider::files::Loader;

pub(crate) const NEIGHBOURS: usize = 20;
pub(crate) const VICTIM: &str = "app-00";

/// 21 applications on one Gateway, and another Gateway beside it.
pub(crate) fn world() -> Resources {
    let pki = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/pki");
    let (_, loaded) = Loader::open(&[pki.join("secrets.yaml"), pki.join("authorities.yaml")]).expect("readable");
    let sample = &loaded.resources;
    let certificate = &sample.secrets[&ObjectKey::new("infra", "any-test")];
    let authorities = &sample.config_maps[&ObjectKey::new("infra", "ca")];
    let secret_authorities = &sample.secrets[&ObjectKey::new("infra", "ca-secret")];
    let bundle = &sample.cluster_trust_bundles[&ObjectKey::new("", "cluster-ca")];
    let mut resources = Resources::default();
    let mut listeners = String::new();
    let mut text = String::new();
    for number in 0..=NEIGHBOURS {
        let app = format!("app-{number:02}");
        let mut secret = (**certificate).clone();
        secret.metadata.name.clone_from(&app);
        resources.secrets.insert(secret.metadata.key(), Arc::new(secret));
        let mut map = (**authorities).clone();
        map.metadata.name = "app".to_owned();
        map.metadata.namespace = Some(app.clone());
        resources.config_maps.insert(map.metadata.key(), Arc::new(map));
        let mut secret = (**secret_authorities).clone();
        secret.metadata.name = "app".to_owned();
        secret.metadata.namespace = Some(app.clone());
        resources.secrets.insert(secret.metadata.key(), Arc::new(secret));
        let mut bundle = (**bundle).clone();
        bundle.metadata.name.clone_from(&app);
        resources
            .cluster_trust_bundles
            .insert(bundle.metadata.key(), Arc::new(bundle));
        let port = if app == VICTIM { "9443" } else { "9444" };
        write!(listeners, "{}", LISTENERS.replace("APP", &app).replace("PORT", port)).expect("text");
        write!(text, "{}", APPLICATION.replace("APP", &app)).expect("text");
    }
    for name in ["clients", "clients-of-victim"] {
        let mut map = (*sample.config_maps[&ObjectKey::new("infra", "ca-crl")]).clone();
        map.metadata.name = name.to_owned();
        resources.config_maps.insert(map.metadata.key(), Arc::new(map));
    }
    let mut own = (*sample.secrets[&ObjectKey::new("infra", "good")]).clone();
    own.metadata.name = "gateway".to_owned();
    resources.secrets.insert(own.metadata.key(), Arc::new(own));
    let text = format!("{}{text}", GATEWAYS.replace("LISTENERS", &listeners));
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{error}"));
    for document in documents {
        let kind = Kind::from(document["kind"].as_str().expect("kind"));
        let resource = Resource::read(&kind, document).expect("a kind that is read");
        resources.insert(resource.unwrap_or_else(|error| panic!("{error}")));
    }
    resources
}

const GATEWAYS: &str = r#"
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "sealway"}, "spec": {"controllerName": "sealway.dev/gateway-controller"}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "other"}, "spec": {"controllerName": "sealway.dev/gateway-controller"}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "other", "namespace": "infra"}, "spec": {"gatewayClassName": "other",
 "listeners": [{"name": "tls", "port": 10443, "protocol": "TLS", "tls": {"mode": "Passthrough"}}]}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra"}, "spec": {"gatewayClassName": "sealway",
 "tls": {"backend": {"clientCertificateRef": {"name": "gateway"}}, "frontend": {"default": {}, "perPort": [
  {"port": 9443, "tls": {"validation": {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "clients-of-victim"}]}}},
  {"port": 9444, "tls": {"validation": {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "clients"}]}}}]}},
 "listeners": [LISTENERS]}}
"#;

/// Of one application; more than the 64 that the API server takes of one Gateway, which is all the same to the compiler.
const LISTENERS: &str = r#"
{"name": "APP-ends", "hostname": "APP.ends.test", "port": 443, "protocol": "TLS", "tls": {"mode": "Terminate", "certificateRefs": [{"name": "APP"}]}, "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"app": "APP"}}}}},
{"name": "APP-passes", "hostname": "APP.passes.test", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}, "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"app": "APP"}}}}},
{"name": "APP-https", "hostname": "APP.https.test", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "APP"}]}, "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"app": "APP"}}}}},
{"name": "APP-grpc", "hostname": "APP.grpc.test", "port": 8443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "APP"}]}, "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"app": "APP"}}}}},
{"name": "APP-clients", "hostname": "APP-clients.https.test", "port": PORT, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "APP"}]}, "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"app": "APP"}}}}},
"#;

const APPLICATION: &str = r#"
---
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "APP", "labels": {"app": "APP"}}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "TLSRoute", "metadata": {"name": "app", "namespace": "APP"}, "spec": {"parentRefs": [{"name": "edge", "namespace": "infra"}],
 "hostnames": ["APP.ends.test", "APP.passes.test"], "rules": [{"backendRefs": [{"name": "app", "port": 443}, {"name": "APP", "namespace": "far", "port": 443}]}]}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "app", "namespace": "APP"}, "spec": {"parentRefs": [{"name": "edge", "namespace": "infra", "sectionName": "APP-https"}],
 "hostnames": ["APP.https.test"], "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [{"name": "app", "port": 443}, {"name": "by-secret", "port": 443}, {"name": "by-bundle", "port": 443}]}]}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"name": "app", "namespace": "APP"}, "spec": {"parentRefs": [{"name": "edge", "namespace": "infra", "sectionName": "APP-grpc"}],
 "hostnames": ["APP.grpc.test"], "rules": [{"backendRefs": [{"name": "app", "port": 443}]}]}}
---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app", "namespace": "APP"}, "spec": {"ports": [{"name": "tls", "port": 443}]}}
---
{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "app", "namespace": "APP", "labels": {"kubernetes.io/service-name": "app"}}, "addressType": "IPv4",
 "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"name": "tls", "port": 8443}]}
---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "APP", "namespace": "far"}, "spec": {"type": "ExternalName", "externalName": "192.0.2.1"}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "ReferenceGrant", "metadata": {"name": "APP", "namespace": "far"}, "spec": {
 "from": [{"group": "gateway.networking.k8s.io", "kind": "TLSRoute", "namespace": "APP"}], "to": [{"group": "", "kind": "Service", "name": "APP"}]}}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy", "metadata": {"name": "app", "namespace": "APP"}, "spec": {
 "targetRefs": [{"group": "", "kind": "Service", "name": "app"}], "validation": {"hostname": "APP.backend.test", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "app"}]}}}
---
{"apiVersion": "gateway.networking.x-k8s.io/v1alpha1", "kind": "XBackendTrafficPolicy", "metadata": {"name": "app", "namespace": "APP"}, "spec": {
 "targetRefs": [{"group": "", "kind": "Service", "name": "app"}], "retryConstraint": {"budget": {"percent": 10, "interval": "1m"}}}}
---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "by-secret", "namespace": "APP"}, "spec": {"ports": [{"name": "tls", "port": 443}]}}
---
{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "by-secret", "namespace": "APP", "labels": {"kubernetes.io/service-name": "by-secret"}}, "addressType": "IPv4",
 "endpoints": [{"addresses": ["10.0.0.2"]}], "ports": [{"name": "tls", "port": 8443}]}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy", "metadata": {"name": "by-secret", "namespace": "APP"}, "spec": {
 "targetRefs": [{"group": "", "kind": "Service", "name": "by-secret"}], "validation": {"hostname": "APP.backend.test", "caCertificateRefs": [{"group": "", "kind": "Secret", "name": "app"}]}}}
---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "by-bundle", "namespace": "APP"}, "spec": {"ports": [{"name": "tls", "port": 443}]}}
---
{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "by-bundle", "namespace": "APP", "labels": {"kubernetes.io/service-name": "by-bundle"}}, "addressType": "IPv4",
 "endpoints": [{"addresses": ["10.0.0.2"]}], "ports": [{"name": "tls", "port": 8443}]}
---
{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy", "metadata": {"name": "by-bundle", "namespace": "APP"}, "spec": {
 "targetRefs": [{"group": "", "kind": "Service", "name": "by-bundle"}], "validation": {"hostname": "APP.backend.test", "caCertificateRefs": [{"group": "certificates.k8s.io", "kind": "ClusterTrustBundle", "name": "APP"}]}}}
"#;
