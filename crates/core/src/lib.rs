//! The compiler: resources in; snapshots, statuses and problems out.
//!
//! Job: decide everything that Sealway serves, refuses and reports. Input: [`sealway_api::Resources`] from a provider and
//! [`Observed`] facts from the data plane. Output: [`Compiled`]. The data plane asks a [`Snapshot`] what to do with each connection
//! and has no matcher of its own, so an explanation cannot disagree with what a connection gets.
//! Invariant: no I/O, no clock, no randomness; equal inputs give equal outputs, whatever their order and history.

mod compile;
mod explain;
mod features;
mod hostname;
mod keys;
mod parts;
mod pki;
mod problem;
mod programmed;
mod revocation;
mod settings;
mod sharing;
mod snapshot;

pub use compile::{Compiled, Compiler};
pub use explain::{Lost, Miss, NoTrace, Recording, RuleName, Step, Trace};
pub use features::{BundleFit, NEWEST_BUNDLE, OLDEST_BUNDLE, Served};
pub use hostname::{HostnamePattern, NameIndex};
pub use keys::{KeyMaterial, KeyUnfit, Keys};
pub use parts::{Assembly, Delta, Part, PartDigest, PartKey, Parts, Unfit};
pub use pki::{is_authority, is_signed_by};
pub use problem::{AuthorityFlaw, Cause, CertificateFlaw, ListFault, Location, NoEndpoint, OcspFault, Problem, Severity, Told};
pub use programmed::hold_back;
pub use revocation::{CrlFailure, DistributionPoint, ListRefusal, ListSource, RevocationList};
pub use settings::{
    BackendAddress, BackendPeer, BackendTlsFault, BindFailure, CONTROLLER_NAME, Classes, EndpointOverride, Fleet, Observed,
    Placement, PortSelector, PortState, Ports, Settings, SocketKey,
};
pub use snapshot::{
    Action, AuthProtocol, Backend, BackendAuthorities, BackendFault, BackendName, BackendProtocol, BackendTls, CertificateChoice,
    CertificateSlot, CipherSuite, ClientCertificateHeaders, ClientValidation, ClientValidationMode, ContentHash, Cors,
    CorsOrigin, ExternalAuth, Filters, Forward, HeaderEdit, HeaderMatcher, HelloFacts, HttpAction, HttpBackend, HttpHost,
    HttpListener, HttpMatch, HttpPlan, HttpRejectReason, HttpRoutes, HttpRule, KeyExchangeGroup, ListenerFate, ListenerId,
    Mirror, PathMatcher, PathModifier, Pattern, PortKey, PortPlan, ProxyProtocol, QueryMatcher, Redirect, RejectReason,
    Rejection, RelayPlan, RequestHead, Retry, RetryBudget, Rewrite, RuleFault, RuleKind, ServedCertificate, ServerName, Session,
    SessionCarrier, SessionKey, Share, Snapshot, SpanAttribute, SpanValue, StandardAttribute, Target, Termination, TlsListener,
    TlsOptions, TlsPlan, TlsVersion, Tracing, Transport, TrustBundle, UpstreamTls, ValueMatcher, WeightedBackend,
};
