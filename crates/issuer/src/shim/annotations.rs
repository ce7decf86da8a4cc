//! Annotations of a Gateway that become fields of its Certificates (cert-manager's `translateAnnotations`).

use std::collections::BTreeMap;

use sealway_api::{
    CertificateSpec, KeyAlgorithm, KeyEncoding, KeyUsage, PrivateKeySpec, RotationPolicy, SecretTemplate, Subject,
};
use serde::Deserialize;

use crate::go_text::{DurationFault, GoDuration, parse_duration, quote};

const PREFIX: &str = "cert-manager.io/";

/// An annotation that cannot be read; prints as cert-manager logs it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid ingress annotation \"{key}\": {reason}")]
pub struct AnnotationFault {
    /// As `cert-manager.io/duration`.
    pub key: String,
    /// Why.
    pub reason: AnnotationReason,
}

/// See [`AnnotationFault::reason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationReason {
    /// Not one line of values by commas, each in double quotes where it has a comma.
    #[error("failed to parse {} as CSV", quote(.0))]
    List(String),
    /// Not a duration as Go writes it.
    #[error(transparent)]
    Duration(#[from] DurationFault),
    /// Not a number of 32 bits.
    #[error("{} is no number, or too large a one", quote(.0))]
    Number(String),
    /// Less than 1.
    #[error("revision history limit must be a positive number {}", quote(.0))]
    HistoryLimit(String),
    /// No usage that cert-manager knows.
    #[error("invalid key usage name {}", quote(.0))]
    Usage(String),
    /// Neither RSA, ECDSA nor Ed25519.
    #[error("invalid private key algorithm {}", quote(.0))]
    Algorithm(String),
    /// Neither PKCS1 nor PKCS8.
    #[error("invalid private key encoding {}", quote(.0))]
    Encoding(String),
    /// A size that the algorithm (RSA or ECDSA) does not have.
    #[error("invalid private key size for {0} algorithm {named}", named = quote(.1))]
    Size(&'static str, String),
    /// Neither Always nor Never.
    #[error("invalid private key rotation policy {}", quote(.0))]
    RotationPolicy(String),
    /// Not JSON with `annotations` and `labels`.
    #[error("error parsing secret template JSON: {0}")]
    SecretTemplate(String),
    /// It has an annotation that the issuer writes itself.
    #[error("secretTemplate must not have cert-manager.io/ annotations: {}", quote(.0))]
    SecretTemplateAnnotation(String),
}

impl AnnotationFault {
    /// The edit that mends it.
    pub(crate) fn hint(&self) -> String {
        match &self.reason {
            AnnotationReason::List(_) => "write the values with commas between them, and one that has a comma in double quotes",
            AnnotationReason::Duration(_) => "write hours, minutes and seconds, as `2160h` or `1h30m`; there are no days",
            AnnotationReason::Number(_) | AnnotationReason::HistoryLimit(_) => "write a whole number, 1 or more",
            AnnotationReason::Usage(_) => "write usages as cert-manager spells them, as `digital signature,server auth`",
            AnnotationReason::Algorithm(_) => "write `RSA`, `ECDSA` or `Ed25519`",
            AnnotationReason::Encoding(_) => "write `PKCS1` or `PKCS8`",
            AnnotationReason::Size("ECDSA", _) => "write 256, 384 or 521",
            AnnotationReason::Size(..) => "write 2048, 3072 or 4096",
            AnnotationReason::RotationPolicy(_) => "write `Always` or `Never`",
            AnnotationReason::SecretTemplate(_) => "write JSON: `{\"labels\": {…}, \"annotations\": {…}}`",
            AnnotationReason::SecretTemplateAnnotation(_) => "take it out: the issuer writes these itself",
        }
        .to_owned()
    }
}

/// Fills in what the annotations say.
pub(super) fn translate(annotations: &BTreeMap<String, String>, spec: &mut CertificateSpec) -> Result<(), AnnotationFault> {
    let stated = Stated(annotations);
    if let Some(name) = stated.text("common-name") {
        name.clone_into(&mut spec.common_name);
    }
    let parts = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    if let Some(names) = stated.text("alt-names").filter(|names| !names.is_empty()) {
        spec.dns_names.extend(parts(names));
    }
    if let Some(addresses) = stated.text("ip-sans").filter(|addresses| !addresses.is_empty()) {
        spec.ip_addresses.extend(parts(addresses));
    }
    if let Some(addresses) = stated.text("email-sans") {
        spec.email_addresses = parts(addresses);
    }
    let subject = Subject {
        organizations: stated.list("subject-organizations")?,
        organizational_units: stated.list("subject-organizationalunits")?,
        countries: stated.list("subject-countries")?,
        provinces: stated.list("subject-provinces")?,
        localities: stated.list("subject-localities")?,
        postal_codes: stated.list("subject-postalcodes")?,
        street_addresses: stated.list("subject-streetaddresses")?,
        serial_number: stated.text("subject-serialnumber").unwrap_or_default().to_owned(),
    };
    spec.subject = Some(subject).filter(|subject| *subject != Subject::default());
    spec.duration = stated.duration("duration")?;
    spec.renew_before = stated.duration("renew-before")?;
    spec.renew_before_percentage = stated.number("renew-before-percentage")?;
    if let Some(usages) = stated.text("usages") {
        spec.usages = usages.split(',').map(|usage| stated.usage(usage)).collect::<Result<_, _>>()?;
    }
    if let Some(limit) = stated.number("revision-history-limit")? {
        if limit < 1 {
            return Err(stated.fault("revision-history-limit", AnnotationReason::HistoryLimit));
        }
        spec.revision_history_limit = Some(limit);
    }
    let key = private_key(&stated)?;
    spec.private_key = Some(key).filter(|key| *key != PrivateKeySpec::default());
    spec.secret_template = secret_template(&stated)?;
    Ok(())
}

struct Stated<'a>(&'a BTreeMap<String, String>);

