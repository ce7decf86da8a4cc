//! The list of everything that can be wrong.

use std::net::SocketAddr;

use sealway_api::{Kind, ObjectKey, ObjectRef, Reason};

use super::{AuthorityFlaw, CertificateFlaw, Location, Told};
use crate::features::BundleFit;
use crate::hostname::HostnamePattern;
use crate::settings::BackendTlsFault;
use crate::snapshot::Transport;

/// What is wrong. Found while reading first, then by the compiler; words are in `problem/message.rs` and `problem/hint.rs`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "a variant's name is its sentence; its words stand in `problem/message.rs`"
)]
pub enum Cause {
    // Reading.
    /// A file or directory cannot be read; what came from it before stays.
    PathUnreadable {
        error: String,
    },
    /// Not YAML.
    Syntax {
        detail: String,
    },
    /// A key twice in one mapping.
    DuplicateKey {
        key: String,
        first: Location,
    },
    /// No apiVersion or kind, or not a mapping.
    NotAnObject {
        detail: String,
    },
    /// A kind that we read, in a version that nobody serves.
    UnknownVersion {
        version: String,
        served: Vec<String>,
    },
    /// A version that the standard channel no longer serves.
    SupersededVersion {
        version: String,
        successor: String,
    },
    /// What an API server would refuse: a pattern, a required field, a rule.
    Invalid {
        detail: String,
    },
    /// The same, for want of a field that a rule reads.
    FieldAbsent {
        detail: String,
        field: String,
    },
    /// An enum value that the specification does not list; the object stays in use.
    UnknownValue {
        value: String,
        known: Vec<String>,
    },
    /// A field that the kind does not have; an API server would drop it.
    UnknownField {
        name: String,
        nearest: Option<String>,
    },
    /// The same object elsewhere, with other content: neither is used.
    DuplicateObject {
        other: Location,
    },
    /// The same object elsewhere, with the same content.
    RepeatedObject {
        other: Location,
    },
    /// The object's document is broken; what it said before stays in force.
    LastGoodKept,
    /// Other controllers fill a status list to the brim; ours has no place.
    StatusFull {
        list: &'static str,
        capacity: usize,
    },

    // Classes and Gateways.
    ForeignController {
        controller: String,
    },
    /// The installed CRDs are of a release that was not tried.
    BundleVersion {
        version: String,
        fit: BundleFit,
    },
    /// What `parametersRef` leads to is not there, or does not mean anything.
    ParametersInvalid {
        detail: String,
    },
    ClassParametersIgnored {
        kind: String,
    },
    /// In a cluster: what carries the Gateway cannot be made as it should be.
    ObjectsNotApplied {
        detail: String,
    },
    /// In a cluster: a proxy has gone without a word, or says nothing.
    ProxySilent {
        pod: String,
    },
    /// In a cluster: a proxy does not obey, and serves what it had before.
    ProxyRefuses {
        pod: String,
        detail: String,
    },
    ParametersNotSupported {
        kind: String,
    },
    ClassNotFound {
        class: String,
    },
    AddressTypeUnsupported {
        kind: String,
    },
    AddressRoutabilityUnsupported {
        value: String,
    },
    AddressInvalid {
        value: String,
    },
    AddressNotUsable {
        value: String,
    },
    AnnotationInvalid {
        key: String,
        value: String,
        expected: &'static str,
    },

    NoDefaultGateway {
        scope: String,
    },

