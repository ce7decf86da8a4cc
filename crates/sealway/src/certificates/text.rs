//! Parts of a certificate as text: names, constraints, times. Invariant: what is shown holds only characters that print.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sealway_api::Timestamp;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints as Parsed};
use x509_parser::time::ASN1Time;

/// What a CA may vouch for (RFC 5280 section 4.2.1.10), each subtree as `KIND VALUE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameConstraints {
    pub(crate) permitted: Vec<String>,
    pub(crate) excluded: Vec<String>,
}

impl NameConstraints {
    /// As they stand in the extension.
    pub(crate) fn of(parsed: &Parsed<'_>) -> Self {
        Self {
            permitted: subtrees(parsed.permitted_subtrees.as_deref()),
            excluded: subtrees(parsed.excluded_subtrees.as_deref()),
        }
    }
}

fn subtrees(list: Option<&[GeneralSubtree<'_>]>) -> Vec<String> {
    let bases = list.unwrap_or_default().iter();
    bases.map(|subtree| printable(&kind_and_name(&subtree.base))).collect()
}

/// A name as `KIND VALUE`.
pub(super) fn kind_and_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS {name}"),
        GeneralName::RFC822Name(name) => format!("email {name}"),
        GeneralName::URI(name) => format!("URI {name}"),
        GeneralName::DirectoryName(name) => format!("directory {name}"),
        GeneralName::IPAddress(bytes) => match network(bytes) {
            Some(network) => format!("IP {network}"),
            None => "IP (cannot be read)".to_owned(),
        },
        _ => "another kind of name".to_owned(),
    }
}

/// An address, or an address and its mask, one after the other.
fn network(bytes: &[u8]) -> Option<String> {
    if let Some(address) = address(bytes) {
        return Some(address.to_string());
    }
    if let Ok(bytes) = <[u8; 8]>::try_from(bytes) {
        let both = u64::from_be_bytes(bytes);
        // The halves, not a loss.
        let (address, mask) = ((both >> 32) as u32, both as u32);
        return Some(format!(
            "{}/{}",
            Ipv4Addr::from(address),
            length(u128::from(mask) << 96, mask.count_ones())?
        ));
    }
    let (address, mask) = bytes.split_at_checked(16)?;
    let address = <[u8; 16]>::try_from(address).ok()?;
    let mask = u128::from_be_bytes(mask.try_into().ok()?);
    Some(format!("{}/{}", Ipv6Addr::from(address), length(mask, mask.count_ones())?))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let short = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    short.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The length of a prefix, when the mask is one.
fn length(mask: u128, ones: u32) -> Option<u32> {
    (mask.leading_ones() == ones).then_some(ones)
}

/// A time past what a [`Timestamp`] can hold (RFC 5280 section 4.1.2.5: 99991231235959Z stands for no end) is its last moment.
pub(crate) fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
}

/// Short, and without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    const LONGEST: usize = 200;
    let text = if text.is_empty() { "(no name)" } else { text };
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_with_holes_are_not_networks() {
        assert_eq!(network(&[10, 0, 0, 0, 255, 0, 255, 0]), None);
        assert_eq!(network(&[0; 8]), Some("0.0.0.0/0".to_owned()));
        assert_eq!(network(&[10, 0, 0]), None);
    }

    #[test]
    fn addresses_and_networks_are_told_apart() {
        let text = |bytes: &[u8]| kind_and_name(&GeneralName::IPAddress(bytes));
        assert_eq!(text(&[10, 0, 0, 1]), "IP 10.0.0.1");
        assert_eq!(text(&[10, 0, 0, 0, 255, 0, 0, 0]), "IP 10.0.0.0/8");
        assert_eq!(text(&[0; 16]), "IP ::");
        assert_eq!(text(&[1]), "IP (cannot be read)");
    }
}
