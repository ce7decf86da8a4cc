//! What people ask of the issuer while it runs: renew, revoke.

use std::sync::Arc;

use sealway_api::{Kind, ObjectKey, ObjectRef, Resources, Secret, Timestamp};
use tokio::sync::oneshot;

use super::{Worker, facts};
use crate::chain::read_chain;
use crate::digits::read_serial;
use crate::facts::Facts;
use crate::issued::{Attempt, Authority, AuthorityId, Change, Revocation};
use crate::nearest::nearest;
use crate::plan::times::whole_seconds;
use crate::plan::{Finding, Severity, lists};
use crate::settings::Behaviour;
use crate::store::WriteFault;

/// Reasons that may be given (RFC 5280 section 5.3.1); empty is unspecified.
const REASONS: [&str; 9] = [
    "",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "privilegeWithdrawn",
    "aACompromise",
];

/// Something that is asked for. The answer comes when it is done; nobody minds when nobody waits for it any more.
#[derive(Debug)]
pub enum Command {
    /// Issue a certificate anew, now.
    Renew {
        /// Which Certificate.
        certificate: ObjectKey,
        /// The answer.
        reply: oneshot::Sender<Result<Renewed, RenewRefusal>>,
    },
    /// Take a certificate back.
    Revoke {
        /// Its serial number, in hexadecimal digits; colons do no harm.
        serial: String,
        /// See [`Revocation::reason`].
        reason: String,
        /// The answer.
        reply: oneshot::Sender<Result<Revoked, RevokeRefusal>>,
    },
}

/// A certificate was issued anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The Certificate.
    pub certificate: ObjectKey,
    /// Its Secret.
    pub secret: ObjectKey,
    /// Its new revision.
    pub revision: u64,
    /// Its new serial number.
    pub serial: String,
}

/// A certificate was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number.
    pub serial: String,
    /// The Certificate that it was issued for.
    pub certificate: ObjectKey,
    /// Who had signed it.
    pub authority: AuthorityId,
    /// Whether its CA's list says so already; if not, then something is in the way that the next step tries again.
    pub is_listed: bool,
}

/// Why nothing was renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewRefusal {
    /// There is no such Certificate.
    #[error("there is no Certificate {certificate}")]
    NotFound {
        /// As asked for.
        certificate: ObjectKey,
        /// Those that may have been meant.
        nearest: Vec<String>,
    },
    /// The manifests carry the Secret.
    #[error("Secret {secret} of Certificate {certificate} is in the manifests, and is served as it is")]
    Carried {
        /// As asked for.
        certificate: ObjectKey,
        /// Its Secret.
        secret: ObjectKey,
    },
    /// Another program's issuer.
    #[error("Certificate {certificate} is issued by {issuer}, which is not for Sealway to sign with")]
    ForeignIssuer {
        /// As asked for.
        certificate: ObjectKey,
        /// Who issues it.
        issuer: ObjectRef,
    },
    /// It is asked for and not yet done.
    #[error("Certificate {certificate} is to be renewed, but not yet: {message}")]
    Waiting {
        /// As asked for.
        certificate: ObjectKey,
        /// What its status says.
        message: String,
    },
    /// It could not be noted down.
    #[error("{0}")]
    NotKept(#[from] WriteFault),
}

