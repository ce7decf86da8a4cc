//! What is fixed for the process ([`Settings`]) and what the world answers ([`Observed`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sealway_api::{GatewayAddress, ObjectKey, ObjectRef, Timestamp};
use serde::{Deserialize, Serialize};

use crate::features::Served;
use crate::revocation::{CrlFailure, RevocationList};
use crate::snapshot::{ContentHash, PortKey, SessionKey, Transport};

/// Fixed for the life of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Which GatewayClasses are ours.
    pub classes: Classes,
    /// Where listeners are bound.
    pub placement: Placement,
    /// Endpoints given on the command line; they replace those of the Service and make the Service if there is none.
    pub endpoints: Vec<EndpointOverride>,
    /// Sockets of our own (admin, health) that no listener may have.
    pub reserved: BTreeSet<SocketAddr>,
    /// What becomes of peers about whose revocation nothing current is known.
    pub crl_failure: CrlFailure,
}

impl Settings {
    /// The controller name under which statuses are written.
    #[must_use]
    pub fn controller_name(&self) -> &str {
        match &self.classes {
            Classes::Every => CONTROLLER_NAME,
            Classes::Named(name) => name,
        }
    }

    /// What is added to every listener's port.
    #[must_use]
    pub fn port_offset(&self) -> u16 {
        match self.placement {
            Placement::Standalone { port_offset, .. } => port_offset,
            Placement::Cluster => 0,
        }
    }
}

/// Which GatewayClasses are served, and under which name statuses are written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Classes {
    /// Standalone: every class; one that names another controller is served with a warning.
    #[default]
    Every,
    /// Only classes of this controller name.
    Named(String),
}

/// Our controller name unless another is configured.
pub const CONTROLLER_NAME: &str = "sealway.dev/gateway-controller";

/// Where Gateways without addresses of their own are bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All Gateways in this process: they share the machine's addresses and ports.
    Standalone {
        /// For Gateways that name no address.
        binds: Vec<IpAddr>,
        /// For one Gateway each.
        gateway_binds: BTreeMap<ObjectKey, Vec<IpAddr>>,
        /// Added to every listener's port.
        port_offset: u16,
    },
    /// Each Gateway has proxies and addresses of its own; they bind the unspecified addresses of both families.
    Cluster,
}

impl Default for Placement {
    fn default() -> Self {
        Self::Standalone {
            binds: vec![IpAddr::from([127, 0, 0, 1])],
            gateway_binds: BTreeMap::new(),
            port_offset: 0,
        }
    }
}

/// `--endpoint NS/SERVICE:PORT=HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointOverride {
    /// The Service.
    pub service: ObjectKey,
    /// Its port, by number or name.
    pub port: PortSelector,
    /// Where it really is.
    pub address: BackendAddress,
}

/// A Service's port by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSelector {
    /// The port's number.
    Number(u16),
    /// The port's name.
    Name(String),
}

impl fmt::Display for PortSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

/// Host and port, where the host may have to be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendAddress {
    /// Ready to connect to.
    Socket(SocketAddr),
    /// A DNS name (lower case) and a port.
    Name(String, u16),
}

/// Facts of the world that decide statuses and endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The time of this compilation.
    pub now: Timestamp,
    /// What became of the sockets.
    pub ports: Ports,
    /// DNS names that were asked for in [`crate::Compiled::names`]; a name that has no answer yet is absent.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// Backends whose last TLS handshake with a gateway failed, and why.
    pub backend_tls: BTreeMap<BackendPeer, BackendTlsFault>,
    /// In a cluster: what stands before and behind each Gateway. One that is absent has nothing yet.
    pub fleets: BTreeMap<ObjectKey, Fleet>,
    /// In a cluster: Gateways and GatewayClasses whose `parametersRef` cannot be honoured, and what is wrong with it.
    pub parameter_faults: BTreeMap<ObjectRef, String>,
    /// What the API server serves; `None` for plain manifests, where no features are claimed.
    pub served: Option<Served>,
    /// In a cluster: what session keys are derived from, the same at every controller.
    pub session_key: Option<SessionKey>,
    /// Lists from elsewhere than the manifests, in an order that stays. One counts for the authorities that it leads to by its signatures.
    pub revocation_lists: Vec<Arc<RevocationList>>,
}

