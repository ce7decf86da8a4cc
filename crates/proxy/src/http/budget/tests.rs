use std::sync::atomic::AtomicU32;

use proptest::prelude::*;
use sealway_core::{BackendProtocol, UpstreamTls};

use super::*;

fn limits(percent: u8, interval: u64, least: u32, least_interval: u64) -> RetryBudget {
    RetryBudget {
        percent,
        interval: Duration::from_millis(interval),
        least,
        least_interval: Duration::from_millis(least_interval),
    }
}

fn permitted(budget: &Budget, tries: usize, now: Instant) -> usize {
    (0..tries).filter(|_| budget.permits(now)).count()
}

#[test]
fn a_share_of_all_that_is_sent_may_be_retries() {
    let now = Instant::now();
    let budget = Budget::new(limits(20, 10_000, 1, 3_600_000), now);
    (0..800).for_each(|_| budget.count(now));
    // The API's own example: of a thousand, two hundred.
    assert_eq!(permitted(&budget, 1_000, now), 200);
    // What is long ago gives room for nothing; but it takes up none either.
    let later = now + Duration::from_secs(10);
    assert_eq!(permitted(&budget, 10, later), 0);
    (0..4).for_each(|_| budget.count(later));
    assert_eq!(permitted(&budget, 10, later), 1);
}

#[test]
fn so_many_are_permitted_however_little_is_sent() {
    let now = Instant::now();
    let budget = Budget::new(limits(0, 10_000, 3, 1_000), now);
    assert_eq!(permitted(&budget, 10, now), 3);
    assert_eq!(permitted(&budget, 10, now + Duration::from_millis(900)), 0);
    assert_eq!(permitted(&budget, 10, now + Duration::from_secs(1)), 3);
}

#[test]
fn of_all_there_is_no_limit() {
    let now = Instant::now();
    assert_eq!(permitted(&Budget::new(limits(100, 1_000, 1, 1), now), 10_000, now), 10_000);
}

#[test]
fn many_at_once_find_no_more_room_than_one_after_the_other() {
    let now = Instant::now();
    let budget = Budget::new(limits(20, 10_000, 1, 3_600_000), now);
    let found = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..1_000).for_each(|_| budget.count(now)));
        }
    });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    found.fetch_add(u32::from(budget.permits(now)), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(found.into_inner(), 2_000);
}

#[test]
fn threads_that_are_late_and_years_of_silence_do_no_harm() {
    let begun = Instant::now();
    let budget = Budget::new(limits(0, 1_000, 2, 1), begun);
    let hour = Duration::from_secs(3_600);
    for hours in 0..200 {
        let now = begun + hour * hours;
        assert_eq!(permitted(&budget, 5, now), 2, "after {hours} hours");
        // It took this one so long to come here.
        let late = now.checked_sub(Duration::from_micros(300)).filter(|late| *late > begun);
        assert!(!late.is_some_and(|late| budget.permits(late)));
    }
}

/// What is sent, and how many milliseconds after the one before.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Request,
    Retry,
}

fn sent() -> impl Strategy<Value = Vec<(u64, Sent)>> {
    let pause = prop_oneof![6 => Just(0_u64), 6 => 0..40_u64, 1 => 0..3_000_u64];
    let kind = prop_oneof![3 => Just(Sent::Request), 2 => Just(Sent::Retry)];
    prop::collection::vec((pause, kind), 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_more_and_no_less_is_permitted_than_was_counted_by_hand(
        percent in 0..=100_u8, interval in 1_000..4_000_u64, least in 1..6_u32, least_interval in 1..2_000_u64, all in sent(),
    ) {
        let begun = Instant::now();
        let budget = Budget::new(limits(percent, interval, least, least_interval), begun);
        let slice_of = |at: u64, time: u64| u128::from(at) * 1_000_000 / (u128::from(time) * 1_000_000 / 16);
        let within = |past: &u64, now: u64, time: u64| slice_of(now, time) - slice_of(*past, time) < 16;
        let (mut requests, mut retries, mut now) = (Vec::new(), Vec::new(), 0);
        for (pause, kind) in all {
            now += pause;
            let at = begun + Duration::from_millis(now);
            let Sent::Retry = kind else {
                budget.count(at);
                requests.push(now);
                continue;
            };
            let count = |past: &Vec<u64>, time| past.iter().filter(|past| within(past, now, time)).count() as u64;
            let again = count(&retries, interval) + 1;
            let share = again * 100 <= (count(&requests, interval) + again) * u64::from(percent);
            let expected = share || count(&retries, least_interval) < u64::from(least);
            // And by the true time, whatever the slices: a refusal means that the least has been had within its time.
            let had = retries.iter().filter(|past| now - **past < least_interval).count() as u64;
            let got = budget.permits(at);
            prop_assert_eq!(got, expected);
            prop_assert!(got || had >= u64::from(least), "{} of {}", had, least);
            if got {
                retries.push(now);
            }
        }
    }
}

fn backend(port: u16, retry_budget: Option<RetryBudget>) -> Backend {
    Backend {
        service: ObjectKey::new("shop", "web"),
        port,
        endpoints: Vec::new(),
        proxy_protocol: None,
        protocol: BackendProtocol::Unstated,
        tls: UpstreamTls::Plain,
        retry_budget,
    }
}

#[test]
fn what_was_counted_is_kept_until_the_limits_change_or_nobody_has_them() {
    let (budgets, now) = (Budgets::default(), Instant::now());
    let (some, other) = (limits(20, 10_000, 10, 1_000), limits(30, 10_000, 10, 1_000));
    let first = budgets.of(&backend(80, Some(some)), now).expect("a budget");
    let service = ObjectKey::new("shop", "web");
    let mut used = Used::default();
    used.retry_budgets.insert(&service);
    budgets.follow(&used);
    let again = budgets.of(&backend(8080, Some(some)), now).expect("a budget");
    assert!(Arc::ptr_eq(&first, &again), "of the Service, at whatever port");
    assert!(budgets.of(&backend(80, None), now).is_none());
    let changed = budgets.of(&backend(80, Some(other)), now).expect("a budget");
    assert!(!Arc::ptr_eq(&first, &changed));
    budgets.follow(&Used::default());
    assert!(lock(&budgets.0).is_empty());
}
