//! The subject of a certificate, by its parts or as RFC 4514 text, as cert-manager writes it.
//!
//! Input: a CertificateSpec, or DER of a Name. Output: DER of a Name, or its parts. Invariant: for every text that cert-manager takes,
//! the bytes are those that Go's encoding/asn1 makes of it.

use der::asn1::Any;
use der::{Encode, Tag};
use sealway_api::CertificateSpec;
use x509_parser::prelude::{FromDer, X509Name};

use crate::request::RequestFault;

mod literal;

pub use literal::{Attribute, literal_subject};

const COMMON_NAME: &str = "2.5.4.3";
const SERIAL_NUMBER: &str = "2.5.4.5";
const COUNTRY: &str = "2.5.4.6";
const LOCALITY: &str = "2.5.4.7";
const PROVINCE: &str = "2.5.4.8";
const STREET_ADDRESS: &str = "2.5.4.9";
const ORGANIZATION: &str = "2.5.4.10";
const ORGANIZATIONAL_UNIT: &str = "2.5.4.11";
const POSTAL_CODE: &str = "2.5.4.17";

/// The parts of a subject that cert-manager looks at: the attributes of Go's `pkix.Name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectParts {
    /// CN; of several, the last.
    pub common_name: String,
    /// SERIALNUMBER; of several, the last.
    pub serial_number: String,
    /// O.
    pub organizations: Vec<String>,
    /// C.
    pub countries: Vec<String>,
    /// OU.
    pub organizational_units: Vec<String>,
    /// L.
    pub localities: Vec<String>,
    /// ST.
    pub provinces: Vec<String>,
    /// STREET.
    pub street_addresses: Vec<String>,
    /// POSTALCODE.
    pub postal_codes: Vec<String>,
}

impl SubjectParts {
    /// Parts of a Name (DER). What is no text, or cannot be read, is left out.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        X509Name::from_der(name).map_or_else(|_| Self::default(), |(_, name)| Self::of_name(&name))
    }

    pub(crate) fn of_name(name: &X509Name<'_>) -> Self {
        let mut parts = Self::default();
        for attribute in name.iter_attributes() {
            let Ok(value) = attribute.as_str().map(str::to_owned) else {
                continue;
            };
            match attribute.attr_type().to_id_string().as_str() {
                COMMON_NAME => parts.common_name = value,
                SERIAL_NUMBER => parts.serial_number = value,
                COUNTRY => parts.countries.push(value),
                LOCALITY => parts.localities.push(value),
                PROVINCE => parts.provinces.push(value),
                STREET_ADDRESS => parts.street_addresses.push(value),
                ORGANIZATION => parts.organizations.push(value),
                ORGANIZATIONAL_UNIT => parts.organizational_units.push(value),
                POSTAL_CODE => parts.postal_codes.push(value),
                _ => {}
            }
        }
        parts
    }
}

/// DER of the subject that the spec asks for: `literalSubject` when there is one, else `subject` and `commonName`.
pub fn subject(spec: &CertificateSpec) -> Result<Vec<u8>, RequestFault> {
    let names = if spec.literal_subject.is_empty() {
        stated_subject(spec)
    } else {
        literal_subject(&spec.literal_subject).map_err(RequestFault::LiteralSubject)?
    };
    let mut content = Vec::new();
    for attributes in names {
        content.extend(relative_name(attributes)?);
    }
    element(Tag::Sequence, content)
}

/// The first common name, as cert-manager looks for it.
pub(crate) fn common_name(spec: &CertificateSpec) -> Result<String, RequestFault> {
    if spec.literal_subject.is_empty() {
        return Ok(spec.common_name.clone());
    }
    let names = literal_subject(&spec.literal_subject).map_err(RequestFault::LiteralSubject)?;
    let first = names
        .into_iter()
        .flatten()
        .find(|attribute| attribute.kind.as_deref() == Some(COMMON_NAME));
    Ok(first.map_or_else(String::new, |attribute| {
        String::from_utf8_lossy(&attribute.value).into_owned()
    }))
}

/// In the order of Go's `pkix.Name.ToRDNSequence`: all values of a kind make one relative name.
fn stated_subject(spec: &CertificateSpec) -> Vec<Vec<Attribute>> {
    let stated = spec.subject.clone().unwrap_or_default();
    let single = |value: &str| {
        if value.is_empty() {
            Vec::new()
        } else {
            vec![value.to_owned()]
        }
    };
    [
        (COUNTRY, stated.countries),
        (PROVINCE, stated.provinces),
        (LOCALITY, stated.localities),
        (STREET_ADDRESS, stated.street_addresses),
        (POSTAL_CODE, stated.postal_codes),
        (ORGANIZATION, stated.organizations),
        (ORGANIZATIONAL_UNIT, stated.organizational_units),
        (COMMON_NAME, single(&spec.common_name)),
        (SERIAL_NUMBER, single(&stated.serial_number)),
    ]
    .into_iter()
    .filter(|(_, values)| !values.is_empty())
    .map(|(kind, values)| {
        let attribute = |value: String| Attribute {
            kind: Some(kind.to_owned()),
            value: value.into_bytes(),
        };
        values.into_iter().map(attribute).collect()
    })
    .collect()
}

/// A SET, in DER's order; like Go's, it may hold the same attribute twice.
fn relative_name(attributes: Vec<Attribute>) -> Result<Vec<u8>, RequestFault> {
    let mut encoded = attributes.into_iter().map(encode).collect::<Result<Vec<_>, _>>()?;
    encoded.sort();
    element(Tag::Set, encoded.concat())
}

fn encode(attribute: Attribute) -> Result<Vec<u8>, RequestFault> {
    let kind = attribute.kind.as_deref().and_then(object_identifier);
    let kind = kind.ok_or_else(|| RequestFault::AttributeKind(String::from_utf8_lossy(&attribute.value).into_owned()))?;
    let value = String::from_utf8(attribute.value).map_err(|_| RequestFault::SubjectText)?;
    let tag = if value.bytes().all(is_printable) {
        Tag::PrintableString
    } else {
        Tag::Utf8String
    };
    let mut content = element(Tag::ObjectIdentifier, kind)?;
    content.extend(element(tag, value.into_bytes())?);
    element(Tag::Sequence, content)
}

/// X.680's PrintableString, to the letter.
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// Content of an OBJECT IDENTIFIER. As with Go's reader, no arc is above 2^31-1.
pub(crate) fn object_identifier(text: &str) -> Option<Vec<u8>> {
    const LARGEST: u64 = i32::MAX as u64;
    let arcs = text
        .split('.')
        .map(|arc| arc.parse::<u64>().ok().filter(|arc| *arc <= LARGEST))
        .collect::<Option<Vec<_>>>()?;
    let (first, second, rest) = match arcs.as_slice() {
        [first @ 0..=1, second @ 0..=39, rest @ ..] | [first @ 2, second, rest @ ..] => (*first, *second, rest),
        _ => return None,
    };
    let joined = Some(first * 40 + second).filter(|joined| *joined <= LARGEST)?;
    let mut content = Vec::new();
    for arc in std::iter::once(&joined).chain(rest) {
        let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group == 0 { 0 } else { 0x80 };
            content.push((arc >> (7 * group) & 0x7f) as u8 | more);
        }
    }
    Some(content)
}

fn element(tag: Tag, content: Vec<u8>) -> Result<Vec<u8>, RequestFault> {
    Any::new(tag, content)
        .and_then(|element| element.to_der())
        .map_err(|_| RequestFault::TooLarge)
}

#[cfg(test)]
mod tests;
