//! What cert-manager's webhook would refuse (its `internal/apis/certmanager/validation`), with its default feature gates.
//!
//! Input: an object. Output: refusals in cert-manager's order, words and values, each with the edit that mends it. What the CRDs' schemas
//! refuse was refused by who read the manifest. Invariant: pure and total; an object without refusals is one that cert-manager takes.
//! Go goes through maps in any order; here they go by key.

use sealway_api::{Bundle, Certificate, Issuer, IssuerSpec};

use field_error::{forbidden, invalid, required};

mod bundle;
mod certificate;
mod email;
mod field_error;
mod object_names;
mod times;

pub use field_error::{FieldError, FieldErrorKind};

/// What is wrong with a Certificate; nothing: cert-manager takes it.
#[must_use]
pub fn validate_certificate(object: &Certificate) -> Vec<FieldError> {
    certificate::spec(&object.spec)
}

/// What is wrong with an Issuer or ClusterIssuer. The two have the same rules. Of acme, vault and venafi, whose ways are
/// cert-manager's business, it looks no further than that there is one.
#[must_use]
pub fn validate_issuer(issuer: &Issuer) -> Vec<FieldError> {
    let spec = &issuer.spec;
    let mut errors = Vec::new();
    let mut first = None;
    for (kind, present) in ways(spec) {
        if !present {
            continue;
        }
        if let Some(first) = first {
            errors.push(
                forbidden(&format!("spec.{kind}"), "may not specify more than one issuer type")
                    .hint(format!("keep one of `spec.{first}` and `spec.{kind}`")),
            );
            continue;
        }
        first = Some(kind);
        if kind == "ca" {
            errors.extend(ca(spec));
        }
    }
    if first.is_none() {
        errors.push(
            required("spec", "at least one issuer must be configured")
                .hint("say how it signs: `selfSigned: {}`, or `ca` with a `secretName`"),
        );
    }
    errors
}

/// What trust-manager's webhook would refuse in a Bundle, in its words.
#[must_use]
pub fn validate_bundle(object: &Bundle) -> Vec<FieldError> {
    bundle::bundle(object)
}

/// What cert-manager's webhook would take with a warning.
#[must_use]
pub fn issuer_warnings(issuer: &Issuer) -> Vec<String> {
    let key_algorithm = issuer
        .spec
        .acme
        .as_ref()
        .and_then(|acme| acme.pointer("/externalAccountBinding/keyAlgorithm"));
    let stated = key_algorithm
        .and_then(serde_json::Value::as_str)
        .is_some_and(|algorithm| !algorithm.is_empty());
    let warning = "ACME issuer spec field 'externalAccount.keyAlgorithm' is deprecated. The value of this field will be ignored.";
    stated.then(|| warning.to_owned()).into_iter().collect()
}

/// Which of the kinds that only cert-manager can serve an issuer is of: `acme`, `vault` or `venafi`.
#[must_use]
pub fn foreign_issuer(spec: &IssuerSpec) -> Option<&'static str> {
    let (kind, _) = ways(spec).into_iter().find(|(_, present)| *present)?;
    matches!(kind, "acme" | "vault" | "venafi").then_some(kind)
}

/// In cert-manager's order.
fn ways(spec: &IssuerSpec) -> [(&'static str, bool); 5] {
    [
        ("acme", spec.acme.is_some()),
        ("ca", spec.ca.is_some()),
        ("selfSigned", spec.self_signed.is_some()),
        ("vault", spec.vault.is_some()),
        ("venafi", spec.venafi.is_some()),
    ]
}

fn ca(spec: &IssuerSpec) -> Vec<FieldError> {
    let ca = spec.ca.clone().unwrap_or_default();
    let mut errors = Vec::new();
    if ca.secret_name.is_empty() {
        errors.push(required("spec.ca.secretName", "").hint("name the Secret that holds the CA's `tls.crt` and `tls.key`"));
    }
    let hint = "write a URL, or take the empty entry out";
    for (index, _) in ca.ocsp_servers.iter().enumerate().filter(|(_, url)| url.is_empty()) {
        // The field is called ocspServers; cert-manager writes it so.
        let field = format!("spec.ca.ocspServer[{index}]");
        errors.push(invalid(&field, "", "must be a valid URL, e.g., http://ocsp.int-x3.letsencrypt.org").hint(hint));
    }
    for (index, _) in ca
        .issuing_certificate_urls
        .iter()
        .enumerate()
        .filter(|(_, url)| url.is_empty())
    {
        errors.push(invalid(&format!("spec.ca.issuingCertificateURLs[{index}]"), "", "must be a valid URL").hint(hint));
    }
    errors
}

#[cfg(test)]
mod tests;
