//! The tables are those of cert-manager's own test (`pkg/util/pki/renewaltime_test.go`), with fixed times.

use sealway_api::Renewal as RenewalSpec;

use super::{Behaviour, CertificateSpec, Duration, Renewal, RenewalPolicy, RenewalWindow, Timestamp, between, later};

fn renewal(not_before: Timestamp, not_after: Timestamp, spec: &CertificateSpec) -> Renewal {
    super::renewal(not_before, not_after, spec, Behaviour::CertManager)
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn spec(renew_before: Option<&str>, percentage: Option<i32>) -> CertificateSpec {
    CertificateSpec {
        renew_before: renew_before.map(str::to_owned),
        renew_before_percentage: percentage,
        ..CertificateSpec::default()
    }
}

#[test]
fn without_windows() {
    let now = time("2026-11-28T03:37:16Z");
    let hours = |hours: f64| later(now, Duration::from_secs_f64(hours * 3600.0));
    // Lifetime in hours, renewBefore, renewBeforePercentage, hours until renewal.
    let table = [
        (3.0, None, None, 2.0),
        (4380.0, None, None, 2920.0),
        (24.0, Some("20h"), None, 4.0),
        (730.0, Some("706h"), None, 24.0),
        // Longer than the lifetime, or as long: the default.
        (24.0, Some("25h"), None, 16.0),
        (24.0, Some("24h"), None, 16.0),
        (24.0, Some("0s"), None, 16.0),
        (24.0, Some("tomorrow"), None, 16.0),
        (730.0, None, Some(30), 511.0),
        (3.0, None, Some(25), 2.25),
        (3.0, None, Some(100), 2.0),
        (3.0, None, Some(0), 2.0),
        (24.05, Some("24h"), None, 0.05),
        // Beyond what 64 bits of nanoseconds times 99 would hold.
        (87600.0, None, Some(99), 876.0),
    ];
    for (lifetime, before, percentage, expected) in table {
        let renewal = renewal(now, hours(lifetime), &spec(before, percentage));
        assert_eq!(renewal.due, Some(hours(expected)), "{lifetime} {before:?} {percentage:?}");
        assert_eq!(renewal.shown, renewal.due);
        assert_eq!(renewal.fault, None);
    }
}

#[test]
fn a_lifetime_that_three_does_not_divide_is_cut_to_seconds() {
    let not_before = time("2026-11-28T03:37:16Z");
    let renewal = renewal(not_before, time("2026-11-28T05:37:15Z"), &spec(None, None));
    assert_eq!(renewal.due, Some(time("2026-11-28T04:57:15Z")));
    // What the real one said of this one.
    let percentage = spec(None, Some(17));
    let real = super::renewal(not_before, time("2026-12-02T07:37:17Z"), &percentage, Behaviour::CertManager);
    assert_eq!(real.due, Some(time("2026-12-01T14:37:16Z")));
}

fn windowed(before: &str, windows: &[(&str, &str, &str)]) -> CertificateSpec {
    CertificateSpec {
        renewal: Some(RenewalSpec {
            policy: Some(RenewalPolicy::RenewBefore),
            windows: windows
                .iter()
                .map(|(zone, cron, length)| RenewalWindow {
                    timezone: (*zone).to_owned(),
                    window_duration: Some((*length).to_owned()),
                    cron: (*cron).to_owned(),
                })
                .collect(),
        }),
        ..spec(Some(before), None)
    }
}

#[test]
fn windows() {
    struct Row {
        what: &'static str,
        not_before: &'static str,
        not_after: &'static str,
        desired: &'static str,
        windows: &'static [(&'static str, &'static str, &'static str)],
        expected: &'static str,
    }
    let table = [
        Row {
            what: "inside a window",
            not_before: "2026-05-01T00:00:00Z",
            not_after: "2026-05-20T00:00:00Z",
            desired: "2026-05-18T10:30:00Z",
            windows: &[("UTC", "0 10 * * *", "2h")],
            expected: "2026-05-18T10:30:00Z",
        },
        Row {
            what: "after the window of the day",
            not_before: "2026-05-01T00:00:00Z",
            not_after: "2026-05-20T00:00:00Z",
            desired: "2026-05-18T13:00:00Z",
            windows: &[("UTC", "0 10 * * *", "2h")],
            expected: "2026-05-19T10:00:00Z",
        },
        Row {
            what: "at the very end of a window",
            not_before: "2026-05-01T00:00:00Z",
            not_after: "2026-05-20T00:00:00Z",
            desired: "2026-05-18T12:00:00Z",
            windows: &[("UTC", "0 10 * * *", "2h")],
            expected: "2026-05-18T12:00:00Z",
        },
        Row {
            what: "before the window of the day",
            not_before: "2026-05-01T00:00:00Z",
            not_after: "2026-05-19T00:00:00Z",
            desired: "2026-05-18T09:00:00Z",
            windows: &[("", "0 15 * * *", "2h")],
            expected: "2026-05-18T15:00:00Z",
        },
        Row {
            what: "weekdays and weekend: the 16th of May 2026 is a Saturday",
            not_before: "2026-05-01T00:00:00Z",
            not_after: "2026-05-17T00:00:00Z",
            desired: "2026-05-16T06:00:00Z",
            windows: &[("UTC", "0 23 * * 1-5", "2h"), ("UTC", "0 10 * * 6,0", "4h")],
            expected: "2026-05-16T10:00:00Z",
        },
        Row {
            what: "inside a window of Phoenix",
            not_before: "2026-05-01T00:00:00Z",
            not_after: "2026-05-20T00:00:00Z",
            desired: "2026-05-18T17:30:00Z",
            windows: &[("America/Phoenix", "0 10 * * *", "2h")],
            expected: "2026-05-18T17:30:00Z",
        },
        Row {
            what: "the clocks of Denver go back in between",
            not_before: "2026-02-26T00:00:00Z",
            not_after: "2026-11-03T00:00:00Z",
            desired: "2026-10-31T21:30:00Z",
            windows: &[("America/Denver", "0 10 * * *", "2h")],
            expected: "2026-11-01T17:00:00Z",
        },
        Row {
            what: "opens only after the end, within its own length",
            not_before: "2026-05-01T00:00:00Z",
            not_after: "2026-05-20T00:00:00Z",
            desired: "2026-05-19T12:30:00Z",
            windows: &[("UTC", "0 1 * * *", "2h")],
            expected: "2026-05-20T01:00:00Z",
        },
    ];
    for row in table {
        let before = between(time(row.desired), time(row.not_after)).as_secs();
        let spec = windowed(&format!("{before}s"), row.windows);
        let renewal = renewal(time(row.not_before), time(row.not_after), &spec);
        assert_eq!(renewal.due, Some(time(row.expected)), "{}", row.what);
        assert_eq!(renewal.fault, None, "{}", row.what);
    }
}

