//! What a Certificate asks for, with every default filled in.
//!
//! It stands in the place of cert-manager's CertificateRequest: it is kept with the Secret, and an issued certificate is out of date
//! when its request differs from the one that the Certificate comes to now.

use std::net::IpAddr;
use std::time::Duration;

use sealway_api::{CertificateSpec, KeyAlgorithm, KeyEncoding, KeyUsage, NameConstraints, SignatureAlgorithm};
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::subject::{SubjectParts, common_name, object_identifier, subject};
use crate::usages::unknown_usages;

mod duration;
mod fault;
mod names;

pub use duration::go_duration;
pub use fault::RequestFault;
pub(crate) use names::ip_range;

/// cert-manager's default: 2160h.
const DEFAULT_DURATION: Duration = Duration::from_secs(90 * 24 * 3600);

/// What a certificate is to be, with every default filled in: what cert-manager would keep as a CertificateRequest. Two that are equal
/// need no new certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// The subject: DER of a Name (RFC 5280 section 4.1.2.6).
    pub subject: Vec<u8>,
    /// Whether it was written as `literalSubject`: then it is compared as a whole.
    pub literal_subject: bool,
    /// SAN: DNS names, in the order of the manifest, as cert-manager has them.
    pub dns_names: Vec<String>,
    /// SAN.
    pub ip_addresses: Vec<String>,
    /// SAN.
    pub uris: Vec<String>,
    /// SAN.
    pub email_addresses: Vec<String>,
    /// SAN: object identifier and UTF-8 value.
    pub other_names: Vec<(String, String)>,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// Usages as written; empty: digital signature and key encipherment. cert-manager compares them as written.
    pub usages: Vec<KeyUsage>,
    /// Whether the request carries them.
    pub encode_usages: bool,
    /// In seconds.
    pub duration: u64,
    /// Whether the manifest says how long; cert-manager compares durations only when both requests state one.
    pub duration_stated: bool,
    /// The key's algorithm; `None` only in a default value.
    pub key_algorithm: Option<KeyAlgorithm>,
    /// In bits; 0 for Ed25519.
    pub key_size: u32,
    /// How the key is written.
    pub key_encoding: Option<KeyEncoding>,
    /// Signature algorithm of the request, when stated.
    pub signature_algorithm: Option<SignatureAlgorithm>,
    /// For CAs.
    pub name_constraints: Option<StoredConstraints>,
    /// Name, kind, group of the issuer, as written: cert-manager copies them so into the Secret's annotations.
    pub issuer: (String, String, String),
}

/// Name constraints in a [`Request`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoredConstraints {
    /// See [`NameConstraints::critical`].
    pub critical: bool,
    /// DNS domains, IP ranges, email addresses, URI domains that are permitted.
    pub permitted: [Vec<String>; 4],
    /// Those that are not.
    pub excluded: [Vec<String>; 4],
}

impl From<&NameConstraints> for StoredConstraints {
    fn from(constraints: &NameConstraints) -> Self {
        let lists = |item: &Option<sealway_api::NameConstraintItem>| {
            let item = item.clone().unwrap_or_default();
            [item.dns_domains, item.ip_ranges, item.email_addresses, item.uri_domains]
        };
        Self {
            critical: constraints.critical,
            permitted: lists(&constraints.permitted),
            excluded: lists(&constraints.excluded),
        }
    }
}

impl Request {
    /// Whether a certificate has the subject and the names that are asked for, and is a CA or none as asked: what there is to go by when it
    /// is not known what it was issued for.
    pub(crate) fn fits(&self, facts: &Facts) -> bool {
        let addresses: Vec<Option<IpAddr>> = self.ip_addresses.iter().map(|text| text.parse().ok()).collect();
        let found: Vec<Option<IpAddr>> = facts.ip_addresses.iter().copied().map(Some).collect();
        self.subject == facts.subject_der
            && self.is_ca == facts.is_ca
            && self.dns_names == facts.dns_names
            && addresses == found
            && self.uris == facts.uris
            && self.email_addresses == facts.email_addresses
    }

