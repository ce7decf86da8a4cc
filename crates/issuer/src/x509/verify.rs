//! Who has signed a certificate: Go's `CheckSignatureFrom`.

use der::{Decode, Encode};
use x509_parser::prelude::X509Certificate;

use super::{PublicKeyInfo, Signed};

/// Whether `parent` is a CA that has signed `child`. Names are not looked at. RSA from 2048 bits, ECDSA on P-256, P-384 and P-521,
/// Ed25519; SHA-1 counts for nothing.
pub(crate) fn is_issued_by(child: &[u8], parent: &X509Certificate<'_>) -> bool {
    may_sign(parent) && signature_fits(child, parent.tbs_certificate.subject_pki.raw).unwrap_or(false)
}

/// Whether basic constraints and key usage let it sign certificates.
pub(crate) fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let (Ok(constraints), Ok(usage)) = (certificate.basic_constraints(), certificate.key_usage()) else {
        return false;
    };
    // Certificates older than version 3 have no extensions to say so.
    let is_ca = constraints.map_or(certificate.version().0 < 2, |constraints| constraints.value.ca);
    is_ca && usage.is_none_or(|usage| usage.value.key_cert_sign())
}

fn signature_fits(child: &[u8], public_key_info: &[u8]) -> Option<bool> {
    let signed = Signed::from_der(child).ok()?;
    let parent = PublicKeyInfo::from_der(public_key_info).ok()?;
    let (key, signature) = (parent.key.as_bytes()?, signed.signature.as_bytes()?);
    let content = signed.content.to_der().ok()?;
    let fits = webpki::ALL_VERIFICATION_ALGS.iter().any(|algorithm| {
        algorithm.public_key_alg_id().as_ref() == parent.algorithm.value()
            && algorithm.signature_alg_id().as_ref() == signed.algorithm.value()
            && algorithm.verify_signature(key, &content, signature).is_ok()
    });
    Some(fits)
}
