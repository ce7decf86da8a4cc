//! Durations as Go writes them.

use std::time::Duration;

use crate::go_text::parse_duration;

/// A duration as Go's `time.ParseDuration` reads it (`2160h`, `1h30m`, `1.5h`). `None` for what Go refuses, and for less than nothing.
#[must_use]
pub fn go_duration(text: &str) -> Option<Duration> {
    let nanoseconds = parse_duration(text).ok()?;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}
