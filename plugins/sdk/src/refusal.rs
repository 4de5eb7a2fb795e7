//! Why the host did not do what it was asked for.

use std::error::Error;
use std::fmt;

/// Why the host did not do what a plugin asked it for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The configuration of the host does not grant it.
    NotGranted,
    /// It would go beyond a limit, which the text names.
    Limit(String),
    /// It cannot be done now; the text says why.
    Unavailable(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted => f.write_str("not granted"),
            Self::Limit(limit) => write!(f, "beyond a limit: {limit}"),
            Self::Unavailable(reason) => f.write_str(reason),
        }
    }
}

impl Error for Refusal {}
