//! The compiler: resources in; snapshots, statuses and problems out.
//!
//! Job: decide everything that Sealway serves, refuses and reports. Input: [`sealway_api::Resources`] from a provider and
//! [`Observed`] facts from the data plane. Output: [`Compiled`]. The data plane asks a [`Snapshot`] what to do with each connection
//! and has no matcher of its own, so an explanation cannot disagree with what a connection gets.
//! Invariant: no I/O, no clock, no randomness; equal inputs give equal outputs, whatever their order and history.

mod compile;
mod explain;
mod hostname;
mod problem;
mod settings;
mod snapshot;

pub use compile::{Compiled, Compiler};
pub use explain::{NoTrace, Recording, Step, Trace};
pub use hostname::{HostnamePattern, NameIndex};
pub use problem::{Cause, Location, NoEndpoint, Problem, Severity};
pub use settings::{
    BackendAddress, BindFailure, CONTROLLER_NAME, Classes, EndpointOverride, Observed, Placement, PortSelector, PortState, Ports,
    Settings, SocketKey,
};
pub use snapshot::{
    Action, Backend, BackendFault, Forward, HelloFacts, ListenerFate, PortKey, PortPlan, ProxyProtocol, RejectReason, Rejection,
    ServerName, Snapshot, Target, TlsListener, TlsPlan, Transport, WeightedBackend,
};
