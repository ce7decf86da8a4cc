//! GatewayClass, Gateway and ListenerSet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::{GatewayStatus, HttpRouteFilter, LabelSelector, ListenerSetStatus, ObjectKey, ObjectMeta};

/// A class of Gateways and the controller that serves it (GEP-709, apis/v1/gatewayclass_types.go).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClass {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: GatewayClassSpec,
}

/// See [`GatewayClass`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassSpec {
    /// Domain-prefixed path, as in `sealway.dev/gateway-controller`.
    pub controller_name: String,
    /// Parameters of the implementation; Sealway has none.
    pub parameters_ref: Option<ParametersReference>,
}

/// A reference to an implementation's parameters.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParametersReference {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace, for namespaced kinds.
    pub namespace: Option<String>,
}

/// One gateway: its listeners and addresses (apis/v1/gateway_types.go).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: GatewaySpec,
    /// What the API server remembers; the compiler does not read it.
    pub status: Option<GatewayStatus>,
}

/// See [`Gateway`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySpec {
    /// Name of a GatewayClass.
    pub gateway_class_name: String,
    /// At least one, at most 64; names are unique.
    pub listeners: Vec<Listener>,
    /// Addresses to bind; empty: the implementation's choice.
    pub addresses: Vec<GatewayAddress>,
    /// Labels, annotations and parameters for what the controller provisions.
    pub infrastructure: Option<GatewayInfrastructure>,
    /// Which ListenerSets may attach; none by default.
    pub allowed_listeners: Option<AllowedListeners>,
    /// Client and backend TLS of the whole gateway (GEP-91, GEP-3155).
    pub tls: Option<GatewayTls>,
    /// For which routes it is a Gateway without being named (experimental, GEP-3793); absent or `None`: for none.
    pub default_scope: Option<String>,
}

/// One address of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayAddress {
    /// IPAddress (default), Hostname, or an implementation's own.
    #[serde(rename = "type")]
    pub kind: AddressType,
    /// Empty: any address of that type.
    pub value: String,
    /// From where it is to be reached (experimental); empty: as the implementation has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub routability: String,
}

open_enum! {
    /// Types of [`GatewayAddress`].
    #[derive(Default)]
    AddressType {
        /// A DNS name.
        Hostname = "Hostname",
        /// An IPv4 or IPv6 address.
        #[default]
        IpAddress = "IPAddress",
    }
}

/// Labels and annotations for provisioned objects.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayInfrastructure {
    /// Labels to set.
    pub labels: BTreeMap<String, String>,
    /// Annotations to set.
    pub annotations: BTreeMap<String, String>,
    /// Parameters of the implementation; Sealway has none.
    pub parameters_ref: Option<ParametersReference>,
}

/// Which ListenerSets may attach to a Gateway (GEP-1713).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedListeners {
    /// Namespaces to take them from; None by default.
    pub namespaces: Option<NamespaceRule>,
}

/// A rule about namespaces: All, Same, Selector or None.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceRule {
    /// Which rule; absent means the field's own default.
    pub from: Option<FromNamespaces>,
    /// For `Selector`.
    pub selector: Option<LabelSelector>,
}

open_enum! {
    /// Where routes or ListenerSets may come from.
    FromNamespaces {
        /// Every namespace.
        All = "All",
        /// No namespace.
        None = "None",
        /// The Gateway's own namespace.
        Same = "Same",
        /// Namespaces whose labels match.
        Selector = "Selector",
    }
}

/// TLS settings of a whole Gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayTls {
    /// The gateway's own client certificate for backends.
    pub backend: Option<GatewayBackendTls>,
    /// Validation of client certificates.
    pub frontend: Option<FrontendTls>,
}

/// See [`GatewayTls::backend`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayBackendTls {
    /// A Secret of type kubernetes.io/tls.
    pub client_certificate_ref: Option<SecretRef>,
}

/// See [`GatewayTls::frontend`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTls {
    /// For every HTTPS port that has no entry of its own.
    pub default: FrontendTlsSettings,
    /// For one port each.
    pub per_port: Vec<FrontendTlsForPort>,
}

/// Frontend settings for one port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTlsForPort {
    /// The listeners' port.
    pub port: u16,
    /// What holds for it.
    pub tls: FrontendTlsSettings,
}

/// Frontend settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTlsSettings {
    /// Whether and how client certificates are checked.
    pub validation: Option<FrontendValidation>,
}

