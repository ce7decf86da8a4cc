//! Durations as Go writes them.

use std::time::Duration;

/// A duration as Go's `time.ParseDuration` reads it (`2160h`, `1h30m`, `1.5h`). `None` for what Go refuses, and for less than nothing.
#[must_use]
pub fn go_duration(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanoseconds: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_end = after
            .find(|character: char| character == '.' || character.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit = unit_nanoseconds(unit)?;
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
        nanoseconds = nanoseconds
            .checked_add(whole.checked_mul(unit)?)?
            .checked_add(part(fraction, unit))?;
        rest = after;
    }
    let in_range = nanoseconds <= i64::MAX.unsigned_abs();
    (in_range && (!negative || nanoseconds == 0)).then_some(Duration::from_nanos(nanoseconds))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

/// `0.fraction` of a unit, rounded down.
fn part(fraction: &str, unit: u64) -> u64 {
    // Eighteen digits are more than nanoseconds of an hour can tell apart.
    let fraction = &fraction[..fraction.len().min(18)];
    let Ok(value) = fraction.parse::<u128>() else { return 0 };
    let scale = 10_u128.pow(fraction.len() as u32);
    (value * u128::from(unit) / scale) as u64
}

fn unit_nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}
