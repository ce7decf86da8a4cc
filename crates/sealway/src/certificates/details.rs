//! One certificate in full, for people and scripts.
//!
//! Input: DER. Output: [`Details`]. Invariant: total; an extension that cannot be read is left out, the certificate is shown all the same.

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sealway_api::Timestamp;
use sealway_issuer::{hexadecimal, serial_digits};
use serde::{Deserialize, Serialize};
use x509_parser::extensions::{DistributionPointName, ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::text::{NameConstraints, kind_and_name, printable, timestamp};

/// What stands in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Details {
    pub(crate) subject: String,
    /// Who has signed it, by subject.
    pub(crate) signed_by: String,
    /// Hexadecimal, two digits for each byte, no leading zero bytes.
    pub(crate) serial: String,
    /// Of the DER.
    pub(crate) sha256: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// As `RSA 2048`, `ECDSA P-256`, `Ed25519`.
    pub(crate) key: String,
    /// As cert-manager spells them in `spec.signatureAlgorithm`.
    pub(crate) signature: String,
    #[serde(rename = "isCA")]
    pub(crate) is_ca: bool,
    pub(crate) path_length: Option<u32>,
    /// Key usages and extended key usages, as cert-manager spells them.
    pub(crate) usages: Vec<String>,
    /// Subject alternative names, each as `KIND VALUE`.
    pub(crate) names: Vec<String>,
    pub(crate) name_constraints: Option<NameConstraints>,
    pub(crate) subject_key_id: Option<String>,
    pub(crate) authority_key_id: Option<String>,
    pub(crate) crl_distribution_points: Vec<String>,
    pub(crate) ocsp_servers: Vec<String>,
    pub(crate) issuing_certificates: Vec<String>,
}

impl Details {
    /// Reads a certificate (DER); `None` when it is none.
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut details = Self {
            subject: printable(&certificate.subject().to_string()),
            signed_by: printable(&certificate.issuer().to_string()),
            serial: serial_digits(certificate.raw_serial()),
            sha256: hexadecimal(digest::digest(&digest::SHA256, der).as_ref()),
            not_before: timestamp(certificate.validity().not_before),
            not_after: timestamp(certificate.validity().not_after),
            key: key(&certificate),
            signature: signature(&certificate.signature_algorithm.algorithm.to_id_string()),
            ..Self::default()
        };
        for extension in certificate.extensions() {
            details.take(extension.parsed_extension());
        }
        Some(details)
    }

    fn take(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::BasicConstraints(constraints) => {
                self.is_ca = constraints.ca;
                self.path_length = constraints.path_len_constraint;
            }
            ParsedExtension::KeyUsage(usage) => self.usages.extend(key_usages(usage)),
            ParsedExtension::ExtendedKeyUsage(usage) => self.usages.extend(extended_usages(usage)),
            ParsedExtension::SubjectAlternativeName(names) => {
                let names = names.general_names.iter();
                self.names.extend(names.map(|name| printable(&kind_and_name(name))));
            }
            ParsedExtension::NameConstraints(constraints) => self.name_constraints = Some(NameConstraints::of(constraints)),
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(hexadecimal(id.0)),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = id.key_identifier.as_ref().map(|id| hexadecimal(id.0));
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                let names = points.iter().filter_map(|point| match &point.distribution_point {
                    Some(DistributionPointName::FullName(names)) => Some(names),
                    _ => None,
                });
                self.crl_distribution_points.extend(names.flatten().filter_map(url));
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                for description in &access.accessdescs {
                    let list = match description.access_method.to_id_string().as_str() {
                        "1.3.6.1.5.5.7.48.1" => &mut self.ocsp_servers,
                        "1.3.6.1.5.5.7.48.2" => &mut self.issuing_certificates,
                        _ => continue,
                    };
                    list.extend(url(&description.access_location));
                }
            }
            _ => {}
        }
    }

    /// Names without their kinds.
    pub(super) fn plain_names(&self) -> Vec<String> {
        let names = self.names.iter();
        names
            .map(|name| name.split_once(' ').map_or(name.as_str(), |(_, value)| value).to_owned())
            .collect()
    }
}

/// Every certificate of a PEM text, in its order. What is none is passed over: keys, parameters, broken blocks.
pub(crate) fn chain(pem: &[u8]) -> Vec<Details> {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .take(MOST)
        .filter_map(|der| Details::of(&der))
        .collect()
}

fn url(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(url) => Some(printable(url)),
        _ => None,
    }
}

fn key(certificate: &X509Certificate<'_>) -> String {
    let info = certificate.public_key();
    let algorithm = info.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        "1.2.840.113549.1.1.1" => match info.parsed() {
            // The library counts the leading zero byte of the modulus.
            Ok(PublicKey::RSA(key)) => format!("RSA {}", significant_bits(key.modulus)),
            _ => "RSA".to_owned(),
        },
        "1.2.840.10045.2.1" => {
            let curve = info
                .algorithm
                .parameters
                .as_ref()
                .and_then(|parameters| parameters.as_oid().ok());
            match curve.map(|curve| curve.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => "ECDSA P-256".to_owned(),
                Some("1.3.132.0.34") => "ECDSA P-384".to_owned(),
                Some("1.3.132.0.35") => "ECDSA P-521".to_owned(),
                _ => "ECDSA".to_owned(),
            }
        }
        "1.3.101.112" => "Ed25519".to_owned(),
        other => other.to_owned(),
    }
}

fn significant_bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let first = number.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
    ((number.len() - zeros) * 8).saturating_sub(first)
}

fn signature(algorithm: &str) -> String {
    let known = [
        ("1.2.840.113549.1.1.11", "SHA256WithRSA"),
        ("1.2.840.113549.1.1.12", "SHA384WithRSA"),
        ("1.2.840.113549.1.1.13", "SHA512WithRSA"),
        ("1.2.840.10045.4.3.2", "ECDSAWithSHA256"),
        ("1.2.840.10045.4.3.3", "ECDSAWithSHA384"),
        ("1.2.840.10045.4.3.4", "ECDSAWithSHA512"),
        ("1.3.101.112", "PureEd25519"),
    ];
    let known = known.into_iter().find(|(identifier, _)| *identifier == algorithm);
    known.map_or(algorithm, |(_, name)| name).to_owned()
}

fn key_usages(usage: &KeyUsage) -> impl Iterator<Item = String> + use<> {
    let usages = [
        (usage.digital_signature(), "digital signature"),
        (usage.non_repudiation(), "content commitment"),
        (usage.key_encipherment(), "key encipherment"),
        (usage.data_encipherment(), "data encipherment"),
        (usage.key_agreement(), "key agreement"),
        (usage.key_cert_sign(), "cert sign"),
        (usage.crl_sign(), "crl sign"),
        (usage.encipher_only(), "encipher only"),
        (usage.decipher_only(), "decipher only"),
    ];
    usages.into_iter().filter(|(has, _)| *has).map(|(_, name)| name.to_owned())
}

fn extended_usages(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let named = [
        (usage.any, "any"),
        (usage.server_auth, "server auth"),
        (usage.client_auth, "client auth"),
        (usage.code_signing, "code signing"),
        (usage.email_protection, "email protection"),
        (usage.time_stamping, "timestamping"),
        (usage.ocsp_signing, "ocsp signing"),
    ];
    let named = named.into_iter().filter(|(has, _)| *has).map(|(_, name)| name.to_owned());
    named
        .chain(usage.other.iter().map(|identifier| identifier.to_id_string()))
        .collect()
}

/// No chain is longer.
const MOST: usize = 1000;
