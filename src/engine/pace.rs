//! Keeps what goes one way to a rate, by waiting after what went.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
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
        if let Some(until) = self.reserve(bytes) {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Has bytes go, as [`take`](Self::take) does; returns until when they have to wait, if they do.
    pub(super) fn reserve(&self, bytes: usize) -> Option<Instant> {
        let most = self.most.load(Ordering::Relaxed);
        if most == 0 {
            return None;
        }
        let mut free_at = self.free_at.lock();
        let now = Instant::now();
        let saved = now.checked_sub(limits::PACE_SAVED).unwrap_or(now);
        let from = free_at.map_or(saved, |free_at| free_at.max(saved));
        let until = from + Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / most);
        *free_at = Some(until);
        (until > now).then_some(until)
    }

    /// Cuts a piece into what may go at once: where there is a rate, others are to have their turn in between.
    pub(super) fn portions(&self, mut piece: Bytes) -> impl Iterator<Item = Bytes> {
        let most = if self.most.load(Ordering::Relaxed) == 0 { usize::MAX } else { limits::PACED_BYTES };
        std::iter::from_fn(move || (!piece.is_empty()).then(|| piece.split_to(piece.len().min(most))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A receiver takes a lane for stalled on which nothing comes for [`limits::STALL`].
    #[tokio::test(start_paused = true)]
    async fn at_the_least_rate_two_lanes_go_on_side_by_side() {
        let pace = Pace::default();
        pace.set(Some(limits::PACE_LEAST));
        let lane = async || {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            for _ in 0..4 {
                for portion in pace.portions(Bytes::from(vec![0; limits::CONTENT_CHUNK_BYTES])) {
                    pace.take(portion.len()).await;
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
            }
            longest
        };
        let (one, other) = tokio::join!(lane(), lane());
        assert!(one.max(other) < limits::STALL, "{one:?} and {other:?}");
        // Without a rate nothing is cut.
        pace.set(None);
        let piece = Bytes::from(vec![0; limits::CONTENT_CHUNK_BYTES]);
        assert!(pace.portions(piece.clone()).eq([piece]));
    }

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
