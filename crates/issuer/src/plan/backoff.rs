//! When a Certificate that failed is tried again: 1 h × 2^(n-1) after its n-th failure, 32 h at most (cert-manager's
//! `shouldBackoffReissuingOnFailure`).
//!
//! At once, when what is asked for has changed since, when `sealway certs renew` came since, or when the clock was set back to before
//! the failure: waiting for that moment could take years.

use std::time::Duration;

use sealway_api::Timestamp;

use super::times::later;
use crate::issued::Attempt;
use crate::request::Request;

const FIRST: Duration = Duration::from_hours(1);
const LONGEST: Duration = Duration::from_hours(32);

/// Until when to wait; `None`: not at all.
pub(super) fn waits_until(now: Timestamp, attempt: &Attempt, wanted: &Request) -> Option<Timestamp> {
    let failed = attempt.last_failure.filter(|failed| *failed <= now)?;
    if attempt.renewal_asked.is_some_and(|asked| asked > failed) {
        return None;
    }
    if attempt
        .request
        .as_ref()
        .is_some_and(|request| !request.differences(wanted).is_empty())
    {
        return None;
    }
    let again = later(failed, delay(attempt.failures));
    (now < again).then_some(again)
}

fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(5);
    (FIRST * 2_u32.pow(doublings)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_thirty_two_hours() {
        for (failures, hours) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (4, 8),
            (5, 16),
            (6, 32),
            (7, 32),
            (u32::MAX, 32),
        ] {
            let attempt = Attempt {
                failures,
                last_failure: Some(second(0)),
                ..Attempt::default()
            };
            let again = second(hours * 3600);
            let wanted = Request::default();
            assert_eq!(waits_until(second(0), &attempt, &wanted), Some(again), "{failures}");
            assert_eq!(
                waits_until(second(hours * 3600 - 1), &attempt, &wanted),
                Some(again),
                "{failures}"
            );
            assert_eq!(waits_until(again, &attempt, &wanted), None, "{failures}");
        }
    }

    #[test]
    fn who_never_failed_does_not_wait() {
        assert_eq!(waits_until(second(0), &Attempt::default(), &Request::default()), None);
    }

    #[test]
    fn a_request_to_renew_ends_the_wait_unless_it_is_what_failed() {
        let mut attempt = Attempt {
            failures: 3,
            last_failure: Some(second(10)),
            renewal_asked: Some(second(11)),
            ..Attempt::default()
        };
        assert_eq!(waits_until(second(12), &attempt, &Request::default()), None);
        attempt.renewal_asked = Some(second(9));
        assert!(waits_until(second(12), &attempt, &Request::default()).is_some());
    }

    #[test]
    fn a_clock_set_back_ends_the_wait() {
        let attempt = Attempt {
            failures: 6,
            last_failure: Some(second(1_000_000)),
            ..Attempt::default()
        };
        assert_eq!(waits_until(second(0), &attempt, &Request::default()), None);
    }
}
