//! Logging: what the host says about its work, on stderr.
//!
//! Set up once, by the command line. Messages are constant and lower-case, data is in fields; this module knows none of
//! them, and reads no variable by itself.

#[cfg(test)]
mod captured;
mod logging;

#[cfg(test)]
pub(crate) use captured::Captured;
pub use logging::{LoggingError, Options, set_up};

/// Writes an error and all that caused it on one line, for a log field or a message.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // A transparent error repeats its source.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
