//! The rules for durations and renewal windows.

use sealway_api::{CertificateSpec, RenewalPolicy, RenewalWindow};

use super::field_error::{FieldError, forbidden, invalid, invalid_value, not_supported, required};
use crate::cron::{Schedule, zone};
use crate::go_text::{GoDuration, parse_duration};

const MINUTE: i64 = 60_000_000_000;
const DEFAULT_DURATION: i64 = 90 * 24 * 60 * MINUTE;
const MINIMUM_DURATION: GoDuration = GoDuration(60 * MINUTE);
const MINIMUM_RENEW_BEFORE: GoDuration = GoDuration(5 * MINUTE);

pub(super) fn durations(spec: &CertificateSpec, errors: &mut Vec<FieldError>) {
    let stated = duration("spec.duration", spec.duration.as_deref(), errors);
    let renew_before = duration("spec.renewBefore", spec.renew_before.as_deref(), errors);
    if stated.is_none() && renew_before.is_none() {
        // So cert-manager does not look at renewBeforePercentage on its own.
        return;
    }
    let duration = GoDuration(stated.unwrap_or(DEFAULT_DURATION));
    if duration.0 < MINIMUM_DURATION.0 {
        let detail = format!("certificate duration must be greater than {MINIMUM_DURATION}");
        errors.push(invalid_value("spec.duration", &duration.0, detail).hint("write an hour or more: `duration: 1h`"));
    }
    if let (Some(renew_before), Some(percentage)) = (renew_before, spec.renew_before_percentage) {
        let detail = "renewBefore and renewBeforePercentage are mutually exclusive and cannot both be set";
        let hint = "keep one of the two";
        errors.push(invalid_value("spec.renewBefore", &renew_before, detail).hint(hint));
        errors.push(invalid_value("spec.renewBeforePercentage", &percentage, detail).hint(hint));
    }
    if let Some(renew_before) = renew_before.map(GoDuration) {
        let field = "spec.renewBefore";
        if renew_before.0 < MINIMUM_RENEW_BEFORE.0 {
            let detail = format!("certificate renewBefore must be greater than {MINIMUM_RENEW_BEFORE}");
            errors.push(invalid_value(field, &renew_before.0, detail).hint("write five minutes or more: `renewBefore: 5m`"));
        }
        if renew_before.0 >= duration.0 {
            let detail = format!("certificate duration {duration} must be greater than renewBefore {renew_before}");
            errors.push(
                invalid_value(field, &renew_before.0, detail)
                    .hint("write less than `duration`, which is 2160h when it is left out"),
            );
        }
    }
    if let Some(percentage) = spec.renew_before_percentage {
        // In floating point and of the rest of the lifetime, as cert-manager checks it, though it renews by the percentage itself.
        let renew_before = (duration.0 as f64 * (100.0 - f64::from(percentage)) / 100.0) as i64;
        let field = "spec.renewBeforePercentage";
        let hint = "write a number from 1 to 99 that leaves five minutes or more";
        if renew_before < MINIMUM_RENEW_BEFORE.0 {
            let detail =
                format!("certificate renewBeforePercentage must result in a renewBefore greater than {MINIMUM_RENEW_BEFORE}");
            errors.push(invalid_value(field, &percentage, detail).hint(hint));
        }
        if renew_before >= duration.0 {
            let detail = "certificate renewBeforePercentage must result in a renewBefore less than duration";
            errors.push(invalid_value(field, &percentage, detail).hint(hint));
        }
    }
}

/// Nanoseconds. What is no duration would never have reached cert-manager's webhook; the words are Go's.
fn duration(field: &str, text: Option<&str>, errors: &mut Vec<FieldError>) -> Option<i64> {
    match parse_duration(text?) {
        Ok(duration) => Some(duration),
        Err(fault) => {
            let hint = "write hours, minutes and seconds, as `2160h` or `1h30m`; there are no days";
            errors.push(invalid(field, text.unwrap_or_default(), fault.to_string()).hint(hint));
            None
        }
    }
}

pub(super) fn renewal(spec: &CertificateSpec, errors: &mut Vec<FieldError>) {
    let Some(renewal) = &spec.renewal else { return };
    match &renewal.policy {
        Some(RenewalPolicy::RenewBefore) => {}
        Some(RenewalPolicy::Disabled) => {
            if !renewal.windows.is_empty() {
                let detail = "windows cannot be set when `renewal.policy` is set to Disabled";
                errors
                    .push(forbidden("spec.renewal.windows", detail).hint("take the windows out, or write `policy: RenewBefore`"));
            }
            return;
        }
        other => {
            let policy = other.as_ref().map_or("", RenewalPolicy::as_str);
            let hint = "write `policy: RenewBefore`, or `policy: Disabled` for a certificate that is never renewed";
            errors.push(not_supported("spec.renewal.policy", &policy, &["Disabled", "RenewBefore"]).hint(hint));
        }
    }
    for (index, window) in renewal.windows.iter().enumerate() {
        renewal_window(&format!("spec.renewal.windows[{index}]"), window, errors);
    }
}

fn renewal_window(field: &str, window: &RenewalWindow, errors: &mut Vec<FieldError>) {
    let length = format!("{field}.windowDuration");
    if window.window_duration.is_none() {
        let detail = "windowDuration must be specified and should be greater than 0";
        errors.push(required(&length, detail).hint("say how long the window stays open: `windowDuration: 2h`"));
    }
    duration(&length, window.window_duration.as_deref(), errors);
    if zone(&window.timezone).is_err() {
        let detail = "invalid value for timezone. timezone must be IANA compliant";
        errors.push(invalid(&format!("{field}.timezone"), &window.timezone, detail).hint("write a name such as `Europe/Berlin`"));
    }
    if let Err(fault) = Schedule::parse(&window.cron, &window.timezone) {
        let detail = format!(
            "invalid cron syntax: {fault}. cron needs to follow: cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow"
        );
        let hint = "write minute, hour, day of month, month and day of week: `0 3 * * *` opens it at three every night";
        errors.push(invalid(&format!("{field}.cron"), &window.cron, detail).hint(hint));
    }
}
