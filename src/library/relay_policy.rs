//! What may travel over a relay, where two hosts do not reach each other directly.

use std::fmt;
use std::str::FromStr;

use crate::limits;

/// What a host lets travel over a relay. A relay sees who talks to whom, when and how much, and never what; and it is
/// slower, and somebody else pays for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum RelayPolicy {
    /// Everything.
    #[default]
    Allow,
    /// All but contents above [`limits::RELAYED_BYTES`], which wait for a direct path.
    SmallOnly,
    /// Nothing: a relay only helps to find a direct path.
    Never,
}

/// A text that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a policy for relays is `allow`, `small_only` or `never`")]
pub struct ParseRelayPolicyError;

impl RelayPolicy {
    /// All policies, the one that lets most pass first.
    pub const ALL: [Self; 3] = [Self::Allow, Self::SmallOnly, Self::Never];

    /// Returns the name, as it is configured and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::SmallOnly => "small_only",
            Self::Never => "never",
        }
    }

    /// Tells whether a content of this size may travel over a relay.
    #[must_use]
    pub const fn carries(self, size: u64) -> bool {
        match self {
            Self::Allow => true,
            Self::SmallOnly => size <= limits::RELAYED_BYTES,
            Self::Never => false,
        }
    }
}

impl fmt::Display for RelayPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for RelayPolicy {
    type Err = ParseRelayPolicyError;

    fn from_str(text: &str) -> Result<Self, ParseRelayPolicyError> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or(ParseRelayPolicyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_of_two_is_the_greater() {
        use RelayPolicy::*;
        assert_eq!(Allow.max(SmallOnly).max(Never), Never);
        for (policy, size, carried) in [
            (Allow, u64::MAX, true),
            (SmallOnly, limits::RELAYED_BYTES, true),
            (SmallOnly, limits::RELAYED_BYTES + 1, false),
            (Never, 0, false),
        ] {
            assert_eq!(policy.carries(size), carried, "{policy} {size}");
        }
        for policy in RelayPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("Never".parse::<RelayPolicy>(), Err(ParseRelayPolicyError));
    }
}
