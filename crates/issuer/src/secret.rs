//! What stands in an issued Secret, as cert-manager v1.21 writes it.
//!
//! Input: key, certificates and names, the form that the Certificate asks for, time, salts. Output: the Secret. Invariants: labels and
//! annotations of the issuer are never replaced by those of a template; `ca.crt` begins with the issuer's own CA; keystores hold what
//! `tls.crt` and `ca.crt` hold.

use std::collections::{BTreeMap, BTreeSet};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sealway_api::{ObjectKey, ObjectMeta, OutputFormat, Secret, SecretBytes, Timestamp};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::facts::Facts;
use crate::keys::PrivateKey;
use crate::keystore::{self, KeyParts, Salts, StoreFault, Trusted, jks, pkcs12};
use crate::order::SecretForm;
use crate::pem;

mod annotations;
mod manifest;
mod mismatch;

pub use annotations::certificate_annotations;
pub use manifest::json;
pub use mismatch::{Mismatch, mismatch};

/// Type of a Secret with key and certificate.
pub const TLS_SECRET: &str = "kubernetes.io/tls";
/// Label of every Secret of the issuer.
pub const ISSUED_LABEL: &str = "controller.cert-manager.io/fao";
/// Annotation: name of the Certificate.
pub const CERTIFICATE_NAME: &str = "cert-manager.io/certificate-name";
/// Annotation: name of the issuer.
pub const ISSUER_NAME: &str = "cert-manager.io/issuer-name";
/// Annotation: kind of the issuer.
pub const ISSUER_KIND: &str = "cert-manager.io/issuer-kind";
/// Annotation: API group of the issuer.
pub const ISSUER_GROUP: &str = "cert-manager.io/issuer-group";

const CERTIFICATES: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
const COMBINED: &str = "tls-combined.pem";
const KEY_DER: &str = "key.der";
const JKS_KEYS: &str = "keystore.jks";
const JKS_TRUST: &str = "truststore.jks";
const PKCS12_KEYS: &str = "keystore.p12";
const PKCS12_TRUST: &str = "truststore.p12";

/// Everything that goes into a Secret.
#[derive(Clone, Copy, Debug)]
pub struct SecretParts<'a> {
    /// Where it stands.
    pub secret: &'a ObjectKey,
    /// Its type: that of a Secret that stands there already, else [`TLS_SECRET`].
    pub kind: &'a str,
    /// Name of the Certificate.
    pub certificate: &'a str,
    /// Name, kind and group of the issuer.
    pub issuer: [&'a str; 3],
    /// The key.
    pub key: KeyForms<'a>,
    /// PEM of the certificate and those above it, as it is to stand in `tls.crt`.
    pub chain: &'a str,
    /// PEM of the issuer's CA certificate, when there is one.
    pub authority: Option<&'a str>,
    /// What stands in the certificate.
    pub facts: &'a Facts,
    /// What else the Certificate asks for.
    pub form: &'a SecretForm,
    /// When entries of JKS were made.
    pub now: Timestamp,
}

/// A private key in the forms that a Secret needs.
#[derive(Clone, Copy, Debug)]
pub struct KeyForms<'a> {
    /// PEM, as it is to stand in `tls.key`.
    pub pem: &'a SecretBytes,
    /// What that PEM has between its lines.
    pub der: &'a SecretBytes,
    /// PKCS#8 DER, for keystores.
    pub pkcs8: &'a SecretBytes,
}

