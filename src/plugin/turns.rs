//! The time of one call, without the turns that others have while it could go on.
//!
//! At every tick a call lets others run. Many calls share a worker, and often one task: what they take from one another is
//! not theirs to answer for. What a call waits for the host counts.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use std::time::Instant;

use tokio::time::Sleep;

use crate::limits;

/// How long others had their turns during the present call of an instance. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<AtomicU64>);

/// When a call ends at the latest.
#[derive(Debug, Clone)]
pub(super) struct Deadline {
    began: Instant,
    limit: Duration,
    /// How long it may take with all turns of others.
    most: Duration,
    turns: Turns,
}

impl Turns {
    /// Lets others run, as the runtime does it: a task that merely wakes itself goes on until it was polled 61 times, of
    /// a tick each, and no timer and no socket is looked at.
    pub(super) async fn give(self) {
        let began = Instant::now();
        tokio::task::yield_now().await;
        self.0.fetch_add(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Deadline {
    /// Begins a call that takes at most `limit`, beside at most `others` calls like it.
    pub(super) fn new(limit: Duration, others: u32, turns: &Turns) -> Self {
        turns.0.store(0, Ordering::Relaxed);
        let most = limit.saturating_mul(others.saturating_add(1)).saturating_mul(limits::plugin::CALL_SLACK);
        Self { began: Instant::now(), limit, most, turns: turns.clone() }
    }

    /// Returns how long the call may take.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Tells whether the call is over.
    pub(super) fn is_over(&self) -> bool {
        self.left() == Duration::ZERO
    }

    /// Returns how long the call may still go on, if nobody else has a turn.
    fn left(&self) -> Duration {
        let turns = Duration::from_nanos(self.turns.0.load(Ordering::Relaxed));
        self.limit.saturating_add(turns).min(self.most).saturating_sub(self.began.elapsed())
    }

    /// Waits for something that is to end itself with the deadline, and no longer than it may; `None` when it did not end.
    ///
    /// It is pinned where it was made: moved on from here it would lie three times in what every call needs.
    pub(super) async fn keep<T>(&self, mut running: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        // Most calls end at once and need no timer.
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        std::future::poll_fn(|context| {
            if let Poll::Ready(ended) = running.as_mut().poll(context) {
                return Poll::Ready(Some(ended));
            }
            loop {
                let patience = || self.left() + 2 * limits::plugin::TICK;
                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience())));
                ready!(timer.as_mut().poll(context));
                if self.is_over() {
                    return Poll::Ready(None);
                }
                timer.as_mut().reset((Instant::now() + patience()).into());
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(3600);

    #[test]
    fn turns_of_others_do_not_count_up_to_a_bound() {
        let turns = Turns::default();
        let mut deadline = Deadline::new(LIMIT, 1, &turns);
        assert!(!deadline.is_over());
        deadline.began -= LIMIT;
        assert!(deadline.is_over());
        turns.0.store(LIMIT.as_nanos() as u64, Ordering::Relaxed);
        assert!(!deadline.is_over());
        // Longer than all calls that may run beside it could take.
        deadline.began -= 10 * LIMIT;
        turns.0.store(100 * LIMIT.as_nanos() as u64, Ordering::Relaxed);
        assert!(deadline.is_over());
        // Another call has its own.
        let mut deadline = Deadline::new(LIMIT, 1, &turns);
        deadline.began -= LIMIT;
        assert!(deadline.is_over());
    }

    #[tokio::test]
    async fn what_does_not_end_by_itself_is_ended() {
        let (limit, turns) = (Duration::from_millis(20), Turns::default());
        let deadline = Deadline::new(limit, 3, &turns);
        let never = async {
            let mut given = pin!(turns.clone().give());
            assert!(std::future::poll_fn(|context| Poll::Ready(given.as_mut().poll(context))).await.is_pending());
            // Somebody else's turn.
            std::thread::sleep(3 * limit);
            given.await;
            std::future::pending::<()>().await;
        };
        assert_eq!(deadline.keep(pin!(never)).await, None);
        assert!(deadline.began.elapsed() >= 4 * limit);
        assert_eq!(deadline.keep(pin!(std::future::ready(7))).await, Some(7));
    }
}
