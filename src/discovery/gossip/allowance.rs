//! How much may come: some at once, then one after the other.

use std::time::Duration;

use tokio::time::Instant;

/// So many at once, and one more in every so long a time.
#[derive(Debug, Clone)]
pub struct Allowance {
    left: u32,
    most: u32,
    every: Duration,
    counted: Instant,
}

impl Allowance {
    /// Allows `most` at once from `now` on, and one more whenever `every` has passed.
    #[must_use]
    pub const fn new(most: u32, every: Duration, now: Instant) -> Self {
        Self { left: most, most, every, counted: now }
    }

    /// Takes one, if there is one left.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted).as_nanos() / self.every.as_nanos().max(1);
        let more = u32::try_from(passed).unwrap_or(u32::MAX);
        self.counted = if more >= self.most - self.left { now } else { self.counted + self.every * more };
        self.left = self.left.saturating_add(more).min(self.most);
        let allowed = self.left > 0;
        self.left -= u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_at_once_and_then_one_after_the_other() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut allowance = Allowance::new(3, second, start);
        let taken = |allowance: &mut Allowance, at| (0..10).filter(|_| allowance.take(at)).count();
        assert_eq!(taken(&mut allowance, start), 3);
        assert_eq!(taken(&mut allowance, start + second / 2), 0);
        assert_eq!(taken(&mut allowance, start + second * 3 / 2), 1);
        assert_eq!(taken(&mut allowance, start + second * 2), 1);
        assert_eq!(taken(&mut allowance, start + second * 100), 3);
        assert_eq!(taken(&mut allowance, start), 0, "a clock that went back");
    }
}
