//! The wall clock, for those who hand it to pure code.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Returns Unix milliseconds; zero when the clock stands before 1970.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
