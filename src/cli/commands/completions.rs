//! `can-sync completions`: a script that completes commands in a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::args;
use crate::cli::context::Context;

/// Print a script that completes commands in a shell
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which shell
    shell: Shell,
}

impl Args {
    pub(in crate::cli) fn execute(self, context: &Context) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut args::Args::command(), "can-sync", &mut script);
        Ok(context.printer().bytes(&script)?)
    }
}
