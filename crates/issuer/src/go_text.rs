//! How Go reads and writes what cert-manager's messages show: quoted text and durations.
//!
//! Messages must equal cert-manager's byte for byte, so the texts come from Go's `strconv` and `time`. Input: text, values or
//! nanoseconds. Output: the same, the other way round. Nothing here fails but [`parse_duration`].

use std::fmt::{self, Write as _};

/// Text in double quotes as `%q` and `%#v` print it (Go's `strconv.Quote`).
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            _ if is_printable(character) => quoted.push(character),
            _ => {
                let code = u32::from(character);
                let _ = match code {
                    0..0x80 => write!(quoted, "\\x{code:02x}"),
                    0x80..0x1_0000 => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Letters, marks, numbers, punctuation, symbols, and of the spaces only that of ASCII.
fn is_printable(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\0'..='\u{7f}' => false,
        // Behind another character, as a combining mark would be escaped in front.
        _ => format!("a{character}").escape_debug().count() == 2,
    }
}

/// A value as Go's `json.Marshal` writes it, which leaves nothing that HTML would read.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(written, "\\u{:04x}", u32::from(character));
            }
            _ => written.push(character),
        }
    }
    written
}

/// Strings as `%v` prints a slice of them: `[a b]`.
pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(" "))
}

/// Why Go does not take a text for a duration; prints as `time.ParseDuration` says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationFault {
    /// Not numbers with units, or too much for 64 bits of nanoseconds.
    #[error("time: invalid duration {}", time_quote(.0))]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {}", time_quote(.0))]
    MissingUnit(String),
    /// A unit that Go does not know, and the whole text.
    #[error("time: unknown unit {} in duration {}", time_quote(.0), time_quote(.1))]
    UnknownUnit(String, String),
}

/// Package `time` quotes in its own way: every byte beyond ASCII in hexadecimal.
fn time_quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=0x7f => quoted.push(char::from(byte)),
            _ => {
                let _ = write!(quoted, "\\x{byte:02x}");
            }
        }
    }
    quoted.push('"');
    quoted
}

/// A duration as Go writes it (`2160h`, `1h30m`, `-1.5s`), in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, DurationFault> {
    let invalid = || DurationFault::Invalid(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after
            .find(|character: char| character == '.' || character.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(DurationFault::MissingUnit(text.to_owned()));
        }
        let unit: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(DurationFault::UnknownUnit(unit.to_owned(), text.to_owned())),
        };
        let whole: u128 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok().filter(|whole| *whole <= 1 << 63).ok_or_else(invalid)?
        };
        total += whole * u128::from(unit) + u128::from(fraction_of(fraction, unit));
        if total > 1 << 63 {
            return Err(invalid());
        }
        rest = after;
    }
    let total = i128::try_from(total).unwrap_or(i128::MAX);
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// Splits behind the leading digits.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

/// Nanoseconds of a fraction of `unit`, in floating point as Go has it; digits beyond 63 bits count for nothing.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let mut value: u64 = 0;
    let mut scale = 1.0_f64;
    for digit in digits.bytes() {
        if value > (i64::MAX as u64) / 10 {
            break;
        }
        let next = value * 10 + u64::from(digit - b'0');
        if next > 1 << 63 {
            break;
        }
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

/// Nanoseconds; prints as Go's `time.Duration` does: `2160h0m0s`, `1.5ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoDuration(pub i64);

impl fmt::Display for GoDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: u64 = 1_000_000_000;
        if self.0 < 0 {
            formatter.write_str("-")?;
        }
        let nanoseconds = self.0.unsigned_abs();
        match nanoseconds {
            0 => formatter.write_str("0s"),
            1..1_000 => write!(formatter, "{nanoseconds}ns"),
            1_000..1_000_000 => write!(formatter, "{}µs", decimal(nanoseconds, 3)),
            1_000_000..SECOND => write!(formatter, "{}ms", decimal(nanoseconds, 6)),
            _ => {
                let minutes = nanoseconds / (60 * SECOND);
                if minutes >= 60 {
                    write!(formatter, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(formatter, "{}m", minutes % 60)?;
                }
                write!(formatter, "{}s", decimal(nanoseconds % (60 * SECOND), 9))
            }
        }
    }
}

/// `value` with its last `places` digits behind the point, and no zeros at the end.
fn decimal(value: u64, places: u32) -> String {
    let unit = 10_u64.pow(places);
    let fraction = format!("{:0width$}", value % unit, width = places as usize);
    match fraction.trim_end_matches('0') {
        "" => (value / unit).to_string(),
        fraction => format!("{}.{fraction}", value / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.26 printed for the same input.
    #[test]
    fn durations_read_and_print_as_in_go() {
        for (text, nanoseconds, printed) in [
            ("2160h", 7_776_000_000_000_000, "2160h0m0s"),
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("-1.5s", -1_500_000_000, "-1.5s"),
            ("+.5m", 30_000_000_000, "30s"),
            ("1.ms", 1_000_000, "1ms"),
            ("1500us", 1_500_000, "1.5ms"),
            ("7ns", 7, "7ns"),
            ("1001ns", 1001, "1.001µs"),
            ("0", 0, "0s"),
            ("61m1ns", 3_660_000_000_001, "1h1m0.000000001s"),
            ("9223372036854775807ns", i64::MAX, "2562047h47m16.854775807s"),
            ("-9223372036854775808ns", i64::MIN, "-2562047h47m16.854775808s"),
            ("0.3333333333333333333h", 1_200_000_000_000, "20m0s"),
        ] {
            assert_eq!(parse_duration(text), Ok(nanoseconds), "{text}");
            assert_eq!(GoDuration(nanoseconds).to_string(), printed);
        }
    }

    #[test]
    fn a_bad_duration_is_refused_in_gos_words() {
        for (text, fault) in [
            ("", "time: invalid duration \"\""),
            ("1", "time: missing unit in duration \"1\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("1hé", "time: unknown unit \"h\\xc3\\xa9\" in duration \"1h\\xc3\\xa9\""),
            ("h", "time: invalid duration \"h\""),
            (".s", "time: invalid duration \".s\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            (
                "99999999999999999999999h",
                "time: invalid duration \"99999999999999999999999h\"",
            ),
            ("3 h", "time: unknown unit \" h\" in duration \"3 h\""),
        ] {
            assert_eq!(parse_duration(text).map_err(|fault| fault.to_string()), Err(fault.to_owned()));
        }
    }

    #[test]
    fn text_is_quoted_as_in_go() {
        assert_eq!(
            quote("a\"\\\n\t\u{1}\u{7f}é\u{a0}日\u{301}\u{1f600}\u{e000}\u{10ffff}"),
            "\"a\\\"\\\\\\n\\t\\x01\\x7fé\\u00a0日\u{301}😀\\ue000\\U0010ffff\""
        );
    }
}
