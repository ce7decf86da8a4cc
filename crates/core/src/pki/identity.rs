//! A Secret of type kubernetes.io/tls: certificate chain, key, OCSP response.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealway_api::{ObjectKey, SecretBytes, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry as oid;
use x509_parser::public_key::PublicKey;

use super::{Validity, chain, key, ocsp, subject, timestamp};
use crate::hostname::HostnamePattern;
use crate::keys::KeyMaterial;
use crate::problem::CertificateFlaw;
use crate::snapshot::{ContentHash, ServedCertificate};

/// A certificate that can be served.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Of the leaf, then of each issuer in the file.
    pub(crate) validity: Vec<Validity>,
    /// What is wrong with it, whenever and wherever it is used.
    pub(crate) flaws: Vec<CertificateFlaw>,
    /// Whether the extended key usage lets it answer clients, and introduce itself to backends.
    pub(crate) is_for_servers: bool,
    pub(crate) is_for_clients: bool,
    /// With the OCSP response, and until when that is good.
    stapled: Option<(Variant, Option<Timestamp>)>,
    plain: Variant,
}

/// As it is served.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) served: Arc<ServedCertificate>,
    pub(crate) key: Arc<KeyMaterial>,
}

/// Why a Secret cannot be served, and the names that it would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// Of the leaf; `None` when nothing can be read.
    pub(crate) names: Option<Vec<HostnamePattern>>,
    pub(crate) fault: IdentityFault,
}

/// Why a Secret cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityFault {
    CertificateMissing,
    CertificatePem,
    CertificateNone,
    /// Counted from 1.
    CertificateUnreadable(usize),
    KeyMissing,
    KeyPem,
    KeyNone,
    KeyEncrypted,
    /// RSA, of so many bits.
    KeyShort(usize),
    KeyUnusable,
    /// The key belongs to none of the certificates.
    KeyMismatch,
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CertificateMissing => "it has no `tls.crt`",
            Self::CertificatePem => "`tls.crt` is broken PEM",
            Self::CertificateNone => "`tls.crt` holds no certificate in PEM",
            Self::CertificateUnreadable(position) => {
                return write!(formatter, "certificate {position} in `tls.crt` cannot be read");
            }
            Self::KeyMissing => "it has no `tls.key`",
            Self::KeyPem => "`tls.key` is broken PEM",
            Self::KeyNone => "`tls.key` holds no private key in PEM",
            Self::KeyEncrypted => "`tls.key` is encrypted with a passphrase",
            Self::KeyShort(bits) => return write!(formatter, "its RSA key has {bits} bits, and TLS needs 2048 at least"),
            Self::KeyUnusable => "`tls.key` is no sound RSA, ECDSA (P-256, P-384, P-521) or Ed25519 key",
            Self::KeyMismatch => "`tls.key` is not the key of the certificate in `tls.crt`",
        })
    }
}

impl Identity {
    /// Reads the keys of the Secret `secret`.
    pub(crate) fn read(secret: &ObjectKey, data: &BTreeMap<String, SecretBytes>) -> Result<Self, Unusable> {
        let unnamed = |fault| Unusable { names: None, fault };
        let pem = data.get("tls.crt").ok_or(unnamed(IdentityFault::CertificateMissing))?;
        let found = chain::read(pem.expose()).ok_or(unnamed(IdentityFault::CertificatePem))?;
        let mut parsed = Vec::new();
        for (position, der) in found.iter().enumerate() {
            let fault = IdentityFault::CertificateUnreadable(position + 1);
            parsed.push(chain::parse(der).ok_or(unnamed(fault))?);
        }
        let first = parsed.first().ok_or(unnamed(IdentityFault::CertificateNone))?;
        let named = |fault| Unusable {
            names: Some(names(first)),
            fault,
        };
        let key = data.get("tls.key").ok_or_else(|| named(IdentityFault::KeyMissing))?;
        let key = key::read(key.expose()).map_err(named)?;
        let public = key::public_key(&key).ok_or_else(|| named(unusable(first)))?;
        let leaf = parsed
            .iter()
            .position(|certificate| *certificate.public_key().subject_public_key.data == *public);
        let leaf = leaf.ok_or_else(|| named(IdentityFault::KeyMismatch))?;
        let sealed = Sealed {
            secret,
            key,
            authorities: data.get("ca.crt"),
            ocsp: data.get("tls.ocsp-staple"),
        };
        // Both lists hold the leaf: its position was found in them.
        sealed
            .open(&found, &parsed, leaf)
            .ok_or(unnamed(IdentityFault::CertificateNone))
    }

