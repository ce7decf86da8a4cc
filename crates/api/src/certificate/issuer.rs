//! cert-manager's Issuer and ClusterIssuer (`cert-manager.io/v1`).

use serde::Deserialize;

use crate::ObjectMeta;

/// cert-manager's Issuer and ClusterIssuer: exactly one of the ways to sign.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Issuer {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// How it signs.
    pub spec: IssuerSpec,
}

/// See [`Issuer`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IssuerSpec {
    /// A CA whose key pair stands in a Secret.
    pub ca: Option<CaIssuer>,
    /// Certificates that sign themselves.
    pub self_signed: Option<SelfSignedIssuer>,
    /// An ACME server; cert-manager's business.
    pub acme: Option<serde_json::Value>,
    /// HashiCorp Vault; cert-manager's business.
    pub vault: Option<serde_json::Value>,
    /// Venafi; cert-manager's business.
    pub venafi: Option<serde_json::Value>,
}

/// See [`IssuerSpec::ca`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CaIssuer {
    /// The Secret with `tls.crt` and `tls.key`.
    pub secret_name: String,
    /// URLs that are written into every certificate (RFC 5280 section 4.2.1.13).
    #[serde(rename = "crlDistributionPoints")]
    pub crl_distribution_points: Vec<String>,
    /// URLs of OCSP servers (section 4.2.2.1).
    #[serde(rename = "ocspServers")]
    pub ocsp_servers: Vec<String>,
    /// URLs of the issuer's own certificate (section 4.2.2.1).
    #[serde(rename = "issuingCertificateURLs")]
    pub issuing_certificate_urls: Vec<String>,
}

/// See [`IssuerSpec::self_signed`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SelfSignedIssuer {
    /// URLs that are written into every certificate.
    #[serde(rename = "crlDistributionPoints")]
    pub crl_distribution_points: Vec<String>,
}
