//! The text of a schedule, and what can be wrong with it.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{Fields, Kind, Schedule};
use crate::go_text::{DurationFault, list, parse_duration, quote};

/// A cron text that is not one, and why; prints in cert-manager's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to parse cron spec '{cron}': {reason}")]
pub struct CronFault {
    /// As it was written.
    pub cron: String,
    /// Why.
    pub reason: CronReason,
}

/// See [`CronFault::reason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronReason {
    /// There is nothing.
    #[error("empty spec string")]
    Empty,
    /// A time zone and nothing else.
    #[error("expected timezone prefix to be followed by a cron spec: {0}")]
    OnlyZone(String),
    /// No such zone.
    #[error("provided bad location {0}: {1}")]
    Zone(String, ZoneFault),
    /// Not five of them.
    #[error("expected exactly 5 fields, found {}: {}", .0.len(), list(.0.iter().map(String::as_str)))]
    Fields(Vec<String>),
    /// `1-2-3`.
    #[error("too many hyphens: {0}")]
    Hyphens(String),
    /// `1/2/3`.
    #[error("too many slashes: {0}")]
    Slashes(String),
    /// Neither a number nor a name.
    #[error("failed to parse int from {0}: strconv.Atoi: parsing {quoted}: {reason}", quoted = quote(.0), reason = integer_reason(.0))]
    Number(String),
    /// `*/-1`.
    #[error("negative number ({0}) not allowed: {1}")]
    Negative(i64, String),
    /// Such as month 0.
    #[error("beginning of range ({0}) below minimum ({1}): {2}")]
    Below(u64, u64, String),
    /// Such as hour 24.
    #[error("end of range ({0}) above maximum ({1}): {2}")]
    Above(u64, u64, String),
    /// `5-3`.
    #[error("beginning of range ({0}) beyond end of range ({1}): {2}")]
    Beyond(u64, u64, String),
    /// `*/0`.
    #[error("step of range should be a positive number: {0}")]
    StepZero(String),
    /// `@every` without a duration.
    #[error("failed to parse duration {0}: {1}")]
    Every(String, DurationFault),
    /// Such as `@often`.
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
}

/// Why there is no such time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneFault {
    /// A path.
    #[error("time: invalid location name")]
    Path,
    /// Not in the tables.
    #[error("unknown time zone {0}")]
    Unknown(String),
}

pub(super) fn parse(cron: &str, timezone: &str) -> Result<Schedule, CronFault> {
    // As cert-manager puts them together: a zone with a space in it makes for its own mistakes.
    let whole = if timezone.is_empty() {
        cron.to_owned()
    } else {
        format!("CRON_TZ={timezone} {cron}")
    };
    schedule(&whole).map(Schedule).map_err(|reason| CronFault {
        cron: cron.to_owned(),
        reason,
    })
}

fn schedule(whole: &str) -> Result<Kind, CronReason> {
    if whole.is_empty() {
        return Err(CronReason::Empty);
    }
    let (zone, spec) = match whole.strip_prefix("TZ=").or_else(|| whole.strip_prefix("CRON_TZ=")) {
        None => (TimeZone::UTC, whole),
        Some(rest) => {
            let (name, spec) = rest.split_once(' ').ok_or_else(|| CronReason::OnlyZone(whole.to_owned()))?;
            (
                zone(name).map_err(|fault| CronReason::Zone(name.to_owned(), fault))?,
                spec.trim(),
            )
        }
    };
    if spec.starts_with('@') {
        return descriptor(spec, zone);
    }
    let fields: Vec<&str> = spec.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return Err(CronReason::Fields(fields.into_iter().map(str::to_owned).collect()));
    };
    let (minute, _) = field(minute, &MINUTES)?;
    let (hour, _) = field(hour, &HOURS)?;
    let (day, any_day) = field(day, &DAYS)?;
    let (month, _) = field(month, &MONTHS)?;
    let (weekday, any_weekday) = field(weekday, &WEEKDAYS)?;
    Ok(Kind::Fields(Fields {
        minute,
        hour,
        day,
        month,
        weekday,
        any_day: any_day || any_weekday,
        zone,
    }))
}

/// The zone of that name, spelled exactly so, as on a file system that knows upper and lower case; empty: UTC.
pub(crate) fn zone(name: &str) -> Result<TimeZone, ZoneFault> {
    if matches!(name, "" | "UTC" | "Local") {
        // cert-manager's image has no local zone but UTC.
        return Ok(TimeZone::UTC);
    }
    if name.contains("..") || name.starts_with(['/', '\\']) {
        return Err(ZoneFault::Path);
    }
    let tables = TimeZoneDatabase::bundled();
    let known = tables.available().any(|available| available.as_str() == name);
    known
        .then(|| tables.get(name).ok())
        .flatten()
        .ok_or_else(|| ZoneFault::Unknown(name.to_owned()))
}

