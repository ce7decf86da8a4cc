//! Times: sums that cannot fail, and how Go prints them, because conditions say them in its words.

use std::time::Duration;

use jiff::SignedDuration;
use sealway_api::Timestamp;

/// `time`, so much later; the end of time when that is later still.
pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| time.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// `time`, so much earlier.
pub(super) fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| time.checked_sub(by).ok())
        .unwrap_or(Timestamp::MIN)
}

/// From `start` to `end`; nothing when `end` comes first.
pub(super) fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}

/// Whole seconds, as statuses and certificates have them.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    let second = time.as_second() - i64::from(time.subsec_nanosecond() < 0);
    Timestamp::from_second(second).unwrap_or(time)
}

/// As Go's `Time.String` has it, in UTC: `2026-11-28 03:37:16 +0000 UTC`.
pub(super) fn plain(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// As Go's `RFC1123` has it, in UTC: `Sat, 28 Nov 2026 03:37:16 UTC`.
pub(super) fn rfc1123(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

/// For our own words: `2026-11-28 03:37:16Z`.
pub(super) fn short(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
