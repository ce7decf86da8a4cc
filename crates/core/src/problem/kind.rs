//! Severity, rank and code of every [`Cause`].

use sealway_api::Kind;

use super::{Cause, Severity};

impl Cause {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::CertificateFlawed { flaw } => flaw.severity(),
            Self::Told(told) => told.severity,
            Self::RepeatedObject { .. } | Self::SelectorAbsent | Self::HostnameIgnored { .. } | Self::FrontendInsecure { .. } => {
                Severity::Note
            }
            Self::SupersededVersion { .. }
            | Self::UnknownField { .. }
            | Self::LastGoodKept
            | Self::StatusFull { .. }
            | Self::ProxySilent { .. }
            | Self::ForeignController { .. }
            | Self::ClassParametersIgnored { .. }
            | Self::BundleVersion { .. }
            | Self::SelectorMatchesNothing { .. }
            | Self::NoParents
            | Self::Shadowed { .. }
            | Self::RulesShadowed { .. }
            | Self::HostnameUnreachable { .. }
            | Self::AllWeightsZero { .. }
            | Self::MatchShadowed { .. }
            | Self::RedirectToItself
            | Self::NoDefaultGateway { .. }
            | Self::ConnectNotServed
            | Self::CertificateNameMissing { .. }
            | Self::TlsOptionUnknown { .. }
            | Self::FrontendPortUnused { .. }
            | Self::FrontendNotCovered { .. }
            | Self::BackendTlsFailed { .. }
            | Self::AuthorityFlawed { .. }
            | Self::AttributeNotKnown { .. }
            | Self::NoReadyEndpoint { .. } => Severity::Warning,
            // An HTTPRoute may mean it: it answers 500 then.
            Self::NoBackends { route } if !matches!(route, Kind::TlsRoute | Kind::TcpRoute | Kind::UdpRoute) => Severity::Warning,
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
            | Self::FieldAbsent { .. }
            | Self::UnknownValue { .. }
            | Self::DuplicateObject { .. } => 0,
            // The first follows from a broken document.
            Self::LastGoodKept | Self::ForeignController { .. } | Self::ClassNotFound { .. } => 1,
            Self::SelectorMatchesNothing { .. } | Self::SelectorMissing => 2,
            Self::ParentNotFound { .. }
            | Self::IssuerNotFound { .. }
            | Self::IssuerSecretMissing { .. }
            | Self::CertificateSecretMissing { .. }
            | Self::CertificateSecretInvalid { .. }
            | Self::CertificateKeyMismatch { .. }
            | Self::CaRefMissing { .. }
            | Self::CaRefInvalid { .. }
            | Self::BackendNotFound { .. }
            | Self::MountMissing { .. }
            | Self::PolicyTargetMissing { .. } => 3,
            // Follows from a selector that matches nothing, from a missing grant, or from an object that is refused.
            Self::NamespaceNotAllowed { .. }
            | Self::ListenerSetNotAttached { .. }
            | Self::NoMatchingHostname { .. }
            | Self::BackendPolicyRefused { .. }
            | Self::XBackendNotServed { .. }
            | Self::ReferentRefused { .. }
            | Self::ParentNotServed { .. } => 5,
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
            Self::FieldAbsent { .. } => "field-absent",
            Self::UnknownValue { .. } => "unknown-value",
            Self::UnknownField { .. } => "unknown-field",
            Self::DuplicateObject { .. } => "duplicate-object",
            Self::RepeatedObject { .. } => "repeated-object",
            Self::LastGoodKept => "last-good-kept",
            Self::StatusFull { .. } => "status-full",
            Self::ForeignController { .. } => "foreign-controller",
            Self::BundleVersion { .. } => "bundle-version",
            Self::ParametersInvalid { .. } => "parameters-invalid",
            Self::ClassParametersIgnored { .. } => "class-parameters-ignored",
            Self::ObjectsNotApplied { .. } => "objects-not-applied",
            Self::ProxySilent { .. } => "proxy-silent",
            Self::ProxyRefuses { .. } => "proxy-refuses",
            Self::ParametersNotSupported { .. } => "parameters-not-supported",
            Self::ClassNotFound { .. } => "class-not-found",
            Self::AddressTypeUnsupported { .. } => "address-type-unsupported",
            Self::AddressRoutabilityUnsupported { .. } => "address-routability-unsupported",
            Self::AddressInvalid { .. } => "address-invalid",
            Self::AddressNotUsable { .. } => "address-not-usable",
            Self::AnnotationInvalid { .. } => "annotation-invalid",
            Self::NoDefaultGateway { .. } => "no-default-gateway",
            Self::ProtocolUnsupported { .. } => "protocol-unsupported",
            Self::TlsModeUnsupported { .. } => "tls-mode-unsupported",
            Self::ListenerFiltersUnsupported { .. } => "listener-filters-unsupported",
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
            Self::CertificateKeyMismatch { .. } => "certificate-key-mismatch",
            Self::CertificateFlawed { flaw } => flaw.code(),
            Self::CertificateNameMissing { .. } => "certificate-name-missing",
            Self::TlsOptionInvalid { .. } => "tls-option-invalid",
            Self::TlsOptionUnknown { .. } => "tls-option-unknown",
            Self::TlsOptionsImpossible { .. } => "tls-options-impossible",
            Self::FrontendPortUnused { .. } => "client-validation-unused",
            Self::FrontendInsecure { .. } => "client-validation-insecure",
            Self::FrontendNotCovered { .. } => "client-validation-not-covering",
            Self::SelectorMissing => "selector-missing",
            Self::SelectorMatchesNothing { .. } => "selector-matches-nothing",
            Self::RefNotPermitted { .. } => "ref-not-permitted",
            Self::ReferentRefused { .. } => "referent-refused",
            Self::NoParents => "no-parents",
            Self::ParentNotFound { .. } => "parent-not-found",
            Self::ParentKindUnsupported { .. } => "parent-kind-unsupported",
            Self::ListenerSetNotAllowed { .. } => "listener-set-not-allowed",
            Self::ListenerSetNotAttached { .. } => "listener-set-not-attached",
            Self::SectionNotFound { .. } => "section-not-found",
            Self::NamespaceNotAllowed { .. } => "namespace-not-allowed",
            Self::KindNotAllowed { .. } => "kind-not-allowed",
            Self::ListenerCannotHaveRoute { .. } => "listener-cannot-have-route",
            Self::NoMatchingHostname { .. } => "no-matching-hostname",
            Self::HostnameIgnored { .. } => "hostname-ignored",
            Self::Shadowed { .. } => "shadowed",
            Self::RulesShadowed { .. } => "rules-shadowed",
            Self::HostnameUnreachable { .. } => "hostname-unreachable",
            Self::ParentNotServed { .. } => "parent-not-served",
            Self::NoBackends { .. } => "no-backends",
            Self::AllWeightsZero { .. } => "all-weights-zero",
            Self::BackendKindUnsupported { .. } => "backend-kind-unsupported",
            Self::XBackendNotFound { .. } => "x-backend-not-found",
            Self::XBackendNotServed { .. } => "x-backend-not-served",
            Self::BackendNotFound { .. } => "backend-not-found",
            Self::BackendPortMissing => "backend-port-missing",
            Self::BackendPortNotFound { .. } => "backend-port-not-found",
            Self::NoReadyEndpoint { .. } => "no-ready-endpoint",
            Self::BackendNameUnresolved { .. } => "backend-name-unresolved",
            Self::EndpointInvalid { .. } => "endpoint-invalid",
            Self::ValueUnsupported { .. } => "value-unsupported",
            Self::ConnectNotServed => "connect-not-served",
            Self::RegexInvalid { .. } => "regex-invalid",
            Self::TimeoutsContradict { .. } => "timeouts-contradict",
            Self::HeaderTwice { .. } => "header-twice",
            Self::FilterIncomplete { .. } => "filter-incomplete",
            Self::FilterRepeated { .. } => "filter-repeated",
            Self::FiltersIncompatible { .. } => "filters-incompatible",
            Self::PrefixMatchNeeded => "prefix-match-needed",
            Self::ExtensionUnsupported { .. } => "extension-unsupported",
            Self::BackendProtocolUnsupported { .. } => "backend-protocol-unsupported",
            Self::RouteKindConflict { .. } => "route-kind-conflict",
            Self::MatchShadowed { .. } => "match-shadowed",
            Self::RedirectToItself => "redirect-to-itself",
            Self::PolicyTargetMissing { .. } => "policy-target-missing",
            Self::PolicyTargetKind { .. } => "policy-target-kind",
            Self::PolicySectionMissing { .. } => "policy-section-missing",
            Self::PolicyConflicted { .. } => "policy-conflicted",
            Self::PolicyInvalid { .. } => "policy-invalid",
            Self::TelemetryTargetKind { .. } => "telemetry-target-kind",
            Self::TelemetryConflicted { .. } => "telemetry-conflicted",
            Self::TelemetryInvalid { .. } => "telemetry-invalid",
            Self::AttributeNotKnown { .. } => "attribute-not-known",
            Self::BackendPolicyRefused { .. } => "backend-policy-refused",
            Self::BackendTlsFailed { .. } => "backend-tls-failed",
            Self::CaRefKind { .. } => "ca-ref-kind",
            Self::CaRefMissing { .. } => "ca-ref-missing",
            Self::CaRefAwaited { .. } => "ca-ref-awaited",
            Self::CaRefInvalid { .. } => "ca-ref-invalid",
            Self::NoValidCa { .. } => "no-valid-ca",
            Self::AuthorityFlawed { flaw } => flaw.code(),
            Self::IssuerNotFound { .. } => "issuer-not-found",
            Self::IssuerSecretMissing { .. } => "issuer-secret-missing",
            Self::MountMissing { .. } => "mount-missing",
            Self::SelectorAbsent => "selector-absent",
            Self::Told(told) => told.code,
        }
    }
}
