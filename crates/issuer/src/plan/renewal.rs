//! When a certificate is renewed (cert-manager's `pki.RenewalTime`).
//!
//! Input: the certificate's first and last second, and the spec. Output: the time, in whole seconds. Invariant: however odd the spec,
//! a certificate whose renewals are not disabled has a time at which it is due.

use std::time::Duration;

use sealway_api::{CertificateSpec, RenewalPolicy, RenewalWindow, Timestamp};

use super::times::{between, earlier, later, plain, whole_seconds};
use crate::cron::{Schedule, zone};
use crate::go_text::parse_duration;
use crate::settings::Behaviour;

/// When a certificate is renewed, and what the status says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Renewal {
    /// `None`: its renewals are disabled.
    pub(super) due: Option<Timestamp>,
    /// `status.renewalTime`.
    pub(super) shown: Option<Timestamp>,
    /// Why the windows could not be kept to.
    pub(super) fault: Option<String>,
}

/// cert-manager lets a certificate end when the only window opens soon after; [`Behaviour::Sealway`] takes no window for none then.
pub(super) fn renewal(not_before: Timestamp, not_after: Timestamp, spec: &CertificateSpec, behaviour: Behaviour) -> Renewal {
    let desired = desired(not_before, not_after, spec);
    let plainly = Renewal {
        due: Some(desired),
        shown: Some(desired),
        fault: None,
    };
    let Some(renewal) = &spec.renewal else { return plainly };
    match &renewal.policy {
        Some(RenewalPolicy::Disabled) => Renewal::default(),
        Some(RenewalPolicy::RenewBefore) if renewal.windows.is_empty() => plainly,
        Some(RenewalPolicy::RenewBefore) => match in_windows(not_after, desired, &renewal.windows, behaviour) {
            Ok(Some(time)) => Renewal {
                due: Some(time),
                shown: Some(time),
                fault: None,
            },
            Ok(None) => Renewal {
                fault: Some(format!(
                    "cannot find a time with the given windows between {} and {} for: {}",
                    plain(not_before),
                    plain(not_after),
                    plain(desired)
                )),
                ..plainly
            },
            Err(fault) => Renewal {
                shown: None,
                fault: Some(fault),
                ..plainly
            },
        },
        other => Renewal {
            shown: None,
            fault: Some(format!(
                "unsupported renewal policy: {}",
                other.as_ref().map(ToString::to_string).unwrap_or_default()
            )),
            ..plainly
        },
    }
}

/// So long before the end as the spec says, or else after two thirds of the lifetime. The lifetime is the certificate's own, not the
/// one that was asked for.
fn desired(not_before: Timestamp, not_after: Timestamp, spec: &CertificateSpec) -> Timestamp {
    let lifetime = between(not_before, not_after);
    let stated = spec.renew_before.as_deref().and_then(duration);
    let before = match (stated, spec.renew_before_percentage) {
        (Some(stated), _) if !stated.is_zero() && stated < lifetime => stated,
        (_, Some(percentage @ 1..=99)) => share(lifetime, percentage),
        _ => lifetime / 3,
    };
    whole_seconds(earlier(not_after, before))
}

/// Rounded as cert-manager rounds: it goes through a float.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn share(lifetime: Duration, percentage: i32) -> Duration {
    let nanoseconds = u64::try_from(lifetime.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos((nanoseconds as f64 * f64::from(percentage) / 100.0) as u64)
}

fn duration(text: &str) -> Option<Duration> {
    parse_duration(text)
        .ok()
        .and_then(|nanoseconds| u64::try_from(nanoseconds).ok())
        .map(Duration::from_nanos)
}

/// `desired` when a window is open then, else the next opening; `None` when none comes in time.
fn in_windows(
    not_after: Timestamp,
    desired: Timestamp,
    windows: &[RenewalWindow],
    behaviour: Behaviour,
) -> Result<Option<Timestamp>, String> {
    let second = Duration::from_secs(1);
    let mut open = false;
    let mut next: Option<Timestamp> = None;
    for window in windows {
        zone(&window.timezone).map_err(|fault| format!("error parsing timezone in window {fault}"))?;
        let schedule =
            Schedule::parse(&window.cron, &window.timezone).map_err(|fault| format!("error parsing cron in window {fault}"))?;
        let length = window
            .window_duration
            .as_deref()
            .and_then(duration)
            .filter(|length| !length.is_zero())
            .ok_or_else(|| format!("windowDuration must be a positive duration in window {}", window.cron))?;
        // A window is open when it opened no longer ago than it lasts; its last moment counts.
        let opened = schedule.next(earlier(earlier(desired, length), Duration::from_nanos(1)));
        open |= opened.is_some_and(|opened| opened <= desired);
        let opens = schedule.next(earlier(desired, second));
        let in_time = |opens: &Timestamp| match behaviour {
            Behaviour::Sealway => *opens < not_after,
            Behaviour::CertManager => *opens <= later(not_after, length),
        };
        if let Some(opens) = opens.filter(in_time) {
            next = Some(next.map_or(opens, |next| next.min(opens)));
        }
    }
    Ok(if open { Some(desired) } else { next })
}

#[cfg(test)]
mod tests;
