//! What a scalar means: YAML 1.1 as go-yaml v2 reads it, since that is what kubectl and the API server use.
//!
//! `yes`, `on` and `y` are booleans, `010` and `0o10` are octal, `1_000` is a number, dates stay text, and a number without a
//! fraction is an integer however it is written (Go marshals 8443.0 as 8443).

use granit_parser::{ScalarStyle, Tag};
use serde_json::{Number, Value};

/// The value of a scalar.
///
/// # Errors
/// When JSON has no such value (infinity), or a tag asks for what the text is not.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, &'static str> {
    let wanted = tag.and_then(Tag::core_suffix);
    let value = match (wanted, tag.is_some()) {
        // Quoted text, `!!str`, and tags of applications.
        (Some("str"), _) | (None, true) => return Ok(text.into()),
        (None, false) if !is_plain(style) => return Ok(text.into()),
        _ => implicit(text)?,
    };
    match (wanted, &value) {
        (None, _)
        | (Some("null"), Value::Null)
        | (Some("bool"), Value::Bool(_))
        | (Some("int" | "float"), Value::Number(_))
        | (Some("timestamp"), Value::String(_)) => Ok(value),
        (Some("null" | "bool" | "int" | "float"), _) => Err("the value is not of the type that its tag says"),
        (Some(_), _) => Ok(text.into()),
    }
}

/// A key of a mapping, which JSON has as text only.
///
/// # Errors
/// For null, and for what [`resolve`] refuses.
pub(super) fn key(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<String, &'static str> {
    match resolve(text, style, tag)? {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err("a key that is null"),
    }
}

pub(super) fn is_plain(style: ScalarStyle) -> bool {
    matches!(style, ScalarStyle::Plain)
}

/// A plain scalar without a tag.
fn implicit(text: &str) -> Result<Value, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(true.into()),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Ok(false.into()),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => {
            return Err("JSON has neither infinity nor NaN");
        }
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Ok(text.into());
    }
    let digits = text.replace('_', "");
    if let Some(number) = integer(&digits).or_else(|| float(&digits)) {
        return Ok(Value::Number(number));
    }
    Ok(text.into())
}

/// As Go's `strconv.ParseInt` with base 0 reads it.
fn integer(text: &str) -> Option<Number> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        Some(start) if start.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix)
        .map(Number::from)
        .or_else(|_| u64::from_str_radix(&format!("{sign}{digits}"), radix).map(Number::from))
        .ok()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_float = unsigned.contains(|digit: char| digit.is_ascii_digit())
        && unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && unsigned
            .chars()
            .all(|letter| letter.is_ascii_digit() || matches!(letter, '.' | 'e' | 'E' | '-' | '+'));
    let number: f64 = is_float.then(|| text.parse().ok()).flatten()?;
    // Every i64 below 2^53 is exact as a float.
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        #[expect(clippy::cast_possible_truncation, reason = "no fraction, and within the range")]
        return Some(Number::from(number as i64));
    }
    Number::from_f64(number)
}
