//! How long to wait before trying again: longer each time, and never all at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Waits that double up to a cap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) most: Duration,
}

impl Backoff {
    /// The wait after that many failures in a row (from 1), cut short by up to a half. `random` is from 0 to 1.
    pub(super) fn after(self, failures: u32, random: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
        let whole = self.first.saturating_mul(doubled).min(self.most);
        whole.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }
}

/// A number from 0 to 1, good enough to keep two replicas apart.
pub(super) fn random() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// `base`, give or take a fifth.
pub(super) fn about(base: Duration) -> Duration {
    base.mul_f64(0.8 + 0.4 * random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_never_fall_below_half() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            most: Duration::from_secs(1),
        };
        let waits: Vec<u128> = (1..=6).map(|failures| backoff.after(failures, 1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.after(u32::MAX, 0.0), Duration::from_millis(500));
    }
}
