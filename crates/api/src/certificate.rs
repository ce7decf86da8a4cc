//! cert-manager's Certificate (`cert-manager.io/v1`), every field of its spec, and its status.
//!
//! Durations are text as Go writes them (`2160h`, `1h30m`); who uses them parses them, so that a bad one costs only its own object.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::{ObjectMeta, Timestamp};

mod bundle;
mod issuer;

pub use bundle::*;
pub use issuer::*;

/// cert-manager's Certificate: what is to be issued into a Secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Certificate {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: CertificateSpec,
}

/// See [`Certificate`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateSpec {
    /// The subject by its parts.
    pub subject: Option<Subject>,
    /// The subject as RFC 4514 text, instead of `subject` and `commonName`.
    pub literal_subject: String,
    /// The subject's common name.
    pub common_name: String,
    /// How long it is valid; absent: 2160h.
    pub duration: Option<String>,
    /// How long before its end it is renewed.
    pub renew_before: Option<String>,
    /// The same as a share of its lifetime, 1 to 99.
    pub renew_before_percentage: Option<i32>,
    /// When renewals may happen.
    pub renewal: Option<Renewal>,
    /// SAN: DNS names.
    pub dns_names: Vec<String>,
    /// SAN: IP addresses.
    pub ip_addresses: Vec<String>,
    /// SAN: URIs.
    #[serde(rename = "uris")]
    pub uris: Vec<String>,
    /// SAN: names of other types.
    pub other_names: Vec<OtherName>,
    /// SAN: email addresses.
    pub email_addresses: Vec<String>,
    /// The Secret that is written.
    pub secret_name: String,
    /// Labels and annotations for that Secret.
    pub secret_template: Option<SecretTemplate>,
    /// Java and PKCS#12 keystores in that Secret.
    pub keystores: Option<Keystores>,
    /// Who signs.
    pub issuer_ref: IssuerRef,
    /// Whether the certificate may sign others.
    #[serde(rename = "isCA")]
    pub is_ca: bool,
    /// Key usages and extended key usages; empty: digital signature, key encipherment.
    pub usages: Vec<KeyUsage>,
    /// What kind of key.
    pub private_key: Option<PrivateKeySpec>,
    /// How the certificate request is signed.
    pub signature_algorithm: Option<SignatureAlgorithm>,
    /// Whether usages stand in the request; absent: they do.
    pub encode_usages_in_request: Option<bool>,
    /// How many revisions' requests are kept; absent: 1.
    pub revision_history_limit: Option<i32>,
    /// More keys in the Secret.
    pub additional_output_formats: Vec<AdditionalOutputFormat>,
    /// Which names the CA may sign for.
    pub name_constraints: Option<NameConstraints>,
}

/// See [`CertificateSpec::subject`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// O.
    pub organizations: Vec<String>,
    /// C.
    pub countries: Vec<String>,
    /// OU.
    pub organizational_units: Vec<String>,
    /// L.
    pub localities: Vec<String>,
    /// ST.
    pub provinces: Vec<String>,
    /// STREET.
    pub street_addresses: Vec<String>,
    /// POSTALCODE.
    pub postal_codes: Vec<String>,
    /// SERIALNUMBER.
    pub serial_number: String,
}

/// See [`CertificateSpec::renewal`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Renewal {
    /// Whether there are renewals at all.
    pub policy: Option<RenewalPolicy>,
    /// When; empty: at any time.
    pub windows: Vec<RenewalWindow>,
}

open_enum! {
    /// See [`Renewal::policy`].
    RenewalPolicy {
        /// Never.
        Disabled = "Disabled",
        /// By `renewBefore` or its default.
        RenewBefore = "RenewBefore",
    }
}

/// A window of time that opens again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RenewalWindow {
    /// IANA name; empty: UTC.
    pub timezone: String,
    /// How long it stays open.
    pub window_duration: Option<String>,
    /// When it opens.
    pub cron: String,
}

/// See [`CertificateSpec::other_names`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OtherName {
    /// The type's object identifier.
    pub oid: String,
    /// The name.
    #[serde(rename = "utf8Value")]
    pub utf8_value: String,
}

