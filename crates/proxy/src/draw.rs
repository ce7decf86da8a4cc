//! Random draws for weights, samples and names. Not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// A number below `bound`, which must not be 0; each is as likely as the others, save for a bias far below what weights can tell.
pub(crate) fn below(bound: u64) -> u64 {
    word().checked_rem(bound).unwrap_or(0)
}

/// Any number.
pub(crate) fn word() -> u64 {
    STATE.with(|state| {
        // SplitMix64 (Steele, Lea, Flood 2014).
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_fall_everywhere_about_equally() {
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[usize::try_from(below(10)).unwrap()] += 1;
        }
        // Ten standard deviations are 949.
        assert!(counts.iter().all(|count| (9_000..11_000).contains(count)), "{counts:?}");
    }
}
