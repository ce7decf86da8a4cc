//! What mends each [`Cause`]: the edit or the command.

use sealway_api::Kind;

use super::text::{all_quoted, quoted};
use super::{Cause, NoEndpoint};
use crate::hostname::HostnamePattern;
use crate::settings::BackendTlsFault;
use crate::snapshot::{StandardAttribute, X_BACKEND};

impl Cause {
    /// The edit or command that mends it; `None` where the message says it already.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::PathUnreadable { .. } => "check that the path exists and may be read".to_owned(),
            Self::FieldAbsent { field, .. } => format!("add `{field}`"),
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
            Self::StatusFull { .. } => "remove entries of controllers that are no longer installed".to_owned(),
            Self::ForeignController { .. } => {
                format!(
                    "write `controllerName: {}`, or `run` with --controller-name to serve only one",
                    crate::settings::CONTROLLER_NAME
                )
            }
            Self::ObjectsNotApplied { .. } => "give the controller the rights and the room that it lacks; it tries again by itself".to_owned(),
            Self::ProxySilent { .. } => {
                "see whether the pod and its node are well, and whether it may reach the controllers' Service; if it was killed, this goes away after ten minutes"
                    .to_owned()
            }
            Self::ProxyRefuses { pod, .. } => {
                format!("let controllers and proxies be of one version; if they are, delete the pod `{pod}` and report it")
            }
            Self::ClassParametersIgnored { .. } | Self::ParametersNotSupported { .. } => "remove `parametersRef`".to_owned(),
            Self::ClassNotFound { class } => format!("add a GatewayClass `{class}`, or correct `gatewayClassName`"),
            Self::BundleVersion { .. } => {
                "install the CRDs of a release that was tried: what this one adds or lacks is not served".to_owned()
            }
            Self::ParametersInvalid { .. } => "mend the ConfigMap, or remove `parametersRef`".to_owned(),
            Self::AddressTypeUnsupported { .. } => "use `type: IPAddress`".to_owned(),
            Self::AddressRoutabilityUnsupported { .. } => "remove `routability`, and limit who can reach the address".to_owned(),
            Self::AddressInvalid { .. } => "write an IPv4 or IPv6 address without port".to_owned(),
            Self::AddressNotUsable { .. } => "use an address of this machine, or remove `addresses` and pass --bind".to_owned(),
            Self::NoDefaultGateway { scope } => {
                format!("write `defaultScope: {scope}` in a Gateway's spec, or name the Gateway in the route's `parentRefs`")
            }
            Self::ProtocolUnsupported { .. } => "use HTTP, HTTPS, TLS, TCP or UDP".to_owned(),
            Self::TlsModeUnsupported { mode, protocol } if mode == "Passthrough" && protocol == "HTTPS" => {
                "use `protocol: TLS` with a TLSRoute, or `mode: Terminate`".to_owned()
            }
            Self::TlsModeUnsupported { protocol, .. } if protocol == "HTTPS" => "use `mode: Terminate`".to_owned(),
            Self::TlsModeUnsupported { .. } => "use `mode: Passthrough` or `mode: Terminate`".to_owned(),
            Self::ListenerFiltersUnsupported { .. } => {
                "remove them; of a listener's filters, ExternalAuth is served".to_owned()
            }
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
            Self::CertificateSecretInvalid { .. } => {
                "it needs the certificate chain in PEM under `tls.crt`, and its key in PEM, without a passphrase, under `tls.key`"
                    .to_owned()
            }
            Self::CertificateKeyMismatch { .. } => {
                "compare `openssl x509 -noout -pubkey -in tls.crt` with `openssl pkey -pubout -in tls.key`".to_owned()
            }
            Self::CertificateFlawed { flaw } => flaw.hint().to_owned(),
            Self::CertificateNameMissing { .. } => "add a certificate with that name, or correct the hostname".to_owned(),
            Self::TlsOptionInvalid { known, .. } | Self::TlsOptionUnknown { known, .. } => {
                format!("use one of {}", all_quoted(known))
            }
            Self::TlsOptionsImpossible { .. } => "remove one of them".to_owned(),
            Self::FrontendPortUnused { .. } => "correct the port, or add an HTTPS listener there".to_owned(),
            Self::FrontendInsecure { .. } => "use `mode: AllowValidOnly` once every client has a certificate".to_owned(),
            Self::FrontendNotCovered { .. } => {
                "use a listener of protocol HTTPS, or pass TLS through and check at the backend".to_owned()
            }
            Self::SelectorMissing => "add `selector.matchLabels`".to_owned(),
            Self::SelectorMatchesNothing { labels, namespaces, .. } => match labels {
                Some(labels) => {
                    let names = if namespaces.is_empty() {
                        "NAME".to_owned()
                    } else {
                        namespaces.join(" ")
                    };
                    format!(
                        "label the routes' namespaces: `kubectl label namespace {names} {labels}`, or in each Namespace's manifest"
                    )
                }
                None => "change the selector, or the labels of the routes' namespaces".to_owned(),
            },
            Self::RefNotPermitted { nearest: Some(_), .. } => "mend that entry, or add one that fits".to_owned(),
            Self::RefNotPermitted { from, to, .. } => format!(
                "add to namespace {} a ReferenceGrant with from: [{{group: {}, kind: {}, namespace: {}}}], to: [{{group: {:?}, kind: {}, name: {}}}]",
                to.key.namespace,
                from.kind.group(),
                from.kind,
                from.key.namespace,
                to.kind.group(),
                to.kind,
                to.key.name
            ),
            Self::ReferentRefused { .. } => "look at its own problem".to_owned(),
            Self::NoParents => "add `parentRefs`".to_owned(),
            Self::ParentNotFound { parent, elsewhere } => match elsewhere.first() {
                Some(key) => format!(
                    "did you mean {key}? Then write `namespace: {}` in the parentRef",
                    key.namespace
                ),
                None => format!("correct the parentRef, or add the {}", parent.kind),
            },
            Self::ParentKindUnsupported { .. } => "refer to a Gateway".to_owned(),
            Self::SectionNotFound { there, .. } => format!("there are: {}", quoted(there)),
            Self::NamespaceNotAllowed {
                namespace,
                labels: Some(labels),
                ..
            }
            | Self::ListenerSetNotAllowed {
                namespace,
                labels: Some(labels),
                ..
            } => {
                format!("label it: `kubectl label namespace {namespace} {labels}`, or in its Namespace manifest")
            }
            Self::NamespaceNotAllowed { .. } => "widen the listener's `allowedRoutes.namespaces`, or move the route".to_owned(),
            Self::ListenerSetNotAllowed { .. } => "widen the Gateway's `allowedListeners.namespaces`, or move the ListenerSet".to_owned(),
            Self::ListenerSetNotAttached { .. } => "look at the ListenerSet's own problem".to_owned(),
            Self::KindNotAllowed { kind, .. } => format!("add `{{kind: {kind}}}` to the listener's allowedRoutes.kinds"),
            Self::ListenerCannotHaveRoute { .. } => "attach the route to a listener of a fitting protocol".to_owned(),
            Self::NoMatchingHostname {
                hostnames, listeners, ..
            } if listeners.iter().any(|(_, pattern)| is_apex(pattern, hostnames)) => {
                "a wildcard does not cover the name that it hangs from: add a listener for that name".to_owned()
            }
            Self::NoMatchingHostname { .. } => {
                "change the route's hostnames or the listener's hostname so that they meet".to_owned()
            }
            Self::HostnameIgnored { .. } => "remove it, or add a listener for it".to_owned(),
            Self::Shadowed { .. } => "remove one of the two claims".to_owned(),
            Self::RulesShadowed { .. } => "keep one rule, as v1 demands; use weights to share".to_owned(),
            Self::HostnameUnreachable { .. } => {
                "attach the route to that listener, or change one of the two hostnames".to_owned()
            }
            Self::ParentNotServed { listener: Some(_), .. } => "look at the listener's own problem".to_owned(),
            Self::ParentNotServed { listener: None, .. } => "look at the Gateway's own problem".to_owned(),
            Self::NoBackends { .. } => "add `backendRefs`".to_owned(),
            Self::AllWeightsZero { .. } => "give one backend a weight above 0".to_owned(),
            Self::BackendKindUnsupported { .. } => "refer to a Service".to_owned(),
            Self::XBackendNotFound { .. } => "add the XBackend, or correct the name".to_owned(),
            Self::XBackendNotServed { .. } => "look at the XBackend's own problem".to_owned(),
            Self::BackendNotFound { service, port } => {
                format!("add the Service, correct the name, or pass `--endpoint {service}:{port}=HOST:PORT`")
            }
            Self::BackendPortMissing => "add `port`".to_owned(),
            Self::BackendPortNotFound { there, .. } => format!("there are: {}", quoted(there)),
            Self::NoReadyEndpoint {
                why: NoEndpoint::NoPort(..),
                ..
            } => "give the Service's port and the EndpointSlice's port the same name, or neither one".to_owned(),
            Self::NoReadyEndpoint { service, port, .. } => {
                format!("look at the pods behind it, or pass `--endpoint {service}:{port}=HOST:PORT`")
            }
            Self::BackendNameUnresolved { name, .. } if name.is_empty() => "add `externalName`".to_owned(),
            Self::BackendNameUnresolved { name, .. } => format!("check that `{name}` resolves on this machine"),
            Self::ConnectNotServed => "remove the match".to_owned(),
            Self::TimeoutsContradict { .. } => "make `backendRequest` the shorter one".to_owned(),
            Self::HeaderTwice { .. } => "keep one action for the header; several values stand in one, with commas".to_owned(),
            Self::FilterIncomplete { .. } => "fill in the field of that type".to_owned(),
            Self::FilterRepeated { .. } => "merge them into one".to_owned(),
            Self::FiltersIncompatible { .. } => "give each of them a rule of its own".to_owned(),
            Self::PrefixMatchNeeded => "use `ReplaceFullPath`, or give the rule matches of type PathPrefix only".to_owned(),
            Self::ExtensionUnsupported { .. } => "remove the filter".to_owned(),
            Self::BackendProtocolUnsupported { service, .. } if service.name.starts_with(X_BACKEND) => {
                "change the XBackend's `protocol`, or remove it".to_owned()
            }
            Self::BackendProtocolUnsupported { protocol, route, .. } => match (&*protocol.to_ascii_lowercase(), route) {
                ("https" | "tls", _) | ("kubernetes.io/wss", Kind::HttpRoute) => {
                    "add a BackendTLSPolicy for the Service".to_owned()
                }
                (_, Kind::GrpcRoute) => "use `appProtocol: kubernetes.io/h2c`, or remove it".to_owned(),
                _ => "use `kubernetes.io/h2c`, `kubernetes.io/ws` or `http`, or remove `appProtocol`".to_owned(),
            },
            Self::RouteKindConflict { .. } => "give one of the two routes a hostname of its own, or another listener".to_owned(),
            Self::MatchShadowed { .. } => "remove one of the two, or add a condition to one".to_owned(),
            Self::RedirectToItself => "state a scheme, hostname, path or port".to_owned(),
            Self::PolicyTargetMissing { .. } | Self::CaRefMissing { .. } => "add it, or correct the name".to_owned(),
            Self::PolicyTargetKind { .. } => "target a Service".to_owned(),
            Self::PolicySectionMissing { there, .. } => format!("there are: {}", quoted(there)),
            Self::BackendPolicyRefused { .. } => "look at the policy's own problem".to_owned(),
            Self::TelemetryTargetKind { .. } => "target a Gateway of group gateway.networking.k8s.io".to_owned(),
            Self::TelemetryConflicted { .. } => "remove one of the two, or its target".to_owned(),
            Self::AttributeNotKnown { .. } => {
                let known: Vec<_> = StandardAttribute::ALL.iter().map(|known| known.as_str().to_owned()).collect();
                format!("there are: {}", all_quoted(&known))
            }
            Self::PolicyConflicted { by, .. } if by.kind == Kind::BackendTlsPolicy => {
                "remove one of the two, or give each a port by `sectionName`".to_owned()
            }
            Self::PolicyConflicted { .. } => "make one of the two, or take the Service out of one".to_owned(),
            Self::BackendTlsFailed { fault, .. } => match fault {
                BackendTlsFault::UnknownAuthority => "put the CA that signed it into `caCertificateRefs`".to_owned(),
                BackendTlsFault::NameMismatch => {
                    "set `hostname`, or `subjectAltNames`, to a name of the backend's certificate".to_owned()
                }
                BackendTlsFault::RevocationUnknown => {
                    "see to it that the gateway can fetch the list from there, put it into `ca.crl` beside the authority, or take `--crl-failure hard` back".to_owned()
                }
                BackendTlsFault::Expired | BackendTlsFault::NotYetValid | BackendTlsFault::Revoked => {
                    "renew the backend's certificate".to_owned()
                }
                BackendTlsFault::BadCertificate => "have it issued with the usage `server auth`, and not as a CA".to_owned(),
                BackendTlsFault::NotTls => "correct the Service's port, or remove the policy".to_owned(),
                BackendTlsFault::ClientCertificateRefused => {
                    "set `spec.tls.backend.clientCertificateRef` of the Gateway to a certificate that the backend takes"
                        .to_owned()
                }
                BackendTlsFault::HandshakeRefused => {
                    "look at the backend's TLS versions, and at the names that it serves".to_owned()
                }
                BackendTlsFault::Broken => "look at the backend's own log".to_owned(),
            },
            Self::CaRefKind { .. } => "refer to a ConfigMap, Secret or ClusterTrustBundle".to_owned(),
            Self::CaRefAwaited { by, .. } => format!("wait for {by}, or look at its status"),
            Self::CaRefInvalid { .. } => "it needs certificates in PEM under `ca.crt`".to_owned(),
            Self::AuthorityFlawed { flaw } => flaw.hint().to_owned(),
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
            } if instead.kind == Kind::ConfigMap => {
                format!("{instead} is there: mount it as `configMap`, not as `secret`")
            }
            Self::MountMissing {
                instead: Some(instead), ..
            } => format!("{instead} is there: mount that"),
            Self::MountMissing { policy: Some(_), .. } => {
                "if that one is meant, create the ConfigMap here and mount it as `configMap`; else create the Secret".to_owned()
            }
            Self::MountMissing { .. } => "create it, or correct the name".to_owned(),
            Self::SelectorAbsent => "add `spec.selector.matchLabels` that fits the template's labels".to_owned(),
            Self::Told(told) => return told.hint.clone(),
            Self::Syntax { .. }
            | Self::Invalid { .. }
            | Self::RepeatedObject { .. }
            | Self::AnnotationInvalid { .. }
            | Self::PolicyInvalid { .. }
            | Self::TelemetryInvalid { .. }
            | Self::NoValidCa { .. }
            | Self::PortFailed { .. }
            | Self::ValueUnsupported { .. }
            | Self::RegexInvalid { .. }
            | Self::EndpointInvalid { .. } => return None,
        };
        Some(hint)
    }
}

fn is_apex(listener: &HostnamePattern, hostnames: &[String]) -> bool {
    matches!(listener, HostnamePattern::Wildcard(suffix) if hostnames.iter().any(|name| **name == **suffix))
}
