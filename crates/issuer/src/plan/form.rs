//! What a Certificate's Secret carries beside key and certificate, with the passwords that its keystores need.

use sealway_api::{CertificateSpec, ObjectKey, OutputFormat, Password, Pkcs12Profile, SecretKeySelector};

use super::secrets::Secrets;
use super::trouble::Trouble;
use crate::go_text::quote;
use crate::order::{SecretForm, StoreForm};

/// `beside`: see [`SecretForm::more_authorities`].
pub(super) fn form(
    spec: &CertificateSpec,
    namespace: &str,
    secrets: Secrets<'_>,
    beside: Vec<String>,
) -> Result<SecretForm, Trouble> {
    let template = spec.secret_template.clone().unwrap_or_default();
    let mut formats: Vec<OutputFormat> = spec
        .additional_output_formats
        .iter()
        .filter_map(|format| format.kind.clone())
        .collect();
    formats.sort_by_key(ToString::to_string);
    formats.dedup();
    let mut form = SecretForm {
        labels: template.labels,
        annotations: template.annotations,
        formats,
        more_authorities: beside,
        ..SecretForm::default()
    };
    let keystores = spec.keystores.as_ref();
    if let Some(jks) = keystores
        .and_then(|keystores| keystores.jks.as_ref())
        .filter(|jks| jks.create)
    {
        let source = Source {
            what: "JKS",
            field: "spec.keystores.jks",
            inline: jks.password.as_ref(),
            reference: jks.password_secret_ref.as_ref(),
        };
        form.jks = Some(StoreForm {
            alias: jks.alias.clone().unwrap_or_else(|| "certificate".to_owned()),
            password: source.password(namespace, secrets)?,
            profile: Pkcs12Profile::LegacyRc2,
        });
    }
    if let Some(pkcs12) = keystores
        .and_then(|keystores| keystores.pkcs12.as_ref())
        .filter(|pkcs12| pkcs12.create)
    {
        let source = Source {
            what: "PKCS12",
            field: "spec.keystores.pkcs12",
            inline: pkcs12.password.as_ref(),
            reference: pkcs12.password_secret_ref.as_ref(),
        };
        form.pkcs12 = Some(StoreForm {
            alias: String::new(),
            password: source.password(namespace, secrets)?,
            profile: pkcs12.profile.clone().unwrap_or(Pkcs12Profile::LegacyRc2),
        });
    }
    Ok(form)
}

struct Source<'a> {
    what: &'static str,
    field: &'static str,
    inline: Option<&'a Password>,
    reference: Option<&'a SecretKeySelector>,
}

impl Source<'_> {
    /// The Secret's comes first, as with cert-manager.
    fn password(&self, namespace: &str, secrets: Secrets<'_>) -> Result<Password, Trouble> {
        let missing = |message: String| Trouble::PasswordMissing(self.field, message);
        let what = self.what;
        let Some(reference) = self.reference.filter(|reference| !reference.name.is_empty()) else {
            let inline = self.inline.filter(|password| !password.expose().is_empty());
            return inline.cloned().ok_or_else(|| {
                missing(format!(
                    "the {what} keystore has no password: it needs passwordSecretRef or password"
                ))
            });
        };
        let name = quote(&reference.name);
        let secret = secrets
            .get(&ObjectKey::new(namespace, &reference.name))
            .ok_or_else(|| missing(format!("{what} keystore password Secret {name} not found")))?;
        let bytes = secret
            .data
            .get(&reference.key)
            .map(|bytes| bytes.expose())
            .unwrap_or_default();
        if bytes.is_empty() {
            let key = quote(&reference.key);
            return Err(missing(format!(
                "{what} keystore password Secret {name} contains no data for key {key}"
            )));
        }
        String::from_utf8(bytes.to_vec())
            .map(Password::new)
            .map_err(|_| missing(format!("{what} keystore password Secret {name} holds no text")))
    }
}
