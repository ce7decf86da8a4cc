
        .authority
        .map(|own| authorities(own, &form.more_authorities))
        .transpose()?;
            ..ObjectMeta::default()
        .iter()
        .enumerate()
        .map(|(number, certificate)| Trusted {
        .collect();
        .first()
        .map(|own| pem(own))
        .ok_or(FormFault::Missing(AUTHORITIES))
        .map(|certificate| certificate.map(|der| der.to_vec()).map_err(|_| FormFault::Pem(key)))
        .collect()
        .step_by(64)
        .map(|start| &text[start..text.len().min(start + 64)])
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        "apiVersion": "v1",
                "ca".to_owned()
        "kind": "Secret",
        "metadata": secret.metadata,
        "type": secret.kind,
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("failed to add keystores to Secret: {0}")]
    #[error("failed to add additional output formats to Secret: unknown additional output format {0}")]
    #[error("the Secret has no {0} that can be read: delete it, and it is issued again")]
    #[error("{0} cannot be read: give certificates as PEM blocks CERTIFICATE")]
#[must_use]
) -> Result<Secret, FormFault> {
    )
//! What stands in an issued Secret, as cert-manager v1.21 writes it.
//!
//! Input: key, certificates and names, the form that the Certificate asks for, time, salts. Output: the Secret. Invariants: labels and
//! annotations of the issuer are never replaced by those of a template; `ca.crt` begins with the issuer's own CA; keystores hold what
//! `tls.crt` and `ca.crt` hold.
//! Secrets as text.
/// Type of a Secret with key and certificate.
/// Label of every Secret of the issuer.
/// Annotation: name of the Certificate.
/// Annotation: name of the issuer.
/// Annotation: kind of the issuer.
/// Annotation: API group of the issuer.
/// Everything that goes into a Secret.
    /// Where it stands.
    /// Its type: that of a Secret that stands there already, else [`TLS_SECRET`].
    /// Name of the Certificate.
    /// Name, kind and group of the issuer.
    /// The key.
    /// PEM of the certificate and those above it, as it is to stand in `tls.crt`.
    /// PEM of the issuer's CA certificate, when there is one.
    /// What stands in the certificate.
    /// What else the Certificate asks for.
    /// When entries of JKS were made.
/// A private key in the forms that a Secret needs.
    /// PEM, as it is to stand in `tls.key`.
    /// What that PEM has between its lines.
    /// PKCS#8 DER, for keystores.
/// Why a Secret cannot be made.
    /// An issued Secret that is to be amended lacks this key.
    /// PEM that cannot be read, under this key.
    /// A keystore cannot be made.
    /// `additionalOutputFormats` has a format that does not exist.
