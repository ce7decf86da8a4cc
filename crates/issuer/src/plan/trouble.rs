//! What can be wrong with issuing: a closed list, beside [`crate::Cause`] for what is wrong as it is written.
//!
//! Each variant says how bad it is, what is wrong and what mends it; [`Trouble::about`] makes the flat [`Finding`] that leaves the crate.

use sealway_api::{Kind, ObjectKey, ObjectRef, Timestamp};

use super::times::short;
use super::{Finding, Severity};
use crate::go_text::quote;

/// Something that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A CA issuer's Secret is not there, or holds nothing that can be read: the condition's message, and the Secret's name.
    KeyPairMissing(String, String),
    /// Its certificate is no CA's, or its key another's.
    KeyPairInvalid(String),
    /// The manifests carry the Secret.
    SecretGiven(ObjectKey),
    /// Another Certificate has the Secret.
    SecretTaken { secret: ObjectKey, owner: ObjectKey },
    /// The file of a CA, or of a certificate that signs itself, cannot be read.
    SecretDamaged { secret: ObjectKey, certificate: ObjectKey },
    /// A Secret whose Certificate is gone, or names another Secret.
    SecretLeftOver(ObjectKey),
    /// Neither an Issuer nor a ClusterIssuer of cert-manager.
    IssuerOfOthers(String),
    /// No such issuer.
    IssuerMissing {
        issuer: ObjectRef,
        /// Namespaces that have an Issuer of that name.
        elsewhere: Vec<String>,
        /// Whether there is a ClusterIssuer of that name.
        is_cluster: bool,
    },
    /// The issuer has a finding of its own, and says this.
    IssuerNotReady(ObjectRef, String),
    /// An issuer of a kind that only cert-manager has, as `ACME`.
    IssuerElsewhere(ObjectRef, &'static str),
    /// Two CAs would sign each other.
    AuthorityCircle(ObjectRef),
    /// A new CA is being published.
    AuthorityUnpublished(ObjectRef, Timestamp),
    /// The CA is not valid yet.
    AuthorityNotBegun(ObjectRef, Timestamp),
    /// The CA has ended.
    AuthorityEnded(ObjectRef, Timestamp),
    /// `rotationPolicy: Never`, and the key is not what the spec asks for.
    KeyFixed(String),
    /// The password of a keystore: the field, and what is missing.
    PasswordMissing(&'static str, String),
    /// What the spec asks for cannot be made.
    RequestImpossible(String),
    /// The last attempt failed.
    IssuanceFailed {
        certificate: ObjectKey,
        failures: u32,
        again: Timestamp,
        message: String,
    },
    /// A certificate ends and nothing renews it.
    Ends(Ending),
    /// The certificate in the Secret was taken back.
    RevokedInUse {
        secret: ObjectKey,
        certificate: ObjectKey,
        at: Timestamp,
    },
    /// A CA revoked something and may not sign a list of it.
    ListForbidden,
}

/// See [`Trouble::Ends`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// As in `the certificate in Secret shop/web`.
    pub(super) what: String,
    /// Its last second.
    pub(super) at: Timestamp,
    /// Fewer than so many days are left: 21, 7 or 1; 0: it has ended.
    pub(super) days: u64,
    /// Why nothing renews it.
    pub(super) why: String,
    /// What would.
    pub(super) hint: String,
}

