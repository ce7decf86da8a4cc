//! The rules for a Certificate's spec.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sealway_api::{CertificateSpec, KeyAlgorithm, KeyUsage, Password, SecretKeySelector, SignatureAlgorithm, Subject};
use serde::Serialize;

use super::field_error::{FieldError, duplicate, forbidden, invalid, invalid_value, not_supported, required, too_long};
use super::{email, object_names, times};
use crate::go_text::list;
use crate::subject::literal_subject;

const COMMON_NAME: &str = "2.5.4.3";
/// RFC 5280's upper bound for a common name.
const COMMON_NAME_LIMIT: usize = 64;
const RSA_SIZES: std::ops::RangeInclusive<i32> = 2048..=8192;

pub(super) fn spec(spec: &CertificateSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    secret_name(spec, &mut errors);
    issuer_ref(spec, &mut errors);
    let common_name = subject(spec, &mut errors);
    names(spec, &common_name, &mut errors);
    private_key(spec, &mut errors);
    times::durations(spec, &mut errors);
    for (index, usage) in spec.usages.iter().enumerate() {
        if matches!(usage, KeyUsage::Other(_)) {
            let hint =
                "write one of the usages of RFC 5280 as cert-manager spells them, such as `digital signature` or `server auth`";
            errors.push(invalid_value(&format!("spec.usages[{index}]"), usage, "unknown keyusage").hint(hint));
        }
    }
    if let Some(limit) = spec.revision_history_limit.filter(|limit| *limit < 1) {
        let hint = "write 1 or more, or leave the field out";
        errors.push(invalid_value("spec.revisionHistoryLimit", &limit, "must not be less than 1").hint(hint));
    }
    secret_template(spec, &mut errors);
    name_constraints(spec, &mut errors);
    let mut formats = BTreeSet::new();
    for format in &spec.additional_output_formats {
        let kind = format.kind.as_ref().map_or("", |kind| kind.as_str());
        if !formats.insert(kind) {
            errors.push(duplicate("spec.additionalOutputFormats[type]", kind).hint("name each format once"));
        }
    }
    keystores(spec, &mut errors);
    times::renewal(spec, &mut errors);
    errors
}

fn secret_name(spec: &CertificateSpec, errors: &mut Vec<FieldError>) {
    let field = "spec.secretName";
    if spec.secret_name.is_empty() {
        errors.push(required(field, "must be specified").hint("name the Secret that the certificate is written into"));
        return;
    }
    let hint = "use lower-case letters, digits, `-` and `.`, at most 253 of them";
    errors.extend(
        object_names::object_name(&spec.secret_name)
            .into_iter()
            .map(|fault| invalid(field, &spec.secret_name, fault).hint(hint)),
    );
}

fn issuer_ref(spec: &CertificateSpec, errors: &mut Vec<FieldError>) {
    const OWN_GROUP: &str = "cert-manager.io";
    let reference = &spec.issuer_ref;
    if reference.name.is_empty() {
        errors.push(required("spec.issuerRef.name", "must be specified").hint("name the Issuer or ClusterIssuer that signs"));
    }
    let group = reference.group.as_deref().unwrap_or_default();
    let kind = reference.kind.as_deref().unwrap_or_default();
    if (group.is_empty() || group == OWN_GROUP) && !matches!(kind, "" | "Issuer" | "ClusterIssuer") {
        let mut detail = "must be one of Issuer or ClusterIssuer".to_owned();
        if group.is_empty() {
            // The group is a neighbour of the kind; cert-manager writes it so.
            detail.push_str(" (did you forget to set spec.issuerRef.kind.group?)");
        }
        let hint = "write `kind: Issuer` or `kind: ClusterIssuer`; for an issuer of another project, its `group` as well";
        errors.push(invalid("spec.issuerRef.kind", kind, detail).hint(hint));
    }
}

