//! Setting up the log.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How to log.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A filter in the words of `tracing` (`info`, `can_sync::net=debug,warn`). It wins over `verbose`.
    pub filter: Option<String>,
    /// Zero for warnings only; one for information, two for details, more for everything. Of the libraries beneath, only
    /// errors are shown below two: what they warn of (a network that is away, most often) this program tells by itself.
    pub verbose: u8,
    /// Whether to use colours.
    pub colour: bool,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// The filter cannot be understood.
    #[error("the log filter `{filter}` cannot be understood; try `info` or `can_sync=debug`")]
    Filter {
        /// As it was given.
        filter: String,
        /// Why.
        source: ParseError,
    },
    /// It was set up before.
    #[error("logging was set up before")]
    Again,
}

/// Sends the log to stderr from now on.
///
/// # Errors
/// [`LoggingError`] when the filter is wrong, or on a second call.
pub fn set_up(options: &Options) -> Result<(), LoggingError> {
    let filter = filter(options)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(options.colour)
        // Else a line that cannot be written is told on stderr as well, in a way that panics where that cannot be written
        // either: whoever logs would end, a thread that writes a database among them.
        .log_internal_errors(false)
        .try_init()
        .map_err(|_| LoggingError::Again)
}

fn filter(options: &Options) -> Result<EnvFilter, LoggingError> {
    let by_count = match options.verbose {
        0 => "error,can_sync=warn",
        1 => "error,can_sync=info",
        2 => "warn,can_sync=debug",
        _ => "info,can_sync=trace",
    };
    let text = options.filter.as_deref().unwrap_or(by_count);
    EnvFilter::builder().parse(text).map_err(|source| LoggingError::Filter { filter: text.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Captured;

    #[test]
    fn a_filter_wins_over_the_count_and_a_wrong_one_is_named() {
        let options =
            |filter: Option<&str>, verbose| Options { filter: filter.map(str::to_owned), verbose, colour: false };
        assert_eq!(filter(&options(Some("debug"), 0)).unwrap().to_string(), "debug");
        assert!(filter(&options(None, 2)).unwrap().to_string().contains("can_sync=debug"));
        assert!(filter(&options(None, 200)).unwrap().to_string().contains("can_sync=trace"));
        let error = filter(&options(Some("can_sync=loud"), 0)).unwrap_err().to_string();
        assert!(error.contains("can_sync=loud"), "{error}");
    }

    #[test]
    fn by_default_libraries_tell_errors_only() {
        for (given, verbose, wanted) in [
            (None, 0, ["ERROR pkarr", "ERROR can_sync", "WARN can_sync"].as_slice()),
            (None, 1, &["ERROR pkarr", "ERROR can_sync", "WARN can_sync", "INFO can_sync"]),
            (None, 2, &["ERROR pkarr", "WARN pkarr", "ERROR can_sync", "WARN can_sync", "INFO can_sync"]),
            (Some("warn"), 0, &["ERROR pkarr", "WARN pkarr", "ERROR can_sync", "WARN can_sync"]),
        ] {
            let options = Options { filter: given.map(str::to_owned), verbose, colour: false };
            let log = Captured::new(&filter(&options).unwrap().to_string());
            tracing::error!(target: "pkarr::client", "told");
            tracing::warn!(target: "pkarr::client", "told");
            tracing::error!(target: "can_sync::net", "told");
            tracing::warn!(target: "can_sync::net", "told");
            tracing::info!(target: "can_sync::net", "told");
            let lines = log.lines();
            let told = |wanted: &&str| {
                let (level, target) = wanted.split_once(' ').unwrap();
                lines.iter().any(|line| line.contains(&format!(" {level} {target}::")))
            };
            assert!(lines.len() == wanted.len() && wanted.iter().all(told), "{given:?} {verbose}: {lines:?}");
        }
    }
}
