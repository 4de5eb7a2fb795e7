//! Keeps what goes one way to a rate, by waiting after what went.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits;

/// A rate, and when the next bytes may go.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Bytes a second; 0 for as many as will.
    most: AtomicU64,
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn set(&self, most_per_sec: Option<u64>) {
        self.most.store(most_per_sec.unwrap_or(0), Ordering::Relaxed);
    }

    /// Waits until bytes that went or are about to go fit the rate. What was not used before is lost, but for
    /// [`limits::PACE_SAVED`].
    pub(super) async fn take(&self, bytes: usize) {
        let most = self.most.load(Ordering::Relaxed);
        if most == 0 {
            return;
        }
        let wait_until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let saved = now.checked_sub(limits::PACE_SAVED).unwrap_or(now);
            let from = free_at.map_or(saved, |free_at| free_at.max(saved));
            let until = from + Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / most);
            *free_at = Some(until);
            until
        };
        tokio::time::sleep_until(wait_until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_keeps_to_the_rate_over_any_time() {
        let pace = Pace::default();
        let began = Instant::now();
        pace.take(1_000_000).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "without a rate nothing waits");
        pace.set(Some(100_000));
        for _ in 0..100 {
            pace.take(10_000).await;
        }
        let took = began.elapsed() + limits::PACE_SAVED;
        assert!((Duration::from_millis(9_990)..Duration::from_millis(10_110)).contains(&took), "{took:?}");
        // A pause saves up only so much.
        tokio::time::sleep(Duration::from_mins(1)).await;
        let began = Instant::now();
        pace.take(1_000_000).await;
        assert!(began.elapsed() + limits::PACE_SAVED >= Duration::from_secs(10));
        pace.set(None);
        let began = Instant::now();
        pace.take(1_000_000_000).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
