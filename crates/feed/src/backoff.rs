//! How long to wait before trying again: longer each time, and never all at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
/// A controller that comes back is found within that time.
const LONGEST: Duration = Duration::from_secs(5);

/// After so many failures in a row. `draw` is any number; it decides where between half of the pause and all of it.
pub(crate) fn pause(failures: u32, draw: u64) -> Duration {
    let whole = FIRST
        .saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(1))
        .min(LONGEST);
    let half = whole / 2;
    let spread = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    half + Duration::from_millis(draw.checked_rem(spread).unwrap_or(0))
}

/// Any number; not for secrets.
pub(crate) fn draw() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_are_spread() {
        for failures in 0..100 {
            let (least, most) = (pause(failures, 0), pause(failures, u64::MAX));
            assert!(least >= FIRST / 2 && most <= LONGEST && least <= most, "{failures}");
            assert!(pause(failures + 1, 0) >= least);
            assert_ne!(pause(failures, 1), pause(failures, 50));
        }
        assert!(pause(20, 7) >= LONGEST / 2);
    }
}
