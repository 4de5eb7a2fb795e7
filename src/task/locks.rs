//! A lock for each of many things, of which there are too many to have one ready for all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::Weak;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// Locks by key. One exists while somebody holds it or waits for it.
#[derive(Debug)]
pub struct Locks<K>(Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>);

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Locks<K> {
    /// Waits until nobody else holds the lock of `key`; those who wait have it in their order.
    ///
    /// # Cancel safety
    /// Who gives up loses the place in the order.
    pub async fn lock(&self, key: K) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock();
            if locks.len() == locks.capacity() {
                // Before it would grow, so that it is swept the less often the more there is in it.
                locks.retain(|_, lock| lock.strong_count() > 0);
            }
            let known = locks.get(&key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::default();
                locks.insert(key, Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_holds_a_lock_at_a_time_and_others_are_free() {
        let locks = Locks::default();
        let held = locks.lock(1).await;
        assert!(locks.lock(1).now_or_never().is_none());
        assert!(locks.lock(2).now_or_never().is_some());
        drop(held);
        assert!(locks.lock(1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn locks_that_nobody_holds_do_not_gather() {
        let locks = Locks::default();
        let held = locks.lock(0).await;
        for key in 1..10_000 {
            drop(locks.lock(key).await);
        }
        assert!(locks.0.lock().len() < 100, "{}", locks.0.lock().len());
        assert!(locks.lock(0).now_or_never().is_none());
        drop(held);
    }
}
