//! Which problems become Events, and when.
//!
//! Job: one Event for each problem of an object, counted up when it comes back or goes on. Input: the problems of a moment, and the time.
//! Output: writes. Invariant: no I/O; memory and rate are capped; a problem that flaps is one series, not many Events.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use sealway_api::{ObjectRef, Timestamp};
use sealway_core::{Problem, Severity};
use tokio::time::Instant;

/// Events that may be made at once, and then one for each [`REFILL`].
const BURST: u32 = 50;
const REFILL: Duration = Duration::from_millis(500);
/// A problem that goes on is told again that often (client-go's refresh of a series), before the API server forgets it.
const REFRESH: Duration = Duration::from_secs(30 * 60);
/// A problem that was away for less is the same series (client-go's too).
const SERIES: Duration = Duration::from_secs(6 * 60);
/// Series that are remembered.
const MOST: usize = 4096;

/// One Event as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) object: ObjectRef,
    /// Unique in the object's namespace for this problem and this process.
    pub(super) name: String,
    pub(super) severity: Severity,
    /// One word in CamelCase.
    pub(super) reason: String,
    pub(super) text: String,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// From 2 on it is a series.
    pub(super) count: i32,
}

#[derive(Debug)]
struct Entry {
    note: Note,
    /// `None`: not yet, for want of a token.
    written: Option<Instant>,
    /// `None`: it is there now.
    left: Option<Instant>,
}

/// Remembers what was told.
#[derive(Debug)]
pub(super) struct Book {
    /// Tells this process' Events from those of others.
    instance: u64,
    entries: BTreeMap<Problem, Entry>,
    tokens: u32,
    refilled: Instant,
}

impl Book {
    pub(super) fn new(instance: u64, now: Instant) -> Self {
        Self {
            instance,
            entries: BTreeMap::new(),
            tokens: BURST,
            refilled: now,
        }
    }

    /// Forgets what was told: somebody else tells now.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// What to write, now that these are the problems.
    pub(super) fn note(&mut self, problems: &[Problem], now: Instant, wall: Timestamp) -> Vec<Note> {
        self.refill(now);
        let current: BTreeSet<&Problem> = problems.iter().filter(|problem| problem.object.is_some()).collect();
        self.entries.retain(|problem, entry| {
            if current.contains(problem) {
                return true;
            }
            let left = *entry.left.get_or_insert(now);
            // What was never told need not be remembered.
            entry.written.is_some() && now < left + SERIES
        });
        for problem in current {
            if let Some(entry) = self.entries.get_mut(problem) {
                let is_back = entry.left.take().is_some();
                let is_old = entry.written.is_some_and(|written| now >= written + REFRESH);
                if is_back || is_old {
                    entry.note.count = entry.note.count.saturating_add(1);
                    entry.note.last = wall;
                    entry.written = None;
                }
            } else if self.entries.len() < MOST
                && let Some(note) = self.first(problem, wall)
            {
                let entry = Entry {
                    note,
                    written: None,
                    left: None,
                };
                self.entries.insert(problem.clone(), entry);
            }
        }
        let mut notes = Vec::new();
        for entry in self
            .entries
            .values_mut()
            .filter(|entry| entry.written.is_none() && entry.left.is_none())
        {
            let Some(left) = self.tokens.checked_sub(1) else { break };
            self.tokens = left;
            entry.written = Some(now);
            notes.push(entry.note.clone());
        }
        notes
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        let gained = u32::try_from(elapsed.as_millis() / REFILL.as_millis()).unwrap_or(BURST);
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(gained).min(BURST);
            self.refilled = now;
        }
    }

    fn first(&self, problem: &Problem, wall: Timestamp) -> Option<Note> {
        let object = problem.object.clone()?;
        let mut hasher = DefaultHasher::new();
        (self.instance, &object, &problem.field).hash(&mut hasher);
        problem.to_string().hash(&mut hasher);
        let hash = hasher.finish();
        // A name may have 253 bytes.
        let stem: String = object.key.name.chars().take(200).collect();
        let place = if problem.field.is_empty() {
            String::new()
        } else {
            format!("{}: ", problem.field)
        };
        Some(Note {
            name: format!("{stem}.{hash:016x}"),
            severity: problem.cause.severity(),
            reason: problem.cause.reason().to_string(),
            text: format!("{place}{}", problem.cause.sentence()),
            object,
            first: wall,
            last: wall,
            count: 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use sealway_api::Kind;
    use sealway_core::Cause;

    use super::*;

    const WALL: Timestamp = Timestamp::UNIX_EPOCH;

    fn problem(name: &str) -> Problem {
        Problem::new(
            ObjectRef::new(Kind::TlsRoute, "a", name),
            "spec.rules[0]",
            Cause::SelectorMissing,
        )
    }

    fn counts(notes: &[Note]) -> Vec<(&str, i32)> {
        notes.iter().map(|note| (note.object.key.name.as_str(), note.count)).collect()
    }

    #[test]
    fn a_problem_that_stays_is_told_once_and_then_every_half_hour() {
        let start = Instant::now();
        let mut book = Book::new(1, start);
        let problems = [problem("r")];
        let first = book.note(&problems, start, WALL);
        assert_eq!(counts(&first), [("r", 1)]);
        assert!(first[0].text.starts_with("spec.rules[0]: "), "{}", first[0].text);
        assert!(book.note(&problems, start + Duration::from_secs(60), WALL).is_empty());
        let again = book.note(&problems, start + REFRESH, WALL);
        assert_eq!(counts(&again), [("r", 2)]);
        assert_eq!(again[0].name, first[0].name);
    }

    #[test]
    fn a_problem_that_flaps_is_one_series_and_one_that_comes_back_late_is_new() {
        let start = Instant::now();
        let mut book = Book::new(1, start);
        let problems = [problem("r")];
        book.note(&problems, start, WALL);
        assert!(book.note(&[], start + Duration::from_secs(1), WALL).is_empty());
        assert_eq!(
            counts(&book.note(&problems, start + Duration::from_secs(2), WALL)),
            [("r", 2)]
        );
        book.note(&[], start + Duration::from_secs(3), WALL);
        book.note(&[], start + Duration::from_secs(3) + SERIES, WALL);
        assert_eq!(
            counts(&book.note(&problems, start + Duration::from_secs(4) + SERIES, WALL)),
            [("r", 1)]
        );
    }

    #[test]
    fn a_thousand_problems_are_told_slowly_and_none_is_forgotten() {
        let start = Instant::now();
        let mut book = Book::new(1, start);
        let problems: Vec<Problem> = (0..1000).map(|number| problem(&format!("r{number}"))).collect();
        let mut told = book.note(&problems, start, WALL).len();
        assert_eq!(told, 50);
        assert_eq!(book.note(&problems, start + Duration::from_secs(1), WALL).len(), 2);
        told += 2;
        for second in 2..=480 {
            told += book.note(&problems, start + Duration::from_secs(second), WALL).len();
        }
        assert_eq!(told, 1000);
    }

    #[test]
    fn memory_is_capped_and_what_belongs_to_no_object_is_not_told() {
        let start = Instant::now();
        let mut book = Book::new(1, start);
        let problems: Vec<Problem> = (0..MOST + 10).map(|number| problem(&format!("r{number}"))).collect();
        book.note(&problems, start, WALL);
        assert_eq!(book.entries.len(), MOST);
        let nobody = Problem {
            object: None,
            ..problem("r")
        };
        assert!(Book::new(1, start).note(&[nobody], start, WALL).is_empty());
    }
}
