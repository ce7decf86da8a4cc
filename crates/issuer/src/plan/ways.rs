//! How a Certificate can be issued now, or what stands against it.
//!
//! Input: the Certificate, its issuer, the CAs, its Secret. Output: an [`Order`] without a reason, or a [`Trouble`]. cert-manager waits in
//! all of these cases: nothing is counted as a failure, and what is missing is looked for in every plan.

use sealway_api::{Certificate, ObjectKey, ObjectRef, RotationPolicy, Timestamp};

use super::authorities::{Authorities, Choice, Known};
use super::form::form;
use super::held::{Held, Violation};
use super::issuers::{Issuers, Means, referenced};
use super::owners::Owners;
use super::secrets::Secrets;
use super::triggers::{issuer_group, issuer_kind};
use super::trouble::{Trouble, foreign};
use crate::issued::{Attempt, AuthorityId};
use crate::order::{IssuerUrls, Order, SecretForm, Signer};
use crate::request::Request;
use crate::settings::{Behaviour, Settings};

/// Everything that is the same for all Certificates of a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'s> {
    pub(super) now: Timestamp,
    pub(super) settings: &'s Settings,
    pub(super) secrets: Secrets<'s>,
    pub(super) issuers: &'s Issuers<'s>,
    pub(super) authorities: &'s Authorities<'s>,
    pub(super) owners: &'s Owners,
}

/// Who signs.
#[derive(Debug)]
pub(super) enum Way<'s> {
    /// The certificate's own key.
    Itself(IssuerUrls),
    /// A CA.
    Authority {
        issuer: ObjectRef,
        signer: &'s Known<'s>,
        /// Whether it is the one that the issuer has now, not its predecessor.
        is_current: bool,
        urls: IssuerUrls,
    },
}

impl<'s> Scene<'s> {
    pub(super) fn is_sealway(&self) -> bool {
        self.settings.behaviour == Behaviour::Sealway
    }

