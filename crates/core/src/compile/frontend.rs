//! `spec.tls` of a Gateway: whose client certificates are believed on HTTPS listeners, and the gateway's own towards backends.
//!
//! Input: a Gateway whose listeners have been examined. Output: `client_validation` of its HTTPS listeners, or why one is refused;
//! `client_certificate` and `unresolved` of the Gateway. Invariant: a listener for which validation was asked serves with it or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{FrontendTlsSettings, FrontendValidation, Protocol, Reason};

use super::certificates::{self, Role};
use super::trust;
use super::world::{GatewayWork, ListenerWork, World};
use crate::problem::Cause;
use crate::snapshot::{ClientValidation, ClientValidationMode};

/// Applies `spec.tls` to the Gateway and its listeners.
pub(super) fn apply(world: &mut World<'_>, gateway: &mut GatewayWork<'_>) {
    let Some(tls) = &gateway.gateway.spec.tls else { return };
    if let Some(frontend) = &tls.frontend {
        let default = settings(world, gateway, "spec.tls.frontend.default", "by default", &frontend.default);
        let mut by_port = BTreeMap::new();
        for (position, entry) in frontend.per_port.iter().enumerate() {
            let field = format!("spec.tls.frontend.perPort[{position}]");
            let is_used = |work: &ListenerWork<'_>| work.port() == entry.port && work.listener.protocol == Protocol::Https;
            if entry.tls.validation.is_some() && !gateway.listeners.iter().any(is_used) {
                let cause = Cause::FrontendPortUnused { port: entry.port };
                world.report(&gateway.object, format!("{field}.port"), cause);
            }
            let place = format!("on port {}", entry.port);
            let demand = settings(world, gateway, &format!("{field}.tls"), &place, &entry.tls);
            by_port.insert(entry.port, demand);
        }
        for work in &mut gateway.listeners {
            // An entry of its own takes the default's place, even if it asks for nothing.
            let demand = by_port.get(&work.port()).unwrap_or(&default);
            if let Some(demand) = demand {
                demand_of(world, work, demand);
            }
        }
    }
    client_certificate(world, gateway);
}

/// What is asked of clients.
struct Demand {
    /// `None` when nobody could pass.
    validation: Option<Arc<ClientValidation>>,
    /// A reference that is not good.
    unresolved: Option<Cause>,
}

fn settings(
    world: &mut World<'_>,
    gateway: &mut GatewayWork<'_>,
    field: &str,
    place: &str,
    settings: &FrontendTlsSettings,
) -> Option<Demand> {
    let validation = settings.validation.as_ref()?;
    let mode = mode(validation);
    if mode == ClientValidationMode::AllowInsecureFallback {
        gateway.insecure.push(place.to_owned());
        let at = format!("{field}.validation.mode");
        world.report(&gateway.object, at, Cause::FrontendInsecure { place: place.to_owned() });
    }
    let at = format!("{field}.validation.caCertificateRefs");
    let trust = trust::read(world, &gateway.object, &at, &validation.ca_certificate_refs);
    let validation = trust
        .bundle
        .map(|authorities| Arc::new(ClientValidation { mode, authorities }));
    Some(Demand {
        validation,
        unresolved: trust.unresolved,
    })
}

/// What nobody knows is the stricter of the two.
fn mode(validation: &FrontendValidation) -> ClientValidationMode {
    match validation.mode.as_deref() {
        Some("AllowInsecureFallback") => ClientValidationMode::AllowInsecureFallback,
        _ => ClientValidationMode::AllowValidOnly,
    }
}

fn demand_of(world: &mut World<'_>, work: &mut ListenerWork<'_>, demand: &Demand) {
    match work.listener.protocol {
        Protocol::Https => {}
        // The specification speaks of HTTPS only; silence here would be taken for protection.
        Protocol::Tls if work.ends_tls() => {
            let cause = Cause::FrontendNotCovered { port: work.port() };
            world.report(&work.owner, format!("{}.protocol", work.field), cause);
            return;
        }
        _ => return,
    }
    if let Some(cause) = &demand.unresolved {
        work.unresolved.get_or_insert_with(|| cause.clone());
    }
    match &demand.validation {
        Some(validation) => work.client_validation = Some(Arc::clone(validation)),
        // Even AllowInsecureFallback: the specification refuses the listener in both modes.
        None => {
            let detail = demand.unresolved.as_ref().map(Cause::message).unwrap_or_default();
            work.is_awaited = work.refused.is_none() && matches!(demand.unresolved, Some(Cause::CaRefAwaited { .. }));
            work.refused.get_or_insert(Cause::NoValidCa { detail });
        }
    }
}

/// The certificate that the gateway shows to backends that ask for one.
fn client_certificate(world: &mut World<'_>, gateway: &mut GatewayWork<'_>) {
    let tls = gateway.gateway.spec.tls.as_ref();
    let backend = tls.and_then(|tls| tls.backend.as_ref());
    let Some(reference) = backend.and_then(|backend| backend.client_certificate_ref.as_ref()) else {
        return;
    };
    match certificates::resolve(world, &gateway.object, reference, Role::Client) {
        Ok(variant) => gateway.client_certificate = Some(variant.served),
        Err(failure) => {
            let reason = match failure.cause.reason() {
                Reason::InvalidCertificateRef => Reason::InvalidClientCertificateRef,
                other => other,
            };
            if !failure.is_awaited {
                let field = format!("spec.tls.backend.clientCertificateRef{}", failure.part);
                world.report(&gateway.object, field, failure.cause.clone());
            }
            gateway.unresolved = Some((reason, failure.cause));
        }
    }
}
