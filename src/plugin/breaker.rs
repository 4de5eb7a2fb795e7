//! When a plugin that fails is left alone for a while. Pure: the time comes in as an argument.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::limits;

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It lets them through.
    Closed,
    /// It lets none through for so long.
    Open {
        /// How long still.
        rest: Duration,
    },
    /// It lets one through, to see how it goes.
    Trying,
}

/// Whether a call is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Through,
    /// This call shows whether the plugin has recovered.
    Trial,
    Shut,
}

/// What the outcome of a call has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Same,
    Opened,
    Closed,
}

/// Opens after [`limits::plugin::FAILURES`] failures within [`limits::plugin::FAILURES_WITHIN`].
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: VecDeque<Instant>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    trying: bool,
}

impl Breaker {
    /// Tells whether a call may go through now.
    pub(super) fn enter(&mut self, now: Instant) -> Gate {
        match &mut self.open {
            None => Gate::Through,
            Some(open) if now >= open.until && !open.trying => {
                open.trying = true;
                Gate::Trial
            }
            Some(_) => Gate::Shut,
        }
    }

    /// Hears that a call went well.
    pub(super) fn succeeded(&mut self, gate: Gate) -> Turn {
        if gate == Gate::Trial {
            *self = Self::default();
            return Turn::Closed;
        }
        Turn::Same
    }

    /// Hears that a call failed.
    pub(super) fn failed(&mut self, gate: Gate, now: Instant) -> Turn {
        if let Some(open) = &mut self.open {
            if gate == Gate::Trial {
                open.pause = (open.pause * 2).min(limits::plugin::PAUSE_MOST);
                open.until = now + open.pause;
                open.trying = false;
            }
            return Turn::Same;
        }
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|first| now - *first > limits::plugin::FAILURES_WITHIN) {
            self.failures.pop_front();
        }
        if self.failures.len() < limits::plugin::FAILURES {
            return Turn::Same;
        }
        let pause = limits::plugin::PAUSE;
        self.failures.clear();
        self.open = Some(Open { until: now + pause, pause, trying: false });
        Turn::Opened
    }

    /// Hears that a call was given up before it ended.
    pub(super) fn given_up(&mut self, gate: Gate) {
        if let Some(open) = self.open.as_mut().filter(|_| gate == Gate::Trial) {
            open.trying = false;
        }
    }

    /// Tells when a trial is due, if nobody tries already.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.as_ref().filter(|open| !open.trying).map(|open| open.until)
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match &self.open {
            None => BreakerState::Closed,
            Some(open) if now < open.until => BreakerState::Open { rest: open.until - now },
            Some(_) => BreakerState::Trying,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_at_the_third_failure_within_a_minute() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for (seconds, turn) in [(0, Turn::Same), (50, Turn::Same), (70, Turn::Same), (80, Turn::Opened)] {
            assert_eq!(breaker.failed(Gate::Through, start + Duration::from_secs(seconds)), turn, "{seconds}");
        }
        assert_eq!(breaker.enter(start + Duration::from_secs(80)), Gate::Shut);
    }

    #[test]
    fn one_trial_at_a_time_and_a_longer_pause_after_each_that_fails() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..limits::plugin::FAILURES {
            breaker.failed(Gate::Through, now);
        }
        let mut pause = limits::plugin::PAUSE;
        for _ in 0..12 {
            assert_eq!(breaker.state(now), BreakerState::Open { rest: pause });
            assert_eq!(breaker.due(), Some(now + pause));
            now += pause;
            assert_eq!(breaker.enter(now), Gate::Trial);
            assert_eq!(breaker.enter(now), Gate::Shut);
            assert_eq!(breaker.due(), None);
            assert_eq!(breaker.failed(Gate::Trial, now), Turn::Same);
            pause = (pause * 2).min(limits::plugin::PAUSE_MOST);
        }
        now += pause;
        assert_eq!(breaker.enter(now), Gate::Trial);
        breaker.given_up(Gate::Trial);
        assert_eq!(breaker.enter(now), Gate::Trial);
        assert_eq!(breaker.succeeded(Gate::Trial), Turn::Closed);
        assert_eq!((breaker.state(now), breaker.enter(now)), (BreakerState::Closed, Gate::Through));
    }
}