    /// Who signs for a Certificate.
    pub(super) fn way(&self, certificate: &Certificate, secret: &ObjectKey) -> Result<Way<'s>, Trouble> {
        let reference = &certificate.spec.issuer_ref;
        let Some(issuer) = referenced(reference, &secret.namespace) else {
            let (kind, group) = (
                issuer_kind(reference.kind.as_deref()),
                issuer_group(reference.group.as_deref()),
            );
            return Err(foreign(kind, group, &reference.name));
        };
        match self.issuers.get(&issuer) {
            None => Err(self.issuer_missing(issuer)),
            Some(Means::None(why)) => Err(Trouble::IssuerNotReady(issuer, why.clone())),
            Some(Means::Elsewhere(kind)) => Err(Trouble::IssuerElsewhere(issuer, kind)),
            Some(Means::Itself(self_signed)) => Ok(Way::Itself(IssuerUrls {
                crl_distribution_points: self_signed.crl_distribution_points.clone(),
                ..IssuerUrls::default()
            })),
            Some(Means::Authority(ca, standing)) => {
                if self.is_sealway() && self.owners.is_circle(secret) {
                    return Err(Trouble::AuthorityCircle(issuer));
                }
                let mut urls = IssuerUrls {
                    crl_distribution_points: ca.crl_distribution_points.clone(),
                    ocsp_servers: ca.ocsp_servers.clone(),
                    issuing_certificates: ca.issuing_certificate_urls.clone(),
                };
                match self.authorities.choice(&issuer, standing) {
                    Some(Choice::Now(signer)) => {
                        if self.is_sealway() {
                            let points = urls.crl_distribution_points.iter_mut();
                            points.for_each(|point| name_authority(point, &issuer, &signer.id));
                        }
                        Ok(Way::Authority {
                            is_current: signer.id == standing.id,
                            issuer,
                            signer,
                            urls,
                        })
                    }
                    Some(Choice::From(from)) => Err(Trouble::AuthorityUnpublished(issuer, from)),
                    Some(Choice::Never(authority)) => Err(self.authority_not_valid(issuer, authority)),
                    None => Err(Trouble::IssuerNotReady(issuer, "its CA is not known yet".to_owned())),
                }
            }
        }
    }

    fn authority_not_valid(&self, issuer: ObjectRef, authority: &Known<'_>) -> Trouble {
        let begins = authority.facts.not_before;
        if self.now < begins {
            Trouble::AuthorityNotBegun(issuer, begins)
        } else {
            Trouble::AuthorityEnded(issuer, authority.ends)
        }
    }

    /// The article's own mistake is an Issuer that lives in another namespace.
    fn issuer_missing(&self, issuer: ObjectRef) -> Trouble {
        let resources = self.secrets.resources;
        let of_that_name = resources.issuers.keys().filter(|key| key.name == issuer.key.name);
        Trouble::IssuerMissing {
            elsewhere: of_that_name.map(|key| key.namespace.clone()).collect(),
            is_cluster: resources.cluster_issuers.keys().any(|key| key.name == issuer.key.name),
            issuer,
        }
    }

    /// What the Secret of `certificate` is to look like, with that signer.
    pub(super) fn form(&self, certificate: &Certificate, secret: &ObjectKey, beside: Vec<String>) -> Result<SecretForm, Trouble> {
        form(&certificate.spec, &secret.namespace, self.secrets, beside)
    }

    /// An order, but for its reason.
    pub(super) fn order(
        &self,
        certificate: &Certificate,
        secret: &ObjectKey,
        held: &Held,
        wanted: &Request,
        attempt: Option<&Attempt>,
    ) -> Result<Order, Trouble> {
        let way = self.way(certificate, secret)?;
        let renewal_asked = attempt.is_some_and(|attempt| attempt.renewal_asked.is_some());
        if self.secrets.issued.damaged.contains(secret) && !renewal_asked && (wanted.is_ca || matches!(way, Way::Itself(_))) {
            return Err(Trouble::SecretDamaged {
                secret: secret.clone(),
                certificate: certificate.metadata.key(),
            });
        }
        let never = certificate
            .spec
            .private_key
            .as_ref()
            .and_then(|key| key.rotation_policy.as_ref())
            == Some(&RotationPolicy::Never);
        if never
            && held.violation.is_none()
            && let Some(Violation { message, .. }) = held.key_violation(wanted)
        {
            return Err(Trouble::KeyFixed(message));
        }
        let (signer, urls, not_after_limit, beside) = match way {
            Way::Itself(urls) => (Signer::Itself, urls, None, self.authorities.beside(None, None, secret, None)),
            Way::Authority {
                issuer, signer, urls, ..
            } => {
                let Some(signing) = signer.signing_secret() else {
                    return Err(self.authority_not_valid(issuer, signer));
                };
                let beside = self.authorities.beside(Some(&issuer), Some(signer), secret, None);
                let limit = self.is_sealway().then_some(signer.ends);
                let signer = Signer::Authority {
                    id: signer.id.clone(),
                    secret: signing,
                };
                (signer, urls, limit, beside)
            }
        };
        Ok(Order {
            certificate: certificate.metadata.key(),
            secret: secret.clone(),
            reason: String::new(),
            message: String::new(),
            request: wanted.clone(),
            reuse_key: never,
            signer,
            urls,
            // cert-manager's CAs may not sign revocation lists unless their usages say so, and who checks takes no list from such a CA.
            signs_lists: self.is_sealway() && wanted.is_ca,
            not_after_limit,
            form: self.form(certificate, secret, beside)?,
            revision: 1,
        })
    }
}

/// A distribution point that is the issuer's own list on our admin address gets the CA's id: once the CA has a successor, the plain address
/// leads to that one's list, and whoever checks an older certificate would find a list that does not concern it.
fn name_authority(point: &mut String, issuer: &ObjectRef, id: &AuthorityId) {
    let path = if issuer.key.namespace.is_empty() {
        format!("/crl/{}.crl", issuer.key.name)
    } else {
        format!("/crl/{}/{}.crl", issuer.key.namespace, issuer.key.name)
    };
    if point.ends_with(&path) {
        point.push_str(&format!("?authority={id}"));
    }
}

#[cfg(test)]
mod tests {
    use sealway_api::Kind;

    use super::*;

    #[test]
    fn only_our_own_lists_name_their_authority() {
        let issuer = ObjectRef::new(Kind::Issuer, "payment", "ca");
        let id = AuthorityId("0f".repeat(32));
        let named = |point: &str| {
            let mut point = point.to_owned();
            name_authority(&mut point, &issuer, &id);
            point
        };
        let own = "http://gateway:15000/crl/payment/ca.crl";
        assert_eq!(named(own), format!("{own}?authority={id}"));
        for other in [
            "http://gateway:15000/crl/order/ca.crl",
            "http://pki/ca.crl",
            "http://pki/crl/payment/ca.crl?x",
        ] {
            assert_eq!(named(other), other);
        }
    }
}
