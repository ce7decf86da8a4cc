use proptest::prelude::*;

use super::*;

/// What cert-manager's own `util.CronParse` gave for the same input: daylight saving, leap years, either day, and nothing at all.
#[test]
fn schedules_come_when_cert_manager_says() {
    for (cron, zone, after, expected) in [
        ("30 2 * * *", "", "2026-01-31T23:59:59.5Z", Some("2026-02-01T02:30:00Z")),
        ("0 0 29 2 *", "", "2097-01-01T00:00:00Z", Some("2104-02-29T00:00:00Z")),
        ("0 0 30 2 *", "", "2026-01-01T00:00:00Z", None),
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00:00Z",
            Some("2026-03-09T06:30:00Z"),
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-11-01T05:30:00Z",
            Some("2026-11-01T06:30:00Z"),
        ),
        (
            "0 0 * * *",
            "America/Santiago",
            "2026-09-05T12:00:00Z",
            Some("2026-09-07T03:00:00Z"),
        ),
        (
            "*/15 2-3 * * sun",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            Some("2026-03-29T01:00:00Z"),
        ),
        ("0 4 13 * fri", "", "2026-02-01T00:00:00Z", Some("2026-02-06T04:00:00Z")),
        ("0 4 */2 * fri", "", "2026-02-01T00:00:00Z", Some("2026-02-01T04:00:00Z")),
        (
            "0 4 ? jan,Jul MON-fri",
            "",
            "2026-02-01T00:00:00Z",
            Some("2026-07-01T04:00:00Z"),
        ),
        ("5/20 * * * *", "", "2026-02-01T00:05:00Z", Some("2026-02-01T00:25:00Z")),
        ("@weekly", "Asia/Tokyo", "2026-02-01T00:00:00Z", Some("2026-02-07T15:00:00Z")),
        ("@every 1.9s", "", "2026-02-01T00:00:00.5Z", Some("2026-02-01T00:00:01Z")),
        ("@every 90m", "UTC", "2026-02-01T00:00:00Z", Some("2026-02-01T01:30:00Z")),
        (
            "0 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00:00Z",
            Some("2026-10-04T15:00:00Z"),
        ),
        (", * * * *", "", "2026-02-01T00:00:00Z", None),
        (
            "TZ=Asia/Tokyo 0 9 * * *",
            "",
            "2026-02-01T00:00:00Z",
            Some("2026-02-02T00:00:00Z"),
        ),
    ] {
        let schedule = Schedule::parse(cron, zone).expect("it reads");
        let next = schedule.next(after.parse().expect("a time"));
        assert_eq!(
            next.map(|next| next.to_string()).as_deref(),
            expected,
            "{cron} in {zone:?} after {after}"
        );
    }
}

#[test]
fn mistakes_are_told_in_cert_managers_words() {
    for (cron, zone, expected) in [
        ("", "", "failed to parse cron spec '': empty spec string"),
        (
            "",
            "UTC",
            "failed to parse cron spec '': expected exactly 5 fields, found 0: []",
        ),
        (
            "* * * *",
            "",
            "failed to parse cron spec '* * * *': expected exactly 5 fields, found 4: [* * * *]",
        ),
        (
            "0 0 * * * *",
            "",
            "failed to parse cron spec '0 0 * * * *': expected exactly 5 fields, found 6: [0 0 * * * *]",
        ),
        (
            "60 * * * *",
            "",
            "failed to parse cron spec '60 * * * *': end of range (60) above maximum (59): 60",
        ),
        (
            "* * 0 * *",
            "",
            "failed to parse cron spec '* * 0 * *': beginning of range (0) below minimum (1): 0",
        ),
        (
            "* 9-5 * * *",
            "",
            "failed to parse cron spec '* 9-5 * * *': beginning of range (9) beyond end of range (5): 9-5",
        ),
        (
            "* */0 * * *",
            "",
            "failed to parse cron spec '* */0 * * *': step of range should be a positive number: */0",
        ),
        (
            "* */-1 * * *",
            "",
            "failed to parse cron spec '* */-1 * * *': negative number (-1) not allowed: -1",
        ),
        (
            "* 1-2-3 * * *",
            "",
            "failed to parse cron spec '* 1-2-3 * * *': too many hyphens: 1-2-3",
        ),
        (
            "* 1/2/3 * * *",
            "",
            "failed to parse cron spec '* 1/2/3 * * *': too many slashes: 1/2/3",
        ),
        (
            "* x * * *",
            "",
            "failed to parse cron spec '* x * * *': failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            "* 99999999999999999999 * * *",
            "",
            "failed to parse cron spec '* 99999999999999999999 * * *': failed to parse int from 99999999999999999999: strconv.Atoi: parsing \"99999999999999999999\": value out of range",
        ),
        (
            "* * * * 7",
            "",
            "failed to parse cron spec '* * * * 7': end of range (7) above maximum (6): 7",
        ),
        (
            "@often",
            "",
            "failed to parse cron spec '@often': unrecognized descriptor: @often",
        ),
        (
            "@every 1d",
            "",
            "failed to parse cron spec '@every 1d': failed to parse duration @every 1d: time: unknown unit \"d\" in duration \"1d\"",
        ),
        (
            "TZ=UTC",
            "",
            "failed to parse cron spec 'TZ=UTC': expected timezone prefix to be followed by a cron spec: TZ=UTC",
        ),
        (
            "* * * * *",
            "Mars/Phobos",
            "failed to parse cron spec '* * * * *': provided bad location Mars/Phobos: unknown time zone Mars/Phobos",
        ),
        (
            "* * * * *",
            "europe/berlin",
            "failed to parse cron spec '* * * * *': provided bad location europe/berlin: unknown time zone europe/berlin",
        ),
        (
            "* * * * *",
            "../etc/passwd",
            "failed to parse cron spec '* * * * *': provided bad location ../etc/passwd: time: invalid location name",
        ),
    ] {
        assert_eq!(
            Schedule::parse(cron, zone).map_err(|fault| fault.to_string()),
            Err(expected.to_owned())
        );
    }
}

proptest! {
    #[test]
    fn any_text_reads_or_is_refused(cron in "[-0-9*/,?@a-z =TZ]{0,16}|.{0,16}", zone in "|UTC|Europe/Berlin|.{0,8}", after in -100_000_000_000_i64..200_000_000_000) {
        if let Ok(schedule) = Schedule::parse(&cron, &zone) {
            let after = Timestamp::from_second(after).expect("in range");
            prop_assert!(schedule.next(after).is_none_or(|next| next > after));
        }
    }
}
