//! A certificate's subject as text, as Go's `pkix.Name.String` writes it: nearly RFC 2253, the last attribute first.

use std::fmt::Write as _;

use der::asn1::Any;
use der::{Encode, Tag};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};

use super::StoreFault;

/// In the order of the text: name, object identifier.
const NAMES: [(&str, &str); 9] = [
    ("SERIALNUMBER", "2.5.4.5"),
    ("CN", "2.5.4.3"),
    ("OU", "2.5.4.11"),
    ("O", "2.5.4.10"),
    ("POSTALCODE", "2.5.4.17"),
    ("STREET", "2.5.4.9"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("C", "2.5.4.6"),
];
/// Of several serial numbers or common names Go knows only the last.
const SINGLE: [&str; 2] = ["SERIALNUMBER", "CN"];

/// The subject of a certificate (DER): `CN=name,O=one+O=two,C=DE`; trust-manager and cert-manager name entries of truststores by it.
pub fn subject_text(certificate: &[u8]) -> Result<String, StoreFault> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| StoreFault::Certificate)?;
    let attributes: Vec<(String, String)> = certificate
        .subject()
        .iter_attributes()
        .map(|attribute| (attribute.attr_type().to_id_string(), text(attribute)))
        .collect();
    let mut parts = Vec::new();
    for (name, identifier) in NAMES {
        let mut values: Vec<&str> = attributes
            .iter()
            .filter(|(kind, _)| kind == identifier)
            .map(|(_, value)| value.as_str())
            .collect();
        if SINGLE.contains(&name) {
            values = values.pop().into_iter().filter(|value| !value.is_empty()).collect();
        }
        let values: Vec<String> = values.iter().map(|value| format!("{name}={}", escaped(value))).collect();
        if !values.is_empty() {
            parts.push(values.join("+"));
        }
    }
    for (kind, value) in attributes.iter().rev() {
        if NAMES.iter().all(|(_, identifier)| kind != identifier) {
            parts.push(format!("{kind}=#{}", encoded(value)?));
        }
    }
    Ok(parts.join(","))
}

fn text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let value = attribute.attr_value();
    match value.tag() {
        x509_parser::der_parser::asn1_rs::Tag::BmpString => {
            let units: Vec<u16> = value
                .data
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            String::from_utf16_lossy(&units)
        }
        // In practice Latin-1.
        x509_parser::der_parser::asn1_rs::Tag::T61String => value.data.iter().map(|byte| char::from(*byte)).collect(),
        _ => String::from_utf8_lossy(value.data).into_owned(),
    }
}

fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for (position, character) in value.char_indices() {
        let special = match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => position == 0 || position + 1 == value.len(),
            '#' => position == 0,
            _ => false,
        };
        if special {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// An attribute that Go has no name for: hexadecimal DER of the value, as Go writes a string of its own.
fn encoded(value: &str) -> Result<String, StoreFault> {
    let printable = value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte));
    let tag = if printable { Tag::PrintableString } else { Tag::Utf8String };
    let der = Any::new(tag, value.as_bytes())?.to_der()?;
    Ok(der.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    }))
}
