//! What a part's bytes say: the types of a snapshot with the names of other parts where those hold an `Arc`.
//!
//! Job: one form for the wire, apart from the admin API's, which is for people. Rules for rolling updates, where the neighbouring version
//! reads this: what is not known is ignored; a new field has `#[serde(default)]`; a new variant is refused by the older version, which
//! keeps what it has. Values are taken apart field by field, so that a new one does not compile until it has its place here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use sealway_api::{Kind, ObjectKey, ObjectRef, Timestamp, TlsMode};
use serde::{Deserialize, Serialize};

use super::PartKey;
use crate::hostname::HostnamePattern;
use crate::revocation::CrlFailure;
use crate::snapshot as plain;
use crate::snapshot::{
    BackendFault, BackendName, BackendProtocol, ClientCertificateHeaders, ClientValidationMode, ContentHash, ListenerFate,
    PortKey, ProxyProtocol, SessionKey, Share, SpanAttribute, TlsOptions,
};

mod base64_text;
mod requests;
mod session_key;

pub(super) use requests::{ExternalAuth, Filters, Host, Match, Mirror, Retry, Rule, RuleBackend, Session};

/// A part.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Wire {
    Head(Box<Head>),
    Port(Port),
    TlsListener(TlsListener),
    HttpListener(HttpListener),
    RelayListener(RelayListener),
    Forward(Placed<Forward>),
    Host(Placed<Host>),
    Rule(Box<Rule>),
    Backend(Backend),
    Bundle(Bundle),
    Tracing(Box<Tracing>),
}

/// Where a part hangs: under these hostnames of these listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    pub(super) listener: PartKey,
    pub(super) hostname: HostnamePattern,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Placed<T> {
    pub(super) places: Vec<Place>,
    pub(super) value: T,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    pub(super) gateway: ObjectKey,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) port_offset: u16,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) client_certificate: Option<Certificate>,
    pub(super) client_certificate_headers: ClientCertificateHeaders,
    /// It opens what clients keep, and in there stands what the parts say of endpoints anyway: so it travels as they do.
    #[serde(default, with = "session_key", skip_serializing_if = "Option::is_none")]
    pub(super) session_key: Option<SessionKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Port {
    pub(super) port: PortKey,
    pub(super) speaks: Speaks,
    /// In the order of the plan.
    pub(super) listeners: Vec<PartKey>,
}

/// Which plan a port has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Speaks {
    Tls,
    Http,
    Tcp,
    Udp,
}

/// Without its routes, which are parts of their own.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TlsListener {
    pub(super) name: String,
    pub(super) hostname: HostnamePattern,
    pub(super) mode: TlsMode,
    pub(super) fate: ListenerFate,
    pub(super) termination: Option<Termination>,
    pub(super) takes_requests: bool,
    /// Rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<PartKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpListener {
    pub(super) name: String,
    pub(super) hostname: HostnamePattern,
    pub(super) fate: ListenerFate,
    /// Rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<PartKey>,
}

/// Its forward hangs on it under every name.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RelayListener {
    pub(super) name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Termination {
    pub(super) certificates: Vec<Slot>,
    pub(super) client_validation: Option<ClientValidation>,
    pub(super) options: TlsOptions,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Slot {
    Served(Certificate),
    Broken {
        secret: ObjectKey,
        names: Option<Vec<HostnamePattern>>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificate {
    pub(super) secret: ObjectKey,
    pub(super) content: ContentHash,
    pub(super) names: Vec<HostnamePattern>,
    pub(super) serial: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientValidation {
    pub(super) mode: ClientValidationMode,
    /// A bundle.
    pub(super) authorities: PartKey,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Forward {
    pub(super) route: Object,
    pub(super) connect_timeout: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) backends: Vec<Weighted>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Weighted {
    pub(super) name: String,
    pub(super) weight: u32,
    pub(super) target: Target,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Target {
    Backend(PartKey),
    Refuse(BackendFault),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Backend {
    pub(super) service: ObjectKey,
    pub(super) port: u16,
    pub(super) endpoints: Vec<SocketAddr>,
    pub(super) proxy_protocol: Option<ProxyProtocol>,
    pub(super) protocol: BackendProtocol,
    pub(super) tls: UpstreamTls,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_budget: Option<RetryBudget>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RetryBudget {
    pub(super) percent: u8,
    pub(super) interval: Duration,
    pub(super) least: u32,
    pub(super) least_interval: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum UpstreamTls {
    Plain,
    Verified {
        policy: ObjectKey,
        server_name: String,
        names: Vec<BackendName>,
        authorities: Authorities,
        options: TlsOptions,
    },
    Refused {
        policy: ObjectKey,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Authorities {
    System,
    Bundle(PartKey),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bundle {
    pub(super) content: ContentHash,
    pub(super) sources: Vec<Object>,
    #[serde(with = "base64_text")]
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) subjects: Vec<String>,
    #[serde(with = "base64_text")]
    pub(super) revocation_lists: Vec<Vec<u8>>,
    pub(super) crl_failure: CrlFailure,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tracing {
    pub(super) policy: ObjectKey,
    pub(super) collector: Weighted,
    /// With their values, which go to the Gateway's own proxies only.
    pub(super) headers: Vec<(String, String)>,
    pub(super) sampling: Share,
    pub(super) sampled_parents: Option<Share>,
    pub(super) service_name: String,
    pub(super) span_name: Option<String>,
    pub(super) attributes: Vec<SpanAttribute>,
}

/// An object, so that no name of it can be mistaken for a namespace.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object {
    kind: Kind,
    namespace: String,
    name: String,
}

impl From<&ObjectRef> for Object {
    fn from(object: &ObjectRef) -> Self {
        let ObjectRef { kind, key } = object;
        let ObjectKey { namespace, name } = key.clone();
        Self {
            kind: kind.clone(),
            namespace,
            name,
        }
    }
}

impl From<Object> for ObjectRef {
    fn from(object: Object) -> Self {
        let Object { kind, namespace, name } = object;
        Self::new(kind, namespace, name)
    }
}

impl From<&plain::ServedCertificate> for Certificate {
    fn from(certificate: &plain::ServedCertificate) -> Self {
        let plain::ServedCertificate {
            secret,
            content,
            names,
            serial,
            not_before,
            not_after,
        } = certificate.clone();
        Self {
            secret,
            content,
            names,
            serial,
            not_before,
            not_after,
        }
    }
}

impl From<Certificate> for plain::ServedCertificate {
    fn from(certificate: Certificate) -> Self {
        let Certificate {
            secret,
            content,
            names,
            serial,
            not_before,
            not_after,
        } = certificate;
        Self {
            secret,
            content,
            names,
            serial,
            not_before,
            not_after,
        }
    }
}
