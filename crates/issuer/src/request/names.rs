//! Names that a certificate may carry: what Go's crypto/x509 would not read back is refused here.

use std::net::IpAddr;

use super::{RequestFault, StoredConstraints};

/// Kinds of name in [`StoredConstraints`], in its order, as Go's messages call them.
const KINDS: [&str; 4] = ["dnsName", "iPAddress", "rfc822Name", "URI"];

pub(super) fn ip_address(text: &str) -> Result<IpAddr, RequestFault> {
    let address = text.parse::<IpAddr>().map_err(|_| RequestFault::IpAddress(text.to_owned()))?;
    // IPv4 is always written in four bytes.
    Ok(address.to_canonical())
}

pub(super) fn check_ascii(text: &str) -> Result<(), RequestFault> {
    if text.is_ascii() {
        Ok(())
    } else {
        Err(RequestFault::NotAscii(text.to_owned()))
    }
}

/// By the rules of Go's `url.Parse`, and a host that is a domain name. A host with percent signs is refused.
pub(super) fn check_uri(text: &str) -> Result<(), RequestFault> {
    check_ascii(text)?;
    if is_uri(text) {
        Ok(())
    } else {
        Err(RequestFault::Uri(text.to_owned()))
    }
}

fn is_uri(text: &str) -> bool {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return false;
    }
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let Some((scheme, rest)) = split_scheme(text) else {
        return false;
    };
    let (rest, _query) = rest.split_once('?').unwrap_or((rest, ""));
    if !percent_signs_escape(fragment) {
        return false;
    }
    if !rest.starts_with('/') {
        // Opaque, as urn:x; without a scheme it is a relative path, whose first segment may have no colon.
        let segment = rest.split('/').next().unwrap_or_default();
        return !scheme.is_empty() || (!segment.contains(':') && percent_signs_escape(rest));
    }
    let authority = rest
        .strip_prefix("//")
        .filter(|rest| !scheme.is_empty() || !rest.starts_with('/'));
    let Some(authority) = authority else {
        return percent_signs_escape(rest);
    };
    let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user_fits = user
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte));
    user_fits && percent_signs_escape(user) && is_host(scheme, host) && percent_signs_escape(path)
}

/// `None` when it begins with a colon. An empty scheme: there is none.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && !"+-.".contains(character));
    match end {
        Some(0) if text.starts_with(':') => None,
        Some(end) if text.starts_with(|first: char| first.is_ascii_alphabetic()) && text[end..].starts_with(':') => {
            Some((&text[..end], &text[end + 1..]))
        }
        _ => Some(("", text)),
    }
}

fn is_host(scheme: &str, host: &str) -> bool {
    let (name, port) = if let Some(literal) = host.strip_prefix('[') {
        let Some((address, port)) = literal.rsplit_once(']') else {
            return false;
        };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        ("", port)
    } else {
        let strict = matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https");
        let colon = if strict { host.find(':') } else { host.rfind(':') };
        host.split_at(colon.unwrap_or(host.len()))
    };
    let port_fits = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:]<>\"".contains(&byte);
    port_fits && name.bytes().all(allowed) && is_domain(host, false)
}

fn percent_signs_escape(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

/// Go's `domainNameValid`: labels that are not empty, of visible ASCII. A constraint may begin with a dot.
fn is_domain(text: &str, constraint: bool) -> bool {
    if text.is_empty() {
        return true;
    }
    let labels = if constraint {
        text.strip_prefix('.').unwrap_or(text)
    } else {
        text
    };
    labels
        .split('.')
        .all(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_graphic()))
}

pub(super) fn check_constraints(stored: &StoredConstraints) -> Result<(), RequestFault> {
    for lists in [&stored.permitted, &stored.excluded] {
        for (kind, list) in KINDS.into_iter().zip(lists) {
            for text in list {
                check_constraint(kind, text)?;
            }
        }
    }
    Ok(())
}

fn check_constraint(kind: &'static str, text: &str) -> Result<(), RequestFault> {
    let fits = match kind {
        "iPAddress" => return ip_range(text).map(drop).ok_or_else(|| RequestFault::IpRange(text.to_owned())),
        "rfc822Name" if text.contains('@') => is_mailbox(text),
        "URI" => text.parse::<IpAddr>().is_err() && is_domain(text, true),
        _ => is_domain(text, true),
    };
    check_ascii(text)?;
    if fits {
        Ok(())
    } else {
        Err(RequestFault::Constraint(kind, text.to_owned()))
    }
}

/// RFC 5321's mailbox, without quoted local parts.
fn is_mailbox(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let atom = |atom: &str| {
        !atom.is_empty()
            && atom
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    local.split('.').all(atom) && is_domain(domain, false)
}

/// Address and mask of a CIDR, as name constraints hold them: the bits below the mask are zero.
pub(crate) fn ip_range(text: &str) -> Option<Vec<u8>> {
    let (address, length) = text.split_once('/')?;
    let address = match address.parse().ok()? {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let digits_only = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length
        .parse::<usize>()
        .ok()
        .filter(|length| digits_only && *length <= address.len() * 8)?;
    let mask = |position: usize| match length.saturating_sub(position * 8) {
        bits @ 0..8 => !(0xff_u8 >> bits),
        _ => 0xff,
    };
    let masked = address.iter().enumerate().map(|(position, byte)| byte & mask(position));
    Some(masked.chain((0..address.len()).map(mask)).collect())
}