/// The Secret of a certificate that was just issued.
/// An issued Secret as `form` asks for it now, with its key and certificates: what mends a [`Mismatch`]. The forms of the key other
/// than PKCS#8 are read from it.
/// `ca.crt`: the issuer's own as it is, then the others, each certificate once.
/// The first certificate of `ca.crt`: an issuer has one.
/// A Secret as a Kubernetes manifest in JSON, keys of its data sorted.
    CertificateDer::pem_slice_iter(pem.as_bytes())
    Format(String),
    Missing(&'static str),
    Ok(Secret {
    Ok(all)
    Ok(stores)
            OutputFormat::CombinedPem => put(COMBINED, &combined(parts.key.pem.expose(), parts.chain.as_bytes())),
            OutputFormat::Der => put(KEY_DER, parts.key.der.expose()),
            OutputFormat::Other(name) => return Err(FormFault::Format(name.clone())),
    Pem(&'static str),
    SecretBytes::new(text.into_bytes())
    Some(SecretBytes::new(key.secret_der().to_vec()))
    Store(#[from] StoreFault),
    [key, b"\n", chain].concat()
            alias: if number == 0 {
                    all.push('\n');
                all.push_str(&pem(&certificate));
    annotations.extend(certificate_annotations(parts.facts));
        annotations.insert(CERTIFICATE_NAME.to_owned(), parts.certificate.to_owned());
        annotations.extend(named.into_iter().zip(parts.issuer.map(str::to_owned)));
    annotations
            annotations: annotations(parts),
        authorities: &numbered,
        authority: own.as_deref(),
        base64::engine::general_purpose::STANDARD.encode_string(value.expose(), &mut text);
        certificate: said(CERTIFICATE_NAME),
            certificate: certificate.clone(),
    certificates
        chain,
        chain: &chain,
const CERTIFICATES: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
const COMBINED: &str = "tls-combined.pem";
const KEY_DER: &str = "key.der";
const JKS_KEYS: &str = "keystore.jks";
const JKS_TRUST: &str = "truststore.jks";
const PKCS12_KEYS: &str = "keystore.p12";
const PKCS12_TRUST: &str = "truststore.p12";
            created: parts.now,
        created: parts.now,
        data.extend(keystores(parts, authorities.as_deref().unwrap_or_default(), salts)?);
        data,
        facts,
    facts: &Facts,
fn labels(form: &SecretForm) -> BTreeMap<String, String> {
fn annotations(parts: &SecretParts<'_>) -> BTreeMap<String, String> {
fn keystores(parts: &SecretParts<'_>, authorities: &str, salts: &mut Salts<'_>) -> Result<Vec<(String, SecretBytes)>, FormFault> {
fn authorities(own: &str, others: &[String]) -> Result<String, FormFault> {
fn own_authority(authorities: &str) -> Result<String, FormFault> {
fn certificates(pem: &str, key: &'static str) -> Result<Vec<Vec<u8>>, FormFault> {
fn pem(certificate: &[u8]) -> String {
fn combined(key: &[u8], chain: &[u8]) -> Vec<u8> {
fn key_der(pem: &SecretBytes) -> Option<SecretBytes> {
fn text_of<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    for format in &form.formats {
            for trusted in &mut named {
    for other in others {
        for certificate in certificates(other, AUTHORITIES)? {
    for (number, (key, value)) in secret.data.iter().enumerate() {
        form,
    form: &SecretForm,
    format!(
                format!("ca-{number}")
    if let Some(authorities) = &authorities {
    if form.jks.is_some() || form.pkcs12.is_some() {
    if !parts.certificate.is_empty() {
    if parts.issuer.iter().any(|part| !part.is_empty()) {
    if let Some(form) = &parts.form.pkcs12 {
        if !authorities.is_empty() {
    if let Some(form) = &parts.form.jks {
            if seen.insert(certificate.clone()) {
                if !all.ends_with('\n') {
        if number > 0 {
        issuer: [said(ISSUER_NAME), said(ISSUER_KIND), said(ISSUER_GROUP)],
        key: KeyForms { pem, der: &der, pkcs8 },
        key: parts.key.pkcs8,
        kind: parts.kind.to_owned(),
        kind: &secret.kind,
    labels.insert(ISSUED_LABEL.to_owned(), "true".to_owned());
    labels
            labels: labels(form),
    let form = parts.form;
    let mut data = BTreeMap::new();
    let mut put = |key: &str, value: &[u8]| data.insert(key.to_owned(), SecretBytes::new(value.to_vec()));
    let authorities = parts
    let pem = secret.data.get(KEY).ok_or(FormFault::Missing(KEY))?;
    let der = key_der(pem).ok_or(FormFault::Missing(KEY))?;
    let chain = text_of(secret, CERTIFICATES).ok_or(FormFault::Missing(CERTIFICATES))?;
    let own = text_of(secret, AUTHORITIES).map(own_authority).transpose()?;
    let said = |annotation: &str| secret.metadata.annotations.get(annotation).map_or("", String::as_str);
    let parts = SecretParts {
    let mut labels = form.labels.clone();
    let mut annotations = parts.form.annotations.clone();
        let named = [ISSUER_NAME, ISSUER_KIND, ISSUER_GROUP].map(str::to_owned);
    let chain = certificates(parts.chain, CERTIFICATES)?;
    let authorities = certificates(authorities, AUTHORITIES)?;
    let numbered: Vec<Trusted> = authorities
    let keys = KeyParts {
    let mut stores = Vec::new();
        let store = pkcs12::key_store(&form.profile, &keys, &form.password, salts)?;
            let mut named = numbered.clone();
            let store = pkcs12::trust_store(&form.profile, &named, &form.password, salts)?;
        let store = jks::key_store(&form.alias, &keys, &form.password, salts)?;
            let store = jks::trust_store(&numbered, &form.password)?;
    let mut seen: BTreeSet<Vec<u8>> = certificates(own, AUTHORITIES)?.into_iter().collect();
    let mut all = own.to_owned();
    let certificates = certificates(authorities, AUTHORITIES)?;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> = (0..text.len())
    let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(pem.expose()).ok()?;
    let head = json!({
    let mut text = head.to_string();
        lines.join("\n")
        match format {
        metadata: ObjectMeta {
mod annotations;
mod manifest;
mod mismatch;
mod tests;
            name: parts.secret.name.clone(),
            namespace: Some(parts.secret.namespace.clone()),
        now,
    now: Timestamp,
    pkcs8: &SecretBytes,
pub use annotations::certificate_annotations;
pub use manifest::json;
pub use mismatch::{Mismatch, mismatch};
pub const TLS_SECRET: &str = "kubernetes.io/tls";
pub const ISSUED_LABEL: &str = "controller.cert-manager.io/fao";
pub const CERTIFICATE_NAME: &str = "cert-manager.io/certificate-name";
pub const ISSUER_NAME: &str = "cert-manager.io/issuer-name";
pub const ISSUER_KIND: &str = "cert-manager.io/issuer-kind";
pub const ISSUER_GROUP: &str = "cert-manager.io/issuer-group";
pub struct SecretParts<'a> {
    pub secret: &'a ObjectKey,
    pub kind: &'a str,
    pub certificate: &'a str,
    pub issuer: [&'a str; 3],
    pub key: KeyForms<'a>,
    pub chain: &'a str,
    pub authority: Option<&'a str>,
    pub facts: &'a Facts,
    pub form: &'a SecretForm,
    pub now: Timestamp,
pub struct KeyForms<'a> {
    pub pem: &'a SecretBytes,
    pub der: &'a SecretBytes,
    pub pkcs8: &'a SecretBytes,
pub enum FormFault {
pub fn secret(parts: &SecretParts<'_>, salts: &mut Salts<'_>) -> Result<Secret, FormFault> {
pub fn amended(
pub(crate) fn json(secret: &Secret) -> SecretBytes {
        put(AUTHORITIES, authorities.as_bytes());
    put(CERTIFICATES, parts.chain.as_bytes());
    put(KEY, parts.key.pem.expose());
    salts: &mut Salts<'_>,
    secret: &Secret,
        secret: &secret.metadata.key(),
    self::secret(&parts, salts)
    std::str::from_utf8(secret.data.get(key)?.expose()).ok()
        stores.push((PKCS12_KEYS.to_owned(), store));
            stores.push((PKCS12_TRUST.to_owned(), SecretBytes::new(store)));
        stores.push((JKS_KEYS.to_owned(), store));
            stores.push((JKS_TRUST.to_owned(), SecretBytes::new(store)));
    text.pop();
    text.push_str(",\"data\":{");
            text.push(',');
        text.push_str(&json!(key).to_string());
        text.push_str(":\"");
        text.push('"');
    text.push_str("}}");
                trusted.alias = keystore::subject_text(&trusted.certificate)?;
use std::collections::{BTreeMap, BTreeSet};
use base64::Engine as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sealway_api::{ObjectKey, ObjectMeta, OutputFormat, Secret, SecretBytes, Timestamp};
use crate::facts::Facts;
use crate::keystore::{self, KeyParts, Salts, StoreFault, Trusted, jks, pkcs12};
use crate::order::SecretForm;
use sealway_api::{Secret, SecretBytes};
use serde_json::json;
}
    }
            } else {
            }
        }
                }
    })
        })
    });
        },
            },
        };
    };