    /// What a Certificate asks for; faults come in the order in which cert-manager finds them.
    pub fn of(spec: &CertificateSpec) -> Result<Self, RequestFault> {
        let common_name = common_name(spec)?;
        let ip_addresses = spec
            .ip_addresses
            .iter()
            .map(|text| names::ip_address(text))
            .collect::<Result<Vec<_>, _>>()?;
        let other_names = other_names(spec)?;
        if common_name.is_empty()
            && ip_addresses.is_empty()
            && other_names.is_empty()
            && spec.dns_names.is_empty()
            && spec.uris.is_empty()
            && spec.email_addresses.is_empty()
        {
            return Err(RequestFault::NoName);
        }
        let key = spec.private_key.clone().unwrap_or_default();
        let key_algorithm = key.algorithm.unwrap_or(KeyAlgorithm::Rsa);
        let key_size = key_size(&key_algorithm, key.size)?;
        check_signature_algorithm(&key_algorithm, spec.signature_algorithm.as_ref())?;
        let key_encoding = match key.encoding {
            None => KeyEncoding::Pkcs1,
            Some(KeyEncoding::Other(text)) => return Err(RequestFault::KeyEncoding(text)),
            Some(encoding) => encoding,
        };
        let subject = subject(spec)?;
        for text in spec.dns_names.iter().chain(&spec.email_addresses) {
            names::check_ascii(text)?;
        }
        spec.uris.iter().try_for_each(|text| names::check_uri(text))?;
        let unknown = unknown_usages(&spec.usages);
        if !unknown.is_empty() {
            return Err(RequestFault::Usages(unknown));
        }
        let name_constraints = spec
            .name_constraints
            .as_ref()
            .map(StoredConstraints::from)
            .filter(|stored| !stored.is_empty());
        name_constraints.iter().try_for_each(names::check_constraints)?;
        let stated = spec.duration.as_deref();
        let duration = match stated {
            Some(text) => go_duration(text).ok_or_else(|| RequestFault::Duration(text.to_owned()))?,
            None => DEFAULT_DURATION,
        };
        Ok(Self {
            subject,
            literal_subject: !spec.literal_subject.is_empty(),
            dns_names: spec.dns_names.clone(),
            ip_addresses: ip_addresses.iter().map(IpAddr::to_string).collect(),
            uris: spec.uris.clone(),
            email_addresses: spec.email_addresses.clone(),
            other_names,
            is_ca: spec.is_ca,
            usages: spec.usages.clone(),
            encode_usages: spec.encode_usages_in_request.unwrap_or(true),
            duration: duration.as_secs(),
            duration_stated: stated.is_some(),
            key_algorithm: Some(key_algorithm),
            key_size,
            key_encoding: Some(key_encoding),
            signature_algorithm: spec.signature_algorithm.clone(),
            name_constraints,
            issuer: (
                spec.issuer_ref.name.clone(),
                spec.issuer_ref.kind.clone().unwrap_or_default(),
                spec.issuer_ref.group.clone().unwrap_or_default(),
            ),
        })
    }

    /// Fields of the Certificate in which `wanted` (what the Certificate asks for now) differs from this request (what was issued), named
    /// and ordered as in cert-manager's `RequestMatchesSpec`.
    ///
    /// Like that function, it looks at neither the key (see [`crate::PrivateKey::mismatches`]), name constraints nor signature algorithm,
    /// does not see that the last of the other names has gone, and compares durations only when both are stated.
    #[must_use]
    pub fn differences(&self, wanted: &Self) -> Vec<&'static str> {
        let (mine, theirs) = (SubjectParts::of(&self.subject), SubjectParts::of(&wanted.subject));
        let by_parts = !wanted.literal_subject;
        [
            (same(&self.ip_addresses, &wanted.ip_addresses), "spec.ipAddresses"),
            (same(&self.uris, &wanted.uris), "spec.uris"),
            (same(&self.email_addresses, &wanted.email_addresses), "spec.emailAddresses"),
            (same(&self.dns_names, &wanted.dns_names), "spec.dnsNames"),
            (
                wanted.other_names.is_empty() || same(&self.other_names, &wanted.other_names),
                "spec.otherNames",
            ),
            (!by_parts || mine.common_name == theirs.common_name, "spec.commonName"),
            (
                !by_parts || mine.serial_number == theirs.serial_number,
                "spec.subject.serialNumber",
            ),
            (
                !by_parts || same(&mine.organizations, &theirs.organizations),
                "spec.subject.organizations",
            ),
            (
                !by_parts || same(&mine.countries, &theirs.countries),
                "spec.subject.countries",
            ),
            (
                !by_parts || same(&mine.localities, &theirs.localities),
                "spec.subject.localities",
            ),
            (
                !by_parts || same(&mine.organizational_units, &theirs.organizational_units),
                "spec.subject.organizationalUnits",
            ),
            (
                !by_parts || same(&mine.postal_codes, &theirs.postal_codes),
                "spec.subject.postCodes",
            ),
            (
                !by_parts || same(&mine.provinces, &theirs.provinces),
                "spec.subject.provinces",
            ),
            (
                !by_parts || same(&mine.street_addresses, &theirs.street_addresses),
                "spec.subject.streetAddresses",
            ),
            (by_parts || self.subject == wanted.subject, "spec.literalSubject"),
            (self.is_ca == wanted.is_ca, "spec.isCA"),
            (same(&self.usages, &wanted.usages), "spec.usages"),
            (
                !(self.duration_stated && wanted.duration_stated) || self.duration == wanted.duration,
                "spec.duration",
            ),
            (self.whole_issuer() == wanted.whole_issuer(), "spec.issuerRef"),
        ]
        .into_iter()
        .filter_map(|(same, field)| (!same).then_some(field))
        .collect()
    }

    /// Name, kind, group of the issuer, with the defaults of the latter two.
    fn whole_issuer(&self) -> [&str; 3] {
        let (name, kind, group) = &self.issuer;
        [name, or(kind, "Issuer"), or(group, "cert-manager.io")]
    }
}

