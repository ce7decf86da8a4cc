//! Certificates that the gateway shows: those of listeners that end TLS, and its own towards backends.
//!
//! Input: `certificateRefs`, the Secrets, the time. Output: [`CertificateSlot`]s of a listener, and problems. A Secret that cannot be served refuses
//! only the names that are its own; one with a flaw is served and reported, for refusing it would be the outage.

use std::sync::Arc;

use sealway_api::{Kind, ObjectKey, ObjectRef, Resources, Secret, SecretRef};

use super::memory::KnownIdentity;
use super::options;
use super::world::{ListenerWork, World};
use crate::hostname::HostnamePattern;
use crate::pki::{Identity, IdentityFault, Variant};
use crate::problem::{Cause, CertificateFlaw, OcspFault};
use crate::snapshot::CertificateSlot;

/// Whom a certificate is shown to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// A reference that gives no certificate.
pub(super) struct Failure {
    /// The part of the reference to blame.
    pub(super) part: &'static str,
    pub(super) cause: Cause,
    /// Nobody's mistake: a condition says it, no problem does.
    pub(super) is_awaited: bool,
    pub(super) secret: ObjectKey,
    /// What the certificate would be for, if that can be read.
    pub(super) names: Option<Vec<HostnamePattern>>,
}

/// Reads the certificates and options of a listener that ends TLS; the first reference that is wrong becomes its ResolvedRefs.
pub(super) fn read(world: &mut World<'_>, work: &mut ListenerWork<'_>) {
    if !work.ends_tls() {
        return;
    }
    let Some(tls) = &work.listener.tls else {
        return refuse(world, work, "", Cause::TlsMissing);
    };
    let field = format!("{}.tls.options", work.field);
    match options::read(world, &work.owner, &field, &tls.options) {
        Ok(options) => work.options = options,
        // What was asked for cannot be had, and anything else may be weaker.
        Err(cause) => {
            work.refused.get_or_insert(cause);
        }
    }
    if tls.certificate_refs.is_empty() {
        return refuse(world, work, ".tls", Cause::CertificateRefMissing);
    }
    for (position, reference) in tls.certificate_refs.iter().enumerate() {
        let slot = match resolve(world, &work.owner, reference, Role::Server) {
            Ok(variant) => CertificateSlot::Served(variant.served),
            Err(failure) => {
                if failure.is_awaited {
                    work.unresolved.get_or_insert(failure.cause);
                } else {
                    let field = format!(".tls.certificateRefs[{position}]{}", failure.part);
                    refuse(world, work, &field, failure.cause);
                }
                CertificateSlot::Broken {
                    secret: failure.secret,
                    names: failure.names,
                }
            }
        };
        work.certificates.push(slot);
    }
}

fn refuse(world: &mut World<'_>, work: &mut ListenerWork<'_>, field: &str, cause: Cause) {
    world.report(&work.owner, format!("{}{field}", work.field), cause.clone());
    work.unresolved.get_or_insert(cause);
}

/// The certificate behind a reference of `from`; reports its flaws.
pub(super) fn resolve(world: &mut World<'_>, from: &ObjectRef, reference: &SecretRef, role: Role) -> Result<Variant, Failure> {
    let namespace = reference.namespace.as_deref().unwrap_or(&from.key.namespace);
    let secret = ObjectKey::new(namespace, &reference.name);
    let failure = |part, cause| Failure {
        part,
        cause,
        is_awaited: false,
        secret: secret.clone(),
        names: None,
    };
    if !reference.group().is_empty() || reference.kind() != "Secret" {
        let cause = Cause::CertificateRefKind {
            group: reference.group().to_owned(),
            kind: reference.kind().to_owned(),
        };
        return Err(failure(".kind", cause));
    }
    let to = ObjectRef::of(Kind::Secret, &secret);
    if !world.grants.permit(from, &to) {
        let cause = Cause::RefNotPermitted {
            from: from.clone(),
            nearest: world.grants.nearest(from, &to),
            to,
        };
        return Err(failure(".namespace", cause));
    }
    let resources = world.resources;
    let Some(found) = resources.secrets.get(&secret) else {
        let issuer = issued_by(resources, &secret);
        let is_awaited = issuer.is_some();
        let missing = Cause::CertificateSecretMissing {
            secret: secret.clone(),
            issuer,
        };
        return Err(Failure {
            is_awaited,
            ..failure(".name", world.absence(&to, missing))
        });
    };
    let known = known(world, &secret, found);
    match &known.found {
        Ok(identity) => {
            report_flaws(world, &to, identity, role);
            let variant = identity.at(world.observed.now).clone();
            world.keys.insert(variant.served.content, Arc::clone(&variant.key));
            Ok(variant)
        }
        Err(unusable) => {
            let secret = secret.clone();
            let cause = match unusable.fault {
                IdentityFault::KeyMismatch => Cause::CertificateKeyMismatch { secret },
                fault => Cause::CertificateSecretInvalid {
                    secret,
                    detail: fault.to_string(),
                },
            };
            Err(Failure {
                names: unusable.names.clone(),
                ..failure(".name", cause)
            })
        }
    }
}

/// What a Secret holds: worked out once for each content.
fn known(world: &mut World<'_>, key: &ObjectKey, secret: &Arc<Secret>) -> Arc<KnownIdentity> {
    if let Some(known) = world.memory.identities.get(key) {
        return Arc::clone(known);
    }
    let last = world.last.identities.get(key).filter(|last| last.is_of(secret));
    let known = last.cloned().unwrap_or_else(|| {
        Arc::new(KnownIdentity {
            source: Arc::clone(secret),
            found: Identity::read(key, &secret.data),
        })
    });
    world.memory.identities.insert(key.clone(), Arc::clone(&known));
    known
}

/// The Secret is to blame, so each flaw is told once, however many listeners serve it.
fn report_flaws(world: &mut World<'_>, secret: &ObjectRef, identity: &Identity, role: Role) {
    let now = world.observed.now;
    let mut flaws = identity.flaws.clone();
    for validity in &identity.validity {
        let subject = validity.subject.clone();
        if now < validity.not_before {
            let from = validity.not_before;
            flaws.push(CertificateFlaw::NotYetValid { subject, from });
        } else if validity.not_after <= now {
            let since = validity.not_after;
            flaws.push(CertificateFlaw::Expired { subject, since });
        }
        world.wake(validity.not_before);
        world.wake(validity.not_after);
    }
    match role {
        Role::Server if !identity.is_for_servers => flaws.push(CertificateFlaw::NotForServers),
        Role::Client if !identity.is_for_clients => flaws.push(CertificateFlaw::NotForClients),
        Role::Server | Role::Client => {}
    }
    if let Some(until) = identity.stapled_until() {
        if until <= now {
            let why = OcspFault::Expired(until);
            flaws.push(CertificateFlaw::OcspUnusable { why });
        }
        world.wake(until);
    }
    for flaw in flaws {
        let key = match &flaw {
            CertificateFlaw::OcspUnusable { .. } | CertificateFlaw::Revoked => "data[tls.ocsp-staple]",
            _ => "data[tls.crt]",
        };
        world.report(secret, key, Cause::CertificateFlawed { flaw });
    }
}

/// The Certificate that is to write a Secret.
pub(super) fn issued_by(resources: &Resources, secret: &ObjectKey) -> Option<ObjectRef> {
    resources
        .certificates
        .iter()
        .find(|(key, certificate)| key.namespace == secret.namespace && certificate.spec.secret_name == secret.name)
        .map(|(key, _)| ObjectRef::of(Kind::Certificate, key))
}
