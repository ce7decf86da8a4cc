//! What each [`Cause`] says: the object and the field stand before it, so it names neither.

use sealway_api::{Kind, ObjectKey};

use super::text::{quoted, some_of};
use super::{Cause, NoEndpoint};
use crate::features::{BundleFit, NEWEST_BUNDLE, OLDEST_BUNDLE};
use crate::settings::BackendTlsFault;
use crate::snapshot::{Transport, X_BACKEND};

impl Cause {
    /// What is wrong, in one sentence without a full stop.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::PathUnreadable { error } => format!("cannot be read: {error}; what was read from it before stays in force"),
            Self::Syntax { detail } => format!("not valid YAML: {detail}"),
            Self::DuplicateKey { key, first } => format!("key `{key}` stands here a second time; first at {first}"),
            Self::NotAnObject { detail } => format!("not a Kubernetes object: {detail}"),
            Self::UnknownVersion { version, .. } => format!("version `{version}` of this kind does not exist"),
            Self::SupersededVersion { version, .. } => {
                format!("`{version}` is no longer served by the standard channel of Gateway API v1.7")
            }
            Self::Invalid { detail } | Self::FieldAbsent { detail, .. } => detail.clone(),
            Self::UnknownValue { value, known } => {
                format!("value `{value}` is not one of {}", quoted(known))
            }
            Self::UnknownField { name, .. } => format!("unknown field `{name}`: an API server would drop it"),
            Self::DuplicateObject { other } => format!("the same object stands at {other} with other content; neither is used"),
            Self::RepeatedObject { other } => format!("the same object stands at {other} with the same content"),
            Self::LastGoodKept => "the document is broken; what it said before stays in force".to_owned(),
            Self::StatusFull { list, capacity } => format!(
                "`status.{list}` holds {capacity} entries of other controllers, as many as it can; what Sealway makes of the object cannot stand there"
            ),
            Self::ForeignController { controller } => {
                format!("names another controller, `{controller}`; served all the same")
            }
            Self::ObjectsNotApplied { detail } => format!("what carries the Gateway is not as it should be: {detail}"),
            Self::ProxySilent { pod } => {
                format!("proxy `{pod}` says nothing to any controller: nobody waits for it, and what it serves may be old")
            }
            Self::ProxyRefuses { pod, detail } => {
                format!("proxy `{pod}` refuses what it was told, and serves what it had before: {detail}")
            }
            Self::ClassParametersIgnored { kind } => {
                format!("parameters of kind {kind} mean nothing to Sealway: its Gateways are served without them")
            }
            Self::BundleVersion { version, fit } => {
                let (oldest, newest) = (OLDEST_BUNDLE, NEWEST_BUNDLE);
                let tried = format!("v{}.{} to v{}.{}", oldest.0, oldest.1, newest.0, newest.1);
                let what = match fit {
                    BundleFit::Newer => "newer than what was tried",
                    BundleFit::Older => "older than what is read",
                    BundleFit::Supported | BundleFit::Unreadable => "not a release that is known",
                };
                format!("the installed CRDs are of Gateway API {version}, which is {what} ({tried})")
            }
            Self::ParametersInvalid { detail } => detail.clone(),
            Self::ParametersNotSupported { kind } => format!("parameters of kind {kind} mean nothing to Sealway"),
            Self::ClassNotFound { class } => format!("there is no GatewayClass `{class}`"),
            Self::AddressTypeUnsupported { kind } => format!("addresses of type {kind} are not supported"),
            Self::AddressRoutabilityUnsupported { value } => {
                format!("routability `{value}` is not supported: who can reach the machine can reach the address")
            }
            Self::AddressInvalid { value } => format!("`{value}` is not an IP address"),
            Self::AddressNotUsable { value } => format!("this machine cannot bind address {value}"),
            Self::AnnotationInvalid { key, value, expected } => {
                format!("annotation {key}: `{value}` is not {expected}; the annotation is ignored")
            }
            Self::NoDefaultGateway { scope } => format!("no Gateway is a default Gateway of scope {scope}"),
            Self::ProtocolUnsupported { protocol } => format!("protocol {protocol} is not supported"),
            Self::TlsModeUnsupported { mode, protocol } => {
                format!("a listener of protocol {protocol} cannot have TLS mode {mode}")
            }
            Self::ListenerFiltersUnsupported { kinds } => {
                format!(
                    "it has filters that are not served here ({}); without them the listener would let pass what they are to stop, so nothing of it is served",
                    some_of(kinds)
                )
            }
            Self::TlsMissing => "the listener ends TLS but has no `tls`: there is no certificate to serve".to_owned(),
            Self::RouteKindUnsupported { kind, .. } => format!("a listener of this protocol cannot have routes of kind {kind}"),
            Self::ProtocolConflict { port, others, is_beaten } => {
                let end = outcome(others, *is_beaten);
                format!(
                    "port {port} is also claimed by {} with a protocol that cannot share it; {end}",
                    quoted(others)
                )
            }
            Self::HostnameConflict {
                hostname,
                port,
                others,
                is_beaten,
            } => {
                let end = outcome(others, *is_beaten);
                format!("{hostname} on port {port} is also claimed by {}; {end}", quoted(others))
            }
            Self::ListenerConflict { port, others, is_beaten } => {
                let end = match is_beaten {
                    true => outcome(others, true),
                    false => "only one listener can have it",
                };
                format!("port {port} is also claimed by {}; {end}", quoted(others))
            }
            Self::PortTakenByGateway { socket, gateway } => format!("{socket} is already used by Gateway {gateway}"),
            Self::PortReserved { socket } => format!("{socket} is used by the gateway's own admin or health address"),
            Self::PortOverflows { port, offset } => format!("port {port} plus offset {offset} is above 65535"),
            Self::PortInUse { socket } => format!("{socket} is in use by another process"),
            Self::PortNotPermitted { socket } => format!("this user may not bind {socket}: ports below 1024 need a privilege"),
            Self::PortFailed { socket, error } => format!("{socket} cannot be bound: {error}"),
            Self::CertificateRefMissing => "TLS ends here but there is no certificate: `certificateRefs` is empty".to_owned(),
            Self::CertificateRefKind { group, kind } => format!("a certificate cannot come from kind {kind}{}", of_group(group)),
            Self::CertificateSecretMissing { secret, issuer: None } => format!("Secret {secret} does not exist"),
            Self::CertificateSecretMissing {
                secret,
                issuer: Some(issuer),
            } => {
                format!("Secret {secret} does not exist yet; {issuer} is to issue it")
            }
            Self::CertificateSecretInvalid { secret, detail } => format!("Secret {secret} is no certificate: {detail}"),
            Self::CertificateKeyMismatch { secret } => {
                format!("Secret {secret}: `tls.key` is not the private key of the certificate in `tls.crt`")
            }
            Self::CertificateFlawed { flaw } => flaw.message(),
            Self::CertificateNameMissing {
                gateway,
                listener,
                hostname,
                names,
            } => {
                let names = if names.is_empty() {
                    "no name".to_owned()
                } else {
                    quoted(names)
                };
                format!(
                    "no certificate of listener `{listener}` of Gateway {gateway} covers `{hostname}` (they are for {names}): clients will refuse it"
                )
            }
            Self::TlsOptionInvalid { key, value, .. } => {
                format!("option {key}: `{value}` is not known, so nothing is served with it")
            }
            Self::TlsOptionUnknown { key, .. } => format!("there is no option {key}; it is ignored"),
            Self::TlsOptionsImpossible { detail } => format!("no handshake can succeed with these options: {detail}"),
            Self::FrontendPortUnused { port } => {
                format!("no HTTPS listener is on port {port}: no client is asked for a certificate because of this")
            }
            Self::FrontendInsecure { place } => {
                format!("clients without a valid certificate are served too ({place}), as AllowInsecureFallback asks")
            }
            Self::FrontendNotCovered { port } => {
                format!(
                    "client certificates are checked for HTTPS listeners only: this TLS listener on port {port} serves everybody"
                )
            }
            Self::SelectorMissing => "`from: Selector` without a selector admits no namespace".to_owned(),
            Self::SelectorMatchesNothing { selector, .. } => {
                format!("no Namespace carries the labels that this selects ({selector}): no route can attach")
            }
            Self::RefNotPermitted { from, to, nearest } => {
                let nearest = nearest.as_ref().map(|grant| format!(" ({grant})")).unwrap_or_default();
                format!(
                    "{from} may not refer to {to}: no ReferenceGrant in namespace {} allows it{nearest}",
                    to.key.namespace
                )
            }
            Self::ReferentRefused { object, .. } => format!("{object} is refused as it is written"),
            Self::NoParents => "the route names no parent: it attaches to nothing".to_owned(),
            Self::ParentNotFound { parent, .. } => format!("there is no {parent}"),
            Self::ParentKindUnsupported { kind } => format!("a parent of kind {kind} is not supported"),
            Self::ListenerSetNotAllowed {
                gateway,
                namespace,
                rule,
                ..
            } => format!("Gateway {gateway} takes no ListenerSets from namespace `{namespace}` ({rule})"),
            Self::ListenerSetNotAttached { set, gateway } => {
                format!("Gateway {gateway} does not take ListenerSet {set}: it serves none of its listeners")
            }
            Self::SectionNotFound {
                parent, section, port, ..
            } => match (section, port) {
                (Some(section), Some(port)) => format!("{parent} has no listener `{section}` on port {port}"),
                (Some(section), None) => format!("{parent} has no listener `{section}`"),
                (None, Some(port)) => format!("{parent} has no listener on port {port}"),
                (None, None) => format!("{parent} has no listeners"),
            },
            Self::NamespaceNotAllowed {
                gateway,
                listener,
                namespace,
                rule,
                ..
            } => {
                format!("listener `{listener}` of Gateway {gateway} takes no routes from namespace `{namespace}` ({rule})")
            }
            Self::KindNotAllowed { gateway, listener, kind } => {
                format!("listener `{listener}` of Gateway {gateway} does not allow routes of kind {kind}")
            }
            Self::ListenerCannotHaveRoute {
                gateway,
                listener,
                protocol,
                kind,
            } => {
                format!("listener `{listener}` of Gateway {gateway} speaks {protocol}, which takes no {kind}s")
            }
            Self::NoMatchingHostname {
                gateway,
                hostnames,
                listeners,
            } => {
                let served = listeners.iter().map(|(name, pattern)| format!("`{name}` serves {pattern}"));
                format!(
                    "no hostname of the route ({}) is served by Gateway {gateway} ({})",
                    some_of(hostnames),
                    some_of(&served.collect::<Vec<_>>())
                )
            }
            Self::HostnameIgnored { hostname } => format!("no listener that the route attaches to serves `{hostname}`"),
            Self::Shadowed {
                hostname,
                by,
                gateway,
                listener,
            } => {
                format!("{hostname} on listener `{listener}` of Gateway {gateway} goes to {by}, which comes first")
            }
            Self::RulesShadowed { count } => {
                format!("the first rule takes every connection; {count} further rule(s) never serve")
            }
            Self::HostnameUnreachable {
                hostname,
                gateway,
                listener,
                other,
                claims,
            } => {
                format!(
                    "connections for `{hostname}` go to listener `{other}` ({claims}) of Gateway {gateway}, which is more specific than listener `{listener}` where this route is"
                )
            }
            Self::ParentNotServed {
                gateway,
                listener: Some(listener),
                reason,
            } => {
                format!("listener `{listener}` of Gateway {gateway} is not accepted itself ({reason})")
            }
            Self::ParentNotServed {
                gateway,
                listener: None,
                reason,
            } => {
                format!("Gateway {gateway} is not accepted itself ({reason})")
            }
            Self::NoBackends { route } => format!("the rule names no backend: {}", every_one_is_refused(route)),
            Self::AllWeightsZero { route } => format!("all weights are 0: {}", every_one_is_refused(route)),
            Self::BackendKindUnsupported { group, kind } => format!("kind {kind}{} cannot be a backend", of_group(group)),
            Self::XBackendNotFound { backend } => format!("there is no XBackend {backend}"),
            Self::XBackendNotServed { backend, detail } => format!("nothing is sent to XBackend {backend}: {detail}"),
            Self::BackendNotFound { service, .. } => format!("there is no Service {service}"),
            Self::BackendPortMissing => "a Service as backend needs a port".to_owned(),
            Self::BackendPortNotFound {
                service,
                transport: Transport::Tcp,
                port,
                ..
            } => format!("Service {service} has no port {port}"),
            Self::BackendPortNotFound {
                service,
                transport,
                port,
                ..
            } => format!("Service {service} has no {transport} port {port}"),
            Self::NoReadyEndpoint { service, port, why } => match why {
                NoEndpoint::NoSlice => {
                    format!("Service {service} port {port} has no EndpointSlice: there is nothing to connect to")
                }
                NoEndpoint::NoPort(transport, name) if name.is_empty() => {
                    format!("no EndpointSlice of Service {service} has a {transport} port without a name, as its port {port} is")
                }
                NoEndpoint::NoPort(transport, name) => {
                    format!(
                        "no EndpointSlice of Service {service} has a {transport} port named `{name}`, which is its port {port}"
                    )
                }
                NoEndpoint::NotReady => format!("no endpoint of Service {service} port {port} is ready"),
            },
            Self::BackendNameUnresolved { service, name } if name.is_empty() => {
                format!("Service {service} is of type ExternalName and names no `externalName`")
            }
            Self::BackendNameUnresolved { service, name } => {
                format!("`{name}`, where {} leads, has no address yet", backend(service))
            }
            Self::EndpointInvalid { value } => format!("`{value}` is no address of the slice's type; the endpoint is left out"),
            Self::ValueUnsupported { value, expected } => format!("`{value}` is not {expected}"),
            Self::ConnectNotServed => "the gateway opens no tunnels: it answers CONNECT with 501, whatever rules say".to_owned(),
            Self::RegexInvalid { expression, detail } => format!("`{expression}` is not a regular expression of RE2: {detail}"),
            Self::TimeoutsContradict {
                request,
                backend_request,
            } => {
                format!("one try may take {backend_request}, longer than the whole request ({request})")
            }
            Self::HeaderTwice { name } => format!("more than one action for header `{name}`"),
            Self::FilterIncomplete { kind } => format!("a filter of type {kind} without that which it is to do"),
            Self::FilterRepeated { kind } => format!("a second filter of type {kind}"),
            Self::FiltersIncompatible { one, other } => format!("{one} and {other} cannot be combined"),
            Self::PrefixMatchNeeded => "a prefix cannot be replaced where a match is not of type PathPrefix".to_owned(),
            Self::ExtensionUnsupported { group, kind, name } => {
                format!(
                    "filter `{name}` of kind {kind}{} is not known: requests that it would process are answered with 500",
                    of_group(group)
                )
            }
            Self::BackendProtocolUnsupported {
                service,
                port,
                protocol,
                route,
            } => {
                format!(
                    "{} port {port} speaks `{protocol}`, which {route}s cannot send",
                    backend(service)
                )
            }
            Self::RouteKindConflict {
                hostname,
                by,
                gateway,
                listener,
            } => {
                format!(
                    "{hostname} on listener `{listener}` of Gateway {gateway} belongs to {by}, which comes first: HTTPRoutes and GRPCRoutes share no names"
                )
            }
            Self::MatchShadowed { by, rule } => {
                format!("the same conditions as in {by}, rule {rule}, which comes first: this never serves")
            }
            Self::RedirectToItself => "redirects every request to where it came from".to_owned(),
            Self::PolicyTargetMissing { target } => format!("there is no {target}"),
            Self::PolicyTargetKind { group, kind } => {
                format!("kind {kind}{} cannot be a target: only Services are", of_group(group))
            }
            Self::PolicySectionMissing { service, section, .. } => format!("Service {service} has no port named `{section}`"),
            Self::PolicyConflicted { service, section, by } => {
                let port = section.as_ref().map(|section| format!(" port `{section}`"));
                format!(
                    "Service {service}{} already has {by}, which comes first",
                    port.unwrap_or_default()
                )
            }
            Self::PolicyInvalid { detail } => format!("{detail}; connections to its targets are refused"),
            Self::TelemetryTargetKind { kind } => format!("kind {kind} cannot be a target: only Gateways are"),
            Self::TelemetryConflicted { gateway, by } => {
                format!("Gateway {gateway} already has XTelemetryPolicy {by}, which comes first")
            }
            Self::TelemetryInvalid { detail } => format!("{detail}; there are no spans"),
            Self::AttributeNotKnown { key } => format!("spans have no attribute `{key}`: it is left out"),
            Self::BackendPolicyRefused { service, policy } => {
                format!(
                    "BackendTLSPolicy {policy} asks for TLS to Service {service} and cannot be honoured: nothing is sent there"
                )
            }
            Self::BackendTlsFailed {
                service,
                port,
                fault,
                server_name,
            } => format!("Service {service}:{port} {}", backend_fault(*fault, server_name)),
            Self::CaRefKind { group, kind } => format!("authorities cannot come from kind {kind}{}", of_group(group)),
            Self::CaRefMissing { reference } => format!("there is no {reference}"),
            Self::CaRefAwaited { reference, by } => format!("{reference} is not there yet; {by} is to write it"),
            Self::CaRefInvalid { reference, detail } => format!("{reference} holds no authority: {detail}"),
            Self::NoValidCa { detail } => format!("none of the CA references is good, so nobody could be believed: {detail}"),
            Self::AuthorityFlawed { flaw } => flaw.message(),
            Self::IssuerNotFound { issuer, .. } => format!("there is no {issuer}"),
            Self::IssuerSecretMissing { secret } => format!("the CA's Secret {secret} does not exist"),
            Self::MountMissing { reference, policy, .. } => {
                let policy = policy
                    .as_ref()
                    .map(|key| format!("; BackendTLSPolicy {key} takes that name for a ConfigMap"));
                format!("mounts {reference}, which does not exist{}", policy.unwrap_or_default())
            }
            Self::Told(told) => told.message.clone(),
            Self::SelectorAbsent => "a Deployment must have a selector: an API server refuses it".to_owned(),
        }
    }
}