impl Trouble {
    fn label(&self) -> &'static str {
        match self {
            Self::KeyPairMissing(..) => "key-pair-missing",
            Self::KeyPairInvalid(_) => "key-pair-invalid",
            Self::SecretGiven(_) => "secret-given",
            Self::SecretTaken { .. } => "secret-taken",
            Self::SecretDamaged { .. } => "secret-damaged",
            Self::SecretLeftOver(_) => "secret-left-over",
            Self::IssuerOfOthers(_) => "issuer-of-others",
            Self::IssuerMissing { .. } => "issuer-missing",
            Self::IssuerNotReady(..) => "issuer-not-ready",
            Self::IssuerElsewhere(..) => "issuer-elsewhere",
            Self::AuthorityCircle(_) => "authority-circle",
            Self::AuthorityUnpublished(..) => "authority-unpublished",
            Self::AuthorityNotBegun(..) => "authority-not-begun",
            Self::AuthorityEnded(..) => "authority-ended",
            Self::KeyFixed(_) => "key-fixed",
            Self::PasswordMissing(..) => "password-missing",
            Self::RequestImpossible(_) => "request-impossible",
            Self::IssuanceFailed { .. } => "issuance-failed",
            Self::Ends(Ending { days: 0, .. }) => "certificate-ended",
            Self::Ends(_) => "certificate-ends-soon",
            Self::RevokedInUse { .. } => "revoked-in-use",
            Self::ListForbidden => "list-forbidden",
        }
    }

    fn severity(&self) -> Severity {
        match self {
            Self::SecretGiven(_) | Self::SecretLeftOver(_) | Self::AuthorityUnpublished(..) => Severity::Note,
            Self::Ends(Ending { days: 1.., .. }) | Self::ListForbidden | Self::RevokedInUse { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    fn field(&self) -> &'static str {
        match self {
            Self::KeyPairMissing(..) | Self::KeyPairInvalid(_) => "spec.ca.secretName",
            Self::SecretGiven(_) | Self::SecretTaken { .. } | Self::SecretDamaged { .. } | Self::RevokedInUse { .. } => {
                "spec.secretName"
            }
            Self::IssuerMissing { .. } => "spec.issuerRef.name",
            Self::IssuerOfOthers(_)
            | Self::IssuerNotReady(..)
            | Self::IssuerElsewhere(..)
            | Self::AuthorityCircle(_)
            | Self::AuthorityUnpublished(..)
            | Self::AuthorityNotBegun(..)
            | Self::AuthorityEnded(..) => "spec.issuerRef",
            Self::KeyFixed(_) => "spec.privateKey",
            Self::PasswordMissing(field, _) => field,
            Self::RequestImpossible(_) => "spec",
            Self::SecretLeftOver(_) | Self::IssuanceFailed { .. } | Self::Ends(_) | Self::ListForbidden => "",
        }
    }

    /// What is wrong.
    pub(super) fn message(&self) -> String {
        match self {
            Self::KeyPairMissing(message, _)
            | Self::KeyPairInvalid(message)
            | Self::PasswordMissing(_, message)
            | Self::RequestImpossible(message) => message.clone(),
            Self::SecretGiven(secret) => {
                format!("Secret {secret} is carried by the manifests: it is served as it is, and nothing is issued")
            }
            Self::SecretTaken { secret, owner } => {
                format!("Secret {secret} belongs to Certificate {owner}; nothing is issued for this one")
            }
            Self::SecretDamaged { secret, .. } => format!(
                "the file of Secret {secret} cannot be read and was set aside; what it held is believed, and a new one would not be"
            ),
            Self::SecretLeftOver(certificate) => format!(
                "it was issued for Certificate {certificate}, which is gone or names another Secret; it is served, and not renewed"
            ),
            Self::IssuerOfOthers(issuer) => format!("{issuer} is not an issuer of cert-manager's own"),
            Self::IssuerMissing {
                issuer,
                elsewhere,
                is_cluster,
            } => {
                let namespaces = elsewhere.join(", ");
                let reason = match issuer.kind {
                    Kind::Issuer if *is_cluster => "there is a ClusterIssuer of that name".to_owned(),
                    Kind::Issuer if !elsewhere.is_empty() => {
                        format!("namespace {namespaces} has one, but an Issuer serves only its own namespace")
                    }
                    Kind::ClusterIssuer if !elsewhere.is_empty() => {
                        format!("there is an Issuer of that name in namespace {namespaces}")
                    }
                    _ => "the manifests have none".to_owned(),
                };
                format!("{issuer} does not exist: {reason}")
            }
            Self::IssuerNotReady(issuer, why) => format!("{issuer} is not ready: {why}"),
            Self::IssuerElsewhere(issuer, kind) => {
                format!("{issuer} is of kind {kind}, which needs cert-manager in a cluster: nothing is issued here")
            }
            Self::AuthorityCircle(issuer) => format!(
                "the CA of {issuer} is, some way up, signed by what this Certificate issues: each would make the other new for ever"
            ),
            Self::AuthorityUnpublished(issuer, from) => {
                let from = short(*from);
                format!("{issuer} has a new CA, which signs from {from} on: until then bundles hand it out")
            }
            Self::AuthorityNotBegun(issuer, begins) => format!("the CA of {issuer} is not valid before {}", short(*begins)),
            Self::AuthorityEnded(issuer, ended) => format!("the CA of {issuer} ended at {}", short(*ended)),
            Self::KeyFixed(message) => format!("{message}, and rotationPolicy Never forbids a new one"),
            Self::IssuanceFailed {
                failures,
                again,
                message,
                ..
            } => {
                let again = short(*again);
                let times = match failures {
                    1 => "once".to_owned(),
                    2 => "twice".to_owned(),
                    failures => format!("{failures} times"),
                };
                format!("issuing failed {times} so far, and is tried again at {again}: {message}")
            }
            Self::Ends(Ending { what, at, days, why, .. }) => {
                let at = short(*at);
                match days {
                    0 => format!("{what} ended at {at} and is not renewed: {why}"),
                    1 => format!("{what} ends at {at}, in less than a day, and is not going to be renewed: {why}"),
                    days => format!("{what} ends at {at}, in less than {days} days, and is not going to be renewed: {why}"),
                }
            }
            Self::RevokedInUse { secret, at, .. } => {
                format!(
                    "the certificate in Secret {secret} was revoked at {}: who checks the list refuses it",
                    short(*at)
                )
            }
            Self::ListForbidden => {
                "its CA has revoked certificates, but its key usage does not let it sign a revocation list".to_owned()
            }
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::KeyPairMissing(_, secret) => format!(
                "put a Secret {secret} with tls.crt and tls.key of a CA into the manifests, or a Certificate with isCA: true and that \
                 secretName"
            ),
            Self::KeyPairInvalid(_) => {
                "issue the CA with isCA: true, or put a CA's certificate and its own key into the Secret".to_owned()
            }
            Self::SecretGiven(_) => "take the Secret out of the manifests, or name another, to have it issued".to_owned(),
            Self::SecretTaken { .. } => "give each Certificate a secretName of its own".to_owned(),
            Self::SecretDamaged { certificate, .. } => {
                format!("put the file back from a backup, or have a new one made: sealway certs renew {certificate}")
            }
            Self::IssuerOfOthers(_) => "name an Issuer or ClusterIssuer of group cert-manager.io".to_owned(),
            Self::IssuerMissing {
                issuer,
                elsewhere,
                is_cluster,
            } => match issuer.kind {
                Kind::Issuer if *is_cluster => "set spec.issuerRef.kind to ClusterIssuer".to_owned(),
                Kind::Issuer if !elsewhere.is_empty() => {
                    format!("make it a ClusterIssuer and set spec.issuerRef.kind, or add {issuer}",)
                }
                Kind::ClusterIssuer if !elsewhere.is_empty() => {
                    "leave spec.issuerRef.kind out, for an Issuer of the Certificate's own namespace".to_owned()
                }
                _ => format!("add {issuer}, or correct spec.issuerRef"),
            },
            Self::IssuerNotReady(issuer, _) => format!("mend {issuer}; the certificate is then issued by itself"),
            Self::IssuerElsewhere(issuer, _) => format!(
                "let cert-manager issue it in a cluster and put the Secret into the manifests, or have {issuer} sign with `ca` or `selfSigned`"
            ),
            Self::AuthorityCircle(_) => "let a selfSigned issuer sign the CA at the top".to_owned(),
            Self::AuthorityNotBegun(..) => "set the clock, or put another CA into the issuer's Secret".to_owned(),
            Self::AuthorityEnded(..) => "put a new CA into the issuer's Secret".to_owned(),
            Self::KeyFixed(_) => "set spec.privateKey.rotationPolicy to Always".to_owned(),
            Self::PasswordMissing(..) => "put the Secret with the password into the manifests, or name another".to_owned(),
            Self::RequestImpossible(_) => "correct the spec".to_owned(),
            Self::IssuanceFailed { certificate, .. } => {
                format!("a change of the spec is tried at once, and so is: sealway certs renew {certificate}")
            }
            Self::Ends(Ending { hint, .. }) => hint.clone(),
            Self::RevokedInUse { certificate, .. } => {
                format!("sealway certs renew {certificate}; or remove the Certificate, when nobody is to have one")
            }
            Self::ListForbidden => "issue the CA anew, with \"crl sign\" among its usages".to_owned(),
            Self::SecretLeftOver(_) | Self::AuthorityUnpublished(..) => return None,
        })
    }

    /// The same about `object`.
    pub(super) fn about(&self, object: &ObjectRef) -> Finding {
        Finding {
            severity: self.severity(),
            label: self.label(),
            object: object.clone(),
            field: self.field().to_owned(),
            message: self.message(),
            hint: self.hint(),
        }
    }

    /// When time alone takes it away.
    pub(super) fn until(&self) -> Option<Timestamp> {
        match self {
            Self::AuthorityUnpublished(_, from) => Some(*from),
            Self::AuthorityNotBegun(_, begins) => Some(*begins),
            _ => None,
        }
    }
}

/// `Issuer.example.com "name"`.
pub(super) fn foreign(kind: &str, group: &str, name: &str) -> Trouble {
    Trouble::IssuerOfOthers(format!("{kind}.{group} {}", quote(name)))
}
