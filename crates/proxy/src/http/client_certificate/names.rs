//! Who a certificate says that its holder is, as text that cannot leave its field.

use std::fmt::Write as _;

use rustls_pki_types::CertificateDer;
use x509_parser::asn1_rs::Any;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::http::rewrite::push_percent;

/// Names of a kind that are told; more are of no use to anyone.
const MOST_NAMES: usize = 32;
/// Longer subjects are left out: half a name may be somebody else's.
const LONGEST_SUBJECT: usize = 2048;

/// The names of a certificate; empty when it cannot be read.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// As RFC 4514 writes it.
    subject: Option<String>,
    /// Percent-encoded where a URI must be.
    uris: Vec<String>,
    dns: Vec<String>,
}

impl Names {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return Self::default();
        };
        let mut names = Self {
            subject: subject(certificate.subject()).filter(|subject| subject.len() <= LONGEST_SUBJECT),
            ..Self::default()
        };
        let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
            return names;
        };
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::URI(uri) if names.uris.len() < MOST_NAMES => names.uris.push(clean_uri(uri)),
                GeneralName::DNSName(name) if names.dns.len() < MOST_NAMES && is_dns_name(name) => {
                    names.dns.push((*name).to_owned())
                }
                _ => {}
            }
        }
        names
    }

    /// The fields that are made of them. `Subject` is there even when it is empty, as in Envoy.
    pub(super) fn xfcc_fields(&self) -> impl Iterator<Item = String> {
        let subject = self.subject.iter().map(|subject| format!("Subject=\"{subject}\""));
        let uris = self.uris.iter().map(|uri| match uri.contains([',', ';', '=']) {
            true => format!("URI=\"{uri}\""),
            false => format!("URI={uri}"),
        });
        let dns = self.dns.iter().map(|name| format!("DNS={name}"));
        subject.chain(uris).chain(dns)
    }

    pub(super) fn principal(&self) -> Option<String> {
        let subject = self.subject.as_ref().filter(|subject| !subject.is_empty());
        self.uris.first().or(self.dns.first()).or(subject).cloned()
    }
}

/// Text of a URI with everything that cannot stand in one encoded: no quote, backslash or control character is left.
fn clean_uri(uri: &str) -> String {
    let mut clean = String::with_capacity(uri.len());
    for byte in uri.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}') {
            clean.push(char::from(byte));
        } else {
            push_percent(&mut clean, byte);
        }
    }
    clean
}

fn is_dns_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*');
    !name.is_empty() && name.len() <= 253 && name.bytes().all(allowed)
}

/// A distinguished name, the most specific part first (RFC 4514); `None` when it cannot be read.
fn subject(name: &X509Name<'_>) -> Option<String> {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        for (position, attribute) in part.iter().enumerate() {
            match (text.is_empty(), position) {
                (true, _) => {}
                (false, 0) => text.push(','),
                (false, _) => text.push('+'),
            }
            push_attribute(&mut text, attribute)?;
            if text.len() > LONGEST_SUBJECT {
                return None;
            }
        }
    }
    Some(text)
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let identifier = attribute.attr_type().to_id_string();
    match short_name(&identifier) {
        Some(short) => {
            text.push_str(short);
            text.push('=');
            match string(attribute.attr_value()) {
                Some(value) => push_value(text, &value),
                None => push_hexadecimal(text, attribute.attr_value())?,
            }
        }
        None => {
            text.push_str(&identifier);
            text.push('=');
            push_hexadecimal(text, attribute.attr_value())?;
        }
    }
    Some(())
}

fn short_name(identifier: &str) -> Option<&'static str> {
    Some(match identifier {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// The text of a value of one of ASN.1's string types.
fn string(value: &Any<'_>) -> Option<String> {
    use x509_parser::asn1_rs::Tag;
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        // Latin-1 is what is written, whatever T.61 says.
        Tag::TeletexString => Some(value.data.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let units = value
                .data
                .chunks_exact(2)
                .map(|unit| unit.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)));
            let whole = value.data.len().is_multiple_of(2);
            char::decode_utf16(units)
                .collect::<Result<String, _>>()
                .ok()
                .filter(|_| whole)
        }
        _ => None,
    }
}

/// A value as RFC 4514 section 2.4 escapes it. Quotes, backslashes and semicolons are escaped in hexadecimal: the header's grammar has
/// its own opinion of `\"`, and a reader that splits at `;` must not find one.
fn push_value(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (position, byte) in value.bytes().enumerate() {
        let at_edge = position == 0 || position == last;
        match byte {
            b',' | b'+' | b'<' | b'>' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'#' if position == 0 => text.push_str("\\#"),
            b' ' if at_edge => text.push_str("\\20"),
            b'"' | b'\\' | b';' => push_escape(text, byte),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => push_escape(text, byte),
        }
    }
}

fn push_escape(text: &mut String, byte: u8) {
    // A String takes everything.
    let _ = write!(text, "\\{byte:02X}");
}

/// `#` and the DER of a value that has no text.
fn push_hexadecimal(text: &mut String, value: &Any<'_>) -> Option<()> {
    use x509_parser::asn1_rs::ToDer;
    let der = value.to_der_vec().ok()?;
    if der.len() > LONGEST_SUBJECT {
        return None;
    }
    text.push('#');
    for byte in der {
        let _ = write!(text, "{byte:02X}");
    }
    Some(())
}
