//! Schedules of renewal windows: cron as cert-manager reads it (its `internal/cron`, a fork of robfig/cron v3).
//!
//! Input: a cron text and a time zone's name; then points in time. Output: when the schedule comes next. Time zones come from the
//! tables in the binary, never from the machine, so the same input gives the same answer everywhere. Invariant: every step of the
//! search goes forward and the search ends after nine years, whatever the schedule.

use jiff::civil::{DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

mod syntax;

pub(crate) use syntax::zone;
pub use syntax::{CronFault, CronReason, ZoneFault};

/// How far [`Schedule::next`] looks. The 29th of February may be eight years away.
const YEARS: i16 = 9;

/// A schedule: points in time that come again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// Five fields of cron, in a time zone.
    Fields(Fields),
    /// `@every`: so many seconds after the last time.
    Every(i64),
}

/// Which minutes, hours and so on match: bit 1 for 1.
#[derive(Clone, Debug, PartialEq)]
struct Fields {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    /// Whether day of month or day of week is `*`: then both must match, else either.
    any_day: bool,
    zone: TimeZone,
}

impl Schedule {
    /// Reads a cron text with five fields (`30 2 * * sun`), `@daily` and its like, or `@every 1h`; `timezone` is an IANA name, empty:
    /// UTC.
    ///
    /// # Errors
    /// When the text or the zone is not one; prints in cert-manager's words (its `util.CronParse`).
    pub fn parse(cron: &str, timezone: &str) -> Result<Self, CronFault> {
        syntax::parse(cron, timezone)
    }

    /// The first time of the schedule later than `after`, on a full second; `None` when there is none for nine years (the 30th of
    /// February). cert-manager's zero time stands for that, which comes before any other.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let second = after.as_second() - i64::from(after.subsec_nanosecond() < 0);
        let next = match &self.0 {
            Kind::Every(seconds) => second.checked_add(*seconds)?,
            Kind::Fields(fields) => fields.next(second)?,
        };
        Timestamp::from_second(next).ok()
    }
}

impl Fields {
    /// In seconds since 1970. Steps as Go's `time` takes them, so that days with a missing or doubled hour come out the same.
    fn next(&self, after: i64) -> Option<i64> {
        if self.minute == 0 || self.hour == 0 || self.month == 0 {
            // A lone comma is a field that nothing matches.
            return None;
        }
        let mut time = after.checked_add(1)?;
        let last_year = self.wall(time)?.year() + YEARS;
        // Whether anything was stepped over, so that the smaller fields begin anew.
        let mut stepped = false;
        'search: loop {
            if self.wall(time)?.year() > last_year {
                return None;
            }
            while !holds(self.month, self.wall(time)?.month()) {
                if !stepped {
                    stepped = true;
                    time = self.instant(self.wall(time)?.date().first_of_month().at(0, 0, 0, 0))?;
                }
                let wall = self.wall(time)?;
                // Go lets days that the month lacks run over into the next.
                let date = wall.date().first_of_month().checked_add(1.month()).ok()?;
                let date = date.checked_add((i64::from(wall.day()) - 1).days()).ok()?;
                time = forward(time, self.instant(date.to_datetime(wall.time()))?)?;
                if self.wall(time)?.month() == 1 {
                    continue 'search;
                }
            }
            while !self.day_matches(self.wall(time)?) {
                if !stepped {
                    stepped = true;
                    time = self.instant(self.wall(time)?.date().at(0, 0, 0, 0))?;
                }
                let mut next = self.instant(self.wall(time)?.tomorrow().ok()?)?;
                // Where midnight is missing, the nearest hour that there is.
                let hour = i64::from(self.wall(next)?.hour());
                next += if hour > 12 { 24 - hour } else { -hour } * 3600;
                time = forward(time, next)?;
                if self.wall(time)?.day() == 1 {
                    continue 'search;
                }
            }
            while !holds(self.hour, self.wall(time)?.hour()) {
                if !stepped {
                    stepped = true;
                    let wall = self.wall(time)?;
                    time = self.instant(wall.date().at(wall.hour(), 0, 0, 0))?;
                }
                time += 3600;
                if self.wall(time)?.hour() == 0 {
                    continue 'search;
                }
            }
            while !holds(self.minute, self.wall(time)?.minute()) {
                if !stepped {
                    stepped = true;
                    time -= time.rem_euclid(60);
                }
                time += 60;
                if self.wall(time)?.minute() == 0 {
                    continue 'search;
                }
            }
            while self.wall(time)?.second() != 0 {
                stepped = true;
                time += 1;
                if self.wall(time)?.second() == 0 {
                    continue 'search;
                }
            }
            return Some(time);
        }
    }

    fn day_matches(&self, wall: DateTime) -> bool {
        let day = holds(self.day, wall.day());
        let weekday = holds(self.weekday, wall.weekday().since(Weekday::Sunday));
        if self.any_day { day && weekday } else { day || weekday }
    }

    fn offset(&self, time: i64) -> Option<i64> {
        Some(i64::from(self.zone.to_offset(Timestamp::from_second(time).ok()?).seconds()))
    }

    /// What the clocks show.
    fn wall(&self, time: i64) -> Option<DateTime> {
        let time = Timestamp::from_second(time).ok()?;
        Some(self.zone.to_offset(time).to_datetime(time))
    }

    /// When clocks show that. For a time that they skip or show twice, as Go's `time.Date` has it: by the offset that is in force
    /// at the time that the first guess gives.
    fn instant(&self, wall: DateTime) -> Option<i64> {
        let guess = Offset::UTC.to_timestamp(wall).ok()?.as_second();
        Some(guess - self.offset(guess - self.offset(guess)?)?)
    }
}

fn holds(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits.checked_shr(value).is_some_and(|bits| bits & 1 == 1))
}

/// Go's search would go round for ever where a zone skipped a whole day (Samoa, 2011).
fn forward(from: i64, to: i64) -> Option<i64> {
    (to > from).then_some(to)
}

#[cfg(test)]
mod tests;
