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
    /// Whether others were told that the rest is over.
    told: bool,
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
                (open.trying, open.told) = (false, false);
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
        self.open = Some(Open { until: now + pause, pause, trying: false, told: false });
        Turn::Opened
    }

    /// Hears that a call was given up before it ended.
    pub(super) fn given_up(&mut self, gate: Gate) {
        if let Some(open) = self.open.as_mut().filter(|_| gate == Gate::Trial) {
            (open.trying, open.told) = (false, false);
        }
    }

    /// Tells whether a trial is due that nobody makes and nobody was told of; from then on it counts as told.
    pub(super) fn rested(&mut self, now: Instant) -> bool {
        let rested = self.open.as_mut().filter(|open| now >= open.until && !open.trying && !open.told);
        rested.map(|open| open.told = true).is_some()
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
            assert!(!breaker.rested(now));
            now += pause;
            // Once for each rest: what waits asks then, and with nothing that waits nobody need hear of it every second.
            assert!(breaker.rested(now));
            assert!(!breaker.rested(now + pause));
            assert_eq!(breaker.enter(now), Gate::Trial);
            assert_eq!(breaker.enter(now), Gate::Shut);
            assert!(!breaker.rested(now));
            assert_eq!(breaker.failed(Gate::Trial, now), Turn::Same);
            pause = (pause * 2).min(limits::plugin::PAUSE_MOST);
        }
        now += pause;
        assert_eq!(breaker.enter(now), Gate::Trial);
        breaker.given_up(Gate::Trial);
        assert!(breaker.rested(now) && !breaker.rested(now));
        assert_eq!(breaker.enter(now), Gate::Trial);
        assert_eq!(breaker.succeeded(Gate::Trial), Turn::Closed);
        assert_eq!((breaker.state(now), breaker.enter(now)), (BreakerState::Closed, Gate::Through));
        assert!(!breaker.rested(now));
    }
}
