//! Warnings 21, 7 and 1 days before the end of a certificate that nothing is going to renew in time. One that is renewed as it should be
//! gets none, however short it lives.

use std::time::Duration;

use sealway_api::Timestamp;

use super::times::{earlier, later};
use super::trouble::{Ending, Trouble};
use super::wake::Wake;

const DAYS: [u64; 3] = [1, 7, 21];

/// `what` and `why`: as in "the certificate in Secret a/b" and "its renewals are disabled".
pub(super) fn warning(now: Timestamp, at: Timestamp, what: String, why: &str, hint: &str, wake: &mut Wake) -> Option<Trouble> {
    let ahead = |days: u64| earlier(at, Duration::from_hours(24 * days));
    for days in DAYS {
        wake.at(ahead(days));
    }
    wake.at(later(at, Duration::from_secs(1)));
    let days = if now > at {
        0
    } else {
        DAYS.into_iter().find(|days| ahead(*days) <= now)?
    };
    Some(Trouble::Ends(Ending {
        what,
        at,
        days,
        why: why.to_owned(),
        hint: hint.to_owned(),
    }))
}