/// Validation of client certificates (GEP-91).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendValidation {
    /// Where the CA certificates stand.
    pub ca_certificate_refs: Vec<SecretRef>,
    /// AllowValidOnly (default) or AllowInsecureFallback.
    pub mode: Option<String>,
}

/// A reference to an object that holds certificates: a Secret unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretRef {
    /// API group; absent and empty both mean core.
    pub group: Option<String>,
    /// Absent means Secret.
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Absent means the referring object's namespace.
    pub namespace: Option<String>,
}

impl SecretRef {
    /// The API group, `""` for core.
    #[must_use]
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or("")
    }

    /// The kind, `Secret` unless stated.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("Secret")
    }
}

/// One listener of a Gateway or ListenerSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listener {
    /// Unique among the listeners of its object; a route's `sectionName` names it.
    pub name: String,
    /// Which names it serves; absent or empty: all.
    pub hostname: Option<String>,
    /// 1 to 65535.
    pub port: u16,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// For HTTPS and TLS.
    pub tls: Option<ListenerTls>,
    /// Which routes may attach; by default those of the same namespace and of the protocol's kinds.
    pub allowed_routes: Option<AllowedRoutes>,
    /// What is done to requests before they are routed (experimental).
    pub filters: ListenerFilters,
}

/// Filters of a listener, by the phase in which they act.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerFilters {
    /// For each request, in this very order: ExternalAuth or ExtensionRef.
    pub requests: Vec<HttpRouteFilter>,
}

open_enum! {
    /// Protocols of a listener.
    Protocol {
        /// Clear-text HTTP.
        Http = "HTTP",
        /// HTTP over TLS that ends at the gateway.
        Https = "HTTPS",
        /// Plain TCP.
        Tcp = "TCP",
        /// TLS, passed through or ended.
        Tls = "TLS",
        /// Plain UDP.
        Udp = "UDP",
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

/// TLS settings of a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTls {
    /// Terminate unless stated (the CRD's default).
    pub mode: Option<TlsMode>,
    /// Certificates to serve; for Terminate.
    pub certificate_refs: Vec<SecretRef>,
    /// The implementation's own options; ours begin with `sealway.dev/`.
    pub options: BTreeMap<String, String>,
}

open_enum! {
    /// Where TLS ends.
    TlsMode {
        /// At the backend.
        Passthrough = "Passthrough",
        /// At the gateway.
        Terminate = "Terminate",
    }
}

/// Which routes may attach to a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedRoutes {
    /// From which namespaces; Same unless stated.
    pub namespaces: Option<NamespaceRule>,
    /// Of which kinds; empty: those that fit the protocol.
    pub kinds: Vec<RouteGroupKind>,
}

/// A kind of route, with its group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteGroupKind {
    /// `gateway.networking.k8s.io` unless stated.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// As in `TLSRoute`.
    pub kind: String,
}

pub(crate) fn gateway_group() -> String {
    crate::GATEWAY_GROUP.to_owned()
}

/// More listeners for a Gateway, owned by somebody else (GEP-1713).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerSet {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: ListenerSetSpec,
    /// What the API server remembers; the compiler does not read it.
    pub status: Option<ListenerSetStatus>,
}

impl ListenerSet {
    /// The Gateway that it adds to; `None` when its reference is to something else.
    #[must_use]
    pub fn gateway(&self) -> Option<ObjectKey> {
        let parent = &self.spec.parent_ref;
        let is = |part: &Option<String>, wanted: &str| part.as_deref().is_none_or(|part| part == wanted);
        let namespace = parent.namespace.as_ref().or(self.metadata.namespace.as_ref());
        (is(&parent.group, crate::GATEWAY_GROUP) && is(&parent.kind, "Gateway"))
            .then(|| ObjectKey::new(namespace.cloned().unwrap_or_default(), &parent.name))
    }
}

/// See [`ListenerSet`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerSetSpec {
    /// The Gateway to add to.
    pub parent_ref: ListenerSetParent,
    /// The listeners.
    pub listeners: Vec<Listener>,
}

/// The Gateway that a ListenerSet adds to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerSetParent {
    /// Absent: `gateway.networking.k8s.io`.
    pub group: Option<String>,
    /// Absent: Gateway.
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Absent: the ListenerSet's namespace.
    pub namespace: Option<String>,
}