impl RenewRefusal {
    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { nearest, .. } => meant(nearest, "`sealway certs list` shows those that there are"),
            Self::Carried { .. } => "take the Secret out of the manifests to have Sealway issue it".to_owned(),
            Self::ForeignIssuer { .. } => "cert-manager issues it; or refer to an issuer with `ca` or `selfSigned`".to_owned(),
            Self::Waiting { .. } => "mend what the status says; it is then done by itself".to_owned(),
            Self::NotKept(fault) => fault.hint(),
        }
    }
}

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeRefusal {
    /// No certificate of that number is known and valid.
    #[error("no certificate with serial number {serial} was issued here, or it is over")]
    NotFound {
        /// As asked for.
        serial: String,
        /// Those that may have been meant.
        nearest: Vec<String>,
    },
    /// A certificate of the manifests.
    #[error("certificate {serial} stands in Secret {secret} of the manifests; it was not issued here")]
    NotOurs {
        /// As asked for.
        serial: String,
        /// Where it stands.
        secret: ObjectKey,
    },
    /// Nobody but itself could take it back.
    #[error("certificate {serial} of Certificate {certificate} has signed itself: there is no list that it could be on")]
    SelfSigned {
        /// As asked for.
        serial: String,
        /// Whose it is.
        certificate: ObjectKey,
    },
    /// As with cert-manager there are no lists.
    #[error("revocation lists are one of Sealway's own additions, which are switched off")]
    ListsOff,
    /// Nobody can sign the list.
    #[error("the key of the CA in Secret {secret} is not at hand: the manifests no longer carry it, so no list can be signed")]
    NoKey {
        /// Where the CA stood.
        secret: ObjectKey,
    },
    /// Its CA may not sign lists, so nobody would hear of it.
    #[error(
        "the CA in Secret {secret} may not sign revocation lists: its key usage lacks cRLSign, and who checks a list refuses one of such a CA"
    )]
    NotListed {
        /// Where the CA stands.
        secret: ObjectKey,
    },
    /// It was done before.
    #[error("certificate {serial} was revoked at {}", revocation.at)]
    AlreadyRevoked {
        /// As asked for.
        serial: String,
        /// When and why.
        revocation: Revocation,
    },
    /// No reason of RFC 5280.
    #[error("`{reason}` is no reason for revoking")]
    Reason {
        /// As given.
        reason: String,
    },
    /// It could not be noted down.
    #[error("{0}")]
    NotKept(#[from] WriteFault),
}

impl RevokeRefusal {
    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { nearest, .. } => meant(nearest, "`sealway certs list` shows serial numbers"),
            Self::NotOurs { .. } => "ask the CA that has signed it, and have its list checked".to_owned(),
            Self::SelfSigned { .. } => "renew it, and take the old one out of every place that trusts it".to_owned(),
            Self::ListsOff => "run without `--issuer-behaviour cert-manager`".to_owned(),
            Self::NoKey { .. } => {
                "put the CA's Secret back into the manifests, or take the CA out of every place that trusts it".to_owned()
            }
            Self::NotListed { .. } => {
                "have the CA issued anew with `usages: [cert sign, crl sign]`, or take it out of every place that trusts it"
                    .to_owned()
            }
            Self::AlreadyRevoked { .. } => "nothing is left to do".to_owned(),
            Self::Reason { .. } => format!("give none, or one of{}", REASONS.join(" ")),
            Self::NotKept(fault) => fault.hint(),
        }
    }
}

fn meant(nearest: &[String], otherwise: &str) -> String {
    if nearest.is_empty() {
        otherwise.to_owned()
    } else {
        format!("did you mean {}?", nearest.join(" or "))
    }
}

impl Worker {
    /// Does what a command asks for, and answers.
    pub fn command(&mut self, now: Timestamp, resources: &Resources, command: Command) {
        // Who does not wait for the answer does not need it.
        match command {
            Command::Renew { certificate, reply } => {
                let _ = reply.send(self.renew(now, resources, &certificate));
            }
            Command::Revoke { serial, reason, reply } => {
                let _ = reply.send(self.revoke(now, resources, &serial, &reason));
            }
        }
    }

