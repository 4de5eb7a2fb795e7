//! Logging: what the host says about its work, on stderr.
//!
//! Set up once, by the command line. Messages are constant and lower-case, data is in fields; this module knows none of
//! them, and reads no variable by itself.

#[cfg(test)]
mod captured;
mod logging;
mod sparing;

#[cfg(test)]
pub(crate) use captured::Captured;
pub use logging::{LoggingError, Options, set_up};
pub use sparing::Sparing;

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
    // Some of it is said by other hosts, who could begin a line of their own.
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

/// Says something aloud in a test: what is printed there is shown only when the test fails.
#[cfg(test)]
pub(crate) fn aloud(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Tells that a test, or a part of it, cannot run here; where everything must run, that is a failure.
#[cfg(test)]
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CAN_SYNC_REQUIRE_ALL").is_none(), "must not be skipped here: {reason}");
    aloud(&format!("SKIPPED: {reason}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the connection broke")]
    struct Broke(#[source] Said);

    #[derive(Debug, thiserror::Error)]
    #[error("closed by peer: {0}")]
    struct Said(&'static str);

    #[test]
    fn an_error_is_one_line_whatever_another_host_says() {
        let error = Broke(Said("bye\n2026-01-01 ERROR \u{1b}[31mforged\r"));
        assert_eq!(causes(&error), "the connection broke: closed by peer: bye 2026-01-01 ERROR  [31mforged ");
    }
}
