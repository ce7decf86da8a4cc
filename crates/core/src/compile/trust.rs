//! Authorities that are believed: of clients (`spec.tls.frontend`) and of backends (BackendTLSPolicy).
//!
//! Input: `caCertificateRefs`, and revocation lists from elsewhere. Output: one [`TrustBundle`] of all that are good, the same `Arc` for
//! all who refer to the same, with the lists for which its authorities answer; and for each reference that is not good, why.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sealway_api::{Kind, ObjectKey, ObjectRef, Resources, SecretRef};

use super::certificates::issued_by;
use super::memory::{AuthoritySource, BundlePart, KnownAuthorities, KnownBundle, KnownLists};
use super::references;
use super::world::World;
use crate::pki::list::leads_to;
use crate::pki::{Authorities, content};
use crate::problem::{AuthorityFlaw, Cause};
use crate::revocation::{CrlFailure, ListSource, RevocationList};
use crate::snapshot::TrustBundle;

/// What a list of references comes to.
pub(super) struct Trust {
    /// Of the good references; `None` when there is none.
    pub(super) bundle: Option<Arc<TrustBundle>>,
    /// The first that is not good.
    pub(super) unresolved: Option<Cause>,
}

/// Reads the references that stand at `field` of `from`; reports what is wrong with them.
pub(super) fn read(world: &mut World<'_>, from: &ObjectRef, field: &str, references: &[SecretRef]) -> Trust {
    let mut good: Vec<(ObjectRef, Arc<KnownAuthorities>)> = Vec::new();
    let mut unresolved = None;
    for (position, reference) in references.iter().enumerate() {
        match resolve(world, from, reference) {
            Ok(found) if good.iter().any(|(known, _)| *known == found.0) => {}
            Ok(found) => good.push(found),
            Err((part, cause)) => {
                // What something else is to write is nobody's mistake: a condition says it, no problem does.
                if !matches!(cause, Cause::CaRefAwaited { .. }) {
                    world.report(from, format!("{field}[{position}]{part}"), cause.clone());
                }
                unresolved.get_or_insert(cause);
            }
        }
    }
    Trust {
        bundle: (!good.is_empty()).then(|| bundle(world, good)),
        unresolved,
    }
}

type Resolved = (ObjectRef, Arc<KnownAuthorities>);

fn resolve(world: &mut World<'_>, from: &ObjectRef, reference: &SecretRef) -> Result<Resolved, (&'static str, Cause)> {
    let kind = match (reference.group(), reference.kind()) {
        ("", "ConfigMap") => Kind::ConfigMap,
        ("", "Secret") => Kind::Secret,
        (group, "ClusterTrustBundle") if group == Kind::ClusterTrustBundle.group() => Kind::ClusterTrustBundle,
        (group, kind) => {
            let (group, kind) = (group.to_owned(), kind.to_owned());
            return Err((".kind", Cause::CaRefKind { group, kind }));
        }
    };
    let namespace = match (kind.is_cluster_scoped(), &from.kind) {
        (true, _) => "",
        // It refers to its own namespace only (LocalObjectReference).
        (false, Kind::BackendTlsPolicy | Kind::XBackend) => &from.key.namespace,
        (false, _) => reference.namespace.as_deref().unwrap_or(&from.key.namespace),
    };
    let object = ObjectRef::new(kind, namespace, &reference.name);
    if !object.kind.is_cluster_scoped() && !world.grants.permit(from, &object) {
        let cause = Cause::RefNotPermitted {
            from: from.clone(),
            nearest: world.grants.nearest(from, &object),
            to: object,
        };
        return Err((".namespace", cause));
    }
    let Some(source) = source(world.resources, &object) else {
        let cause = match written_by(world.resources, &object) {
            Some(by) => Cause::CaRefAwaited { reference: object, by },
            None => world.absence(&object.clone(), Cause::CaRefMissing { reference: object }),
        };
        return Err((".name", cause));
    };
    let known = known(world, &object, source);
    match &known.found {
        Ok(_) => Ok((object, known)),
        Err(fault) => {
            let detail = fault.to_string();
            Err((
                ".name",
                Cause::CaRefInvalid {
                    reference: object,
                    detail,
                },
            ))
        }
    }
}