    // Listeners.
    ProtocolUnsupported {
        protocol: String,
    },
    TlsModeUnsupported {
        mode: String,
        protocol: String,
    },
    ListenerFiltersUnsupported {
        kinds: Vec<String>,
    },
    TlsMissing,
    RouteKindUnsupported {
        kind: String,
        supported: Vec<String>,
    },
    ProtocolConflict {
        port: u16,
        others: Vec<String>,
        /// They come first and keep the port.
        is_beaten: bool,
    },
    HostnameConflict {
        hostname: String,
        port: u16,
        others: Vec<String>,
        /// They come first and keep the name.
        is_beaten: bool,
    },
    ListenerConflict {
        port: u16,
        others: Vec<String>,
        /// They come first and keep the port.
        is_beaten: bool,
    },
    PortTakenByGateway {
        socket: SocketAddr,
        gateway: ObjectKey,
    },
    PortReserved {
        socket: SocketAddr,
    },
    PortOverflows {
        port: u16,
        offset: u16,
    },
    PortInUse {
        socket: SocketAddr,
    },
    PortNotPermitted {
        socket: SocketAddr,
    },
    PortFailed {
        socket: SocketAddr,
        error: String,
    },
    CertificateRefMissing,
    CertificateRefKind {
        group: String,
        kind: String,
    },
    CertificateSecretMissing {
        secret: ObjectKey,
        issuer: Option<ObjectRef>,
    },
    CertificateSecretInvalid {
        secret: ObjectKey,
        detail: String,
    },
    CertificateKeyMismatch {
        secret: ObjectKey,
    },
    CertificateFlawed {
        flaw: CertificateFlaw,
    },
    CertificateNameMissing {
        gateway: ObjectKey,
        listener: String,
        hostname: String,
        /// What its certificates are for.
        names: Vec<String>,
    },
    TlsOptionInvalid {
        key: String,
        value: String,
        known: Vec<String>,
    },
    TlsOptionUnknown {
        key: String,
        known: Vec<String>,
    },
    TlsOptionsImpossible {
        detail: String,
    },
    FrontendPortUnused {
        port: u16,
    },
    FrontendInsecure {
        /// `by default`, or `on port 443`.
        place: String,
    },
    FrontendNotCovered {
        port: u16,
    },
    SelectorMissing,
    SelectorMatchesNothing {
        selector: String,
        /// As `kubectl label` takes them.
        labels: Option<String>,
        /// Of the routes that name the Gateway.
        namespaces: Vec<String>,
    },

    // ListenerSets.
    ListenerSetNotAllowed {
        gateway: ObjectKey,
        namespace: String,
        rule: String,
        /// As `kubectl label` takes them.
        labels: Option<String>,
    },
    /// What a route is told that names such a set.
    ListenerSetNotAttached {
        set: ObjectKey,
        gateway: ObjectKey,
    },

    // References.
    RefNotPermitted {
        from: ObjectRef,
        to: ObjectRef,
        /// A grant that all but permits it.
        nearest: Option<String>,
    },

    /// What would be missing is written, and refused: there is no need to look for it.
    ReferentRefused {
        object: ObjectRef,
        missing: Box<Self>,
    },

    // Routes.
    NoParents,
    ParentNotFound {
        parent: ObjectRef,
        elsewhere: Vec<ObjectKey>,
    },
    ParentKindUnsupported {
        kind: String,
    },
    SectionNotFound {
        /// A Gateway or ListenerSet.
        parent: ObjectRef,
        section: Option<String>,
        port: Option<u16>,
        there: Vec<String>,
    },
    NamespaceNotAllowed {
        gateway: ObjectKey,
        listener: String,
        namespace: String,
        rule: String,
        /// As `kubectl label` takes them.
        labels: Option<String>,
    },
    KindNotAllowed {
        gateway: ObjectKey,
        listener: String,
        kind: String,
    },
    ListenerCannotHaveRoute {
        gateway: ObjectKey,
        listener: String,
        protocol: String,
        kind: String,
    },
    NoMatchingHostname {
        gateway: ObjectKey,
        hostnames: Vec<String>,
        listeners: Vec<(String, HostnamePattern)>,
    },
    HostnameIgnored {
        hostname: String,
    },
    Shadowed {
        hostname: String,
        by: ObjectRef,
        gateway: ObjectKey,
        listener: String,
    },
    RulesShadowed {
        count: usize,
    },
    HostnameUnreachable {
        hostname: String,
        gateway: ObjectKey,
        listener: String,
        other: String,
        claims: HostnamePattern,
    },
    /// The route is accepted; without a listener, the whole Gateway is not.
    ParentNotServed {
        gateway: ObjectKey,
        listener: Option<String>,
        reason: Reason,
    },
    NoBackends {
        route: Kind,
    },
    AllWeightsZero {
        route: Kind,
    },
    BackendKindUnsupported {
        group: String,
        kind: String,
    },
    XBackendNotFound {
        backend: ObjectKey,
    },
    XBackendNotServed {
        backend: ObjectKey,
        detail: String,
    },
    BackendNotFound {
        service: ObjectKey,
        port: u16,
    },
    BackendPortMissing,
    BackendPortNotFound {
        service: ObjectKey,
        transport: Transport,
        port: u16,
        there: Vec<String>,
    },
    NoReadyEndpoint {
        service: ObjectKey,
        port: u16,
        why: NoEndpoint,
    },
    BackendNameUnresolved {
        service: ObjectKey,
        name: String,
    },
    EndpointInvalid {
        value: String,
    },

