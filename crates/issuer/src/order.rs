//! What a plan asks for: plain data, with everything that doing it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sealway_api::{ObjectKey, ObjectRef, OutputFormat, Password, Pkcs12Profile, Secret, SecretBytes, Timestamp};

use crate::issued::AuthorityId;
use crate::request::Request;

/// One thing to do. `perform` does it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make a key if need be, sign, and keep the Secret.
    Issue(Box<Order>),
    /// Bring labels, annotations, formats and keystores of an issued Secret up to date, without a new certificate.
    Amend {
        /// The Secret.
        secret: ObjectKey,
        /// As it is to be.
        form: Box<SecretForm>,
    },
    /// Put a CA back into the Secret of which the disk has only a file that cannot be read. What else belongs there, amending adds.
    Restore {
        /// Whose Secret it is.
        certificate: ObjectKey,
        /// The Secret.
        secret: ObjectKey,
        /// Which CA; its record has the key.
        authority: AuthorityId,
        /// What it counts as issued for.
        request: Box<Request>,
    },
    /// Keep a CA that an issuer signs with, or is to sign with: from now on bundles have it.
    Adopt {
        /// Which.
        id: AuthorityId,
        /// Its chain, PEM.
        chain: String,
        /// Its key, when we made it.
        key: Option<SecretBytes>,
        /// Where it stands.
        secret: ObjectKey,
        /// Who signs with it.
        issuers: BTreeSet<ObjectRef>,
    },
    /// Sign a revocation list anew. The key is the authority's own, or that of the Secret.
    List {
        /// Whose.
        authority: AuthorityId,
        /// The CA's Secret in the manifests, when the authority has no key of its own.
        signer: Option<Arc<Secret>>,
        /// `nextUpdate` is this long after now.
        lifetime: Duration,
    },
    /// Forget a CA that nothing needs any more.
    Retire {
        /// Which.
        authority: AuthorityId,
    },
}

/// A certificate to issue.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// For which Certificate.
    pub certificate: ObjectKey,
    /// Into which Secret.
    pub secret: ObjectKey,
    /// Why: reason and message of the condition Issuing.
    pub reason: String,
    /// See `reason`.
    pub message: String,
    /// What is asked for.
    pub request: Request,
    /// Whether the key of the Secret stays (`rotationPolicy: Never`), when it fits the request.
    pub reuse_key: bool,
    /// Who signs.
    pub signer: Signer,
    /// URLs of the issuer, for the certificate.
    pub urls: IssuerUrls,
    /// Whether it may sign revocation lists, whatever the usages say.
    pub signs_lists: bool,
    /// The certificate ends here at the latest.
    pub not_after_limit: Option<Timestamp>,
    /// What the Secret looks like.
    pub form: SecretForm,
    /// The new revision.
    pub revision: u64,
}

/// Who signs a certificate.
#[derive(Clone, Debug, PartialEq)]
pub enum Signer {
    /// Its own key.
    Itself,
    /// A CA.
    Authority {
        /// Which.
        id: AuthorityId,
        /// Its Secret, with `tls.crt` and `tls.key`.
        secret: Arc<Secret>,
    },
}

/// URLs that an issuer has written into certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerUrls {
    /// RFC 5280 section 4.2.1.13.
    pub crl_distribution_points: Vec<String>,
    /// RFC 5280 section 4.2.2.1, OCSP.
    pub ocsp_servers: Vec<String>,
    /// RFC 5280 section 4.2.2.1, caIssuers.
    pub issuing_certificates: Vec<String>,
}

/// What a Secret carries beside key and certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretForm {
    /// Labels of the Certificate's `secretTemplate`.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the same.
    pub annotations: BTreeMap<String, String>,
    /// `tls-combined.pem`, `key.der`.
    pub formats: Vec<OutputFormat>,
    /// Java keystores.
    pub jks: Option<StoreForm>,
    /// PKCS#12 keystores.
    pub pkcs12: Option<StoreForm>,
    /// The issuer's own CA certificate, PEM, as far as it is known: what becomes of a `ca.crt` that cannot be read.
    pub own_authority: Option<String>,
    /// CA certificates that `ca.crt` holds beside the issuer's own, PEM: during a roll-over.
    pub more_authorities: Vec<String>,
}

/// A keystore to make.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreForm {
    /// Name of the entry; JKS only.
    pub alias: String,
    /// Its password.
    pub password: Password,
    /// Its algorithms; PKCS#12 only.
    pub profile: Pkcs12Profile,
}
