//! Exit codes, and which error ends with which.

use std::io;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::config::InitError;
use crate::node::DataFolderError;
use crate::node::StartError;
use crate::store::embedded::OpenError;
use crate::store::embedded::RebuildError;
use crate::telemetry::LoggingError;

/// How the program ends. The numbers are part of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// All went well, or the reader of the output had enough.
    Success = 0,
    /// It did not work.
    Failure = 1,
    /// The configuration or the arguments are refused.
    Refused = 2,
    /// Another host has the data folder or the storage root.
    FolderInUse = 3,
    /// Something else listens at a configured address.
    PortInUse = 4,
    /// A second signal ended it at once.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Arguments that each make sense, and together do not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misused(pub(super) String);

/// Returns how an error ends the program.
pub(super) fn of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<ConfigError>() || cause.is::<Misused>() || cause.is::<LoggingError>() {
            return Exit::Refused;
        }
        if matches!(cause.downcast_ref(), Some(InitError::Exists { .. })) {
            return Exit::Refused;
        }
        let in_use = matches!(cause.downcast_ref(), Some(DataFolderError::InUse(_)))
            || matches!(cause.downcast_ref(), Some(StartError::Store(OpenError::Locked(_))))
            || matches!(cause.downcast_ref(), Some(RebuildError::Open(OpenError::Locked(_))));
        if in_use {
            return Exit::FolderInUse;
        }
        if cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            return Exit::PortInUse;
        }
        if super::printer::is_closed_pipe(cause) {
            return Exit::Success;
        }
    }
    Exit::Failure
}

/// Shows help, version or a mistake in the arguments, and returns how that ends the program.
pub(super) fn of_usage(error: &clap::Error) -> Exit {
    let shown: io::Result<()> = error.print();
    match (error.use_stderr(), shown) {
        (true, _) => Exit::Refused,
        (false, Ok(())) => Exit::Success,
        (false, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        (false, Err(_)) => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn errors_end_with_their_code_however_they_are_wrapped() {
        let wrapped = anyhow::Error::from(ConfigError::MissingSecret).context("while starting");
        assert_eq!(of(&wrapped), Exit::Refused);
        assert_eq!(of(&Misused("x".to_owned()).into()), Exit::Refused);
        assert_eq!(of(&InitError::Exists { path: "x".into() }.into()), Exit::Refused);
        assert_eq!(of(&anyhow::anyhow!("x")), Exit::Failure);
        let in_use = io::Error::from(io::ErrorKind::AddrInUse);
        assert_eq!(of(&anyhow::Error::from(in_use).context("cannot listen")), Exit::PortInUse);
        // Only a closed stdout is quiet: a broken connection is a failure.
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(of(&Err::<(), _>(broken).context("connection").unwrap_err()), Exit::Failure);
        assert_eq!([Exit::Refused as u8, Exit::PortInUse as u8], [2, 4]);
    }
}
