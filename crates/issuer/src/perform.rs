//! Doing what a plan asks for: keys, signatures, Secrets.
//!
//! Input: an [`Action`], what is there, the time; chance comes from the system. Output: [`Change`]s to keep, in this order. No other I/O:
//! nothing is done until the changes are kept. A certificate that cannot be made becomes a failed [`Attempt`], which the plan waits out.
//! Invariant: the record of a signature stands before the Secret that holds it, so what is served can always be revoked.

use std::sync::Arc;

use sealway_api::{KeyEncoding, KeyUsage, ObjectKey, Secret, SecretBytes, Timestamp};
use thiserror::Error;

use crate::chain::{self, ChainBundle, ChainFault};
use crate::digits::serial_digits;
use crate::facts::{Facts, FactsFault};
use crate::issued::{Attempt, Authority, AuthorityId, Change, Issuance, Issued, IssuedSecret};
use crate::keys::{KeyFault, PrivateKey};
use crate::keystore::random_salts;
use crate::order::{Action, Order, SecretForm, Signer};
use crate::plan::lists::revoked;
use crate::plan::times::whole_seconds;
use crate::request::Request;
use crate::secret::{self, FormFault, KeyForms, SecretParts, TLS_SECRET};
use crate::x509::{self, CertificateParts, SignFault, SigningKey};