impl StoredConstraints {
    fn is_empty(&self) -> bool {
        self.permitted.iter().chain(&self.excluded).all(Vec::is_empty)
    }
}

/// Whether both hold the same, in whatever order.
fn same<T: Ord>(left: &[T], right: &[T]) -> bool {
    let (mut left, mut right): (Vec<_>, Vec<_>) = (left.iter().collect(), right.iter().collect());
    left.sort();
    right.sort();
    left == right
}

fn or<'a>(stated: &'a str, default: &'a str) -> &'a str {
    if stated.is_empty() { default } else { stated }
}

fn other_names(spec: &CertificateSpec) -> Result<Vec<(String, String)>, RequestFault> {
    let checked = |name: &sealway_api::OtherName| {
        if object_identifier(&name.oid).is_none() {
            return Err(RequestFault::OtherNameKind(name.oid.clone()));
        }
        if name.utf8_value.is_empty() {
            return Err(RequestFault::OtherNameEmpty);
        }
        Ok((name.oid.clone(), name.utf8_value.clone()))
    };
    spec.other_names.iter().map(checked).collect()
}

fn key_size(algorithm: &KeyAlgorithm, stated: i32) -> Result<u32, RequestFault> {
    match (algorithm, stated) {
        (KeyAlgorithm::Rsa, 0) => Ok(2048),
        (KeyAlgorithm::Rsa, 2048..=8192) | (KeyAlgorithm::Ecdsa, 256 | 384 | 521) => Ok(stated.unsigned_abs()),
        (KeyAlgorithm::Rsa, _) => Err(RequestFault::RsaSize(stated)),
        (KeyAlgorithm::Ecdsa, 0) => Ok(256),
        (KeyAlgorithm::Ecdsa, _) => Err(RequestFault::EcdsaSize(stated)),
        (KeyAlgorithm::Ed25519, _) => Ok(0),
        (KeyAlgorithm::Other(text), _) => Err(RequestFault::KeyAlgorithm(text.clone())),
    }
}

/// The signature algorithm is that of the certificate request, which we never make; but one that does not fit the key is refused there.
fn check_signature_algorithm(key: &KeyAlgorithm, stated: Option<&SignatureAlgorithm>) -> Result<(), RequestFault> {
    use SignatureAlgorithm as Signature;
    let fits = match stated {
        None => true,
        Some(Signature::Sha256WithRsa | Signature::Sha384WithRsa | Signature::Sha512WithRsa) => *key == KeyAlgorithm::Rsa,
        Some(Signature::EcdsaWithSha256 | Signature::EcdsaWithSha384 | Signature::EcdsaWithSha512) => *key == KeyAlgorithm::Ecdsa,
        Some(Signature::PureEd25519) => *key == KeyAlgorithm::Ed25519,
        Some(Signature::Other(text)) => return Err(RequestFault::SignatureAlgorithm(text.clone())),
    };
    if fits { Ok(()) } else { Err(RequestFault::SignatureMismatch) }
}

#[cfg(test)]
mod tests;
