//! How long the bytes of one content are waited for.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits;

/// Time that is left for a source to bring something. It runs while something is waited for, and every byte that comes
/// gives some of it back: who brings nothing for [`limits::STALL`] is given up, and so is who stays below
/// [`limits::LEAST_RATE`] for long.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Self { left: limits::STALL }
    }

    /// Waits for something; `None` when there is no time left.
    pub(super) async fn wait<T>(&mut self, coming: impl Future<Output = T>) -> Option<T> {
        let began = Instant::now();
        let came = tokio::time::timeout(self.left, coming).await.ok();
        self.left = self.left.saturating_sub(began.elapsed());
        came
    }

    /// Gives time back for bytes that have come.
    pub(super) fn earn(&mut self, bytes: usize) {
        let earned = Duration::from_secs(bytes as u64) / limits::LEAST_RATE;
        self.left = limits::STALL.min(self.left + earned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how long a source is waited for that brings so many bytes, again and again after so long.
    async fn waited_for(bytes: usize, every: Duration) -> Option<Duration> {
        let (mut patience, began) = (Patience::new(), Instant::now());
        while began.elapsed() < Duration::from_hours(1) {
            if patience.wait(tokio::time::sleep(every)).await.is_none() {
                return Some(began.elapsed());
            }
            patience.earn(bytes);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn who_brings_nothing_or_hardly_anything_is_given_up() {
        let rate = limits::LEAST_RATE as usize;
        for (bytes, every, most) in [
            (1 << 20, limits::STALL + Duration::from_secs(1), Some(limits::STALL)),
            (1, limits::STALL - Duration::from_secs(1), Some(2 * limits::STALL)),
            (rate * 9 / 10, Duration::from_secs(1), Some(11 * limits::STALL)),
            (rate, Duration::from_secs(1), None),
            (10 * rate, Duration::from_secs(10), None),
        ] {
            let waited = waited_for(bytes, every).await;
            assert_eq!(waited.is_some(), most.is_some(), "{bytes} every {every:?}: {waited:?}");
            assert!(waited <= most, "{bytes} every {every:?}: {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_fast_saves_nothing_up_and_other_work_costs_nothing() {
        let mut patience = Patience::new();
        patience.earn(1 << 30);
        tokio::time::sleep(Duration::from_hours(1)).await;
        let began = Instant::now();
        assert_eq!(patience.wait(std::future::pending::<()>()).await, None);
        assert_eq!(began.elapsed(), limits::STALL);
    }
}
