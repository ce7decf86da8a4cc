//! Certificates in the order in which they are sent: the leaf, then each one's issuer (RFC 8446 section 4.4.2).

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer, X509Version};

/// Every certificate of a PEM file, each once; `None` where the PEM is broken. Other blocks are passed over.
pub(super) fn read(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut found: Vec<CertificateDer<'static>> = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.ok()?;
        if !found.contains(&certificate) {
            found.push(certificate);
        }
    }
    Some(found)
}

/// The whole of the bytes as a certificate.
pub(super) fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

pub(super) fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}

/// Whether it may sign others: CA:TRUE, and nothing in its key usage against it (RFC 5280 sections 4.2.1.3 and 4.2.1.9). Version 1 has
/// no way to say so; there, a root is what has signed itself.
pub(super) fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    if certificate.version() == X509Version::V1 {
        return is_self_issued(certificate);
    }
    let may_sign = match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    may_sign && certificate.is_ca()
}

/// Positions in the order of sending, and how many of them make the leaf's path; the rest follows as it stood.
pub(super) fn order(certificates: &[X509Certificate<'_>], leaf: usize) -> (Vec<usize>, usize) {
    let mut path = vec![leaf];
    let mut last = certificates.get(leaf);
    while let Some(current) = last.filter(|current| !is_self_issued(current)) {
        let issuer = certificates
            .iter()
            .enumerate()
            .find(|(position, other)| !path.contains(position) && other.subject().as_raw() == current.issuer().as_raw());
        path.extend(issuer.map(|(position, _)| position));
        last = issuer.map(|(_, certificate)| certificate);
    }
    let length = path.len();
    let rest: Vec<usize> = (0..certificates.len()).filter(|position| !path.contains(position)).collect();
    path.extend(rest);
    (path, length)
}