/// Why a Secret cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormFault {
    /// An issued Secret that is to be amended lacks this key.
    #[error("the Secret has no {0} that can be read: ask for a renewal")]
    Missing(&'static str),
    /// PEM that cannot be read, under this key.
    #[error("{0} cannot be read: give certificates as PEM blocks CERTIFICATE")]
    Pem(&'static str),
    /// A keystore cannot be made.
    #[error("failed to add keystores to Secret: {0}")]
    Store(#[from] StoreFault),
    /// `additionalOutputFormats` has a format that does not exist.
    #[error("failed to add additional output formats to Secret: unknown additional output format {0}")]
    Format(String),
}

/// The Secret of a certificate that was just issued.
pub fn secret(parts: &SecretParts<'_>, salts: &mut Salts<'_>) -> Result<Secret, FormFault> {
    let form = parts.form;
    let mut data = BTreeMap::new();
    let mut put = |key: &str, value: &[u8]| data.insert(key.to_owned(), SecretBytes::new(value.to_vec()));
    put(CERTIFICATES, parts.chain.as_bytes());
    put(KEY, parts.key.pem.expose());
    let authorities = parts
        .authority
        .map(|own| authorities(own, &form.more_authorities))
        .transpose()?;
    if let Some(authorities) = &authorities {
        put(AUTHORITIES, authorities.as_bytes());
    }
    for format in &form.formats {
        match format {
            OutputFormat::CombinedPem => put(COMBINED, &combined(parts.key.pem.expose(), parts.chain.as_bytes())),
            OutputFormat::Der => put(KEY_DER, parts.key.der.expose()),
            OutputFormat::Other(name) => return Err(FormFault::Format(name.clone())),
        };
    }
    if form.jks.is_some() || form.pkcs12.is_some() {
        data.extend(keystores(parts, authorities.as_deref().unwrap_or_default(), salts)?);
    }
    Ok(Secret {
        metadata: ObjectMeta {
            name: parts.secret.name.clone(),
            namespace: Some(parts.secret.namespace.clone()),
            labels: labels(form),
            annotations: annotations(parts),
            ..ObjectMeta::default()
        },
        kind: parts.kind.to_owned(),
        data,
    })
}

/// An issued Secret as `form` asks for it now, with its key and certificates: what mends a [`Mismatch`]. A `ca.crt` that cannot be read is
/// made anew of what `form` says, or goes.
pub fn amended(secret: &Secret, form: &SecretForm, now: Timestamp, salts: &mut Salts<'_>) -> Result<Secret, FormFault> {
    let pem = secret.data.get(KEY).ok_or(FormFault::Missing(KEY))?;
    let der = key_der(pem).ok_or(FormFault::Missing(KEY))?;
    let key = PrivateKey::read(pem.expose()).map_err(|_| FormFault::Missing(KEY))?;
    let chain = text_of(secret, CERTIFICATES).ok_or(FormFault::Missing(CERTIFICATES))?;
    let leaf = certificates(chain, CERTIFICATES)?.into_iter().next();
    let facts = leaf
        .and_then(|leaf| Facts::of(&leaf).ok())
        .ok_or(FormFault::Missing(CERTIFICATES))?;
    let own = secret
        .data
        .get(AUTHORITIES)
        .and_then(|_| own_authority(secret).or_else(|| form.own_authority.clone()));
    let said = |annotation: &str| secret.metadata.annotations.get(annotation).map_or("", String::as_str);
    let parts = SecretParts {
        secret: &secret.metadata.key(),
        kind: &secret.kind,
        certificate: said(CERTIFICATE_NAME),
        issuer: [said(ISSUER_NAME), said(ISSUER_KIND), said(ISSUER_GROUP)],
        key: KeyForms {
            pem,
            der: &der,
            pkcs8: &key.to_pkcs8_der(),
        },
        chain,
        authority: own.as_deref(),
        facts: &facts,
        form,
        now,
    };
    self::secret(&parts, salts)
}

fn labels(form: &SecretForm) -> BTreeMap<String, String> {
    let mut labels = form.labels.clone();
    labels.insert(ISSUED_LABEL.to_owned(), "true".to_owned());
    labels
}

fn annotations(parts: &SecretParts<'_>) -> BTreeMap<String, String> {
    let mut annotations = parts.form.annotations.clone();
    annotations.extend(certificate_annotations(parts.facts));
    if !parts.certificate.is_empty() {
        annotations.insert(CERTIFICATE_NAME.to_owned(), parts.certificate.to_owned());
    }
    if parts.issuer.iter().any(|part| !part.is_empty()) {
        let named = [ISSUER_NAME, ISSUER_KIND, ISSUER_GROUP].map(str::to_owned);
        annotations.extend(named.into_iter().zip(parts.issuer.map(str::to_owned)));
    }
    annotations
}

fn keystores(parts: &SecretParts<'_>, authorities: &str, salts: &mut Salts<'_>) -> Result<Vec<(String, SecretBytes)>, FormFault> {
    let chain = certificates(parts.chain, CERTIFICATES)?;
    let authorities = certificates(authorities, AUTHORITIES)?;
    let numbered: Vec<Trusted> = authorities
        .iter()
        .enumerate()
        .map(|(number, certificate)| Trusted {
            alias: if number == 0 {
                "ca".to_owned()
            } else {
                format!("ca-{number}")
            },
            certificate: certificate.clone(),
            created: parts.now,
        })
        .collect();
    let keys = KeyParts {
        key: parts.key.pkcs8,
        chain: &chain,
        authorities: &numbered,
        created: parts.now,
    };
    let mut stores = Vec::new();
    if let Some(form) = &parts.form.pkcs12 {
        let store = pkcs12::key_store(&form.profile, &keys, &form.password, salts)?;
        stores.push((PKCS12_KEYS.to_owned(), store));
        if !authorities.is_empty() {
            let mut named = numbered.clone();
            for trusted in &mut named {
                trusted.alias = keystore::subject_text(&trusted.certificate)?;
            }
            let store = pkcs12::trust_store(&form.profile, &named, &form.password, salts)?;
            stores.push((PKCS12_TRUST.to_owned(), SecretBytes::new(store)));
        }
    }
    if let Some(form) = &parts.form.jks {
        let store = jks::key_store(&form.alias, &keys, &form.password, salts)?;
        stores.push((JKS_KEYS.to_owned(), store));
        if !authorities.is_empty() {
            let store = jks::trust_store(&numbered, &form.password)?;
            stores.push((JKS_TRUST.to_owned(), SecretBytes::new(store)));
        }
    }
    Ok(stores)
}

/// `ca.crt`: the issuer's own as it is, then the others, each certificate once.
fn authorities(own: &str, others: &[String]) -> Result<String, FormFault> {
    let mut seen: BTreeSet<Vec<u8>> = certificates(own, AUTHORITIES)?.into_iter().collect();
    let mut all = own.to_owned();
    for other in others {
        for certificate in certificates(other, AUTHORITIES)? {
            if seen.insert(certificate.clone()) {
                if !all.ends_with('\n') {
                    all.push('\n');
                }
                all.push_str(&pem(&certificate));
            }
        }
    }
    Ok(all)
}

/// The first certificate of `ca.crt`: an issuer has one. `None` when there is none that can be read.
fn own_authority(secret: &Secret) -> Option<String> {
    let first = certificates(text_of(secret, AUTHORITIES)?, AUTHORITIES)
        .ok()?
        .into_iter()
        .next()?;
    X509Certificate::from_der(&first).ok()?;
    Some(pem(&first))
}

fn certificates(pem: &str, key: &'static str) -> Result<Vec<Vec<u8>>, FormFault> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| certificate.map(|der| der.to_vec()).map_err(|_| FormFault::Pem(key)))
        .collect()
}

fn pem(certificate: &[u8]) -> String {
    pem::write("CERTIFICATE", certificate)
}

fn combined(key: &[u8], chain: &[u8]) -> Vec<u8> {
    [key, b"\n", chain].concat()
}

fn key_der(pem: &SecretBytes) -> Option<SecretBytes> {
    let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(pem.expose()).ok()?;
    Some(SecretBytes::new(key.secret_der().to_vec()))
}

fn text_of<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    std::str::from_utf8(secret.data.get(key)?.expose()).ok()
}

#[cfg(test)]
mod tests;
