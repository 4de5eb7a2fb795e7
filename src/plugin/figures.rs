//! What is counted about a plugin, and its log.

use std::time::Duration;
use std::time::Instant;

use crate::hook::Point;
use crate::hook::Verdict;
use crate::limits;
use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Figures of one plugin since it was first loaded in this process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// How often it was asked.
    pub calls: u64,
    /// How often before a push.
    pub before_push: u64,
    /// How often before a pull.
    pub before_pull: u64,
    /// How often after receive.
    pub after_receive: u64,
    /// Assets it let pass.
    pub passed: u64,
    /// Assets it dropped.
    pub dropped: u64,
    /// Assets it held.
    pub held: u64,
    /// Assets it edited.
    pub edited: u64,
    /// Calls that failed, whyever; then its policy answered.
    pub failures: u64,
    /// Calls that failed because it trapped.
    pub traps: u64,
    /// Calls that were ended at their deadline.
    pub timeouts: u64,
    /// How long all calls took together.
    pub took: Duration,
    /// Half of the calls took no longer than this, in microseconds.
    pub p50_us: f64,
    /// 95 of 100 calls took no longer than this, in microseconds.
    pub p95_us: f64,
    /// 99 of 100 calls took no longer than this, in microseconds.
    pub p99_us: f64,
}

/// Counts what becomes of calls.
pub(super) struct Counter(Mutex<Counted>);

struct Counted {
    figures: Figures,
    /// Nanoseconds.
    took: Histogram<u32>,
}

impl Counter {
    pub(super) fn new() -> Self {
        let took = Histogram::new_with_bounds(100, 100_000_000_000, 2).expect("the bounds are apart");
        Self(Mutex::new(Counted { figures: Figures::default(), took }))
    }

    /// Counts a call that was answered.
    pub(super) fn answered(&self, point: Point, verdict: &Verdict, took: Duration) {
        let mut counted = self.0.lock();
        counted.call(point, took);
        let figures = &mut counted.figures;
        let kind = match verdict {
            Verdict::Pass => &mut figures.passed,
            Verdict::Drop(_) => &mut figures.dropped,
            Verdict::Hold(_) => &mut figures.held,
            Verdict::Edit(_) => &mut figures.edited,
        };
        *kind += 1;
    }

    /// Counts a call that failed.
    pub(super) fn failed(&self, point: Point, trapped: bool, late: bool, took: Duration) {
        let mut counted = self.0.lock();
        counted.call(point, took);
        counted.figures.failures += 1;
        counted.figures.traps += u64::from(trapped);
        counted.figures.timeouts += u64::from(late);
    }

    pub(super) fn figures(&self) -> Figures {
        let counted = self.0.lock();
        let micros = |quantile| Duration::from_nanos(counted.took.value_at_quantile(quantile)).as_secs_f64() * 1e6;
        let figures = counted.figures.clone();
        if figures.calls == 0 {
            return figures;
        }
        Figures { p50_us: micros(0.5), p95_us: micros(0.95), p99_us: micros(0.99), ..figures }
    }
}

impl Counted {
    fn call(&mut self, point: Point, took: Duration) {
        let figures = &mut self.figures;
        figures.calls += 1;
        figures.took += took;
        match point {
            Point::BeforePush => figures.before_push += 1,
            Point::BeforePull => figures.before_pull += 1,
            Point::AfterReceive => figures.after_receive += 1,
        }
        self.took.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// The log of one plugin: so many lines a second, the rest is counted.
#[derive(Debug)]
pub(super) struct Log {
    name: String,
    lines_per_sec: u32,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    lines: u32,
    most_lines: u32,
    left_out: u64,
    all_left_out: u64,
}

impl Log {
    pub(super) fn new(name: &str, lines_per_sec: u32) -> Self {
        let window = Window { since: Instant::now(), lines: 0, most_lines: 0, left_out: 0, all_left_out: 0 };
        Self { name: name.to_owned(), lines_per_sec, window: Mutex::new(window) }
    }

    /// Writes a line, or leaves it out when there are too many.
    pub(super) fn line(&self, level: tracing::Level, text: &str) {
        let left_out = {
            let mut window = self.window.lock();
            let mut left_out = 0;
            if window.since.elapsed() >= Duration::from_secs(1) {
                left_out = std::mem::take(&mut window.left_out);
                (window.since, window.lines) = (Instant::now(), 0);
            }
            if window.lines >= self.lines_per_sec {
                window.left_out += 1;
                window.all_left_out += 1;
                return;
            }
            window.lines += 1;
            window.most_lines = window.most_lines.max(window.lines);
            left_out
        };
        let plugin = &self.name;
        if left_out > 0 {
            tracing::warn!(target: "can_sync::plugin::log", plugin, left_out, "lines of a plugin were left out");
        }
        let end = text.floor_char_boundary(limits::plugin::LOG_LINE_BYTES);
        let says = text[..end].escape_debug().to_string();
        match level {
            tracing::Level::ERROR => tracing::error!(target: "can_sync::plugin::log", plugin, says, "plugin"),
            tracing::Level::WARN => tracing::warn!(target: "can_sync::plugin::log", plugin, says, "plugin"),
            tracing::Level::INFO => tracing::info!(target: "can_sync::plugin::log", plugin, says, "plugin"),
            tracing::Level::DEBUG => tracing::debug!(target: "can_sync::plugin::log", plugin, says, "plugin"),
            _ => tracing::trace!(target: "can_sync::plugin::log", plugin, says, "plugin"),
        }
    }

    /// Returns how many lines were written in a second at most.
    pub(super) fn most_lines(&self) -> u32 {
        self.window.lock().most_lines
    }

    /// Returns how many lines were left out so far.
    pub(super) fn lines_left_out(&self) -> u64 {
        self.window.lock().all_left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_what_became_of_them() {
        let counter = Counter::new();
        for _ in 0..98 {
            counter.answered(Point::BeforePush, &Verdict::Pass, Duration::from_micros(3));
        }
        counter.answered(Point::AfterReceive, &Verdict::Hold(String::new()), Duration::from_micros(3));
        counter.failed(Point::BeforePull, true, false, Duration::from_millis(100));
        let figures = counter.figures();
        assert_eq!((figures.calls, figures.passed, figures.held), (100, 98, 1));
        assert_eq!((figures.before_push, figures.before_pull, figures.after_receive), (98, 1, 1));
        assert_eq!(figures.took, Duration::from_micros(99 * 3 + 100_000));
        assert_eq!((figures.failures, figures.traps, figures.timeouts), (1, 1, 0));
        assert!((2.9..3.1).contains(&figures.p50_us), "{figures:?}");
        assert!((2.9..3.1).contains(&figures.p99_us), "{figures:?}");
    }

    #[test]
    fn a_flood_of_lines_is_counted_and_left_out() {
        let log = Log::new("loud", 10);
        for _ in 0..1000 {
            log.line(tracing::Level::INFO, "again");
        }
        assert!(log.lines_left_out() >= 980, "{}", log.lines_left_out());
    }
}
