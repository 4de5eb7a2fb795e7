//! Bytes that wait in a queue whose length alone says little.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// How many bytes wait, and how many may.
#[derive(Debug)]
pub(super) struct Load {
    bytes: AtomicUsize,
    most: usize,
}

impl Load {
    pub(super) const fn new(most: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), most }
    }

    /// Counts bytes that begin to wait; tells whether they may. What is larger than all may wait alone.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before + bytes <= self.most;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    /// Counts bytes that wait no longer.
    pub(super) fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_wait_than_may() {
        let load = Load::new(10);
        assert!(load.take(6) && !load.take(5) && load.take(4) && !load.take(1));
        load.give_back(10);
        assert!(load.take(100) && !load.take(1), "alone");
    }
}
