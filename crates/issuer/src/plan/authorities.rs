//! CAs and their roll-over: who signs, who is published, who may go.
//!
//! Input: the CAs that issuers sign with now, and those kept from before. Output: for each issuer the CA that signs, for each Secret the
//! CAs that stand in `ca.crt` beside its own, and what is to be adopted or retired. Invariants: nothing is signed by a CA before it has been
//! published for `publication_lead`, unless no certificate in use needs another one; a CA stays published until the last
//! certificate that it signed has ended, for one that was replaced may still be served by a backend that has not read the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{ObjectKey, ObjectRef, Secret, SecretBytes, Timestamp};

use super::certificates::Draft;
use super::held::first_certificate;
use super::issuers::{Issuers, StandingAuthority, referenced};
use super::owners::Certificates;
use super::times::later;
use super::wake::Wake;
use super::ways::Scene;
use super::{expiry, lists};
use crate::chain::read_chain;
use crate::facts::Facts;
use crate::issued::{Authority, AuthorityId, Issuance, Issued};
use crate::order::Action;
use crate::pem;
use crate::settings::{Behaviour, Settings};

/// A CA, as it is known when the plan's own adoptions are done.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) id: AuthorityId,
    /// Its own certificate.
    pub(super) facts: Facts,
    /// Its certificate and those above it, PEM, each once.
    chain: String,
    /// The highest of these: what clients are to believe.
    pub(super) anchor: String,
    key: Option<SecretBytes>,
    secret: ObjectKey,
    /// Every Secret that it stands in, or stood in last.
    places: Vec<ObjectKey>,
    issuers: BTreeSet<ObjectRef>,
    published: Timestamp,
    pub(super) recorded: Option<&'a Authority>,
    /// Where it stands now, when an issuer signs with it.
    pub(super) standing: Option<Arc<StandingAuthority>>,
    /// The last second of the certificate, or of one above it that ends sooner.
    pub(super) ends: Timestamp,
    /// Until when certificates that it signed may be in use.
    in_use_until: Option<Timestamp>,
    /// Until when there is something to say of what it signed, if only that it was revoked.
    remembered_until: Option<Timestamp>,
    /// The file of its Secret cannot be read: what is kept here may be all that there is.
    is_damaged: bool,
}

/// Who signs for an issuer.
#[derive(Debug)]
pub(super) enum Choice<'k> {
    /// This one.
    Now(&'k Known<'k>),
    /// Nobody before then: the CA has to be published first, and its predecessor's key is not at hand.
    From(Timestamp),
    /// The CA has ended, or has not begun.
    Never(&'k Known<'k>),
}

/// Every CA.
#[derive(Debug)]
pub(super) struct Authorities<'a> {
    now: Timestamp,
    settings: &'a Settings,
    /// By time of publication, then by id.
    known: Vec<Known<'a>>,
    /// What was signed, by serial number, each with the place in `known` of who did.
    signed: BTreeMap<&'a str, (usize, &'a Issuance)>,
    pub(super) adoptions: Vec<Action>,
}

impl<'a> Authorities<'a> {
    pub(super) fn of(
        now: Timestamp,
        issuers: &Issuers<'_>,
        certificates: &Certificates,
        issued: &'a Issued,
        settings: &'a Settings,
    ) -> Self {
        let mut standing: BTreeMap<&AuthorityId, Vec<(&ObjectRef, &Arc<StandingAuthority>)>> = BTreeMap::new();
        for (reference, authority) in issuers.authorities() {
            standing.entry(&authority.id).or_default().push((reference, authority));
        }
        let mut known = Vec::new();
        let mut adoptions = Vec::new();
        for (id, users) in &standing {
            let recorded = issued.authorities.get(*id).map(Arc::as_ref);
            let mut current = current(now, id, users, recorded);
            let before = recorded.iter().flat_map(|recorded| &recorded.issuers);
            let still =
                before.filter(|issuer| recorded.is_some_and(|recorded| has_signed_for(recorded, issuer, certificates, now)));
            current.issuers.extend(still.cloned());
            if !is_recorded(&current, recorded, now) {
                adoptions.push(Action::Adopt {
                    id: current.id.clone(),
                    chain: current.chain.clone(),
                    key: current.key.clone(),
                    secret: current.secret.clone(),
                    issuers: current.issuers.clone(),
                });
            }
            known.push(current);
        }
        let before = issued.authorities.iter().filter(|(id, _)| !standing.contains_key(id));
        known.extend(before.filter_map(|(id, authority)| {
            let is_damaged = issued.damaged.contains(&authority.secret);
            predecessor(now, id, authority, is_damaged)
        }));
        known.sort_by(|one, other| (one.published, &one.id).cmp(&(other.published, &other.id)));
        let mut signed = BTreeMap::new();
        for (place, authority) in known.iter().enumerate() {
            let issuances = authority
                .recorded
                .map(|recorded| recorded.issuances.as_slice())
                .unwrap_or_default();
            signed.extend(issuances.iter().map(|issuance| (issuance.serial.as_str(), (place, issuance))));
        }
        Self {
            now,
            settings,
            known,
            signed,
            adoptions,
        }
    }

