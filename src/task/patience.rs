//! How long somebody is waited for who brings bytes.

use std::time::Duration;

use tokio::time::Instant;

/// Time that is left for a source to bring something. It runs while something is waited for, and every byte that comes
/// gives some of it back: who brings nothing for a while is given up, and so is who stays below a rate for long.
#[derive(Debug)]
pub struct Patience {
    left: Duration,
    most: Duration,
    least_rate: u32,
}

impl Patience {
    /// Waits at most so long for the next byte, and for no less than so many bytes a second on the whole.
    #[must_use]
    pub const fn new(most: Duration, least_rate: u32) -> Self {
        Self { left: most, most, least_rate }
    }

    /// Waits for something; `None` when there is no time left.
    pub async fn wait<T>(&mut self, coming: impl Future<Output = T>) -> Option<T> {
        let began = Instant::now();
        let came = tokio::time::timeout(self.left, coming).await.ok();
        self.left = self.left.saturating_sub(began.elapsed());
        came
    }

    /// Gives time back for bytes that have come.
    pub fn earn(&mut self, bytes: usize) {
        let earned = Duration::from_secs(bytes as u64) / self.least_rate;
        self.left = self.most.min(self.left.saturating_add(earned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(20);
    const RATE: usize = 1000;

    fn patience() -> Patience {
        Patience::new(MOST, RATE as u32)
    }

    /// Returns how long a source is waited for that brings so many bytes, again and again after so long.
    async fn waited_for(bytes: usize, every: Duration) -> Option<Duration> {
        let (mut patience, began) = (patience(), Instant::now());
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
        for (bytes, every, most) in [
            (1 << 20, MOST + Duration::from_secs(1), Some(MOST)),
            (1, MOST * 19 / 20, Some(2 * MOST)),
            (RATE * 9 / 10, Duration::from_secs(1), Some(11 * MOST)),
            (RATE, Duration::from_secs(1), None),
            (10 * RATE, Duration::from_secs(10), None),
        ] {
            let waited = waited_for(bytes, every).await;
            assert_eq!(waited.is_some(), most.is_some(), "{bytes} every {every:?}: {waited:?}");
            assert!(waited <= most, "{bytes} every {every:?}: {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_fast_saves_nothing_up_and_other_work_costs_nothing() {
        let mut patience = patience();
        patience.earn(1 << 30);
        tokio::time::sleep(Duration::from_hours(1)).await;
        let began = Instant::now();
        assert_eq!(patience.wait(std::future::pending::<()>()).await, None);
        assert_eq!(began.elapsed(), MOST);
    }
}
