//! The specification's reason for each [`Cause`] that shows in a condition.

use sealway_api::Reason;

use super::Cause;

impl Cause {
    /// The reason of the condition that this makes false; `Invalid` for what no condition of the specification names.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::ClassParametersIgnored { .. } | Self::ParametersInvalid { .. } | Self::ParametersNotSupported { .. } => {
                Reason::InvalidParameters
            }
            Self::BundleVersion { .. } => Reason::UnsupportedVersion,
            Self::AddressTypeUnsupported { .. } | Self::AddressRoutabilityUnsupported { .. } => Reason::UnsupportedAddress,
            Self::AddressNotUsable { .. } => Reason::AddressNotUsable,
            Self::ProtocolUnsupported { .. } | Self::BackendProtocolUnsupported { .. } => Reason::UnsupportedProtocol,
            Self::TlsModeUnsupported { .. }
            | Self::ListenerFiltersUnsupported { .. }
            | Self::SelectorMissing
            | Self::ValueUnsupported { .. }
            | Self::RegexInvalid { .. }
            | Self::TimeoutsContradict { .. }
            | Self::HeaderTwice { .. }
            | Self::FilterIncomplete { .. }
            | Self::PrefixMatchNeeded
            | Self::TlsOptionInvalid { .. }
            | Self::XBackendNotServed { .. }
            | Self::TlsOptionsImpossible { .. } => Reason::UnsupportedValue,
            Self::FilterRepeated { .. } | Self::FiltersIncompatible { .. } => Reason::IncompatibleFilters,
            // On a BackendTLSPolicy the same is called InvalidKind (apis/v1/backendtlspolicy_types.go).
            Self::CaRefKind { .. } => Reason::InvalidCaCertificateKind,
            Self::CaRefMissing { .. } | Self::CaRefAwaited { .. } | Self::CaRefInvalid { .. } => Reason::InvalidCaCertificateRef,
            Self::NoValidCa { .. } => Reason::NoValidCaCertificate,
            Self::BackendPolicyRefused { .. } => Reason::InvalidBackendTlsPolicy,
            Self::PolicyTargetMissing { .. } | Self::PolicySectionMissing { .. } => Reason::TargetNotFound,
            Self::PolicyConflicted { .. } | Self::TelemetryConflicted { .. } => Reason::Conflicted,
            Self::RouteKindUnsupported { .. } => Reason::InvalidRouteKinds,
            Self::ProtocolConflict { .. } => Reason::ProtocolConflict,
            Self::HostnameConflict { .. } | Self::RouteKindConflict { .. } => Reason::HostnameConflict,
            Self::ListenerConflict { .. } => Reason::ListenerConflict,
            Self::PortTakenByGateway { .. }
            | Self::PortReserved { .. }
            | Self::PortOverflows { .. }
            | Self::PortInUse { .. }
            | Self::PortNotPermitted { .. }
            | Self::PortFailed { .. } => Reason::PortUnavailable,
            Self::TlsMissing
            | Self::CertificateRefMissing
            | Self::CertificateRefKind { .. }
            | Self::CertificateSecretMissing { .. }
            | Self::CertificateSecretInvalid { .. }
            | Self::CertificateKeyMismatch { .. } => Reason::InvalidCertificateRef,
            Self::RefNotPermitted { .. } => Reason::RefNotPermitted,
            Self::ReferentRefused { missing, .. } => missing.reason(),
            Self::ListenerSetNotAllowed { .. } => Reason::NotAllowed,
            Self::SectionNotFound { .. } | Self::ListenerSetNotAttached { .. } => Reason::NoMatchingParent,
            // The specification's text says UnsupportedValue for a listener of the wrong protocol, its test
            // TLSRouteInvalidNoMatchingListener asks for NotAllowedByListeners: the test wins.
            Self::NamespaceNotAllowed { .. } | Self::KindNotAllowed { .. } | Self::ListenerCannotHaveRoute { .. } => {
                Reason::NotAllowedByListeners
            }
            Self::NoMatchingHostname { .. } => Reason::NoMatchingListenerHostname,
            Self::BackendKindUnsupported { .. } | Self::ExtensionUnsupported { .. } => Reason::InvalidKind,
            Self::BackendNotFound { .. }
            | Self::XBackendNotFound { .. }
            | Self::BackendPortMissing
            | Self::BackendPortNotFound { .. } => Reason::BackendNotFound,
            _ => Reason::Invalid,
        }
    }

    /// Message and hint in one sentence, for a condition.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{}; {hint}", self.message()),
            None => self.message(),
        }
    }
}