    /// Who signs for `issuer`, whose CA stands as `standing`.
    ///
    /// Sealway: the newest that is published long enough, so for the length of the lead the predecessor, where we have its key.
    pub(super) fn choice(&self, issuer: &ObjectRef, standing: &StandingAuthority) -> Option<Choice<'_>> {
        let current = self.known.iter().find(|known| known.id == standing.id)?;
        if self.settings.behaviour == Behaviour::CertManager {
            return Some(Choice::Now(current));
        }
        if !current.is_valid(self.now) {
            return Some(Choice::Never(current));
        }
        let from = self.signs_from(current, issuer);
        if from <= self.now {
            return Some(Choice::Now(current));
        }
        let predecessor = self.of_issuer(issuer).rev().find(|known| {
            known.id != current.id
                && known.published <= current.published
                && known.key.is_some()
                && known.is_valid(self.now)
                && self.signs_from(known, issuer) <= self.now
        });
        Some(predecessor.map_or(Choice::From(from), Choice::Now))
    }

    /// From when on a CA may sign for an issuer.
    fn signs_from(&self, authority: &Known<'_>, issuer: &ObjectRef) -> Timestamp {
        let replaces = self.of_issuer(issuer).any(|known| {
            known.id != authority.id
                && known.published <= authority.published
                && known.is_in_use(self.now)
                && known.is_valid(self.now)
                // Who believes the one believes what the other signs.
                && !known.is_same_signer(authority)
        });
        if replaces {
            later(authority.published, self.settings.publication_lead)
        } else {
            authority.published
        }
    }

    fn of_issuer<'k>(&'k self, issuer: &ObjectRef) -> impl DoubleEndedIterator<Item = &'k Known<'a>> {
        self.known.iter().filter(move |known| known.issuers.contains(issuer))
    }

    /// Who signed a certificate, as far as it is on record.
    pub(super) fn signer(&self, leaf: &Facts) -> Option<&Known<'a>> {
        let (place, _) = self.signed.get(leaf.serial.as_str())?;
        self.known.get(*place)
    }

    /// What is on record of a certificate.
    pub(super) fn issuance(&self, leaf: &Facts) -> Option<&'a Issuance> {
        let (_, issuance) = self.signed.get(leaf.serial.as_str())?;
        Some(issuance)
    }

    /// Whether `signer` signed a certificate, or one with the same name and key did. What stands in the Secret beside the certificate is looked
    /// at only when no record says who signed it.
    pub(super) fn is_signed_by(&self, leaf: &Facts, secret: &Secret, signer: &Known<'_>) -> bool {
        if let Some(known) = self.signer(leaf) {
            return known.is_same_signer(signer);
        }
        if leaf.issuer_der != signer.facts.subject_der {
            return false;
        }
        let part = |key: &str| secret.data.get(key).map(|bytes| bytes.expose()).unwrap_or_default();
        let above = read_chain(part("tls.crt")).ok().and_then(|chain| chain.into_iter().nth(1));
        let above = match above {
            Some(above) => Facts::of(&above).ok(),
            None => first_certificate(part("ca.crt")).ok(),
        };
        above.is_some_and(|above| above.public_key_info == signer.facts.public_key_info)
    }

    /// What `ca.crt` holds beside the issuer's own CA: every CA of that issuer that is in use, or about to be. `signer`: who signed, or is
    /// to sign; `None` for a certificate that signs itself, whose Secret is `own`.
    pub(super) fn beside(
        &self,
        issuer: Option<&ObjectRef>,
        signer: Option<&Known<'_>>,
        own: &ObjectKey,
        leaf: Option<&Facts>,
    ) -> Vec<String> {
        if self.settings.behaviour == Behaviour::CertManager {
            return Vec::new();
        }
        let mut anchors: Vec<String> = Vec::new();
        for known in &self.known {
            let concerns =
                issuer.is_some_and(|issuer| known.issuers.contains(issuer)) || (issuer.is_none() && known.secret == *own);
            let is_own = signer.is_some_and(|signer| known.anchor == signer.anchor)
                || (signer.is_none() && leaf.is_some_and(|leaf| leaf.fingerprint == known.id.0));
            let wanted = known.standing.is_some() && issuer.is_some() || known.is_in_use(self.now);
            if concerns && !is_own && wanted && !anchors.contains(&known.anchor) {
                anchors.push(known.anchor.clone());
            }
        }
        anchors
    }

    /// The CA that stood last in a Secret of ours, if its key is on record.
    pub(super) fn kept_of(&self, secret: &ObjectKey) -> Option<&Known<'a>> {
        let mut known = self.known.iter().rev();
        known.find(|known| known.secret == *secret && known.has_own_key())
    }

    /// What Bundles hold beside the CA of a source Secret, while a roll-over lasts: every CA of the issuers that sign, or signed, with that
    /// Secret. PEM, by Secret.
    pub(super) fn beside_sources(&self) -> BTreeMap<ObjectKey, Vec<String>> {
        let mut beside = BTreeMap::new();
        if self.settings.behaviour == Behaviour::CertManager {
            return beside;
        }
        for known in &self.known {
            let mut anchors: Vec<String> = Vec::new();
            let relatives = self.known.iter().filter(|other| !known.issuers.is_disjoint(&other.issuers));
            for relative in relatives.filter(|relative| relative.stays(self.now)) {
                if !anchors.contains(&relative.anchor) {
                    anchors.push(relative.anchor.clone());
                }
            }
            if anchors.len() > 1 {
                for place in &known.places {
                    beside.insert(place.clone(), anchors.clone());
                }
            }
        }
        beside
    }

    /// When a lead is over, and when what a CA signed has ended.
    pub(super) fn wake(&self, wake: &mut Wake) {
        for known in &self.known {
            if self.settings.behaviour == Behaviour::Sealway && known.standing.is_some() {
                for issuer in &known.issuers {
                    wake.at(self.signs_from(known, issuer));
                }
                wake.at(known.facts.not_before);
            }
            if known.standing.is_none() {
                for until in [known.in_use_until, known.remembered_until].into_iter().flatten() {
                    wake.at(later(until, SECOND));
                }
            }
        }
    }
}

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

