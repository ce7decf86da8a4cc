//! One Certificate: whether it is issued, amended or left, and what its status says.
//!
//! Input: the Certificate and the scene. Output: at most one action, its status, findings, when to look again. Invariant: a Secret of the
//! manifests is never written, and a Secret that several Certificates name is written for one of them.

use std::sync::Arc;
use std::time::Duration;

use sealway_api::{Certificate, CertificateStatus, Kind, ObjectKey, ObjectRef, RenewalPolicy, SecretBytes};

use super::backoff::waits_until;
use super::expiry;
use super::held::{Held, Violation};
use super::issuers::{Means, referenced};
use super::owners::secret_key;
use super::renewal::{Renewal, renewal};
use super::status::{Issuing, status};
use super::times::{between, later, plain};
use super::triggers::{Case, expired, names_violation, not_before_its_first_minute, out_of_date, renewing};
use super::trouble::Trouble;
use super::wake::Wake;
use super::ways::{Scene, Way};
use super::{Finding, Severity};
use crate::cause::certificate_findings;
use crate::facts::Facts;
use crate::issued::{Attempt, IssuedSecret};
use crate::order::Action;
use crate::request::Request;
use crate::secret::mismatch;

/// A clock that was set back by less than this is waited for.
const PATIENCE: Duration = Duration::from_mins(5);

/// What a plan gathers.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) actions: Vec<Action>,
    pub(super) findings: Vec<Finding>,
    pub(super) wake: Wake,
}

/// Decides about one Certificate. `revision`: how many times it was issued.
pub(super) fn decide(
    scene: &Scene<'_>,
    certificate: &Arc<Certificate>,
    revision: Option<u64>,
    draft: &mut Draft,
) -> CertificateStatus {
    let key = certificate.metadata.key();
    let secret_key = secret_key(certificate);
    let secret = scene.secrets.get(&secret_key);
    let held = Held::of(secret.map(Arc::as_ref));
    let times = held.facts.as_ref().map(|facts| {
        let renewal = renewal(facts.not_before, facts.not_after, &certificate.spec, scene.settings.behaviour);
        (facts, renewal)
    });
    let attempt = scene.secrets.issued.attempts.get(&key).map(Arc::as_ref);
    let subject = Subject {
        certificate,
        object: ObjectRef::of(Kind::Certificate, &key),
        key,
        secret_key,
        held: &held,
        times: times.as_ref().map(|(facts, renewal)| (*facts, renewal)),
        revision,
        attempt,
    };
    let wanted = match subject.wanted() {
        Ok(wanted) => wanted,
        Err(refusals) => return subject.refused(scene, refusals, draft),
    };
    if scene.secrets.is_given(&subject.secret_key) {
        return subject.given(scene, &wanted, draft);
    }
    subject.issued(scene, &wanted, draft)
}

/// A Certificate and what stands in its Secret.
struct Subject<'a> {
    certificate: &'a Certificate,
    object: ObjectRef,
    key: ObjectKey,
    secret_key: ObjectKey,
    held: &'a Held,
    times: Option<(&'a Facts, &'a Renewal)>,
    revision: Option<u64>,
    attempt: Option<&'a Attempt>,
}

