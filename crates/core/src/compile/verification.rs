//! How a backend proves itself, from what a BackendTLSPolicy or an XBackend says of it.
//!
//! Input: the validation, as written. Output: a [`BackendTls`], or why there is none. Invariant: what is not known in full is not lessened.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sealway_api::{BackendTlsPolicySpec, BackendTlsValidation, ObjectKey, ObjectRef, Reason, SubjectAltNameType};

use super::world::World;
use super::{options, trust};
use crate::hostname::HostnamePattern;
use crate::problem::Cause;
use crate::snapshot::{BackendAuthorities, BackendName, BackendTls, TlsOptions};

/// What is asked of a backend, and where that stands.
pub(super) struct Asked<'a> {
    /// Path of the object that holds `validation`.
    parent: &'static str,
    validation: &'a BackendTlsValidation,
    options: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Asked<'a> {
    pub(super) fn of_policy(spec: &'a BackendTlsPolicySpec) -> Self {
        Self {
            parent: "spec",
            validation: &spec.validation,
            options: Some(&spec.options),
        }
    }

    pub(super) fn of_x_backend(validation: &'a BackendTlsValidation) -> Self {
        Self {
            parent: "spec.tls",
            validation,
            options: None,
        }
    }
}

/// What that comes to.
#[derive(Default)]
pub(super) struct Verification {
    /// `None` when it cannot be honoured.
    pub(super) tls: Option<Arc<BackendTls>>,
    /// Why it cannot, with the reason of the condition.
    pub(super) refused: Option<(Reason, Cause)>,
    /// The first CA reference that is not good.
    pub(super) unresolved: Option<(Reason, Cause)>,
}

impl Verification {
    fn refuse(&mut self, reason: Reason, cause: Cause) {
        self.refused.get_or_insert((reason, cause));
    }
}

/// Reads what `object` asks for, which goes by `key`; reports what is wrong with it.
pub(super) fn read(world: &mut World<'_>, object: &ObjectRef, asked: &Asked<'_>, key: ObjectKey) -> Verification {
    let mut found = Verification::default();
    found.tls = verified(world, object, asked, key, &mut found);
    found
}

fn verified(
    world: &mut World<'_>,
    object: &ObjectRef,
    asked: &Asked<'_>,
    key: ObjectKey,
    work: &mut Verification,
) -> Option<Arc<BackendTls>> {
    let Asked { parent, validation, .. } = asked;
    let invalid = |world: &mut World<'_>, work: &mut Verification, field: &str, detail: String| {
        let cause = Cause::PolicyInvalid { detail };
        world.report(object, format!("{parent}.{field}"), cause.clone());
        work.refuse(Reason::Invalid, cause);
    };

    let hostname = HostnamePattern::parse(Some(&validation.hostname));
    let server_name = match hostname {
        HostnamePattern::Exact(name) if name.parse::<IpAddr>().is_err() => name.into_string(),
        _ => {
            let detail = format!("`{}` is not a name that SNI can carry", validation.hostname);
            invalid(world, work, "validation.hostname", detail);
            String::new()
        }
    };
    let mut names = Vec::new();
    for (position, name) in validation.subject_alt_names.iter().enumerate() {
        match &name.kind {
            SubjectAltNameType::Hostname if !name.hostname.is_empty() => {
                names.push(BackendName::Dns(HostnamePattern::parse(Some(&name.hostname))));
            }
            SubjectAltNameType::Uri if !name.uri.is_empty() => names.push(BackendName::Uri(name.uri.clone())),
            kind => {
                let detail = format!("a subject alternative name of type {kind} cannot be verified without its value");
                invalid(world, work, &format!("validation.subjectAltNames[{position}]"), detail);
            }
        }
    }
    let references = &validation.ca_certificate_refs;
    let well_known = validation
        .well_known_ca_certificates
        .as_deref()
        .filter(|name| !name.is_empty());
    let authorities = match (references.is_empty(), well_known) {
        (false, None) => {
            let trust = trust::read(world, object, &format!("{parent}.validation.caCertificateRefs"), references);
            if let Some(cause) = trust.unresolved {
                let reason = match &cause {
                    Cause::CaRefKind { .. } => Reason::InvalidKind,
                    other => other.reason(),
                };
                if trust.bundle.is_none() {
                    let detail = cause.message();
                    work.refuse(Reason::NoValidCaCertificate, Cause::NoValidCa { detail });
                }
                work.unresolved = Some((reason, cause));
            }
            trust.bundle.map(BackendAuthorities::Bundle)
        }
        (true, Some("System")) => Some(BackendAuthorities::System),
        (true, Some(other)) => {
            let detail = format!("there is no well-known set of authorities `{other}`, only `System`");
            invalid(world, work, "validation.wellKnownCACertificates", detail);
            None
        }
        (is_empty, _) => {
            let detail = match is_empty {
                true => "there is neither `caCertificateRefs` nor `wellKnownCACertificates`: nobody could be believed",
                false => "`caCertificateRefs` and `wellKnownCACertificates` exclude each other",
            };
            invalid(world, work, "validation", detail.to_owned());
            None
        }
    };
    let options = match asked.options {
        Some(options) => options::read(world, object, "spec.options", options)
            .map_err(|cause| work.refuse(Reason::Invalid, cause))
            .ok(),
        None => Some(TlsOptions::default()),
    };
    // What backends must prove is not known in full, so nothing less may do.
    if work.refused.is_some() {
        return None;
    }
    let new = BackendTls {
        policy: key.clone(),
        server_name,
        names,
        authorities: authorities?,
        options: options?,
    };
    let last = world.last.upstreams.get(&key).filter(|last| ***last == new);
    let tls = last.cloned().unwrap_or_else(|| Arc::new(new));
    world.memory.upstreams.insert(key, Arc::clone(&tls));
    Some(tls)
}
