//! Pass 2, continued: where a listener's certificates come from.

use sealway_api::{Kind, ObjectKey, ObjectRef, Resources, Secret, TlsMode};
use x509_parser::pem::Pem;

use super::listeners;
use super::world::{ListenerWork, World};
use crate::problem::Cause;

/// Checks `certificateRefs` of a listener that ends TLS; the first reference that is wrong becomes the listener's ResolvedRefs.
pub(super) fn check(world: &mut World<'_>, work: &mut ListenerWork<'_>) {
    if !listeners::speaks_tls(work.listener) || listeners::mode(work.listener) != TlsMode::Terminate {
        return;
    }
    let Some(tls) = &work.listener.tls else {
        return refuse(world, work, "", Cause::TlsMissing);
    };
    if tls.certificate_refs.is_empty() {
        return refuse(world, work, ".tls", Cause::CertificateRefMissing);
    }
    for (position, reference) in tls.certificate_refs.iter().enumerate() {
        let field = format!(".tls.certificateRefs[{position}]");
        if !reference.group().is_empty() || reference.kind() != "Secret" {
            let cause = Cause::CertificateRefKind {
                group: reference.group().to_owned(),
                kind: reference.kind().to_owned(),
            };
            refuse(world, work, &format!("{field}.kind"), cause);
            continue;
        }
        let namespace = reference.namespace.as_deref().unwrap_or(&work.owner.key.namespace);
        let secret = ObjectKey::new(namespace, &reference.name);
        let to = ObjectRef::of(Kind::Secret, &secret);
        if !world.grants.permit(&work.owner, &to) {
            let nearest = world.grants.nearest(&work.owner, &to);
            let cause = Cause::RefNotPermitted {
                from: work.owner.clone(),
                to,
                nearest,
            };
            refuse(world, work, &format!("{field}.namespace"), cause);
            continue;
        }
        match world.resources.secrets.get(&secret) {
            Some(found) => {
                if let Err(detail) = examine(found) {
                    let cause = Cause::CertificateSecretInvalid {
                        secret,
                        detail: detail.to_owned(),
                    };
                    refuse(world, work, &format!("{field}.name"), cause);
                }
            }
            None => {
                let issuer = issued_by(world.resources, &secret);
                let cause = Cause::CertificateSecretMissing {
                    secret,
                    issuer: issuer.clone(),
                };
                // A Secret that is still to be issued is nobody's mistake: a condition says it, no problem does.
                match issuer {
                    Some(_) => {
                        work.unresolved.get_or_insert(cause);
                    }
                    None => refuse(world, work, &format!("{field}.name"), cause),
                }
            }
        }
    }
}

fn refuse(world: &mut World<'_>, work: &mut ListenerWork<'_>, field: &str, cause: Cause) {
    world.report(&work.owner, format!("{}{field}", work.field), cause.clone());
    work.unresolved.get_or_insert(cause);
}

/// The Certificate that is to write a Secret.
pub(super) fn issued_by(resources: &Resources, secret: &ObjectKey) -> Option<ObjectRef> {
    resources
        .certificates
        .iter()
        .find(|(key, certificate)| key.namespace == secret.namespace && certificate.spec.secret_name == secret.name)
        .map(|(key, _)| ObjectRef::of(Kind::Certificate, key))
}

/// Whether a Secret holds a certificate and a key, as far as form goes. The message names keys of the Secret, never their content.
fn examine(secret: &Secret) -> Result<(), &'static str> {
    let certificate = secret.data.get("tls.crt").ok_or("it has no `tls.crt`")?;
    let key = secret.data.get("tls.key").ok_or("it has no `tls.key`")?;
    let chain: Vec<Pem> = Pem::iter_from_buffer(certificate.expose())
        .collect::<Result<_, _>>()
        .map_err(|_| "`tls.crt` is not PEM")?;
    let leaf = chain.first().ok_or("`tls.crt` holds no PEM block")?;
    if leaf.label != "CERTIFICATE" || leaf.parse_x509().is_err() {
        return Err("`tls.crt` does not begin with a certificate");
    }
    let is_key = Pem::iter_from_buffer(key.expose())
        .flatten()
        .any(|block| block.label.ends_with("PRIVATE KEY"));
    if is_key {
        Ok(())
    } else {
        Err("`tls.key` holds no private key in PEM")
    }
}