/// Returns the common name, wherever it stands.
fn subject(spec: &CertificateSpec, errors: &mut Vec<FieldError>) -> Vec<u8> {
    let mut common_name = spec.common_name.clone().into_bytes();
    if spec.literal_subject.is_empty() {
        return common_name;
    }
    if !spec.common_name.is_empty() {
        let detail = "When providing a `LiteralSubject` no `commonName` may be provided.";
        let hint = "put it into `literalSubject` as `CN=…` and take `commonName` out";
        errors.push(invalid("spec.commonName", &spec.common_name, detail).hint(hint));
    }
    if let Some(subject) = spec.subject.as_ref().filter(|subject| **subject != Subject::default()) {
        let detail = "When providing a `LiteralSubject` no `Subject` properties may be provided.";
        let hint = "put them into `literalSubject` and take `subject` out";
        errors.push(invalid_value("spec.subject", &GoSubject::from(subject), detail).hint(hint));
    }
    let field = "spec.literalSubject";
    let hint = "write it as RFC 4514 has it, the narrowest name first: `CN=payment,OU=shop,O=Example,C=DE`";
    let names = match literal_subject(&spec.literal_subject) {
        Ok(names) => names,
        Err(fault) => {
            errors.push(invalid(field, &spec.literal_subject, fault).hint(hint));
            return common_name;
        }
    };
    for attribute in names.iter().flatten() {
        if attribute.kind.as_deref() == Some(COMMON_NAME) {
            common_name.clone_from(&attribute.value);
        }
    }
    for attribute in names.iter().flatten().filter(|attribute| attribute.kind.is_none()) {
        let value = String::from_utf8_lossy(&attribute.value);
        let detail = format!("Literal subject contains unrecognized key with value [{value}]");
        let hint = "use C, O, OU, CN, L, ST, STREET, SERIALNUMBER, DC, UID or an object identifier as the key";
        errors.push(invalid(field, &spec.literal_subject, detail).hint(hint));
    }
    common_name
}

fn names(spec: &CertificateSpec, common_name: &[u8], errors: &mut Vec<FieldError>) {
    let nameless = common_name.is_empty()
        && spec.dns_names.is_empty()
        && spec.uris.is_empty()
        && spec.email_addresses.is_empty()
        && spec.ip_addresses.is_empty()
        && spec.other_names.is_empty();
    if nameless {
        let detail = "at least one of commonName (from the commonName field or from a literalSubject), dnsNames, emailSANs, ipAddresses, \
                      otherNames, or uriSANs must be set";
        errors.push(invalid("spec", "", detail).hint("say whom it is for: `dnsNames: [\"payment.example.com\"]`"));
    }
    if common_name.len() > COMMON_NAME_LIMIT {
        let hint = "clients look at `dnsNames`; shorten the common name or leave it out";
        errors.push(too_long("spec.commonName", COMMON_NAME_LIMIT).hint(hint));
    }
    for (index, text) in spec.ip_addresses.iter().enumerate() {
        if text.parse::<IpAddr>().is_err() {
            let hint = "write one address, without a mask or port; names go into `dnsNames`";
            errors.push(invalid(&format!("spec.ipAddresses[{index}]"), text, "invalid IP address").hint(hint));
        }
    }
    for (index, text) in spec.email_addresses.iter().enumerate() {
        let fault = match email::address(text) {
            Ok(address) if address == *text => continue,
            Ok(_) => "make sure the supplied value only contains the email address itself".to_owned(),
            Err(fault) => fault,
        };
        let hint = "write the address alone, as `someone@example.com`";
        errors.push(
            invalid(
                &format!("spec.emailAddresses[{index}]"),
                text,
                format!("invalid email address: {fault}"),
            )
            .hint(hint),
        );
    }
    for (index, name) in spec.other_names.iter().enumerate() {
        let field = format!("spec.otherNames[{index}].oid");
        let hint = "write an object identifier, as `1.3.6.1.4.1.311.20.2.3`";
        if name.oid.is_empty() {
            errors.push(required(&field, "must be specified").hint(hint));
        }
        if !name.oid.split('.').all(|arc| arc.parse::<i64>().is_ok()) {
            errors.push(invalid(&field, &name.oid, "invalid oid syntax").hint(hint));
        }
        if name.utf8_value.is_empty() {
            let field = format!("spec.otherNames[{index}].utf8Value");
            errors.push(
                required(&field, "must be set to a valid non-empty UTF8 string").hint("write the name that the `oid` stands for"),
            );
        }
    }
}

