//! Connections of one peer that push each other out: two machines use its key, most likely because a data folder was
//! copied. Each dials again when the other has taken its place.

use std::time::Instant;

use crate::limits;

/// What people are told then.
pub(in crate::engine) const STRANGE: &str = "its connections push each other out again and again: two machines use its \
                                             key, if it does not just start over and over; where a data folder was \
                                             copied, give the copy a new one and pair it";

/// How often a connection of a peer has lately pushed out another one that stood and was dialled from the same side.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine) struct Displaced {
    times: u32,
    last: Option<Instant>,
}

impl Displaced {
    /// Counts one more.
    pub(super) fn again(self, now: Instant) -> Self {
        let times = if self.is_late(now) { 1 } else { self.times.saturating_add(1) };
        Self { times, last: Some(now) }
    }

    /// Tells whether the last one was the one too many.
    pub(super) const fn becomes_strange(self) -> bool {
        self.times == limits::DISPLACED_TOLD
    }

    /// Tells whether people should know of it.
    pub(in crate::engine) fn is_strange(self, now: Instant) -> bool {
        self.times >= limits::DISPLACED_TOLD && !self.is_late(now)
    }

    /// Tells whether the last one was too long ago to count.
    fn is_late(self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) > limits::DISPLACED_COUNTED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn now_and_then_is_nothing_and_again_and_again_is_strange() {
        let (start, seldom) = (Instant::now(), limits::DISPLACED_COUNTED_FOR + Duration::from_secs(1));
        let mut displaced = Displaced::default();
        for turn in 0..2 * limits::DISPLACED_TOLD {
            let now = start + seldom * turn;
            displaced = displaced.again(now);
            assert!(!displaced.is_strange(now) && !displaced.becomes_strange());
        }
        let mut displaced = Displaced::default();
        for _ in 1..limits::DISPLACED_TOLD {
            displaced = displaced.again(start);
            assert!(!displaced.is_strange(start));
        }
        let displaced = displaced.again(start);
        assert!(displaced.is_strange(start) && displaced.becomes_strange());
        assert!(
            displaced.again(start).is_strange(start) && !displaced.again(start).becomes_strange(),
            "it is told once"
        );
        assert!(!displaced.is_strange(start + seldom), "it has stopped");
    }
}