    /// Issues a certificate anew.
    ///
    /// # Errors
    /// When there is nothing to renew, or it cannot be done now.
    pub fn renew(&mut self, now: Timestamp, resources: &Resources, certificate: &ObjectKey) -> Result<Renewed, RenewRefusal> {
        let before = self.latest(certificate).map(|latest| latest.revision);
        let was_asked = self
            .issued
            .attempts
            .get(certificate)
            .is_some_and(|attempt| attempt.renewal_asked.is_some());
        let outlook = self.step(now, resources);
        if let Some(latest) = self
            .latest(certificate)
            .filter(|latest| was_asked && Some(latest.revision) > before)
        {
            // It was asked for while nobody was there to do it: this is the answer to both.
            return Ok(latest);
        }
        if !outlook.statuses.certificates.contains_key(certificate) {
            let names = outlook.statuses.certificates.keys().map(ToString::to_string);
            return Err(RenewRefusal::NotFound {
                certificate: certificate.clone(),
                nearest: nearest(&certificate.to_string(), names),
            });
        }
        if let Some(refusal) = not_ours(resources, certificate) {
            return Err(refusal);
        }
        let before = self.latest(certificate).map(|latest| latest.revision);
        let attempt = Attempt {
            renewal_asked: Some(now),
            renewal_of: Some(before.unwrap_or_default()),
            ..self
                .issued
                .attempts
                .get(certificate)
                .map(|attempt| Attempt::clone(attempt))
                .unwrap_or_default()
        };
        self.keep(Change::Attempt(certificate.clone(), Arc::new(attempt)))?;
        let outlook = self.step(now, resources);
        match self.latest(certificate) {
            Some(latest) if Some(latest.revision) > before => Ok(latest),
            _ => {
                let reference = ObjectRef::of(Kind::Certificate, certificate);
                let is_it = |finding: &&Finding| finding.object == reference && finding.severity == Severity::Error;
                let finding = outlook.findings.iter().find(is_it);
                let status = outlook.statuses.certificates.get(certificate);
                let message = finding.map(|finding| finding.message.clone()).or_else(|| {
                    // Issuing says why it is being issued or why that failed; Ready is there in any case.
                    let condition = |kind: &str| status?.conditions.iter().find(|condition| condition.kind == kind);
                    condition("Issuing")
                        .or_else(|| condition("Ready"))
                        .map(|condition| condition.message.clone())
                });
                Err(RenewRefusal::Waiting {
                    certificate: certificate.clone(),
                    message: message.unwrap_or_else(|| "nothing says why".to_owned()),
                })
            }
        }
    }

    /// What was issued last for a Certificate.
    fn latest(&self, certificate: &ObjectKey) -> Option<Renewed> {
        let of_it = self
            .issued
            .secrets
            .iter()
            .filter(|(_, issued)| issued.certificate == *certificate);
        let (secret, issued) = of_it.max_by_key(|(_, issued)| issued.revision)?;
        Some(Renewed {
            certificate: certificate.clone(),
            secret: secret.clone(),
            revision: issued.revision,
            serial: facts(&issued.secret).map(|facts| facts.serial).unwrap_or_default(),
        })
    }

    /// Takes a certificate back.
    ///
    /// # Errors
    /// When there is nothing to revoke, or it cannot be noted down.
    pub fn revoke(
        &mut self,
        now: Timestamp,
        resources: &Resources,
        serial: &str,
        reason: &str,
    ) -> Result<Revoked, RevokeRefusal> {
        if !REASONS.contains(&reason) {
            return Err(RevokeRefusal::Reason {
                reason: reason.to_owned(),
            });
        }
        if self.settings.behaviour == Behaviour::CertManager {
            return Err(RevokeRefusal::ListsOff);
        }
        // What is no number was issued by nobody.
        let wanted = read_serial(serial).unwrap_or_else(|| serial.to_owned());
        let found = self.issued.authorities.iter().find_map(|(id, authority)| {
            let place = authority.issuances.iter().position(|issuance| issuance.serial == wanted)?;
            Some((id.clone(), Authority::clone(authority), place))
        });
        let Some((id, mut authority, place)) = found else {
            return Err(self.not_issued(resources, serial, &wanted));
        };
        let Some(issuance) = authority.issuances.get_mut(place) else {
            return Err(self.not_issued(resources, serial, &wanted));
        };
        if let Some(revocation) = &issuance.revoked {
            return Err(RevokeRefusal::AlreadyRevoked {
                serial: wanted,
                revocation: revocation.clone(),
            });
        }
        let signer = read_chain(authority.chain.as_bytes())
            .ok()
            .and_then(|chain| Facts::of(chain.first()?).ok());
        if signer.is_some_and(|facts| !facts.may_sign_lists) {
            return Err(RevokeRefusal::NotListed {
                secret: authority.secret.clone(),
            });
        }
        // A Secret of that name may hold its successor by now, whose key signs no list of this one.
        let is_it =
            |secret: &Secret| secret.data.contains_key("tls.key") && facts(secret).is_some_and(|facts| facts.fingerprint == id.0);
        if authority.key.is_none() && !resources.secrets.values().any(|secret| is_it(secret)) {
            return Err(RevokeRefusal::NoKey {
                secret: authority.secret.clone(),
            });
        }
        issuance.revoked = Some(Revocation {
            // As lists have it.
            at: whole_seconds(now),
            reason: reason.to_owned(),
        });
        let certificate = issuance.certificate.clone();
        self.keep(Change::Authority(id.clone(), Arc::new(authority)))?;
        self.step(now, resources);
        let list = self
            .issued
            .authorities
            .get(&id)
            .and_then(|authority| authority.revocation_list.as_deref());
        Ok(Revoked {
            is_listed: list.is_some_and(|list| lists::is_on(list, &wanted)),
            serial: wanted,
            certificate,
            authority: id,
        })
    }

