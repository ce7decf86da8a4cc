//! Conditions, with types and reasons spelled as the specification spells them (apis/v1/*_types.go of v1.7).

use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;

/// One condition. The writer adds `lastTransitionTime` by merging with what is stored, so that compiling stays deterministic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Why, in one word of the specification.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// Generation of the object that was looked at.
    #[serde(default)]
    pub observed_generation: i64,
}

open_enum! {
    /// Whether a condition holds.
    ConditionStatus {
        /// It does not.
        False = "False",
        /// It does.
        True = "True",
        /// Nobody knows yet.
        Unknown = "Unknown",
    }
}

open_enum! {
    /// What a condition is about.
    ConditionType {
        /// The object is valid and will be served at least in part.
        Accepted = "Accepted",
        /// The listener clashes with another (negative polarity).
        Conflicted = "Conflicted",
        /// Routes that ask for a default Gateway attach to it (GEP-3793, absent when false).
        DefaultGateway = "DefaultGateway",
        /// Client certificates are asked for, but not insisted on (negative polarity).
        InsecureFrontendValidationMode = "InsecureFrontendValidationMode",
        /// Listeners of one port overlap in names or certificates (negative polarity, absent when false).
        OverlappingTlsConfig = "OverlappingTLSConfig",
        /// Some rules were dropped.
        PartiallyInvalid = "PartiallyInvalid",
        /// The data plane has it.
        Programmed = "Programmed",
        /// Every reference leads somewhere, and may be made.
        ResolvedRefs = "ResolvedRefs",
        /// The CRDs have a version that the implementation knows.
        SupportedVersion = "SupportedVersion",
    }
}

open_enum! {
    /// Why a condition is as it is.
    Reason {
        /// All is well.
        Accepted = "Accepted",
        /// No address could be had.
        AddressNotAssigned = "AddressNotAssigned",
        /// An address that was asked for cannot be bound.
        AddressNotUsable = "AddressNotUsable",
        /// A backend does not exist.
        BackendNotFound = "BackendNotFound",
        /// Another policy came first.
        Conflicted = "Conflicted",
        /// The change waits for something.
        ConfigurationChanged = "ConfigurationChanged",
        /// The Gateway's scope says so; GEP-3793 has no word for it.
        DefaultGateway = "DefaultGateway",
        /// Two listeners claim the same names.
        HostnameConflict = "HostnameConflict",
        /// Filters that exclude each other.
        IncompatibleFilters = "IncompatibleFilters",
        /// Nothing of it can be served.
        Invalid = "Invalid",
        /// The policy of a route's backend cannot be honoured; the specification has no word for it.
        InvalidBackendTlsPolicy = "InvalidBackendTLSPolicy",
        /// A CA reference of a kind that cannot hold one.
        InvalidCaCertificateKind = "InvalidCACertificateKind",
        /// A CA reference that leads nowhere, or to no CA.
        InvalidCaCertificateRef = "InvalidCACertificateRef",
        /// A certificate reference that leads nowhere, or to no certificate.
        InvalidCertificateRef = "InvalidCertificateRef",
        /// The gateway's own client certificate is missing or broken.
        InvalidClientCertificateRef = "InvalidClientCertificateRef",
        /// A reference to a kind that cannot be a backend.
        InvalidKind = "InvalidKind",
        /// Parameters that the implementation does not know.
        InvalidParameters = "InvalidParameters",
        /// A route kind that the listener's protocol cannot have.
        InvalidRouteKinds = "InvalidRouteKinds",
        /// Two listeners that can never share a port.
        ListenerConflict = "ListenerConflict",
        /// Some listeners are not ready.
        ListenersNotReady = "ListenersNotReady",
        /// References of some listeners lead nowhere.
        ListenersNotResolved = "ListenersNotResolved",
        /// Some listeners are not accepted.
        ListenersNotValid = "ListenersNotValid",
        /// There is no conflict.
        NoConflicts = "NoConflicts",
        /// No listener serves a name of the route.
        NoMatchingListenerHostname = "NoMatchingListenerHostname",
        /// The parent has no such listener or port.
        NoMatchingParent = "NoMatchingParent",
        /// Nothing to run it on.
        NoResources = "NoResources",
        /// None of the CA references is good.
        NoValidCaCertificate = "NoValidCACertificate",
        /// The Gateway takes no ListenerSet from there.
        NotAllowed = "NotAllowed",
        /// The listener takes no route from there, or of that kind.
        NotAllowedByListeners = "NotAllowedByListeners",
        /// Certificates of listeners of one port overlap.
        OverlappingCertificates = "OverlappingCertificates",
        /// Names of listeners of one port overlap.
        OverlappingHostnames = "OverlappingHostnames",
        /// The parent is not accepted itself.
        ParentNotAccepted = "ParentNotAccepted",
        /// The parent is not programmed itself.
        ParentNotProgrammed = "ParentNotProgrammed",
        /// Not done yet.
        Pending = "Pending",
        /// The port is somebody else's.
        PortUnavailable = "PortUnavailable",
        /// The data plane has it.
        Programmed = "Programmed",
        /// Two protocols that cannot share a port.
        ProtocolConflict = "ProtocolConflict",
        /// The namespace that is referred to has no ReferenceGrant for it.
        RefNotPermitted = "RefNotPermitted",
        /// All references are good.
        ResolvedRefs = "ResolvedRefs",
        /// The CRDs' version is supported.
        SupportedVersion = "SupportedVersion",
        /// The policy's target does not exist.
        TargetNotFound = "TargetNotFound",
        /// More listeners than can be had.
        TooManyListeners = "TooManyListeners",
        /// Not a thing that this implementation does.
        Unsupported = "Unsupported",
        /// An address of a type that this implementation has not.
        UnsupportedAddress = "UnsupportedAddress",
        /// A protocol that is not served.
        UnsupportedProtocol = "UnsupportedProtocol",
        /// A value that is not supported.
        UnsupportedValue = "UnsupportedValue",
        /// The CRDs' version is not supported.
        UnsupportedVersion = "UnsupportedVersion",
    }
}
