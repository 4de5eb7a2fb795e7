//! What every command is given: the configuration, the printer, a way to the running host.

use std::future::Future;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;

use super::args::Global;
use super::client::CanApi;
use super::client::HostApi;
use super::printer::Printer;
use crate::config;
use crate::config::Resolved;
use crate::telemetry;

/// The configuration that is taken when none is named and it is there.
pub(super) const DEFAULT_FILE: &str = "config.yaml";

/// What every command is given.
#[derive(Debug)]
pub(super) struct Context {
    global: Global,
    printer: Printer,
}

impl Context {
    pub(super) fn new(global: Global) -> Self {
        let printer = Printer::new(global.json);
        Self { global, printer }
    }

    /// Returns the printer.
    pub(super) const fn printer(&self) -> &Printer {
        &self.printer
    }

    /// Sends the log to stderr, as much of it as was asked for.
    pub(super) fn set_up_log(&self) -> anyhow::Result<()> {
        let filter = std::env::var("CAN_SYNC_LOG").ok().filter(|filter| !filter.is_empty());
        let colour = self.printer.stderr_has_colour();
        Ok(telemetry::set_up(&telemetry::Options { filter, verbose: self.global.verbose, colour })?)
    }

    /// Resolves the configuration: of the file the command was given, else of `--config`, else of the default file if
    /// it is there, else of no file.
    pub(super) fn resolve(&self, file: Option<&Path>) -> anyhow::Result<Resolved> {
        let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists());
        let path = file.map(Path::to_owned).or_else(|| self.named_file()).or_else(default);
        let file = path.as_deref().map(config::read).transpose()?;
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Ok(config::resolve(file.as_ref(), variables, self.global.flags.given())?)
    }

    /// Returns the file that `--config` names; an empty variable is as if it were not there.
    pub(super) fn named_file(&self) -> Option<PathBuf> {
        self.global.config.clone().filter(|path| !path.as_os_str().is_empty())
    }

    /// Connects to the CAN API: of the CAN Service when one is configured, else of the running host.
    pub(super) fn can_api(&self) -> anyhow::Result<CanApi> {
        Ok(CanApi::new(&self.resolve(None)?.settings)?)
    }

    /// Connects to the host API of the running host.
    pub(super) fn host_api(&self) -> anyhow::Result<HostApi> {
        Ok(HostApi::new(&self.resolve(None)?.settings)?)
    }
}

/// Runs the work of a command that talks to a host.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(work)
}
