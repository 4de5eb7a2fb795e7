//! How long, how often and how many times wrongly a pairing code may be tried.

use super::PairingCode;
use super::PairingFailure;
use crate::limits::membership as limits;

/// The time in which one pairing code is good for one device. All times are in milliseconds of a clock that never goes
/// back. When it closes, the code is wiped.
#[derive(Debug)]
pub struct Window {
    state: Result<PairingCode, PairingFailure>,
    opened_ms: u64,
    begun: u32,
    last_ms: Option<u64>,
    wrong: u32,
}

impl Window {
    /// Opens a window for a code.
    #[must_use]
    pub const fn open(code: PairingCode, now_ms: u64) -> Self {
        Self { state: Ok(code), opened_ms: now_ms, begun: 0, last_ms: None, wrong: 0 }
    }

    /// Returns the code as long as the window is open; with it, the device meets others.
    ///
    /// # Errors
    /// [`PairingFailure`] with what closed the window.
    pub fn code(&mut self, now_ms: u64) -> Result<&PairingCode, PairingFailure> {
        if self.state.is_ok() && now_ms.saturating_sub(self.opened_ms) >= limits::PAIRING_WINDOW_MS {
            self.state = Err(PairingFailure::Expired);
        }
        self.state.as_ref().map_err(|closed| *closed)
    }

    /// Counts an exchange that begins, and returns the code for it.
    ///
    /// # Errors
    /// [`PairingFailure`] when the window is closed, or exchanges come too fast.
    pub fn begin(&mut self, now_ms: u64) -> Result<&PairingCode, PairingFailure> {
        self.code(now_ms)?;
        if self.last_ms.is_some_and(|last| now_ms.saturating_sub(last) < limits::PAIRING_PAUSE_MS) {
            return Err(PairingFailure::TooSoon);
        }
        if self.begun >= limits::PAIRING_EXCHANGES {
            self.state = Err(PairingFailure::WornOut);
        }
        self.last_ms = Some(now_ms);
        self.begun = self.begun.saturating_add(1);
        self.code(now_ms)
    }

    /// Lets a joiner's confirmation be checked, and counts: a right one uses the code, the last wrong one burns it.
    /// Exchanges that were begun at the same time share the tries: none is checked once the window is closed.
    ///
    /// # Errors
    /// [`PairingFailure`] when the window is closed, or as the check found.
    pub fn decide<T>(
        &mut self,
        now_ms: u64,
        check: impl FnOnce() -> Result<T, PairingFailure>,
    ) -> Result<T, PairingFailure> {
        self.code(now_ms)?;
        let checked = check();
        if checked.is_ok() {
            self.state = Err(PairingFailure::Used);
        } else {
            self.wrong += 1;
            if self.wrong >= limits::PAIRING_WRONG_TRIES {
                self.state = Err(PairingFailure::Burnt);
            }
        }
        checked
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_000_000;

    fn window() -> Window {
        Window::open(PairingCode::from_random([1; 8]), START)
    }

    fn wrong<T>() -> Result<T, PairingFailure> {
        Err(PairingFailure::WrongCode)
    }

    #[test]
    fn a_code_is_good_once() {
        let mut window = window();
        assert!(window.begin(START).is_ok());
        assert_eq!(window.decide(START + 1, || Ok(5)), Ok(5));
        assert_eq!(window.begin(START + 5_000), Err(PairingFailure::Used));
        let checked = window.decide::<()>(START + 2, || panic!("an exchange begun before is not checked any more"));
        assert_eq!(checked, Err(PairingFailure::Used));
    }

    #[test]
    fn a_code_is_good_for_five_minutes() {
        let mut window = window();
        assert!(window.code(START + 299_999).is_ok());
        assert_eq!(window.decide(START + 300_000, || Ok(())), Err(PairingFailure::Expired));
        assert_eq!(window.code(START), Err(PairingFailure::Expired), "and stays closed");
    }

    #[test]
    fn three_wrong_tries_burn_it_even_at_the_same_time() {
        let mut window = window();
        for number in 0..4 {
            assert!(window.begin(START + 1_000 * number).is_ok());
        }
        for _ in 0..3 {
            assert_eq!(window.decide::<()>(START + 5_000, wrong), Err(PairingFailure::WrongCode));
        }
        assert_eq!(window.decide(START + 5_000, || Ok(())), Err(PairingFailure::Burnt));
    }

    #[test]
    fn exchanges_are_counted_and_kept_apart() {
        let mut window = window();
        assert!(window.begin(START).is_ok());
        assert_eq!(window.begin(START + 999), Err(PairingFailure::TooSoon));
        for number in 1..60 {
            assert!(window.begin(START + 1_000 * number).is_ok(), "{number}");
        }
        assert_eq!(window.begin(START + 60_000), Err(PairingFailure::WornOut));
        assert_eq!(window.decide(START + 60_000, || Ok(())), Err(PairingFailure::WornOut));
    }

    proptest! {
        #[test]
        fn whatever_happens_at_most_one_comes_in_and_three_are_wrong(
            steps in proptest::collection::vec((0..30_000_u64, 0..3_u8), 0..100)
        ) {
            let (mut window, mut now, mut joined, mut tried) = (window(), START, 0, 0);
            for (passed, what) in steps {
                now += passed;
                match what {
                    0 => drop(window.begin(now)),
                    1 => drop(window.decide(now, || { joined += 1; Ok(()) })),
                    _ => drop(window.decide::<()>(now, || { tried += 1; wrong() })),
                }
            }
            prop_assert!(joined <= 1 && tried <= 3);
            prop_assert!(joined == 0 || window.code(now).is_err());
        }
    }
}
