//! Which Secrets and ConfigMaps the other resources refer to.
//!
//! Job: the least that has to be read. Whether a reference is permitted is the compiler's to say. Input: resources and the name of the
//! controller whose classes count. Output: references, whether or not the objects exist.

use std::collections::BTreeSet;

use sealway_api::{Gateway, GatewayClass, Kind, Listener, ObjectKey, ObjectRef, Resources, SecretRef};

/// Every Secret and ConfigMap that a Gateway, ListenerSet, BackendTLSPolicy, XBackend or GatewayClass of `controller` names.
#[must_use]
pub fn referenced(resources: &Resources, controller: &str) -> BTreeSet<ObjectRef> {
    let mut found = BTreeSet::new();
    let is_ours = |class: &GatewayClass| class.spec.controller_name == controller;
    for class in resources.gateway_classes.values().filter(|class| is_ours(class)) {
        if let Some(parameters) = &class.spec.parameters_ref
            && let Some(namespace) = &parameters.namespace
        {
            add(&mut found, &parameters.group, &parameters.kind, namespace, &parameters.name);
        }
    }
    let is_of_ours = |gateway: &Gateway| {
        let class = resources
            .gateway_classes
            .get(&ObjectKey::new("", &gateway.spec.gateway_class_name));
        class.is_some_and(|class| is_ours(class))
    };
    for (key, gateway) in resources.gateways.iter().filter(|(_, gateway)| is_of_ours(gateway)) {
        of_gateway(&mut found, &key.namespace, gateway);
    }
    for (key, set) in &resources.listener_sets {
        let parent = &set.spec.parent_ref;
        let namespace = parent.namespace.as_deref().unwrap_or(&key.namespace);
        let gateway = resources.gateways.get(&ObjectKey::new(namespace, &parent.name));
        if gateway.is_some_and(|gateway| is_of_ours(gateway)) {
            of_listeners(&mut found, &key.namespace, &set.spec.listeners);
        }
    }
    for (key, policy) in &resources.backend_tls_policies {
        of_references(&mut found, &key.namespace, &policy.spec.validation.ca_certificate_refs);
    }
    for (key, backend) in &resources.x_backends {
        let validation = backend.spec.tls.as_ref().and_then(|tls| tls.validation.as_ref());
        let authorities = validation.into_iter().flat_map(|validation| &validation.ca_certificate_refs);
        of_references(&mut found, &key.namespace, authorities);
    }
    found
}

fn of_gateway(found: &mut BTreeSet<ObjectRef>, namespace: &str, gateway: &Gateway) {
    of_listeners(found, namespace, &gateway.spec.listeners);
    if let Some(tls) = &gateway.spec.tls {
        let certificate = tls
            .backend
            .as_ref()
            .and_then(|backend| backend.client_certificate_ref.as_ref());
        of_references(found, namespace, certificate);
        if let Some(frontend) = &tls.frontend {
            let settings = std::iter::once(&frontend.default).chain(frontend.per_port.iter().map(|port| &port.tls));
            for validation in settings.filter_map(|settings| settings.validation.as_ref()) {
                of_references(found, namespace, &validation.ca_certificate_refs);
            }
        }
    }
    let parameters = gateway
        .spec
        .infrastructure
        .as_ref()
        .and_then(|infrastructure| infrastructure.parameters_ref.as_ref());
    if let Some(parameters) = parameters {
        add(found, &parameters.group, &parameters.kind, namespace, &parameters.name);
    }
}

fn of_listeners(found: &mut BTreeSet<ObjectRef>, namespace: &str, listeners: &[Listener]) {
    for tls in listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        of_references(found, namespace, &tls.certificate_refs);
    }
}

fn of_references<'refs>(found: &mut BTreeSet<ObjectRef>, from: &str, references: impl IntoIterator<Item = &'refs SecretRef>) {
    for reference in references {
        let namespace = reference.namespace.as_deref().unwrap_or(from);
        add(found, reference.group(), reference.kind(), namespace, &reference.name);
    }
}

fn add(found: &mut BTreeSet<ObjectRef>, group: &str, kind: &str, namespace: &str, name: &str) {
    let kind = match (group, kind) {
        ("" | "core", "Secret") => Kind::Secret,
        ("" | "core", "ConfigMap") => Kind::ConfigMap,
        _ => return,
    };
    found.insert(ObjectRef::new(kind, namespace, name));
}

#[cfg(test)]
mod tests {
    use sealway_api::Resource;
    use serde_json::{Value, json};

    use super::*;

    fn resources(objects: &[(Kind, Value)]) -> Resources {
        let mut resources = Resources::default();
        for (kind, object) in objects {
            resources.insert(Resource::read(kind, object).expect("a kind that is read").expect("an object"));
        }
        resources
    }

    fn world(controller: &str) -> Resources {
        resources(&[
            (
                Kind::GatewayClass,
                json!({"metadata": {"name": "c"}, "spec": {"controllerName": controller}}),
            ),
            (
                Kind::Gateway,
                json!({"metadata": {"namespace": "infra", "name": "edge"}, "spec": {
                    "gatewayClassName": "c",
                    "listeners": [{"name": "a", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [
                        {"name": "own"}, {"name": "far", "namespace": "certs"}, {"group": "x", "kind": "Other", "name": "o"}]}}],
                    "infrastructure": {"parametersRef": {"group": "", "kind": "ConfigMap", "name": "parameters"}},
                    "tls": {
                        "backend": {"clientCertificateRef": {"name": "client"}},
                        "frontend": {
                            "default": {"validation": {"caCertificateRefs": [{"kind": "ConfigMap", "group": "", "name": "clients"}]}},
                            "perPort": [{"port": 8443, "tls": {"validation": {"caCertificateRefs": [{"name": "others"}]}}}],
                        },
                    },
                }}),
            ),
            (
                Kind::ListenerSet,
                json!({"metadata": {"namespace": "team", "name": "set"}, "spec": {
                    "parentRef": {"name": "edge", "namespace": "infra"},
                    "listeners": [{"name": "b", "port": 443, "protocol": "TLS", "tls": {"certificateRefs": [{"name": "own"}]}}]}}),
            ),
            (
                Kind::BackendTlsPolicy,
                json!({"metadata": {"namespace": "team", "name": "p"}, "spec": {
                    "validation": {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}}}),
            ),
            (
                Kind::XBackend,
                json!({"metadata": {"namespace": "team", "name": "x"}, "spec": {"tls": {
                    "mode": "ServerOnly",
                    "validation": {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "partner-ca"}]}}}}),
            ),
        ])
    }

    #[test]
    fn every_place_that_names_a_secret_or_a_config_map_counts() {
        let found = referenced(&world("ours"), "ours");
        let names: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "ConfigMap infra/clients",
                "ConfigMap infra/parameters",
                "ConfigMap team/ca",
                "ConfigMap team/partner-ca",
                "Secret certs/far",
                "Secret infra/client",
                "Secret infra/others",
                "Secret infra/own",
                "Secret team/own",
            ]
        );
    }

    #[test]
    fn secrets_of_another_controllers_gateways_are_not_read() {
        let names: Vec<String> = referenced(&world("theirs"), "ours").iter().map(ToString::to_string).collect();
        assert_eq!(names, ["ConfigMap team/ca", "ConfigMap team/partner-ca"]);
    }
}
