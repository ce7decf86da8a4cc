//! The fields of Kubernetes' own kinds that Sealway reads.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use serde::{Deserialize, Deserializer};

use crate::open_enum::open_enum;
use crate::{LabelSelector, ObjectMeta};

/// A namespace: only its labels matter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Name and labels.
    pub metadata: ObjectMeta,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: ServiceSpec,
    /// What became of it.
    pub status: ServiceStatus,
}

/// See [`Service`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// What a load balancer gave it.
    pub load_balancer: LoadBalancerStatus,
}

/// See [`ServiceStatus`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerStatus {
    /// Where clients get in.
    pub ingress: Vec<LoadBalancerIngress>,
}

/// One way in: by an address, or by a name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerIngress {
    /// An address; empty when it has a name.
    pub ip: String,
    /// A DNS name; empty when it has an address.
    pub hostname: String,
}

/// See [`Service`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// ClusterIP unless stated.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// For type ExternalName: the DNS name.
    pub external_name: Option<String>,
    /// Addresses inside the cluster; `None` as text for a headless Service.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    /// The ports.
    pub ports: Vec<ServicePort>,
    /// Whether endpoints that are not ready count as ready.
    pub publish_not_ready_addresses: bool,
}

/// One port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Empty only when it is the only one.
    pub name: String,
    /// 1 to 65535.
    pub port: u16,
    /// TCP unless stated.
    pub protocol: Option<String>,
    /// What the backend speaks, as in `kubernetes.io/h2c`.
    pub app_protocol: Option<String>,
}

/// Some of a Service's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// The label `kubernetes.io/service-name` names the Service.
    pub metadata: ObjectMeta,
    /// IPv4, IPv6 or FQDN.
    pub address_type: EndpointAddressType,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Ports that all of them have.
    pub ports: Vec<EndpointPort>,
}

/// Label of an EndpointSlice that names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

open_enum! {
    /// What the addresses of an EndpointSlice are.
    #[derive(Default)]
    EndpointAddressType {
        /// DNS names.
        Fqdn = "FQDN",
        /// IPv4 addresses.
        #[default]
        Ipv4 = "IPv4",
        /// IPv6 addresses.
        Ipv6 = "IPv6",
    }
}

/// One endpoint; the first address is the one to use.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// All of them lead to the same endpoint.
    pub addresses: Vec<String>,
    /// Whether it serves.
    pub conditions: EndpointConditions,
}

/// Absent `ready` means ready; absent `serving` means as `ready`; absent `terminating` means no.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointConditions {
    /// Serving and not terminating.
    pub ready: Option<bool>,
    /// Answers, even if it terminates.
    pub serving: Option<bool>,
    /// Is being shut down.
    pub terminating: Option<bool>,
}

/// A port that the endpoints of a slice have.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// The Service port's name.
    pub name: Option<String>,
    /// The port of the endpoint; absent: every port, which nothing can connect to.
    pub port: Option<u16>,
    /// TCP unless stated.
    pub protocol: Option<String>,
}

/// Bytes that may be a key: they print masked and are never serialised.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for whoever really needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretBytes({} bytes)", self.0.len())
    }
}

/// A Secret; `stringData` has been merged over `data`, as the API server does it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Secret {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// Opaque unless stated.
    pub kind: String,
    /// Decoded.
    pub data: BTreeMap<String, SecretBytes>,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Written {
            #[serde(default)]
            metadata: ObjectMeta,
            #[serde(rename = "type", default)]
            kind: Option<String>,
            #[serde(default)]
            data: Option<BTreeMap<String, Option<String>>>,
            #[serde(default)]
            string_data: Option<BTreeMap<String, Option<String>>>,
        }
        let written = Written::deserialize(deserializer)?;
        let mut data = BTreeMap::new();
        for (key, value) in written.data.unwrap_or_default() {
            let bytes = unpack(&format!("data.{key}"), value).map_err(serde::de::Error::custom)?;
            data.insert(key, SecretBytes(bytes));
        }
        for (key, value) in written.string_data.unwrap_or_default() {
            data.insert(key, SecretBytes(value.unwrap_or_default().into_bytes()));
        }
        Ok(Self {
            metadata: written.metadata,
            kind: written.kind.unwrap_or_else(|| "Opaque".to_owned()),
            data,
        })
    }
}

/// The message does not carry the value: it may be a key.
fn unpack(field: &str, value: Option<String>) -> Result<Vec<u8>, String> {
    let packed: String = value.unwrap_or_default().split_ascii_whitespace().collect();
    base64::engine::general_purpose::STANDARD
        .decode(packed)
        .map_err(|_| format!("{field}: not valid base64"))
}

/// A ConfigMap's entries.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMap {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// UTF-8 entries.
    pub data: BTreeMap<String, String>,
    /// Other entries, decoded.
    #[serde(deserialize_with = "unpack_entries")]
    pub binary_data: BTreeMap<String, Vec<u8>>,
}

fn unpack_entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<u8>>, D::Error> {
    let written = Option::<BTreeMap<String, Option<String>>>::deserialize(deserializer)?;
    let unpacked = written.unwrap_or_default().into_iter().map(|(key, value)| {
        let bytes = unpack(&format!("binaryData.{key}"), value)?;
        Ok((key, bytes))
    });
    unpacked.collect::<Result<_, String>>().map_err(serde::de::Error::custom)
}

/// A CA bundle that belongs to no namespace (certificates.k8s.io, KEP-3257).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterTrustBundle {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: ClusterTrustBundleSpec,
}

/// See [`ClusterTrustBundle`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterTrustBundleSpec {
    /// Who may write it; nothing to us.
    pub signer_name: String,
    /// PEM blocks CERTIFICATE.
    pub trust_bundle: String,
}

/// A Deployment: its selector, and what its pods mount.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployment {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: DeploymentSpec,
}

/// See [`Deployment`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    /// Required by the API server.
    pub selector: Option<LabelSelector>,
    /// The pods.
    pub template: PodTemplate,
}

/// The pods of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTemplate {
    /// What is wanted of each.
    pub spec: PodSpec,
}

/// See [`PodTemplate`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// What containers may mount.
    pub volumes: Vec<Volume>,
}

/// One volume of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// From a Secret.
    pub secret: Option<SecretVolume>,
    /// From a ConfigMap.
    pub config_map: Option<ConfigMapVolume>,
}

/// A Secret as a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretVolume {
    /// The Secret's name.
    pub secret_name: String,
    /// Whether the pod starts without it.
    pub optional: bool,
}

/// A ConfigMap as a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMapVolume {
    /// The ConfigMap's name.
    pub name: String,
    /// Whether the pod starts without it.
    pub optional: bool,
}
