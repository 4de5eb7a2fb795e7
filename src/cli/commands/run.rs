//! `can-sync run`: one host, until it is told to stop.

use std::path::PathBuf;

use crate::cli::context::Context;
use crate::cli::runtime;
use crate::http::can::PREFIX;

/// Run a host until it is interrupted
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The configuration [default: as for every command]
    file: Option<PathBuf>,
    /// Load no plugin; what would be judged by one is not exchanged
    #[arg(long)]
    safe_mode: bool,
}

impl Args {
    pub(in crate::cli) fn execute(self, context: &Context) -> anyhow::Result<()> {
        let mut settings = context.resolve(self.file.as_deref())?.settings;
        let printer = context.printer();
        let runtime = runtime::runtime()?;
        let done = runtime.block_on(async {
            let running = runtime::start(&settings, self.safe_mode).await?;
            // It was stretched, and is not needed in memory any more.
            drop(settings.sync_passphrase.take());
            printer.say(&format!("{} runs as {}", settings.device_name, running.node.id()));
            let can_api = match (&running.can_api, &settings.can_service_url) {
                (None, Some(url)) => format!("{}{PREFIX}  (of the CAN Service)", url.trim_end_matches('/')),
                (Some(address), _) => format!("http://{address}{PREFIX}"),
                (None, None) => "not served".to_owned(),
            };
            printer.say(&format!("CAN API   {can_api}"));
            printer.say(&format!("host API  http://{}  (token in {})", running.host_api, settings.data_dir.display()));
            if let Some(path) = &settings.ticket_file {
                printer.say(&format!("ticket    {}", path.display()));
            }
            runtime::interrupted().await?;
            printer.say("stopping");
            running.stop().await;
            Ok(())
        });
        // Reads of the blocking pool that hang must not hold the process.
        runtime.shutdown_background();
        done
    }
}
