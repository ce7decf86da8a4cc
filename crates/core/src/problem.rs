//! Everything that Sealway finds wrong, as one closed enum.
//!
//! Job: own severity, code, message and hint of every refusal, so that conditions, `check`, Events and logs print the same words.
//! Input: who found what, where. Output: a [`Problem`]. Invariant: no message ever contains a value from a Secret.

use std::fmt;
use std::net::SocketAddr;

use sealway_api::{ObjectKey, ObjectRef, Reason};
use serde::Serialize;
use serde::ser::SerializeStruct;

use crate::hostname::HostnamePattern;

mod hint;
mod kind;
mod message;
mod reason;
pub(crate) mod text;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object to blame; `None` when the document could not be read that far.
    pub object: Option<ObjectRef>,
    /// Path of the field to blame, as in `spec.listeners[1].port`; empty: the whole object.
    pub field: String,
    /// Where that stands; `None` outside files, or until a provider has looked it up.
    pub location: Option<Location>,
    /// What is wrong.
    pub cause: Cause,
}

impl Problem {
    /// A problem of an object's field.
    pub fn new(object: ObjectRef, field: impl Into<String>, cause: Cause) -> Self {
        Self {
            object: Some(object),
            field: field.into(),
            location: None,
            cause,
        }
    }

    /// A problem of a place in a file.
    #[must_use]
    pub fn at(location: Location, object: Option<ObjectRef>, cause: Cause) -> Self {
        Self {
            object,
            field: String::new(),
            location: Some(location),
            cause,
        }
    }

    /// Order for people: root causes before what follows from them, then by object and field.
    pub fn sort(problems: &mut [Self]) {
        problems.sort_by(|one, two| {
            (one.cause.rank(), &one.object, &one.location, &one.field, &one.cause).cmp(&(
                two.cause.rank(),
                &two.object,
                &two.location,
                &two.field,
                &two.cause,
            ))
        });
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(formatter, "{location}: ")?;
        }
        if let Some(object) = &self.object {
            write!(formatter, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(formatter, "{}: ", self.field)?;
        }
        write!(formatter, "{}", self.cause.message())
    }
}

/// `{severity, code, object, field, location, message, hint}`: the shape that `check -o json` and the admin API give out.
impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Problem", 7)?;
        fields.serialize_field("severity", &self.cause.severity())?;
        fields.serialize_field("code", self.cause.code())?;
        fields.serialize_field("object", &self.object)?;
        fields.serialize_field("field", &self.field)?;
        fields.serialize_field("location", &self.location)?;
        fields.serialize_field("message", &self.cause.message())?;
        fields.serialize_field("hint", &self.cause.hint())?;
        fields.end()
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// As it was given on the command line; `-` for standard input.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something that was asked for is not served.
    Error,
    /// Accepted, but it cannot be meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

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

    // Classes and Gateways.
    ForeignController {
        controller: String,
    },
    ClassParametersIgnored {
        kind: String,
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

    // Listeners.
    ProtocolUnsupported {
        protocol: String,
    },
    TlsModeUnsupported {
        mode: String,
        protocol: String,
    },
    TlsMissing,
    RouteKindUnsupported {
        kind: String,
        supported: Vec<String>,
    },
    ProtocolConflict {
        port: u16,
        others: Vec<String>,
    },
    HostnameConflict {
        hostname: String,
        port: u16,
        others: Vec<String>,
    },
    ListenerConflict {
        port: u16,
        others: Vec<String>,
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
    SelectorMissing,
    SelectorMatchesNothing {
        selector: String,
        /// As `kubectl label` takes them.
        labels: Option<String>,
        /// Of the routes that name the Gateway.
        namespaces: Vec<String>,
    },

    // References.
    RefNotPermitted {
        from: ObjectRef,
        to: ObjectRef,
        /// A grant that all but permits it.
        nearest: Option<String>,
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
        gateway: ObjectKey,
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
    ListenerUnsupported {
        gateway: ObjectKey,
        listener: String,
        reason: Reason,
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
    NotServedYet {
        what: String,
    },
    NoBackends,
    AllWeightsZero,
    BackendKindUnsupported {
        group: String,
        kind: String,
    },
    BackendNotFound {
        service: ObjectKey,
        port: u16,
    },
    BackendPortMissing,
    BackendPortNotFound {
        service: ObjectKey,
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

    // Around the routes.
    PolicyTargetMissing {
        target: ObjectRef,
    },
    CaRefMissing {
        reference: ObjectRef,
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
}

/// Why there is nothing to connect to behind a Service's port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoEndpoint {
    /// The Service has no EndpointSlice.
    NoSlice,
    /// None of its EndpointSlices has a port of this name.
    NoPort(String),
    /// Endpoints, if there are any, are not ready.
    NotReady,
}