fn private_key(spec: &CertificateSpec, errors: &mut Vec<FieldError>) {
    let key = spec.private_key.clone().unwrap_or_default();
    let field = "spec.privateKey.size";
    let algorithm = match key.algorithm.unwrap_or(KeyAlgorithm::Rsa) {
        KeyAlgorithm::Other(text) if text.is_empty() => KeyAlgorithm::Rsa,
        algorithm => algorithm,
    };
    match &algorithm {
        KeyAlgorithm::Rsa if key.size > 0 && !RSA_SIZES.contains(&key.size) => {
            let detail = format!(
                "must be between {} and {} for rsa keyAlgorithm",
                RSA_SIZES.start(),
                RSA_SIZES.end()
            );
            errors.push(invalid_value(field, &key.size, detail).hint("write 2048, 3072 or 4096"));
        }
        KeyAlgorithm::Ecdsa if key.size > 0 && !matches!(key.size, 256 | 384 | 521) => {
            errors.push(not_supported(field, &key.size, &["256", "384", "521"]).hint("write one of them"));
        }
        KeyAlgorithm::Other(_) => {
            let detail = "must be either empty or one of rsa, ecdsa or ed25519";
            errors.push(invalid_value("spec.privateKey.algorithm", &algorithm, detail).hint("write `RSA`, `ECDSA` or `Ed25519`"));
        }
        KeyAlgorithm::Rsa | KeyAlgorithm::Ecdsa | KeyAlgorithm::Ed25519 => {}
    }
    let allowed: &[&str] = match algorithm {
        KeyAlgorithm::Rsa => &["SHA256WithRSA", "SHA384WithRSA", "SHA512WithRSA"],
        KeyAlgorithm::Ecdsa => &["ECDSAWithSHA256", "ECDSAWithSHA384", "ECDSAWithSHA512"],
        KeyAlgorithm::Ed25519 => &["PureEd25519"],
        KeyAlgorithm::Other(_) => return,
    };
    let stated = spec.signature_algorithm.as_ref().map_or("", SignatureAlgorithm::as_str);
    if !stated.is_empty() && !allowed.contains(&stated) {
        let detail = format!(
            "for key algorithm {algorithm} the allowed signature algorithms are {}",
            list(allowed.iter().copied())
        );
        let hint = "leave `signatureAlgorithm` out, or take one that the key can make";
        errors.push(invalid_value("spec.signatureAlgorithm", &stated, detail).hint(hint));
    }
}

fn secret_template(spec: &CertificateSpec, errors: &mut Vec<FieldError>) {
    let Some(template) = &spec.secret_template else { return };
    let field = "spec.secretTemplate.labels";
    for (key, value) in &template.labels {
        let hint = "label keys and values are letters, digits, `-`, `_` and `.`, at most 63, the key with a domain before a `/` if you like";
        errors.extend(
            object_names::label_key(key)
                .into_iter()
                .map(|fault| invalid(field, key, fault).hint(hint)),
        );
        errors.extend(
            object_names::label_value(value)
                .into_iter()
                .map(|fault| invalid(field, value, fault).hint(hint)),
        );
    }
    let field = "spec.secretTemplate.annotations";
    for key in template.annotations.keys() {
        if key.starts_with("cert-manager.io/") && key != "cert-manager.io/allow-direct-injection" {
            let hint = "take it out: the issuer writes these itself";
            errors.push(invalid(field, key, "cert-manager.io/* annotations are not allowed").hint(hint));
        }
    }
    for key in template.annotations.keys() {
        let hint = "annotation keys are letters, digits, `-`, `_` and `.`, at most 63, with a domain before a `/` if you like";
        errors.extend(
            object_names::label_key(&key.to_lowercase())
                .into_iter()
                .map(|fault| invalid(field, key, fault).hint(hint)),
        );
    }
    if object_names::too_many_bytes(&template.annotations) {
        errors.push(
            too_long(field, object_names::ANNOTATIONS_LIMIT).hint("annotations of one object have at most 256 KiB together"),
        );
    }
}

