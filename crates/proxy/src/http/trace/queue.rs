//! Spans that wait for their export.
//!
//! In: spans, and the time. Out: batches. Invariant: there are never more than [`MOST_SPANS`] with [`MOST_BYTES`]; what has no room is
//! refused at once, so nobody who ends a request waits.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Queue {
    spans: VecDeque<Bytes>,
    bytes: usize,
    /// Since when the first of them waits.
    since: Option<Instant>,
    closed: bool,
}

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// There is no room, or nobody who exports.
    Dropped,
    Queued,
    /// Likewise; and whoever exports has to know of it.
    Due,
}

impl Queue {
    pub(super) fn offer(&mut self, span: Bytes, now: Instant) -> Offered {
        if self.closed || self.spans.len() >= MOST_SPANS || self.bytes + span.len() > MOST_BYTES {
            return Offered::Dropped;
        }
        let was_due = self.is_full();
        let is_first = self.spans.is_empty();
        self.bytes += span.len();
        self.spans.push_back(span);
        self.since.get_or_insert(now);
        if is_first || (!was_due && self.is_full()) {
            Offered::Due
        } else {
            Offered::Queued
        }
    }

    /// Takes no more; what there is is due.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether it takes no more and has none.
    pub(super) fn has_ended(&self) -> bool {
        self.closed && self.spans.is_empty()
    }

    /// When a batch is due; `None`: there is nothing.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.since.map(|since| since + LONGEST_WAIT)
    }

    /// A batch, if one is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Vec<Bytes>> {
        let is_due = self.is_full() || self.closed || self.due_at().is_some_and(|at| at <= now);
        if !is_due || self.spans.is_empty() {
            return None;
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(span) = self.spans.front() {
            // One alone always goes.
            if batch.len() == BATCH_SPANS || (bytes > 0 && bytes + span.len() > BATCH_BYTES) {
                break;
            }
            bytes += span.len();
            batch.extend(self.spans.pop_front());
        }
        self.bytes -= bytes;
        // Those that are left may have waited as long.
        if self.spans.is_empty() {
            self.since = None;
        }
        Some(batch)
    }

    fn is_full(&self) -> bool {
        self.spans.len() >= BATCH_SPANS || self.bytes >= BATCH_BYTES
    }
}

/// Of one Gateway.
pub(super) const MOST_SPANS: usize = 4096;
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Of one export: servers of gRPC take 4 MiB unless told otherwise.
pub(super) const BATCH_SPANS: usize = 512;
const BATCH_BYTES: usize = 1024 * 1024;
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
