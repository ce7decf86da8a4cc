//! XBackend: a destination that no Service describes (GEP-4894, experimental).

use serde::Deserialize;

use crate::open_enum::open_enum;
use crate::{BackendTlsValidation, ObjectMeta, PolicyStatus};

/// Where and how to connect (apisx/v1alpha1/xbackend_types.go).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct XBackend {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: XBackendSpec,
    /// What the API server remembers; the compiler does not read it.
    pub status: Option<PolicyStatus>,
}

/// See [`XBackend`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct XBackendSpec {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: XBackendType,
    /// The port to connect to.
    pub port: XBackendPort,
    /// Of type `ExternalHostname`.
    pub external_hostname: Option<ExternalHostname>,
    /// What is spoken; absent: as the route has it.
    pub protocol: Option<String>,
    /// Absent: none.
    pub tls: Option<XBackendTls>,
}

/// A port by its number.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct XBackendPort {
    /// 0 when absent, which an API server does not take.
    pub number: u16,
}

/// A host outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalHostname {
    /// Its DNS name.
    pub hostname: String,
}

/// TLS towards a backend.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct XBackendTls {
    /// Who proves what.
    pub mode: XBackendTlsMode,
    /// How the backend proves itself.
    pub validation: Option<BackendTlsValidation>,
}

open_enum! {
    /// What an [`XBackend`] is.
    #[derive(Default)]
    XBackendType {
        /// Pods by their labels.
        EndpointSelector = "EndpointSelector",
        /// A host outside the cluster.
        #[default]
        ExternalHostname = "ExternalHostname",
    }
}

open_enum! {
    /// Modes of [`XBackendTls`].
    #[derive(Default)]
    XBackendTlsMode {
        /// Both sides show certificates.
        ClientAndServer = "ClientAndServer",
        /// Plain text.
        #[default]
        None = "None",
        /// The backend shows its certificate.
        ServerOnly = "ServerOnly",
    }
}
