//! Whether an issued Secret is what its Certificate asks for, key and certificate aside: cert-manager's checks after issuance.
//!
//! cert-manager asks the API server which fields are its own; here all of the Secret is ours, so that whatever nobody asks for is too much.

use std::collections::BTreeMap;

use sealway_api::{OutputFormat, Secret};

use super::{
    AUTHORITIES, CERTIFICATE_NAME, CERTIFICATES, COMBINED, ISSUED_LABEL, ISSUER_GROUP, ISSUER_KIND, ISSUER_NAME, JKS_KEYS,
    JKS_TRUST, KEY, KEY_DER, PKCS12_KEYS, PKCS12_TRUST, authorities, certificate_annotations, combined, key_der, own_authority,
};
use crate::facts::Facts;
use crate::keystore::{jks, pkcs12};
use crate::order::SecretForm;
use crate::settings::Behaviour;

/// What an issued Secret lacks, or has too much; [`super::amended`] mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

/// The first thing that is not as `form` asks. `facts` are those of the certificate in `tls.crt`. Beyond cert-manager's checks, as
/// `behaviour` says: `ca.crt` holds the authorities asked for, and keystores have the password, alias and profile asked for.
#[must_use]
pub fn mismatch(secret: &Secret, form: &SecretForm, facts: &Facts, behaviour: Behaviour) -> Option<Mismatch> {
    metadata_mismatch(secret, form, facts)
        .or_else(|| format_mismatch(secret, form))
        .or_else(|| authorities_mismatch(secret, form, behaviour))
        .or_else(|| store_mismatch(secret, form))
        .or_else(|| content_mismatch(secret, form, behaviour))
}

fn metadata_mismatch(secret: &Secret, form: &SecretForm, facts: &Facts) -> Option<Mismatch> {
    const MANAGED: &str = "SecretManagedMetadataMismatch";
    const TEMPLATE: &str = "SecretTemplateMismatch";
    let (labels, annotations) = (&secret.metadata.labels, &secret.metadata.annotations);
    let own_labels = BTreeMap::from([(ISSUED_LABEL.to_owned(), "true".to_owned())]);
    let own_annotations = certificate_annotations(facts);
    if let Some((has, should)) = first_difference(&own_labels, labels) {
        let message = format!("wrong base label {ISSUED_LABEL} value {has:?}, expected {should:?}");
        return found(MANAGED, message);
    }
    if let Some((has, should)) = first_difference(&own_annotations, annotations) {
        return found(
            TEMPLATE,
            format!("Secret metadata {has} does not match certificate metadata {should}"),
        );
    }
    for (what, has, own, template) in [
        ("Labels", labels, &own_labels, &form.labels),
        ("Annotations", annotations, &own_annotations, &form.annotations),
    ] {
        // Whose Secret it is was looked at before: such annotations are neither missing nor too many.
        let is_own = |name: &String| own.contains_key(name) || IDENTITY.contains(&name.as_str());
        let mut template = template.clone();
        template.retain(|name, _| !is_own(name));
        if first_difference(&template, has).is_some() {
            let message = format!("Certificate's SecretTemplate {what} missing or incorrect value on Secret");
            return found(TEMPLATE, message);
        }
        let (managed, other): (Vec<_>, Vec<_>) = has
            .keys()
            .filter(|name| !is_own(name) && !template.contains_key(*name))
            .partition(|name| is_managed(name));
        for (reason, wrong, names) in [
            (MANAGED, "is missing these Managed", missing(own, has)),
            (MANAGED, "has these extra", managed),
            (TEMPLATE, "is missing these Template", missing(&template, has)),
            (TEMPLATE, "has these extra", other),
        ] {
            if !names.is_empty() {
                let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
                return found(reason, format!("Secret {wrong} {what}: [{}]", names.join(" ")));
            }
        }
    }
    None
}

/// Annotations that say whose Secret it is.
const IDENTITY: [&str; 4] = [CERTIFICATE_NAME, ISSUER_NAME, ISSUER_KIND, ISSUER_GROUP];

fn missing<'a>(wanted: &'a BTreeMap<String, String>, has: &BTreeMap<String, String>) -> Vec<&'a String> {
    wanted.keys().filter(|name| !has.contains_key(*name)).collect()
}

/// Names that only the issuer may give.
fn is_managed(name: &str) -> bool {
    name.starts_with("cert-manager.io/") || name.starts_with("controller.cert-manager.io/")
}