fn name_constraints(spec: &CertificateSpec, errors: &mut Vec<FieldError>) {
    let Some(constraints) = &spec.name_constraints else { return };
    let field = "spec.nameConstraints";
    let value = GoNameConstraints {
        critical: constraints.critical,
        permitted: constraints.permitted.as_ref().map(GoNameConstraintItem::from),
        excluded: constraints.excluded.as_ref().map(GoNameConstraintItem::from),
    };
    if !spec.is_ca {
        let hint = "write `isCA: true`, or take `nameConstraints` out: they say what a CA may sign";
        errors.push(invalid_value(field, &value, "isCa should be true when nameConstraints is set").hint(hint));
    }
    if value.permitted.is_none() && value.excluded.is_none() {
        let hint = "name domains below `permitted` or `excluded`";
        errors.push(invalid_value(field, &value, "either permitted or excluded must be set").hint(hint));
    }
}

fn keystores(spec: &CertificateSpec, errors: &mut Vec<FieldError>) {
    let keystores = spec.keystores.clone().unwrap_or_default();
    if let Some(store) = &keystores.jks {
        password(
            "spec.keystores.jks",
            "JKS",
            store.password.as_ref(),
            store.password_secret_ref.as_ref(),
            errors,
        );
    }
    if let Some(store) = &keystores.pkcs12 {
        password(
            "spec.keystores.pkcs12",
            "PKCS#12",
            store.password.as_ref(),
            store.password_secret_ref.as_ref(),
            errors,
        );
    }
}

fn password(
    field: &str,
    name: &str,
    password: Option<&Password>,
    reference: Option<&SecretKeySelector>,
    errors: &mut Vec<FieldError>,
) {
    let referred = reference.is_some_and(|reference| !reference.name.is_empty());
    if password.is_some() && referred {
        let detail =
            format!("exactly one of passwordSecretRef and password must be provided for {name} keystores; cannot set both");
        errors.push(forbidden(field, detail).hint("keep `passwordSecretRef` and take `password` out"));
    }
    if password.is_none() && !referred {
        let detail = format!("must set exactly one of passwordSecretRef and password must for {name} keystores");
        errors.push(forbidden(field, detail).hint("name the Secret and key that hold the password in `passwordSecretRef`"));
    }
    if password.is_some_and(|password| password.expose().is_empty()) {
        let detail = format!("literal password cannot be empty if set on {name} keystores");
        errors.push(
            forbidden(&format!("{field}.password"), detail).hint("write a password, or refer to one with `passwordSecretRef`"),
        );
    }
}

/// cert-manager's internal type as Go's JSON shows it: fields by their Go names, empty lists as null.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GoSubject<'a> {
    organizations: Option<&'a [String]>,
    countries: Option<&'a [String]>,
    organizational_units: Option<&'a [String]>,
    localities: Option<&'a [String]>,
    provinces: Option<&'a [String]>,
    street_addresses: Option<&'a [String]>,
    postal_codes: Option<&'a [String]>,
    serial_number: &'a str,
}

impl<'a> From<&'a Subject> for GoSubject<'a> {
    fn from(subject: &'a Subject) -> Self {
        Self {
            organizations: stated(&subject.organizations),
            countries: stated(&subject.countries),
            organizational_units: stated(&subject.organizational_units),
            localities: stated(&subject.localities),
            provinces: stated(&subject.provinces),
            street_addresses: stated(&subject.street_addresses),
            postal_codes: stated(&subject.postal_codes),
            serial_number: &subject.serial_number,
        }
    }
}

/// See [`GoSubject`].
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GoNameConstraints<'a> {
    critical: bool,
    permitted: Option<GoNameConstraintItem<'a>>,
    excluded: Option<GoNameConstraintItem<'a>>,
}

/// See [`GoSubject`].
#[derive(Serialize)]
struct GoNameConstraintItem<'a> {
    #[serde(rename = "DNSDomains")]
    dns_domains: Option<&'a [String]>,
    #[serde(rename = "IPRanges")]
    ip_ranges: Option<&'a [String]>,
    #[serde(rename = "EmailAddresses")]
    email_addresses: Option<&'a [String]>,
    #[serde(rename = "URIDomains")]
    uri_domains: Option<&'a [String]>,
}

impl<'a> From<&'a sealway_api::NameConstraintItem> for GoNameConstraintItem<'a> {
    fn from(item: &'a sealway_api::NameConstraintItem) -> Self {
        Self {
            dns_domains: stated(&item.dns_domains),
            ip_ranges: stated(&item.ip_ranges),
            email_addresses: stated(&item.email_addresses),
            uri_domains: stated(&item.uri_domains),
        }
    }
}

fn stated(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}
