//! Key usages and extended key usages: cert-manager's names and what a certificate holds for them.

use der::asn1::ObjectIdentifier;
use sealway_api::KeyUsage;
use x509_cert::der::flagset::FlagSet;
use x509_cert::ext::pkix::KeyUsages;

enum Meaning {
    Basic(KeyUsages),
    Extended(&'static str),
    Unknown,
}

fn meaning(usage: &KeyUsage) -> Meaning {
    use Meaning::{Basic, Extended};
    match usage {
        KeyUsage::Signing | KeyUsage::DigitalSignature => Basic(KeyUsages::DigitalSignature),
        KeyUsage::ContentCommitment => Basic(KeyUsages::NonRepudiation),
        KeyUsage::KeyEncipherment => Basic(KeyUsages::KeyEncipherment),
        KeyUsage::KeyAgreement => Basic(KeyUsages::KeyAgreement),
        KeyUsage::DataEncipherment => Basic(KeyUsages::DataEncipherment),
        KeyUsage::CertSign => Basic(KeyUsages::KeyCertSign),
        KeyUsage::CrlSign => Basic(KeyUsages::CRLSign),
        KeyUsage::EncipherOnly => Basic(KeyUsages::EncipherOnly),
        KeyUsage::DecipherOnly => Basic(KeyUsages::DecipherOnly),
        KeyUsage::Any => Extended("2.5.29.37.0"),
        KeyUsage::ServerAuth => Extended("1.3.6.1.5.5.7.3.1"),
        KeyUsage::ClientAuth => Extended("1.3.6.1.5.5.7.3.2"),
        KeyUsage::CodeSigning => Extended("1.3.6.1.5.5.7.3.3"),
        KeyUsage::EmailProtection | KeyUsage::SMime => Extended("1.3.6.1.5.5.7.3.4"),
        KeyUsage::IpsecEndSystem => Extended("1.3.6.1.5.5.7.3.5"),
        KeyUsage::IpsecTunnel => Extended("1.3.6.1.5.5.7.3.6"),
        KeyUsage::IpsecUser => Extended("1.3.6.1.5.5.7.3.7"),
        KeyUsage::Timestamping => Extended("1.3.6.1.5.5.7.3.8"),
        KeyUsage::OcspSigning => Extended("1.3.6.1.5.5.7.3.9"),
        KeyUsage::MicrosoftSgc => Extended("1.3.6.1.4.1.311.10.3.3"),
        KeyUsage::NetscapeSgc => Extended("2.16.840.1.113730.4.1"),
        KeyUsage::Other(_) => Meaning::Unknown,
    }
}

/// Usages that nobody knows, as they were written.
pub(crate) fn unknown_usages(usages: &[KeyUsage]) -> Vec<String> {
    usages
        .iter()
        .filter(|usage| matches!(meaning(usage), Meaning::Unknown))
        .map(KeyUsage::to_string)
        .collect()
}

/// The key usage; empty: the certificate has no such extension.
pub(crate) fn key_usage(usages: &[KeyUsage], is_ca: bool) -> FlagSet<KeyUsages> {
    let default = [KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment];
    let usages = if usages.is_empty() { &default } else { usages };
    let mut flags = FlagSet::default();
    for usage in usages {
        if let Meaning::Basic(flag) = meaning(usage) {
            flags |= flag;
        }
    }
    if is_ca {
        flags |= KeyUsages::KeyCertSign;
    }
    flags
}

/// The extended key usages, in their order, and as often as they are written.
pub(crate) fn extended_key_usages(usages: &[KeyUsage]) -> Vec<ObjectIdentifier> {
    let extended = |usage: &KeyUsage| match meaning(usage) {
        Meaning::Extended(identifier) => Some(ObjectIdentifier::new_unwrap(identifier)),
        _ => None,
    };
    usages.iter().filter_map(extended).collect()
}
