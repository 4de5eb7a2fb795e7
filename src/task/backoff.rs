//! Pauses between tries that double up to a ceiling.

use std::time::Duration;

/// A growing pause with jitter, so that hosts that failed together do not try again together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts with `first` and doubles up to `most`.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// Returns the next pause: between three quarters and all of the present length.
    pub fn pause(&mut self) -> Duration {
        let pause = jittered(self.next);
        self.next = (self.next * 2).min(self.most);
        pause
    }

    /// Starts again with the first pause, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Returns between three quarters and all of a length, so that hosts do not act in step.
#[must_use]
pub fn jittered(length: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness it is the longest, which does no harm.
    let share = if getrandom::fill(&mut random).is_ok() { u32::from(random[0]) } else { u32::from(u8::MAX) };
    length * (768 + share) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_ceiling() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let pauses: Vec<f64> = (0..10).map(|_| backoff.pause().as_secs_f64()).collect();
        assert!((0.75..=1.0).contains(&pauses[0]));
        assert!((1.5..=2.0).contains(&pauses[1]));
        assert!((45.0..=60.0).contains(&pauses[9]));
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_secs(1));
    }
}
