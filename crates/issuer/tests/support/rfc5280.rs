//! What RFC 5280 asks of a certificate, as far as its DER shows it.
//!
//! Input: DER of a certificate. Output: a line for each rule that it breaks.

use std::collections::BTreeSet;

use der::asn1::AnyRef;
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

const KEY_USAGE: &str = "2.5.29.15";
const SUBJECT_ALTERNATIVE_NAME: &str = "2.5.29.17";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";

/// Contents of object identifiers.
const COUNTRY: &[u8] = &[0x55, 4, 6];
const SERIAL_NUMBER: &[u8] = &[0x55, 4, 5];
const DOMAIN_COMPONENT: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 0x19];

/// The rules that it breaks; empty for a good certificate.
pub(crate) fn violations(der: &[u8]) -> BTreeSet<&'static str> {
    let mut broken = BTreeSet::new();
    let mut check = |holds: bool, rule: &'static str| {
        if !holds {
            broken.insert(rule);
        }
    };
    let Ok((rest, certificate)) = X509Certificate::from_der(der) else {
        return ["it is no certificate"].into();
    };
    let fields = tbs_fields(certificate.tbs_certificate.as_ref());
    check(rest.is_empty(), "4.1: nothing comes after it");
    check(
        AnyRef::from_der(der).is_ok_and(|whole| whole.to_der().is_ok_and(|again| again == der)),
        "4.1: it is DER",
    );
    check(certificate.version().0 == 2, "4.1.2.1: it is of version 3");
    check(
        certificate.signature_algorithm == certificate.tbs_certificate.signature,
        "4.1.1.2: both algorithms are the same",
    );

    let serial = certificate.raw_serial();
    check(
        serial.iter().any(|byte| *byte != 0) && serial[0] < 0x80,
        "4.1.2.2: the serial number is positive",
    );
    check(serial.len() <= 20, "4.1.2.2: the serial number has at most 20 octets");
    check(
        serial.len() == 1 || serial[0] != 0 || serial[1] >= 0x80,
        "4.1.2.2: the serial number is as short as can be",
    );

    let validity = certificate.validity();
    check(
        validity.not_before <= validity.not_after,
        "4.1.2.5: it does not end before it begins",
    );
    for time in elements(fields[4].value()) {
        // The first digits of a GeneralizedTime are its century.
        let fits = match time.tag() {
            Tag::UtcTime => time.value().len() == 13,
            Tag::GeneralizedTime => time.value().len() == 15 && time.value() >= b"2050".as_slice(),
            _ => false,
        };
        check(
            fits && time.value().ends_with(b"Z"),
            "4.1.2.5: UTCTime up to 2049, GeneralizedTime after, to the second",
        );
    }

    let (issuer, subject) = (fields[3], fields[5]);
    check(!issuer.value().is_empty(), "4.1.2.4: the issuer has a name");
    for name in [issuer, subject] {
        for relative in elements(name.value()) {
            let encoded: Vec<_> = elements(relative.value())
                .iter()
                .map(|attribute| attribute.to_der().unwrap())
                .collect();
            check(
                relative.tag() == Tag::Set && !encoded.is_empty(),
                "4.1.2.4: a relative name has attributes",
            );
            check(encoded.is_sorted(), "4.1.2.4: attributes of a relative name are sorted");
            check(
                encoded.windows(2).all(|pair| pair[0] != pair[1]),
                "4.1.2.4: attributes of a relative name differ",
            );
            for attribute in elements(relative.value()) {
                check_attribute(attribute, &mut check);
            }
        }
    }

    let extensions = certificate.extensions();
    let critical: Vec<_> = extensions
        .iter()
        .map(|extension| (extension.oid.to_id_string(), extension.critical))
        .collect();
    let identifiers: BTreeSet<_> = critical.iter().map(|(identifier, _)| identifier).collect();
    check(identifiers.len() == extensions.len(), "4.2: no extension stands there twice");
    let is_critical = |identifier: &str| {
        critical
            .iter()
            .find(|(other, _)| other == identifier)
            .map(|(_, critical)| *critical)
    };
    check(is_critical(KEY_USAGE) != Some(false), "4.2.1.3: key usage is critical");
    check(
        is_critical(SUBJECT_ALTERNATIVE_NAME) != Some(true) || subject.value().is_empty(),
        "4.2.1.6: beside a subject, the SAN is not critical",
    );
    if subject.value().is_empty() {
        check(
            is_critical(SUBJECT_ALTERNATIVE_NAME) == Some(true),
            "4.1.2.6: without a subject, there is a critical SAN",
        );
    }
    for (identifier, critical) in &critical {
        let never = ["2.5.29.14", "2.5.29.35", "1.3.6.1.5.5.7.1.1", "2.5.29.31"].contains(&identifier.as_str());
        check(
            !(never && *critical),
            "4.2: key identifiers, information access and distribution points are not critical",
        );
    }

    let is_ca = certificate.is_ca();
    let usage = certificate.key_usage().unwrap().map(|usage| usage.value);
    check(
        !is_ca || is_critical(BASIC_CONSTRAINTS) == Some(true),
        "4.2.1.9: a CA's basic constraints are critical",
    );
    check(
        !is_ca || usage.is_some_and(|usage| usage.key_cert_sign()),
        "4.2.1.3: a CA has keyCertSign",
    );
    check(
        is_ca || !usage.is_some_and(|usage| usage.key_cert_sign()),
        "4.2.1.9: keyCertSign is for CAs",
    );
    check(!is_ca || !subject.value().is_empty(), "4.1.2.6: a CA has a subject");
    let has = |identifier: &str| is_critical(identifier).is_some();
    check(!is_ca || has("2.5.29.14"), "4.2.1.2: a CA has a subject key identifier");
    check(
        certificate.subject().as_raw() == certificate.issuer().as_raw() || has("2.5.29.35"),
        "4.2.1.1: who is not self-signed has an authority key identifier",
    );
    check(is_ca || !has("2.5.29.30"), "4.2.1.10: name constraints are for CAs");
    if let Some(usage) = usage {
        let agreement = usage.key_agreement() || !(usage.encipher_only() || usage.decipher_only());
        check(agreement, "4.2.1.3: encipherOnly and decipherOnly go with keyAgreement");
    }
    for extension in extensions {
        check_extension(extension.value, extension.parsed_extension(), is_ca, &mut check);
    }
    broken
}

