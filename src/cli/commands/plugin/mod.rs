//! `can-sync plugin`: what plugins of the running host do, and the tools of those who write them.

mod bench;
mod check;
mod host;
mod new;
mod run;
mod sample;
mod template;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use self::host::Order;
use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::exit::Misused;
use crate::cli::runtime;
use crate::cli::temporary::TemporaryFolder;
use crate::config;
use crate::plugin::Cache;
use crate::plugin::Settings;
use crate::plugin::Sidecar;

/// Show plugins, switch them on and off, and try them out
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write the folder of a new plugin, which can be built at once
    New(new::Args),
    /// List the plugins of the running host
    Ls,
    /// Say what a component exports, imports and wants, and whether this host would load it
    Check(check::Args),
    /// Ask a component about assets and show its verdicts; nothing is changed
    Run(run::Args),
    /// Measure a component: cold start, calls, memory
    Bench(bench::Args),
    /// Switch plugins of the running host on
    Enable {
        /// Which plugins
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Switch plugins of the running host off, until they are switched on again
    Disable {
        /// Which plugins
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Load plugins of the running host from their files again
    Reload {
        /// Which plugins
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Which component, and how it is set up.
#[derive(Debug, clap::Args)]
struct Component {
    /// The component: a `.wasm` file; a sidecar beside it counts, and what the configuration says of its name
    file: PathBuf,
    /// How it is set up, in place of both: a YAML file
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

impl Args {
    pub(in crate::cli) fn execute(self, context: &Context) -> anyhow::Result<()> {
        match self.action {
            Action::New(args) => args.execute(context),
            Action::Ls => block_on(host::list(context)),
            Action::Enable { names } => block_on(host::order(context, &names, Order::Enable)),
            Action::Disable { names } => block_on(host::order(context, &names, Order::Disable)),
            Action::Reload { names } => block_on(host::order(context, &names, Order::Reload)),
            // Plugins run on the runtime of a host.
            Action::Check(args) => runtime::runtime()?.block_on(args.execute(context)),
            Action::Run(args) => runtime::runtime()?.block_on(args.execute(context)),
            Action::Bench(args) => runtime::runtime()?.block_on(args.execute(context)),
        }
    }
}

/// Compiled code for as long as a command runs, so that a component is compiled once, however it is set up.
struct TemporaryCache {
    cache: Cache,
    _folder: TemporaryFolder,
}

impl TemporaryCache {
    fn make() -> anyhow::Result<Self> {
        let folder = TemporaryFolder::make("plugin")?;
        let cache = Cache::open(folder.path()).with_context(|| format!("cannot use {}", folder.path().display()))?;
        Ok(Self { cache, _folder: folder })
    }
}

impl Component {
    fn name(&self) -> String {
        self.file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
    }

    /// Reads how it is set up: as the host does it that has this configuration.
    fn settings(&self, context: &Context) -> anyhow::Result<Settings> {
        let sidecar = self.file.with_extension("yaml");
        let entries = match self.settings {
            Some(_) => BTreeMap::new(),
            None => context.resolve(None)?.settings.plugins,
        };
        let given = self.settings.is_some() || sidecar.exists();
        let path = self.settings.as_ref().unwrap_or(&sidecar);
        let text = given.then(|| std::fs::read_to_string(path)).transpose();
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let sidecar = text.as_deref().map(|text| Sidecar { path, text });
        config::plugin_settings(entries.get(&self.name()), sidecar).map_err(|error| Misused(error).into())
    }
}