    /// Why a serial number cannot be revoked that no CA of ours has given out.
    fn not_issued(&self, resources: &Resources, serial: &str, wanted: &str) -> RevokeRefusal {
        let is_it = |secret| facts(secret).is_some_and(|facts| facts.serial == wanted);
        if let Some(issued) = self.issued.secrets.values().find(|issued| is_it(&issued.secret)) {
            return RevokeRefusal::SelfSigned {
                serial: wanted.to_owned(),
                certificate: issued.certificate.clone(),
            };
        }
        if let Some((key, _)) = resources.secrets.iter().find(|(_, secret)| is_it(secret)) {
            return RevokeRefusal::NotOurs {
                serial: wanted.to_owned(),
                secret: key.clone(),
            };
        }
        let known = self.issued.authorities.values().flat_map(|authority| &authority.issuances);
        RevokeRefusal::NotFound {
            serial: serial.chars().take(80).collect(),
            nearest: nearest(wanted, known.map(|issuance| issuance.serial.clone())),
        }
    }
}

fn not_ours(resources: &Resources, certificate: &ObjectKey) -> Option<RenewRefusal> {
    let spec = &resources.certificates.get(certificate)?.spec;
    let secret = ObjectKey::new(&certificate.namespace, &spec.secret_name);
    if resources.secrets.contains_key(&secret) || resources.refused.contains(&ObjectRef::of(Kind::Secret, &secret)) {
        return Some(RenewRefusal::Carried {
            certificate: certificate.clone(),
            secret,
        });
    }
    let name = &spec.issuer_ref.name;
    let group = spec.issuer_ref.group.as_deref().unwrap_or_default();
    if !matches!(group, "" | "cert-manager.io") {
        let kind = spec.issuer_ref.kind.clone().unwrap_or_default();
        return Some(RenewRefusal::ForeignIssuer {
            certificate: certificate.clone(),
            issuer: ObjectRef::new(Kind::Other(format!("{kind}.{group}")), &certificate.namespace, name),
        });
    }
    let (reference, issuer) = match spec.issuer_ref.kind.as_deref() {
        Some("ClusterIssuer") => {
            let reference = ObjectRef::new(Kind::ClusterIssuer, "", name);
            let issuer = resources.cluster_issuers.get(&reference.key);
            (reference, issuer)
        }
        _ => {
            let reference = ObjectRef::new(Kind::Issuer, &certificate.namespace, name);
            let issuer = resources.issuers.get(&reference.key);
            (reference, issuer)
        }
    };
    let spec = &issuer?.spec;
    (spec.ca.is_none() && spec.self_signed.is_none()).then(|| RenewRefusal::ForeignIssuer {
        certificate: certificate.clone(),
        issuer: reference,
    })
}