impl Known<'_> {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.facts.not_before <= now && now <= self.ends
    }

    /// Whether a certificate that it signed may be in use.
    fn is_in_use(&self, now: Timestamp) -> bool {
        self.in_use_until.is_some_and(|until| now <= until)
    }

    fn stays(&self, now: Timestamp) -> bool {
        self.standing.is_some() || self.is_in_use(now) || self.is_damaged
    }

    /// Whether its record has to be kept: what was revoked must be on a list until it would have ended by itself.
    fn is_remembered(&self, now: Timestamp) -> bool {
        self.stays(now) || self.remembered_until.is_some_and(|until| now <= until)
    }

    fn is_same_signer(&self, other: &Known<'_>) -> bool {
        self.facts.public_key_info == other.facts.public_key_info && self.facts.subject_der == other.facts.subject_der
    }

    /// A Secret to sign with: the one in which it stands, or one made of what was kept.
    pub(super) fn signing_secret(&self) -> Option<Arc<Secret>> {
        if let Some(standing) = &self.standing {
            return Some(Arc::clone(&standing.secret));
        }
        let key = self.key.clone()?;
        let mut secret = Secret::default();
        secret.metadata.namespace = Some(self.secret.namespace.clone());
        secret.metadata.name.clone_from(&self.secret.name);
        secret.kind = "kubernetes.io/tls".to_owned();
        secret
            .data
            .insert("tls.crt".to_owned(), SecretBytes::new(self.chain.clone().into_bytes()));
        secret.data.insert("tls.key".to_owned(), key);
        Some(Arc::new(secret))
    }

    /// The Secret of the manifests that has the key, when we have none.
    pub(super) fn given_secret(&self) -> Option<Arc<Secret>> {
        let standing = self.standing.as_ref().filter(|_| self.key.is_none())?;
        Some(Arc::clone(&standing.secret))
    }

    pub(super) fn issuers(&self) -> impl Iterator<Item = &ObjectRef> {
        self.issuers.iter()
    }

    pub(super) fn has_own_key(&self) -> bool {
        self.key.is_some()
    }
}

fn current<'a>(
    now: Timestamp,
    id: &AuthorityId,
    users: &[(&ObjectRef, &Arc<StandingAuthority>)],
    recorded: Option<&'a Authority>,
) -> Known<'a> {
    // The same CA may stand in several Secrets; the record's one is kept as long as it is among them.
    let (_, first) = users[0];
    let standing = users
        .iter()
        .map(|(_, standing)| *standing)
        .find(|standing| recorded.is_some_and(|recorded| recorded.secret == standing.key))
        .unwrap_or(first);
    let ours = users.iter().map(|(_, standing)| *standing).find(|standing| !standing.given);
    let key = recorded
        .and_then(|recorded| recorded.key.clone())
        .or_else(|| ours.and_then(|standing| standing.secret.data.get("tls.key").cloned()));
    let blocks: Vec<String> = standing.chain.iter().map(|der| pem::write("CERTIFICATE", der)).collect();
    Known {
        id: id.clone(),
        facts: standing.facts.clone(),
        ends: ends(&standing.facts, &standing.chain),
        anchor: blocks.last().cloned().unwrap_or_default(),
        chain: blocks.concat(),
        key,
        secret: standing.key.clone(),
        places: users.iter().map(|(_, standing)| standing.key.clone()).collect(),
        issuers: users.iter().map(|(reference, _)| (*reference).clone()).collect(),
        published: recorded.map_or(now, |recorded| recorded.published.min(now)),
        recorded,
        standing: Some(Arc::clone(standing)),
        in_use_until: recorded.and_then(in_use_until),
        remembered_until: recorded.and_then(remembered_until),
        is_damaged: false,
    }
}

