//! Who has signed a certificate or a list, by name and by key.
//!
//! An authority's name proves nothing: anybody may take it. What counts is the key.

use rustls_pki_types::TrustAnchor;
use webpki::ALL_VERIFICATION_ALGS;
use x509_parser::asn1_rs::Tag;

use super::der::{any, next};

/// Whether a certificate or a revocation list names `issuer` as its issuer and was signed with that one's key.
pub fn is_signed_by(signed: &[u8], issuer: &TrustAnchor<'_>) -> bool {
    verify(signed, issuer).is_some()
}

/// Both are SEQUENCE { what is signed, algorithm, signature } (RFC 5280 sections 4.1 and 5.1).
fn verify(signed: &[u8], issuer: &TrustAnchor<'_>) -> Option<()> {
    let mut rest = signed;
    let mut parts = next(&mut rest, Tag::Sequence).filter(|_| rest.is_empty())?;
    let whole = parts;
    let body = next(&mut parts, Tag::Sequence)?;
    let message = whole.get(..whole.len() - parts.len())?;
    let algorithm = next(&mut parts, Tag::Sequence)?;
    let signature = bits(next(&mut parts, Tag::BitString).filter(|_| parts.is_empty())?)?;
    if issuer_of(body)? != &*issuer.subject {
        return None;
    }
    let mut key = &*issuer.subject_public_key_info;
    let kind = next(&mut key, Tag::Sequence)?;
    let key = bits(next(&mut key, Tag::BitString)?)?;
    let mut fitting = ALL_VERIFICATION_ALGS
        .iter()
        .filter(|candidate| candidate.signature_alg_id().as_ref() == algorithm && candidate.public_key_alg_id().as_ref() == kind);
    fitting
        .any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
        .then_some(())
}

/// The content of the issuer's name: the second SEQUENCE of both; before it stand version, serial number and algorithm.
fn issuer_of(mut body: &[u8]) -> Option<&[u8]> {
    let mut sequences = 0;
    loop {
        let value = any(&mut body)?;
        if value.tag() == Tag::Sequence {
            sequences += 1;
        }
        if sequences == 2 {
            return Some(value.data);
        }
    }
}

/// A BIT STRING of whole bytes.
fn bits(content: &[u8]) -> Option<&[u8]> {
    content.strip_prefix(&[0])
}