impl Stated<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(&format!("{PREFIX}{name}")).map(String::as_str)
    }

    fn fault(&self, name: &str, reason: impl FnOnce(String) -> AnnotationReason) -> AnnotationFault {
        AnnotationFault {
            key: format!("{PREFIX}{name}"),
            reason: reason(self.text(name).unwrap_or_default().to_owned()),
        }
    }

    fn list(&self, name: &str) -> Result<Vec<String>, AnnotationFault> {
        self.text(name).map_or(Ok(Vec::new()), |text| {
            comma_separated(text).ok_or_else(|| self.fault(name, AnnotationReason::List))
        })
    }

    fn duration(&self, name: &str) -> Result<Option<String>, AnnotationFault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match parse_duration(text) {
            Ok(nanoseconds) => Ok(Some(GoDuration(nanoseconds).to_string())),
            Err(fault) => Err(self.fault(name, |_| AnnotationReason::Duration(fault))),
        }
    }

    fn number(&self, name: &str) -> Result<Option<i32>, AnnotationFault> {
        let number = self.text(name).map(str::parse).transpose();
        number.map_err(|_| self.fault(name, AnnotationReason::Number))
    }

    fn usage(&self, usage: &str) -> Result<KeyUsage, AnnotationFault> {
        match KeyUsage::from(usage.trim_matches(' ')) {
            KeyUsage::Other(_) => Err(self.fault("usages", |_| AnnotationReason::Usage(usage.to_owned()))),
            known => Ok(known),
        }
    }
}

fn private_key(stated: &Stated<'_>) -> Result<PrivateKeySpec, AnnotationFault> {
    let mut key = PrivateKeySpec::default();
    if let Some(algorithm) = stated.text("private-key-algorithm").map(KeyAlgorithm::from) {
        if matches!(algorithm, KeyAlgorithm::Other(_)) {
            return Err(stated.fault("private-key-algorithm", AnnotationReason::Algorithm));
        }
        key.algorithm = Some(algorithm);
    }
    if let Some(encoding) = stated.text("private-key-encoding").map(KeyEncoding::from) {
        if matches!(encoding, KeyEncoding::Other(_)) {
            return Err(stated.fault("private-key-encoding", AnnotationReason::Encoding));
        }
        key.encoding = Some(encoding);
    }
    if let Some(size) = stated.number("private-key-size")? {
        let (algorithm, fits) = match key.algorithm {
            None | Some(KeyAlgorithm::Rsa) => ("RSA", (2048..=8192).contains(&size)),
            Some(KeyAlgorithm::Ecdsa) => ("ECDSA", matches!(size, 256 | 384 | 521)),
            Some(_) => ("", true),
        };
        if !fits {
            return Err(stated.fault("private-key-size", |text| AnnotationReason::Size(algorithm, text)));
        }
        key.size = size;
    }
    if let Some(policy) = stated.text("private-key-rotation-policy").map(RotationPolicy::from) {
        if matches!(policy, RotationPolicy::Other(_)) {
            return Err(stated.fault("private-key-rotation-policy", AnnotationReason::RotationPolicy));
        }
        key.rotation_policy = Some(policy);
    }
    Ok(key)
}

fn secret_template(stated: &Stated<'_>) -> Result<Option<SecretTemplate>, AnnotationFault> {
    /// cert-manager takes no other fields.
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Written {
        annotations: Option<BTreeMap<String, String>>,
        labels: Option<BTreeMap<String, String>>,
    }
    let name = "secret-template";
    let Some(text) = stated.text(name) else { return Ok(None) };
    // Only the first value counts; what stands behind it is not looked at.
    let written = Option::<Written>::deserialize(&mut serde_json::Deserializer::from_str(text));
    let written = written
        .map_err(|error| stated.fault(name, |_| AnnotationReason::SecretTemplate(error.to_string())))?
        .unwrap_or_default();
    let template = SecretTemplate {
        annotations: written.annotations.unwrap_or_default(),
        labels: written.labels.unwrap_or_default(),
    };
    match template.annotations.keys().find(|key| key.starts_with(PREFIX)) {
        Some(key) => Err(stated.fault(name, |_| AnnotationReason::SecretTemplateAnnotation(key.clone()))),
        None => Ok(Some(template).filter(|template| *template != SecretTemplate::default())),
    }
}

/// The fields of one line as Go's `encoding/csv` reads it; `None` for several lines, or none, and for stray quotes.
fn comma_separated(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    // Empty lines do not count.
    let mut rest = text.trim_matches(['\n', '\r']);
    if rest.is_empty() {
        return None;
    }
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                if field.contains(['"', '\n']) {
                    return None;
                }
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

/// Behind the opening quote; a doubled quote stands for one.
fn quoted_field(mut rest: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, after)),
        }
    }
}