/// See [`CertificateSpec::secret_template`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretTemplate {
    /// Added to the Secret; they never replace the issuer's own.
    pub annotations: BTreeMap<String, String>,
    /// Added to the Secret.
    pub labels: BTreeMap<String, String>,
}

/// See [`CertificateSpec::keystores`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Keystores {
    /// `keystore.jks`, `truststore.jks`.
    pub jks: Option<JksKeystore>,
    /// `keystore.p12`, `truststore.p12`.
    pub pkcs12: Option<Pkcs12Keystore>,
}

/// A Java keystore.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JksKeystore {
    /// Whether it is made.
    pub create: bool,
    /// Name of the entry; absent: `certificate`.
    pub alias: Option<String>,
    /// Where the password stands.
    pub password_secret_ref: Option<SecretKeySelector>,
    /// The password itself, instead.
    pub password: Option<Password>,
}

/// A PKCS#12 keystore.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pkcs12Keystore {
    /// Whether it is made.
    pub create: bool,
    /// With which algorithms; absent: LegacyRC2.
    pub profile: Option<Pkcs12Profile>,
    /// Where the password stands.
    pub password_secret_ref: Option<SecretKeySelector>,
    /// The password itself, instead.
    pub password: Option<Password>,
}

open_enum! {
    /// Algorithms of a PKCS#12 file.
    Pkcs12Profile {
        /// RC2 and 3DES.
        LegacyRc2 = "LegacyRC2",
        /// 3DES.
        LegacyDes = "LegacyDES",
        /// AES-256-CBC, PBKDF2, HMAC-SHA256.
        Modern2023 = "Modern2023",
        /// The same with PBMAC1.
        Modern2026 = "Modern2026",
    }
}

/// One key of a Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretKeySelector {
    /// The Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// A password: it prints masked and is never serialised.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Takes the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for whoever really needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(..)")
    }
}

/// See [`CertificateSpec::private_key`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrivateKeySpec {
    /// Whether a renewal makes a new key; absent: Always.
    pub rotation_policy: Option<RotationPolicy>,
    /// How the key is written; absent: PKCS1.
    pub encoding: Option<KeyEncoding>,
    /// Absent: RSA.
    pub algorithm: Option<KeyAlgorithm>,
    /// In bits; 0 or absent: 2048 for RSA, 256 for ECDSA.
    pub size: i32,
}

open_enum! {
    /// See [`PrivateKeySpec::rotation_policy`].
    RotationPolicy {
        /// A new key with each certificate.
        Always = "Always",
        /// The key stays.
        Never = "Never",
    }
}

open_enum! {
    /// See [`PrivateKeySpec::encoding`].
    KeyEncoding {
        /// `RSA PRIVATE KEY` or `EC PRIVATE KEY`.
        Pkcs1 = "PKCS1",
        /// `PRIVATE KEY`.
        Pkcs8 = "PKCS8",
    }
}

open_enum! {
    /// See [`PrivateKeySpec::algorithm`].
    KeyAlgorithm {
        /// RSA.
        Rsa = "RSA",
        /// ECDSA on a NIST curve.
        Ecdsa = "ECDSA",
        /// Ed25519.
        Ed25519 = "Ed25519",
    }
}

open_enum! {
    /// See [`CertificateSpec::signature_algorithm`].
    SignatureAlgorithm {
        /// RSA PKCS#1 v1.5 with SHA-256.
        Sha256WithRsa = "SHA256WithRSA",
        /// RSA PKCS#1 v1.5 with SHA-384.
        Sha384WithRsa = "SHA384WithRSA",
        /// RSA PKCS#1 v1.5 with SHA-512.
        Sha512WithRsa = "SHA512WithRSA",
        /// ECDSA with SHA-256.
        EcdsaWithSha256 = "ECDSAWithSHA256",
        /// ECDSA with SHA-384.
        EcdsaWithSha384 = "ECDSAWithSHA384",
        /// ECDSA with SHA-512.
        EcdsaWithSha512 = "ECDSAWithSHA512",
        /// Ed25519.
        PureEd25519 = "PureEd25519",
    }
}