    /// How it is served at a time.
    pub(crate) fn at(&self, now: Timestamp) -> &Variant {
        match &self.stapled {
            Some((variant, until)) if until.is_none_or(|until| now < until) => variant,
            _ => &self.plain,
        }
    }

    /// Until when the OCSP response is good.
    pub(crate) fn stapled_until(&self) -> Option<Timestamp> {
        self.stapled.as_ref().and_then(|(_, until)| *until)
    }
}

/// Why a key cannot be used, by the certificate that comes first.
fn unusable(first: &X509Certificate<'_>) -> IdentityFault {
    match first.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < 2048 => IdentityFault::KeyShort(key.key_size()),
        _ => IdentityFault::KeyUnusable,
    }
}

/// A chain and a key that belong together, before everything is worked out about them.
struct Sealed<'a> {
    secret: &'a ObjectKey,
    key: PrivateKeyDer<'static>,
    authorities: Option<&'a SecretBytes>,
    ocsp: Option<&'a SecretBytes>,
}

impl Sealed<'_> {
    fn open(self, found: &[CertificateDer<'static>], parsed: &[X509Certificate<'_>], leaf: usize) -> Option<Identity> {
        let (order, length) = chain::order(parsed, leaf);
        let mut flaws = Vec::new();
        if !order.is_sorted() {
            flaws.push(CertificateFlaw::ChainOrder);
        }
        let path: Vec<&X509Certificate<'_>> = order
            .iter()
            .take(length)
            .filter_map(|position| parsed.get(*position))
            .collect();
        let rest = order.iter().skip(length).filter_map(|position| parsed.get(*position));
        // A second certificate of an issuer is how roots are crossed.
        let unrelated = rest.filter(|other| {
            path.iter()
                .all(|of_path| of_path.subject().as_raw() != other.subject().as_raw())
        });
        let count = unrelated.count();
        if count > 0 {
            flaws.push(CertificateFlaw::ChainUnrelated { count });
        }
        flaws.extend(incomplete(&path, self.authorities));
        let leaf = path.first()?;
        if is_weak(leaf) {
            flaws.push(CertificateFlaw::WeakSignature);
        }
        if leaf.is_ca() {
            flaws.push(CertificateFlaw::IsAuthority);
        }
        let chain: Vec<CertificateDer<'static>> = order.iter().filter_map(|position| found.get(*position).cloned()).collect();
        let stapled = self.stapled(leaf, &chain, &mut flaws);
        let (is_for_servers, is_for_clients) = usages(leaf);
        Some(Identity {
            validity: path.iter().map(|certificate| validity(certificate)).collect(),
            is_for_servers,
            is_for_clients,
            stapled,
            plain: self.variant(leaf, &chain, None),
            flaws,
        })
    }

    fn stapled(
        &self,
        leaf: &X509Certificate<'_>,
        chain: &[CertificateDer<'static>],
        flaws: &mut Vec<CertificateFlaw>,
    ) -> Option<(Variant, Option<Timestamp>)> {
        let response = self.ocsp?.expose();
        match ocsp::read(response, leaf.raw_serial()) {
            Ok(answer) => {
                if answer.is_revoked {
                    flaws.push(CertificateFlaw::Revoked);
                }
                Some((self.variant(leaf, chain, Some(response)), answer.next_update))
            }
            Err(why) => {
                flaws.push(CertificateFlaw::OcspUnusable { why });
                None
            }
        }
    }

    fn variant(&self, leaf: &X509Certificate<'_>, chain: &[CertificateDer<'static>], ocsp: Option<&[u8]>) -> Variant {
        let Validity {
            not_before, not_after, ..
        } = validity(leaf);
        let served = ServedCertificate {
            secret: self.secret.clone(),
            content: hash(
                chain
                    .iter()
                    .map(|certificate| &**certificate)
                    .chain([self.key.secret_der(), ocsp.unwrap_or_default()]),
            ),
            names: names(leaf),
            serial: leaf.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
            not_before,
            not_after,
        };
        let key = KeyMaterial {
            chain: chain.to_vec(),
            key: self.key.clone_key(),
            ocsp_response: ocsp.map(<[u8]>::to_vec),
        };
        Variant {
            served: Arc::new(served),
            key: Arc::new(key),
        }
    }
}