fn source(resources: &Resources, object: &ObjectRef) -> Option<AuthoritySource> {
    match object.kind {
        Kind::ConfigMap => resources
            .config_maps
            .get(&object.key)
            .cloned()
            .map(AuthoritySource::ConfigMap),
        Kind::Secret => resources.secrets.get(&object.key).cloned().map(AuthoritySource::Secret),
        _ => resources
            .cluster_trust_bundles
            .get(&object.key)
            .cloned()
            .map(AuthoritySource::Cluster),
    }
}

/// What is to write an object that is not there: trust-manager's Bundle, or a Certificate whose Secret holds its issuer's `ca.crt`.
fn written_by(resources: &Resources, object: &ObjectRef) -> Option<ObjectRef> {
    if references::bundled(resources, object) {
        return Some(ObjectRef::of(Kind::Bundle, &ObjectKey::new("", &object.key.name)));
    }
    issued_by(resources, &object.key).filter(|_| object.kind == Kind::Secret)
}

/// What an object holds: worked out once for each content, and its flaws told once for all who refer to it.
fn known(world: &mut World<'_>, object: &ObjectRef, source: AuthoritySource) -> Arc<KnownAuthorities> {
    if let Some(known) = world.memory.authorities.get(object) {
        return Arc::clone(known);
    }
    let last = world.last.authorities.get(object).filter(|last| last.is_of(&source));
    let known = last.cloned().unwrap_or_else(|| {
        let found = match &source {
            AuthoritySource::ConfigMap(map) => {
                let value = |key: &str| map.data.get(key).map(String::as_bytes);
                Authorities::read(value("ca.crt"), value("ca.crl"))
            }
            AuthoritySource::Secret(secret) => {
                let value = |key: &str| secret.data.get(key).map(sealway_api::SecretBytes::expose);
                Authorities::read(value("ca.crt"), value("ca.crl"))
            }
            AuthoritySource::Cluster(bundle) => Authorities::read(Some(bundle.spec.trust_bundle.as_bytes()), None),
        };
        Arc::new(KnownAuthorities { source, found })
    });
    world.memory.authorities.insert(object.clone(), Arc::clone(&known));
    if let Ok(authorities) = &known.found {
        let lists = lists_for(world, object, &known, authorities);
        report_flaws(world, object, authorities, &lists);
    }
    known
}

/// The lists from elsewhere for which the authorities of an object answer.
fn lists_for(
    world: &mut World<'_>,
    object: &ObjectRef,
    known: &Arc<KnownAuthorities>,
    authorities: &Authorities,
) -> Vec<Arc<RevocationList>> {
    let among = &world.observed.revocation_lists;
    let is_same = |last: &&KnownLists| Arc::ptr_eq(&last.authorities, known) && last.among == *among;
    let lists = match world.last.lists.get(object).filter(is_same) {
        Some(last) => last.clone(),
        None => {
            let anchors = authorities.anchors();
            let counts = |list: &&Arc<RevocationList>| leads_to(list, &anchors);
            KnownLists {
                authorities: Arc::clone(known),
                among: among.clone(),
                lists: among.iter().filter(counts).cloned().collect(),
            }
        }
    };
    let found = lists.lists.clone();
    world.memory.lists.insert(object.clone(), lists);
    found
}