open_enum! {
    /// Key usages and extended key usages, as cert-manager spells them.
    KeyUsage {
        /// Key usage digitalSignature; also `signing`.
        Signing = "signing",
        /// Key usage digitalSignature.
        DigitalSignature = "digital signature",
        /// Key usage nonRepudiation.
        ContentCommitment = "content commitment",
        /// Key usage keyEncipherment.
        KeyEncipherment = "key encipherment",
        /// Key usage keyAgreement.
        KeyAgreement = "key agreement",
        /// Key usage dataEncipherment.
        DataEncipherment = "data encipherment",
        /// Key usage keyCertSign.
        CertSign = "cert sign",
        /// Key usage cRLSign.
        CrlSign = "crl sign",
        /// Key usage encipherOnly.
        EncipherOnly = "encipher only",
        /// Key usage decipherOnly.
        DecipherOnly = "decipher only",
        /// Any extended key usage.
        Any = "any",
        /// Server authentication.
        ServerAuth = "server auth",
        /// Client authentication.
        ClientAuth = "client auth",
        /// Code signing.
        CodeSigning = "code signing",
        /// Email protection.
        EmailProtection = "email protection",
        /// S/MIME, which is email protection.
        SMime = "s/mime",
        /// IPsec end system.
        IpsecEndSystem = "ipsec end system",
        /// IPsec tunnel.
        IpsecTunnel = "ipsec tunnel",
        /// IPsec user.
        IpsecUser = "ipsec user",
        /// Time stamping.
        Timestamping = "timestamping",
        /// OCSP signing.
        OcspSigning = "ocsp signing",
        /// Microsoft server gated crypto.
        MicrosoftSgc = "microsoft sgc",
        /// Netscape server gated crypto.
        NetscapeSgc = "netscape sgc",
    }
}

/// See [`CertificateSpec::additional_output_formats`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AdditionalOutputFormat {
    /// Which.
    #[serde(rename = "type")]
    pub kind: Option<OutputFormat>,
}

open_enum! {
    /// More forms of key and certificate in the Secret.
    OutputFormat {
        /// `tls-combined.pem`: key, then chain.
        CombinedPem = "CombinedPEM",
        /// `key.der`: the key.
        Der = "DER",
    }
}

/// See [`CertificateSpec::name_constraints`] (RFC 5280 section 4.2.1.10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NameConstraints {
    /// Whether who does not know them must refuse.
    pub critical: bool,
    /// Only these.
    pub permitted: Option<NameConstraintItem>,
    /// Not these.
    pub excluded: Option<NameConstraintItem>,
}

/// Names by type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NameConstraintItem {
    /// DNS domains; a leading dot means everything below.
    pub dns_domains: Vec<String>,
    /// In CIDR form.
    pub ip_ranges: Vec<String>,
    /// Addresses or domains.
    pub email_addresses: Vec<String>,
    /// Domains.
    pub uri_domains: Vec<String>,
}

/// A reference to an Issuer or ClusterIssuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IssuerRef {
    /// Name.
    pub name: String,
    /// Absent: Issuer.
    pub kind: Option<String>,
    /// Absent: cert-manager.io.
    pub group: Option<String>,
}

/// Status of a [`Certificate`], as cert-manager writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateStatus {
    /// Ready, Issuing; ours besides.
    pub conditions: Vec<StatusCondition>,
    /// When the last attempt failed; absent after a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Timestamp>,
    /// First second of the certificate in the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Its last second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// When it is to be renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Timestamp>,
    /// How many times it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Failures since the last success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_issuance_attempts: Option<u32>,
}

/// Status of an [`Issuer`] or a [`Bundle`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionsStatus {
    /// Ready, or Synced.
    pub conditions: Vec<StatusCondition>,
}

/// One condition of a cert-manager or trust-manager object. The writer adds `lastTransitionTime`, as for [`crate::Condition`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusCondition {
    /// Ready, Issuing, Synced, ….
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: crate::ConditionStatus,
    /// Why, in one word.
    #[serde(default)]
    pub reason: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Generation of the object that was looked at.
    #[serde(default)]
    pub observed_generation: i64,
}
