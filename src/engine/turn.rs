//! One at a time, where one pass does for all who wished for it before it began.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tokio::sync::Mutex;

/// The turn of those who want a whole pass that begins after their wish.
#[derive(Debug, Default)]
pub(super) struct Turn {
    wishes: AtomicU64,
    /// How many of the wishes were fulfilled.
    fulfilled: Mutex<u64>,
}

impl Turn {
    /// Waits for the turn and makes a pass, unless one began meanwhile that has come to its end. `pass` tells whether it
    /// has.
    ///
    /// # Cancel safety
    /// Whoever waits next makes the pass.
    pub(super) async fn take(&self, pass: impl Future<Output = bool>) {
        let wish = self.wishes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut fulfilled = self.fulfilled.lock().await;
        if *fulfilled >= wish {
            return;
        }
        let wishes = self.wishes.load(Ordering::SeqCst);
        if pass.await {
            *fulfilled = wishes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn one_pass_does_for_all_who_wished_before_it_began() {
        let (turn, begun, running) = (Turn::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let pass = async |ends: bool| {
            begun.fetch_add(1, Ordering::SeqCst);
            assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            ends
        };
        // The first had begun when the others came; one of them does for the rest.
        join_all((0..5).map(|_| turn.take(pass(true)))).await;
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        turn.take(pass(true)).await;
        assert_eq!(begun.load(Ordering::SeqCst), 3, "a later wish is fulfilled, too");
        // One that breaks off does for nobody.
        join_all((0..3).map(|n| turn.take(pass(n == 2)))).await;
        assert_eq!(begun.load(Ordering::SeqCst), 6);
    }

    #[tokio::test]
    async fn one_that_is_given_up_leaves_the_turn_to_the_next() {
        let (turn, mut made) = (Turn::default(), false);
        let first = turn.take(std::future::pending());
        assert!(tokio::time::timeout(std::time::Duration::ZERO, first).await.is_err());
        let second = async {
            made = true;
            true
        };
        turn.take(second).await;
        assert!(made);
    }
}
