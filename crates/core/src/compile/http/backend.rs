//! Backends that get requests: what they speak decides whether a route can send to them.

use std::fmt;

use sealway_api::{BackendRef, ObjectKey, ObjectMeta, ObjectRef, ServicePort};

use super::super::backends::{self, Resolved};
use super::super::routes::Route;
use super::super::world::World;
use super::super::{policies, x_backends};
use super::Context;
use crate::problem::Cause;
use crate::snapshot::{BackendFault, BackendProtocol, RuleKind, Target, Transport, UpstreamTls, WeightedBackend};

/// What a Service's port says that it speaks (KEP-3726). TLS needs to be told how to verify: without a BackendTLSPolicy, a port that says
/// so cannot be spoken to. Names without a prefix are IANA's, compared without case (RFC 6335, section 5.1); one that says nothing of
/// requests, such as `tcp`, leaves what is spoken unstated. Of names with a prefix only Kubernetes' own have a meaning here.
pub(in crate::compile) fn protocol(port: Option<&ServicePort>, tls: &UpstreamTls) -> BackendProtocol {
    let is_tls = *tls != UpstreamTls::Plain;
    let stated = port.and_then(|port| port.app_protocol.as_deref()).unwrap_or_default();
    if stated.contains('/') {
        return match stated {
            "kubernetes.io/h2c" => BackendProtocol::H2c,
            "kubernetes.io/ws" => BackendProtocol::WebSocket,
            "kubernetes.io/wss" if is_tls => BackendProtocol::WebSocket,
            _ => BackendProtocol::Unsupported,
        };
    }
    match &*stated.to_ascii_lowercase() {
        "h2c" | "http2" | "grpc" => BackendProtocol::H2c,
        "https" | "tls" if !is_tls => BackendProtocol::Unsupported,
        _ => BackendProtocol::Unstated,
    }
}

/// A backend that receives gRPC calls of the gateway's own, as an object says; and why its reference is not good.
pub(in crate::compile) fn collector<'a>(
    world: &mut World<'a>,
    object: &ObjectRef,
    metadata: &'a ObjectMeta,
    at: &str,
    reference: &'a BackendRef,
) -> (WeightedBackend, Option<Cause>) {
    let route = Route::of_object(world, object, metadata);
    let mut context = Context {
        world,
        route: &route,
        kind: RuleKind::Grpc,
        unresolved: None,
        fault: None,
    };
    let backend = context.backend(format_args!("{at}"), reference);
    (backend, context.unresolved)
}

impl<'a> Context<'_, 'a> {
    /// Resolves a reference, as [`backends::resolve`] does; a backend that does not speak what the route sends is refused, whether
    /// or not it has endpoints.
    pub(super) fn backend(&mut self, at: fmt::Arguments<'_>, reference: &'a BackendRef) -> WeightedBackend {
        let Resolved {
            backend: mut weighted,
            found,
        } = backends::resolve(self.world, self.route, at, reference);
        let found = match found {
            Ok(found) => found,
            Err(cause) => {
                self.unresolved.get_or_insert(cause);
                return weighted;
            }
        };
        let backend = &found.spoken;
        let speaks = match backend.protocol {
            BackendProtocol::Unstated | BackendProtocol::H2c => true,
            BackendProtocol::WebSocket => self.kind == RuleKind::Http,
            BackendProtocol::Unsupported => false,
        };
        if !speaks {
            let part = if backend.is_service() { ".port" } else { ".name" };
            let cause = Cause::BackendProtocolUnsupported {
                protocol: self.stated(&backend.service, backend.port),
                service: backend.service.clone(),
                port: backend.port,
                route: self.route.object.kind.clone(),
            };
            self.report(format_args!("{at}{part}"), cause.clone());
            self.unresolved.get_or_insert(cause);
            weighted.target = Target::Refuse(BackendFault::UnsupportedProtocol);
        } else if let Some(cause) = policies::refusal(backend) {
            self.unresolved.get_or_insert(cause);
            weighted.target = Target::Refuse(BackendFault::TlsPolicyInvalid);
        }
        weighted
    }

    /// The protocol as the Service has it.
    fn stated(&self, service: &ObjectKey, port: u16) -> String {
        if let Some(stated) = x_backends::stated(self.world, service) {
            return stated;
        }
        let stated = backends::service_port(self.world, service, Transport::Tcp, port);
        stated.and_then(|port| port.app_protocol.clone()).unwrap_or_default()
    }
}