/// Why something could not be made.
#[derive(Debug, Error)]
pub enum PerformFault {
    /// Of the key.
    #[error("private key: {0}")]
    Key(#[from] KeyFault),
    /// Of the signature.
    #[error("{0}")]
    Sign(#[from] SignFault),
    /// Of the issuer's chain.
    #[error("chain of the issuer: {0}")]
    Chain(#[from] ChainFault),
    /// Of a certificate that is there.
    #[error("certificate: {0}")]
    Facts(#[from] FactsFault),
    /// Of the Secret's form: keystores, names.
    #[error("{0}")]
    Form(#[from] FormFault),
    /// The issuer's Secret has no certificate, or no key.
    #[error("Secret {secret} of the issuer has no {what}")]
    SignerIncomplete {
        /// The Secret.
        secret: ObjectKey,
        /// `tls.crt` or `tls.key`.
        what: &'static str,
    },
    /// The action names something that is not there any more.
    #[error("{0} is not there any more")]
    Gone(String),
}

/// Does it. What fails for a reason that may go away comes back as a failed attempt, not as a fault.
///
/// # Errors
/// When an action other than issuing cannot be done.
pub fn perform(action: &Action, issued: &Issued, now: Timestamp) -> Result<Vec<Change>, PerformFault> {
    match action {
        Action::Issue(order) => Ok(issue(order, issued, now)
            .unwrap_or_else(|fault| vec![failed(issued, &order.certificate, &order.request, &fault.to_string(), now)])),
        Action::Amend { secret, form } => {
            let before = issued
                .secrets
                .get(secret)
                .ok_or_else(|| PerformFault::Gone(format!("Secret {secret}")))?;
            let amended = secret::amended(&before.secret, form, now, &mut random_salts)?;
            let after = IssuedSecret {
                secret: Arc::new(amended),
                ..IssuedSecret::clone(before)
            };
            Ok(vec![Change::Secret(secret.clone(), Arc::new(after))])
        }
        Action::Restore {
            certificate,
            secret,
            authority: id,
            request,
        } => {
            let known = issued
                .authorities
                .get(id)
                .ok_or_else(|| PerformFault::Gone(format!("CA {id}")))?;
            let key = known.key.as_ref().ok_or_else(|| incomplete(secret, "tls.key"))?;
            let key = PrivateKey::read(key.expose())?;
            let chain = chain::read_chain(known.chain.as_bytes())?;
            let leaf = chain.first().ok_or_else(|| incomplete(secret, "tls.crt"))?;
            let kept = Kept {
                certificate,
                secret,
                kind: TLS_SECRET,
                request,
                form: &SecretForm::default(),
                revision: 1,
            };
            let change = kept.change(&key, &Facts::of(leaf)?, &chain::bundle(chain.clone())?, now)?;
            Ok(vec![change])
        }
        Action::Adopt {
            id,
            chain,
            key,
            secret,
            issuers,
        } => {
            let known = issued.authorities.get(id);
            let authority = Authority {
                chain: chain.clone(),
                key: key.clone().or_else(|| known.and_then(|known| known.key.clone())),
                secret: secret.clone(),
                issuers: issuers.clone(),
                // A clock that was set back must not keep the CA waiting for years.
                published: known.map_or(now, |known| known.published.min(now)),
                issuances: known.map(|known| known.issuances.clone()).unwrap_or_default(),
                revocation_list: known.and_then(|known| known.revocation_list.clone()),
                // Numbers only grow (RFC 5280 section 5.2.3), even past a state that was lost.
                list_number: known.map_or_else(|| u64::try_from(now.as_second()).unwrap_or(0), |known| known.list_number),
            };
            Ok(vec![Change::Authority(id.clone(), Arc::new(authority))])
        }
        Action::List {
            authority: id,
            signer,
            lifetime,
        } => {
            let known = issued
                .authorities
                .get(id)
                .ok_or_else(|| PerformFault::Gone(format!("CA {id}")))?;
            let key = match (&known.key, signer) {
                (Some(key), _) => PrivateKey::read(key.expose())?,
                (None, Some(secret)) => signing_key(&known.secret, secret)?,
                (None, None) => return Err(incomplete(&known.secret, "tls.key")),
            };
            let chain = chain::read_chain(known.chain.as_bytes())?;
            let certificate = chain.first().ok_or_else(|| incomplete(&known.secret, "tls.crt"))?;
            let mut authority = over_dropped(known, now);
            authority.list_number += 1;
            let next_update = now.checked_add(*lifetime).unwrap_or(Timestamp::MAX);
            let entries: Vec<Issuance> = revoked(issued, id, now).into_iter().cloned().collect();
            let list = x509::revocation_list(certificate, &key, authority.list_number, now, next_update, &entries)?;
            authority.revocation_list = Some(list);
            Ok(vec![Change::Authority(id.clone(), Arc::new(authority))])
        }
        Action::Retire { authority } => Ok(vec![Change::AuthorityGone(authority.clone())]),
    }
}

fn issue(order: &Order, issued: &Issued, now: Timestamp) -> Result<Vec<Change>, PerformFault> {
    let request = &order.request;
    let before = issued.secrets.get(&order.secret);
    // A key that was to stay and cannot be read is no key: cert-manager makes a new one, too.
    let kept = before
        .filter(|_| order.reuse_key)
        .and_then(|before| signing_key(&order.secret, &before.secret).ok());
    let key = kept.map_or_else(|| new_key(request), Ok)?;
    let not_before = whole_seconds(now);
    let end = i64::try_from(request.duration)
        .ok()
        .and_then(|seconds| not_before.as_second().checked_add(seconds));
    let not_after = end.and_then(|end| Timestamp::from_second(end).ok()).unwrap_or(Timestamp::MAX);
    let not_after = order.not_after_limit.map_or(not_after, |limit| limit.min(not_after));
    let serial = x509::serial()?;
    let public_key_info = key.public_key_info();
    let signed = with_usages(order);
    let parts = |signer| CertificateParts {
        request: &signed,
        public_key_info: &public_key_info,
        signer,
        not_before,
        not_after,
        serial: &serial,
        urls: &order.urls,
    };
    let mut changes = Vec::new();
    let (leaf, bundle) = match &order.signer {
        Signer::Itself => {
            let leaf = x509::certificate(parts(SigningKey::Itself(&key)))?;
            let chain = chain::self_signed(&leaf);
            (leaf, chain)
        }
        Signer::Authority { id, secret } => {
            let signing = signing_key(&order.secret, secret)?;
            let text = |key: &'static str| secret.data.get(key).map(SecretBytes::expose);
            let tls_crt = text("tls.crt").ok_or_else(|| incomplete(&order.secret, "tls.crt"))?;
            let chain = chain::read_authority(tls_crt, text("ca.crt"))?;
            let certificate = chain.first().ok_or_else(|| incomplete(&order.secret, "tls.crt"))?;
            let leaf = x509::certificate(parts(SigningKey::Authority {
                certificate,
                key: &signing,
            }))?;
            if let Some(authority) = issued.authorities.get(id) {
                changes.push(recorded(id, authority, order, &serial, not_after, now));
            }
            let whole = std::iter::once(leaf.clone()).chain(chain).collect();
            (leaf, chain::bundle(whole)?)
        }
    };
    let kept = Kept {
        certificate: &order.certificate,
        secret: &order.secret,
        kind: before.map_or(TLS_SECRET, |before| &before.secret.kind),
        request,
        form: &order.form,
        revision: order.revision,
    };
    changes.push(kept.change(&key, &Facts::of(&leaf)?, &bundle, now)?);
    if issued.attempts.contains_key(&order.certificate) {
        changes.push(Change::Attempt(order.certificate.clone(), Arc::default()));
    }
    Ok(changes)
}

/// A Secret to be kept, but for what was made for it.
struct Kept<'a> {
    certificate: &'a ObjectKey,
    secret: &'a ObjectKey,
    kind: &'a str,
    request: &'a Request,
    form: &'a SecretForm,
    revision: u64,
}

impl Kept<'_> {
    fn change(&self, key: &PrivateKey, facts: &Facts, bundle: &ChainBundle, now: Timestamp) -> Result<Change, PerformFault> {
        let encoding = self.request.key_encoding.as_ref().unwrap_or(&KeyEncoding::Pkcs1);
        let (name, kind, group) = &self.request.issuer;
        let parts = SecretParts {
            secret: self.secret,
            kind: self.kind,
            certificate: &self.certificate.name,
            issuer: [name, kind, group],
            key: KeyForms {
                pem: &key.to_pem(encoding),
                der: &key.to_der(encoding),
                pkcs8: &key.to_pkcs8_der(),
            },
            chain: &bundle.chain_pem,
            authority: bundle.ca_pem.as_deref(),
            facts,
            form: self.form,
            now,
        };
        let secret = secret::secret(&parts, &mut random_salts)?;
        let issued_secret = IssuedSecret {
            certificate: self.certificate.clone(),
            revision: self.revision,
            issued_at: now,
            request: self.request.clone(),
            secret: Arc::new(secret),
        };
        Ok(Change::Secret(self.secret.clone(), Arc::new(issued_secret)))
    }
}

/// What is signed, which may be more than what was asked for. What is kept is what was asked for: that is what is compared later.
fn with_usages(order: &Order) -> Request {
    let mut request = order.request.clone();
    if order.signs_lists && !request.usages.contains(&KeyUsage::CrlSign) {
        if request.usages.is_empty() {
            request.usages = vec![KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment];
        }
        request.usages.push(KeyUsage::CrlSign);
    }
    request
}

fn new_key(request: &Request) -> Result<PrivateKey, KeyFault> {
    let algorithm = request.key_algorithm.as_ref().unwrap_or(&sealway_api::KeyAlgorithm::Rsa);
    PrivateKey::generate(algorithm, request.key_size)
}

fn signing_key(name: &ObjectKey, secret: &Secret) -> Result<PrivateKey, PerformFault> {
    let pem = secret.data.get("tls.key").ok_or_else(|| incomplete(name, "tls.key"))?;
    Ok(PrivateKey::read(pem.expose())?)
}

fn incomplete(secret: &ObjectKey, what: &'static str) -> PerformFault {
    PerformFault::SignerIncomplete {
        secret: secret.clone(),
        what,
    }
}

/// The CA with one more signature.
fn recorded(
    id: &AuthorityId,
    authority: &Authority,
    order: &Order,
    serial: &[u8],
    not_after: Timestamp,
    now: Timestamp,
) -> Change {
    let mut authority = over_dropped(authority, now);
    authority.issuances.push(Issuance {
        serial: serial_digits(serial),
        certificate: order.certificate.clone(),
        not_after,
        revoked: None,
    });
    Change::Authority(id.clone(), Arc::new(authority))
}

/// The CA without what is over: nobody takes it any more, and a revocation list need not name it (RFC 5280 section 3.3).
fn over_dropped(authority: &Authority, now: Timestamp) -> Authority {
    let mut authority = authority.clone();
    authority.issuances.retain(|issuance| now <= issuance.not_after);
    authority
}

fn failed(issued: &Issued, certificate: &ObjectKey, request: &Request, message: &str, now: Timestamp) -> Change {
    let before = issued.attempts.get(certificate);
    let attempt = Attempt {
        failures: before.map_or(0, |before| before.failures).saturating_add(1),
        last_failure: Some(now),
        message: message.to_owned(),
        request: Some(request.clone()),
        renewal_asked: None,
        renewal_of: None,
    };
    Change::Attempt(certificate.clone(), Arc::new(attempt))
}
