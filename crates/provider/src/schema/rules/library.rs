//! What Kubernetes adds to CEL, as far as the embedded definitions use it (apiserver, pkg/cel/library).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex, PoisonError};

use cel::common::types::{CelBool, CelInt, CelList, CelOptional, CelString};
use cel::common::value::Val;
use cel::{DeclarationError, Env, ExecutionError};
use regex::Regex;

use crate::schema::formats;

/// The standard library, the strings extension, and Kubernetes' own functions.
pub(super) fn environment() -> Env {
    let mut environment = Env::stdlib();
    let declared = declare(&mut environment);
    debug_assert_eq!(declared, Ok(()), "two functions of one name");
    environment
}

#[expect(elided_lifetimes_in_paths, reason = "the macros take types without lifetimes")]
fn declare(environment: &mut Env) -> Result<(), DeclarationError> {
    cel::extensions::strings(environment)?;
    cel::add_overload!(environment, fn duration: (CelString) -> Result<CelInt>)?;
    cel::add_overload!(environment, fn matches: (CelString, CelString) -> Result<CelBool>)?;
    cel::add_member_overload!(environment, fn matches: (CelString, CelString) -> Result<CelBool>)?;
    cel::add_overload!(environment, fn is_ip: (CelString) -> CelBool, name = "isIP")?;
    cel::add_overload!(environment, fn dns1123_label: () -> CelString, name = "format.dns1123Label")?;
    cel::add_overload!(environment, fn dns1123_subdomain: () -> CelString, name = "format.dns1123Subdomain")?;
    cel::add_overload!(environment, fn dns1035_label: () -> CelString, name = "format.dns1035Label")?;
    cel::add_overload!(environment, fn qualified_name: () -> CelString, name = "format.qualifiedName")?;
    cel::add_overload!(environment, fn label_value: () -> CelString, name = "format.labelValue")?;
    cel::add_member_overload!(environment, fn validate: (CelString, CelString) -> Result<CelOptional>)
}

/// Nanoseconds, which compare as durations do.
fn duration(text: &CelString<'_>) -> Result<CelInt, ExecutionError> {
    let nanoseconds = parse_duration(text.inner());
    nanoseconds
        .map(CelInt::from)
        .ok_or_else(|| ExecutionError::function_error("duration", "not a duration"))
}

/// Go's `time.ParseDuration`.
fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = None;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?);
        let (nanoseconds, unit) = UNITS.iter().find(|(_, unit)| after.starts_with(unit))?;
        total = Some(total.unwrap_or(0.0) + number.parse::<f64>().ok()? * nanoseconds);
        rest = after.strip_prefix(unit)?;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    total.filter(|total| *total < 9.2e18).map(|total| (sign * total) as i64)
}

/// Longer names before those that they begin with.
const UNITS: [(f64, &str); 7] = [
    (1.0, "ns"),
    (1e3, "us"),
    (1e3, "µs"),
    (1e6, "ms"),
    (1e9, "s"),
    (6e10, "m"),
    (3.6e12, "h"),
];

/// Each expression is compiled once: rules hold few, and they are evaluated for every object.
fn matches(text: &CelString<'_>, expression: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = compiled.get(expression.inner()) {
        return Ok(regex.is_match(text.inner()).into());
    }
    let regex =
        Regex::new(expression.inner()).map_err(|_| ExecutionError::function_error("matches", "not a regular expression"))?;
    let matched = regex.is_match(text.inner());
    compiled.insert(expression.inner().to_owned(), regex);
    Ok(matched.into())
}

/// Kubernetes takes no zones and no IPv4 in IPv6.
fn is_ip(text: &CelString<'_>) -> CelBool {
    let valid = match text.inner().parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => true,
        Ok(IpAddr::V6(address)) => address.to_ipv4_mapped().is_none(),
        Err(_) => false,
    };
    valid.into()
}

// A format is represented by its name.

fn dns1123_label() -> CelString<'static> {
    CelString::from("dns1123Label")
}

fn dns1123_subdomain() -> CelString<'static> {
    CelString::from("dns1123Subdomain")
}

fn dns1035_label() -> CelString<'static> {
    CelString::from("dns1035Label")
}

fn qualified_name() -> CelString<'static> {
    CelString::from("qualifiedName")
}

fn label_value() -> CelString<'static> {
    CelString::from("labelValue")
}

/// `format.NAME().validate(text)`: what is wrong, or none.
fn validate(format: &CelString<'_>, text: &CelString<'_>) -> Result<CelOptional<'static>, ExecutionError> {
    let violation = match format.inner() {
        "dns1123Label" => formats::dns1123_label(text.inner()),
        "dns1123Subdomain" => formats::dns1123_subdomain(text.inner()),
        "dns1035Label" => formats::dns1035_label(text.inner()),
        "qualifiedName" => formats::qualified_name(text.inner()),
        "labelValue" => formats::label_value(text.inner()),
        _ => return Err(ExecutionError::function_error("validate", "unknown format")),
    };
    Ok(violation.map_or_else(CelOptional::none, |violation| {
        let violation: Box<dyn Val> = Box::new(CelString::from(violation));
        CelOptional::of(Box::new(CelList::from(vec![violation])))
    }))
}
