//! `can-sync config`: what the configuration resolves to, and whether a host can start with it.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::printer::Align;
use crate::config::Resolved;
use crate::node::DataFolder;

/// Show or check the configuration
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check that a host can start with it
    Check {
        /// Which file, in place of `--config`
        file: Option<PathBuf>,
    },
    /// Show every key with its value and where that comes from; secrets are hidden
    Show {
        /// Which file, in place of `--config`
        file: Option<PathBuf>,
    },
}

impl Args {
    pub(in crate::cli) fn execute(self, context: &Context) -> anyhow::Result<()> {
        match self.action {
            Action::Check { file } => {
                let resolved = context.resolve(file.as_deref())?;
                say_notes(context, &resolved);
                resolved.settings.secret(DataFolder::has_members(&resolved.settings.data_dir))?;
                resolved.settings.can_service()?;
                if context.printer().is_json() {
                    context.printer().json(&json!({ "notes": resolved.notes }))?;
                } else {
                    context.printer().say("The configuration is right.");
                }
            }
            Action::Show { file } => {
                let resolved = context.resolve(file.as_deref())?;
                say_notes(context, &resolved);
                show(context, &resolved)?;
            }
        }
        Ok(())
    }
}

fn say_notes(context: &Context, resolved: &Resolved) {
    for note in &resolved.notes {
        context.printer().say(&format!("note: {note}"));
    }
}

fn show(context: &Context, resolved: &Resolved) -> anyhow::Result<()> {
    let printer = context.printer();
    if printer.is_json() {
        let of = |shown: &crate::config::Shown| json!({ "key": shown.key, "value": shown.value, "source": shown.source.to_string() });
        return Ok(printer.json(&resolved.shown.iter().map(of).collect::<Vec<_>>())?);
    }
    let row = |shown: &crate::config::Shown| {
        let value = shown.value.clone().unwrap_or_else(|| "null".to_owned());
        vec![shown.key.clone(), value, shown.source.to_string()]
    };
    let rows: Vec<_> = resolved.shown.iter().map(row).collect();
    Ok(printer.table(&[("KEY", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)], &rows)?)
}