impl Subject<'_> {
    /// What is asked for; else why cert-manager's webhook would not take the object.
    fn wanted(&self) -> Result<Request, Vec<Finding>> {
        let refusals = certificate_findings(self.certificate);
        if refusals.iter().any(|refusal| refusal.severity == Severity::Error) {
            return Err(refusals);
        }
        Request::of(&self.certificate.spec).map_err(|fault| vec![self.about(&Trouble::RequestImpossible(fault.to_string()))])
    }

    fn about(&self, trouble: &Trouble) -> Finding {
        trouble.about(&self.object)
    }

    fn refused(&self, scene: &Scene<'_>, refusals: Vec<Finding>, draft: &mut Draft) -> CertificateStatus {
        let words: Vec<String> = refusals
            .iter()
            .map(|refusal| format!("{}: {}", refusal.field, refusal.message))
            .collect();
        let violation = Violation::new("InvalidSpec", words.join("; "));
        draft.findings.extend(refusals);
        self.warn(scene, "its spec is refused", "correct the spec", draft);
        self.status(Err(&violation), &Issuing::No)
    }

    /// The manifests carry the Secret: it is served as it is, and judged by what it holds.
    fn given(&self, scene: &Scene<'_>, wanted: &Request, draft: &mut Draft) -> CertificateStatus {
        let given = Trouble::SecretGiven(self.secret_key.clone());
        draft.findings.push(self.about(&given));
        let given = given.message();
        self.warn(
            scene,
            "the manifests carry the Secret",
            "renew it, or take the Secret out of the manifests to have it issued",
            draft,
        );
        let spec = &self.certificate.spec;
        let violation = match (&self.held.violation, &self.held.facts) {
            (Some(violation), _) => Some(violation.clone()),
            (None, Some(facts)) => self
                .held
                .key_violation(wanted)
                .or_else(|| names_violation(facts, spec, "Certificate of the Secret"))
                .or_else(|| expired(scene.now, facts)),
            (None, None) => None,
        };
        let violation = violation.map(|violation| {
            let message = violation
                .message
                .strip_prefix("Issuing certificate as ")
                .unwrap_or(&violation.message);
            Violation::new(violation.reason, format!("{message}. {given}"))
        });
        self.status(violation.as_ref().map_or(Ok(given.as_str()), Err), &Issuing::No)
    }

    fn issued(&self, scene: &Scene<'_>, wanted: &Request, draft: &mut Draft) -> CertificateStatus {
        let secret = scene.secrets.issued(&self.secret_key).map(Arc::as_ref);
        let case = Case {
            certificate: self.certificate,
            wanted,
            secret: secret.map(|issued| issued.secret.as_ref()),
            held: self.held,
            request: secret
                .filter(|issued| issued.certificate == self.key)
                .map(|issued| &issued.request),
        };
        let out_of_date = out_of_date(&case);
        let revoked = self.revoked(scene, draft);
        let unready = out_of_date
            .clone()
            .or_else(|| self.times.and_then(|(facts, _)| expired(scene.now, facts)))
            .or(revoked);
        let ready = unready
            .as_ref()
            .map_or(Ok("Certificate is up to date and has not expired"), Err);
        if let Some(owner) = scene.owners.other(&self.secret_key, &self.key) {
            draft.findings.push(self.about(&Trouble::SecretTaken {
                secret: self.secret_key.clone(),
                owner: owner.clone(),
            }));
            return self.status(ready, &Issuing::No);
        }
        if let (Some(restore), Some(missing)) = (self.restore(scene, wanted), &out_of_date) {
            draft.actions.push(restore);
            return self.status(ready, &Issuing::Pending(missing.clone()));
        }
        let way = scene.way(self.certificate, &self.secret_key);
        let trigger = out_of_date.or_else(|| self.trigger(scene, secret, way.as_ref().ok()));
        if let Some((facts, _)) = self.times {
            draft.wake.at(later(facts.not_after, Duration::from_secs(1)));
        }
        let Some(trigger) = trigger else {
            self.wait_for_renewal(scene, way.as_ref(), draft);
            self.amend(scene, secret, draft);
            return self.status(ready, &self.failed().map_or(Issuing::No, Issuing::Failed));
        };
        let again = self.attempt.and_then(|attempt| waits_until(scene.now, attempt, wanted));
        if let Some(again) = again {
            draft.wake.at(again);
            draft.findings.push(self.about(&Trouble::IssuanceFailed {
                certificate: self.key.clone(),
                failures: self.attempt.map(|attempt| attempt.failures).unwrap_or_default(),
                again,
                message: self.failed().unwrap_or_default(),
            }));
            self.warn(scene, "issuing it fails", "mend what the Certificate's status says", draft);
            self.amend(scene, secret, draft);
            return self.status(ready, &Issuing::Failed(self.failed().unwrap_or_default()));
        }
        match scene.order(self.certificate, &self.secret_key, self.held, wanted, self.attempt) {
            Ok(mut order) => {
                order.reason = trigger.reason.to_owned();
                order.message.clone_from(&trigger.message);
                order.revision = self.revision.unwrap_or_default() + 1;
                draft.actions.push(Action::Issue(Box::new(order)));
            }
            Err(trouble) => {
                self.report(scene, &trouble, draft);
                self.amend(scene, secret, draft);
                // cert-manager's condition stays as if it were under way; the reason stands in events.
                if scene.is_sealway() && trouble.until().is_none() {
                    return self.status(ready, &Issuing::Waiting(trigger, trouble.message()));
                }
            }
        }
        self.status(ready, &Issuing::Pending(trigger))
    }

    /// A CA whose Secret cannot be read comes from its record: everybody believes it already. Not if it is to be another one anyway.
    fn restore(&self, scene: &Scene<'_>, wanted: &Request) -> Option<Action> {
        let is_damaged = scene.secrets.issued.damaged.contains(&self.secret_key);
        let is_asked = self.attempt.is_some_and(|attempt| attempt.renewal_asked.is_some());
        if !is_damaged || is_asked || !wanted.is_ca || !scene.is_sealway() {
            return None;
        }
        let kept = scene.authorities.kept_of(&self.secret_key)?;
        // What it was issued for went with the Secret. If it is not what is asked for now, the next plan sees that as any other change.
        let request = if wanted.fits(&kept.facts) {
            wanted.clone()
        } else {
            Request::default()
        };
        Some(Action::Restore {
            certificate: self.key.clone(),
            secret: self.secret_key.clone(),
            authority: kept.id.clone(),
            request: Box::new(request),
        })
    }

    /// What stands in the Secret was taken back. It is not issued anew by itself: whose key was stolen, or who is to be kept out, must not be
    /// given another without being asked.
    fn revoked(&self, scene: &Scene<'_>, draft: &mut Draft) -> Option<Violation> {
        let (facts, _) = self.times.filter(|_| scene.is_sealway())?;
        let revocation = scene.authorities.issuance(facts)?.revoked.as_ref()?;
        let trouble = Trouble::RevokedInUse {
            secret: self.secret_key.clone(),
            certificate: self.key.clone(),
            at: revocation.at,
        };
        draft.findings.push(self.about(&trouble));
        Some(Violation::new("Revoked", trouble.message()))
    }

    /// Why a certificate that is as it was asked for is issued anew.
    fn trigger(&self, scene: &Scene<'_>, secret: Option<&IssuedSecret>, way: Option<&Way<'_>>) -> Option<Violation> {
        let (facts, renewal) = self.times?;
        let asked = self.attempt.filter(|attempt| attempt.renewal_asked.is_some());
        let is_later = |of: Option<u64>| of.is_some_and(|of| secret.is_some_and(|secret| secret.revision > of));
        if asked.is_some_and(|attempt| !is_later(attempt.renewal_of)) {
            // As `cmctl renew` has it.
            return Some(Violation::new(
                "ManuallyTriggered",
                "Certificate re-issuance manually triggered",
            ));
        }
        if !scene.is_sealway() {
            return renewing(scene.now, facts, renewal);
        }
        if between(scene.now, facts.not_before) > PATIENCE {
            let begins = plain(facts.not_before);
            return Some(Violation::new(
                "NotYetValid",
                format!("Issuing certificate as it is not valid before {begins}: the clock was set back"),
            ));
        }
        let mut ends_with_its_authority = false;
        if let (
            Some(Way::Authority {
                issuer,
                signer,
                is_current,
                ..
            }),
            Some(secret),
        ) = (way, secret)
        {
            let signed = scene.authorities.is_signed_by(facts, &secret.secret, signer);
            if *is_current && !signed {
                return Some(Violation::new(
                    "AuthorityChanged",
                    format!("Issuing certificate as the CA of {issuer} has changed"),
                ));
            }
            ends_with_its_authority = signed && signer.ends <= facts.not_after;
        }
        if ends_with_its_authority {
            // Another one would end at the same moment, and the last hours of a CA would be renewal after renewal.
            return None;
        }
        // Whatever the windows say, a certificate that has ended is of no use.
        let ended = renewal.due.and_then(|_| expired(scene.now, facts));
        ended.or_else(|| renewing(scene.now, facts, renewal))
    }

    /// Nothing to issue now: when will there be?
    fn wait_for_renewal(&self, scene: &Scene<'_>, way: Result<&Way<'_>, &Trouble>, draft: &mut Draft) {
        let Some((facts, renewal)) = self.times else { return };
        if let Some(due) = renewal.due {
            draft.wake.at(not_before_its_first_minute(facts, due));
        }
        draft.wake.at(facts.not_before);
        let disabled = self
            .certificate
            .spec
            .renewal
            .as_ref()
            .and_then(|renewal| renewal.policy.as_ref());
        if disabled == Some(&RenewalPolicy::Disabled) {
            self.warn(
                scene,
                "its renewals are disabled",
                "set spec.renewal.policy to RenewBefore, or run sealway certs renew in time",
                draft,
            );
        } else if renewal.due.is_some_and(|due| due >= facts.not_after) {
            self.warn(
                scene,
                "no renewal window opens before",
                "add a window to spec.renewal.windows",
                draft,
            );
        } else if let Err(trouble) = way
            && trouble.until().is_none()
        {
            // Not yet due, and there is time to mend it.
            self.report(scene, trouble, draft);
        }
    }

    /// Brings the Secret's labels, formats, keystores and CAs up to date.
    fn amend(&self, scene: &Scene<'_>, secret: Option<&IssuedSecret>, draft: &mut Draft) {
        let (Some(secret), Some((facts, _))) = (secret, self.times) else {
            return;
        };
        if secret.certificate != self.key || self.held.violation.is_some() {
            return;
        }
        let Some(issuer) = referenced(&self.certificate.spec.issuer_ref, &self.secret_key.namespace) else {
            return;
        };
        let (own, beside) = match scene.issuers.get(&issuer) {
            Some(Means::Authority(..)) => {
                let signer = scene.authorities.signer(facts);
                let beside = scene.authorities.beside(Some(&issuer), signer, &self.secret_key, Some(facts));
                (signer.map(|signer| signer.anchor.as_bytes()), beside)
            }
            Some(Means::Itself(_)) => {
                let beside = scene.authorities.beside(None, None, &self.secret_key, Some(facts));
                (secret.secret.data.get("tls.crt").map(SecretBytes::expose), beside)
            }
            // Nobody knows which CAs belong there: what is there stays.
            Some(Means::None(_) | Means::Elsewhere(_)) | None => return,
        };
        match scene.form(self.certificate, &self.secret_key, beside) {
            Ok(mut form) => {
                if mismatch(&secret.secret, &form, facts, scene.settings.behaviour).is_some() {
                    form.own_authority = own.map(|pem| String::from_utf8_lossy(pem).into_owned());
                    draft.actions.push(Action::Amend {
                        secret: self.secret_key.clone(),
                        form: Box::new(form),
                    });
                }
            }
            Err(trouble) => draft.findings.push(self.about(&trouble)),
        }
    }

    fn failed(&self) -> Option<String> {
        self.attempt
            .filter(|attempt| attempt.failures > 0)
            .map(|attempt| attempt.message.clone())
    }

    fn report(&self, scene: &Scene<'_>, trouble: &Trouble, draft: &mut Draft) {
        draft.findings.push(self.about(trouble));
        match trouble.until() {
            Some(until) => draft.wake.at(until),
            None => self.warn(scene, &trouble.message(), "mend that", draft),
        }
    }

    fn warn(&self, scene: &Scene<'_>, why: &str, hint: &str, draft: &mut Draft) {
        let Some((facts, _)) = self.times else { return };
        let what = format!("the certificate in Secret {}", self.secret_key);
        let warning = expiry::warning(scene.now, facts.not_after, what, why, hint, &mut draft.wake);
        draft.findings.extend(warning.map(|warning| self.about(&warning)));
    }

    fn status(&self, ready: Result<&str, &Violation>, issuing: &Issuing) -> CertificateStatus {
        let generation = self.certificate.metadata.generation;
        status(generation, ready, issuing, self.times, self.revision, self.attempt)
    }
}