fn predecessor<'a>(now: Timestamp, id: &AuthorityId, recorded: &'a Authority, is_damaged: bool) -> Option<Known<'a>> {
    let chain = read_chain(recorded.chain.as_bytes()).ok()?;
    let facts = Facts::of(chain.first()?).ok()?;
    Some(Known {
        id: id.clone(),
        ends: ends(&facts, &chain),
        facts,
        anchor: pem::write("CERTIFICATE", chain.last()?),
        chain: recorded.chain.clone(),
        key: recorded.key.clone(),
        secret: recorded.secret.clone(),
        places: vec![recorded.secret.clone()],
        issuers: recorded.issuers.clone(),
        published: recorded.published.min(now),
        recorded: Some(recorded),
        standing: None,
        in_use_until: in_use_until(recorded),
        remembered_until: remembered_until(recorded),
        is_damaged,
    })
}

/// Whether an issuer that signs with another CA now has certificates in use that this one signed.
fn has_signed_for(authority: &Authority, issuer: &ObjectRef, certificates: &Certificates, now: Timestamp) -> bool {
    let mut in_use = authority
        .issuances
        .iter()
        .filter(|issuance| issuance.revoked.is_none() && now <= issuance.not_after);
    in_use.any(|issuance| {
        certificates
            .get(&issuance.certificate)
            .and_then(|certificate| referenced(&certificate.spec.issuer_ref, &issuance.certificate.namespace))
            .is_some_and(|of| of == *issuer)
    })
}

fn ends(facts: &Facts, chain: &[Vec<u8>]) -> Timestamp {
    let above = chain.iter().skip(1).filter_map(|der| Facts::of(der).ok());
    above.map(|facts| facts.not_after).fold(facts.not_after, Timestamp::min)
}

/// A clock that was set back must not make a CA wait for years: then it is published anew.
fn is_recorded(current: &Known<'_>, recorded: Option<&Authority>, now: Timestamp) -> bool {
    recorded.is_some_and(|recorded| {
        recorded.published <= now
            && recorded.chain == current.chain
            && recorded.key == current.key
            && recorded.secret == current.secret
            && recorded.issuers == current.issuers
    })
}

fn in_use_until(authority: &Authority) -> Option<Timestamp> {
    let in_use = authority.issuances.iter().filter(|issuance| issuance.revoked.is_none());
    in_use.map(|issuance| issuance.not_after).max()
}

fn remembered_until(authority: &Authority) -> Option<Timestamp> {
    authority.issuances.iter().map(|issuance| issuance.not_after).max()
}

/// What is to be done for CAs beside adopting them: lists, retirements, warnings of their ends.
pub(super) fn watch(scene: &Scene<'_>, draft: &mut Draft) {
    let authorities = scene.authorities;
    authorities.wake(&mut draft.wake);
    for known in authorities.known.iter().filter(|known| known.is_remembered(scene.now)) {
        if let Some(standing) = known.standing.as_ref().filter(|standing| standing.given) {
            let why = "the manifests carry it, and what it signs ends with it";
            let hint = "put its successor into the Secret: with bundles first, then the certificates, nothing stops working";
            let what = format!("the CA in Secret {}", standing.key);
            let warning = expiry::warning(scene.now, known.ends, what, why, hint, &mut draft.wake);
            let about = known
                .issuers
                .iter()
                .filter_map(|issuer| Some(warning.as_ref()?.about(issuer)));
            draft.findings.extend(about);
        }
        if scene.is_sealway() {
            draft
                .actions
                .extend(lists::list(scene.now, known, scene.secrets.issued, &mut draft.wake));
            draft.findings.extend(lists::unlisted(scene.now, known, scene.secrets.issued));
        }
    }
    let over = authorities.known.iter().filter(|known| !known.is_remembered(scene.now));
    draft.actions.extend(over.map(|known| Action::Retire {
        authority: known.id.clone(),
    }));
}

#[cfg(test)]
mod tests;