struct Bounds {
    minimum: u64,
    maximum: u64,
    /// Of `minimum`, `minimum + 1` and so on.
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds {
    minimum: 0,
    maximum: 59,
    names: &[],
};
const HOURS: Bounds = Bounds {
    minimum: 0,
    maximum: 23,
    names: &[],
};
const DAYS: Bounds = Bounds {
    minimum: 1,
    maximum: 31,
    names: &[],
};
const MONTHS: Bounds = Bounds {
    minimum: 1,
    maximum: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAYS: Bounds = Bounds {
    minimum: 0,
    maximum: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Bounds {
    fn all(&self) -> u64 {
        bits(self.minimum, self.maximum, 1)
    }

    fn number(&self, text: &str) -> Result<u64, CronReason> {
        let lower = text.to_lowercase();
        match (self.minimum..).zip(self.names).find(|(_, name)| **name == lower) {
            Some((value, _)) => Ok(value),
            None => number(text),
        }
    }
}

/// Ranges by commas: their bits, and whether a `*` is among them.
fn field(text: &str, bounds: &Bounds) -> Result<(u64, bool), CronReason> {
    let mut field = (0, false);
    for expression in text.split(',').filter(|expression| !expression.is_empty()) {
        let (bits, any) = range(expression, bounds)?;
        field = (field.0 | bits, field.1 || any);
    }
    Ok(field)
}

/// `5`, `5-9`, `5/2`, `5-9/2`, `*`, `*/2`; `?` is `*`.
fn range(expression: &str, bounds: &Bounds) -> Result<(u64, bool), CronReason> {
    let text = || expression.to_owned();
    let parts: Vec<&str> = expression.split('/').collect();
    let ends: Vec<&str> = parts.first().copied().unwrap_or_default().split('-').collect();
    let mut any = matches!(ends.first(), Some(&"*" | &"?"));
    let (start, mut end) = match ends[..] {
        _ if any => (bounds.minimum, bounds.maximum),
        [only] => {
            let only = bounds.number(only)?;
            (only, only)
        }
        [first, last] => (bounds.number(first)?, bounds.number(last)?),
        [first, ..] => {
            bounds.number(first)?;
            return Err(CronReason::Hyphens(text()));
        }
        [] => return Err(CronReason::Number(String::new())),
    };
    let step = match parts[..] {
        [_] | [] => 1,
        [_, step] => {
            let step = number(step)?;
            if ends.len() == 1 {
                end = bounds.maximum;
            }
            any &= step <= 1;
            step
        }
        _ => return Err(CronReason::Slashes(text())),
    };
    if start < bounds.minimum {
        return Err(CronReason::Below(start, bounds.minimum, text()));
    }
    if end > bounds.maximum {
        return Err(CronReason::Above(end, bounds.maximum, text()));
    }
    if start > end {
        return Err(CronReason::Beyond(start, end, text()));
    }
    if step == 0 {
        return Err(CronReason::StepZero(text()));
    }
    Ok((bits(start, end, step), any))
}

/// Both ends are below 64.
fn bits(start: u64, end: u64, step: u64) -> u64 {
    (start..=end)
        .step_by(usize::try_from(step).unwrap_or(usize::MAX))
        .fold(0, |bits, value| bits | 1 << value)
}

fn number(text: &str) -> Result<u64, CronReason> {
    let value: i64 = text.parse().map_err(|_| CronReason::Number(text.to_owned()))?;
    u64::try_from(value).map_err(|_| CronReason::Negative(value, text.to_owned()))
}

/// Go tells apart what is no number and what is too big.
fn integer_reason(text: &str) -> &'static str {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        "value out of range"
    } else {
        "invalid syntax"
    }
}

fn descriptor(text: &str, zone: TimeZone) -> Result<Kind, CronReason> {
    let mut fields = Fields {
        minute: 1,
        hour: HOURS.all(),
        day: DAYS.all(),
        month: MONTHS.all(),
        weekday: WEEKDAYS.all(),
        any_day: true,
        zone,
    };
    match text {
        "@yearly" | "@annually" => (fields.hour, fields.day, fields.month) = (1, 1 << 1, 1 << 1),
        "@monthly" => (fields.hour, fields.day) = (1, 1 << 1),
        "@weekly" => (fields.hour, fields.weekday) = (1, 1),
        "@daily" | "@midnight" => fields.hour = 1,
        "@hourly" => {}
        _ => {
            let Some(duration) = text.strip_prefix("@every ") else {
                return Err(CronReason::Descriptor(text.to_owned()));
            };
            let nanoseconds = parse_duration(duration).map_err(|fault| CronReason::Every(text.to_owned(), fault))?;
            return Ok(Kind::Every((nanoseconds / 1_000_000_000).max(1)));
        }
    }
    Ok(Kind::Fields(fields))
}
