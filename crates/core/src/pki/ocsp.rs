//! OCSP responses (RFC 6960 section 4.2.1), as far as stapling them needs it.
//!
//! The signature is not checked: the client does that, and who can write the Secret can write anything.

use sealway_api::Timestamp;
use x509_parser::asn1_rs::{FromDer, GeneralizedTime, Tag};

use super::der::{any, next, tagged};
use super::timestamp;
use crate::problem::OcspFault;

/// What a response says about one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// When a newer one will be there; `None`: any time.
    pub(super) next_update: Option<Timestamp>,
    pub(super) is_revoked: bool,
}

/// The answer for the certificate with this serial number (content of the INTEGER).
pub(super) fn read(der: &[u8], serial: &[u8]) -> Result<Answer, OcspFault> {
    let mut rest = der;
    let response = next(&mut rest, Tag::Sequence).filter(|_| rest.is_empty());
    let mut response = response.ok_or(OcspFault::Malformed)?;
    let status = next(&mut response, Tag::Enumerated).ok_or(OcspFault::Malformed)?;
    if status != [0] {
        return Err(OcspFault::Unsuccessful);
    }
    answers(response, serial)
        .ok_or(OcspFault::Malformed)?
        .ok_or(OcspFault::OtherCertificate)?
}

/// `None` when the form is wrong; `Some(None)` when no answer is about the certificate.
fn answers(mut response: &[u8], serial: &[u8]) -> Option<Option<Result<Answer, OcspFault>>> {
    let mut bytes = tagged(&mut response, 0)?;
    let mut bytes = next(&mut bytes, Tag::Sequence)?;
    next(&mut bytes, Tag::Oid)?;
    let mut basic = next(&mut bytes, Tag::OctetString)?;
    let mut basic = next(&mut basic, Tag::Sequence)?;
    let mut data = next(&mut basic, Tag::Sequence)?;
    // version [0] is seldom there; responderID is [1] or [2].
    let responder = any(&mut data)?;
    if responder.tag() == Tag(0) {
        any(&mut data)?;
    }
    next(&mut data, Tag::GeneralizedTime)?;
    let mut answers = next(&mut data, Tag::Sequence)?;
    while !answers.is_empty() {
        let mut answer = next(&mut answers, Tag::Sequence)?;
        let mut id = next(&mut answer, Tag::Sequence)?;
        next(&mut id, Tag::Sequence)?;
        next(&mut id, Tag::OctetString)?;
        next(&mut id, Tag::OctetString)?;
        let number = next(&mut id, Tag::Integer)?;
        // good [0], revoked [1], unknown [2].
        let status = any(&mut answer)?;
        next(&mut answer, Tag::GeneralizedTime)?;
        if number == serial {
            let next_update = match tagged(&mut answer, 0) {
                Some(inner) => Some(time(inner)?),
                None => None,
            };
            let is_revoked = match status.tag() {
                Tag(0) => false,
                Tag(1) => true,
                _ => return Some(Some(Err(OcspFault::Unknown))),
            };
            return Some(Some(Ok(Answer { next_update, is_revoked })));
        }
    }
    Some(None)
}

fn time(bytes: &[u8]) -> Option<Timestamp> {
    let (_, time) = GeneralizedTime::from_der(bytes).ok()?;
    Some(timestamp(x509_parser::time::ASN1Time::new(time.utc_datetime().ok()?)))
}