fn every_one_is_refused(route: &Kind) -> &'static str {
    match route {
        Kind::HttpRoute => "every request is answered with 500",
        Kind::GrpcRoute => "every call is answered with UNAVAILABLE",
        _ => "every connection is refused",
    }
}

fn backend_fault(fault: BackendTlsFault, server_name: &str) -> String {
    match fault {
        BackendTlsFault::UnknownAuthority => "presented a certificate of an authority that the policy does not name".to_owned(),
        BackendTlsFault::NameMismatch => {
            format!("presented a certificate without a name that the policy asks for (SNI was `{server_name}`)")
        }
        BackendTlsFault::Expired => "presented a certificate that has expired".to_owned(),
        BackendTlsFault::NotYetValid => "presented a certificate that is not valid yet".to_owned(),
        BackendTlsFault::Revoked => "presented a certificate that has been revoked".to_owned(),
        BackendTlsFault::RevocationUnknown => {
            "presented a certificate that names a distribution point, and no current revocation list of its issuer is known"
                .to_owned()
        }
        BackendTlsFault::BadCertificate => "presented a certificate that is not fit for a server".to_owned(),
        BackendTlsFault::NotTls => "does not speak TLS".to_owned(),
        BackendTlsFault::ClientCertificateRefused => {
            "refused the gateway for want of a client certificate, or for the one that it was shown".to_owned()
        }
        BackendTlsFault::HandshakeRefused => format!("refused the gateway's hello (SNI was `{server_name}`)"),
        BackendTlsFault::Broken => "ended the connection, or was silent, during the TLS handshake".to_owned(),
    }
}

/// A backend by the name that it goes by.
fn backend(key: &ObjectKey) -> String {
    match key.name.strip_prefix(X_BACKEND) {
        Some(name) => format!("XBackend {}/{name}", key.namespace),
        None => format!("Service {key}"),
    }
}

fn of_group(group: &str) -> String {
    if group.is_empty() {
        String::new()
    } else {
        format!(" of group {group}")
    }
}

/// Who keeps what several listeners claim.
fn outcome(others: &[String], is_beaten: bool) -> &'static str {
    match (is_beaten, others) {
        (false, _) => "none of them is served",
        (true, [_]) => "it comes first and keeps it",
        (true, _) => "they come first and keep it",
    }
}
