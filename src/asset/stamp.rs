//! Times: the timestamp of an asset, and the stamp of a change.

use std::fmt;

use super::bytes32::hex32;
use crate::limits;

/// When an asset was made, in Unix milliseconds; always exactly 13 decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A timestamp that does not have exactly 13 digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("timestamp {0} is not Unix milliseconds of exactly 13 digits")]
pub struct TimestampError(pub u64);

impl Timestamp {
    /// Checks that the milliseconds have exactly 13 digits.
    ///
    /// # Errors
    /// [`TimestampError`] for any other length: one id would fit several pairs of timestamp and content.
    pub const fn new(millis: u64) -> Result<Self, TimestampError> {
        if millis < limits::TIMESTAMP_MIN_MS || millis > limits::TIMESTAMP_MAX_MS {
            return Err(TimestampError(millis));
        }
        Ok(Self(millis))
    }

    /// Returns the Unix milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The public key by which a host is known to its peers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId([u8; 32]);

hex32!(HostId, ParseHostIdError);

/// A text that is no host id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a host id is 64 hex characters")]
pub struct ParseHostIdError;

/// Bits of [`Stamp::time`] that count changes within one millisecond.
const COUNTER_BITS: u32 = 16;

/// When a field was changed and by whom: a hybrid logical clock and a host id, ordered in that order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Unix milliseconds in the upper 48 bits, a counter in the lower 16.
    time: u64,
    host: HostId,
}

impl Stamp {
    /// The stamp of what a host sees for the first time. Any change ever made beats it.
    pub const ZERO: Self = Self { time: 0, host: HostId([0; 32]) };

    /// Puts a stamp together from its two parts, as they are stored and sent.
    #[must_use]
    pub const fn from_parts(time: u64, host: HostId) -> Self {
        Self { time, host }
    }

    /// Makes the stamp of a change by `host` at `now_ms` (Unix milliseconds) that replaces `replaced`.
    ///
    /// It is above the replaced stamp even when this host's clock is behind the one that made that.
    #[must_use]
    pub fn above(replaced: Self, now_ms: u64, host: HostId) -> Self {
        let now = now_ms.min(u64::MAX >> COUNTER_BITS) << COUNTER_BITS;
        Self { time: now.max(replaced.time.saturating_add(1)), host }
    }

    /// Returns the clock part: Unix milliseconds in the upper 48 bits, a counter in the lower 16.
    #[must_use]
    pub const fn time(self) -> u64 {
        self.time
    }

    /// Returns the Unix milliseconds of the clock part.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.time >> COUNTER_BITS
    }

    /// Returns the host that made the change.
    #[must_use]
    pub const fn host(self) -> HostId {
        self.host
    }

    /// Tells whether this is the stamp of something seen for the first time.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Tells whether the stamp is further ahead of `now_ms` than a host accepts.
    #[must_use]
    pub const fn is_early(self, now_ms: u64) -> bool {
        self.millis() > now_ms.saturating_add(limits::STAMP_AHEAD_MS)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counter = self.time & ((1 << COUNTER_BITS) - 1);
        write!(f, "{}.{}@{}", self.millis(), counter, self.host.fmt_short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_thirteen_digits() {
        for (millis, fits) in [
            (0, false),
            (999_999_999_999, false),
            (1_000_000_000_000, true),
            (9_999_999_999_999, true),
            (10_000_000_000_000, false),
            (u64::MAX, false),
        ] {
            assert_eq!(Timestamp::new(millis).is_ok(), fits, "{millis}");
        }
    }

    #[test]
    fn a_new_stamp_is_above_the_one_it_replaces_even_with_a_slow_clock() {
        let a = HostId::from_bytes([1; 32]);
        let b = HostId::from_bytes([2; 32]);
        let first = Stamp::above(Stamp::ZERO, 2_000_000_000_000, b);
        let second = Stamp::above(first, 1_000_000_000_000, a);
        assert!(second > first);
        assert!(Stamp::above(Stamp::ZERO, 0, a) > Stamp::ZERO);
    }

    #[test]
    fn ten_minutes_ahead_is_early_and_less_is_not() {
        let stamp = Stamp::above(Stamp::ZERO, 1_700_000_600_000, HostId::from_bytes([1; 32]));
        assert!(!stamp.is_early(1_700_000_000_000));
        assert!(stamp.is_early(1_699_999_999_999));
    }
}