fn check_attribute(attribute: AnyRef<'_>, check: &mut impl FnMut(bool, &'static str)) {
    let parts = elements(attribute.value());
    let [kind, value] = parts.as_slice() else {
        check(false, "4.1.2.4: an attribute has a type and a value");
        return;
    };
    let kind = kind.value();
    let text = value.value();
    let fits = match value.tag() {
        Tag::PrintableString => text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(byte)),
        Tag::Utf8String => std::str::from_utf8(text).is_ok(),
        _ => false,
    };
    check(
        fits,
        "4.1.2.4: attributes are PrintableString or UTF8String, with what these may hold",
    );
    check(!text.is_empty(), "A.1: attributes are not empty");
    let printable = [COUNTRY, SERIAL_NUMBER].contains(&kind);
    check(
        !printable || value.tag() == Tag::PrintableString,
        "A.1: countries and serial numbers are PrintableString",
    );
    check(kind != COUNTRY || text.len() == 2, "A.1: countries have two letters");
    check(kind != DOMAIN_COMPONENT, "A.1: domain components are IA5String");
}

fn check_extension(value: &[u8], parsed: &ParsedExtension<'_>, is_ca: bool, check: &mut impl FnMut(bool, &'static str)) {
    match parsed {
        ParsedExtension::BasicConstraints(constraints) => {
            check(
                is_ca || constraints.path_len_constraint.is_none(),
                "4.2.1.9: a path length is for CAs",
            );
        }
        ParsedExtension::KeyUsage(usage) => {
            check(usage.flags != 0, "4.2.1.3: a key usage is not empty");
            // Tag, length, unused bits, bits: the last used bit is set.
            let (unused, last) = (value[2], value[value.len() - 1]);
            check(
                last >> unused & 1 == 1 && last & ((1_u16 << unused) - 1) as u8 == 0,
                "X.690: no trailing zero bits",
            );
        }
        ParsedExtension::ExtendedKeyUsage(_) => check(
            !elements(AnyRef::from_der(value).unwrap().value()).is_empty(),
            "4.2.1.12: it is not empty",
        ),
        ParsedExtension::SubjectKeyIdentifier(identifier) => check(identifier.0.len() == 20, "4.2.1.2: 160 bits"),
        ParsedExtension::AuthorityKeyIdentifier(identifier) => {
            check(identifier.key_identifier.is_some(), "4.2.1.1: it has a key identifier")
        }
        ParsedExtension::SubjectAlternativeName(names) => {
            check(!names.general_names.is_empty(), "4.2.1.6: the SAN is not empty");
            for name in &names.general_names {
                check(
                    name_fits(name),
                    "4.2.1.6: names are ASCII and not empty, addresses of 4 or 16 octets",
                );
            }
        }
        ParsedExtension::NameConstraints(constraints) => {
            let trees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
            check(
                trees.iter().any(|list| list.is_some()),
                "4.2.1.10: name constraints are not empty",
            );
            check(
                trees.into_iter().flatten().all(|list| !list.is_empty()),
                "4.2.1.10: no list of them is empty",
            );
        }
        ParsedExtension::AuthorityInfoAccess(access) => check(!access.accessdescs.is_empty(), "4.2.2.1: it is not empty"),
        ParsedExtension::CRLDistributionPoints(points) => {
            let named = |point: &x509_parser::extensions::CRLDistributionPoint<'_>| {
                matches!(point.distribution_point, Some(DistributionPointName::FullName(_)))
            };
            check(
                !points.points.is_empty() && points.points.iter().all(named),
                "4.2.1.13: distribution points have names",
            );
        }
        _ => check(false, "4.2: every extension is known"),
    }
}

fn name_fits(name: &GeneralName<'_>) -> bool {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            text.is_ascii() && !text.is_empty()
        }
        GeneralName::IPAddress(octets) => matches!(octets.len(), 4 | 16),
        GeneralName::OtherName(..) => true,
        _ => false,
    }
}

/// Version, serial, algorithm, issuer, validity, subject and so on.
fn tbs_fields(tbs: &[u8]) -> Vec<AnyRef<'_>> {
    elements(AnyRef::from_der(tbs).unwrap().value())
}

fn elements(mut content: &[u8]) -> Vec<AnyRef<'_>> {
    let mut found = Vec::new();
    while !content.is_empty() {
        let mut reader = SliceReader::new(content).unwrap();
        let Ok(element) = AnyRef::decode(&mut reader) else { break };
        found.push(element);
        let read = usize::try_from(reader.position()).unwrap();
        content = &content[read..];
    }
    found
}