    // Rules of HTTPRoutes and GRPCRoutes.
    ValueUnsupported {
        value: String,
        expected: &'static str,
    },
    ConnectNotServed,
    RegexInvalid {
        expression: String,
        detail: String,
    },
    TimeoutsContradict {
        request: String,
        backend_request: String,
    },
    HeaderTwice {
        name: String,
    },
    FilterIncomplete {
        kind: String,
    },
    FilterRepeated {
        kind: String,
    },
    FiltersIncompatible {
        one: String,
        other: String,
    },
    PrefixMatchNeeded,
    ExtensionUnsupported {
        group: String,
        kind: String,
        name: String,
    },
    BackendProtocolUnsupported {
        service: ObjectKey,
        port: u16,
        protocol: String,
        route: Kind,
    },
    /// HTTPRoutes and GRPCRoutes do not share names.
    RouteKindConflict {
        hostname: HostnamePattern,
        by: ObjectRef,
        gateway: ObjectKey,
        listener: String,
    },
    /// Every request that meets the conditions goes to an earlier rule with the same ones.
    MatchShadowed {
        by: ObjectRef,
        rule: usize,
    },
    RedirectToItself,

    // Around the routes.
    PolicyTargetMissing {
        target: ObjectRef,
    },
    PolicyTargetKind {
        group: String,
        kind: String,
    },
    PolicySectionMissing {
        service: ObjectKey,
        section: String,
        there: Vec<String>,
    },
    PolicyConflicted {
        service: ObjectKey,
        section: Option<String>,
        by: ObjectRef,
    },
    PolicyInvalid {
        detail: String,
    },
    TelemetryTargetKind {
        kind: String,
    },
    TelemetryConflicted {
        gateway: ObjectKey,
        by: ObjectKey,
    },
    TelemetryInvalid {
        detail: String,
    },
    AttributeNotKnown {
        key: String,
    },
    /// At a route whose backend the policy targets.
    BackendPolicyRefused {
        service: ObjectKey,
        policy: ObjectKey,
    },
    BackendTlsFailed {
        service: ObjectKey,
        port: u16,
        fault: BackendTlsFault,
        server_name: String,
    },
    CaRefKind {
        group: String,
        kind: String,
    },
    CaRefMissing {
        reference: ObjectRef,
    },
    /// Something in the manifests is to write it.
    CaRefAwaited {
        reference: ObjectRef,
        by: ObjectRef,
    },
    CaRefInvalid {
        reference: ObjectRef,
        detail: String,
    },
    NoValidCa {
        detail: String,
    },
    AuthorityFlawed {
        flaw: AuthorityFlaw,
    },
    IssuerNotFound {
        issuer: ObjectRef,
        elsewhere: Vec<ObjectRef>,
    },
    IssuerSecretMissing {
        secret: ObjectKey,
    },
    MountMissing {
        reference: ObjectRef,
        /// An object of that name and the other kind.
        instead: Option<ObjectRef>,
        /// A BackendTLSPolicy that takes the Secret's name for that of a ConfigMap.
        policy: Option<ObjectKey>,
    },
    SelectorAbsent,
    /// What the embedded issuer has found.
    Told(Box<Told>),
}

/// Why there is nothing to connect to behind a Service's port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoEndpoint {
    /// The Service has no EndpointSlice.
    NoSlice,
    /// None of its EndpointSlices has a port of this transport and name.
    NoPort(Transport, String),
    /// Endpoints, if there are any, are not ready.
    NotReady,
}
