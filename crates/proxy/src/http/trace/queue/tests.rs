//! Spans leave in their order, in time, and never in greater numbers than fit.

use proptest::prelude::*;

use super::*;

fn span(length: usize) -> Bytes {
    Bytes::from(vec![7; length])
}

#[test]
fn a_batch_is_due_when_it_is_full_or_old() {
    let begun = Instant::now();
    let mut queue = Queue::default();
    assert_eq!(queue.due_at(), None);
    assert_eq!(queue.offer(span(10), begun), Offered::Due);
    assert_eq!(queue.offer(span(10), begun), Offered::Queued);
    assert_eq!(queue.take(begun), None);
    assert_eq!(queue.due_at(), Some(begun + LONGEST_WAIT));
    assert_eq!(queue.take(begun + LONGEST_WAIT).unwrap().len(), 2);
    assert_eq!(queue.due_at(), None);

    for count in 1..=BATCH_SPANS {
        let expected = if count == 1 || count == BATCH_SPANS {
            Offered::Due
        } else {
            Offered::Queued
        };
        assert_eq!(queue.offer(span(1), begun), expected, "{count}");
    }
    assert_eq!(queue.take(begun).unwrap().len(), BATCH_SPANS);
    // By size as well.
    assert_eq!(queue.offer(span(BATCH_BYTES / 2), begun), Offered::Due);
    assert_eq!(queue.offer(span(BATCH_BYTES), begun), Offered::Due);
    assert_eq!(queue.take(begun).unwrap().len(), 1);
    assert_eq!(queue.take(begun).unwrap().len(), 1);
}

#[test]
fn what_has_no_room_is_refused_and_nothing_comes_after_the_end() {
    let begun = Instant::now();
    let mut queue = Queue::default();
    let taken = (0..MOST_SPANS + 5).filter(|_| queue.offer(span(1), begun) != Offered::Dropped);
    assert_eq!(taken.count(), MOST_SPANS);
    queue.close();
    assert_eq!(queue.offer(span(1), begun), Offered::Dropped);
    let mut left = 0;
    while let Some(batch) = queue.take(begun) {
        assert!(!queue.has_ended() || left + batch.len() == MOST_SPANS);
        left += batch.len();
    }
    assert_eq!(left, MOST_SPANS);
    assert!(queue.has_ended());
    assert_eq!(Queue::default().offer(span(MOST_BYTES + 1), begun), Offered::Dropped);
}

proptest! {
    #[test]
    fn everything_that_was_taken_leaves_in_its_order(lengths in proptest::collection::vec(1..400_000_usize, 1..60), pause in 0..2_000_u64) {
        let mut now = Instant::now();
        let mut queue = Queue::default();
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for (number, length) in lengths.into_iter().enumerate() {
            let mut bytes = vec![0; length];
            bytes[0] = number as u8;
            let bytes = Bytes::from(bytes);
            if queue.offer(bytes.clone(), now) != Offered::Dropped {
                taken.push(bytes);
            }
            prop_assert!(queue.bytes <= MOST_BYTES && queue.spans.len() <= MOST_SPANS);
            now += Duration::from_millis(pause);
            if number % 3 == 0 && let Some(batch) = queue.take(now) {
                prop_assert!(batch.len() == 1 || batch.iter().map(Bytes::len).sum::<usize>() <= BATCH_BYTES);
                left.extend(batch);
            }
        }
        queue.close();
        while let Some(batch) = queue.take(now) {
            left.extend(batch);
        }
        prop_assert_eq!(left, taken);
        prop_assert_eq!(queue.bytes, 0);
    }
}
