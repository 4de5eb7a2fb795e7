//! `can-sync store`: work on the embedded store while no host runs.

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::format;
use crate::cli::printer::Printer;
use crate::cli::printer::Unit;
use crate::store::Disk;
use crate::store::embedded;
use crate::store::embedded::Rebuilt;
use crate::store::embedded::Unrecovered;

/// Work on the embedded store while no host runs
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a new index from the files; the old one is kept beside it
    Rebuild,
}

impl Args {
    pub(in crate::cli) fn execute(self, context: &Context) -> anyhow::Result<()> {
        let What::Rebuild = self.what;
        let settings = context.resolve(None)?.settings;
        let printer = context.printer();
        let progress = printer.progress("rebuild", None, Unit::Assets);
        let rebuilt = embedded::rebuild(&settings.storage_root, &Disk::default(), |done| progress.set(done, done))?;
        progress.end();
        show(printer, &rebuilt)
    }
}

fn show(printer: &Printer, rebuilt: &Rebuilt) -> anyhow::Result<()> {
    for lost in &rebuilt.unrecovered {
        let (what, reason) = match lost {
            Unrecovered::Document(id) => (id.to_string(), "its metadata is lost".to_owned()),
            Unrecovered::Fields { id, count, names } => (
                id.to_string(),
                format!("{} of its metadata lost: {}", format::count((*count).into(), "field"), names.join(", ")),
            ),
            Unrecovered::Content { path, reason } => (path.display().to_string(), reason.clone()),
        };
        if printer.is_json() {
            printer.json(&json!({ "kind": "unrecovered", "what": what, "reason": reason }))?;
        } else {
            printer.line(&format!("{what}  {reason}"))?;
        }
    }
    let (assets, bytes) = (format::count(rebuilt.assets, "asset"), format::bytes(rebuilt.bytes));
    let old = rebuilt.old_index.as_ref().map(|path| path.display().to_string());
    if printer.is_json() {
        let Rebuilt { assets, bytes, missing, .. } = rebuilt;
        let end = json!({ "kind": "end", "assets": assets, "bytes": bytes, "missing": missing, "old_index": old });
        printer.json(&end)?;
    } else {
        printer.line(&format!("{assets}, {bytes} in the new index"))?;
        if rebuilt.missing > 0 {
            let missing = format::count(rebuilt.missing, "asset");
            printer.line(&format!("{missing} without content; peers that have them send them again"))?;
        }
    }
    if let Some(old) = old {
        printer.say(&format!("the old index is kept as {old}"));
    }
    let lost = rebuilt.unrecovered.len();
    if lost > 0 {
        bail!("{} not recovered whole; peers that have them send them again", format::count(lost as u64, "asset"));
    }
    Ok(())
}
