//! Timeouts and retries of a rule.

use std::time::Duration;

use sealway_api::{HttpRouteRetry, HttpRouteTimeouts};

use super::super::values::parse_duration;
use super::{Context, values};
use crate::problem::Cause;
use crate::snapshot::Retry;

/// Base of the pause between tries unless it is stated.
const DEFAULT_BACKOFF: Duration = Duration::from_millis(25);

impl Context<'_, '_> {
    /// Of the whole request, and of one try. Zero switches a timeout off.
    pub(super) fn timeouts(&mut self, at: &str, written: Option<&HttpRouteTimeouts>) -> (Option<Duration>, Option<Duration>) {
        let Some(written) = written else { return (None, None) };
        let request = self.duration(&format!("{at}.timeouts.request"), written.request.as_deref());
        let backend = self.duration(&format!("{at}.timeouts.backendRequest"), written.backend_request.as_deref());
        let limit = |duration: Option<Duration>| duration.filter(|duration| !duration.is_zero());
        if limit(request).is_some_and(|request| backend.is_some_and(|backend| backend > request)) {
            let cause = Cause::TimeoutsContradict {
                request: written.request.clone().unwrap_or_default(),
                backend_request: written.backend_request.clone().unwrap_or_default(),
            };
            self.fail(format_args!("{at}.timeouts.backendRequest"), cause);
        }
        (limit(request), limit(backend))
    }

    pub(super) fn retry(&mut self, at: &str, written: Option<&HttpRouteRetry>) -> Option<Retry> {
        let written = written?;
        let backoff = self.duration(&format!("{at}.retry.backoff"), written.backoff.as_deref());
        for (position, code) in written.codes.iter().enumerate() {
            if !(400..600).contains(code) {
                let cause = values::unsupported(&code.to_string(), "a status from 400 to 599");
                self.fail(format_args!("{at}.retry.codes[{position}]"), cause);
            }
        }
        let mut codes = written.codes.clone();
        codes.sort_unstable();
        codes.dedup();
        // An explicit zero disables retries.
        let attempts = written.attempts.unwrap_or(1);
        (attempts > 0).then_some(Retry {
            codes,
            attempts,
            backoff: backoff.unwrap_or(DEFAULT_BACKOFF),
        })
    }

    pub(super) fn duration(&mut self, at: &str, written: Option<&str>) -> Option<Duration> {
        let text = written?;
        let duration = parse_duration(text).ok_or_else(|| values::unsupported(text, values::A_DURATION));
        self.check(at, duration)
    }
}
