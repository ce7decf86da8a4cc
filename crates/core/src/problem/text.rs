//! Lists in messages.

use sealway_api::Kind;

use super::{Cause, Severity};

impl Cause {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::RepeatedObject { .. } | Self::SelectorAbsent | Self::HostnameIgnored { .. } => Severity::Note,
            Self::SupersededVersion { .. }
            | Self::UnknownField { .. }
            | Self::LastGoodKept
            | Self::ForeignController { .. }
            | Self::ParametersNotSupported { .. }
            | Self::SelectorMatchesNothing { .. }
            | Self::Shadowed { .. }
            | Self::RulesShadowed { .. }
            | Self::AllWeightsZero
            | Self::NoReadyEndpoint { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Where it stands in a list: what others follow from comes first.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::PathUnreadable { .. }
            | Self::Syntax { .. }
            | Self::DuplicateKey { .. }
            | Self::NotAnObject { .. }
            | Self::UnknownVersion { .. }
            | Self::Invalid { .. }
            | Self::UnknownValue { .. }
            | Self::DuplicateObject { .. } => 0,
            // Follows from a broken document.
            Self::LastGoodKept => 1,
            Self::ForeignController { .. } | Self::ClassNotFound { .. } => 1,
            Self::SelectorMatchesNothing { .. } | Self::SelectorMissing => 2,
            Self::ParentNotFound { .. }
            | Self::IssuerNotFound { .. }
            | Self::IssuerSecretMissing { .. }
            | Self::CertificateSecretMissing { .. }
            | Self::CertificateSecretInvalid { .. }
            | Self::CaRefMissing { .. }
            | Self::BackendNotFound { .. }
            | Self::MountMissing { .. }
            | Self::PolicyTargetMissing { .. } => 3,
            // Follows from a selector that matches nothing, or from a missing grant.
            Self::NamespaceNotAllowed { .. } | Self::NoMatchingHostname { .. } | Self::ListenerNotAccepted { .. } => 5,
            Self::SupersededVersion { .. } | Self::UnknownField { .. } => 6,
            _ if self.severity() == Severity::Note => 7,
            _ => 4,
        }
    }

    /// Stable identifier, for scripts and for looking it up.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::PathUnreadable { .. } => "path-unreadable",
            Self::Syntax { .. } => "syntax",
            Self::DuplicateKey { .. } => "duplicate-key",
            Self::NotAnObject { .. } => "not-an-object",
            Self::UnknownVersion { .. } => "unknown-version",
            Self::SupersededVersion { .. } => "superseded-version",
            Self::Invalid { .. } => "invalid",
            Self::UnknownValue { .. } => "unknown-value",
            Self::UnknownField { .. } => "unknown-field",
            Self::DuplicateObject { .. } => "duplicate-object",
            Self::RepeatedObject { .. } => "repeated-object",
            Self::LastGoodKept => "last-good-kept",
            Self::ForeignController { .. } => "foreign-controller",
            Self::ParametersNotSupported { .. } => "parameters-not-supported",
            Self::ClassNotFound { .. } => "class-not-found",
            Self::AddressTypeUnsupported { .. } => "address-type-unsupported",
            Self::AddressInvalid { .. } => "address-invalid",
            Self::AddressNotUsable { .. } => "address-not-usable",
            Self::AnnotationInvalid { .. } => "annotation-invalid",
            Self::ProtocolUnsupported { .. } => "protocol-unsupported",
            Self::TlsModeUnsupported { .. } => "tls-mode-unsupported",
            Self::TlsMissing => "tls-missing",
            Self::RouteKindUnsupported { .. } => "route-kind-unsupported",
            Self::ProtocolConflict { .. } => "protocol-conflict",
            Self::HostnameConflict { .. } => "hostname-conflict",
            Self::ListenerConflict { .. } => "listener-conflict",
            Self::PortTakenByGateway { .. } => "port-taken-by-gateway",
            Self::PortReserved { .. } => "port-reserved",
            Self::PortOverflows { .. } => "port-overflows",
            Self::PortInUse { .. } => "port-in-use",
            Self::PortNotPermitted { .. } => "port-not-permitted",
            Self::PortFailed { .. } => "port-failed",
            Self::CertificateRefMissing => "certificate-ref-missing",
            Self::CertificateRefKind { .. } => "certificate-ref-kind",
            Self::CertificateSecretMissing { .. } => "certificate-secret-missing",
            Self::CertificateSecretInvalid { .. } => "certificate-secret-invalid",
            Self::SelectorMissing => "selector-missing",
            Self::SelectorMatchesNothing { .. } => "selector-matches-nothing",
            Self::RefNotPermitted { .. } => "ref-not-permitted",
            Self::ParentNotFound { .. } => "parent-not-found",
            Self::ParentKindUnsupported { .. } => "parent-kind-unsupported",
            Self::SectionNotFound { .. } => "section-not-found",
            Self::NamespaceNotAllowed { .. } => "namespace-not-allowed",
            Self::KindNotAllowed { .. } => "kind-not-allowed",
            Self::ListenerCannotHaveRoute { .. } => "listener-cannot-have-route",
            Self::NoMatchingHostname { .. } => "no-matching-hostname",
            Self::HostnameIgnored { .. } => "hostname-ignored",
            Self::Shadowed { .. } => "shadowed",
            Self::RulesShadowed { .. } => "rules-shadowed",
            Self::ListenerNotAccepted { .. } => "listener-not-accepted",
            Self::NotServedYet { .. } => "not-served-yet",
            Self::NoBackends => "no-backends",
            Self::AllWeightsZero => "all-weights-zero",
            Self::BackendKindUnsupported { .. } => "backend-kind-unsupported",
            Self::BackendNotFound { .. } => "backend-not-found",
            Self::BackendPortMissing => "backend-port-missing",
            Self::BackendPortNotFound { .. } => "backend-port-not-found",
            Self::NoReadyEndpoint { .. } => "no-ready-endpoint",
            Self::BackendNameUnresolved { .. } => "backend-name-unresolved",
            Self::EndpointInvalid { .. } => "endpoint-invalid",
            Self::PolicyTargetMissing { .. } => "policy-target-missing",
            Self::CaRefMissing { .. } => "ca-ref-missing",
            Self::IssuerNotFound { .. } => "issuer-not-found",
            Self::IssuerSecretMissing { .. } => "issuer-secret-missing",
            Self::MountMissing { .. } => "mount-missing",
            Self::SelectorAbsent => "selector-absent",
        }
    }

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
            Self::Invalid { detail } => detail.clone(),
            Self::UnknownValue { value, known } => {
                format!("value `{value}` is not one of {}", quoted(known))
            }
            Self::UnknownField { name, .. } => format!("unknown field `{name}`: an API server would drop it"),
            Self::DuplicateObject { other } => format!("the same object stands at {other} with other content; neither is used"),
            Self::RepeatedObject { other } => format!("the same object stands at {other} with the same content"),
            Self::LastGoodKept => "the document is broken; what it said before stays in force".to_owned(),
            Self::ForeignController { controller } => {
                format!("names another controller, `{controller}`; served all the same")
            }
            Self::ParametersNotSupported { kind } => format!("parameters of kind {kind} mean nothing to Sealway"),
            Self::ClassNotFound { class } => format!("there is no GatewayClass `{class}`"),
            Self::AddressTypeUnsupported { kind } => format!("addresses of type {kind} are not supported"),
            Self::AddressInvalid { value } => format!("`{value}` is not an IP address"),
            Self::AddressNotUsable { value } => format!("this machine cannot bind address {value}"),
            Self::AnnotationInvalid { key, value, expected } => {
                format!("annotation {key}: `{value}` is not {expected}; the annotation is ignored")
            }
            Self::ProtocolUnsupported { protocol } => format!("protocol {protocol} is not supported"),
            Self::TlsModeUnsupported { mode } => format!("TLS mode {mode} is not supported"),
            Self::TlsMissing => "the listener ends TLS but has no `tls`: there is no certificate to serve".to_owned(),
            Self::RouteKindUnsupported { kind, .. } => format!("a listener of this protocol cannot have routes of kind {kind}"),
            Self::ProtocolConflict { port, others } => {
                format!(
                    "port {port} is also claimed by {} with a protocol that cannot share it; none of them is served",
                    quoted(others)
                )
            }
            Self::HostnameConflict { hostname, port, others } => {
                format!(
                    "{hostname} on port {port} is also claimed by {}; none of them is served",
                    quoted(others)
                )
            }
            Self::ListenerConflict { port, others } => {
                format!(
                    "port {port} is also claimed by {}; only one listener can have it",
                    quoted(others)
                )
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
            Self::SelectorMissing => "`from: Selector` without a selector admits no namespace".to_owned(),
            Self::SelectorMatchesNothing { selector } => {
                format!("no Namespace carries the labels that this selects ({selector}): no route can attach")
            }
            Self::RefNotPermitted { from, to } => {
                format!(
                    "{from} may not refer to {to}: no ReferenceGrant in namespace {} allows it",
                    to.key.namespace
                )
            }
            Self::ParentNotFound { parent, .. } => format!("there is no {parent}"),
            Self::ParentKindUnsupported { kind } => format!("a parent of kind {kind} is not supported"),
            Self::SectionNotFound {
                gateway, section, port, ..
            } => match (section, port) {
                (Some(section), Some(port)) => format!("Gateway {gateway} has no listener `{section}` on port {port}"),
                (Some(section), None) => format!("Gateway {gateway} has no listener `{section}`"),
                (None, Some(port)) => format!("Gateway {gateway} has no listener on port {port}"),
                (None, None) => format!("Gateway {gateway} has no listeners"),
            },
            Self::NamespaceNotAllowed { gateway, listener, rule } => {
                format!("listener `{listener}` of Gateway {gateway} takes no routes from this namespace ({rule})")
            }
            Self::KindNotAllowed { gateway, listener, kind } => {
                format!("listener `{listener}` of Gateway {gateway} does not allow routes of kind {kind}")
            }
            Self::ListenerCannotHaveRoute {
                gateway,
                listener,
                protocol,
            } => {
                format!("listener `{listener}` of Gateway {gateway} speaks {protocol}, which cannot have such a route")
            }
            Self::NoMatchingHostname {
                gateway,
                hostnames,
                listeners,
            } => {
                format!(
                    "no hostname of the route ({}) is served by Gateway {gateway} ({})",
                    hostnames.join(", "),
                    listeners.join(", ")
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
            Self::ListenerNotAccepted {
                gateway,
                listener,
                reason,
            } => {
                format!("listener `{listener}` of Gateway {gateway} is not accepted itself ({reason})")
            }
            Self::NotServedYet { what } => format!("{what} is read and checked, but this version does not serve it yet"),
            Self::NoBackends => "the rule names no backend: every connection is refused".to_owned(),
            Self::AllWeightsZero => "all weights are 0: every connection is refused".to_owned(),
            Self::BackendKindUnsupported { group, kind } => format!("kind {kind}{} cannot be a backend", of_group(group)),
            Self::BackendNotFound { service } => format!("there is no Service {service}"),
            Self::BackendPortMissing => "a Service as backend needs a port".to_owned(),
            Self::BackendPortNotFound { service, port, .. } => format!("Service {service} has no port {port}"),
            Self::NoReadyEndpoint {
                service,
                port,
                slices: true,
            } => format!("no endpoint of Service {service} port {port} is ready"),
            Self::NoReadyEndpoint {
                service,
                port,
                slices: false,
            } => {
                format!("Service {service} port {port} has no EndpointSlice: there is nothing to connect to")
            }
            Self::BackendNameUnresolved { service, name } => {
                format!("`{name}`, where Service {service} leads, has no address yet")
            }
            Self::EndpointInvalid { value } => format!("`{value}` is no address of the slice's type; the endpoint is left out"),
            Self::PolicyTargetMissing { target } => format!("there is no {target}"),
            Self::CaRefMissing { reference } => format!("there is no {reference}"),
            Self::IssuerNotFound { issuer, .. } => format!("there is no {issuer}"),
            Self::IssuerSecretMissing { secret } => format!("the CA's Secret {secret} does not exist"),
            Self::MountMissing {
                reference,
                instead: None,
            } => format!("mounts {reference}, which does not exist"),
            Self::MountMissing {
                reference,
                instead: Some(instead),
            } => {
                format!("mounts {reference}, which does not exist; what there is under that name is {instead}")
            }
            Self::SelectorAbsent => "a Deployment must have a selector: an API server refuses it".to_owned(),
        }
    }

    /// The edit or command that mends it; `None` where the message says it already.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::PathUnreadable { .. } => "check that the path exists and may be read".to_owned(),
            Self::DuplicateKey { key, .. } => format!("keep one `{key}`"),
            Self::NotAnObject { .. } => "every document needs `apiVersion`, `kind` and `metadata.name`".to_owned(),
            Self::UnknownVersion { served, .. } => format!("use one of {}", quoted(served)),
            Self::SupersededVersion { successor, .. } => format!("write `apiVersion: {successor}`"),
            Self::UnknownValue { known, .. } => format!("use one of {}", quoted(known)),
            Self::UnknownField {
                nearest: Some(nearest), ..
            } => format!("did you mean `{nearest}`?"),
            Self::UnknownField { nearest: None, .. } => "remove it".to_owned(),
            Self::DuplicateObject { .. } => "remove one of the two, or give it another name".to_owned(),
            Self::LastGoodKept => "mend the document, or remove the object".to_owned(),
            Self::ForeignController { .. } => {
                format!(
                    "write `controllerName: {}`, or pass --controller-name to serve only one",
                    crate::settings::CONTROLLER_NAME
                )
            }
            Self::ParametersNotSupported { .. } => "remove `parametersRef`".to_owned(),
            Self::ClassNotFound { class } => format!("add a GatewayClass `{class}`, or correct `gatewayClassName`"),
            Self::AddressTypeUnsupported { .. } => "use `type: IPAddress`".to_owned(),
            Self::AddressInvalid { .. } => "write an IPv4 or IPv6 address without port".to_owned(),
            Self::AddressNotUsable { .. } => "use an address of this machine, or remove `addresses` and pass --bind".to_owned(),
            Self::ProtocolUnsupported { .. } => "use HTTP, HTTPS or TLS".to_owned(),
            Self::TlsModeUnsupported { .. } => "use `mode: Passthrough` or `mode: Terminate`".to_owned(),
            Self::TlsMissing | Self::CertificateRefMissing => "add `tls.certificateRefs: [{name: SECRET}]`".to_owned(),
            Self::RouteKindUnsupported { supported, .. } if supported.is_empty() => "remove it".to_owned(),
            Self::RouteKindUnsupported { supported, .. } => format!("use {}", quoted(supported)),
            Self::ProtocolConflict { .. } | Self::ListenerConflict { .. } => "move one of them to another port".to_owned(),
            Self::HostnameConflict { .. } => "give each listener a hostname of its own, or merge them".to_owned(),
            Self::PortTakenByGateway { .. } => {
                "give the Gateway an address of its own (`--bind NS/GATEWAY=IP`) or another port".to_owned()
            }
            Self::PortReserved { .. } => "move --admin or --health to another port".to_owned(),
            Self::PortOverflows { .. } => "use a smaller --port-offset".to_owned(),
            Self::PortInUse { socket } => {
                format!("find it with `ss -ltnp 'sport = :{}'`, or use --port-offset", socket.port())
            }
            Self::PortNotPermitted { socket } => format!(
                "run with --port-offset 10000 (listener {0} is then served on {1}), or grant CAP_NET_BIND_SERVICE",
                socket.port(),
                u32::from(socket.port()) + 10_000
            ),
            Self::CertificateRefKind { .. } => "refer to a Secret of type kubernetes.io/tls".to_owned(),
            Self::CertificateSecretMissing { secret, issuer: None } => format!(
                "create it: `kubectl -n {} create secret tls {} --cert tls.crt --key tls.key`, or add a Certificate that issues it",
                secret.namespace, secret.name
            ),
            Self::CertificateSecretMissing {
                issuer: Some(issuer), ..
            } => format!("wait for {issuer}, or look at its status"),
            Self::CertificateSecretInvalid { .. } => "it needs PEM under `tls.crt` and `tls.key`".to_owned(),
            Self::SelectorMissing => "add `selector.matchLabels`".to_owned(),
            Self::SelectorMatchesNothing { selector } => {
                format!(
                    "label the routes' namespaces: `kubectl label namespace NAME {selector}`, or in the Namespace's metadata.labels"
                )
            }
            Self::RefNotPermitted { from, to } => format!(
                "add to namespace {}: ReferenceGrant with from: [{{group: {}, kind: {}, namespace: {}}}], to: [{{group: {:?}, kind: {}, name: {}}}]",
                to.key.namespace,
                from.kind.group(),
                from.kind,
                from.key.namespace,
                to.kind.group(),
                to.kind,
                to.key.name
            ),
            Self::ParentNotFound { elsewhere, .. } => match elsewhere.first() {
                Some(key) if !key.namespace.is_empty() => {
                    format!("did you mean {key}? Then add `namespace: {}` to the parentRef", key.namespace)
                }
                _ => "correct the parentRef, or add the Gateway".to_owned(),
            },
            Self::ParentKindUnsupported { .. } => "refer to a Gateway".to_owned(),
            Self::SectionNotFound { there, .. } => format!("there are: {}", quoted(there)),
            Self::NamespaceNotAllowed { .. } => {
                "label the namespace as the listener's selector asks, or widen `allowedRoutes.namespaces`".to_owned()
            }
            Self::KindNotAllowed { kind, .. } => format!("add `{{kind: {kind}}}` to the listener's allowedRoutes.kinds"),
            Self::ListenerCannotHaveRoute { .. } => "attach the route to a listener of a fitting protocol".to_owned(),
            Self::NoMatchingHostname { .. } => {
                "change the route's hostnames or the listener's hostname so that they meet".to_owned()
            }
            Self::HostnameIgnored { .. } => "remove it, or add a listener for it".to_owned(),
            Self::Shadowed { .. } => "remove one of the two claims".to_owned(),
            Self::RulesShadowed { .. } => "keep one rule, as v1 demands; use weights to share".to_owned(),
            Self::ListenerNotAccepted { .. } => "look at the listener's own conditions".to_owned(),
            Self::NoBackends => "add `backendRefs`".to_owned(),
            Self::AllWeightsZero => "give one backend a weight above 0".to_owned(),
            Self::BackendKindUnsupported { .. } => "refer to a Service".to_owned(),
            Self::BackendNotFound { service } => {
                format!("add the Service, correct the name, or pass `--endpoint {service}:PORT=HOST:PORT`")
            }
            Self::BackendPortMissing => "add `port`".to_owned(),
            Self::BackendPortNotFound { there, .. } => format!("there are: {}", quoted(there)),
            Self::NoReadyEndpoint { service, port, .. } => {
                format!("look at the pods behind it, or pass `--endpoint {service}:{port}=HOST:PORT`")
            }
            Self::BackendNameUnresolved { name, .. } => format!("check that `{name}` resolves on this machine"),
            Self::PolicyTargetMissing { .. } | Self::CaRefMissing { .. } => "add it, or correct the name".to_owned(),
            Self::IssuerNotFound { elsewhere, .. } => match elsewhere.first() {
                Some(other) if other.kind == Kind::Issuer => {
                    format!("{other} serves its own namespace only: make it a ClusterIssuer, or add an Issuer here")
                }
                Some(other) => format!("did you mean `kind: {}`, name {}?", other.kind, other.key.name),
                None => "add the Issuer, or correct issuerRef".to_owned(),
            },
            Self::IssuerSecretMissing { secret } => {
                format!(
                    "create it (`tls.crt`, `tls.key` of the CA), or add a Certificate with isCA and secretName {}",
                    secret.name
                )
            }
            Self::MountMissing {
                instead: Some(instead), ..
            } if instead.kind == Kind::ConfigMap => "mount it as `configMap`, not as `secret`".to_owned(),
            Self::MountMissing {
                instead: Some(instead), ..
            } => format!("mount {instead}"),
            Self::MountMissing { instead: None, .. } => "create it, or correct the name".to_owned(),
            Self::SelectorAbsent => "add `spec.selector.matchLabels` that fits the template's labels".to_owned(),
            Self::Syntax { .. }
            | Self::Invalid { .. }
            | Self::RepeatedObject { .. }
            | Self::NotServedYet { .. }
            | Self::AnnotationInvalid { .. }
            | Self::PortFailed { .. }
            | Self::EndpointInvalid { .. } => return None,
        };
        Some(hint)
    }
}

fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    some_of(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

/// The first few, and how many more there are: a message is to be read.
pub(crate) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.get(SHOWN..) {
        Some(rest) if !rest.is_empty() => {
            let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>();
            format!("{} and {} more", shown.join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}
