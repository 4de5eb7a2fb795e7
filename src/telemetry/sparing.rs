//! Lines that others can cause as often as they like.

use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;

/// Least time between two lines of one kind.
const EVERY: Duration = Duration::from_secs(60);

/// Counts what happens, and tells when a line about it is due: at the first, then once a minute with how many there were.
/// Whoever causes it fills no disk.
#[derive(Debug, Default)]
pub struct Sparing(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    untold: u64,
    told: Option<Instant>,
}

impl Sparing {
    /// Counts one; returns how many there were since the last line, this one included, when a line is due.
    pub fn count(&self, now: Instant) -> Option<u64> {
        let mut count = self.0.lock();
        count.untold = count.untold.saturating_add(1);
        if count.told.is_some_and(|told| now.saturating_duration_since(told) < EVERY) {
            return None;
        }
        count.told = Some(now);
        Some(std::mem::take(&mut count.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_then_one_a_minute_with_their_number() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let sparing = Sparing::default();
        let told: Vec<_> = (0..200).filter_map(|turn| Some((turn, sparing.count(start + second * turn)?))).collect();
        assert_eq!(told, [(0, 1), (60, 60), (120, 60), (180, 60)]);
        assert_eq!(sparing.count(start), None, "a clock that went back");
    }
}
