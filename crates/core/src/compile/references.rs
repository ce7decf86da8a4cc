//! Pass 6: references around the routes, checked for the reader's sake: issuers, what Deployments mount.
//!
//! Nothing here changes what is served. A thing that something else in the manifests will make (a Certificate its Secret, a Bundle its
//! ConfigMaps) counts as there.

use sealway_api::{Kind, ObjectKey, ObjectRef, Resources};

use super::certificates::issued_by;
use super::world::World;
use crate::problem::Cause;

/// Runs every check.
pub(super) fn check(world: &mut World<'_>) {
    issuers(world);
    certificates(world);
    deployments(world);
}

fn issuers(world: &mut World<'_>) {
    let namespaced = world
        .resources
        .issuers
        .iter()
        .map(|(key, issuer)| (ObjectRef::of(Kind::Issuer, key), issuer));
    let cluster = world
        .resources
        .cluster_issuers
        .iter()
        .map(|(key, issuer)| (ObjectRef::of(Kind::ClusterIssuer, key), issuer));
    let all: Vec<_> = namespaced.chain(cluster).collect();
    for (object, issuer) in all {
        let Some(ca) = &issuer.spec.ca else { continue };
        // cert-manager reads a ClusterIssuer's Secrets from its cluster resource namespace.
        let namespace = if object.kind == Kind::Issuer {
            object.key.namespace.as_str()
        } else {
            "cert-manager"
        };
        let secret = ObjectKey::new(namespace, &ca.secret_name);
        let reference = ObjectRef::of(Kind::Secret, &secret);
        if !exists(world.resources, &reference) {
            let cause = world.absence(&reference, Cause::IssuerSecretMissing { secret });
            world.report(&object, "spec.ca.secretName", cause);
        }
    }
}

fn certificates(world: &mut World<'_>) {
    for (key, certificate) in &world.resources.certificates {
        let reference = &certificate.spec.issuer_ref;
        if reference
            .group
            .as_deref()
            .is_some_and(|group| !group.is_empty() && group != "cert-manager.io")
        {
            continue;
        }
        let kind = Kind::from(reference.kind.as_deref().unwrap_or("Issuer"));
        let namespace = if kind.is_cluster_scoped() {
            ""
        } else {
            key.namespace.as_str()
        };
        let issuer = ObjectRef::new(kind, namespace, &reference.name);
        if world.resources.contains(&issuer) {
            continue;
        }
        let cluster = world
            .resources
            .cluster_issuers
            .keys()
            .map(|key| ObjectRef::of(Kind::ClusterIssuer, key));
        let namespaced = world.resources.issuers.keys().map(|key| ObjectRef::of(Kind::Issuer, key));
        let elsewhere = cluster
            .chain(namespaced)
            .filter(|other| other.key.name == reference.name)
            .collect();
        let object = ObjectRef::of(Kind::Certificate, key);
        let cause = world.absence(&issuer.clone(), Cause::IssuerNotFound { issuer, elsewhere });
        world.report(&object, "spec.issuerRef.name", cause);
    }
}

fn deployments(world: &mut World<'_>) {
    for (key, deployment) in &world.resources.deployments {
        let object = ObjectRef::of(Kind::Deployment, key);
        if deployment.spec.selector.is_none() {
            world.report(&object, "spec", Cause::SelectorAbsent);
        }
        for (position, volume) in deployment.spec.template.spec.volumes.iter().enumerate() {
            let secret = volume.secret.as_ref().filter(|secret| !secret.optional);
            let config_map = volume.config_map.as_ref().filter(|config_map| !config_map.optional);
            let mounts = [
                secret.map(|secret| (Kind::Secret, &secret.secret_name, "secret.secretName")),
                config_map.map(|config_map| (Kind::ConfigMap, &config_map.name, "configMap.name")),
            ];
            for (kind, name, part) in mounts.into_iter().flatten() {
                let reference = ObjectRef::new(kind, &key.namespace, name);
                if exists(world.resources, &reference) {
                    continue;
                }
                let other_kind = if reference.kind == Kind::Secret {
                    Kind::ConfigMap
                } else {
                    Kind::Secret
                };
                let other = ObjectRef::of(other_kind, &reference.key);
                let instead = (exists(world.resources, &other)).then_some(other);
                let field = format!("spec.template.spec.volumes[{position}].{part}");
                let cause = Cause::MountMissing {
                    policy: taken_for_config_map(world.resources, &reference),
                    reference: reference.clone(),
                    instead,
                };
                let cause = world.absence(&reference, cause);
                world.report(&object, field, cause);
            }
        }
    }
}

/// A policy that takes the name of a Secret for that of a ConfigMap: of a CA, then, which needs no Secret.
fn taken_for_config_map(resources: &Resources, reference: &ObjectRef) -> Option<ObjectKey> {
    let mut policies = resources
        .backend_tls_policies
        .iter()
        .filter(|_| reference.kind == Kind::Secret);
    let (key, _) = policies.find(|(_, policy)| {
        let mut authorities = policy.spec.validation.ca_certificate_refs.iter();
        authorities.any(|ca| ca.name == reference.key.name && ca.kind.as_deref() == Some("ConfigMap"))
    })?;
    Some(key.clone())
}

/// Whether a Secret or ConfigMap is there, or something in the manifests will make it.
fn exists(resources: &Resources, reference: &ObjectRef) -> bool {
    resources.contains(reference)
        || (reference.kind == Kind::Secret && issued_by(resources, &reference.key).is_some())
        || bundled(resources, reference)
}

/// Whether a Bundle is to write it.
pub(super) fn bundled(resources: &Resources, reference: &ObjectRef) -> bool {
    resources
        .bundles
        .get(&ObjectKey::new("", &reference.key.name))
        .is_some_and(|bundle| {
            let target = &bundle.spec.target;
            let writes = match reference.kind {
                Kind::ConfigMap => target.config_map.is_some(),
                Kind::Secret => target.secret.is_some(),
                _ => false,
            };
            let selected = target.namespace_selector.as_ref();
            writes && selected.is_none_or(|selector| selector.matches(&resources.namespace_labels(&reference.key.namespace)))
        })
}