/// A backend as those gateways meet it that show it the same certificate: what it does may hang on that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendPeer {
    /// The Service.
    pub service: ObjectKey,
    /// Its port.
    pub port: u16,
    /// The gateways' own certificate; `None` when they have none.
    pub identity: Option<ContentHash>,
}

impl Observed {
    /// Nothing observed, every socket assumed to be bound: for `check` and tests.
    #[must_use]
    pub fn assumed(now: Timestamp) -> Self {
        Self {
            now,
            ports: Ports::Assumed,
            names: BTreeMap::new(),
            backend_tls: BTreeMap::new(),
            fleets: BTreeMap::new(),
            parameter_faults: BTreeMap::new(),
            served: None,
            session_key: None,
            revocation_lists: Vec::new(),
        }
    }
}

/// The Services before a Gateway and the proxies behind them, as far as they decide statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// What clients connect to.
    pub addresses: Vec<GatewayAddress>,
    /// An address that was asked for and was not had in time.
    pub unusable: Option<String>,
    /// Ports that a proxy could not open.
    pub failed: BTreeMap<PortKey, BindFailure>,
}

/// Why a backend did not prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendTlsFault {
    /// Its certificate is of an authority that the policy does not name.
    UnknownAuthority,
    /// Its certificate has none of the names that the policy asks for.
    NameMismatch,
    /// Its certificate, or one above it, has expired.
    Expired,
    /// Its certificate, or one above it, is not valid yet.
    NotYetValid,
    /// Its certificate, or one above it, has been revoked.
    Revoked,
    /// No current list says whether its certificate, or one above it, has been revoked, and the gateway insists on one.
    RevocationUnknown,
    /// Its certificate is not fit for a server, or cannot be read.
    BadCertificate,
    /// It does not speak TLS.
    NotTls,
    /// It refused the gateway for want of a client certificate, or for the one that it was shown.
    ClientCertificateRefused,
    /// It refused the gateway's hello: no common version, suite or group, or a name that it does not serve.
    HandshakeRefused,
    /// It ended the connection, or was silent until the deadline.
    Broken,
}

impl BackendTlsFault {
    /// Stable label for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownAuthority => "tls_unknown_authority",
            Self::NameMismatch => "tls_name_mismatch",
            Self::Expired => "tls_certificate_expired",
            Self::NotYetValid => "tls_certificate_not_yet_valid",
            Self::Revoked => "tls_certificate_revoked",
            Self::RevocationUnknown => "tls_certificate_revocation_unknown",
            Self::BadCertificate => "tls_bad_certificate",
            Self::NotTls => "tls_not_tls",
            Self::ClientCertificateRefused => "tls_client_certificate_refused",
            Self::HandshakeRefused => "tls_handshake_refused",
            Self::Broken => "tls_broken",
        }
    }
}

/// What became of the sockets that the snapshots ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Nothing is bound here; take it that it could be.
    Assumed,
    /// As the data plane reports; a socket that is absent is still being opened.
    Reported(BTreeMap<SocketKey, PortState>),
}

/// One socket of the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SocketKey {
    /// TCP or UDP.
    pub transport: Transport,
    /// Address and port, offset included.
    pub address: SocketAddr,
}

/// What became of one socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortState {
    /// It accepts connections.
    Bound,
    /// It could not be opened.
    Failed(BindFailure),
}

/// Why a socket could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BindFailure {
    /// Another process has it (EADDRINUSE).
    InUse,
    /// Ports below 1024 need a privilege (EACCES).
    NotPermitted,
    /// The machine has no such address (EADDRNOTAVAIL).
    NoSuchAddress,
    /// Anything else, as the system says it.
    Other(String),
}
