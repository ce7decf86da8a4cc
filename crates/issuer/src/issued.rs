//! What the issuer has made and must not forget: the content of the state directory, as values.
//!
//! [`Issued`] is what [`crate::plan()`] looks at; a [`Change`] is what `perform` wants kept. One change is one file, written
//! whole or not at all; changes are made in the order given, and after each the whole is in order. Invariant: [`Issued::apply`] after
//! the store has written the same change gives what the store would read back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use sealway_api::{ObjectKey, ObjectRef, Secret, SecretBytes, Timestamp};
use serde::{Deserialize, Serialize};

use crate::request::Request;

/// Everything that was made and is still of use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Issued {
    /// Issued Secrets, by the Secret's key.
    pub secrets: BTreeMap<ObjectKey, Arc<IssuedSecret>>,
    /// What Certificates have behind them beside their Secret, by the Certificate's key.
    pub attempts: BTreeMap<ObjectKey, Arc<Attempt>>,
    /// CAs that have signed, or are about to.
    pub authorities: BTreeMap<AuthorityId, Arc<Authority>>,
    /// Secrets that were issued and of which the disk has only a file that cannot be read: set aside, not lost. A CA or a certificate
    /// that signs itself is not issued anew into one of these before its renewal is asked for: nobody trusts a new root yet.
    pub damaged: BTreeSet<ObjectKey>,
}

/// A Secret and how it came about: one file, so that neither is ever without the other.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuedSecret {
    /// For which Certificate.
    pub certificate: ObjectKey,
    /// Counts issuances of this Certificate, from 1.
    pub revision: u64,
    /// When.
    pub issued_at: Timestamp,
    /// What was asked for, as cert-manager keeps it in a CertificateRequest.
    pub request: Request,
    /// The Secret itself.
    pub secret: Arc<Secret>,
}

/// What happened to a Certificate since it was issued last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attempt {
    /// Failures since the last success.
    pub failures: u32,
    /// When the last one was.
    pub last_failure: Option<Timestamp>,
    /// What it said.
    pub message: String,
    /// What was asked for then: a request that differs is tried at once.
    pub request: Option<Request>,
    /// `sealway certs renew` asked for it, then.
    pub renewal_asked: Option<Timestamp>,
    /// The revision that was there then, 0 for none: a later one is what was asked for, even if the process ended before it forgot the
    /// asking.
    pub renewal_of: Option<u64>,
}

/// A CA, by the SHA-256 of its certificate's DER, as 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthorityId(pub String);

impl fmt::Display for AuthorityId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A CA that a CA issuer signs with, has signed with, or will.
#[derive(Clone, Debug, PartialEq)]
pub struct Authority {
    /// Its certificate and those above it, PEM, as in the Secret's `tls.crt`.
    pub chain: String,
    /// Its key, for CAs that we made: a retired one still signs its revocation list. `None` for CAs of the manifests.
    pub key: Option<SecretBytes>,
    /// The Secret that holds it, or held it.
    pub secret: ObjectKey,
    /// The Issuers and ClusterIssuers that sign with that Secret, as last seen.
    pub issuers: BTreeSet<ObjectRef>,
    /// Since when bundles have it: nothing is signed by it before `publication_lead` has passed, if it has a predecessor.
    pub published: Timestamp,
    /// What it has signed and is not yet over.
    pub issuances: Vec<Issuance>,
    /// The revocation list, when there is one: DER.
    pub revocation_list: Option<Vec<u8>>,
    /// Number of that list (RFC 5280 section 5.2.3).
    pub list_number: u64,
}

/// A certificate that a CA has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issuance {
    /// Serial number: lower-case hexadecimal digits, two for each byte, no separators.
    pub serial: String,
    /// For which Certificate.
    pub certificate: ObjectKey,
    /// Its last second.
    pub not_after: Timestamp,
    /// Whether it was taken back.
    pub revoked: Option<Revocation>,
}

/// See [`Issuance::revoked`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// RFC 5280 section 5.3.1, as `keyCompromise`; empty: unspecified.
    #[serde(default)]
    pub reason: String,
}

/// One thing to keep: one file that is written whole, or removed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A Secret was issued, or its labels, annotations or formats changed.
    Secret(ObjectKey, Arc<IssuedSecret>),
    /// A Certificate's memory; a default one is removed.
    Attempt(ObjectKey, Arc<Attempt>),
    /// A CA was seen, signed, revoked or published a list.
    Authority(AuthorityId, Arc<Authority>),
    /// A CA that nothing needs any more.
    AuthorityGone(AuthorityId),
}

impl Issued {
    /// Takes in what the store has written.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Secret(key, secret) => {
                self.damaged.remove(&key);
                self.secrets.insert(key, secret);
            }
            Change::Attempt(key, attempt) => {
                if *attempt == Attempt::default() {
                    self.attempts.remove(&key);
                } else {
                    self.attempts.insert(key, attempt);
                }
            }
            Change::Authority(id, authority) => {
                self.authorities.insert(id, authority);
            }
            Change::AuthorityGone(id) => {
                self.authorities.remove(&id);
            }
        }
    }
}