/// SHA-256 of parts, each with its length before it so that no two lists of parts give the same bytes.
pub(crate) fn hash<'a>(parts: impl Iterator<Item = &'a [u8]>) -> ContentHash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    for (byte, digest) in hash.iter_mut().zip(context.finish().as_ref()) {
        *byte = *digest;
    }
    ContentHash(hash)
}

/// DNS names of a certificate. What its common name says counts for nothing (RFC 9525 section 2).
fn names(certificate: &X509Certificate<'_>) -> Vec<HostnamePattern> {
    let mut names = Vec::new();
    let extension = certificate.subject_alternative_name().ok().flatten();
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        let GeneralName::DNSName(name) = name else { continue };
        let pattern = HostnamePattern::parse(Some(name));
        if pattern != HostnamePattern::Any && !names.contains(&pattern) {
            names.push(pattern);
        }
    }
    names
}

fn validity(certificate: &X509Certificate<'_>) -> Validity {
    Validity {
        subject: subject(certificate.subject()),
        not_before: timestamp(certificate.validity().not_before),
        not_after: timestamp(certificate.validity().not_after),
    }
}

/// Without the extension, everything is allowed (RFC 5280 section 4.2.1.12).
fn usages(leaf: &X509Certificate<'_>) -> (bool, bool) {
    match leaf.extended_key_usage() {
        Ok(Some(usage)) => (
            usage.value.any || usage.value.server_auth,
            usage.value.any || usage.value.client_auth,
        ),
        _ => (true, true),
    }
}

fn is_weak(leaf: &X509Certificate<'_>) -> bool {
    let weak = [
        oid::OID_PKCS1_MD5WITHRSAENC,
        oid::OID_PKCS1_SHA1WITHRSA,
        // ecdsa-with-SHA1 (RFC 3279 section 2.2.3).
        x509_parser::asn1_rs::oid!(1.2.840.10045.4.1),
    ];
    weak.contains(&leaf.signature_algorithm.algorithm)
}

/// Whether the chain lacks an issuer that clients are not likely to have. A leaf that stands alone may well be signed by a root, as
/// private authorities do it; so it takes a sign to the contrary: a `ca.crt` in which its issuer is not, or the address of an issuer's
/// certificate, which public authorities put into what their intermediates sign.
fn incomplete(path: &[&X509Certificate<'_>], authorities: Option<&SecretBytes>) -> Option<CertificateFlaw> {
    let last = path.last().filter(|last| !chain::is_self_issued(last))?;
    let known = authorities.and_then(|bytes| chain::read(bytes.expose())).unwrap_or_default();
    let known: Vec<X509Certificate<'_>> = known.iter().filter_map(chain::parse).collect();
    let is_missing = if known.is_empty() {
        path.len() == 1 && names_issuer_address(last)
    } else {
        !known.iter().any(|known| known.subject().as_raw() == last.issuer().as_raw())
    };
    is_missing.then(|| CertificateFlaw::ChainIncomplete {
        issuer: subject(last.issuer()),
    })
}

fn names_issuer_address(certificate: &X509Certificate<'_>) -> bool {
    certificate
        .extensions()
        .iter()
        .any(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => access
                .accessdescs
                .iter()
                .any(|entry| entry.access_method == oid::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS),
            _ => false,
        })
}
