//! Waiting on a condition instead of sleeping.

use std::time::{Duration, Instant};

/// Looks at `condition` until it holds or `deadline` has passed; tells which. Tests assert on the answer.
#[must_use = "the condition may not hold"]
pub async fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

const INTERVAL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn condition_that_comes_true_is_seen() {
        let mut looks = 0;
        assert!(
            wait_until(Duration::from_secs(5), || {
                looks += 1;
                looks == 3
            })
            .await
        );
        assert_eq!(looks, 3);
    }

    #[tokio::test]
    async fn condition_that_stays_false_ends_at_the_deadline() {
        assert!(!wait_until(Duration::from_millis(20), || false).await);
    }
}
