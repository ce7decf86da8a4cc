//! Which revocation lists are signed anew, and when.
//!
//! Input: a CA and its list. Output: whether to sign another, and when to look again. A list is kept for every CA of which a key is at hand,
//! even if nothing was revoked: whoever fetches it must be able to tell "nothing" from "no answer".

use std::collections::BTreeSet;
use std::time::Duration;

use sealway_api::Timestamp;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::Finding;
use super::authorities::Known;
use super::held::first_certificate;
use super::times::{between, later};
use super::trouble::Trouble;
use super::wake::Wake;
use crate::digits::serial_digits;
use crate::issued::{Authority, AuthorityId, Issuance, Issued};
use crate::order::Action;

/// `nextUpdate` comes so long after `thisUpdate`; at half of it the list is signed anew.
pub(super) const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// What the list of a CA has to name: what it revoked, and what other CAs of its name and key revoked, for whoever checks cannot tell them
/// apart. One that has ended needs no entry (RFC 5280 section 3.3). In the order of serial numbers.
pub(crate) fn revoked<'a>(issued: &'a Issued, id: &AuthorityId, now: Timestamp) -> Vec<&'a Issuance> {
    let facts = |authority: &Authority| first_certificate(authority.chain.as_bytes()).ok();
    let signer = issued.authorities.get(id).and_then(|authority| facts(authority));
    let is_same = |authority: &Authority| match (&signer, facts(authority)) {
        (Some(one), Some(other)) => one.subject_der == other.subject_der && one.public_key_info == other.public_key_info,
        _ => false,
    };
    let listed = |issuance: &&Issuance| issuance.revoked.is_some() && now <= issuance.not_after;
    let mut revoked: Vec<&Issuance> = issued
        .authorities
        .iter()
        .filter(|(other, authority)| {
            authority.issuances.iter().any(|issuance| listed(&issuance)) && (*other == id || is_same(authority))
        })
        .flat_map(|(_, authority)| authority.issuances.iter().filter(listed))
        .collect();
    revoked.sort_by(|one, other| one.serial.cmp(&other.serial));
    revoked
}

/// Signs a list anew where that is due.
pub(super) fn list(now: Timestamp, known: &Known<'_>, issued: &Issued, wake: &mut Wake) -> Option<Action> {
    let signer = known.given_secret();
    if !known.has_own_key() && signer.is_none() {
        return None;
    }
    // A list by one that may not is worse than none: who checks it refuses every client.
    if !known.facts.may_sign_lists {
        return None;
    }
    let needed = revoked(issued, &known.id, now);
    let held = known
        .recorded
        .and_then(|recorded| recorded.revocation_list.as_deref())
        .and_then(read);
    if let Some(held) = held
        && needed.iter().all(|issuance| held.serials.contains(&issuance.serial))
        && held.from <= now
    {
        let anew = later(held.from, between(held.from, held.until) / 2);
        if now < anew {
            wake.at(anew);
            return None;
        }
    }
    Some(Action::List {
        authority: known.id.clone(),
        signer,
        lifetime: LIFETIME,
    })
}

/// Something was revoked and no list can say so.
pub(super) fn unlisted(now: Timestamp, known: &Known<'_>, issued: &Issued) -> Option<Finding> {
    if revoked(issued, &known.id, now).is_empty() || known.facts.may_sign_lists {
        return None;
    }
    Some(Trouble::ListForbidden.about(known.issuers().next()?))
}

/// Whether a list (DER) names a serial number.
pub(crate) fn is_on(list: &[u8], serial: &str) -> bool {
    read(list).is_some_and(|list| list.serials.contains(serial))
}

struct List {
    from: Timestamp,
    until: Timestamp,
    serials: BTreeSet<String>,
}

fn read(der: &[u8]) -> Option<List> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let second = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    Some(List {
        from: second(list.last_update())?,
        until: second(list.next_update()?)?,
        serials: list
            .iter_revoked_certificates()
            .map(|entry| serial_digits(entry.raw_serial()))
            .collect(),
    })
}
