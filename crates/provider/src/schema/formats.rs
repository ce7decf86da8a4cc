//! Formats of names, addresses and encodings, as Kubernetes checks them (apimachinery, pkg/util/validation).

use std::net::IpAddr;

use super::structure::Format;

/// Why `text` is not of the format, or `None` when it is. Numbers have formats too: see [`fits`].
pub(super) fn violation(format: Format, text: &str) -> Option<&'static str> {
    let (valid, what) = match format {
        Format::Int32 | Format::Int64 => return None,
        Format::Byte => (is_base64(text), "must be base64"),
        Format::DateTime => (
            text.parse::<jiff::Timestamp>().is_ok(),
            "must be a date and time as in 2026-01-31T12:00:00Z",
        ),
        Format::Ipv4 => (matches!(text.parse(), Ok(IpAddr::V4(_))), "must be an IPv4 address"),
        Format::Ipv6 => (matches!(text.parse(), Ok(IpAddr::V6(_))), "must be an IPv6 address"),
    };
    (!valid).then_some(what)
}

/// Whether a whole number is within the range of the format.
pub(super) fn fits(format: Format, number: f64) -> bool {
    match format {
        Format::Int32 => (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number),
        // 2^63 is the first float that is too large.
        Format::Int64 => (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number),
        _ => true,
    }
}

/// RFC 1123 label: up to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit.
pub(super) fn dns1123_label(text: &str) -> Option<&'static str> {
    let valid = text.len() <= 63 && is_label(text);
    (!valid).then_some("must be a DNS label: at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends")
}

/// RFC 1035 label: as [`dns1123_label`], beginning with a letter.
pub(super) fn dns1035_label(text: &str) -> Option<&'static str> {
    let valid = dns1123_label(text).is_none() && text.starts_with(|first: char| first.is_ascii_lowercase());
    (!valid).then_some("must be a DNS label that begins with a letter: at most 63 lower-case letters, digits and `-`")
}

/// RFC 1123 subdomain: labels joined by dots, up to 253 characters.
pub(super) fn dns1123_subdomain(text: &str) -> Option<&'static str> {
    let valid = text.len() <= 253 && text.split('.').all(is_label);
    (!valid).then_some(
        "must be a DNS name: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part",
    )
}

/// Key of a label or annotation: an optional DNS prefix and `/`, then up to 63 letters, digits, `-`, `_` and `.`.
pub(super) fn qualified_name(text: &str) -> Option<&'static str> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let valid = prefix.is_none_or(|prefix| dns1123_subdomain(prefix).is_none()) && !name.is_empty() && is_label_value(name);
    (!valid).then_some("must be a name of at most 63 letters, digits, `-`, `_` and `.`, optionally after a DNS name and `/`")
}

/// Value of a label: empty, or up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
pub(super) fn label_value(text: &str) -> Option<&'static str> {
    (!is_label_value(text)).then_some("must be at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends")
}

/// Key of a ConfigMap or Secret: also a file name.
pub(super) fn config_key(text: &str) -> Option<&'static str> {
    let valid = !text.is_empty()
        && text.len() <= 253
        && text != "."
        && !text.starts_with("..")
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'));
    (!valid).then_some("a key must be at most 253 letters, digits, `-`, `_` and `.`")
}

/// Part of a URL's path, as names of some cluster-scoped kinds are.
pub(super) fn path_segment(text: &str) -> Option<&'static str> {
    let valid = !text.is_empty() && !matches!(text, "." | "..") && !text.contains(['/', '%']);
    (!valid).then_some("must be part of a path: neither `.` nor `..`, without `/` and `%`")
}

/// Standard base64 with padding, as Go decodes it: line breaks are skipped.
pub(super) fn is_base64(text: &str) -> bool {
    let letters = text.bytes().filter(|letter| !matches!(letter, b'\r' | b'\n'));
    let (mut count, mut padding) = (0_usize, 0_usize);
    for letter in letters {
        count += 1;
        match letter {
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return false,
        }
    }
    count % 4 == 0 && padding <= 2
}

fn is_label(text: &str) -> bool {
    let ends = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    text.starts_with(ends) && text.ends_with(ends) && text.chars().all(|letter| ends(letter) || letter == '-')
}

fn is_label_value(text: &str) -> bool {
    let ends = |letter: char| letter.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63
            && text.starts_with(ends)
            && text.ends_with(ends)
            && text.chars().all(|letter| ends(letter) || matches!(letter, '-' | '_' | '.'))
}