fn report_flaws(world: &mut World<'_>, object: &ObjectRef, authorities: &Authorities, lists: &[Arc<RevocationList>]) {
    let now = world.observed.now;
    let mut flaws = authorities.flaws.clone();
    for validity in &authorities.validity {
        let subject = || validity.subject.clone();
        if now < validity.not_before {
            flaws.push(AuthorityFlaw::NotYetValid {
                subject: subject(),
                from: validity.not_before,
            });
        } else if validity.not_after <= now {
            flaws.push(AuthorityFlaw::Expired {
                subject: subject(),
                since: validity.not_after,
            });
        }
        world.wake(validity.not_before);
        world.wake(validity.not_after);
    }
    for (issuer, until) in &authorities.list_updates {
        if *until <= now {
            let (issuer, since) = (issuer.clone(), *until);
            let url = None;
            flaws.push(AuthorityFlaw::ListExpired { issuer, since, url });
        }
        world.wake(*until);
    }
    for list in lists {
        let since = list.next_update();
        if since <= now {
            let url = match list.source() {
                ListSource::Url(url) => Some(url.clone()),
                ListSource::Issuer(_) => None,
            };
            let issuer = list.issuer().to_owned();
            flaws.push(AuthorityFlaw::ListExpired { issuer, since, url });
        }
        world.wake(since);
    }
    for flaw in flaws {
        let field = match &flaw {
            _ if object.kind == Kind::ClusterTrustBundle => "spec.trustBundle",
            AuthorityFlaw::ListUnreadable | AuthorityFlaw::ListUnusable { .. } | AuthorityFlaw::ListExpired { url: None, .. } => {
                "data[ca.crl]"
            }
            _ => "data[ca.crt]",
        };
        world.report(object, field, Cause::AuthorityFlawed { flaw });
    }
}

/// All in one; made anew only when one of its parts was.
fn bundle(world: &mut World<'_>, found: Vec<Resolved>) -> Arc<TrustBundle> {
    let (sources, authorities): (Vec<ObjectRef>, Vec<Arc<KnownAuthorities>>) = found.into_iter().unzip();
    if let Some(known) = world.memory.bundles.get(&sources) {
        return Arc::clone(&known.bundle);
    }
    let parts = sources.iter().zip(authorities).map(|(source, authorities)| BundlePart {
        authorities,
        lists: world
            .memory
            .lists
            .get(source)
            .map(|known| known.lists.clone())
            .unwrap_or_default(),
    });
    let parts: Vec<BundlePart> = parts.collect();
    let last = world.last.bundles.get(&sources);
    let is_same = |last: &&KnownBundle| last.parts.iter().zip(&parts).all(|(one, two)| one.is(two));
    let bundle = match last.filter(is_same) {
        Some(last) => Arc::clone(&last.bundle),
        None => {
            let new = merged(&sources, &parts, world.settings.crl_failure);
            match last {
                Some(last) if *last.bundle == new => Arc::clone(&last.bundle),
                _ => Arc::new(new),
            }
        }
    };
    let known = KnownBundle {
        parts,
        bundle: Arc::clone(&bundle),
    };
    world.memory.bundles.insert(sources, known);
    bundle
}

/// Each certificate and each list once.
fn merged(sources: &[ObjectRef], parts: &[BundlePart], crl_failure: CrlFailure) -> TrustBundle {
    let mut certificates: Vec<CertificateDer<'static>> = Vec::new();
    let mut subjects = Vec::new();
    let mut revocation_lists: Vec<Arc<[u8]>> = Vec::new();
    for part in parts {
        let Ok(authorities) = &part.authorities.found else { continue };
        for (certificate, validity) in authorities.certificates.iter().zip(&authorities.validity) {
            if !certificates.contains(certificate) {
                certificates.push(certificate.clone());
                subjects.push(validity.subject.clone());
            }
        }
        for list in authorities.lists.iter().chain(part.lists.iter().map(|list| list.der())) {
            if !revocation_lists.contains(list) {
                revocation_lists.push(Arc::clone(list));
            }
        }
    }
    TrustBundle {
        content: content(&certificates, &revocation_lists, crl_failure),
        sources: sources.to_vec(),
        certificates,
        subjects,
        revocation_lists,
        crl_failure,
    }
}