/// Of a name that both have with different values, that with the lowest: what `has` says, and what `should`.
fn first_difference<'a>(should: &'a BTreeMap<String, String>, has: &'a BTreeMap<String, String>) -> Option<(&'a str, &'a str)> {
    should.iter().find_map(|(name, value)| {
        let has = has.get(name)?;
        (has != value).then_some((has.as_str(), value.as_str()))
    })
}

fn format_mismatch(secret: &Secret, form: &SecretForm) -> Option<Mismatch> {
    const REASON: &str = "AdditionalOutputFormatsMismatch";
    let value = |key: &str| secret.data.get(key);
    let bytes = |key: &str| value(key).map_or(&[][..], |value| value.expose());
    for format in &form.formats {
        let is_there = match format {
            OutputFormat::CombinedPem => {
                value(COMBINED).is_some_and(|value| value.expose() == combined(bytes(KEY), bytes(CERTIFICATES)))
            }
            OutputFormat::Der => value(KEY_DER).is_some_and(|der| value(KEY).and_then(key_der).as_ref() == Some(der)),
            OutputFormat::Other(_) => true,
        };
        if !is_there {
            return found(
                REASON,
                "Certificate's AdditionalOutputFormats doesn't match Secret Data".to_owned(),
            );
        }
    }
    let too_many = [(COMBINED, OutputFormat::CombinedPem), (KEY_DER, OutputFormat::Der)]
        .iter()
        .any(|(key, format)| value(key).is_some() && !form.formats.contains(format));
    let message = "Certificate's AdditionalOutputFormats doesn't match Secret ManagedFields";
    if too_many { found(REASON, message.to_owned()) } else { None }
}

/// Ours: cert-manager knows no roll-over, and leaves a `ca.crt` that is none as it is.
fn authorities_mismatch(secret: &Secret, form: &SecretForm, behaviour: Behaviour) -> Option<Mismatch> {
    let has = secret.data.get(AUTHORITIES)?.expose();
    let Some(own) = own_authority(secret) else {
        return found(SECRET_MISMATCH, "ca.crt holds no certificate that can be read".to_owned());
    };
    if behaviour == Behaviour::CertManager {
        return None;
    }
    let should = authorities(&own, &form.more_authorities).ok()?;
    if has == should.as_bytes() {
        return None;
    }
    found(SECRET_MISMATCH, "ca.crt does not hold the authorities of now".to_owned())
}

fn store_mismatch(secret: &Secret, form: &SecretForm) -> Option<Mismatch> {
    let is_filled = |key: &str| secret.data.get(key).is_some_and(|value| !value.expose().is_empty());
    let stores = [
        ("JKS", form.jks.is_some(), JKS_KEYS, JKS_TRUST),
        ("PKCS12", form.pkcs12.is_some(), PKCS12_KEYS, PKCS12_TRUST),
    ];
    let are_asked = stores.iter().any(|(_, is_asked, ..)| *is_asked);
    for (kind, is_asked, keys, trust) in stores {
        let message = if is_asked {
            let is_whole = is_filled(keys) && (is_filled(trust) || !secret.data.contains_key(AUTHORITIES));
            (!is_whole).then(|| format!("{kind} Keystore key does not contain data"))
        } else {
            let is_absent = !is_filled(keys) && !is_filled(trust);
            let message = if are_asked {
                format!("{kind} Keystore not defined")
            } else {
                "Keystore is not defined".to_owned()
            };
            (!is_absent).then_some(message)
        };
        if let Some(message) = message {
            return found(SECRET_MISMATCH, message);
        }
    }
    None
}

/// Ours: cert-manager makes a keystore anew only with the next certificate. The truststore was made together with the keystore.
fn content_mismatch(secret: &Secret, form: &SecretForm, behaviour: Behaviour) -> Option<Mismatch> {
    if behaviour == Behaviour::CertManager {
        return None;
    }
    let store = |key: &str| secret.data.get(key).map_or(&[][..], |store| store.expose());
    let is_current_jks = |form: &crate::StoreForm| jks::opens_with(store(JKS_KEYS), &form.alias, &form.password);
    let is_current_pkcs12 = |form: &crate::StoreForm| pkcs12::opens_with(store(PKCS12_KEYS), &form.profile, &form.password);
    if form.jks.as_ref().is_none_or(is_current_jks) && form.pkcs12.as_ref().is_none_or(is_current_pkcs12) {
        return None;
    }
    found(SECRET_MISMATCH, "Keystore has another password, alias or profile".to_owned())
}

const SECRET_MISMATCH: &str = "SecretMismatch";

fn found(reason: &'static str, message: String) -> Option<Mismatch> {
    Some(Mismatch { reason, message })
}