#[test]
fn no_window_in_time() {
    let spec = windowed("37800s", &[("UTC", "0 10 * * *", "2h")]);
    let renewal = renewal(time("2026-05-01T00:00:00Z"), time("2026-05-19T00:00:00Z"), &spec);
    assert_eq!(renewal.due, Some(time("2026-05-18T13:30:00Z")));
    assert_eq!(renewal.shown, renewal.due);
    assert_eq!(
        renewal.fault.as_deref(),
        Some(
            "cannot find a time with the given windows between 2026-05-01 00:00:00 +0000 UTC and 2026-05-19 00:00:00 +0000 UTC \
             for: 2026-05-18 13:30:00 +0000 UTC"
        )
    );
}

#[test]
fn what_cannot_be_read_still_has_a_time() {
    let times = (time("2026-05-01T00:00:00Z"), time("2026-05-31T00:00:00Z"));
    let due = Some(time("2026-05-21T00:00:00Z"));
    for (windows, fault) in [
        (
            ("Mars/Olympus", "0 10 * * *", "2h"),
            "error parsing timezone in window unknown time zone Mars/Olympus",
        ),
        (
            ("UTC", "0 10 * *", "2h"),
            "error parsing cron in window failed to parse cron spec '0 10 * *': expected exactly 5 fields, found 4: [0 10 * *]",
        ),
        (
            ("UTC", "0 10 * * *", "0s"),
            "windowDuration must be a positive duration in window 0 10 * * *",
        ),
    ] {
        let spec = windowed("240h", &[windows]);
        let renewal = renewal(times.0, times.1, &spec);
        assert_eq!((renewal.due, renewal.shown), (due, None));
        assert_eq!(renewal.fault.as_deref(), Some(fault));
    }
    let policy = CertificateSpec {
        renewal: Some(RenewalSpec::default()),
        ..spec(Some("240h"), None)
    };
    assert_eq!(renewal(times.0, times.1, &policy).due, due);
    assert!(renewal(times.0, times.1, &policy).fault.is_some());
}

#[test]
fn disabled_is_never() {
    let spec = CertificateSpec {
        renewal: Some(RenewalSpec {
            policy: Some(RenewalPolicy::Disabled),
            windows: Vec::new(),
        }),
        ..spec(Some("20h"), None)
    };
    assert_eq!(
        renewal(time("2026-05-01T00:00:00Z"), time("2026-05-02T00:00:00Z"), &spec),
        Renewal::default()
    );
}

#[test]
fn times_at_the_ends_of_the_calendar_do_no_harm() {
    let spec = windowed("5m", &[("UTC", "0 10 * * *", "2h")]);
    for (not_before, not_after) in [
        (Timestamp::MIN, Timestamp::MAX),
        (Timestamp::MAX, Timestamp::MIN),
        (Timestamp::MAX, Timestamp::MAX),
        (Timestamp::MIN, Timestamp::MIN),
    ] {
        assert!(renewal(not_before, not_after, &spec).due.is_some());
    }
}

#[test]
fn a_window_after_the_end_is_none_for_sealway() {
    let spec = windowed("41400s", &[("UTC", "0 1 * * *", "2h")]);
    let (not_before, not_after) = (time("2026-05-01T00:00:00Z"), time("2026-05-20T00:00:00Z"));
    assert_eq!(renewal(not_before, not_after, &spec).due, Some(time("2026-05-20T01:00:00Z")));
    let ours = super::renewal(not_before, not_after, &spec, Behaviour::Sealway);
    assert_eq!(ours.due, Some(time("2026-05-19T12:30:00Z")));
    assert!(ours.fault.is_some());
}
