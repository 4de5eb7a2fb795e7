//! The commands, one per file: its arguments, and what it does with them.
//!
//! A further command is a further file, a variant of [`Command`] and a line in [`Command::execute`].

mod add;
mod completions;
mod config;
mod demo;
mod doctor;
mod events;
mod explain;
mod get;
mod held;
mod init;
mod ls;
mod pair;
mod peers;
mod plugin;
mod purge;
mod restore;
mod run;
mod status;
mod store;
mod tag;
mod trash;
mod verify;

use clap::Subcommand;

use super::context::Context;
use super::context::block_on;

/// What can be done.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Init(init::Args),
    Run(run::Args),
    Demo(demo::Args),
    Add(add::Args),
    Ls(ls::Args),
    Get(get::Args),
    Tag(tag::Args),
    Trash(trash::Args),
    Restore(restore::Args),
    Purge(purge::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Events(events::Args),
    Peers(peers::Args),
    Pair(pair::Args),
    Verify(verify::Args),
    Held(held::Args),
    Explain(explain::Args),
    Plugin(plugin::Args),
    Store(store::Args),
    Config(config::Args),
    Completions(completions::Args),
}

impl Command {
    /// Does it.
    pub(super) fn execute(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Init(args) => args.execute(context),
            Self::Run(args) => args.execute(context),
            Self::Demo(args) => args.execute(context),
            Self::Add(args) => block_on(args.execute(context)),
            Self::Ls(args) => block_on(args.execute(context)),
            Self::Get(args) => block_on(args.execute(context)),
            Self::Tag(args) => block_on(args.execute(context)),
            Self::Trash(args) => block_on(args.execute(context)),
            Self::Restore(args) => block_on(args.execute(context)),
            Self::Purge(args) => block_on(args.execute(context)),
            Self::Status(args) => block_on(args.execute(context)),
            Self::Doctor(args) => block_on(args.execute(context)),
            Self::Events(args) => block_on(args.execute(context)),
            Self::Peers(args) => block_on(args.execute(context)),
            Self::Pair(args) => args.execute(context),
            Self::Verify(args) => block_on(args.execute(context)),
            Self::Held(args) => block_on(args.execute(context)),
            Self::Explain(args) => block_on(args.execute(context)),
            Self::Plugin(args) => args.execute(context),
            Self::Store(args) => args.execute(context),
            Self::Config(args) => args.execute(context),
            Self::Completions(args) => args.execute(context),
        }
    }
}
